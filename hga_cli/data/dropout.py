"""Modality dropout: which part of what a case has is seen in which step."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.data.sampling import CaseSampler, Draw, Kind, kinds_of

DROPOUT_STREAM = 1
"""Keeps the drawn combinations apart from the shuffles of a pass (0)."""


class DropoutSampler:
    """Every case once per pass, each time with one non-empty sub-combination of what it has, drawn uniformly.

    Cases that drew the same combination share a batch. Where we depart from the published code (its regimes IDT_drop
    and PDT): a batch there mixes combinations, which is the same for batches of one case; in PDT the encoders there see
    what is dropped too, and its modalities alone are supervised; here nothing is computed for it.

    Args:
        available: case -> what it may use.
        modalities: the order of the data set.
        batch: cases in a step; the last of a combination may be fewer, so passes differ in length.
        order: not used; passes are random.
        seed: of draws and shuffles.
    """

    has_order: ClassVar[bool] = False

    def __init__(
        self, available: Mapping[str, Combination], modalities: Combination, *, batch: int, order: str, seed: int
    ) -> None:
        self._subsets = {case: all_combinations(available[case]) for case in sorted(available)}
        self._modalities, self._batch, self._order, self._seed = modalities, batch, order, seed
        self._starts = [0]
        self._latest: tuple[int, CaseSampler] | None = None
        self.default_iterations = -(-len(available) // batch)

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn: the sub-combinations of what cases have, as often as they are expected to fill a batch."""
        owners: dict[Combination, list[str]] = defaultdict(list)
        for case, subsets in self._subsets.items():
            for combination in subsets:
                owners[combination].append(case)
        batches = {combination: self._batches_of(cases) for combination, cases in owners.items()}
        return kinds_of(owners, batches, self._batch)

    def _batches_of(self, owners: list[str]) -> float:
        """Return how many batches of one sub-combination a pass is expected to have, from who may draw it.

        With X of them drawing it, these are the X cases and what the last batch lacks, -X mod b, by b. Numbers of cases
        modulo b add up on a circle, so the chances of X mod b are a product in Fourier space.
        """
        places = np.arange(self._batch)
        turns = np.exp(-2j * np.pi * places / self._batch)
        mean, spectrum = 0.0, np.ones(self._batch, dtype=complex)
        for subsets, number in Counter(len(self._subsets[case]) for case in owners).items():
            mean += number / subsets
            spectrum *= (1 + (turns - 1) / subsets) ** number
        remainders = np.fft.ifft(spectrum).real
        return float(mean + remainders @ (-places % self._batch)) / self._batch

    def draw(self, step: int) -> Draw:
        """Return the batch of a step; no step ends a cycle."""
        while self._starts[-1] <= step:
            self._starts.append(self._starts[-1] + self._pass(len(self._starts) - 1).default_iterations)
        number = int(np.searchsorted(self._starts, step, side="right")) - 1
        one_pass = self._pass(number)
        return one_pass.draw(number * one_pass.default_iterations + step - self._starts[number])

    def _pass(self, number: int) -> CaseSampler:
        if self._latest is None or self._latest[0] != number:
            self._latest = number, self._drawn(number)
        return self._latest[1]

    def _drawn(self, number: int) -> CaseSampler:
        """Return the sampler of a pass: in it, a case has what was drawn for it."""
        generator = np.random.default_rng([self._seed, DROPOUT_STREAM, number])
        places = generator.integers([len(subsets) for subsets in self._subsets.values()])
        drawn = {case: self._subsets[case][place] for case, place in zip(self._subsets, places, strict=True)}
        return CaseSampler(drawn, self._modalities, batch=self._batch, order=self._order, seed=self._seed)
