"""The objective: which passes a batch needs, and what its terms add up to."""

from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from hga_cli.alignment.preference import Preference
from hga_cli.alignment.term import Need, Outputs, Term
from hga_cli.core.catalog import TERMS
from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.core.settings import Method
from hga_cli.core.settings import Term as TermSettings
from hga_cli.networks.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLosses:
    """What one batch costs."""

    tasks: dict[str, Tensor]
    """task -> weighted sum of its terms, a scalar; mean over the batch."""
    terms: dict[str, float]
    """``term/task`` -> mean over the batch before any weight, for the journal."""


class Objective:
    """The terms of a method with their weights.

    Args:
        settings: of the method; terms of weight 0 are left out.
        modalities: the order of the data set.

    Raises:
        ConfigError: an unknown term or option, no term at all, or weights that follow a preference nobody makes.
    """

    def __init__(self, settings: Method, modalities: Combination) -> None:
        self._settings = {name: term for name, term in settings.terms.items() if term.weight > 0}
        if not self._settings:
            message = f"method '{settings.name}' has no term with a weight above 0"
            raise ConfigError(message, hint="set method.terms.fused.weight = 1")
        self._terms = {name: _build(name, term.options) for name, term in self._settings.items()}
        self._require_one_preference(settings.name)
        self._needs = frozenset[Need]().union(*(term.needs for term in self._terms.values()))
        self.preference = Preference(modalities, settings.preference)

    def __call__(self, model: Backbone, images: dict[str, Tensor], label: Tensor) -> StepLosses:
        """Run the network on the modalities given and return the losses.

        Args:
            model: the network.
            images: modality -> (B, 1, *space).
            label: (B, *space) class indices, int64.
        """
        outputs = self._outputs(model, images, label)
        results = {name: term(outputs) for name, term in self._terms.items()}
        factors: dict[str, dict[str, Any]] = {"beta": self.preference.beta, "rho": {}}
        for result in results.values():
            if result.preferences:
                factors["rho"] = self.preference.observe(result.preferences)
        parts: dict[str, list[Tensor]] = {}
        for name, result in results.items():
            for task, loss in result.losses.items():
                parts.setdefault(task, []).append(_weighted(loss, self._settings[name], task, factors).mean())
        if not parts:
            message = f"none of the terms {', '.join(self._terms)} gives a loss with this backbone"
            raise ConfigError(message, hint="set method.terms.fused.weight = 1")
        return StepLosses(
            tasks={task: torch.stack(losses).sum() for task, losses in parts.items()},
            terms={
                f"{name}/{task}": float(loss.detach().mean())
                for name, result in results.items()
                for task, loss in result.losses.items()
            },
        )

    def _require_one_preference(self, method: str) -> None:
        makers = sorted(name for name, term in self._terms.items() if term.makes_preferences)
        if len(makers) > 1:
            message = f"method '{method}': {' and '.join(makers)} both say how strong a modality is"
            raise ConfigError(message, hint=f"set method.terms.{makers[0]}.weight = 0, or that of the other")
        scaled = sorted(name for name, term in self._settings.items() if term.scale)
        if scaled and not makers:
            message = f"method '{method}': the scale of {', '.join(scaled)} follows a preference that no term makes"
            raise ConfigError(message, hint="add the term compactness or similarity, or empty the scale")

    def _outputs(self, model: Backbone, images: dict[str, Tensor], label: Tensor) -> Outputs:
        combination = tuple(images)
        features = model.encode(images)
        fused = model.fuse(features, combination)
        separate: dict[str, Tensor] = {}
        if "separate" in self._needs:
            decoded = {modality: model.decode_alone(features, modality) for modality in combination}
            separate = {modality: logits for modality, logits in decoded.items() if logits is not None}
        alone = {}
        if "alone" in self._needs or ("separate" in self._needs and not separate):
            alone = {name: model.fuse(features, (name,)) if len(combination) > 1 else fused for name in combination}
        if "separate" in self._needs and not separate:
            separate = {modality: prediction.logits for modality, prediction in alone.items()}
        return Outputs(combination=combination, label=label, fused=fused, alone=alone, separate=separate)


def _weighted(loss: Tensor, settings: TermSettings, task: str, factors: dict[str, dict[str, Any]]) -> Tensor:
    weighted = settings.weight * loss
    for name in settings.scale:
        if task in factors[name]:
            weighted = weighted * factors[name][task]
    return weighted


def _build(name: str, options: dict[str, Any]) -> Term:
    kind = TERMS.load(name)
    known = [parameter for parameter in signature(kind).parameters if parameter not in ("args", "kwargs")]
    for option in options:
        if option not in known:
            message = f"term '{name}' has no option '{option}'"
            raise ConfigError(message, hint=suggestion(option, known) if known else "it has no options")
    term: Term = kind(**options)
    return term
