"""The solutions keep the conditions that make them the solutions."""

import numpy as np
import pytest

from hga_cli.balancing.small_problems import bargain, conflict_averse, onto_dual_cone, root, shortest


def gradients(count, seed, size=7):
    """Rows that conflict more or less, scaled so that their products have trace 1."""
    drawn = np.random.default_rng([count, seed])
    rows = drawn.standard_normal((count, size)) * drawn.uniform(0.01, 3, (count, 1)) + 0.3 * drawn.standard_normal(size)
    return rows / np.linalg.norm(rows)


PROBLEMS = [gradients(count, seed) for count in (2, 3, 5, 6) for seed in range(6)]
SINGULAR = [
    np.array([[1.0, 0.0], [1.0, 0.0]]) / np.sqrt(2),
    np.array([[1.0, 0.0], [-1.0, 0.0]]) / np.sqrt(2),
    np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]]) / np.sqrt(26),
    gradients(6, 0, size=3),
]
each = pytest.mark.parametrize("rows", PROBLEMS + SINGULAR)


@each
def test_root(rows):
    gram = rows @ rows.T
    assert root(gram).T @ root(gram) == pytest.approx(gram, abs=1e-12)


@each
def test_shortest(rows):
    """On the simplex, and no gradient has a product with it below its own squared length."""
    weights = shortest(rows @ rows.T)
    direction = weights @ rows
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert (rows @ direction >= direction @ direction - 1e-9).all()


@each
def test_onto_dual_cone(rows):
    """It conflicts with no gradient, only adds, and adds only gradients it is orthogonal to."""
    for start in np.eye(len(rows)):
        weights = onto_dual_cone(rows @ rows.T, start)
        products = rows @ (weights @ rows)
        assert (products >= -1e-7).all()
        assert (weights >= start - 1e-12).all()
        assert (weights - start) @ products == pytest.approx(0, abs=1e-9)


@each
@pytest.mark.parametrize("radius", [0.2, 0.5, 0.9])
def test_conflict_averse(rows, radius):
    """No other direction within reach of the mean helps the worst task more."""
    mean = rows.mean(0)
    reach = radius * np.linalg.norm(mean)
    direction = conflict_averse(rows @ rows.T, radius) @ rows
    assert np.linalg.norm(direction - mean) <= reach * (1 + 1e-6) + 1e-9
    worst = (rows @ direction).min()
    drawn = np.random.default_rng(0).standard_normal((4000, rows.shape[1]))
    others = mean + reach * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    near = direction + 0.02 * reach * drawn
    near = mean + (near - mean) * np.minimum(1, reach / np.linalg.norm(near - mean, axis=1, keepdims=True).clip(1e-12))
    for some in (others, near):
        assert (some @ rows.T).min(1).max() <= worst + 1e-6


@pytest.mark.parametrize("rows", PROBLEMS)
def test_bargain(rows):
    """G a = 1 / a; the diagonal has a little more."""
    gram = rows @ rows.T
    weights = bargain(gram)
    assert (weights > 0).all()
    assert weights * (gram @ weights) == pytest.approx(np.ones(len(rows)), abs=1e-3)
    assert weights * ((gram + 1e-8 * np.eye(len(rows))) @ weights) == pytest.approx(np.ones(len(rows)), abs=1e-9)


@pytest.mark.parametrize("rows", SINGULAR)
def test_bargain_of_dependent_gradients_is_finite(rows):
    weights = bargain(rows @ rows.T)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
