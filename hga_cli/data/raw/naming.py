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
    role, before = _role(named, description, suffixes)
    found = description.layout.case and re.search(description.layout.case, _plain_path(named, suffixes))
    if found and any(found.groups()):
        return Name(path=path, role=role, case="_".join(filter(None, found.groups())), folder=None)
    return Name(path=path, role=role, case=before or _folder_name(named.parent), folder=named.parent)


def role_of(path: Path, description: Description) -> str | None:
    """Return which modality (or ``label``, ``channels``) a file of a patient is, or None."""
    return read_name(path, description, PATIENT_SUFFIXES).role


def is_ignored(path: Path, description: Description) -> bool:
    """Tell whether preprocessing passes over this file."""
    plain = _plain_path(path, description.layout.suffixes)
    return any(_ends_like(plain, pattern) for pattern in description.layout.ignore)


def _role(path: Path, description: Description, suffixes: Sequence[str]) -> tuple[str | None, str]:
    """Return the role and what stands before the ending of the name (all of it, where there is no role).

    The longest ending counts: ``x_post_t1`` is ``post_t1``, not ``t1``, where both are endings.
    """
    name, plain = composed(stem(path, suffixes)), _plain_path(path, suffixes)
    pairs = [(role, pattern) for role, patterns in description.files.items() for pattern in patterns]
    for role, pattern in sorted(pairs, key=lambda pair: -len(pair[1])):
        if "/" in pattern or "*" in pattern:
            if _ends_like(plain, pattern):
                return role, ""
            continue
        before = name[: len(name) - len(pattern)]
        if name.lower().endswith(pattern.lower()) and (not before or before[-1] in SEPARATORS):
            return role, before.rstrip(SEPARATORS)
    return None, name


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
