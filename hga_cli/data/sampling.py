"""Which cases are seen in which step.

A sampler is a pure function of the step: it has no state, so a resumed run continues exactly where it stopped, and
workers can read ahead in any order. A batch has one combination.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from hga_cli.core.combinations import Combination, combination_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One step: the combination, its cases (or slices), and whether a cycle ends with it."""

    combination: Combination
    cases: tuple[str, ...]
    ends_cycle: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Steps of one combination."""

    largest: Draw
    """With as many cases as there can be; which ones is no matter. Ends a cycle if only steps of this kind do."""
    share: float
    """Of all steps, in the long run."""


class Draws(Protocol):
    """Says what each step sees."""

    def draw(self, step: int) -> Draw:
        """Return what step ``step`` (0, 1, ... over the whole training) sees."""


class Sampler(Draws, Protocol):
    """Draws for a training."""

    has_order: ClassVar[bool]
    """Whether ``method.sampler.order`` says something to it."""

    @property
    def default_iterations(self) -> int:
        """Steps of an epoch where the settings do not say."""

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn, and how often."""


def kinds_of(pools: Mapping[Combination, list[str]], often: Mapping[Combination, float], batch: int) -> list[Kind]:
    """Return one kind of step for each combination that is drawn.

    Args:
        pools: combination -> who may be in a batch of it.
        often: combination -> how often it is drawn, in any unit.
        batch: cases in a step, or fewer.
    """
    return [
        Kind(
            largest=Draw(combination=combination, cases=tuple(cases[:batch]), ends_cycle=False),
            share=often[combination] / sum(often.values()),
        )
        for combination, cases in pools.items()
        if often[combination]
    ]


class CaseSampler:
    """Every case once per pass, with all it has; batches are cases of equal combination, in random order.

    Args:
        available: case -> what it may use.
        modalities: the order of the data set.
        batch: cases in a step; the last of a combination may be fewer.
        order: not used; cycles have an order, passes are random.
        seed: of the shuffles.
    """

    has_order: ClassVar[bool] = False

    def __init__(
        self, available: Mapping[str, Combination], modalities: Combination, *, batch: int, order: str, seed: int
    ) -> None:
        del modalities, order
        self._groups: dict[Combination, list[str]] = defaultdict(list)
        for case in sorted(available):
            self._groups[available[case]].append(case)
        self._batch = batch
        self._seed = seed
        self.default_iterations = sum(-(-len(cases) // batch) for cases in self._groups.values())

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn: the combinations that cases have, as often as they fill a batch."""
        batches = {combination: -(-len(cases) // self._batch) for combination, cases in self._groups.items()}
        return kinds_of(self._groups, batches, self._batch)

    def draw(self, step: int) -> Draw:
        """Return the batch of a step; no step ends a cycle."""
        number, place = divmod(step, self.default_iterations)
        generator = np.random.default_rng([self._seed, 0, number])
        batches = []
        for combination in sorted(self._groups, key=combination_name):
            cases = [str(case) for case in generator.permutation(self._groups[combination])]
            starts = range(0, len(cases), self._batch)
            batches += [(combination, tuple(cases[start : start + self._batch])) for start in starts]
        combination, chosen = batches[generator.permutation(len(batches))[place]]
        return Draw(combination=combination, cases=chosen, ends_cycle=False)
