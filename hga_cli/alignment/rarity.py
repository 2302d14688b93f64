"""Combinations as patients have them, more often the rarer their rarest modality is."""

from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from hga_cli.alignment.cycle import pools_of
from hga_cli.alignment.frequency import frequency_weights
from hga_cli.core.combinations import Combination
from hga_cli.data.sampling import Draw, Kind, kinds_of


class RaritySampler:
    """A step has the combination of some case, drawn with a chance in proportion to N / N_m of its rarest modality m.

    N cases, of which N_m have m (omega of PASSION, which weighs losses; here it says what is seen). Where one modality
    is rare and the others are complete, about half the steps have it. A cycle over the combinations balances as much,
    but most of its steps hide a part of what their cases have; here each step trains as many modalities as a patient
    has. Ours, not part of the published HGA.

    The batch comes from the pool of the combination, as in the cycle: different cases that own at least this, drawn
    evenly; what they have beyond it is hidden. There are fewer than ``batch`` where the pool is smaller.

    Args:
        available: case -> what it may use.
        modalities: the order of the data set (M).
        batch: cases in a step.
        order: not used; everything is drawn.
        seed: of all draws.

    Raises:
        DataError: there is no case at all.
    """

    has_order: ClassVar[bool] = False

    def __init__(
        self, available: Mapping[str, Combination], modalities: Combination, *, batch: int, order: str, seed: int
    ) -> None:
        del order
        self._pools = pools_of(available, modalities)
        omega, owned = frequency_weights(available.values()), Counter(available.values())
        weights = [owned[combination] * max(omega[modality] for modality in combination) for combination in self._pools]
        self._combinations, self._chances = list(self._pools), np.array(weights) / sum(weights)
        self._batch, self._seed = batch, seed
        self.default_iterations = -(-len(available) // batch)

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn: the combinations that cases have, by their chances."""
        chances = dict(zip(self._combinations, self._chances.tolist(), strict=True))
        return kinds_of(self._pools, chances, self._batch)

    def draw(self, step: int) -> Draw:
        """Return the combination and cases of a step."""
        generator = np.random.default_rng([self._seed, 0, step])
        combination = self._combinations[generator.choice(len(self._combinations), p=self._chances)]
        pool = self._pools[combination]
        cases = generator.choice(pool, min(self._batch, len(pool)), replace=False)
        return Draw(
            combination=combination,
            cases=tuple(str(case) for case in cases),
            ends_cycle=False,
        )
