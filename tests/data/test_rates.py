"""Missing rates: how they are written, what is refused, and what can be reached."""

import pytest

from hga_cli.core.errors import UsageError
from hga_cli.data.rates import most_possible, parse_rates, rates_in_words, rates_name

DIGITS = ("t1", "t1ce", "flair", "t2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mr2468", {"t1": 0.2, "t1ce": 0.4, "flair": 0.6, "t2": 0.8}),
        ("mr0000", dict.fromkeys(DIGITS, 0.0)),
        ("t1=0.2,t2=0.8", {"t1": 0.2, "t1ce": 0.0, "flair": 0.0, "t2": 0.8}),
        (" flair = 0.95 ", {"t1": 0.0, "t1ce": 0.0, "flair": 0.95, "t2": 0.0}),
        ("mr009p50", {"t1": 0.0, "t1ce": 0.0, "flair": 0.95, "t2": 0.0}),
        ("mr9p90p10p05", {"t1": 0.99, "t1ce": 0.01, "flair": 0.0, "t2": 0.5}),
        ({"t2": 0.25}, {"t1": 0.0, "t1ce": 0.0, "flair": 0.0, "t2": 0.25}),
    ],
    ids=str,
)
def test_rates_are_read(text, expected):
    rates = parse_rates(text, DIGITS)
    assert rates == expected
    assert list(rates) == list(DIGITS)


@pytest.mark.parametrize(
    ("rates", "message", "hint"),
    [
        ("t1=20", "missing rate of t1 is 20, expected 0 <= rate < 1", "0.2 for 20 %"),
        ("t1=1.0", "missing rate of t1 is 1,", "a modality nobody has is no modality"),
        ("t1=-0.1", "missing rate of t1 is -0.1", "0.2 for 20 %"),
        ("t1=nan", "missing rate of t1 is nan", "0.2 for 20 %"),
        ("t1=inf", "missing rate of t1 is inf", "0.2 for 20 %"),
        ({"t1": 100}, "missing rate of t1 is 100", "0.2 for 20 %"),
        ("mr246", "'mr246' has 3 digits, expected 4: t1, t1ce, flair, t2", "t1=0.5,t1ce=0.5"),
        ("mr24680", "has 5 digits, expected 4", "flair=0.5"),
        ("flairr=0.2", "no modality called 'flairr'", "did you mean 'flair'?"),
        ("t1", "cannot read the rate 't1'", "--rates"),
        ("t1=x", "cannot read the rate 't1=x'", "--rates"),
        ("t1=0.2,", "cannot read the rate ''", "--rates"),
        ("", "cannot read the rate ''", "--rates"),
        ("mr-2468", "cannot read the rate 'mr-2468'", "--rates"),
        ("mr009p5", "'mr009p5' has 3 digits, expected 4", "flair=0.5"),
        ("mrp2468", "cannot read the rate 'mrp2468'", "0.2 for 20 %"),
        ("mr24pp8", "cannot read the rate 'mr24pp8'", "0.2 for 20 %"),
        ("20", "cannot read the rate '20'", "0.2 for 20 %"),
        ("100", "cannot read the rate '100'", "0.2 for 20 %"),
        ("1.0", "cannot read the rate '1.0'", "0.2 for 20 %"),
        ("mr24.8", "cannot read the rate 'mr24.8'", "--rates"),
    ],
    ids=str,
)
def test_rates_that_cannot_be_are_refused(rates, message, hint):
    """Case C04: percent, one, negative numbers, and a wrong number of digits."""
    with pytest.raises(UsageError) as caught:
        parse_rates(rates, DIGITS)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("rates", "name"),
    [
        ("mr2468", "mr2468"),
        ("t1=0.5", "mr5000"),
        ("flair=0.95", "mr009p50"),
        ("t2=0.125", "mr_t1-0_t1ce-0_flair-0_t2-0.125"),
    ],
)
def test_name_made_from_the_rates(rates, name):
    assert rates_name(parse_rates(rates, DIGITS)) == name


@pytest.mark.parametrize("count", range(2, 7))
def test_short_form_of_any_length_and_back(count):
    digits = tuple(f"m{place}" for place in range(count))
    for first in range(100):
        rates = {name: ((first + 7 * place) % 100) / 100 for place, name in enumerate(digits)}
        assert parse_rates(rates_name(rates), digits) == rates


def test_meaning_of_the_digits():
    assert rates_in_words(parse_rates("mr2468", DIGITS)) == "mr2468: t1 0.2, t1ce 0.4, flair 0.6, t2 0.8"
    assert rates_in_words(parse_rates("mr009p50", DIGITS)) == "mr009p50: t1 0, t1ce 0, flair 0.95, t2 0"


@pytest.mark.parametrize(("modalities", "expected"), [(1, 0), (2, 0.5), (4, 0.75), (5, 0.8)])
def test_most_that_can_be_missing(modalities, expected):
    """Each unit keeps one of M modalities: at most (M - 1) / M of all are missing."""
    assert most_possible(modalities) == expected
