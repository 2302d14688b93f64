"""Modality dropout: a function of the step, fair to cases and to what they own."""

from collections import Counter
from itertools import product
from math import ceil

import pytest

from hga_cli.core.combinations import all_combinations
from hga_cli.data.dropout import DropoutSampler

MODALITIES = ("flair", "t1ce", "t1", "t2")
CASES = {
    "a": ("flair", "t1ce", "t1"),
    "b": ("flair", "t2"),
    "c": ("t2",),
    "d": MODALITIES,
    "e": ("flair", "t2"),
    "f": ("t1ce", "t2"),
    "g": MODALITIES,
}


def sampler(available=CASES, *, batch=2, seed=7):
    return DropoutSampler(available, MODALITIES, batch=batch, order="random", seed=seed)


def passes(one, number, cases=CASES):
    """The draws of the first passes: each holds every case once."""
    found, step = [[]], 0
    while len(found) <= number:
        if sum(len(draw.cases) for draw in found[-1]) == len(cases):
            found.append([])
        found[-1].append(one.draw(step))
        step += 1
    return found[:number]


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_every_case_once_per_pass_with_a_part_of_what_it_has(batch):
    for draws in passes(sampler(batch=batch), 20):
        assert sorted(case for draw in draws for case in draw.cases) == sorted(CASES)
        for draw in draws:
            assert 1 <= len(draw.cases) <= batch
            assert draw.combination
            assert not draw.ends_cycle
            assert all(set(draw.combination) <= set(CASES[case]) for case in draw.cases)


def test_combinations_are_drawn_evenly():
    """1500 passes: each of the 15 sub-combinations of a complete case near 100 times, each of 3 near 500 times."""
    counts = {case: Counter() for case in CASES}
    for draws in passes(sampler(batch=1), 1500):
        for draw in draws:
            counts[draw.cases[0]][draw.combination] += 1
    for case, has in CASES.items():
        subsets = all_combinations(has)
        assert set(counts[case]) == set(subsets)
        expected = 1500 / len(subsets)
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts[case].values())


def test_cases_that_drew_the_same_share_a_batch():
    shared = [draw for draws in passes(sampler(batch=3), 40) for draw in draws if len(draw.cases) > 1]
    assert len(shared) > 10
    for draws in passes(sampler(batch=3), 40):
        combinations = Counter(draw.combination for draw in draws if len(draw.cases) < 3)
        assert max(combinations.values(), default=0) <= 1


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_is_a_function_of_seed_and_number(batch):
    one, again = sampler(batch=batch), sampler(batch=batch)
    forwards = [one.draw(step) for step in range(70)]
    assert [again.draw(step) for step in reversed(range(70))] == forwards[::-1]
    turned = sampler(dict(reversed(CASES.items())), batch=batch)
    assert [turned.draw(step) for step in range(70)] == forwards
    assert [sampler(batch=batch, seed=8).draw(step) for step in range(70)] != forwards


def test_cases_of_one_modality_are_always_seen_with_it():
    one = sampler({"x": ("t1",), "y": ("t2",)}, batch=1)
    assert {(draw.cases, draw.combination) for draw in map(one.draw, range(20))} == {
        (("x",), ("t1",)),
        (("y",), ("t2",)),
    }


@pytest.mark.parametrize(("batch", "steps"), [(1, 7), (2, 4), (3, 3), (64, 1)])
def test_an_epoch_is_cases_by_batch(batch, steps):
    assert sampler(batch=batch).default_iterations == steps


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 64])
def test_combinations_fill_as_many_batches_as_expected(batch):
    """Over all that a pass can draw, each as likely as any other."""
    cases = {"a": ("flair", "t2"), "b": ("t1ce", "t2"), "c": ("flair", "t1ce", "t2"), "d": ("t2",)}
    passes = [Counter(drawn) for drawn in product(*(all_combinations(has) for has in cases.values()))]
    wanted = Counter()
    for drawn in passes:
        wanted.update({combination: ceil(number / batch) / len(passes) for combination, number in drawn.items()})
    found = {kind.largest.combination: kind.share for kind in sampler(cases, batch=batch).kinds}
    assert found == pytest.approx({combination: often / wanted.total() for combination, often in wanted.items()})


def test_kinds_of_many_slices():
    """As many as a table of slices leaves; the last batch of a combination lacks (b - 1) / 2 of them on average."""
    slices = {f"slice-{number}": MODALITIES if number < 33000 else ("t2",) for number in range(34000)}
    one = sampler(slices, batch=8)
    shares = {kind.largest.combination: kind.share for kind in one.kinds}
    wanted = dict.fromkeys(all_combinations(MODALITIES), 2200 + 3.5) | {("t2",): 3200 + 3.5}
    assert shares == pytest.approx({combination: often / sum(wanted.values()) for combination, often in wanted.items()})
