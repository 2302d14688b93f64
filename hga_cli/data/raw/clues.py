"""What the names of files in an unknown folder give away: which is an image of what, which is a label, of which case.

The word nearest to the end of a name that is known (``flair``, ``seg``) says what a file is; what stands before it is
the case, what follows belongs to the ending (``FLAIR_preprocessed``). A folder may say it instead (``labels/x``).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hga_cli.data.raw.description import SEPARATORS
from hga_cli.imaging.volume import stem

IMAGE, LABEL, OTHER = "image", "label", "other"
IMAGE_WORDS = (
    *("flair", "t2f", "t1ce", "t1c", "t1gd", "t1gad", "t1post", "gado", "gad", "t1", "t1n", "t1w", "t1pre", "mprage"),
    *("t2", "t2w", "dp", "pd", "pdw", "t2star", "swi", "dwi", "adc", "dir", "c0", "bssfp", "de", "lge", "ct", "pet"),
)
"""Usual names of modalities, in the order in which they are usually listed."""
SPELLINGS = (
    {"flair", "t2f"},
    {"t1ce", "t1c", "t1gd", "t1gad", "t1post", "t1-gd", "t1_gd", "gado", "gad"},
    {"t1", "t1n", "t1w", "t1pre"},
    {"t2", "t2w"},
    {"dp", "pd", "pdw"},
)
"""Names that mean the same, in data from several places."""
LABEL_WORDS = (
    *("seg", "segm", "segmentation", "dseg", "consensus", "gt", "gd", "truth", "manual", "lesion", "lesions"),
    *("label", "labels", "annotation", "wmh", "roi", "mask", "masks", "msk"),
)
"""Usual names of label maps, perhaps with a number (``mask1``); the earlier are preferred where a case has several."""
TUMOUR_VOLUMES = "gtv"
"""So begin the names of label maps in radiotherapy (``gtvt``, ``gtvn``)."""
LABEL_FOLDERS = {*LABEL_WORDS, "labelstr", "segmentations", "annotations", "groundtruth", "ground_truth"}
IMAGE_FOLDERS = {"images", "image", "imagestr", "img", "imgs", "volumes", "scans"}
CONTRAST = {"gd", "gad", "gado", "ce", "c", "post", "contrast"}
"""Words that make another modality of the ``t1`` before them."""
NOT_SCORED = {"brain", "skull", "head", "body", "bet"}
"""A mask of these is no label."""
TOKEN = re.compile(r"[^_\-. ]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """What the name of one file gives away."""

    path: Path
    kind: str
    """``image``, ``label`` or ``other``."""
    name: str
    """What the modality, or the kind of label, could be called."""
    pattern: str
    """An entry of ``[files]`` that matches the file."""
    before: str
    """What stands before the ending: the case, if it is not empty."""

    @property
    def is_glob(self) -> bool:
        """Whether the pattern is about the whole end of the path."""
        return "/" in self.pattern or "*" in self.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """The known word of a name; ``start`` and ``stop`` are its place in ``text``."""

    path: Path
    text: str
    start: int
    stop: int
    kind: str

    @property
    def before(self) -> str:
        return self.text[: self.start].rstrip(SEPARATORS)

    @property
    def tail(self) -> str:
        return self.text[self.stop :].strip(SEPARATORS)

    @property
    def word(self) -> str:
        return self.text[self.start : self.stop].lower()


def read_clues(paths: Sequence[Path], root: Path) -> list[Clue]:
    """Return one clue per file below ``root``."""
    words = {path: word for path in paths if (word := _word(path))}
    images = [word for word in words.values() if word.kind == IMAGE]
    references: dict[Path, set[str]] = defaultdict(set)
    for word in images:
        references[word.path.parent].add(word.before)
    varying, telling = _tails_are_cases(list(words.values())), _telling_tails(images)
    clues = []
    for path in paths:
        word = words.get(path)
        folder = None if word and word.kind != IMAGE else _labels_above(path, root)
        if folder:
            before = (word and word.before) or stem(path)
            clues.append(Clue(path=path, kind=LABEL, name=folder[0], pattern=folder[1], before=before))
        elif word:
            clues.append(_from_word(word, references, varying=varying, telling=telling))
        else:
            clues.append(_without_word(path, root, references))
    return _only_repeated(clues) if images else _by_last_token(clues)


def name_of(text: str, kind: str) -> str:
    """Return a name of letters, digits, ``-`` and ``_`` that starts with a letter (else with ``kind``)."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:40]
    return plain if re.match(r"[A-Za-z]", plain) else f"{kind}-{plain}".strip("-")[:40]


def _word(path: Path) -> _Word | None:
    text = stem(path)
    tokens = list(TOKEN.finditer(text))
    for index in reversed(range(len(tokens))):
        token, start = tokens[index].group().lower(), tokens[index].start()
        if token in CONTRAST and index and tokens[index - 1].group().lower() in ("t1", "t1w"):
            kind, start = IMAGE, tokens[index - 1].start()
        elif token in IMAGE_WORDS:
            kind = IMAGE
        elif _names_label(token):
            kind = LABEL
        elif token == "brainmask":
            kind = OTHER
        else:
            continue
        return _Word(path=path, text=text, start=start, stop=tokens[index].end(), kind=kind)
    return None


def _names_label(token: str) -> bool:
    """Tell whether a word in small letters is one for label maps."""
    return token.rstrip("0123456789") in LABEL_WORDS or token.startswith(TUMOUR_VOLUMES)


def _names_modality(folder: str) -> bool:
    """Tell whether the whole name of a folder is that of a modality: ``FLAIR``, ``T1_GD``."""
    tokens = TOKEN.findall(folder.lower())
    return bool(tokens) and tokens[0] in IMAGE_WORDS and set(tokens) <= {*IMAGE_WORDS, *CONTRAST}


def _tails_are_cases(words: Sequence[_Word]) -> bool:
    """Tell whether what follows the words differs from case to case, as in ``FLAIR_001``."""
    tails = {word.tail for word in words if word.tail}
    first = not any(word.before for word in words)
    same: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for word in words:
        if word.tail:
            same[word.path.parent, word.word].add(word.tail)
    with_digits = any(re.search(r"\d", tail) for tail in tails)
    return (with_digits and (first or len(tails) > 2)) or (first and any(len(found) > 1 for found in same.values()))


def _telling_tails(images: Sequence[_Word]) -> set[str]:
    """Return the tails that only one of several words has: they make another modality of it, as ``T1_late``."""
    owners: dict[str, set[str]] = defaultdict(set)
    for word in images:
        owners[word.tail].add(word.word)
    several = len({word.word for word in images}) > 1
    return {tail for tail, found in owners.items() if tail and several and len(found) == 1}


def _labels_above(path: Path, root: Path) -> tuple[str, str] | None:
    """Return name and pattern of the nearest folder that is called like labels."""
    parts = path.relative_to(root).parts[:-1]
    for up, part in enumerate(reversed(parts), start=1):
        if part.lower() in LABEL_FOLDERS:
            return part.lower(), part + "/*" * up
    return None


def _from_word(word: _Word, references: dict[Path, set[str]], *, varying: bool, telling: set[str]) -> Clue:
    known = references[word.path.parent] or {one for found in references.values() for one in found}
    case = _case_in(word.before, known, of_image=word.kind == IMAGE)
    extra = word.text[len(case) : word.start].strip(SEPARATORS)
    start = word.text.index(extra, len(case)) if extra else word.start
    pattern = word.text[start:]
    if varying and word.tail:
        lead = f"*{word.text[start - 1]}" if start else ""
        pattern = f"{lead}{word.text[start : word.stop]}{word.text[word.stop]}*"
    kind = OTHER if word.kind == LABEL and NOT_SCORED & set(TOKEN.findall(extra.lower())) else word.kind
    tail = word.tail if word.tail in telling and not varying else ""
    name = "-".join(part for part in (extra, word.word, tail) if part)
    return Clue(path=word.path, kind=kind, name=name.lower(), pattern=pattern, before=case)


def _case_in(before: str, known: set[str], *, of_image: bool) -> str:
    """Return the case in what stands before a word: ``sub-01`` in ``sub-01_ce-gad``, where that is a case itself."""
    if before in known and not of_image:
        return before
    shorter = [one for one in known if before != one and before.startswith(one)]
    for case in sorted(shorter, key=len, reverse=True):
        rest = before[len(case) :]
        extra = rest.strip(SEPARATORS).lower()
        if case and rest[0] not in SEPARATORS:
            continue
        if not re.search(r"\d", extra) or extra in IMAGE_WORDS:
            return case
    return before


def _without_word(path: Path, root: Path, references: dict[Path, set[str]]) -> Clue:
    """Judge a file without a known word by its folder, or by what its name adds to the case of its neighbours."""
    text = stem(path)
    folder = path.parent.name.lower() if path.parent != root else ""
    if _names_modality(folder):
        return Clue(path=path, kind=IMAGE, name=folder, pattern=f"{path.parent.name}/*", before=text)
    known = references.get(path.parent, set())
    for case in sorted(known, key=len, reverse=True):
        rest = text[len(case) :]
        if text.startswith(case) and rest and (not case or rest[0] in SEPARATORS):
            ending = rest.strip(SEPARATORS)
            return Clue(path=path, kind=IMAGE, name=ending.lower(), pattern=ending, before=case)
    return Clue(path=path, kind=OTHER, name=text.lower(), pattern=text, before="")


def _only_repeated(clues: list[Clue]) -> list[Clue]:
    """Take an unknown word for a modality only where several cases have it, or where there is but one case."""
    counts = Counter(clue.name for clue in clues if clue.kind == IMAGE)
    single = max(counts.values(), default=0) == 1
    return [
        Clue(path=clue.path, kind=OTHER, name=clue.name, pattern=clue.pattern, before=clue.before)
        if clue.kind == IMAGE and not _known(clue) and counts[clue.name] == 1 and not single
        else clue
        for clue in clues
    ]


def _known(clue: Clue) -> bool:
    return clue.is_glob or bool(set(TOKEN.findall(clue.name)) & set(IMAGE_WORDS))


def _by_last_token(clues: list[Clue]) -> list[Clue]:
    """Where no word is known: the last part of a name is the modality if it recurs, else all files are one modality."""
    if any(clue.kind == IMAGE for clue in clues):
        return clues
    rest = [clue for clue in clues if clue.kind == OTHER and clue.name == stem(clue.path).lower()]
    last = Counter(_split_last(stem(clue.path))[1] for clue in rest)
    labelled = {clue.before for clue in clues if clue.kind == LABEL}
    recurs = min(last.values(), default=0) > 1 and not labelled & {stem(clue.path) for clue in rest}
    return [clue for clue in clues if clue not in rest] + [_by_position(clue.path, recurs=recurs) for clue in rest]


def _split_last(text: str) -> tuple[str, str]:
    """Return (what stands before, the last part) of a name."""
    last = re.split(r"[_\-. ]", text)[-1]
    return text[: len(text) - len(last)].rstrip(SEPARATORS), last


def _by_position(path: Path, *, recurs: bool) -> Clue:
    before, last = _split_last(stem(path))
    if recurs:
        return Clue(path=path, kind=IMAGE, name=last.lower(), pattern=last, before=before)
    pattern = f"{path.parent.name}/*" if path.parent.name.lower() in IMAGE_FOLDERS else "*"
    return Clue(path=path, kind=IMAGE, name=IMAGE, pattern=pattern, before=stem(path))
