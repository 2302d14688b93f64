"""The cycle over combinations: the sequential part of HGA.

One cycle visits every combination that somebody owns exactly once. The batch of a combination comes from its pool, all
cases that own at least this combination; what they have beyond it is hidden.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.core.errors import DataError
from hga_cli.data.sampling import Draw, Kind, kinds_of


def pools_of(available: Mapping[str, Combination], modalities: Combination) -> dict[Combination, list[str]]:
    """Return combination -> the cases, sorted, that own at least this; only combinations that somebody owns.

    Raises:
        DataError: there is no case at all.
    """
    pools = {
        combination: sorted(case for case, has in available.items() if set(combination) <= set(has))
        for combination in all_combinations(modalities)
    }
    pools = {combination: cases for combination, cases in pools.items() if cases}
    if not pools:
        message = "no case to train with"
        raise DataError(message, hint="the training part of the split is empty")
    return pools


class CycleSampler:
    """Cycles over the combinations, evenly.

    Args:
        available: case -> what it may use.
        modalities: the order of the data set (M).
        batch: cases in a step.
        order: ``fixed``: by size, then in the order of the modalities (published: by ids, which ascend in size but
            follow no rule within one); ``random``: a new permutation each cycle;
            ``ascending_then_random`` (published default): the first cycle fixed, then random;
            ``group_fixed_order``: sizes ascending, members of a size shuffled each cycle;
            ``group_sequential``: sizes shuffled too.
        seed: of all shuffles.

    Each pool is passed through in its own shuffled order, again and again. The published code lets the last batch of a
    pass be smaller; here the next pass fills it, so that all batches have the same size (unless the pool is smaller).
    Such a batch at the border of two passes may hold a case twice, as two different patches. The trainer of MSSEG
    visits the full combination after each size (34 steps for five modalities); here a cycle has it once.

    Raises:
        DataError: there is no case at all.
    """

    has_order: ClassVar[bool] = True

    def __init__(
        self, available: Mapping[str, Combination], modalities: Combination, *, batch: int, order: str, seed: int
    ) -> None:
        self.pools = pools_of(available, modalities)
        self._combinations = list(self.pools)
        self._batch, self._order, self._seed = batch, order, seed
        length = len(self._combinations)
        self.default_iterations = -(-max(1, -(-len(available) // batch)) // length) * length

    @property
    def cycle_length(self) -> int:
        """How many combinations somebody owns: the steps of one cycle."""
        return len(self._combinations)

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn: the combinations that somebody owns, evenly; the end of a cycle is no kind of its own."""
        return kinds_of(self.pools, dict.fromkeys(self.pools, 1), self._batch)

    def draw(self, step: int) -> Draw:
        """Return the combination and cases of a step; the last step of a cycle says that it ends."""
        cycle, place = divmod(step, self.cycle_length)
        combination = self._combinations[self._sequence(cycle)[place]]
        return Draw(
            combination=combination,
            cases=self._from_pool(combination, cycle),
            ends_cycle=place == self.cycle_length - 1,
        )

    def _sequence(self, cycle: int) -> list[int]:
        indices = range(self.cycle_length)
        generator = np.random.default_rng([self._seed, 0, cycle])
        if self._order == "fixed" or (self._order == "ascending_then_random" and cycle == 0):
            return list(indices)
        if self._order in ("random", "ascending_then_random"):
            return [int(index) for index in generator.permutation(self.cycle_length)]
        sizes = sorted({len(combination) for combination in self._combinations})
        if self._order == "group_sequential":
            sizes = [int(size) for size in generator.permutation(sizes)]
        groups = [[index for index in indices if len(self._combinations[index]) == size] for size in sizes]
        return [int(index) for group in groups for index in generator.permutation(group)]

    def _from_pool(self, combination: Combination, cycle: int) -> tuple[str, ...]:
        """Return the ``cycle``-th batch of a pool: each cycle takes one batch from each."""
        pool = self.pools[combination]
        size = min(self._batch, len(pool))
        places = range(cycle * size, (cycle + 1) * size)
        number = self._combinations.index(combination)
        return tuple(pool[self._shuffled(number, place // len(pool), len(pool))[place % len(pool)]] for place in places)

    def _shuffled(self, combination: int, number: int, length: int) -> list[int]:
        generator = np.random.default_rng([self._seed, 1, combination, number])
        return [int(index) for index in generator.permutation(length)]
