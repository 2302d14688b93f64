"""An outline encloses exactly the pixels of its mask."""

import re

import numpy as np
import pytest

from hga_cli.reporting.outlines import outlines, svg_path


def area(loop):
    """Signed area: above 0 where the line runs clockwise on a screen (y grows downwards)."""
    following = [*loop[1:], loop[0]]
    return sum(x * b - a * y for (x, y), (a, b) in zip(loop, following, strict=True)) / 2


def filled(loops, shape):
    """Fill closed lines again: a pixel is inside where an odd number of upright edges lies to its left."""
    crossings = np.zeros((shape[0], shape[1] + 1), int)
    for loop in loops:
        for (x, y), (a, b) in zip(loop, [*loop[1:], loop[0]], strict=True):
            if x == a:
                crossings[min(y, b) : max(y, b), x] += 1
    return crossings.cumsum(1)[:, :-1] % 2 == 1


@pytest.mark.parametrize("seed", range(20))
def test_filling_the_outline_gives_the_mask(seed):
    generator = np.random.default_rng(seed)
    mask = generator.random((generator.integers(1, 12), generator.integers(1, 12))) < generator.random()
    loops = outlines(mask)
    assert np.array_equal(filled(loops, mask.shape), mask)
    assert sum(map(area, loops)) == np.count_nonzero(mask)


@pytest.mark.parametrize("seed", range(5))
def test_each_corner_is_a_turn(seed):
    for loop in outlines(np.random.default_rng(seed).random((9, 9)) < 0.6):
        for before, here, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True):
            assert (before[0] == here[0]) != (here[0] == after[0])


def test_ring_has_a_hole_that_runs_the_other_way():
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert sorted(map(area, outlines(mask))) == [-1, 25]


def test_rows_are_y_and_columns_are_x():
    mask = np.zeros((4, 9), bool)
    mask[1, 5:8] = True
    (loop,) = outlines(mask)
    assert set(loop) == {(5, 1), (8, 1), (8, 2), (5, 2)}


def test_empty_mask():
    assert outlines(np.zeros((3, 3), bool)) == []
    assert svg_path([]) == ""


def test_path():
    mask = np.ones((1, 2), bool)
    (loop,) = outlines(mask)
    path = svg_path([loop, loop])
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+){3}Z){2}", path)
    assert [(int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+)", path)] == [*loop, *loop]
