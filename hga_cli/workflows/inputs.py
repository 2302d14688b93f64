"""What the user named, sorted into cases of new patients."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hga_cli.core.combinations import in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError, UsageError, suggestion
from hga_cli.data.raw.description import CHANNELS
from hga_cli.data.raw.discovery import Findings, RawCase, discover, group
from hga_cli.data.raw.naming import SEPARATORS, role_of, volumes_below
from hga_cli.engine.inference import TrainedModel
from hga_cli.imaging.volume import PATIENT_SUFFIXES, is_volume, stem
from hga_cli.workflows.records import read_record


def find_inputs(inputs: Sequence[Path], model: TrainedModel, channels: Sequence[str] = ()) -> list[RawCase]:
    """Sort files and folders into cases. Label maps that ``hga predict`` wrote are passed over.

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
            found = _below(path, model)
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
    if not cases:
        message = f"no scan in {', '.join(map(str, inputs))}: only label maps that 'hga predict' wrote"
        raise DataError(message, hint="name the folder of the scans")
    return cases


def assigned_input(texts: Sequence[str], model: TrainedModel) -> RawCase:
    """Return one case from ``MODALITY=FILE`` for each of its images, whatever the files are called.

    Its id is what the names of the files have in common at their start, else the name of the folder of the first.

    Raises:
        DataError: a file is not there, or of no type that can be read.
        UsageError: not of this form, or an unknown or repeated modality.
    """
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or name not in model.modalities or name in files:
            message = f"--image '{text}': expected MODALITY=FILE, each of {', '.join(model.modalities)} at most once"
            raise UsageError(message, hint=suggestion(name, model.modalities))
        files[name] = _readable(Path(file))
    case = _common_name([stem(path) for path in files.values()]) or next(iter(files.values())).absolute().parent.name
    images = {name: files[name] for name in in_order(files, model.modalities)}
    return RawCase(case=case, subject=case, images=images, label=None)


def _common_name(names: Sequence[str]) -> str:
    """Return the start that all names share, to the end of a word."""
    differing = (position for position, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1)
    start = names[0][: next(differing, min(map(len, names)))]
    if any(len(name) > len(start) and name[len(start)] not in SEPARATORS for name in names):
        start = start[: max(start.rfind(mark) for mark in SEPARATORS) + 1]
    return start.strip(SEPARATORS)


def _below(folder: Path, model: TrainedModel) -> Findings:
    found = list(volumes_below(folder, PATIENT_SUFFIXES))
    ours = {path for beside in {path.parent for path in found} for path in _written_in(beside)}
    if ours.isdisjoint(found):
        return discover(folder, model.description, need_label=False)
    return group([path for path in found if path not in ours], model.description, need_label=False)


def _written_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that a record of ``hga predict`` in it names as its outputs."""
    for path in folder.glob("*.json"):
        record = read_record(path)
        if record is not None:
            yield from (folder / name for name in record["outputs"].values())


def _usable_file(path: Path, model: TrainedModel) -> Path:
    _readable(path)
    if role_of(path, model.description) not in (*model.modalities, CHANNELS):
        known = ", ".join(f"x_{model.description.files[name][0]}.nii.gz" for name in model.modalities)
        message = f"the name of '{path.name}' does not say which modality it is"
        hint = f"names should end like {known}; or say it: --image {model.modalities[0]}=FILE; a 4D file: --modalities"
        raise DataError(message, hint=hint)
    return path


def _readable(path: Path) -> Path:
    if not path.exists():
        message = f"no file or folder '{path}'"
        raise DataError(message, hint="look at its spelling, and at the folder you are in")
    if not is_volume(path, PATIENT_SUFFIXES) or path.is_dir():
        message = f"'{path}' is not a NIfTI file (.nii or .nii.gz), nor {' or '.join(PATIENT_SUFFIXES[2:])}"
        raise DataError(message, hint="give such a file, a case folder or a folder of cases")
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
