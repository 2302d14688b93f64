"""The primary figures of the evidence, fixed before anything was run, and how sure they are.

1. ``all``: mean Dice over all combinations and regions (regions are those of the data set, without post-processing).
2. ``rarest``: the same over the combinations that contain the modality which most training cases lack.
3. ``worst``: mean Dice over regions of the combination that is worst.

Differences to another method are paired over test cases: both are scored on the same cases, the values of a case are
means over seeds, and intervals are percentiles of 2000 bootstrap draws of cases (Efron and Tibshirani 1993). The spread
over seeds is the standard deviation of a figure over the runs that differ in their seed only; it is given beside, and a
difference is called clear where its interval excludes 0 and it is larger than the spread of both.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

FIGURES = ("all", "rarest", "worst")
DRAWS, SEED = 2000, 1037


@dataclass(frozen=True)
class Scores:
    """The test scores of runs that differ in their seed only; each seed has one run for each fold."""

    folders: tuple[tuple[Path, ...], ...]
    rarest: frozenset[str]

    @cached_property
    def documents(self):
        """``metrics.json`` of each fold of each seed."""
        return [
            [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in of_seed]
            for of_seed in self.folders
        ]

    @cached_property
    def combinations(self):
        """Names, in the order of the last axis of ``table``."""
        return list(self.documents[0][0]["combinations"])

    @cached_property
    def table(self):
        """Dice in percent, mean over regions: (seeds, cases of all folds, combinations)."""
        return np.stack([np.concatenate([self._of_run(one) for one in of_seed]) for of_seed in self.documents])

    def figures(self, weights=None):
        """Return figure -> its value; with weights (draws, cases) one value for each draw.

        A figure of several seeds is that of the mean over seeds.
        """
        return self._figures(self.table.mean(0), weights)

    def spread(self):
        """Return figure -> standard deviation over seeds; NaN for one seed."""
        each = [self._figures(of_seed, None) for of_seed in self.table]
        ddof = 1 if len(each) > 1 else 0
        return {name: float(np.std([one[name] for one in each], ddof=ddof)) if ddof else np.nan for name in FIGURES}

    def difference(self, other):
        """Return figure -> (difference to ``other``, low and high end of its 95 % interval)."""
        cases = self.table.shape[1]
        weights = np.random.default_rng(SEED).multinomial(cases, [1 / cases] * cases, size=DRAWS) / cases
        mine, theirs, drawn, against = self.figures(), other.figures(), self.figures(weights), other.figures(weights)
        ends = {name: np.quantile(drawn[name] - against[name], [0.025, 0.975]) for name in FIGURES}
        return {name: (mine[name] - theirs[name], *map(float, ends[name])) for name in FIGURES}

    def _figures(self, scores, weights):
        weights = np.full((1, len(scores)), 1 / len(scores)) if weights is None else weights
        means = weights @ scores
        with_rarest = [bool(self.rarest & set(name.split("+"))) for name in self.combinations]
        found = {"all": means.mean(1), "rarest": means[:, with_rarest].mean(1), "worst": means.min(1)}
        return found if len(weights) > 1 else {name: float(value[0]) for name, value in found.items()}

    def _of_run(self, document):
        regions = document["conventions"]["averaged"]
        rows = [row for row in document["cases"] if row["region"] in regions]
        cases = {name: place for place, name in enumerate(sorted({row["case"] for row in rows}))}
        sums = np.zeros((len(cases), len(self.combinations)))
        for row in rows:
            sums[cases[row["case"]], self.combinations.index(row["combination"])] += 100 * row["dice"]
        return sums / len(regions)


def is_clear(difference, *spreads):
    """Tell whether a difference is more than chance of cases and of seeds."""
    value, low, high = difference
    return low * high > 0 and all(abs(value) > spread for spread in spreads)
