"""Combinations of modalities and their names. The only place that knows how either is written.

A combination is a tuple of modality names in the order of the data set, for example ``("flair", "t2")``; its name is
``flair+t2``. M modalities have 2**M - 1 combinations.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations as choose

from hga_cli.core.errors import UsageError, suggestion

Combination = tuple[str, ...]


def all_combinations(modalities: Sequence[str]) -> list[Combination]:
    """Return the 2**M - 1 non-empty combinations, by size and then in the order of the modalities."""
    return [chosen for size in range(1, len(modalities) + 1) for chosen in choose(modalities, size)]


def combination_name(combination: Combination) -> str:
    """Return ``flair+t2``."""
    return "+".join(combination)


def in_order(chosen: Iterable[str], modalities: Sequence[str]) -> Combination:
    """Return the chosen modalities in the order of the data set."""
    wanted = set(chosen)
    return tuple(modality for modality in modalities if modality in wanted)


def parse_combination(text: str, modalities: Sequence[str]) -> Combination:
    """Read ``flair+t2``.

    Raises:
        UsageError: an unknown or repeated modality, or none at all.
    """
    words = [word.strip() for word in text.split("+")]
    for word in words:
        if word not in modalities:
            message = f"combination '{text}': no modality called '{word}'"
            raise UsageError(message, hint=suggestion(word, modalities))
    if len(set(words)) != len(words):
        message = f"combination '{text}' names a modality twice"
        raise UsageError(message, hint="write each modality once, for example " + combination_name(tuple(modalities)))
    return in_order(words, modalities)


def parse_combinations(text: str, modalities: Sequence[str]) -> list[Combination]:
    """Read ``all`` or a list such as ``flair+t2,t1``.

    Raises:
        UsageError: as ``parse_combination``.
    """
    if text == "all":
        return all_combinations(modalities)
    return [parse_combination(part, modalities) for part in text.split(",")]


def dots(combination: Combination, modalities: Sequence[str]) -> str:
    """Return the combination as a picture: a filled dot for what is there, an empty one for what is not."""
    return "".join("●" if modality in combination else "○" for modality in modalities)
