"""Who misses what: a published table row by row, and the properties that hold for any number of modalities."""

import json
import math
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hga_cli.core.errors import DataError
from hga_cli.data.imbalance import ImbalanceTable, crowding, draw_presence, item_of, name_of, realised_rates
from hga_cli.data.rates import parse_rates, rates_name
from hga_cli.data.raw.description import load_description

BRATS = load_description("brats")
DIGITS, PATTERNS, ORDER = BRATS.digits, BRATS.imbalance.patterns, BRATS.modalities
GOLDEN = json.loads((Path(__file__).parent / "golden_imbalance.json").read_text())
PUBLISHED = GOLDEN["published"]


def brats_names():
    """Names of BraTS 2020: HG for numbers up to 259 and from 336 on, else LG."""
    numbers = PUBLISHED["numbers"].split()
    return [f"{'HG' if not 259 < int(number) < 336 else 'LG'}_BraTS20_Training_{number}" for number in numbers]


def flags_of(digit):
    return tuple(bool(int(digit, 16) & bit) for bit in (8, 4, 2, 1))


def drawn(present, rates, *, patterns=PATTERNS, rule="expected", empty="redraw", seed=1037):
    """Flags in the order of the digits, for units that are one case each."""
    return draw_presence(
        [[case] for case in present], rates=rates, patterns=patterns, rule=rule, empty=empty, seed=seed
    )


def rows_in_order(flags):
    return [tuple(bool(row[DIGITS.index(name)]) for name in ORDER) for row in flags]


def toy(count):
    return tuple(f"m{place}" for place in range(count))


def test_published_table_of_brats_row_by_row():
    names = brats_names()
    assert names == sorted(names)
    assert len(names) == 219
    flags = drawn([ORDER] * len(names), parse_rates("mr2468", DIGITS))
    assert rows_in_order(flags) == [flags_of(digit) for digit in PUBLISHED["rows"]]


@pytest.mark.parametrize("golden", GOLDEN["generated"], ids=lambda golden: rates_name(golden["rates"]))
def test_other_numbers_rates_and_seeds(golden):
    """Among them rates of 0.9, where 22 of 30 rows are drawn again, and only 12 names for 15 patterns."""
    rates = parse_rates(golden["rates"], DIGITS)
    flags = drawn([ORDER] * len(golden["rows"]), rates, seed=golden["seed"])
    assert rows_in_order(flags) == [flags_of(digit) for digit in golden["rows"]]


@pytest.mark.parametrize("count", range(2, 7))
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 0.95])
def test_any_number_of_modalities(count, rate):
    """Each pattern of presence fills at least its expected size; nobody is left with nothing."""
    modalities, total = toy(count), 600
    rates = {name: rate if place % 2 == 0 else rate / 2 for place, name in enumerate(modalities)}
    flags = drawn([modalities] * total, rates, patterns=())
    assert flags.shape == (total, count)
    assert flags.any(axis=1).all()
    found = Counter(tuple(row) for row in flags.tolist())
    for pattern in product([True, False], repeat=count):
        share = math.prod(
            1 - rates[name] if here else rates[name] for name, here in zip(modalities, pattern, strict=True)
        )
        if any(pattern):
            assert found[pattern] >= (max(1, int(total * share - 1e-9)) if share else 0)
        assert share or not found[pattern]


@pytest.mark.parametrize("count", range(2, 7))
def test_rate_of_zero_means_never_missing(count):
    """As in the published mr0050: not even one case, although every possible pattern occurs at least once."""
    modalities = toy(count)
    rates = dict.fromkeys(modalities, 0.0) | {"m0": 0.999}
    flags = drawn([modalities] * 50, rates, patterns=())
    assert flags[:, 1:].all()
    assert flags[:, 0].sum() in (1, 2)


@pytest.mark.parametrize("rule", ["expected", "bernoulli"])
@pytest.mark.parametrize("count", range(2, 7))
def test_realised_rates_are_near_the_wanted_ones(rule, count):
    """Low rates, so that hardly a row is drawn again."""
    modalities = toy(count)
    rates = {name: 0.1 + 0.05 * place for place, name in enumerate(modalities)}
    flags = drawn([modalities] * 2000, rates, patterns=(), rule=rule)
    np.testing.assert_allclose(1 - flags.mean(axis=0), list(rates.values()), atol=0.04)


def test_drawing_again_makes_rows_richer_where_rates_are_high():
    flags = drawn([toy(2)] * 2000, {"m0": 0.9, "m1": 0.9}, patterns=(), rule="bernoulli")
    assert flags.any(axis=1).all()
    assert 1 - flags.mean() == pytest.approx((0.9 - 0.81) / (1 - 0.81), abs=0.03)


@pytest.mark.parametrize("empty", ["redraw", "drop"])
def test_bernoulli_draws_each_modality_on_its_own(empty):
    """As the published table of MSSEG: present where a uniform number of the legacy generator is above the rate."""
    modalities, total = toy(5), 1000
    rates = dict(zip(modalities, (0.9, 0.7, 0.5, 0.3, 0.1), strict=True))
    generator = np.random.RandomState(1048)
    expected = np.stack([generator.uniform(size=total) > rate for rate in rates.values()], axis=1)
    flags = drawn([modalities] * total, rates, patterns=(), rule="bernoulli", empty=empty, seed=1048)
    complete = expected.any(axis=1)
    np.testing.assert_array_equal(flags[complete], expected[complete])
    assert (~complete).sum() > 0
    assert flags[~complete].any(axis=1).all() == (empty == "redraw")


def test_dropped_units_have_nothing_left_of_what_is_there():
    """Without a second draw: also where only absent modalities would be left."""
    rates = {"m0": 0.5, "m1": 0.5}
    flags = drawn([("m0",)] * 400, rates, patterns=(), rule="bernoulli", empty="drop")
    np.testing.assert_allclose(flags.mean(axis=0), 0.5, atol=0.1)


@pytest.mark.parametrize(
    ("total", "rates", "patterns", "extra"),
    [
        (100, {"m0": 0.5, "m1": 0.5}, 3, 0),
        (2, {"m0": 0.5, "m1": 0.5}, 3, 1.5),
        (100, {"m0": 0.0, "m1": 0.5}, 2, 0),
        (10, {"m0": 0.99, "m1": 0.0}, 2, 0.9),
        (219, dict.fromkeys(DIGITS, 0.9), 15, 1 - 219 * 0.1**4 + 4 * (1 - 219 * 0.9 * 0.1**3)),
    ],
    ids=str,
)
def test_crowding_of_rare_patterns(total, rates, patterns, extra):
    """A pattern expected less than once gets one unit: what is beyond its expectation."""
    found, found_extra = crowding(total, rates, ())
    assert found == patterns
    assert found_extra == pytest.approx(extra)


def test_seed_decides():
    rates = parse_rates("mr2468", DIGITS)
    first, again, other = (drawn([ORDER] * 50, rates, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rule", ["expected", "bernoulli"])
def test_incomplete_case_always_keeps_something_it_has(rule):
    """A table hides; what a case truly lacks it cannot use, so rows are drawn again until something real is left."""
    rates = parse_rates("mr2468", DIGITS)
    present = [("t2",), ("flair",), ("flair", "t2"), ORDER] * 30
    flags = drawn(present, rates, rule=rule)
    for has, row in zip(present, flags, strict=True):
        assert set(has) & {name for name, flag in zip(DIGITS, row, strict=True) if flag}


def test_incomplete_cases_do_not_change_the_draw_of_earlier_ones():
    rates = parse_rates("mr2468", DIGITS)
    whole, part = drawn([ORDER] * 60, rates), drawn([ORDER] * 50 + [("t2",)] * 10, rates)
    np.testing.assert_array_equal(part[:50], whole[:50])


def test_unit_of_several_cases_leaves_something_in_each():
    rates = {"m0": 0.5, "m1": 0.5}
    visits = [[("m0",), ("m1",)], [("m0",), ("m0", "m1")]] * 20
    flags = draw_presence(visits, rates=rates, patterns=(), rule="bernoulli", empty="redraw", seed=0)
    assert flags[::2].all()
    assert flags[1::2, 0].all()
    assert not flags[1::2, 1].all()


TABLE = ImbalanceTable(
    name="mine",
    cases=["a", "b", "c"],
    modalities=ORDER,
    available=[(True,) * 4, (True, False, False, True), (False, True, False, True)],
)


def test_table_can_only_hide():
    assert TABLE.available_of({"a": ("flair", "t2"), "b": ORDER}) == {"a": ("flair", "t2"), "b": ("flair", "t2")}
    assert TABLE.available_of({"c": ("t1ce", "t1")}) == {"c": ("t1ce",)}
    assert TABLE.rows() == {"a": ORDER, "b": ("flair", "t2"), "c": ("t1ce", "t2")}


def test_case_that_is_not_in_the_table():
    with pytest.raises(DataError, match="imbalance table 'mine' has no row for 1 training cases: z") as caught:
        TABLE.available_of({"a": ORDER, "z": ORDER})
    assert "hga make-imbalance" in caught.value.hint


def test_case_that_lost_what_the_table_leaves_it():
    with pytest.raises(DataError, match="training cases are left without any modality: b"):
        TABLE.available_of({"a": ORDER, "b": ("t1",)})


def test_row_with_nothing_is_no_error():
    table = ImbalanceTable(name="mine", cases=["a", "b"], modalities=("m0",), available=[(False,), (True,)])
    assert table.available_of({"a": ("m0",), "b": ("m0",)}) == {"a": (), "b": ("m0",)}
    assert realised_rates(table) == {"m0": 0}


def test_rows_that_are_slices():
    """A case may lack slices; others may be in the table."""
    table = ImbalanceTable(
        name="mine",
        cases=["a_slice_10", "a_slice_9", "b_slice_0"],
        modalities=("m0", "m1"),
        available=[(True, False), (True, True), (False, True)],
        about={"unit": "slice"},
    )
    assert table.available_of({"a": ("m0",), "c": ("m1",)}) == {"a_slice_10": ("m0",), "a_slice_9": ("m0",)}


@pytest.mark.parametrize("case", ["a", "a_slice_2", "1", "x y"])
def test_names_of_slices(case):
    assert name_of((case, None)) == case
    assert item_of(name_of((case, 17))) == (case, 17)


def test_realised_rates():
    assert realised_rates(TABLE) == pytest.approx({"flair": 1 / 3, "t1ce": 1 / 3, "t1": 2 / 3, "t2": 0})
