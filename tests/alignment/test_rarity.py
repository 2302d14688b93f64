"""Draws by rarity: a function of the step, in proportion to the rarest modality of a case."""

from collections import Counter

import pytest

from hga_cli.alignment.rarity import RaritySampler
from hga_cli.core.errors import DataError

MODALITIES = ("flair", "t1ce", "t1", "t2")
COMMON = {f"c{number:02}": ("flair", "t1", "t2") for number in range(18)}
RARE = {"full": MODALITIES, "pair": ("t1ce", "t2")}
"""t1ce is owned by 2 of 20."""


def sampler(available=None, *, batch=1, seed=7):
    return RaritySampler(available or COMMON | RARE, MODALITIES, batch=batch, order="random", seed=seed)


def draws(one, steps):
    return [one.draw(step) for step in steps]


def test_draw_is_a_function_of_the_step():
    forwards = draws(sampler(), range(60))
    assert draws(sampler(), range(59, -1, -1))[::-1] == forwards


def test_order_of_the_cases_does_not_matter_and_the_seed_does():
    forwards = draws(sampler(), range(60))
    assert draws(sampler(dict(reversed(list((COMMON | RARE).items())))), range(60)) == forwards
    assert draws(sampler(seed=8), range(60)) != forwards


def test_chances_are_those_of_the_rarest_modality():
    """omega is 20/2 for a case with t1ce and 20/19 for one without; their numbers are 1, 1 and 18."""
    weights = {MODALITIES: 10, ("t1ce", "t2"): 10, ("flair", "t1", "t2"): 18 * 20 / 19}
    counts = Counter(draw.combination for draw in draws(sampler(), range(2000)))
    assert set(counts) == set(weights)
    for combination, weight in weights.items():
        expected = 2000 * weight / sum(weights.values())
        assert abs(counts[combination] - expected) < 5 * expected**0.5


def test_without_rarity_every_case_is_as_likely():
    counts = Counter(draw.cases[0] for draw in draws(sampler(COMMON), range(1800)))
    assert all(abs(counts[case] - 100) < 50 for case in COMMON)


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_a_batch_is_different_cases_that_own_at_least_the_combination(batch):
    available = COMMON | RARE
    for draw in draws(sampler(batch=batch), range(200)):
        pool = {case for case, has in available.items() if set(draw.combination) <= set(has)}
        assert set(draw.cases) <= pool
        assert len(set(draw.cases)) == len(draw.cases) == min(batch, len(pool))


def test_the_whole_pool_is_drawn_from():
    """A complete case serves the combination that others have too."""
    seen = {case for draw in draws(sampler(), range(2000)) if "t1ce" not in draw.combination for case in draw.cases}
    assert seen == {*COMMON, "full"}


def test_no_step_ends_a_cycle():
    assert not any(draw.ends_cycle for draw in draws(sampler(), range(60)))


def test_an_epoch_is_as_many_cases_as_there_are():
    assert sampler(batch=3).default_iterations == 7


def test_no_case_at_all():
    with pytest.raises(DataError, match="no case to train with"):
        RaritySampler({}, MODALITIES, batch=1, order="random", seed=1)
