"""Finding cases in a raw folder by the names of files.

``x_flair.nii.gz``, ``x-t2f.nii.gz`` or ``flair.nii.gz`` are the flair file of case ``x`` (or of the folder, if
nothing stands before the ending). Each file belongs to one modality at most; what cannot be told apart is a problem.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.data.raw.case_ids import printable
from hga_cli.data.raw.description import CHANNELS, LABEL, Description
from hga_cli.data.raw.groups import (
    Group,
    claimed_twice,
    foreign_label,
    leftover,
    owner_of,
    problems_of,
    repeated_ids,
    second_version,
)
from hga_cli.data.raw.naming import Name, is_ignored, read_name, volumes_below
from hga_cli.imaging.volume import PATIENT_SUFFIXES

DESCRIBE = "hga info --describe RAW_DIR > mine.toml drafts a description; then --dataset mine.toml"


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
    understood: int = 0
    """How many files the description knows, those of cases with problems too."""


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
        raise _nothing_found(root, description, suffixes, need_label=need_label)
    return findings


def group(volumes: Iterable[Path], description: Description, *, need_label: bool) -> Findings:
    """Sort files into cases by their names."""
    suffixes = description.layout.suffixes if need_label else PATIENT_SUFFIXES
    names = [read_name(path, description, suffixes) for path in volumes]
    groups = _grouped(name for name in names if name.role is not None)
    problems = [*_adopt_lone_labels(groups), *repeated_ids(groups)]
    left = []
    for name in (name for name in names if name.role is None):
        owner = owner_of(name, groups)
        if owner is None and not name.claimed:
            left.append(name.path)
        elif problem := _without_role(name, owner, description, need_label=need_label):
            problems.append(problem)
    cases = []
    for one in sorted(groups, key=lambda one: one.case):
        wrong = problems_of(one, need_label=need_label)
        problems += wrong
        if not wrong:
            cases.append(_raw_case(one, description))
    bad = {problem.case for problem in problems}
    cases = [case for case in cases if case.case not in bad]
    understood = sum(name.role is not None for name in names)
    return Findings(cases=cases, problems=problems, left=left, understood=understood)


def require_clean(findings: Findings, root: Path) -> None:
    """Stop if anything is wrong.

    Raises:
        ProblemsError: with every problem of the folder.
    """
    if findings.problems:
        message = f"'{root}': {len(findings.problems)} problems, nothing was written"
        hint = "repair them, or leave those cases out: --on-problem skip"
        if not findings.cases:
            hint = f"no case is without any: repair them, or is it another data set? {DESCRIBE}"
        raise ProblemsError(message, findings.problems, hint=hint)


def _grouped(names: Iterable[Name]) -> list[Group]:
    groups: dict[tuple[Path | None, str], Group] = {}
    for name in names:
        one = groups.setdefault((name.folder, name.case), Group(name.case, name.folder))
        one.files[str(name.role)].append(name.path)
    return list(groups.values())


def _adopt_lone_labels(groups: list[Group]) -> list[Problem]:
    """Give a label of another name to the case its folder is named after, if that lacks one (as in BraTS 2020).

    Returns:
        Labels so adopted that are called like another case of the data set.
    """
    cases = {one.case.casefold() for one in groups if set(one.files) != {LABEL}}
    problems = []
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
            if one.case.casefold() in cases:
                problems.append(foreign_label(owner, one.case))
    return problems


def _without_role(name: Name, owner: Group | None, description: Description, *, need_label: bool) -> Problem | None:
    """Return the problem of a file without role; None where a warning of its case is enough."""
    if name.claimed or owner is None:
        return claimed_twice(name, owner, description)
    if twice := second_version(name.path, owner):
        return twice
    if need_label:
        return leftover(name.path, owner, description)
    owner.warnings.append(f"'{printable(name.path.name)}' belongs to no modality and is not used")
    return None


def _raw_case(one: Group, description: Description) -> RawCase:
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


def _nothing_found(root: Path, description: Description, suffixes: tuple[str, ...], *, need_label: bool) -> DataError:
    endings = ", ".join(f"*{words[0]}{suffixes[0]} ({role})" for role, words in description.files.items())
    there = sorted(path.name for path in root.iterdir())[:5]
    message = f"'{root}' holds no case of '{description.name}': looked for {endings}"
    found = f"it holds {', '.join(there)} ..." if there else "it is empty"
    other = "and the right --dataset?" if need_label else f"else --image {description.modalities[0]}=FILE for each file"
    return DataError(message, hint=f"{found}; is this the right folder, {other}")
