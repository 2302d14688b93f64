"""Drafting the description of an unknown raw folder, from the names of its files and a few label files.

What was guessed is said in comments; what does not fit is said in hints. The draft can be used at once.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from hga_cli.core.errors import DataError, HgaError, ProblemsError
from hga_cli.data.raw.case_ids import RENAMING, printable
from hga_cli.data.raw.clues import IMAGE, LABEL, SPELLINGS, read_clues
from hga_cli.data.raw.dataset_json import dataset_jsons
from hga_cli.data.raw.description import Description, load_description, parse_description
from hga_cli.data.raw.discovery import Findings, RawCase, discover
from hga_cli.data.raw.naming import volumes_below
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.data.raw.readings import Tree, best_reading, classes_of
from hga_cli.imaging.volume import SUFFIXES, integers, read_volume, stem

LOOKED_INTO = 5
"""How many label files, and cases, are opened."""
MANY_VALUES = 32
"""A file with more different values is no label map."""
NO_LABELS = "no file looks like a label map: write the ending of the label files where the draft says GAP"
ANY_NUMBER = r"^(.*\d)[_-]\d{1,3}$"
SUBJECTS = (
    r"^(sub-[^_]+)_",
    r"(?i)^(.+?)[_-](?:ses|session|visit|study|exam|timepoint|time|tp|scan|v|t)[-_]?\d+$",
    r"^(.+-\d{5})-\d{3}$",
    ANY_NUMBER,
)
"""How a subject may stand in a case id; the first that gives a subject several cases, and not all of them, is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A description to be read and completed by its user."""

    text: str
    """TOML with comments."""
    hints: list[str]
    """What the user should look at."""


def draft(raw: Path) -> Draft:
    """Draft the description of a raw folder.

    Raises:
        DataError: no such folder, no NIfTI file in it, or names that are no text.
    """
    if not raw.is_dir():
        message = f"no folder '{raw}'"
        raise DataError(message, hint="name the folder that holds the case folders")
    volumes = list(volumes_below(raw, SUFFIXES))
    if not volumes:
        raise _no_volumes(raw)
    odd = [str(path) for path in volumes if printable(str(path)) != str(path)]
    if odd:
        message = f"{len(odd)} names below '{printable(str(raw))}' are no UTF-8 text, the first: '{printable(odd[0])}'"
        raise DataError(message, hint=f"rename them: {RENAMING}")
    described = dataset_jsons(raw)
    if described:
        return _from_dataset_json(described[0], volumes, raw)
    clues = read_clues(volumes, raw)
    if not any(clue.kind == IMAGE for clue in clues):
        message = f"'{raw}': no file looks like an image, only like label maps"
        raise DataError(message, hint=f"it holds {_some(volumes, raw)}; write the description by hand, from brats.toml")
    has_labels = any(clue.kind == LABEL for clue in clues)
    tree = best_reading(clues, raw)
    findings, unread = _tried(raw, tree, volumes, has_labels=has_labels)
    values, hints = _label_values(findings.cases) if has_labels else ([], [NO_LABELS])
    hints = unread + hints
    tree.update(classes_of(values or [1]))
    hints += _trial_hints(findings, parse_description(tree, "draft"), raw)
    return Draft(text=_text(tree, raw, findings, has_labels=has_labels), hints=hints)


def _tried(raw: Path, tree: Tree, volumes: list[Path], *, has_labels: bool) -> tuple[Findings, list[str]]:
    """Return what a draft reads of the folder it was made from, and what to say where that is nothing."""
    try:
        return discover(raw, parse_description(tree, "draft"), need_label=has_labels), []
    except DataError as error:
        return Findings(cases=[], problems=[], left=volumes), [f"the draft reads no case: {error.message}"]


def _no_volumes(raw: Path) -> DataError:
    kinds = Counter("".join(path.suffixes[-2:]) or path.name for path in raw.rglob("*") if path.is_file())
    there = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5)) or "nothing"
    message = f"'{raw}' holds no NIfTI file (.nii.gz or .nii), but {there}"
    return DataError(message, hint="convert images to NIfTI first (DICOM: dcm2niix), or name another folder")


def _from_dataset_json(found: Path, volumes: Sequence[Path], raw: Path) -> Draft:
    """Draft a description that leaves modalities and labels to ``dataset.json``."""
    numbered = any(re.fullmatch(r".+_\d{4}", stem(path)) for path in volumes if path.parent.name == "imagesTr")
    base = "nnunet" if numbered else "msd"
    text = (
        f"# Drafted by 'hga info --describe': {found.name} describes this data set; only the base was guessed.\n"
        f'base = "{base}"   # modalities, labels and regions come from {found.name}\n'
    )
    hints = [f"'{found}' describes the data: '--dataset {base}' does the same without a file"]
    try:
        description = load_description(base, raw)
        hints += _trial_hints(discover(raw, description, need_label=True), description, raw)
    except HgaError as error:
        hints.append(error.message)
    return Draft(text=text, hints=hints)


def _label_values(cases: Sequence[RawCase]) -> tuple[list[int], list[str]]:
    """Return the values above and below 0 in some label files, and hints on files that cannot be read as labels."""
    labels = [case.label for case in cases if case.label]
    places = np.unique(np.linspace(0, len(labels) - 1, min(LOOKED_INTO, len(labels))).round().astype(int))
    values: set[int] = set()
    hints = []
    for path in [labels[place] for place in places]:
        try:
            found = np.unique(integers(read_volume(path)))
        except DataError as error:
            hints.append(error.message)
            continue
        if len(found) > MANY_VALUES:
            hints.append(f"'{path}' holds {len(found)} different values: an image rather than a label map?")
        else:
            values |= {int(value) for value in found} - {0}
    if not values:
        hints.append("no label value was seen: complete [[labels]] in the draft")
    return sorted(values), hints


def _trial_hints(findings: Findings, description: Description, raw: Path) -> list[str]:
    """Say what of the folder the draft does not explain, and whether the first case can be prepared with it."""
    hints = []
    if findings.problems:
        first = findings.problems[0]
        hints.append(
            f"{len(findings.problems)} problems remain; the first: {first.case}: {first.problem} ({first.file})"
        )
    if findings.left:
        hints.append(f"{len(findings.left)} files belong to no case: {_some(findings.left, raw)}")
    hints += _spelling_hints(findings.cases)
    for case in findings.cases[:1]:
        try:
            prepare(case, description, Preparation())
        except ProblemsError as error:
            hints += [f"case '{one.case}' cannot be used as it is: {one.file}: {one.problem}" for one in error.problems]
    return hints


def _spelling_hints(cases: Sequence[RawCase]) -> list[str]:
    """Say which modalities of one meaning no case has together: two spellings of one, it seems."""
    found = sorted({name for case in cases for name in case.images})
    together = {pair for case in cases for pair in combinations(sorted(case.images), 2)}
    alike = [pair for pair in combinations(found, 2) if any(set(pair) <= names for names in SPELLINGS)]
    return [
        f"no case has both {one} and {other}: if they are the same, make them one modality with two endings"
        for one, other in alike
        if (one, other) not in together
    ]


def _some(paths: Sequence[Path], raw: Path) -> str:
    shown = ", ".join(str(path.relative_to(raw)) for path in paths[:3])
    return shown + (" ..." if len(paths) > 3 else "")


def _text(tree: Tree, raw: Path, findings: Findings, *, has_labels: bool) -> str:
    """Return the description as TOML with comments on what was guessed."""
    gap = "" if has_labels else "   # GAP: no label was found; write the ending of your label files"
    unread = ["# GAP: no case is read; complete [files] and [layout] so that they tell files and cases."]
    seen = f"seen in up to {LOOKED_INTO} label files" if has_labels else "GAP: no label was seen"
    lines = [
        f"# Drafted by 'hga info --describe' from the names of the files in {raw}.",
        f"# With it {len(findings.cases)} cases are found, {len(findings.problems)} problems remain.",
        *(unread if not findings.cases else []),
        "# Everything was guessed: check names and their order, what is a label, who is a subject, before you use it.",
        f"name = {_toml(tree['name'])}",
        f"modalities = {_toml(tree['modalities'])}   # usual ones first, then by name; results are shown in this order",
        _subject_line([case.case for case in findings.cases]),
        "",
        "[files]   # endings of file names without .nii.gz; with / or *: the end of the path",
        *(f"{role} = {_toml(words)}{gap if role == 'label' else ''}" for role, words in tree["files"].items()),
        *_layout_lines(tree["layout"]),
    ]
    for label in tree["labels"]:
        lines += ["", f"[[labels]]   # {seen}", f"name = {_toml(label['name'])}", f"values = {_toml(label['values'])}"]
    for region in tree["regions"]:
        lines += ["", "[[regions]]   # what is scored", f"name = {_toml(region['name'])}"]
        lines.append(f"labels = {_toml(region['labels'])}")
    return "\n".join(lines) + "\n"


def _subject_line(cases: Sequence[str]) -> str:
    """Return the rule for subjects; as a comment where no subject seems to have several cases."""
    examples = []
    for pattern in SUBJECTS:
        found = [match.group(1) for case in cases if (match := re.match(pattern, case))]
        if len(set(found)) < len(found) and (len(set(found)) > 1 or pattern != ANY_NUMBER):
            return (
                f"subject = {_toml(pattern)}   # some subjects seem to have several cases; a split keeps them together"
            )
        if found and pattern != ANY_NUMBER:
            examples.append(pattern)
    example = _toml((examples or [ANY_NUMBER])[0])
    return f"# subject = {example}   # needed where a subject has several cases: what in a case id is the subject"


def _layout_lines(layout: Mapping[str, Any]) -> list[str]:
    about = {
        "case": "the groups in the path, joined by _, are the case id",
        "ignore": "not understood, second versions, or other masks: passed over",
    }
    lines = [f"{key} = {_toml(layout[key])}   # {text}" for key, text in about.items() if key in layout]
    return ["", "[layout]", *lines] if lines else []


def _toml(value: Any) -> str:
    """Return a text or a list as a TOML value; patterns without escapes where that is possible."""
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str) and "\\" in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)
