from itertools import product

import pytest

from hga_cli.core.combinations import (
    all_combinations,
    combination_name,
    dots,
    in_order,
    parse_combination,
    parse_combinations,
)
from hga_cli.core.errors import UsageError

BRATS = ("flair", "t1ce", "t1", "t2")


@pytest.mark.parametrize("count", range(1, 6))
def test_every_non_empty_subset_once(count):
    modalities = tuple(f"m{index}" for index in range(count))
    found = all_combinations(modalities)
    flags = {tuple(name in combination for name in modalities) for combination in found}
    assert flags == {row for row in product([False, True], repeat=count) if any(row)}
    assert len(found) == 2**count - 1
    assert [len(combination) for combination in found] == sorted(len(combination) for combination in found)
    assert all(combination == in_order(combination, modalities) for combination in found)
    assert found[-1] == modalities


@pytest.mark.parametrize("count", range(1, 6))
def test_names_are_unique_and_read_back(count):
    modalities = tuple(f"m{index}" for index in range(count))
    found = all_combinations(modalities)
    names = [combination_name(combination) for combination in found]
    assert len(set(names)) == len(names)
    assert [parse_combination(name, modalities) for name in names] == found
    assert parse_combinations(",".join(names), modalities) == found
    assert parse_combinations("all", modalities) == found


def test_names_follow_the_order_of_the_data_set():
    assert combination_name(parse_combination(" t2 + flair ", BRATS)) == "flair+t2"
    assert in_order({"t2", "t1", "flair", "foreign"}, BRATS) == ("flair", "t1", "t2")


@pytest.mark.parametrize("text", ["", "+", "flair+", "t3", "FLAIR", "flair t2", "flair,t2", "all"])
def test_unknown_modality_is_refused_with_the_known_ones(text):
    with pytest.raises(UsageError, match="no modality called") as caught:
        parse_combination(text, BRATS)
    assert "flair, t1, t1ce, t2" in caught.value.hint


def test_mistyped_modality_gets_a_suggestion():
    with pytest.raises(UsageError, match="'flairt'") as caught:
        parse_combinations("t1,flairt+t2", BRATS)
    assert caught.value.hint.startswith("did you mean 'flair'?")


def test_repeated_modality_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse_combination("t1+t2+t1", BRATS)


@pytest.mark.parametrize(
    ("combination", "picture"), [(("flair", "t2"), "●○○●"), (("t1ce",), "○●○○"), (BRATS, "●●●●"), ((), "○○○○")]
)
def test_dots(combination, picture):
    assert dots(combination, BRATS) == picture
