"""Finding cases in a raw folder by the names of files.

``x_flair.nii.gz``, ``x-t2f.nii.gz`` or ``flair.nii.gz`` are the flair file of case ``x`` (or of the folder, if
nothing stands before the ending). Each file belongs to one modality at most; what cannot be told apart is a problem.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.data.raw.description import CHANNELS, LABEL, Description
from hga_cli.data.raw.naming import Name, is_ignored, read_name, volumes_below
from hga_cli.imaging.volume import PATIENT_SUFFIXES, describe_grid, stem


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """The files of one case. Modalities that are not in ``images`` are absent."""

    case: str
    subject: str
    images: dict[str, Path]
    label: Path | None
    channels: tuple[str, ...] = ()
    """The modality of each volume, where all images are one file with four axes."""
    warnings: tuple[str, ...] = ()
    """What was decided about its files and should not be overlooked."""

    def combination(self, modalities: Combination) -> Combination:
        """Return which modalities the case has, in the order of the data set."""
        return in_order(self.images, modalities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a raw folder holds: usable cases by id, and what is wrong."""

    cases: list[RawCase]
    problems: list[Problem]
    left: list[Path] = field(default_factory=list)
    """Files that belong to no modality and to no case."""


@dataclass(slots=True)
class _Group:
    """The files that seem to be one case."""

    case: str
    folder: Path | None
    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    warnings: list[str] = field(default_factory=list)


def discover(root: Path, description: Description, *, need_label: bool) -> Findings:
    """Look through ``root`` and everything below it.

    Args:
        root: the folder to look through.
        description: which names mean what.
        need_label: cases are for training: they need a label, every file beside a case must be understood, and the
            suffixes and ignored files of the description count. Otherwise they are new patients, in any
            format that can be read.

    Raises:
        DataError: no such folder, or not one case in it; says what was looked for and what is there.
    """
    if not root.is_dir():
        message = f"no folder '{root}'"
        raise DataError(message, hint="name the folder that holds the case folders")
    suffixes = description.layout.suffixes if need_label else PATIENT_SUFFIXES
    volumes = list(volumes_below(root, suffixes))
    if need_label:
        volumes = [path for path in volumes if not is_ignored(path, description)]
    findings = group(volumes, description, need_label=need_label)
    if not findings.cases and not findings.problems:
        raise _nothing_found(root, description, suffixes)
    return findings


def group(volumes: Iterable[Path], description: Description, *, need_label: bool) -> Findings:
    """Sort files into cases by their names."""
    suffixes = description.layout.suffixes if need_label else PATIENT_SUFFIXES
    names = [read_name(path, description, suffixes) for path in volumes]
    groups = _grouped(name for name in names if name.role is not None)
    _adopt_lone_labels(groups)
    problems = _repeated_ids(groups)
    left = []
    for name in (name for name in names if name.role is None):
        owner = _owner(name, groups)
        twin = owner and _twin(name, owner)
        if owner is None:
            left.append(name.path)
        elif twin:
            problems.append(_two_candidates(name.path, *twin, case=owner.case))
        elif need_label:
            problems.append(_leftover(name.path, owner.case, description))
        else:
            owner.warnings.append(f"'{name.path.name}' belongs to no modality and is not used")
    cases = []
    for one in sorted(groups, key=lambda one: one.case):
        wrong = _wrong_files(one, need_label=need_label)
        problems += wrong
        if not wrong:
            cases.append(_raw_case(one, description))
    bad = {problem.case for problem in problems}
    return Findings(cases=[case for case in cases if case.case not in bad], problems=problems, left=left)


def require_clean(findings: Findings, root: Path) -> None:
    """Stop if anything is wrong.

    Raises:
        ProblemsError: with every problem of the folder.
    """
    if findings.problems:
        message = f"'{root}': {len(findings.problems)} problems, nothing was written"
        raise ProblemsError(message, findings.problems, hint="repair them, or leave those cases out: --on-problem skip")


def _grouped(names: Iterable[Name]) -> list[_Group]:
    groups: dict[tuple[Path | None, str], _Group] = {}
    for name in names:
        one = groups.setdefault((name.folder, name.case), _Group(name.case, name.folder))
        one.files[str(name.role)].append(name.path)
    return list(groups.values())


def _adopt_lone_labels(groups: list[_Group]) -> None:
    """Give a label of another name to the case its folder is named after, if that lacks one (as in BraTS 2020)."""
    for one in [one for one in groups if set(one.files) == {LABEL}]:
        beside = [other for other in groups if other.folder == one.folder and other is not one]
        named_so = one.folder is not None and len(beside) == 1 and beside[0].case == one.folder.name
        if named_so and LABEL not in beside[0].files:
            (owner,) = beside
            owner.files[LABEL] = one.files[LABEL]
            owner.warnings.append(
                f"'{one.files[LABEL][0].name}' is taken for its label: there is no other in the folder"
            )
            groups.remove(one)


def _raw_case(one: _Group, description: Description) -> RawCase:
    files = {role: paths[0] for role, paths in one.files.items()}
    label = files.pop(LABEL, None)
    case = RawCase(
        case=one.case,
        subject=description.subject_of(one.case),
        images=in_data_set_order(files, description),
        label=label,
        warnings=tuple(one.warnings),
    )
    if CHANNELS not in files:
        return case
    images = dict.fromkeys(description.modalities, files[CHANNELS])
    return replace(case, images=images, channels=description.modalities)


def in_data_set_order(files: dict[str, Path], description: Description) -> dict[str, Path]:
    """Return the files of modalities in the order of the data set."""
    return {role: files[role] for role in description.modalities if role in files}


def _owner(name: Name, groups: list[_Group]) -> _Group | None:
    """Return the case a file without modality lies beside; its name tells which, where a folder holds several."""
    beside = [one for one in groups if one.folder == name.folder and (name.folder or one.case == name.case)]
    if len(beside) > 1:
        beside = sorted((one for one in beside if name.path.name.startswith(one.case)), key=lambda one: -len(one.case))
    return beside[0] if beside else None


def _twin(name: Name, owner: _Group) -> tuple[str, Path] | None:
    """Return role and file of which this one seems to be a second version, as ``x_flair_Eq_1`` is of ``x_flair``."""
    candidates = [(role, path) for role, paths in owner.files.items() for path in paths]
    longest_first = sorted(candidates, key=lambda one: -len(one[1].name))
    return next(((role, path) for role, path in longest_first if name.path.name.startswith(stem(path))), None)


def _two_candidates(path: Path, role: str, twin: Path, *, case: str) -> Problem:
    text = f"two files could be {role}: '{twin.name}' ({describe_grid(twin)}) and '{path.name}' ({describe_grid(path)})"
    return Problem(case=case, file=f"{twin}, {path}", problem=f"{text}; keep one of them")


def _leftover(path: Path, case: str, description: Description) -> Problem:
    endings = ", ".join(ending for words in description.files.values() for ending in words)
    text = f"belongs to no modality; names should end in one of: {endings}"
    return Problem(case=case, file=str(path), problem=text)


def _repeated_ids(groups: list[_Group]) -> list[Problem]:
    """Ids that differ in upper and lower case only, or are found in two folders."""
    places: dict[str, list[_Group]] = defaultdict(list)
    for one in groups:
        places[one.case.casefold()].append(one)
    return [
        Problem(
            case=one.case,
            file=str(one.folder or next(iter(one.files.values()))[0].parent),
            problem="the same id (but for upper and lower case) is found twice",
        )
        for same in places.values()
        if len(same) > 1
        for one in sorted(same, key=lambda one: (str(one.folder), one.case))
    ]


def _wrong_files(one: _Group, *, need_label: bool) -> list[Problem]:
    problems = [
        Problem(
            case=one.case,
            file=", ".join(map(str, paths)),
            problem=f"{len(paths)} files for {role}, expected one: "
            + ", ".join(f"'{path.name}' ({describe_grid(path)})" for path in paths),
        )
        for role, paths in one.files.items()
        if len(paths) > 1 and (need_label or role != LABEL)
    ]
    folder = str(one.folder or next(iter(one.files.values()))[0].parent)
    if set(one.files) == {LABEL}:
        problems.append(Problem(case=one.case, file=folder, problem="has a label but no image"))
    elif need_label and LABEL not in one.files:
        problems.append(Problem(case=one.case, file=folder, problem="has no label"))
    if CHANNELS in one.files and set(one.files) - {CHANNELS, LABEL}:
        text = "has a file with all modalities and files of single ones"
        problems.append(Problem(case=one.case, file=folder, problem=text))
    return problems


def _nothing_found(root: Path, description: Description, suffixes: tuple[str, ...]) -> DataError:
    endings = ", ".join(f"*{words[0]}{suffixes[0]} ({role})" for role, words in description.files.items())
    there = sorted(path.name for path in root.iterdir())[:5]
    message = f"'{root}' holds no case of '{description.name}': looked for {endings}"
    found = f"it holds {', '.join(there)} ..." if there else "it is empty"
    return DataError(message, hint=f"{found}; is this the right folder, and the right --dataset?")
