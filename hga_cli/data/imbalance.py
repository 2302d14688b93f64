"""Imbalance tables: who misses what, at chosen unequal rates. A table can only hide more than a case already lacks.

The rule "expected" is the procedure behind the published BraTS tables (Shi et al., PASSION, ACM Multimedia 2024, and
HGA), for any number of modalities: patterns of presence get blocks of their expected size, what is left over is drawn
at random, and all is shuffled. Ours departs in two points, and reproduces all published tables row by row: a pattern
of probability 0 never occurs, and a unit is drawn again while *none of what it really has* would be left.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, UsageError, suggestion

Presence = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImbalanceTable:
    """Case -> which modalities may be used."""

    name: str
    cases: list[str]
    modalities: Combination
    available: list[tuple[bool, ...]]
    """(N, M) in the order of ``cases`` and ``modalities``."""
    about: dict[str, Any] = field(default_factory=dict)
    """How it was made: wanted rates, rule, unit, seed, split."""

    def available_of(self, case: str, present: Combination) -> Combination:
        """Return what a case that has ``present`` may use.

        Raises:
            DataError: the case is not in the table.
        """
        if case not in self.cases:
            message = f"imbalance table '{self.name}' has no case '{case}'"
            raise DataError(message, hint="make a table for this split: hga make-imbalance")
        row = self.available[self.cases.index(case)]
        allowed = [modality for modality, flag in zip(self.modalities, row, strict=True) if flag]
        return in_order(set(allowed) & set(present), self.modalities)


def parse_rates(rates: Mapping[str, float] | str, digits: Combination) -> dict[str, float]:
    """Return the missing rate of each modality.

    Args:
        rates: a mapping, or text: ``mr2468`` (tenths, one digit per modality in the order ``digits``) or
            ``t1=0.2,t2=0.8`` (modalities that are not named miss nothing).
        digits: the modalities, in the order of the digits.

    Raises:
        UsageError: unreadable, an unknown modality, or a rate that is not in [0, 1).
    """
    if isinstance(rates, str):
        rates = _parsed(rates, digits)
    for modality, rate in rates.items():
        if modality not in digits:
            message = f"no modality called '{modality}'"
            raise UsageError(message, hint=suggestion(modality, digits))
        if not 0 <= rate < 1:
            message = f"missing rate of {modality} is {rate:g}, expected 0 <= rate < 1"
            raise UsageError(message, hint="write shares, 0.2 for 20 %; a modality nobody has is no modality")
    return {modality: float(rates.get(modality, 0.0)) for modality in digits}


def rates_name(rates: Mapping[str, float], digits: Combination) -> str:
    """Return the short form, ``mr2468``, or ``mr_t1-0.25_...`` where a rate is not whole tenths."""
    tenths = [rates[modality] * 10 for modality in digits]
    if all(abs(number - round(number)) < 1e-9 for number in tenths):
        return "mr" + "".join(str(round(number)) for number in tenths)
    return "mr_" + "_".join(f"{modality}-{rates[modality]:g}" for modality in digits)


def draw_presence(
    present: Sequence[Sequence[Combination]],
    *,
    rates: Mapping[str, float],
    patterns: Sequence[str],
    rule: str,
    seed: int,
) -> Presence:
    """Draw which modalities each unit keeps.

    Args:
        present: for each unit, in sorted order, what each of its cases really has.
        rates: missing rate of each modality, in the order of the digits.
        patterns: order in which patterns are visited, as in a data set description; empty: binary, downwards.
        rule: ``expected`` or ``bernoulli``.
        seed: of numpy's legacy generator, as published.

    Returns:
        (N, M) flags, columns in the order of ``rates``.
    """
    generator = np.random.RandomState(seed)
    missing = np.array(list(rates.values()))
    total = len(present)
    uniforms = np.stack([generator.uniform(size=total) for _ in rates], axis=1)
    if rule == "bernoulli":
        flags = uniforms > missing
    else:
        flags = _blocks(total, missing, patterns or _downwards(len(missing)))
        order = np.arange(total)
        generator.shuffle(order)
        flags = flags[order]
    names = list(rates)
    for unit, cases in enumerate(present):
        leaves = _leaves_something(cases, names)
        while not leaves(flags[unit]):
            flags[unit] = [generator.uniform() > rate for rate in missing]
    return flags


def realised_rates(table: ImbalanceTable, present: Mapping[str, Combination]) -> dict[str, float]:
    """Return the share of the cases of a table that cannot use each modality."""
    available = [table.available_of(case, present[case]) for case in table.cases]
    return {
        modality: sum(modality not in combination for combination in available) / len(available)
        for modality in table.modalities
    }


def _parsed(text: str, digits: Combination) -> dict[str, float]:
    short = re.fullmatch(r"mr(\d+)", text)
    if short:
        if len(short.group(1)) != len(digits):
            message = f"'{text}' has {len(short.group(1))} digits, expected {len(digits)}: {', '.join(digits)}"
            raise UsageError(message, hint="or name the modalities: " + ",".join(f"{name}=0.5" for name in digits))
        return {modality: int(digit) / 10 for modality, digit in zip(digits, short.group(1), strict=True)}
    rates = {}
    for part in text.split(","):
        name, equals, number = part.partition("=")
        if name.strip() in rates:
            message = f"the rate of {name.strip()} is given twice"
            raise UsageError(message, hint="name each modality once")
        try:
            rates[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals:
            message = f"cannot read the rate '{part}'"
            raise UsageError(message, hint=f"for example --rates {digits[0]}=0.2,{digits[-1]}=0.8 or --rates mr2468")
    return rates


def _downwards(modalities: int) -> list[str]:
    return ["".join(bits) for bits in product("10", repeat=modalities) if "1" in bits]


def _blocks(total: int, missing: NDArray[np.float64], patterns: Sequence[str]) -> Presence:
    """Return (N, M) flags: each pattern fills a block of its expected size, at least one; the rest has nothing."""
    flags = np.zeros((total, len(missing)), dtype=bool)
    filled = 0
    for pattern in patterns:
        here = np.array([bit == "1" for bit in pattern])
        expected = float(total)
        for share in np.where(here, 1 - missing, missing):
            expected *= float(share)
        size = 0 if expected == 0 else max(1, int(expected))
        flags[filled : filled + size] = here
        filled += size
    return flags


def _leaves_something(cases: Sequence[Combination], names: Sequence[str]) -> Callable[[Presence], bool]:
    has = np.array([[name in case for name in names] for case in cases])
    return lambda flags: bool((has & flags).any(axis=1).all())
