"""What the name and the place of a file say: which modality it is, or the label, and of which case."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hga_cli.data.raw.case_ids import composed
from hga_cli.data.raw.description import SEPARATORS as SEPARATORS
from hga_cli.data.raw.description import Description
from hga_cli.imaging.volume import PATIENT_SUFFIXES, is_volume, stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a path says."""

    path: Path
    role: str | None
    """A modality, ``label``, ``channels``, or None: nothing that the description knows."""
    case: str
    """The case id; where the role is None, the best guess."""
    folder: Path | None
    """Where the other files of the case lie; None: anywhere."""
    claimed: tuple[str, ...] = ()
    """The roles of the patterns that match the file, where they are several and none is narrower; then role is None."""


def volumes_below(root: Path, suffixes: Sequence[str], above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files with these suffixes, sorted; links to folders are followed, hidden things are not."""
    here = root.resolve()
    if here in above:
        return
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if not path.name.startswith("."):
                yield from volumes_below(path, suffixes, (*above, here))
        elif is_volume(path, suffixes):
            yield path


def read_name(path: Path, description: Description, suffixes: Sequence[str]) -> Name:
    """Return what the path of a file says.

    Some archives unpack ``x_flair.nii`` as a folder with one file in it: then the name of the folder counts.
    """
    named = path.parent if is_volume(path.parent, suffixes) else path
    roles, before = _roles(named, description, suffixes)
    role, claimed = (None, roles) if len(roles) > 1 else (next(iter(roles), None), ())
    found = description.layout.case and re.search(description.layout.case, _plain_path(named, suffixes))
    if found and any(found.groups()):
        case = "_".join(filter(None, found.groups()))
        return Name(path=path, role=role, case=case, folder=None, claimed=claimed)
    case = before or _folder_name(named.parent)
    return Name(path=path, role=role, case=case, folder=named.parent, claimed=claimed)


def role_of(path: Path, description: Description) -> str | None:
    """Return which modality (or ``label``, ``channels``) a file of a patient is, or None."""
    return read_name(path, description, PATIENT_SUFFIXES).role


def is_ignored(path: Path, description: Description) -> bool:
    """Tell whether preprocessing passes over this file."""
    plain = _plain_path(path, description.layout.suffixes)
    return any(_ends_like(plain, pattern) for pattern in description.layout.ignore)


def _roles(path: Path, description: Description, suffixes: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the roles a file could have, and what stands before the ending of its name (all of it without one role).

    Patterns with a folder come before endings. Of two entries the narrower counts: ``x_post_t1`` is ``post_t1``, not
    ``t1``, where both are endings. Where neither is, nobody knows: both roles are returned.
    """
    name, plain = composed(stem(path, suffixes)), _plain_path(path, suffixes)
    entries = [(role, entry) for role, entries in description.files.items() for entry in entries]
    found = [(role, entry) for role, entry in entries if _matches(name, plain, entry)]
    if any("/" in entry for _, entry in found):
        found = [(role, entry) for role, entry in found if _is_pattern(entry)]
    narrow = [(role, entry) for role, entry in found if not any(_is_narrower(other, entry) for _, other in found)]
    roles = tuple(dict.fromkeys(role for role, _ in narrow))
    if len(roles) != 1:
        return roles, name
    entry = max((entry for _, entry in narrow), key=len)
    return roles, "" if _is_pattern(entry) else name[: len(name) - len(entry)].rstrip(SEPARATORS)


def _is_pattern(entry: str) -> bool:
    """Tell whether an entry of ``[files]`` is about a path, not the ending of a name."""
    return "/" in entry or "*" in entry


def _matches(name: str, plain: str, entry: str) -> bool:
    if _is_pattern(entry):
        return _ends_like(plain, entry)
    before = name[: len(name) - len(entry)]
    return name.lower().endswith(entry.lower()) and (not before or before[-1] in SEPARATORS)


def _is_narrower(one: str, other: str) -> bool:
    """Tell whether all that one entry matches is matched by the other too, which matches more."""
    if not _is_pattern(one) and not _is_pattern(other):
        return len(one) > len(other)
    return _covers(other, one) and not _covers(one, other)


def _covers(wide: str, narrow: str) -> bool:
    """Tell whether one pattern matches another as it is written; then its stars reach further."""
    wide, narrow = (entry if _is_pattern(entry) else f"*{entry}" for entry in (wide, narrow))
    return not {"?", "["} & set(wide) and _ends_like(narrow, wide)


def _plain_path(path: Path, suffixes: Sequence[str]) -> str:
    """Return the absolute path with ``/`` between its parts and without suffix. Links are not resolved."""
    whole = path.absolute()
    return composed((whole.parent / stem(whole, suffixes)).as_posix())


def _ends_like(path: str, pattern: str) -> bool:
    """Tell whether the last parts of a path are like the pattern, part by part and without case."""
    wanted = pattern.casefold().split("/")
    parts = path.casefold().split("/")[-len(wanted) :]
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _folder_name(folder: Path) -> str:
    """Return the name of a folder, also where it was given as ``.`` or ``..``."""
    return composed(folder.name if folder.name not in ("", "..") else folder.resolve().name)
