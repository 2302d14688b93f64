"""How sure a mean is: where it would lie if other subjects had come (bootstrap over subjects)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS, LEVEL, SEED = 2000, 0.95, 1037


class SubjectBootstrap:
    """Subjects drawn 2000 times with replacement, from a fixed seed, as many as there are each time.

    All cases of a subject come and go together: they are no independent observations. Source: Efron and Tibshirani,
    *An Introduction to the Bootstrap* (1993), percentile interval.

    Args:
        subjects: subject of each of the N cases; their order does not matter.
    """

    def __init__(self, subjects: Sequence[str]) -> None:
        names, self._of_case = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
        self.subjects = len(names)
        self._counts = np.zeros((DRAWS, self.subjects))
        if self.subjects:
            shares = np.full(self.subjects, 1 / self.subjects)
            self._counts += np.random.default_rng(SEED).multinomial(self.subjects, shares, size=DRAWS)

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return the 95 % interval of the mean over columns of the means over cases.

        Args:
            values: (N, C) scores of N cases, for example under C combinations; NaN is left out of its mean.

        Returns:
            The two ends; NaN where fewer than two subjects have a value.
        """
        known = np.isfinite(values)
        if len(set(self._of_case[known.any(1)])) < 2:
            return float("nan"), float("nan")
        weights = self._counts[:, self._of_case]
        means = _ratio(weights @ np.where(known, values, 0), weights @ known)
        there = np.isfinite(means)
        of_draws = _ratio(np.where(there, means, 0).sum(1), there.sum(1))
        low, high = np.nanquantile(of_draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def _ratio(above: NDArray[np.floating], below: NDArray[np.number]) -> NDArray[np.float64]:
    """Divide; NaN where nothing was counted (a draw in which no subject has a value)."""
    ratio: NDArray[np.float64] = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio
