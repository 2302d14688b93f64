"""The objective: which passes a batch needs, and what its terms add up to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hga_cli.alignment.preference import Preference
from hga_cli.alignment.term import FUSED, Need, Outputs, Term
from hga_cli.core.catalog import TERMS
from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.core.errors import ConfigError
from hga_cli.core.options import check_options
from hga_cli.core.settings import Method
from hga_cli.core.settings import Term as TermSettings
from hga_cli.networks.backbone import Backbone

WARM_UP_TERM = "separate"
PART_STREAM = 5
"""Keeps which part of a combination is drawn apart from other random numbers (0 to 4)."""
FOLLOWS_PREFERENCE = frozenset({"beta", "rho"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLosses:
    """What one batch costs."""

    tasks: dict[str, Tensor]
    """task -> weighted sum of its terms, a scalar; mean over the batch."""
    terms: dict[str, float]
    """``term/task`` -> mean over the batch before any weight, for the journal."""
    alone: dict[str, Tensor]
    """modality -> logits (B, K, *space) from it alone, where a term needed them."""


class Objective:
    """The terms of a method with their weights.

    Args:
        settings: of the method; of the terms of weight 0 only one is kept, whose preference others follow.
        modalities: the order of the data set.
        omega: modality -> frequency weight; needed where the scale of a term names it.
        seed: of the run, for the parts of combinations.

    Raises:
        ConfigError: an unknown term or option, no term at all or none for a modality alone, weights that follow a
            preference nobody makes, or a warm-up of nothing.
    """

    def __init__(
        self, settings: Method, modalities: Combination, omega: Mapping[str, float] | None = None, *, seed: int
    ) -> None:
        self._seed = seed
        self._settings = _computed(settings.terms)
        if not any(term.weight > 0 for term in self._settings.values()):
            message = f"method '{settings.name}' has no term with a weight above 0"
            raise ConfigError(message, hint="set method.terms.fused.weight = 1")
        self._terms = {name: _build(name, term.options) for name, term in self._settings.items()}
        self._require_losses(settings.name)
        self._require_one_preference(settings.name)
        self._warm_up = settings.warm_up
        if self._warm_up and WARM_UP_TERM not in self._terms:
            message = f"method '{settings.name}' warms up with the term {WARM_UP_TERM}, which it does not have"
            raise ConfigError(message, hint="set method.warm_up = 0, or method.terms.separate.weight = 1")
        weights = omega if omega and any("omega" in term.scale for term in self._settings.values()) else {}
        self.omega = {modality: weights[modality] for modality in modalities if modality in weights}
        self.preference = Preference(modalities, settings.preference)

    @property
    def has_modalities(self) -> bool:
        """Whether modalities have losses of their own, besides the fused one: what a balancer has to balance."""
        return any(term.is_of_modalities and self._settings[name].weight > 0 for name, term in self._terms.items())

    @property
    def predicts_alone(self) -> bool:
        """Whether modalities have predictions of their own, besides the fused one: what a balancer may compare."""
        return any(term.needs & {"alone", "separate"} for term in self._terms.values())

    def __call__(
        self,
        model: Backbone,
        images: dict[str, Tensor],
        label: Tensor,
        *,
        epoch: int = 0,
        step: int = 0,
        apart: bool = False,
    ) -> StepLosses:
        """Run the network on the modalities given and return the losses.

        Args:
            model: the network.
            images: modality -> (B, 1, *space).
            label: (B, *space) class indices, int64.
            epoch: 0, 1, ...; the first ``warm_up`` epochs train the term ``separate`` alone, without rho (PASSION; the
                published HGA multiplies everything by zero there).
            step: of the whole training; which part of the combination is seen besides follows from it and the seed.
            apart: run each modality in a pass of its own, so that the gradient of its loss runs through nothing else.
        """
        terms = {WARM_UP_TERM: self._terms[WARM_UP_TERM]} if epoch < self._warm_up else self._terms
        needs = frozenset[Need]().union(*(term.needs for term in terms.values()))
        part = part_of(tuple(images), step, self._seed) if "part" in needs and model.has_separate_decoder else ()
        outputs = _outputs(model, images, label, needs, part=part, apart=apart)
        results = {name: term(outputs) for name, term in terms.items()}
        factors: dict[str, Mapping[str, Any]] = {"beta": self.preference.beta, "omega": self.omega}
        for result in results.values():
            if result.preferences:
                factors["rho"] = self.preference.observe(result.preferences)
        parts: dict[str, list[Tensor]] = {}
        for name, result in results.items():
            for task, loss in result.losses.items() if self._settings[name].weight > 0 else ():
                parts.setdefault(task, []).append(_weighted(loss, self._settings[name], task, factors).mean())
        if not parts:
            message = f"none of the terms {', '.join(terms)} gives a loss with this backbone for {'+'.join(images)}"
            raise ConfigError(message, hint="set method.terms.fused.weight = 1")
        return StepLosses(
            tasks={task: torch.stack(losses).sum() for task, losses in parts.items()},
            terms={
                f"{name}/{task}": float(loss.detach().mean())
                for name, result in results.items()
                for task, loss in result.losses.items()
            },
            alone=outputs.separate or {modality: one.logits for modality, one in outputs.alone.items()},
        )

    def end_epoch(self, epoch: int) -> dict[str, Any]:
        """Move beta, and return for the journal what weighs the modalities: see ``Preference.end_epoch``, and omega."""
        return {**self.preference.end_epoch(epoch), "omega": dict(self.omega)}

    def _require_losses(self, method: str) -> None:
        weighted = [name for name, term in self._settings.items() if term.weight > 0]
        if all(self._terms[name].compares_modalities for name in weighted):
            message = (
                f"method '{method}' has no loss where a batch has one modality: {', '.join(weighted)} compare several"
            )
            raise ConfigError(message, hint="set method.terms.fused.weight = 1")

    def _require_one_preference(self, method: str) -> None:
        makers = sorted(name for name, term in self._terms.items() if term.makes_preferences)
        if len(makers) > 1:
            message = f"method '{method}': {' and '.join(makers)} both say how strong a modality is"
            raise ConfigError(message, hint=f"set method.terms.{makers[0]}.weight = 0, or that of the other")
        scaled = sorted(name for name, term in self._settings.items() if FOLLOWS_PREFERENCE & set(term.scale))
        if scaled and not makers:
            message = f"method '{method}': the scale of {', '.join(scaled)} follows a preference that no term makes"
            raise ConfigError(message, hint="add the term compactness or similarity, or empty the scale")


def _computed(terms: Mapping[str, TermSettings]) -> dict[str, TermSettings]:
    """Return the terms with a weight, and those that make the preference they follow, if it is none of them."""
    weighted = {name: term for name, term in terms.items() if term.weight > 0}
    if not any(FOLLOWS_PREFERENCE & set(term.scale) for term in weighted.values()):
        return weighted
    makers = {name: term for name, term in terms.items() if TERMS.load(name).makes_preferences}
    return weighted if makers.keys() & weighted.keys() else {**weighted, **makers}


def _outputs(
    model: Backbone, images: dict[str, Tensor], label: Tensor, needs: frozenset[Need], *, part: Combination, apart: bool
) -> Outputs:
    combination = tuple(images)
    groups = [{name: image} for name, image in images.items()] if apart else [images]
    features = {name: part for group in groups for name, part in model.encode(group).items()}
    fused = model.fuse(features, combination)
    separate: dict[str, Tensor] = {}
    if "separate" in needs:
        decoded = {modality: model.decode_alone(features, modality) for modality in combination}
        separate = {modality: logits for modality, logits in decoded.items() if logits is not None}
    alone = {}
    if "alone" in needs or ("separate" in needs and not separate):
        fuse_alone = partial(Backbone.fuse_alone, model) if apart else model.fuse_alone
        alone = fuse_alone(features, combination) if len(combination) > 1 else {combination[0]: fused}
    if "separate" in needs and not separate:
        separate = {modality: prediction.logits for modality, prediction in alone.items()}
    return Outputs(
        combination=combination,
        label=label,
        fused=fused,
        alone=alone,
        separate=separate,
        part=model.fuse(features, part) if part else None,
    )


def part_of(combination: Combination, step: int, seed: int) -> Combination:
    """Return some modalities of a combination, not all; nothing of a single one.

    Every proper part is drawn equally often; processes that share a batch, and parts of one, draw the same.
    """
    parts = all_combinations(combination)[:-1]
    return parts[int(np.random.default_rng([seed, PART_STREAM, step]).integers(len(parts)))] if parts else ()


def _weighted(loss: Tensor, settings: TermSettings, task: str, factors: Mapping[str, Mapping[str, Any]]) -> Tensor:
    """Return the loss times weight and scale; the fused prediction has no scale, and a warm-up no rho."""
    weighted = settings.weight * loss
    for name in settings.scale if task != FUSED else ():
        if name in factors:
            weighted = weighted * factors[name][task]
    return weighted


def _build(name: str, options: dict[str, Any]) -> Term:
    kind = TERMS.load(name)
    check_options("term", name, kind, options)
    term: Term = kind(**options)
    return term
