"""Who trains, validates and tests. A subject, with all its cases, is in one part only."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from hga_cli.core.errors import DataError, UsageError

PARTS = ("train", "val", "test")
Ratios = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Case ids of each part, sorted."""

    name: str
    train: list[str]
    val: list[str]
    test: list[str]
    about: dict[str, Any] = field(default_factory=dict)
    """How it was made: ratios and seed, or the lists it comes from."""

    def part(self, name: str) -> list[str]:
        """Return the cases of ``train``, ``val`` or ``test``."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]

    @property
    def part_of(self) -> dict[str, str]:
        """Case -> its part."""
        return {case: part for part in PARTS for case in self.part(part)}


def make_split(subjects: Mapping[str, str], *, name: str, ratios: Ratios, seed: int) -> Split:
    """Split cases by subject.

    Args:
        subjects: case -> subject.
        name: of the split.
        ratios: shares of the subjects for train, val and test; their sum is 1.
        seed: of the shuffle.

    Raises:
        UsageError: the ratios do not add up to 1, or one is below 0.
        DataError: a part that should have subjects would get none.
    """
    _check_ratios(ratios)
    order = _shuffled(subjects, seed)
    parts = {}
    for part, count in zip(PARTS, _counts(len(order), ratios), strict=True):
        parts[part] = _cases(subjects, order[:count])
        order = order[count:]
    return Split(name=name, **parts, about={"ratios": list(ratios), "seed": seed})


def make_folds(subjects: Mapping[str, str], *, name: str, ratios: Ratios, folds: int, seed: int) -> list[Split]:
    """Make splits whose test parts are disjoint and together hold every subject.

    Args:
        subjects: case -> subject.
        name: the splits are called name-1, name-2, ...
        ratios: the share for val is taken from the subjects that are not tested; the others train.
        folds: number of splits, at least 2.
        seed: of the shuffle.

    Raises:
        UsageError: the ratios do not add up to 1, or one is below 0.
        DataError: a part would be empty.
    """
    _check_ratios(ratios)
    order = _shuffled(subjects, seed)
    validating = max(1, round(ratios[1] * len(order))) if ratios[1] else 0
    ends = [len(order) * number // folds for number in range(folds + 1)]
    smallest = len(order) - max(stop - start for start, stop in pairwise(ends)) - validating
    if len(order) < folds or smallest < 1:
        message = f"{len(order)} subjects are too few for {folds} folds with {validating} for validation"
        raise DataError(message, hint="add subjects, take fewer folds, or set the share of validation to 0")
    made = []
    for number, (start, stop) in enumerate(pairwise(ends), start=1):
        rest = order[stop:] + order[:start]
        made.append(
            Split(
                name=f"{name}-{number}",
                train=_cases(subjects, rest[validating:]),
                val=_cases(subjects, rest[:validating]),
                test=_cases(subjects, order[start:stop]),
                about={"ratios": list(ratios), "seed": seed, "folds": folds, "fold": number},
            )
        )
    return made


def check_split(split: Split, subjects: Mapping[str, str], twins: Sequence[Sequence[str]]) -> None:
    """Make sure that no subject and no image is in two parts.

    Args:
        split: what to check.
        subjects: case -> subject.
        twins: groups of cases that hold the same image.

    Raises:
        DataError: names the two cases and their parts.
    """
    if shared := torn_subject(split, subjects):
        message = f"split '{split.name}': {shared}"
        raise DataError(message, hint="all cases of a subject belong to one part")
    for twin_cases in twins:
        if torn := _torn(twin_cases, split.part_of):
            message = f"split '{split.name}': the same image is in {torn}"
            hint = "name one subject for both in a CSV file (case,subject): --set split.subjects=FILE.csv"
            raise DataError(message, hint=f"{hint}; or preprocess without one of them")


def torn_subject(split: Split, subjects: Mapping[str, str]) -> str | None:
    """Say which subject (of case -> subject) is in two parts, with a case of each; None: no subject is."""
    part_of = split.part_of
    groups: dict[str, list[str]] = defaultdict(list)
    for case in part_of:
        groups[subjects[case]].append(case)
    return next(
        (f"subject '{subject}' is in {torn}" for subject, cases in groups.items() if (torn := _torn(cases, part_of))),
        None,
    )


def _torn(cases: Iterable[str], part_of: Mapping[str, str]) -> str:
    """Return which two of these cases are in different parts; nothing where all are in one."""
    for one, other in pairwise(case for case in cases if case in part_of):
        if part_of[one] != part_of[other]:
            return f"{part_of[one]} ('{one}') and in {part_of[other]} ('{other}')"
    return ""


def _check_ratios(ratios: Ratios) -> None:
    if min(ratios) < 0 or not math.isclose(sum(ratios), 1, abs_tol=1e-6):
        message = f"the ratios {_list(ratios)} add up to {sum(ratios):g}, expected 1 and none below 0"
        raise UsageError(message, hint="write shares, 0.2 for 20 %, for example --ratios 0.7,0.1,0.2")


def _shuffled(subjects: Mapping[str, str], seed: int) -> list[str]:
    return [str(subject) for subject in np.random.default_rng(seed).permutation(sorted(set(subjects.values())))]


def _cases(subjects: Mapping[str, str], chosen: Iterable[str]) -> list[str]:
    wanted = set(chosen)
    return sorted(case for case, subject in subjects.items() if subject in wanted)


def _counts(total: int, ratios: Ratios) -> list[int]:
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
