"""The files that seem to be one case, and what is wrong with them as far as their names tell."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from hga_cli.core.errors import Problem
from hga_cli.data.raw.case_ids import RENAMING, composed, fault_of_id, printable
from hga_cli.data.raw.clues import IMAGE_WORDS, TOKEN
from hga_cli.data.raw.description import CHANNELS, LABEL, Description
from hga_cli.data.raw.naming import Name
from hga_cli.imaging.volume import describe_grid, stem

VERSION = re.compile(r"[a-z]|.*\d", re.IGNORECASE)
"""What converters add to the name of a second version: ``x_flaira``, ``x_flair2``, ``x_flair_Eq_1``."""
NUMBER, NUMBERED = re.compile(r"[0-9]{4}"), re.compile(r"_[0-9]{4}$")
"""A channel of nnU-Net, and the end of a name that says one."""


@dataclass(slots=True)
class Group:
    """The files that seem to be one case."""

    case: str
    folder: Path | None
    files: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    warnings: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """The folder of its files, or of the first of them."""
        return self.folder or next(iter(self.files.values()))[0].parent


def owner_of(name: Name, groups: Sequence[Group]) -> Group | None:
    """Return the case a file without modality lies beside; its name tells which, where a folder holds several."""
    beside = [one for one in groups if one.folder == name.folder and (name.folder or one.case == name.case)]
    if len(beside) > 1:
        file = composed(name.path.name)
        beside = sorted((one for one in beside if file.startswith(one.case)), key=lambda one: -len(one.case))
    return beside[0] if beside else None


def second_version(path: Path, owner: Group) -> Problem | None:
    """Return the problem of a file that seems to be another file of the case once more, as ``x_flair_Eq_1``.

    A usual name of a modality at the end makes another image of it: ``x_t1c`` is no version of ``x_t1``. So does a
    number where channels have numbers: ``x_0002`` is no version of the label ``x``.
    """
    text = stem(path)
    is_channel = NUMBERED.search(text) and any(NUMBERED.search(stem(one)) for one in chain(*owner.files.values()))
    if is_channel or any(word in IMAGE_WORDS for word in TOKEN.findall(text.lower())[-1:]):
        return None
    known = [(role, one) for role, paths in owner.files.items() for one in paths if text.startswith(stem(one))]
    role, first = max(known, key=lambda pair: len(stem(pair[1])), default=("", path))
    if not VERSION.fullmatch(text.removeprefix(stem(first))):
        return None
    both = " and ".join(f"'{one.name}' ({describe_grid(one)})" for one in (first, path))
    return _problem(owner.case, [first, path], f"two files could be {role}: {both}; keep one of them")


def claimed_twice(name: Name, owner: Group | None, description: Description) -> Problem:
    """Return the problem of a file that patterns of several modalities match."""
    roles = " and ".join(f"{role} ({', '.join(description.files[role])})" for role in name.claimed)
    text = f"the patterns of {roles} match it, so nobody knows which it is; narrow one in [files] of the description"
    return _problem(owner.case if owner else name.case, [name.path], text)


def leftover(path: Path, owner: Group, description: Description) -> Problem:
    """Return the problem of a file that is no modality, beside the files of a case."""
    endings = ", ".join(ending for words in description.files.values() for ending in words)
    text = composed(stem(path))
    pattern = f"*{text.removeprefix(owner.case) or text}"
    numbers = _numbered_channels(description) if NUMBERED.search(text) else ""
    return _problem(
        owner.case,
        [path],
        f"belongs to no modality; names should end in one of: {endings}{numbers}; a description of your own can pass "
        f'it over: [layout] ignore = ["{pattern}"]',
    )


def _numbered_channels(description: Description) -> str:
    """Return what the numbers of channels mean, where a data set has such: they come from ``dataset.json``."""
    endings = [(one, role) for role, words in description.files.items() for one in words if NUMBER.fullmatch(one)]
    shown = ", ".join(f"_{number} is {role}" for number, role in endings)
    return f"; dataset.json numbers the channels (keys of channel_names): {shown}" if shown else ""


def foreign_label(owner: Group, case: str) -> Problem:
    """Return the problem of a case whose only label is called like another case."""
    path = owner.files[LABEL][0]
    text = (
        f"its only label is called like the case '{case}'; put it there, or rename it if it is that of '{owner.case}'"
    )
    return _problem(owner.case, [path], text)


def repeated_ids(groups: Iterable[Group]) -> list[Problem]:
    """Find ids that differ in upper and lower case only, or are found in two folders."""
    places: dict[str, list[Group]] = defaultdict(list)
    for one in groups:
        places[one.case.casefold()].append(one)
    text = "the same id (but for upper and lower case) is found twice"
    return [
        _problem(one.case, [one.place], text)
        for same in places.values()
        if len(same) > 1
        for one in sorted(same, key=lambda one: (str(one.folder), one.case))
    ]


def problems_of(one: Group, *, need_label: bool) -> list[Problem]:
    """Return what is wrong with the names and the number of the files of a case."""
    return [*_wrong_names(one), *_wrong_files(one, need_label=need_label)]


def _wrong_names(one: Group) -> list[Problem]:
    """Find names that older systems wrote, and ids that no file can be called by."""
    paths = [path for paths in one.files.values() for path in paths]
    for path in paths:
        odd = next((part for part in path.parts if printable(part) != part), None)
        if odd is not None:
            text = f"'{odd}' is no UTF-8 text; rename it ({RENAMING})"
            return [_problem(one.case, [path], text)]
    fault = fault_of_id(one.case)
    return [_problem(one.case, paths[:1], fault)] if fault else []


def _wrong_files(one: Group, *, need_label: bool) -> list[Problem]:
    problems = [
        _problem(
            one.case,
            paths,
            f"{len(paths)} files for {role}, expected one: "
            + ", ".join(f"'{path.name}' ({describe_grid(path)})" for path in paths),
        )
        for role, paths in one.files.items()
        if len(paths) > 1 and (need_label or role != LABEL)
    ]
    if set(one.files) == {LABEL}:
        problems.append(_problem(one.case, [one.place], "has a label but no image"))
    elif need_label and LABEL not in one.files:
        problems.append(_problem(one.case, [one.place], "has no label"))
    if CHANNELS in one.files and set(one.files) - {CHANNELS, LABEL}:
        text = "has a file with all modalities and files of single ones"
        problems.append(_problem(one.case, [one.place], text))
    return problems


def _problem(case: str, files: Iterable[Path], text: str) -> Problem:
    """Return a problem in letters that can be shown, whatever the files are called."""
    return Problem(case=printable(case), file=printable(", ".join(map(str, files))), problem=printable(text))
