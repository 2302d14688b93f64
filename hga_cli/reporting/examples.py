"""The best, median and worst test case of a run, and what the model predicts of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import UsageError
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.scoring import predict_stored
from hga_cli.metrics.overlap import dice
from hga_cli.reporting.facts import Document, averaged_regions
from hga_cli.reporting.heat_map import is_known
from hga_cli.reporting.scene import Scene

TITLES = {1: ("only",), 2: ("best", "worst"), 3: ("best", "median", "worst")}
"""Number of cases that are shown -> what they are."""
ROUNDING = 0.005
"""Differences in Dice that another device may make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A case that is shown."""

    title: str
    """``best``, ``median`` or ``worst``."""
    case: str
    combination: Combination
    """What the prediction is made from."""
    mean: float
    """Its Dice, mean over regions."""
    dice: Mapping[str, float]
    """Region -> Dice as it was measured, before any convention; regions that are empty on both sides are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A case that is shown, with its prediction."""

    choice: Choice
    scene: Scene
    volumes_ml: Mapping[str, Mapping[str, float]]
    """``prediction`` and ``reference`` -> region -> ml."""
    changed: Mapping[str, tuple[float, float]]
    """Regions whose Dice is not the measured one any more -> (measured, now)."""


def choose(metrics: Document, wanted: Combination | None) -> list[Choice]:
    """Return the best, median and worst case of an evaluation by the mean Dice over regions.

    Args:
        metrics: document of ``metrics.json``.
        wanted: combination that cases are judged by; None: each case by the largest one it was scored with.

    Raises:
        UsageError: no case was scored with it.
    """
    judged = _judged(metrics, wanted)
    if not judged:
        message = f"no case of the evaluation was scored with {combination_name(wanted or ())}"
        raise UsageError(message, hint=f"choose another --combination; scored: {', '.join(metrics['combinations'])}")
    ranked = sorted((one for one in judged if is_known(one.mean)), key=lambda one: one.mean, reverse=True)
    places = sorted({0, len(ranked) // 2, len(ranked) - 1}) if len(ranked) > 2 else range(len(ranked))
    titles = TITLES.get(len(places), ())
    return [replace(ranked[place], title=title) for place, title in zip(places, titles, strict=True)]


def draw(model: TrainedModel, store: Store, choice: Choice, *, overlap: float) -> Example:
    """Predict a case again, and return it with its reference on the first scan of the combination.

    Raises:
        DataError: the store lost the case, or its file is damaged.
        ConfigError: the network gives no numbers.
    """
    combination = choice.combination
    predicted = predict_stored(model, store, choice.case, [combination], overlap=overlap)[combination]
    labels = {"prediction": predicted, "reference": store.reference(choice.case)}
    trail, regions = store.trail(choice.case), store.description.scored_regions()
    scan = store.images(choice.case, combination[:1])[0]
    scene = Scene.of(combination[0], scan, trail, labels, regions)
    voxel_ml = float(np.prod(trail.original_spacing)) / 1000
    volumes = {
        what: {region.name: float(np.count_nonzero(region.mask(found))) * voxel_ml for region in scene.regions}
        for what, found in labels.items()
    }
    now = {one.name: dice(one.prediction_mask(predicted), one.mask(labels["reference"])) for one in regions}
    changed = {
        name: (before, now[name]) for name, before in choice.dice.items() if not abs(now[name] - before) <= ROUNDING
    }
    return Example(choice=choice, scene=scene, volumes_ml=volumes, changed=changed)


def _judged(metrics: Document, wanted: Combination | None) -> list[Choice]:
    """Return each case with the combination it is judged by."""
    rows: dict[str, dict[str, list[Document]]] = defaultdict(lambda: defaultdict(list))
    for row in metrics["cases"]:
        rows[row["case"]][row["combination"]].append(row)
    name, averaged = combination_name(wanted) if wanted else None, averaged_regions(metrics)
    judged = []
    for case, scored in rows.items():
        chosen = name or max(scored, key=lambda one: one.count("+"))
        if chosen in scored:
            judged.append(_choice(case, chosen, scored[chosen], averaged))
    return judged


def _choice(case: str, combination: str, rows: Sequence[Document], averaged: Sequence[str]) -> Choice:
    dices = [row["dice"] for row in rows if row["region"] in averaged and is_known(row["dice"])]
    return Choice(
        title="",
        case=case,
        combination=tuple(combination.split("+")),
        mean=sum(dices) / len(dices) if dices else float("nan"),
        dice={row["region"]: row["raw_dice"] for row in rows if is_known(row["raw_dice"])},
    )
