"""Which cases are seen in which step: functions of the step, fair to every case and every combination."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from hga_cli.alignment.cycle import CycleSampler
from hga_cli.core.combinations import all_combinations
from hga_cli.core.errors import DataError
from hga_cli.data.sampling import CaseSampler

MODALITIES = ("flair", "t1ce", "t1", "t2")
ORDERS = ["fixed", "random", "ascending_then_random", "group_fixed_order", "group_sequential"]
EVERYTHING = all_combinations(MODALITIES)
GENERATOR = np.random.default_rng(0)
MIXED = {f"c{place:02}": EVERYTHING[int(GENERATOR.integers(15))] for place in range(40)} | {"full": MODALITIES}
LACKING = {"a": ("flair",), "b": ("flair", "t2"), "c": ("t2",), "d": ("flair", "t2"), "e": ("t1", "t2")}


def cycles(available=MIXED, *, batch=2, order="random", seed=7):
    return CycleSampler(available, MODALITIES, batch=batch, order=order, seed=seed)


def passes(available=MIXED, *, batch=2, seed=7):
    return CaseSampler(available, MODALITIES, batch=batch, order="random", seed=seed)


def draws(sampler, steps):
    return [sampler.draw(step) for step in steps]


@pytest.mark.parametrize("make", [cycles, passes], ids=["cycle", "case"])
def test_draw_is_a_function_of_the_step(make):
    """Another sampler, asked backwards and twice, says the same: a resumed run continues exactly."""
    forwards = draws(make(), range(60))
    later = make()
    assert draws(later, range(59, -1, -1))[::-1] == forwards
    assert later.draw(17) == forwards[17]


@pytest.mark.parametrize("make", [cycles, passes], ids=["cycle", "case"])
def test_order_of_the_cases_does_not_matter_and_the_seed_does(make):
    forwards = draws(make(), range(60))
    assert draws(make(dict(reversed(list(MIXED.items())))), range(60)) == forwards
    assert draws(make(seed=8), range(60)) != forwards


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("available", [MIXED, LACKING, {"a": ("t1",)}], ids=["15 combinations", "lacking", "one"])
def test_cycle_has_each_owned_combination_once(available, order):
    sampler = cycles(available, order=order)
    owned = {
        combination for combination in EVERYTHING if any(set(combination) <= set(has) for has in available.values())
    }
    assert set(sampler.pools) == owned
    assert sampler.cycle_length == len(owned)
    for cycle in range(8):
        steps = range(cycle * len(owned), (cycle + 1) * len(owned))
        found = draws(sampler, steps)
        assert Counter(draw.combination for draw in found) == dict.fromkeys(owned, 1)
        assert [draw.ends_cycle for draw in found] == [False] * (len(owned) - 1) + [True]


@pytest.mark.parametrize("order", ORDERS)
def test_cases_own_the_combination_of_their_batch(order):
    for draw in draws(cycles(order=order, batch=3), range(90)):
        assert all(set(draw.combination) <= set(MIXED[case]) for case in draw.cases)


def sequence(order, cycle, seed=7):
    return [draw.combination for draw in draws(cycles(order=order, seed=seed), range(15 * cycle, 15 * cycle + 15))]


def test_fixed_order():
    assert all(sequence("fixed", cycle) == EVERYTHING for cycle in range(4))


def test_first_cycle_ascends_and_the_others_are_random():
    assert sequence("ascending_then_random", 0) == EVERYTHING
    others = [tuple(sequence("ascending_then_random", cycle)) for cycle in range(1, 6)]
    assert len(set(others)) == 5
    assert tuple(EVERYTHING) not in others


def test_random_order_changes_from_the_first_cycle_on():
    found = [tuple(sequence("random", cycle)) for cycle in range(5)]
    assert len({tuple(EVERYTHING), *found}) == 6


def sizes(combinations):
    return [len(combination) for combination in combinations]


def test_groups_in_fixed_order():
    """Sizes ascend; members of a size are shuffled anew in each cycle."""
    found = [sequence("group_fixed_order", cycle) for cycle in range(5)]
    assert all(sizes(one) == sizes(EVERYTHING) for one in found)
    assert len({tuple(one) for one in found}) == 5


def test_groups_one_after_the_other():
    """Sizes are shuffled too, but stay together."""
    found = [sizes(sequence("group_sequential", cycle)) for cycle in range(12)]
    for one in found:
        assert sum(left != right for left, right in pairwise(one)) == 3
    assert len({tuple(one) for one in found}) > 4


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
def test_pool_is_passed_through_again_and_again(batch):
    """Every case of a pool once per pass, whatever the batch; a batch never has fewer cases than it could."""
    sampler = cycles(batch=batch)
    seen = {combination: [] for combination in sampler.pools}
    for draw in draws(sampler, range(15 * 60)):
        assert len(draw.cases) == min(batch, len(sampler.pools[draw.combination]))
        seen[draw.combination] += draw.cases
    for combination, pool in sampler.pools.items():
        order = seen[combination]
        rounds = [order[start : start + len(pool)] for start in range(0, len(order) - len(pool) + 1, len(pool))]
        assert all(sorted(one) == pool for one in rounds)
        assert len(rounds) >= 1
        if len(pool) > 3 and batch == 64:
            assert len({tuple(one) for one in rounds}) > 1


def test_pool_holds_the_cases_that_own_at_least_the_combination():
    sampler = cycles(LACKING)
    assert sampler.pools == {
        ("flair",): ["a", "b", "d"],
        ("t1",): ["e"],
        ("t2",): ["b", "c", "d", "e"],
        ("flair", "t2"): ["b", "d"],
        ("t1", "t2"): ["e"],
    }


@pytest.mark.parametrize(
    ("cases", "batch", "expected"), [(41, 2, 30), (41, 1, 45), (41, 64, 15), (41, 3, 15), (30, 2, 15), (31, 2, 30)]
)
def test_epoch_is_a_pass_rounded_up_to_whole_cycles(cases, batch, expected):
    available = dict.fromkeys([f"c{number}" for number in range(cases)], MODALITIES)
    assert cycles(available, batch=batch).default_iterations == expected


def test_no_case_at_all():
    with pytest.raises(DataError, match="no case to train with"):
        cycles({})


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_every_case_once_per_pass_with_all_it_has(batch):
    sampler = passes(batch=batch)
    length = sampler.default_iterations
    assert length == sum(-(-count // batch) for count in Counter(MIXED.values()).values())
    for number in range(5):
        found = draws(sampler, range(number * length, (number + 1) * length))
        assert sorted(case for draw in found for case in draw.cases) == sorted(MIXED)
        for draw in found:
            assert {MIXED[case] for case in draw.cases} == {draw.combination}
            assert 1 <= len(draw.cases) <= batch
            assert not draw.ends_cycle


def test_passes_differ():
    sampler = passes()
    length = sampler.default_iterations
    rounds = {
        tuple(draw.cases for draw in draws(sampler, range(number * length, (number + 1) * length)))
        for number in range(5)
    }
    assert len(rounds) == 5


def test_batches_of_a_combination_are_not_in_a_row():
    combinations = [draw.combination for draw in draws(passes(), range(passes().default_iterations))]
    changes = sum(left != right for left, right in pairwise(combinations))
    assert changes > len(set(combinations))
