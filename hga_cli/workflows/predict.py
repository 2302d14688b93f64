"""From the scans of a patient, whichever there are, to a label map that lies on them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError, UsageError
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.data.description import CHANNELS
from hga_cli.data.discovery import RawCase, discover, group
from hga_cli.data.naming import role_of
from hga_cli.data.prepare import PreparedCase, prepare
from hga_cli.engine.inference import TrainedModel, predict_combinations
from hga_cli.imaging.volume import is_volume, stem, write_label_map


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One predicted case."""

    case: str
    modalities: dict[str, str]
    """modality -> file that was used."""
    output: Path
    volumes_ml: dict[str, float]
    """region -> millilitres."""
    warnings: list[str]
    skipped: bool = False
    """The output was there before; nothing was computed."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "case": self.case,
            "modalities": self.modalities,
            "output": str(self.output),
            "volumes_ml": self.volumes_ml,
            "warnings": self.warnings,
            "skipped": self.skipped,
        }


def find_inputs(inputs: Sequence[Path], model: TrainedModel, channels: Sequence[str] = ()) -> list[RawCase]:
    """Sort what the user named into cases.

    Args:
        inputs: case folders, folders of cases, single files (those of one case are put together); with ``channels``:
            4D files.
        model: whose modalities are looked for.
        channels: the modality of each volume of a 4D file.

    Raises:
        DataError: nothing usable was found.
        ProblemsError: files that cannot be told apart.
        UsageError: an unknown or repeated modality.
    """
    cases: list[RawCase] = []
    problems: list[Problem] = []
    single: list[Path] = []
    for path in inputs:
        if channels:
            cases.append(_many_channels(path, model, channels))
        elif path.is_dir():
            found = discover(path, model.description, need_label=False)
            cases, problems = cases + found.cases, problems + found.problems
        else:
            single.append(_usable_file(path, model))
    found = group(single, model.description, need_label=False)
    cases, problems = cases + found.cases, problems + found.problems
    cases = [case for case in cases if case.images]
    ids = [case.case for case in cases]
    problems += [
        Problem(case=case, file="", problem="two inputs have this id; their outputs would overwrite each other")
        for case in sorted({case for case in ids if ids.count(case) > 1})
    ]
    if problems:
        message = f"{len(problems)} problems with the input, nothing was predicted"
        raise ProblemsError(message, problems)
    return cases


def predict(
    model: TrainedModel,
    cases: Sequence[RawCase],
    output: Path,
    *,
    overlap: float = 0.5,
    align: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Result]:
    """Predict cases and write one label map each, on the grid of its first image.

    Args:
        model: what predicts.
        cases: from ``find_inputs``; labels, if any, are not read.
        output: folder of the label maps, ``<case>.nii.gz``.
        overlap: of neighbouring windows, a share of their size.
        align: resample images on grids of their own onto that of the first one, instead of refusing the case.
        overwrite: predict again what is there; otherwise it is skipped and said.
        progress: is told each case.

    Raises:
        ProblemsError: some cases could not be predicted; the others are written.
    """
    progress = progress or Silent()
    results: list[Result] = []
    problems: list[Problem] = []
    with stage(progress, "predict", len(cases)):
        for raw in cases:
            target = output / f"{raw.case}.nii.gz"
            if target.exists() and not overwrite:
                results.append(_skipped(model, raw, target))
            else:
                target.unlink(missing_ok=True)
                try:
                    results.append(_predict_one(model, raw, target, overlap=overlap, align=align))
                except ProblemsError as error:
                    problems += error.problems
            progress.advance(raw.case)
    if problems:
        failed = len({problem.case for problem in problems})
        message = f"{failed} of {len(cases)} cases could not be predicted"
        raise ProblemsError(
            message, problems, hint="repair them and run again" + ("; the other cases are written" if results else "")
        )
    return results


def _predict_one(model: TrainedModel, raw: RawCase, target: Path, *, overlap: float, align: bool) -> Result:
    case = prepare(replace(raw, label=None), model.description, replace(model.preparation, align=align))
    combination = case.combination(model.modalities)
    probabilities = predict_combinations(
        model,
        {name: image.z for name, image in case.images.items()},
        {name: image.statistics.background for name, image in case.images.items()},
        [combination],
        overlap=overlap,
    )[combination]
    classes = case.trail.to_file(case.trail.uncrop(case.trail.labels_in_box(probabilities)))
    write_label_map(target, _values(classes, model), case.like)
    return Result(
        case=raw.case,
        modalities={name: str(raw.images[name]) for name in combination},
        output=target,
        volumes_ml=_volumes(classes, case, model),
        warnings=case.warnings,
    )


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


def _skipped(model: TrainedModel, raw: RawCase, target: Path) -> Result:
    return Result(
        case=raw.case,
        modalities={name: str(raw.images[name]) for name in raw.combination(model.modalities)},
        output=target,
        volumes_ml={},
        warnings=[],
        skipped=True,
    )


def _usable_file(path: Path, model: TrainedModel) -> Path:
    if not path.exists():
        message = f"no file or folder '{path}'"
        raise DataError(message)
    if not is_volume(path):
        message = f"'{path}' is not a NIfTI file (.nii or .nii.gz)"
        raise DataError(message, hint="give a NIfTI file, a case folder or a folder of cases")
    if role_of(path, model.description) not in (*model.modalities, CHANNELS):
        known = ", ".join(f"x_{model.description.files[name][0]}.nii.gz" for name in model.modalities)
        message = f"the name of '{path.name}' does not say which modality it is"
        raise DataError(message, hint=f"names should end like {known}; for a 4D file add --modalities")
    return path


def _many_channels(path: Path, model: TrainedModel, channels: Sequence[str]) -> RawCase:
    if len(set(channels)) != len(channels) or not set(channels) <= set(model.modalities):
        message = f"--modalities {','.join(channels)}: expected different ones of {', '.join(model.modalities)}"
        raise UsageError(message, hint="in the order of the volumes of the 4D file")
    if not path.is_file():
        message = f"no file '{path}'"
        raise DataError(message, hint="--modalities goes with 4D files")
    name = stem(path)
    return RawCase(
        case=name,
        subject=name,
        images=dict.fromkeys(in_order(channels, model.modalities), path),
        label=None,
        channels=tuple(channels),
    )
