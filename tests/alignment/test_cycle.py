from collections import Counter

import pytest

from hga_cli.alignment.cycle import CycleSampler
from hga_cli.core.catalog import SAMPLERS
from hga_cli.core.combinations import all_combinations
from hga_cli.core.errors import DataError

MODALITIES = ("flair", "t1ce", "t1", "t2")
ORDERS = ["fixed", "random", "ascending_then_random", "group_fixed_order", "group_sequential"]
every_order = pytest.mark.parametrize("order", ORDERS)
# no case has t1ce and t2 at once: 4 of the 15 combinations belong to nobody
UNEVEN = {
    "a": ("flair", "t1ce", "t1"),
    "b": ("flair", "t1", "t2"),
    "c": ("t2",),
    "d": ("flair", "t2"),
    "e": ("t1ce",),
    "f": ("t1",),
    "g": ("flair", "t1ce", "t1"),
}


def sampler(order="random", *, available=None, modalities=MODALITIES, batch=1, seed=1037):
    available = available or {"whole": modalities}
    return CycleSampler(available, modalities, batch=batch, order=order, seed=seed)


def cycles(one, number):
    """The first cycles, each a list of draws."""
    length = one.cycle_length
    return [[one.draw(cycle * length + place) for place in range(length)] for cycle in range(number)]


def sizes(cycle):
    return [len(draw.combination) for draw in cycle]


@every_order
@pytest.mark.parametrize("modalities", [MODALITIES[:2], MODALITIES[:3], MODALITIES, (*MODALITIES, "pd")], ids=len)
def test_a_cycle_has_every_combination_once(modalities, order):
    one = sampler(order, modalities=modalities)
    assert one.cycle_length == 2 ** len(modalities) - 1
    for cycle in cycles(one, 5):
        assert sorted(draw.combination for draw in cycle) == sorted(all_combinations(modalities))


@every_order
def test_the_end_of_a_cycle_is_told_exactly_then(order):
    one = sampler(order, available=UNEVEN)
    ends = [step for step in range(50) if one.draw(step).ends_cycle]
    assert ends == list(range(one.cycle_length - 1, 50, one.cycle_length))


@every_order
def test_combinations_of_nobody_are_left_out(order):
    one = sampler(order, available=UNEVEN)
    owned = [wanted for wanted in all_combinations(MODALITIES) if any(set(wanted) <= set(h) for h in UNEVEN.values())]
    assert one.cycle_length == len(owned) == 11
    for cycle in cycles(one, 3):
        assert sorted(draw.combination for draw in cycle) == sorted(owned)


@every_order
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_cases_own_what_they_are_drawn_for(batch, order):
    for cycle in cycles(sampler(order, available=UNEVEN, batch=batch), 4):
        for draw in cycle:
            assert all(set(draw.combination) <= set(UNEVEN[case]) for case in draw.cases)
            owners = sum(set(draw.combination) <= set(has) for has in UNEVEN.values())
            assert len(draw.cases) == min(batch, owners)


def test_a_pool_is_every_case_with_at_least_the_combination():
    pools = sampler(available=UNEVEN).pools
    assert pools["flair",] == ["a", "b", "d", "g"]
    assert pools["flair", "t1"] == ["a", "b", "g"]
    assert pools["t1", "t2"] == ["b"]
    assert ("t1ce", "t2") not in pools


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_each_pass_through_a_pool_visits_every_case_once(batch):
    """The pool of flair has 4 cases: whatever the batch, 12 cycles show each of them 3 x batch times."""
    one = sampler(available=UNEVEN, batch=batch)
    seen = [
        case for cycle in cycles(one, 12) for draw in cycle if draw.combination == ("flair",) for case in draw.cases
    ]
    passes = [seen[start : start + 4] for start in range(0, len(seen), 4)]
    assert len(passes) == 3 * batch
    assert all(sorted(one_pass) == ["a", "b", "d", "g"] for one_pass in passes)
    assert len({tuple(one_pass) for one_pass in passes}) > 1


def test_pools_are_shuffled_each_on_its_own():
    twins = {name: MODALITIES for name in "abcdefgh"}
    one = sampler("fixed", available=twins)
    orders = {}
    for cycle in cycles(one, 8):
        for draw in cycle:
            orders.setdefault(draw.combination, []).extend(draw.cases)
    assert len({tuple(order) for order in orders.values()}) > 10


def test_fixed_goes_by_size_and_then_in_the_order_of_modalities():
    for cycle in cycles(sampler("fixed"), 3):
        assert [draw.combination for draw in cycle] == all_combinations(MODALITIES)


def test_random_is_another_permutation_each_cycle():
    orders = {tuple(draw.combination for draw in cycle) for cycle in cycles(sampler("random"), 6)}
    assert len(orders) == 6
    assert tuple(all_combinations(MODALITIES)) not in orders


def test_every_combination_comes_at_every_place():
    """Uniform: 400 cycles of 3 combinations, each place of each one near 133."""
    counts = Counter()
    for cycle in cycles(sampler("random", modalities=("a", "b")), 400):
        counts.update((place, draw.combination) for place, draw in enumerate(cycle))
    assert len(counts) == 9
    assert min(counts.values()) > 100


def test_ascending_then_random():
    first, *rest = cycles(sampler("ascending_then_random"), 5)
    assert [draw.combination for draw in first] == all_combinations(MODALITIES)
    assert len({tuple(draw.combination for draw in cycle) for cycle in rest}) == 4
    assert all(sizes(cycle) != sorted(sizes(cycle)) for cycle in rest)


def test_group_fixed_order_goes_up_and_shuffles_within_sizes():
    several = cycles(sampler("group_fixed_order"), 6)
    assert all(sizes(cycle) == sorted(sizes(cycle)) for cycle in several)
    for start, stop in ((0, 4), (4, 10), (10, 14)):
        assert len({tuple(draw.combination for draw in cycle[start:stop]) for cycle in several}) > 1


def test_group_sequential_keeps_sizes_together_and_shuffles_them():
    several = cycles(sampler("group_sequential"), 12)
    blocks = [tuple(dict.fromkeys(sizes(cycle))) for cycle in several]
    for cycle, order in zip(several, blocks, strict=True):
        assert len(order) == 4
        assert sizes(cycle) == [size for size in order for _ in range({1: 4, 2: 6, 3: 4, 4: 1}[size])]
    assert len(set(blocks)) > 4


@every_order
def test_a_step_is_a_function_of_seed_and_number(order):
    one, again = (sampler(order, available=UNEVEN, batch=2) for _ in range(2))
    forwards = [one.draw(step) for step in range(60)]
    assert [again.draw(step) for step in reversed(range(60))] == forwards[::-1]
    other = sampler(order, available=UNEVEN, batch=2, seed=1)
    assert [other.draw(step) for step in range(60)] != forwards


def test_order_of_the_case_list_does_not_matter():
    turned = dict(reversed(UNEVEN.items()))
    one, other = sampler(available=UNEVEN), sampler(available=turned)
    assert [one.draw(step) for step in range(30)] == [other.draw(step) for step in range(30)]


@pytest.mark.parametrize(
    ("cases", "batch", "steps"), [(1, 1, 15), (15, 1, 15), (16, 1, 30), (219, 1, 225), (40, 2, 30)]
)
def test_an_epoch_is_one_pass_rounded_up_to_whole_cycles(cases, batch, steps):
    available = {f"case-{number}": MODALITIES for number in range(cases)}
    assert sampler(available=available, batch=batch).default_iterations == steps


@pytest.mark.parametrize("available", [{"a": ()}, {"a": (), "b": ()}], ids=["one", "two"])
def test_no_case_with_anything_is_an_error(available):
    with pytest.raises(DataError, match="no case"):
        sampler(available=available)


def test_the_catalog_knows_it():
    assert SAMPLERS.load("cycle") is CycleSampler
