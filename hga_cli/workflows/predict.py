"""From the scans of a patient, whichever there are, to a label map that lies on them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli import __version__
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import Problem, ProblemsError
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.data.ranges import Looks, differences_from, foreground_share
from hga_cli.data.raw.discovery import RawCase
from hga_cli.data.raw.prepare import PreparedCase, prepare
from hga_cli.engine.inference import TrainedModel, each_combination, predict_combinations, require_numbers
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.uncertainty import disagreement, entropy
from hga_cli.imaging.resample import resample_channels
from hga_cli.imaging.volume import Volume, write_floats, write_label_map
from hga_cli.reporting.mosaic import write_mosaic
from hga_cli.reporting.scene import Scene
from hga_cli.workflows.outputs import Outputs, finished_before, require_own_places
from hga_cli.workflows.records import How, Result, ingredients, voxel_digest


class IncompleteError(ProblemsError):
    """Some cases could not be predicted; ``results`` are those that were."""

    def __init__(self, problems: Sequence[Problem], results: Sequence[Result]) -> None:
        failed = len({problem.case for problem in problems})
        written = "; the other cases are written" if results else ""
        message = f"{failed} of {failed + len(results)} cases could not be predicted"
        super().__init__(message, problems, hint=f"repair them and run again{written}")
        self.results = tuple(results)


def predict(
    model: TrainedModel,
    cases: Sequence[RawCase],
    output: Path,
    *,
    how: How | None = None,
    overwrite: bool = False,
    shard: tuple[int, int] = (1, 1),
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Predict cases and write a label map each, on the grid of its first image, with a record of how it was made.

    A case is skipped, which is said, where its record tells of the same model, scans and settings; if the model was
    evaluated since, the record says so afterwards.

    Args:
        model: what predicts.
        cases: from ``find_inputs``; labels, if any, are not read.
        output: folder of ``<case>.nii.gz`` and ``<case>.json``.
        how: windows, alignment, what else is written.
        overwrite: replace what is there, whoever made it.
        shard: i and n, counted from 1: only part i of n of the cases.
        ranks: share the cases that are not finished; all of them return all results.
        progress: is told each case of this rank.

    Raises:
        IncompleteError: some cases could not be predicted; the others are written.
        ProblemsError: label maps are there that were made from something else, or by somebody else.
        UsageError: an output would overwrite a scan, or that of another case.
    """
    progress, how, ranks = progress or Silent(), how or How(), ranks or Ranks()
    places = [Outputs.of(raw, output, how) for raw in cases]
    require_own_places(cases, places)
    of_shard = slice(shard[0] - 1, None, shard[1])
    cases, places = cases[of_shard], places[of_shard]
    asks = ranks.is_first and not overwrite
    finished: dict[str, Result] = ranks.from_first(_finished(model, cases, places, how) if asks else {})
    missing = [pair for pair in zip(cases, places, strict=True) if pair[0].case not in finished]
    mine = missing[ranks.rank :: ranks.count]
    results, problems = dict(finished), list[Problem]()
    with stage(progress, "predict", len(finished) + len(mine), len(finished)):
        for raw, files in mine:
            try:
                files.remove()
                results[raw.case] = _predict_one(model, raw, files, how)
            except ProblemsError as error:
                problems += error.problems
            progress.advance(raw.case)
    return _put_together([raw.case for raw in cases], ranks.gather((results, problems)))


def _finished(model: TrainedModel, cases: Sequence[RawCase], places: Sequence[Outputs], how: How) -> dict[str, Result]:
    """Return the cases that were predicted before, with what is expected of the model now; so do their records."""
    found = finished_before(model, cases, places, how)
    for files in places:
        earlier = found.get(files.case)
        if earlier is None:
            continue
        now = expected_of(model, tuple(earlier.modalities))
        if now != earlier.expected:
            found[files.case] = replace(earlier, expected=now)
            found[files.case].write_record(files.record)
    return found


def _put_together(cases: Sequence[str], parts: Sequence[tuple[dict[str, Result], list[Problem]]]) -> list[Result]:
    """Return the results of all ranks in the order of the cases, or raise their problems."""
    results = {case: result for found, _ in parts for case, result in found.items()}
    ordered = [results[case] for case in cases if case in results]
    problems = sorted((one for _, found in parts for one in found), key=lambda one: cases.index(one.case))
    if problems:
        raise IncompleteError(problems, ordered)
    return ordered


def _predict_one(model: TrainedModel, raw: RawCase, files: Outputs, how: How) -> Result:
    """Predict one case and write everything about it."""
    case = prepare(replace(raw, label=None), model.description, replace(model.preparation, align=how.align))
    combination = case.combination(model.modalities)
    images = {name: image.z for name, image in case.images.items()}
    backgrounds = {name: image.statistics.background for name, image in case.images.items()}
    windows: dict[str, Any] = {"overlap": how.overlap, "blending": how.what.blending, "flips": how.what.flips}
    probabilities = predict_combinations(model, images, backgrounds, [combination], **windows)[combination]
    require_numbers(probabilities, combination, raw.case)
    extras = _probability_map(probabilities, case) if how.what.probabilities else {}
    if how.what.uncertainty:
        alone = [(name,) for name in combination]
        each = each_combination(model, images, backgrounds, alone, **windows)
        shape = case.trail.box_shape
        extras |= {
            "entropy": _on_file(entropy(probabilities, shape)[None], case)[..., 0],
            "disagreement": _on_file(disagreement((found for _, found in each), shape)[None], case)[..., 0],
        }
    predicted = case.trail.uncrop(case.trail.labels_in_box(probabilities))
    classes = case.trail.to_file(predicted)
    labels = _values(classes, model)
    result = Result(
        case=raw.case,
        modalities={name: str(raw.images[name]) for name in combination},
        made_from=ingredients(model, {name: case.sources[name][1] for name in raw.images}, how),
        outputs=files.names,
        output=files.labels,
        voxels=voxel_digest(labels),
        volumes_ml=_volumes(classes, case, model),
        warnings=[*case.warnings, *_same_images(raw, case), *_unlike_training(model, case, images, backgrounds)],
        expected=expected_of(model, combination),
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        hga=__version__,
    )
    scene = _scene(case, images, predicted, model) if how.what.overlay else None
    _write(files, result, labels, extras, case.like, scene)
    return result


def _probability_map(probabilities: NDArray[np.float32], case: PreparedCase) -> dict[str, NDArray[np.float32]]:
    """Return the probabilities (*shape, K) on the grid of the file; outside of the crop box it is background."""
    values = _on_file(probabilities, case)
    values[..., 0] = 1 - values[..., 1:].sum(-1)
    return {"probabilities": values}


def _scene(
    case: PreparedCase, images: Mapping[str, NDArray[np.float32]], predicted: NDArray[np.uint8], model: TrainedModel
) -> Scene:
    """Return what the overlay shows: class indices of the whole canonical volume on the first modality."""
    first = case.combination(model.modalities)[0]
    regions = model.description.scored_regions()
    return Scene.of(first, images[first], case.trail, {"prediction": predicted}, regions)


def _write(
    files: Outputs,
    result: Result,
    labels: NDArray[np.int16],
    extras: Mapping[str, NDArray[np.float32]],
    like: Volume,
    scene: Scene | None,
) -> None:
    """Write all or nothing; the label map comes last, so that where it is, all is."""
    try:
        result.write_record(files.record)
        for what, values in extras.items():
            write_floats(files.folder / files.names[what], values, like)
        if scene is not None:
            write_mosaic(files.folder / files.names["overlay"], scene, result.volumes_ml)
        write_label_map(files.labels, labels, like)
    except BaseException:
        files.remove()
        raise


def expected_of(model: TrainedModel, combination: Combination) -> dict[str, Any] | None:
    """Return the Dice that was measured for a combination, on what, and the modality that would help most."""
    dice = model.expected and model.expected.of(combination)
    if not model.expected or not dice:
        return None
    addition = model.expected.best_addition(combination)
    source = model.expected.source(combination_name(combination))
    return {"measured_on": source, "dice": dice, "adding": addition and asdict(addition)}


def _on_file(channels: NDArray[np.float32], case: PreparedCase) -> NDArray[np.float32]:
    """Bring (C, D, H, W) values that cover the crop box to the grid of the file, (*shape, C); 0 outside of the box."""
    trail = case.trail
    inside = resample_channels(channels, trail.box_shape)
    return np.stack([trail.to_file(trail.uncrop(one)) for one in inside], -1)


def _same_images(raw: RawCase, case: PreparedCase) -> list[str]:
    """Return what should be said of files that are given for more than one modality (case P05)."""
    if raw.channels:
        return []
    names: dict[str, list[str]] = {}
    for name in raw.images:
        names.setdefault(case.sources[name][1], []).append(name)
    return [f"{' and '.join(same)} are the same image" for same in names.values() if len(same) > 1]


def _unlike_training(
    model: TrainedModel,
    case: PreparedCase,
    images: Mapping[str, NDArray[np.float32]],
    backgrounds: Mapping[str, float],
) -> list[str]:
    if model.seen is None:
        return []
    first = next(iter(images))
    share = foreground_share(images[first], backgrounds[first])
    return differences_from(model.seen, Looks.of(case.trail), share)


def _values(classes: NDArray[np.uint8], model: TrainedModel) -> NDArray[np.int16]:
    """Turn class indices into the values of label files."""
    table = [0] + [model.label_values[label.name] for label in model.description.labels]
    return np.array(table, np.int16)[classes]


def _volumes(classes: NDArray[np.uint8], case: PreparedCase, model: TrainedModel) -> dict[str, float]:
    voxel_ml = float(np.prod(case.trail.original_spacing)) / 1000
    return {
        region.name: round(float(region.prediction_mask(classes).sum()) * voxel_ml, 3)
        for region in model.description.scored_regions()
    }
