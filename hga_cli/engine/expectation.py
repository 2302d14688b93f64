"""What to expect of a model: the Dice it reached on cases it was not trained on, for each combination.

Cases without a structure do not count in an evaluation, whatever its convention gives them: they would promise accuracy
where there was nothing to find. In validation those count as 0 in which it was predicted nevertheless.

What a further modality gains is the difference on the same cases, those that have both combinations: the means of two
combinations are over other patients where some lack a modality.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Self

from hga_cli.core.combinations import Combination, all_combinations, combination_name, in_order

Scores = Mapping[str, float | None]
"""region -> Dice, None where it was in no case."""
OfCases = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Name of a combination -> region -> case -> Dice."""
Pairs = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""Name of a combination -> modality that is added -> region -> ``before``, ``after``, ``n``; no ids of cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """The absent modality that would help most."""

    modality: str
    region: str
    """The region that would gain most."""
    before: float
    """Mean Dice without the modality, over the cases that have both combinations."""
    after: float
    """With it, over the same cases."""
    n: int
    """How many cases these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Mean Dice per combination and region."""

    measured_on: str
    """``validation`` (while it was trained), ``test`` or another part of a split, or ``test and validation``."""
    dice: Mapping[str, Scores]
    """Name of a combination -> region -> Dice."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Name of a combination -> what it was measured on; all on ``measured_on`` where it is empty."""
    pairs: Pairs = field(default_factory=dict)
    """What further modalities gain; older models do not know, and suggest none."""

    @classmethod
    def from_contest(cls, contest: Mapping[str, Any]) -> Self | None:
        """Read the latest validation out of a checkpoint; None where there was none."""
        latest = contest.get("latest")
        if not latest:
            return None
        return cls(measured_on="validation", dice=latest["combinations"], pairs=latest.get("pairs", {}))

    @classmethod
    def from_metrics(cls, document: Mapping[str, Any]) -> Self | None:
        """Read ``metrics.json`` of an evaluation: the mean Dice over cases in which a structure exists.

        Returns:
            None where cases were scored that the model was trained on: they promise too much.
        """
        split = str(document["split"])
        if split.rpartition("/")[2] == "train":
            return None
        rows = document["combinations"].items()
        table = {name: {region: score["dice_with_structure"] for region, score in row.items()} for name, row in rows}
        return cls(measured_on=split, dice=table, pairs=paired(_of_cases(document["cases"]), document["modalities"]))

    def over(self, other: Self | None) -> Self:
        """Return all that is known: of each combination what this one measured, else what ``other`` did."""
        if other is None:
            return self
        names = dict.fromkeys([*self.dice, *other.dice])
        chosen = {name: self if _known(self.dice.get(name, {})) else other for name in names}
        sources = {name: one.source(name) for name, one in chosen.items() if _known(one.dice.get(name, {}))}
        return type(self)(
            measured_on=" and ".join(dict.fromkeys(sources.values())) or self.measured_on,
            dice={name: chosen[name].dice[name] for name in sources},
            sources=sources,
            pairs={name: chosen[name].pairs[name] for name in sources if name in chosen[name].pairs},
        )

    def as_tree(self) -> dict[str, Any]:
        """Return plain values, for a model file."""
        return asdict(self)

    def of(self, combination: Combination) -> dict[str, float] | None:
        """Return region -> Dice for a combination; None where it was not measured."""
        return _known(self.dice.get(combination_name(combination), {})) or None

    def source(self, name: str) -> str:
        """Return what the combination of this name was measured on."""
        return self.sources.get(name, self.measured_on)

    def best_addition(self, combination: Combination) -> Addition | None:
        """Return the absent modality that raises the mean Dice of the same cases most; None: none does, or unknown."""
        best, most = None, 0.0
        for modality, row in self.pairs.get(combination_name(combination), {}).items():
            gains = {region: pair["after"] - pair["before"] for region, pair in row.items()}
            if fmean(gains.values()) > most:
                most = fmean(gains.values())
                region = max(gains, key=lambda one: gains[one])
                best = Addition(modality=modality, region=region, **row[region])
        return best


def paired(scores: OfCases, modalities: Sequence[str]) -> Pairs:
    """Return the means of each combination without and with a further modality, over the cases scored with both.

    Args:
        scores: Dice of each case that counts.
        modalities: all of them, in the order of the data set.

    Returns:
        Nothing of a region, modality or combination where no case was scored with both.
    """
    pairs: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for combination in all_combinations(modalities):
        name = combination_name(combination)
        for modality in modalities:
            larger = combination_name(in_order((*combination, modality), modalities))
            row = _both(scores.get(name, {}), scores.get(larger, {})) if modality not in combination else {}
            if row:
                pairs.setdefault(name, {})[modality] = row
    return pairs


def _both(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """Return region -> means over the cases that are in both."""
    row = {}
    for region, first in before.items():
        second = after.get(region, {})
        same = [case for case in first if case in second]
        if same:
            means = {key: fmean(one[case] for case in same) for key, one in (("before", first), ("after", second))}
            row[region] = {**means, "n": len(same)}
    return row


def _of_cases(rows: Sequence[Mapping[str, Any]]) -> OfCases:
    """Return the Dice of the cases of ``metrics.json`` in which a structure exists."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["reference_voxels"] > 0:
            found[row["combination"]][row["region"]][row["case"]] = row["raw_dice"]
    return found


def _known(scores: Scores) -> dict[str, float]:
    return {region: dice for region, dice in scores.items() if dice is not None}
