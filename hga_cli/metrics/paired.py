"""Whether one model is better than another on the same cases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata, wilcoxon


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Wilcoxon's signed-rank test, two-sided. Source: Wilcoxon, Biometrics Bulletin 1 (1945).

    Args:
        n: pairs.
        mean_difference: mean of first - second.
        p_value: 1 where no pair differs; pairs without a difference are left out of the ranks.
        effect_size: matched-pairs rank-biserial correlation (Kerby 2014): (sum of the ranks where the first is higher -
            sum where it is lower) / sum of all ranks, -1 to 1; 0 where no pair differs.
    """

    n: int
    mean_difference: float
    p_value: float
    effect_size: float


def paired_test(first: ArrayLike, second: ArrayLike) -> PairedTest:
    """Compare two scores of the same N cases.

    Args:
        first: (N,) scores, at least one, all finite.
        second: (N,) scores of the same cases, in the same order.

    Raises:
        ValueError: the shapes differ, or there is no pair, or a value is not finite.
    """
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if left.shape != right.shape or left.ndim != 1 or not len(left) or not np.isfinite([left, right]).all():
        message = f"expected two equally long rows of finite numbers, found shapes {left.shape} and {right.shape}"
        raise ValueError(message)
    # Means over combinations differ by rounding where models are equal; without this such pairs would be ranked.
    difference = np.round(left - right, 12)
    moved = difference[difference != 0]
    ranks = rankdata(np.abs(moved))
    return PairedTest(
        n=len(left),
        mean_difference=float(difference.mean()),
        p_value=float(wilcoxon(moved).pvalue) if len(moved) else 1.0,
        effect_size=float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0,
    )
