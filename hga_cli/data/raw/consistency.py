"""What only a look at all cases together shows."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from hga_cli.core.catalog import shipped
from hga_cli.core.combinations import Combination
from hga_cli.core.errors import Problem
from hga_cli.data.raw.description import Description
from hga_cli.data.raw.labels import UNGUESSABLE
from hga_cli.data.store import CaseEntry

COUNTED = "visit|session|ses|scan|exam|timepoint|time|tp|t|v|year|month|week|day"
NAMED = "baseline|followup|pre|post"
VISIT = re.compile(rf"(.+)[-_. ](?:({COUNTED})[-_]?\d+|({NAMED})\d*)", re.IGNORECASE)
"""An id that ends like one of several visits: patient, and the word before the number."""


def mixed_conventions(values: Mapping[str, Mapping[str, int]], description: Description) -> list[Problem]:
    """Find labels that are written with different values: which convention the data set follows cannot be guessed.

    BraTS writes enhancing tumour as 4 until 2021 and as 3 from 2023; from 2024 on, 4 is the cavity of a resection.

    Args:
        values: case -> label -> the value its file holds.
        description: which values a label may have.
    """
    problems = []
    for entry in description.labels:
        cases: dict[int, list[str]] = defaultdict(list)
        for case, found in sorted(values.items()):
            if entry.name in found:
                cases[found[entry.name]].append(case)
        if len(cases) > 1:
            uses = " but ".join(f"{value} in {len(ids)} cases ({ids[0]})" for value, ids in sorted(cases.items()))
            rarest = min(cases.values(), key=len)[0]
            text = f"'{entry.name}' is {uses}" + (f"; {entry.doubt}" if entry.doubt else "")
            problems.append(Problem(case=rarest, file="", problem=text))
    return problems


def doubtful_conventions(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems of label files that use the values of two conventions.

    They concern every case: without such a file the others seem to be sound, and their values mean something else.
    """
    return [problem for problem in problems if UNGUESSABLE in problem.problem]


def unused_labels(values: Mapping[str, Mapping[str, int]], description: Description) -> list[str]:
    """Return the labels that no case has: perhaps it is another data set whose files have the same names.

    None where no case could be read: then nobody knows.
    """
    used = {name for found in values.values() for name in found}
    return [entry.name for entry in description.labels if entry.name not in used] if values else []


def same_images(entries: Mapping[str, CaseEntry]) -> list[tuple[str, ...]]:
    """Return the groups of cases that hold the same image, by its values or by its file, as any modality."""
    owners: dict[str, set[str]] = defaultdict(set)
    for case, entry in entries.items():
        for digest in (*entry.digests.values(), *entry.sources.values()):
            owners[digest].add(case)
    groups = {frozenset(cases) for cases in owners.values() if len(cases) > 1}
    return sorted(tuple(sorted(one)) for one in groups if not any(one < other for other in groups))


def same_modalities(entries: Mapping[str, CaseEntry]) -> dict[Combination, list[str]]:
    """Return modalities that are one and the same image, and the cases in which they are."""
    found: dict[Combination, list[str]] = defaultdict(list)
    for case, entry in sorted(entries.items()):
        names: dict[str, list[str]] = defaultdict(list)
        for modality, digest in entry.digests.items():
            names[digest].append(modality)
        for same in names.values():
            if len(same) > 1:
                found[tuple(same)].append(case)
    return dict(found)


def visits_apart(subjects: Mapping[str, str], description: Description) -> str | None:
    """Return what to say where ids look like visits of the same patients, but each is a subject of its own.

    Args:
        subjects: case -> subject.
        description: what the data set is.
    """
    patients: dict[str, list[str]] = defaultdict(list)
    words = set()
    for case in sorted(subjects):
        if found := VISIT.fullmatch(case):
            patients[found[1]].append(case)
            words.add((found[2] or found[3]).lower())
    apart = [cases for cases in patients.values() if len({subjects[case] for case in cases}) > 1]
    if not apart or len(patients) < 2:
        return None
    base = f'base = "{description.name}" and ' if description.name in shipped("data/raw/descriptions") else ""
    rule = f"subject = '(?i)^(.+)[-_. ](?:{'|'.join(sorted(words))})[-_]?[0-9]*$'"
    return (
        f"{', '.join(apart[0][:3])} look like visits of one patient, but are subjects of their own (so are those of "
        f"{len(apart)} patients); to keep them in one part, preprocess with a description of your own (--dataset "
        f"mine.toml) that says {base}{rule}"
    )
