"""Colours keep the order of their numbers, and the numbers can be read on them."""

import re

import numpy as np
import pytest

from hga_cli.reporting.heat_map import DICE, FAR, Shade, cell, combination_header, distance_shade, heat_map

MODALITIES = ("flair", "t1ce", "t1", "t2")


def colours(style):
    """Background and letters as red, green, blue."""
    background = tuple(map(int, re.search(r"rgb\((\d+),(\d+),(\d+)\)", style).groups()))
    return background, (0, 0, 0) if "#000" in style else (255, 255, 255)


def luminance(colour):
    """As defined by WCAG 2."""
    shares = [value / 255 for value in colour]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("value", np.linspace(0, 1, 41))
def test_numbers_can_be_read(value):
    """Contrast 4.5 : 1, level AA of WCAG 2."""
    low, high = sorted(map(luminance, colours(DICE.style(value))))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_better_is_brighter():
    brightness = [luminance(colours(DICE.style(value))[0]) for value in np.linspace(0, 1, 21)]
    assert (np.diff(brightness) > 0).all()


def test_shorter_distances_are_better():
    shade = distance_shade([3.0, None, float("nan"), 50.0])
    assert shade == Shade(worst=50.0, best=0)
    assert luminance(colours(shade.style(3.0))[0]) > luminance(colours(shade.style(50.0))[0])


def test_short_distances_have_the_same_colours_everywhere():
    assert distance_shade([0.5, 2.0]) == distance_shade([]) == distance_shade([None]) == Shade(worst=FAR, best=0)


def test_values_beyond_the_scale_have_its_ends():
    assert DICE.style(-1) == DICE.style(0)
    assert DICE.style(2) == DICE.style(1)


def test_cells():
    assert ">87.3</td>" in cell(0.8731, DICE)
    assert ">12.0</td>" in cell(12.0, distance_shade([12.0]))
    assert [cell(value, DICE) for value in (None, float("nan"))] == ["<td>-</td>", "<td>-</td>"]
    assert 'title="3 cases"' in cell(0.5, DICE, "3 cases")


def test_combination_is_a_picture_and_a_name():
    made = combination_header("flair+t2", MODALITIES)
    assert "●○○●" in made
    assert ">flair+t2<" in made


def test_rows_in_their_order_and_sums_below():
    made = heat_map(
        "Dice", ["WT"], {"flair": [cell(0.1, DICE)], "t1": [cell(0.2, DICE)]}, MODALITIES, {"mean": [cell(0.15, DICE)]}
    )
    assert re.findall(r">([\d.]+)</td>", made) == ["10.0", "20.0", "15.0"]
    assert made.index(">t1<") < made.index('class="sum"') < made.index(">mean<")
    assert 'scope="col">WT<' in made
    assert "<caption>Dice</caption>" in made
