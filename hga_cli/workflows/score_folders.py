"""Scores of masks that lie in a folder, against those in another one. Nothing is said of what made them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.core.processes import usable_cores
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.core.settings import Evaluation
from hga_cli.data.raw.description import LABEL, Description
from hga_cli.data.raw.grids import GRID_TOLERANCE
from hga_cli.data.raw.labels import MANY_VALUES, read_classes
from hga_cli.engine.scoring import CALIBRATION, Row
from hga_cli.imaging.trail import canonical_affine, canonical_spacing, distance_mm, to_canonical
from hga_cli.imaging.volume import Volume, integers, is_volume, read_volume, stem, times
from hga_cli.metrics.conventions import Convention
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import RegionScore, score_case
from hga_cli.workflows.metrics_document import Examined, metrics_document
from hga_cli.workflows.outputs import other_outputs

Pair = tuple[Path, Path]
"""Prediction and reference."""


def score_folders(
    predictions: Path,
    references: Path,
    description: Description | None,
    convention: Convention,
    *,
    settings: Evaluation | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score every mask of ``predictions`` against the one of the same case in ``references``.

    Files are paired by case id and by nothing else: the name without ``.nii.gz``, and without an ending that
    ``description`` states for labels (``_seg``). Prediction and reference lie on one grid, perhaps in another order of
    axes.

    Args:
        predictions: folder of label maps.
        references: folder of label maps.
        description: says which values are which labels, and the regions; None: each value is a region.
        convention: what empty structures score.
        settings: further scores, threads, and what a mask without partner does.
        progress: is told each case.

    Returns:
        The document of ``metrics.json``; the combination is None, in tables ``masks``. ``unpaired`` lists masks that
        were left out.

    Raises:
        DataError: a folder is absent or has no masks, or calibration was asked for, which needs probabilities.
        ProblemsError: masks without partner, two of one case, on different grids, or with unknown values.
    """
    settings, progress = settings or Evaluation(), progress or Silent()
    if CALIBRATION in settings.extras:
        message = "masks have no probabilities, so their calibration cannot be scored"
        raise DataError(message, hint="leave out 'calibration' in evaluation.extras")
    pairs, unpaired = _paired(predictions, references, description, progress, skip=settings.unpaired == "skip")
    if unpaired:
        progress.warn(f"left out for want of a partner: {', '.join(one.case for one in unpaired)}")
    regions = description.scored_regions() if description else _regions_of_values(pairs, progress)
    rows = _rows(pairs, description, regions, convention, settings, progress)
    what = Examined(
        modalities=(),
        combinations=[()],
        regions=regions,
        convention=convention,
        subjects={case: description.subject_of(case) if description else case for case in pairs},
        tolerance=settings.tolerance,
    )
    document = metrics_document(rows, what)
    return {**document, "unpaired": [one.as_dict() for one in unpaired]}


def _paired(
    predictions: Path, references: Path, description: Description | None, progress: Progress, *, skip: bool
) -> tuple[dict[str, Pair], list[Problem]]:
    """Return case -> pair, and the masks without partner."""
    ours, theirs = _masks(predictions, description, progress), _masks(references, description, progress)
    alone = [
        *(
            Problem(case=case, file=str(ours[case]), problem="no reference of this case")
            for case in ours.keys() - theirs
        ),
        *(Problem(case=case, file=str(theirs[case]), problem="no prediction of it") for case in theirs.keys() - ours),
    ]
    alone.sort(key=lambda one: (one.case, one.file))
    pairs = {case: (path, theirs[case]) for case, path in ours.items() if case in theirs}
    if alone and not (skip and pairs):
        message = f"{len(alone)} masks have no partner; {len(pairs)} cases have both. Ids are names without '.nii.gz'"
        hint = (
            "name both files alike; endings such as '_pred' count only where a description states them: "
            f'files.{LABEL} = ["pred", "seg"] with --dataset mine.toml; or --set evaluation.unpaired=skip'
        )
        raise ProblemsError(message, alone, hint=hint)
    return pairs, alone


def _masks(folder: Path, description: Description | None, progress: Progress) -> dict[str, Path]:
    """Return case -> file; maps that ``hga predict`` wrote beside its masks are passed over."""
    if not folder.is_dir():
        message = f"no folder '{folder}'"
        raise DataError(message, hint="name a folder of label maps (.nii.gz)")
    others = other_outputs(folder)
    volumes = sorted(path for path in folder.iterdir() if path.is_file() and is_volume(path))
    passed = sorted({others[path.name] for path in volumes if path.name in others})
    if passed:
        progress.say(f"passed over in '{folder}', as 'hga predict' wrote it beside its label maps: {', '.join(passed)}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in (path for path in volumes if path.name not in others):
        found[_case(path, description)].append(path)
    if not found:
        message = f"'{folder}' holds no label map (.nii.gz or .nii)"
        raise DataError(message, hint="the files have to lie in the folder itself, not below it")
    twice = [
        Problem(case=case, file=", ".join(path.name for path in paths), problem="two masks of one case")
        for case, paths in found.items()
        if len(paths) > 1
    ]
    if twice:
        message = f"'{folder}' holds more than one mask of {len(twice)} cases"
        raise ProblemsError(message, twice, hint="move all but one elsewhere")
    return {case: paths[0] for case, paths in found.items()}


def _case(path: Path, description: Description | None) -> str:
    """Return the name without suffix and without an ending that the description states for labels."""
    name = stem(path)
    for ending in description.files[LABEL] if description else ():
        before = name[: len(name) - len(ending)]
        if name.lower().endswith(ending.lower()) and before.rstrip("_- .") and before[-1] in "_- .":
            return before.rstrip("_- .")
    return name


def _regions_of_values(pairs: Mapping[str, Pair], progress: Progress) -> list[Region]:
    """Return one region for each value that occurs anywhere but 0; value 1 where all masks are empty.

    Raises:
        DataError: masks cannot be read, or all of them together hold too many values.
        ProblemsError: values below 0, or too many in one file.
    """
    hint = "name the data set, which says the labels: --dataset brats"
    values, problems = set[int](), list[Problem]()
    for case, path in ((case, path) for case, pair in pairs.items() for path in pair):
        here = {int(value) for value in np.unique(integers(read_volume(path)))} - {0}
        values |= here
        if here and (min(here) < 0 or len(here) > MANY_VALUES):
            text = f"holds {len(here)} different values besides 0, from {min(here)} to {max(here)}"
            problems.append(Problem(case=case, file=str(path), problem=text))
    if problems:
        message = f"{len(problems)} files are no label maps: expected 1 to {MANY_VALUES} values above 0"
        raise ProblemsError(message, problems, hint=hint)
    if len(values) > MANY_VALUES:
        message = f"the masks together hold {len(values)} different values besides 0, expected up to {MANY_VALUES}"
        raise DataError(message, hint=hint)
    if not values:
        progress.warn("all masks are empty, and no --dataset says what they could hold: value 1 is scored")
        return [Region(name="1", classes=(1,))]
    progress.say(f"no --dataset: each value is a region of its own: {', '.join(map(str, sorted(values)))}")
    return [Region(name=str(value), classes=(value,)) for value in sorted(values)]


def _rows(
    pairs: Mapping[str, Pair],
    description: Description | None,
    regions: Sequence[Region],
    convention: Convention,
    settings: Evaluation,
    progress: Progress,
) -> list[Row]:
    """Score all pairs in threads; problems of files are collected."""

    def score(item: tuple[str, Pair]) -> list[RegionScore] | Problem:
        case, pair = item
        volumes, classes = list[Volume](), list[NDArray[np.integer[Any]]]()
        for path in pair:
            try:
                volumes.append(read_volume(path))
                classes.append(_canonical_classes(volumes[-1], description))
            except DataError as error:
                return Problem(case=case, file=str(path), problem=error.message)
        elsewhere, (predicted, expected) = _other_grid(*volumes), classes
        if elsewhere:
            return Problem(case=case, file=str(pair[0]), problem=elsewhere)
        return score_case(
            predicted,
            expected,
            regions,
            spacing=canonical_spacing(volumes[1].affine),
            definition=convention.definition,
            extras=settings.extras,
            tolerance=settings.tolerance,
        )

    rows, problems = [], []
    with stage(progress, "score", len(pairs)), ThreadPoolExecutor(settings.workers or usable_cores()) as pool:
        for case, found in zip(pairs, pool.map(score, pairs.items()), strict=True):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                rows += [Row(case=case, combination=(), score=one) for one in found]
            progress.advance(case)
    if problems:
        message = f"{len(problems)} of {len(pairs)} cases cannot be scored"
        raise ProblemsError(message, problems, hint="repair these files, or move both masks of the case elsewhere")
    return rows


def _other_grid(prediction: Volume, reference: Volume) -> str | None:
    """Return in words how the two lie otherwise; None: on one grid."""
    grids = [
        (to_canonical(volume.data, volume.affine).shape, canonical_affine(volume.affine, volume.data.shape))
        for volume in (prediction, reference)
    ]
    (shape, affine), (shape_0, affine_0) = grids
    far = distance_mm(affine, affine_0, shape, shape_0)
    if shape == shape_0 and far <= GRID_TOLERANCE * min(canonical_spacing(reference.affine)):
        return None
    return (
        f"the prediction is {times(shape)} but '{reference.path}' is {times(shape_0)} (canonical order); "
        f"it reaches up to {far:.3g} mm away"
    )


def _canonical_classes(volume: Volume, description: Description | None) -> NDArray[np.integer[Any]]:
    values = read_classes(volume, description).volume.data if description else integers(volume)
    return to_canonical(values, volume.affine)
