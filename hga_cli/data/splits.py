"""Who trains, validates and tests. A subject, with all its cases, is in one part only."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hga_cli.core.errors import DataError, UsageError

PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case ids of each part, sorted."""

    name: str
    train: list[str]
    val: list[str]
    test: list[str]
    about: dict[str, Any] = field(default_factory=dict)
    """How it was made: ratios, seed."""

    def part(self, name: str) -> list[str]:
        """Return the cases of ``train``, ``val`` or ``test``."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def make_split(subjects: Mapping[str, str], *, name: str, ratios: tuple[float, float, float], seed: int) -> Split:
    """Split cases by subject.

    Args:
        subjects: case -> subject.
        name: of the split.
        ratios: shares of the subjects for train, val and test; their sum is 1.
        seed: of the shuffle.

    Raises:
        UsageError: the ratios do not add up to 1, or one is below 0.
        DataError: a part that should have subjects would get none, or a subject would be in two parts.
    """
    if min(ratios) < 0 or not math.isclose(sum(ratios), 1, abs_tol=1e-6):
        message = f"the ratios {_list(ratios)} add up to {sum(ratios):g}, expected 1 and none below 0"
        raise UsageError(message, hint="write shares, 0.2 for 20 %, for example --ratios 0.7,0.1,0.2")
    cases_of: dict[str, list[str]] = defaultdict(list)
    for case, subject in subjects.items():
        cases_of[subject].append(case)
    order = [str(subject) for subject in np.random.default_rng(seed).permutation(sorted(cases_of))]
    counts = _counts(len(order), ratios)
    parts = {}
    for part, count in zip(PARTS, counts, strict=True):
        parts[part] = sorted(case for subject in order[:count] for case in cases_of[subject])
        order = order[count:]
    split = Split(name=name, **parts, about={"ratios": list(ratios), "seed": seed})
    check_split(split, subjects)
    return split


def check_split(split: Split, subjects: Mapping[str, str]) -> None:
    """Make sure that no subject is in two parts.

    Raises:
        DataError: names subjects and parts.
    """
    seen: dict[str, str] = {}
    for part in PARTS:
        for case in split.part(part):
            first = seen.setdefault(subjects[case], part)
            if first != part:
                message = f"split '{split.name}': subject '{subjects[case]}' is in {first} and in {part}"
                raise DataError(message, hint="all cases of a subject belong to one part")


def _counts(total: int, ratios: tuple[float, float, float]) -> list[int]:
    """Round shares of ``total`` to whole subjects: floor, then the largest remainders; no wanted part stays empty."""
    exact = [ratio * total for ratio in ratios]
    counts = [max(math.floor(share + 1e-9), 1 if share > 0 else 0) for share in exact]
    by_remainder = sorted(range(len(counts)), key=lambda part: counts[part] - exact[part])
    for part in by_remainder[: max(0, total - sum(counts))]:
        counts[part] += 1
    excess = sum(counts) - total
    counts[counts.index(max(counts))] -= excess
    if min(count for count, share in zip(counts, ratios, strict=True) if share > 0) < 1:
        message = f"{total} subjects are too few for the ratios {_list(ratios)}: a part would be empty"
        raise DataError(message, hint="add subjects, or set the share of that part to 0")
    return counts


def _list(ratios: tuple[float, ...]) -> str:
    return ",".join(f"{ratio:g}" for ratio in ratios)
