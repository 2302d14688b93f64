"""Finding cases in a raw folder by the endings of file names.

``x_flair.nii.gz``, ``x-t2f.nii.gz`` or ``flair.nii.gz`` are the flair file of case ``x`` (or of the folder, if
nothing stands before the ending). Each file belongs to one modality at most; what cannot be told apart is a problem.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.data.description import LABEL, Description
from hga_cli.imaging.volume import is_volume, stem

SEPARATORS = "_- ."


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """The files of one case. Modalities that are not in ``images`` are absent."""

    case: str
    subject: str
    images: dict[str, Path]
    label: Path | None
    channels: tuple[str, ...] = ()
    """The modality of each volume, where all images are one 4D file."""

    def combination(self, modalities: Combination) -> Combination:
        """Return which modalities the case has, in the order of the data set."""
        return in_order(self.images, modalities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a raw folder holds: usable cases by id, and what is wrong."""

    cases: list[RawCase]
    problems: list[Problem]


def discover(root: Path, description: Description, *, need_label: bool) -> Findings:
    """Look through ``root`` and everything below it.

    Raises:
        DataError: no such folder, or not one case in it; says what was looked for and what is there.
    """
    if not root.is_dir():
        message = f"no folder '{root}'"
        raise DataError(message, hint="name the folder that holds the case folders")
    volumes = sorted(path for path in root.rglob("*") if is_volume(path) and path.is_file())
    findings = group(volumes, description, need_label=need_label)
    if not findings.cases and not findings.problems:
        raise _nothing_found(root, description)
    return findings


def group(volumes: Iterable[Path], description: Description, *, need_label: bool) -> Findings:
    """Sort files into cases by their names."""
    found: dict[tuple[Path, str], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    leftover: list[Path] = []
    for path in volumes:
        match = role_of(path, description)
        if match is None:
            leftover.append(path)
        else:
            role, before = match
            found[path.parent, before or _folder_name(path.parent)][role].append(path)
    problems = [_leftover(path, case, description) for path in leftover for case in _cases_beside(path, found)]
    problems += _repeated_ids(found)
    cases = []
    for (_, case), roles in sorted(found.items(), key=lambda item: item[0][1]):
        wrong = _wrong_roles(case, roles, need_label=need_label)
        problems += wrong
        if not wrong:
            files = {role: paths[0] for role, paths in roles.items()}
            label = files.pop(LABEL, None)
            cases.append(RawCase(case=case, subject=description.subject_of(case), images=files, label=label))
    bad = {problem.case for problem in problems}
    return Findings(cases=[case for case in cases if case.case not in bad], problems=problems)


def role_of(path: Path, description: Description) -> tuple[str, str] | None:
    """Return (modality or ``label``, what stands before the ending) of a file name, or None."""
    name = stem(path)
    for role, endings in description.files.items():
        for ending in endings:
            before = name[: len(name) - len(ending)]
            if name.lower().endswith(ending.lower()) and (not before or before[-1] in SEPARATORS):
                return role, before.rstrip(SEPARATORS)
    return None


def require_clean(findings: Findings, root: Path) -> None:
    """Stop if anything is wrong.

    Raises:
        ProblemsError: with every problem of the folder.
    """
    if findings.problems:
        message = f"'{root}': {len(findings.problems)} problems, nothing was written"
        raise ProblemsError(message, findings.problems, hint="repair them, or leave those cases out: --on-problem skip")


def _folder_name(folder: Path) -> str:
    """Return the name of a folder, also where it was given as ``.`` or ``..``."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _cases_beside(path: Path, found: Iterable[tuple[Path, str]]) -> list[str]:
    """Return the case a file without modality lies beside; its name tells which, where a folder holds several."""
    beside = [case for folder, case in found if folder == path.parent]
    return beside if len(beside) == 1 else [case for case in beside if path.name.startswith(case)]


def _leftover(path: Path, case: str, description: Description) -> Problem:
    endings = ", ".join(ending for words in description.files.values() for ending in words)
    text = f"belongs to no modality; names should end in one of: {endings}"
    return Problem(case=case, file=str(path), problem=text)


def _repeated_ids(found: Iterable[tuple[Path, str]]) -> list[Problem]:
    folders: dict[str, set[tuple[Path, str]]] = defaultdict(set)
    for folder, case in found:
        folders[case.casefold()].add((folder, case))
    return [
        Problem(case=case, file=str(folder), problem="the same id (but for upper and lower case) is found twice")
        for places in folders.values()
        if len(places) > 1
        for folder, case in sorted(places)
    ]


def _wrong_roles(case: str, roles: dict[str, list[Path]], *, need_label: bool) -> list[Problem]:
    problems = [
        Problem(case=case, file=", ".join(map(str, paths)), problem=f"{len(paths)} files for {role}, expected one")
        for role, paths in roles.items()
        if len(paths) > 1
    ]
    folder = str(next(iter(roles.values()))[0].parent)
    if set(roles) == {LABEL}:
        problems.append(Problem(case=case, file=folder, problem="has a label but no image"))
    elif need_label and LABEL not in roles:
        problems.append(Problem(case=case, file=folder, problem="has no label"))
    return problems


def _nothing_found(root: Path, description: Description) -> DataError:
    endings = ", ".join(f"*{words[0]}.nii.gz ({role})" for role, words in description.files.items())
    there = sorted(path.name for path in root.iterdir())[:5]
    message = f"'{root}' holds no case of '{description.name}': looked for {endings}"
    found = f"it holds {', '.join(there)} ..." if there else "it is empty"
    return DataError(message, hint=f"{found}; is this the right folder, and the right --dataset?")
