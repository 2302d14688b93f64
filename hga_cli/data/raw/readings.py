"""Which reading of the names of files makes whole cases of them.

Several are possible: what is the case, which of two masks is the label, which of two versions of an image counts. Each
is written as a description and tried on the files; the one that uses most of them is the best.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain, combinations, count, product
from pathlib import Path
from typing import Any

from hga_cli.data.raw.clues import IMAGE, IMAGE_WORDS, LABEL, LABEL_WORDS, OTHER, Clue, name_of
from hga_cli.data.raw.description import CHANNELS, Description, parse_description
from hga_cli.data.raw.naming import is_ignored, read_name
from hga_cli.imaging.volume import SUFFIXES, stem

FEW_FOLDERS = 5
"""Where images lie in folders of so few names (``raw``, ``preprocessed``), those of one may be meant."""
UNTOUCHED = {"raw", "orig", "original", "native"}
"""Folders that are taken last."""
GROUP = "/([^/]+)"
"""A folder that is part of a case id."""
PLACEHOLDER = "seg"
"""The ending of labels where there are none."""
Tree = dict[str, Any]


def classes_of(values: Sequence[int]) -> Tree:
    """Return labels and regions of a description: one per value, and ``all`` where there are several."""
    labels = [{"name": f"label-{value}", "values": [value]} for value in values]
    names = [label["name"] for label in labels]
    regions = [{"name": name, "labels": [name]} for name in names]
    return {"labels": labels, "regions": [*regions, *([{"name": "all", "labels": names}] if len(names) > 1 else [])]}


def best_reading(clues: Sequence[Clue], raw: Path) -> Tree:
    """Try every reading and return the one that makes most files whole cases, as a description of one label."""
    usable = [clue for clue in clues if clue.kind != OTHER]
    best: tuple[int, Tree] | None = None
    for images, labels in product(_image_readings(clues), _label_readings(clues)):
        files = _files(images, labels)
        ignored = _ignored(clues, [*images, *labels])
        for case in (None, _by_name(usable), *_by_folders(usable, raw)):
            layout = {key: value for key, value in (("case", case), ("ignore", ignored)) if value}
            tree = {"name": name_of(raw.resolve().name, "data"), **files, "layout": layout, **classes_of([1])}
            score = _whole_files([clue.path for clue in clues], parse_description(tree, "draft"))
            if best is None or score > best[0]:
                best = score, tree
    assert best is not None
    return best[1]


def _image_readings(clues: Sequence[Clue]) -> Iterator[list[Clue]]:
    """Yield all images; one ending for each name (``flair``, ``flair_preprocessed``); those of one folder each."""
    images = [clue for clue in clues if clue.kind == IMAGE]
    yield images
    endings: dict[str, Counter[str]] = defaultdict(Counter)
    for clue in images:
        endings[clue.name][clue.pattern.lower()] += 1
    if any(len(found) > 1 for found in endings.values()):
        kept = {name: max(found, key=lambda ending: (found[ending], len(ending))) for name, found in endings.items()}
        yield [clue for clue in images if clue.pattern.lower() == kept[clue.name]]
    folders = {clue.path.parent.name for clue in images}
    if 1 < len(folders) <= FEW_FOLDERS:
        for folder in sorted(folders, key=lambda name: (name.lower() in UNTOUCHED, name)):
            yield [clue for clue in images if clue.path.parent.name == folder]


def _label_readings(clues: Sequence[Clue]) -> Iterator[list[Clue]]:
    """Yield the likeliest kind of label alone; then with others; then each other kind alone."""
    kinds: dict[str, list[Clue]] = defaultdict(list)
    for clue in clues:
        if clue.kind == LABEL:
            kinds[clue.name].append(clue)
    ranked = sorted(kinds, key=lambda kind: (-len(kinds[kind]), _rank(kind, LABEL_WORDS), kind))
    for kind in ranked or [""]:
        yield kinds.get(kind, [])
    if len(ranked) > 1:
        yield [clue for kind in ranked for clue in kinds[kind]]


def _rank(name: str, words: Sequence[str]) -> int:
    """Return the place of the first usual word in a name; unusual names come last."""
    return min((words.index(part) for part in (name, *name.split("-")) if part in words), default=len(words))


def _files(images: Sequence[Clue], labels: Sequence[Clue]) -> Tree:
    """Return ``modalities`` and ``files``; endings that end like another one (``post_t1``, ``t1``) are asked first."""
    endings: dict[str, list[str]] = defaultdict(list)
    for clue in images:
        endings[clue.name].append(clue.pattern)
    modalities = sorted(endings, key=lambda name: (_rank(name, IMAGE_WORDS), len(name), name))
    names = _plain_names(modalities)
    files = {names[name]: _spellings(endings[name]) for name in modalities}
    every = [pattern.lower() for patterns in files.values() for pattern in patterns]
    shadowed = [role for role, patterns in files.items() if any(_ends_like_another(one, every) for one in patterns)]
    first_asked = sorted(shadowed, key=lambda role: -max(map(len, files[role])))
    label = {"label": _spellings([clue.pattern for clue in labels]) or [PLACEHOLDER]}
    ordered = {role: files[role] for role in [*first_asked, *(role for role in files if role not in shadowed)]}
    by_folder = any(clue.is_glob for clue in labels)
    return {"modalities": list(names.values()), "files": {**label, **ordered} if by_folder else {**ordered, **label}}


def _plain_names(names: Sequence[str]) -> dict[str, str]:
    """Return a name as descriptions allow it for each, all different."""
    taken = {LABEL, CHANNELS}
    plain = {}
    for name in names:
        first = name_of(name, IMAGE)
        plain[name] = next(one for one in chain([first], (f"{first[:36]}-{n}" for n in count(2))) if one not in taken)
        taken.add(plain[name])
    return plain


def _ends_like_another(pattern: str, every: Sequence[str]) -> bool:
    return any(pattern.lower() != other and pattern.lower().endswith(other) for other in every)


def _spellings(patterns: Sequence[str]) -> list[str]:
    """Return each pattern once (names are compared without case), the longest first."""
    found = {pattern.lower(): pattern for pattern in reversed(patterns)}
    return sorted(found.values(), key=lambda pattern: (-len(pattern), pattern))


def _ignored(clues: Sequence[Clue], used: Sequence[Clue]) -> list[str]:
    """Return path ends of the files that are passed over on purpose."""
    paths, patterns = {clue.path for clue in used}, {clue.pattern.lower() for clue in used}
    names = {stem(path).lower() for path in paths}
    folders = {path.parent.name for path in paths}
    found = set()
    for clue in clues:
        if clue.path in paths:
            continue
        if "/" in clue.pattern and clue.path.parent.name not in folders:
            found.add(clue.pattern)
        elif clue.pattern.lower() in patterns:
            found.add(f"{clue.path.parent.name}/*")
        else:
            text = stem(clue.path)
            follows = clue.before and text.startswith(clue.before) and text != clue.before
            name = f"*{text[len(clue.before) :]}" if follows else re.sub(r"(?<=[_\-. ])\d+$", "*", text)
            if any(fnmatchcase(one, name.lower()) for one in names):
                name = text if clue.path.parent.name in folders else f"{clue.path.parent.name}/*"
            found.add(name)
    return sorted(found)


def _by_name(clues: Sequence[Clue]) -> str | None:
    """Return a pattern for case ids that stand in the name of each file, whatever folder it lies in."""
    words = dict.fromkeys(re.escape(clue.pattern.lower()) for clue in clues if not clue.is_glob and clue.before)
    endings = "|".join(words)
    parts = [rf"([^/]+?)[_\-. ]+(?i:{endings})"] if endings else []
    for pattern in dict.fromkeys(clue.pattern for clue in clues if clue.is_glob):
        lead, star, tail = pattern.rpartition("*")
        if "/" in pattern:
            also = rf"(?:[_\-. ]+(?i:{endings}))?" if endings else ""
            parts.append(re.escape(lead).replace(r"\*", "[^/]+") + f"([^/]+?){also}")
        elif pattern.startswith("*") and len(pattern) > 1:
            parts.append(rf"([^/]+?)(?i:{re.escape(lead[1:])})[^/]*")
        elif star and not tail:
            parts.append(f"(?i:{re.escape(lead)})([^/]+)")
    return f"/(?:{'|'.join(parts)})$" if parts else None


def _by_folders(clues: Sequence[Clue], raw: Path) -> list[str]:
    """Return patterns for case ids made of up to three folders; first those whose folders differ, and all of those.

    The last two count folders from the raw folder on: files of a case may lie at several depths.
    """
    above = [clue.path.relative_to(raw).parts[:-1] for clue in clues]
    levels = range(1, min([3, *map(len, above)]) + 1)
    constant = {level for level in levels if len({parts[-level] for parts in above}) == 1}
    chosen = [one for size in range(1, len(levels) + 1) for one in combinations(levels, size)]
    chosen.sort(key=lambda one: (len(constant & set(one)), -len(one)))
    top = re.escape(raw.absolute().name)
    return [
        *(
            "".join(GROUP if level in one else "/[^/]+" for level in range(max(one), 0, -1)) + "/[^/]+$"
            for one in chosen
        ),
        *(f"/{top}{GROUP * depth}/" for depth in (2, 1) if depth <= len(levels)),
    ]


def _whole_files(paths: Sequence[Path], description: Description) -> int:
    """Return how many files are part of a case with images, with one file per role, and a label if there are any."""
    groups: dict[tuple[str, Path | None], Counter[str]] = defaultdict(Counter)
    for path in paths:
        if not is_ignored(path, description) and (name := read_name(path, description, SUFFIXES)).role:
            groups[name.case, name.folder][name.role] += 1
    need_label = any("label" in roles for roles in groups.values())
    twice = {case for case, count in Counter(case.casefold() for case, _ in groups).items() if count > 1}
    return sum(
        roles.total()
        for (case, _), roles in groups.items()
        if set(roles) - {"label"} and max(roles.values()) == 1 and ("label" in roles or not need_label)
        if case.casefold() not in twice
    )
