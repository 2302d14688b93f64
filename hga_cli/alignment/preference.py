"""Relative preference: how far each modality lags behind the others, and what follows from it.

Magnitude alignment (PASSION; HGA). In each step rho marks the modalities of a sample that are weaker than its mean;
over an epoch beta moves towards modalities that were weak on average.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hga_cli.alignment.term import Preferences
from hga_cli.core.combinations import Combination
from hga_cli.core.settings import Preference as Settings

TINY = 1e-8


class Preference:
    """beta of each modality (M values of Euclidean length sqrt(M), starting at 1) and the sums of the running epoch.

    With d_m the value of modality m (from a prototype term), dbar its mean over the modalities of the sample, and
    s = 1 where higher means stronger, else -1:

    * rho_m = 1 where s (1 - d_m / dbar) > 0, else 0; a sample with one modality has rho = ``single``;
    * R_m = s (D_m - Dbar) / Dbar, with D_m the mean of d_m over the samples that had m, Dbar their mean;
    * beta_m <- clamp(beta_m - eta R_m, beta_min, beta_max), then scaled to length sqrt(M);
    * eta is multiplied by ``growth`` at epochs 0, ``growth_every``, 2 ``growth_every`` ..., before the update.

    Where we depart from the published code: rho is per sample (there: per batch), and D_m is a mean over the samples
    that had m (there: over all steps, which is the same up to a common factor in a full cycle, and unfair otherwise).
    """

    def __init__(self, modalities: Combination, settings: Settings) -> None:
        self.beta = dict.fromkeys(modalities, 1.0)
        self._settings = settings
        self._sums = dict.fromkeys(modalities, 0.0)
        self._counts = dict.fromkeys(modalities, 0)
        self._sign = 1.0

    def eta(self, epoch: int) -> float:
        """Return the learning rate of beta at the end of an epoch (0, 1, ...)."""
        return self._settings.eta * self._settings.growth ** (1 + epoch // self._settings.growth_every)

    def observe(self, preferences: Preferences) -> dict[str, Tensor]:
        """Add a batch to the epoch and return rho, modality -> (B,)."""
        values = torch.stack(list(preferences.values.values()))
        self._sign = 1.0 if preferences.higher_is_stronger else -1.0
        for modality, value in preferences.values.items():
            self._sums[modality] += float(value.sum())
            self._counts[modality] += len(value)
        if len(values) == 1:
            rho = torch.full_like(values, float(self._settings.single))
        else:
            rho = (self._sign * (1 - values / (values.mean(0) + TINY)) > 0).to(values.dtype)
        return dict(zip(preferences.values, rho, strict=True))

    def end_epoch(self, epoch: int) -> None:
        """Move beta; modalities that were not seen keep theirs (up to the common scaling)."""
        means = {name: self._sums[name] / count for name, count in self._counts.items() if count}
        overall = sum(means.values()) / len(means) if means else 0.0
        if overall > 0:
            low, high = self._settings.beta_min, self._settings.beta_max
            for name, mean in means.items():
                lag = self._sign * (mean - overall) / overall
                self.beta[name] = min(max(self.beta[name] - self.eta(epoch) * lag, low), high)
            scale = math.sqrt(len(self.beta)) / math.hypot(*self.beta.values())
            self.beta = {name: value * scale for name, value in self.beta.items()}
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._counts = dict.fromkeys(self._counts, 0)

    def state(self) -> dict[str, Any]:
        """Return everything a checkpoint has to keep, as plain values."""
        return {"beta": self.beta, "sums": self._sums, "counts": self._counts, "sign": self._sign}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.beta, self._sums, self._counts = dict(state["beta"]), dict(state["sums"]), dict(state["counts"])
        self._sign = state["sign"]
