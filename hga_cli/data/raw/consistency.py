"""What only a look at all cases together shows."""

from collections import defaultdict
from collections.abc import Mapping

from hga_cli.core.errors import Problem
from hga_cli.data.raw.description import Description
from hga_cli.data.store import CaseEntry


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


def unused_labels(values: Mapping[str, Mapping[str, int]], description: Description) -> list[str]:
    """Return the labels that no case has: perhaps it is another data set whose files have the same names.

    None where no case could be read: then nobody knows.
    """
    used = {name for found in values.values() for name in found}
    return [entry.name for entry in description.labels if entry.name not in used] if values else []


def same_images(entries: Mapping[str, CaseEntry]) -> list[tuple[str, ...]]:
    """Return the groups of cases that hold the same image of some modality, value by value."""
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case, entry in sorted(entries.items()):
        for modality, digest in entry.digests.items():
            owners[modality, digest].append(case)
    return sorted({tuple(cases) for cases in owners.values() if len(cases) > 1})
