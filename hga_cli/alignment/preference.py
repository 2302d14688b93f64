"""Relative preference: how far each modality lags behind the others, and what follows from it.

Magnitude alignment (PASSION; HGA). In each step rho marks the modalities of a sample that are weaker than its mean;
over an epoch beta moves towards modalities that were weak on average.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hga_cli.alignment.term import Preferences
from hga_cli.core.combinations import Combination
from hga_cli.core.settings import Preference as Settings

ROUNDING = 1e-6
"""Share of the mean that a value has to be below it: equal modalities are not weak by rounding."""


class Preference:
    """beta of each modality (M values of Euclidean length sqrt(M), starting at 1) and the sums of the running epoch.

    With d_m the value of modality m, dbar its mean over the modalities of the sample, and s = 1 where higher means
    stronger, else -1 (the prototype term that gives d_m says which):

    * rho_m = 1 where s (dbar - d_m) > 0 beyond rounding, else 0; a sample with one modality has rho = ``single``;
    * R_m = s (D_m - Dbar) / Dbar, with D_m the mean of d_m over the samples that had m, Dbar their mean;
    * beta_m <- clamp(beta_m - eta R_m, beta_min, beta_max), then scaled to length sqrt(M);
    * eta is multiplied by ``growth`` at epochs 0, ``growth_every``, 2 ``growth_every`` ..., before the update.

    Where we depart from the published code: rho is per sample (there: per batch, from the sum over its samples); of a
    single modality it is a setting (there: 0 in PASSION; in HGA it hinges on rounding, 1 in float64, in float32 only
    below d = 0.25); s turns with the meaning of d everywhere (there: not in HGA on complete data); and D_m is a mean
    over the samples that had m (there: over all steps, which is the same up to a common factor in a full cycle, and
    unfair otherwise). Nothing seen, or Dbar = 0, leaves beta as it is (there: NaN).
    """

    def __init__(self, modalities: Combination, settings: Settings) -> None:
        self.beta = dict.fromkeys(modalities, 1.0)
        self._settings = settings
        self._sums = dict.fromkeys(modalities, 0.0)
        self._counts = dict.fromkeys(modalities, 0)
        self._marks = dict.fromkeys(modalities, 0.0)
        self._sign = 1.0

    def eta(self, epoch: int) -> float:
        """Return the learning rate of beta at the end of an epoch (0, 1, ...)."""
        return self._settings.eta * self._settings.growth ** (1 + epoch // self._settings.growth_every)

    def observe(self, preferences: Preferences) -> dict[str, Tensor]:
        """Add a batch to the epoch and return rho, modality -> (B,)."""
        values = torch.stack(list(preferences.values.values()))
        self._sign = 1.0 if preferences.higher_is_stronger else -1.0
        if len(values) == 1:
            rho = torch.full_like(values, float(self._settings.single))
        else:
            mean = values.mean(0)
            rho = (self._sign * (mean - values) > ROUNDING * mean).to(values.dtype)
        marks = dict(zip(preferences.values, rho, strict=True))
        for modality, value in preferences.values.items():
            self._sums[modality] += float(value.sum())
            self._counts[modality] += len(value)
            self._marks[modality] += float(marks[modality].sum())
        return marks

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        """Move beta; modalities that were not seen keep theirs (up to the common scaling).

        Returns:
            For the journal: ``eta``, the new ``beta``, and of each modality that was seen ``rho`` (share of its samples
            that were marked), ``D`` and ``R``.
        """
        seen = {name: count for name, count in self._counts.items() if count}
        means = {name: self._sums[name] / count for name, count in seen.items()}
        shares = {name: self._marks[name] / count for name, count in seen.items()}
        overall = sum(means.values()) / len(means) if means else 0.0
        lags = {name: self._sign * (mean - overall) / overall for name, mean in means.items()} if overall > 0 else {}
        if lags:
            self._move(lags, self.eta(epoch))
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._counts = dict.fromkeys(self._counts, 0)
        self._marks = dict.fromkeys(self._marks, 0.0)
        return {"eta": self.eta(epoch), "beta": dict(self.beta), "rho": shares, "D": means, "R": lags}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Put together what several ranks have seen of an epoch (each its ``state``)."""
        for own, key in ((self._sums, "sums"), (self._counts, "counts"), (self._marks, "marks")):
            own.update({name: sum(state[key][name] for state in states) for name in own})
        self._sign = next((state["sign"] for state in states if any(state["counts"].values())), self._sign)

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint has to keep, as plain values."""
        return {
            "beta": self.beta,
            "sums": self._sums,
            "counts": self._counts,
            "marks": self._marks,
            "sign": self._sign,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.beta, self._sums, self._counts = dict(state["beta"]), dict(state["sums"]), dict(state["counts"])
        self._marks, self._sign = dict(state["marks"]), state["sign"]

    def _move(self, lags: dict[str, float], eta: float) -> None:
        for name, lag in lags.items():
            moved = self.beta[name] - eta * lag
            self.beta[name] = min(max(moved, self._settings.beta_min), self._settings.beta_max)
        scale = math.sqrt(len(self.beta)) / math.hypot(*self.beta.values())
        self.beta = {name: value * scale for name, value in self.beta.items()}
