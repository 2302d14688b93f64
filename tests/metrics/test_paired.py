import numpy as np
import pytest
from scipy.stats import wilcoxon

from hga_cli.metrics.paired import paired_test


def test_by_hand():
    """Ranks of |1|, |-2|, |3|, |4|: 1 to 4; the sum above is 8, below 2. Of 16 signs, 3 are as low: p = 2 * 3 / 16."""
    found = paired_test([2, 1, 4, 5], [1, 3, 1, 1])
    assert (found.n, found.mean_difference) == (4, 1.5)
    assert found.effect_size == pytest.approx((8 - 2) / 10)
    assert found.p_value == pytest.approx(0.375)


def test_as_scipy():
    first, second = np.random.default_rng(0).random((2, 40))
    assert paired_test(first, second).p_value == pytest.approx(wilcoxon(first, second).pvalue)


def test_turned_round():
    first, second = np.random.default_rng(1).random((2, 15))
    one, other = paired_test(first, second), paired_test(second, first)
    assert (one.mean_difference, one.effect_size) == pytest.approx((-other.mean_difference, -other.effect_size))
    assert one.p_value == other.p_value


def test_always_better():
    second = np.random.default_rng(2).random(12)
    found = paired_test(second + 0.1, second)
    assert (found.effect_size, found.mean_difference) == pytest.approx((1, 0.1))
    assert found.p_value < 0.01


def test_equal_models():
    """Equal but for rounding: no difference, and no rank of one."""
    values = np.random.default_rng(3).random(9)
    for other in (values, values + 1e-16):
        found = paired_test(values, other)
        assert (found.p_value, found.effect_size) == (1.0, 0.0)


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [1, 2]), ([np.nan], [1.0]), ([[1]], [[1]])])
def test_errors(first, second):
    with pytest.raises(ValueError, match="finite numbers"):
        paired_test(first, second)
