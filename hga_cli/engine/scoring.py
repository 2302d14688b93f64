"""Scoring a model on cases of a store, on the original grid, for several combinations of modalities."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination
from hga_cli.core.processes import usable_cores
from hga_cli.data.patches import CaseReader
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel, each_combination, require_numbers
from hga_cli.imaging.resample import resample_channels
from hga_cli.imaging.trail import Trail
from hga_cli.metrics.calibration import Reliability
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import RegionScore, score_case
from hga_cli.metrics.surface import Definition

CALIBRATION = "calibration"
AHEAD = 2
"""Cases whose label maps wait for their scores at most, while the network computes the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One region of one case under one combination."""

    case: str
    combination: Combination
    """Empty where a mask is scored and nobody knows what it was made from."""
    score: RegionScore
    reliability: Reliability | None = None
    """Of the probability of the region, over all voxels of the crop box of the case; None: not asked for."""
    reliability_labelled: Reliability | None = None
    """The same over the voxels of the box that have a label, as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How cases are scored."""

    combinations: Sequence[Combination]
    overlap: float
    """Of neighbouring windows, a share of their size."""
    definition: Definition = "pooled"
    """Of HD95."""
    extras: Collection[str] = ()
    """Further scores: those of ``metrics.extras``, and ``calibration``."""
    tolerance: float = 1.0
    """Of the surface Dice, mm."""
    workers: int = field(default_factory=usable_cores)
    """Threads that compute scores."""


def score_cases(
    model: TrainedModel, store: Store, cases: Sequence[str], how: Scoring
) -> Iterator[tuple[str, list[Row]]]:
    """Yield each case, in order, with the scores of all regions for each combination whose modalities it has.

    Threads compute the scores while the network works on the next case: what takes time lets go of the interpreter, and
    label maps need not travel to other processes.

    Args:
        model: what is scored.
        store: where the cases are.
        cases: their ids.
        how: combinations and scores.
    """
    waiting: deque[tuple[str, list[Future[list[Row]]]]] = deque()
    with ThreadPoolExecutor(how.workers) as pool:
        for case in cases:
            waiting.append((case, list(_submitted(pool, model, store, case, how))))
            if len(waiting) > AHEAD:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def predict_stored(
    model: TrainedModel, store: Store, case: str, combinations: Sequence[Combination], *, overlap: float
) -> dict[Combination, NDArray[np.uint8]]:
    """Return class indices (D, H, W) of the whole canonical volume for each combination the case has."""
    trail, found = store.trail(case), {}
    for combination, probabilities in _probabilities(model, store, case, combinations, overlap=overlap):
        require_numbers(probabilities, combination, case)
        found[combination] = trail.uncrop(trail.labels_in_box(probabilities))
    return found


def _probabilities(
    model: TrainedModel, store: Store, case: str, combinations: Sequence[Combination], *, overlap: float
) -> Iterable[tuple[Combination, NDArray[np.float32]]]:
    """Return class probabilities (K, D, H, W) on the grid of the network for each combination the case has."""
    present = store.cases[case].modalities
    possible = [combination for combination in combinations if set(combination) <= set(present)]
    if not possible:
        return ()
    needed = [name for name in present if any(name in combination for combination in possible)]
    images = CaseReader(store, model.spacing).images(case, needed)
    backgrounds = store.backgrounds(case, needed)
    return each_combination(
        model,
        dict(zip(needed, images, strict=True)),
        dict(zip(needed, backgrounds, strict=True)),
        possible,
        overlap=overlap,
    )


def _submitted(
    pool: ThreadPoolExecutor, model: TrainedModel, store: Store, case: str, how: Scoring
) -> Iterator[Future[list[Row]]]:
    trail, reference, regions = store.trail(case), store.reference(case), store.description.scored_regions()
    for combination, probabilities in _probabilities(model, store, case, how.combinations, overlap=how.overlap):
        require_numbers(probabilities, combination, case)
        labels = trail.uncrop(trail.labels_in_box(probabilities))
        calibrated = _reliabilities(probabilities, trail, reference, regions) if CALIBRATION in how.extras else {}
        score = partial(
            score_case,
            labels,
            reference,
            regions,
            spacing=trail.original_spacing,
            definition=how.definition,
            extras=how.extras,
            tolerance=how.tolerance,
        )
        yield pool.submit(_rows, case, combination, score, calibrated)


def _rows(
    case: str,
    combination: Combination,
    score: Callable[[], list[RegionScore]],
    calibrated: dict[str, tuple[Reliability, Reliability]],
) -> list[Row]:
    rows = []
    for one in score():
        everywhere, labelled = calibrated.get(one.region, (None, None))
        rows.append(
            Row(
                case=case,
                combination=combination,
                score=one,
                reliability=everywhere,
                reliability_labelled=labelled,
            )
        )
    return rows


def _reliabilities(
    probabilities: NDArray[np.float32], trail: Trail, reference: NDArray[np.uint8], regions: Sequence[Region]
) -> dict[str, tuple[Reliability, Reliability]]:
    """Return for each region how probability and truth agree in the box: everywhere, and where there is a label."""
    in_box, truth = resample_channels(probabilities, trail.box_shape), trail.crop(reference)
    labelled, found = truth > 0, {}
    for region in regions:
        probability, mask = in_box[list(region.classes)].sum(0), region.mask(truth)
        found[region.name] = (
            Reliability.of(probability, mask),
            Reliability.of(probability[labelled], mask[labelled]),
        )
    return found


def _finished(case: str, waiting: list[Future[list[Row]]]) -> tuple[str, list[Row]]:
    return case, [row for future in waiting for row in future.result()]
