"""Curves lie where their numbers say, inside of the picture."""

import re

import numpy as np
import pytest
from _evil import EVIL

from hga_cli.reporting.charts import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, line_chart, ticks


def places(markup):
    """The points of each curve."""
    return [
        [tuple(map(float, pair.split(","))) for pair in points.split(" ")]
        for points in re.findall(r'points="([^"]+)"', markup)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_few_round_and_inside(seed):
    low, high = sorted(np.random.default_rng(seed).normal(size=2) * 10.0 ** (seed - 10))
    found = ticks(low, high)
    assert 2 <= len(found) <= 6
    assert all(low - 1e-6 * (high - low) <= value <= high + 1e-6 * (high - low) for value in found)
    steps = np.diff(found)
    assert np.allclose(steps, steps[0], rtol=1e-6) or high - low < 1e-10


def test_curve_is_linear_between_the_ends():
    ((first, second, third),) = places(line_chart("x", [Line(name="a", points=[(1, 2.0), (2, 4.0), (5, 6.0)])]))
    assert first == (LEFT, HEIGHT - BOTTOM)
    assert third == (WIDTH - RIGHT, TOP)
    assert second[0] == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 4, abs=0.06)
    assert second[1] == pytest.approx((TOP + HEIGHT - BOTTOM) / 2, abs=0.06)


def test_curves_share_their_axes():
    lower, upper = places(
        line_chart("x", [Line(name="a", points=[(1, 0.0), (2, 1.0)]), Line(name="b", points=[(1, 3.0), (2, 4.0)])])
    )
    assert min(y for _, y in lower) > max(y for _, y in upper)


def test_ends_of_the_axis():
    ((first, second),) = places(line_chart("x", [Line(name="a", points=[(1, 0.5), (2, 0.5)])], ends=(0, 1)))
    assert first[1] == second[1] == pytest.approx((TOP + HEIGHT - BOTTOM) / 2, abs=0.06)


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0, 1e-12])
def test_constant_values(value):
    ((first, second),) = places(line_chart("x", [Line(name="a", points=[(1, value), (2, value)])]))
    assert first[1] == second[1] == pytest.approx((TOP + HEIGHT - BOTTOM) / 2, abs=0.06)


def test_one_epoch_is_a_dot():
    made = line_chart("x", [Line(name="a", points=[(1, 0.5)])])
    assert places(made) == []
    assert made.count("<circle") == 1


def test_what_is_not_known_is_left_out():
    points = [(1, 1.0), (2, None), (3, float("nan")), (4, float("inf")), (5, 2.0)]
    made = line_chart("x", [Line(name="a", points=points), Line(name="b", points=[(1, None)])])
    assert [len(one) for one in places(made)] == [2]
    assert "nan" not in made
    assert ">b</li>" not in made


def test_colour_is_that_of_the_place_whoever_else_is_known():
    lines = [Line(name="a", points=[(1, 1.0), (2, 2.0)]), Line(name="b", points=[(1, 1.0), (2, 3.0)])]
    unknown = Line(name="a", points=[])
    looks = [re.findall(r'<li class="([^"]+)">b<', line_chart("x", [first, lines[1]])) for first in (lines[0], unknown)]
    assert looks == [["c1"], ["c1"]]


def test_nothing_is_known():
    made = line_chart("Loss", [Line(name="a", points=[])])
    assert "<svg" not in made
    assert "Loss: nothing was measured" in made


def test_picture_is_told_in_words():
    made = line_chart("Loss", [Line(name="a", points=[(1, 2.0), (8, 0.5)])])
    assert 'role="img" aria-label="Loss: a from 2 in epoch 1 to 0.5 in epoch 8"' in made


def test_names_are_escaped():
    made = line_chart(EVIL, [Line(name=EVIL, points=[(1, 1.0), (2, 2.0)])])
    assert "<script" not in made
    assert "<img" not in made


def test_many_lines_can_be_told_apart():
    lines = [Line(name=str(number), points=[(1, 1.0), (2, number)]) for number in range(COLOURS + 2)]
    looks = re.findall(r'<polyline[^>]* class="([^"]+)"', line_chart("x", lines))
    assert len(set(looks)) == COLOURS + 2
