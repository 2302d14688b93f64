"""What samplers say they draw is what they draw."""

from collections import Counter, defaultdict

import pytest

from hga_cli.core.catalog import SAMPLERS

MODALITIES = ("flair", "t1ce", "t1", "t2")
AVAILABLE = {
    **{f"triple-{number}": ("flair", "t1", "t2") for number in range(5)},
    **{f"pair-{number}": ("t1ce", "t2") for number in range(3)},
    "single": ("t1",),
    "full": MODALITIES,
}
STEPS = 3000
ENDS_WITH_ANY = frozenset({"cycle"})
"""Samplers whose cycles end with a step like others: that is no kind of its own."""


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", SAMPLERS.entries)
def test_kinds_are_what_is_drawn(name, batch):
    sampler = SAMPLERS.load(name)(AVAILABLE, MODALITIES, batch=batch, order="random", seed=7)
    drawn, most = Counter(), defaultdict(int)
    for step in range(STEPS):
        draw = sampler.draw(step)
        what = draw.combination, draw.ends_cycle and name not in ENDS_WITH_ANY
        drawn[what] += 1
        most[what] = max(most[what], len(draw.cases))
    kinds = {(kind.largest.combination, kind.largest.ends_cycle): kind for kind in sampler.kinds}
    assert len(kinds) == len(sampler.kinds)
    assert sum(kind.share for kind in sampler.kinds) == pytest.approx(1)
    assert set(drawn) == set(kinds)
    for what, kind in kinds.items():
        expected = STEPS * kind.share
        assert abs(drawn[what] - expected) < 3.5 * expected**0.5, what
        assert len(kind.largest.cases) == most[what]
        assert all(set(kind.largest.combination) <= set(AVAILABLE[case]) for case in kind.largest.cases)


def test_the_only_complete_case_is_among_them():
    """One of 219, as in mr9999: no search has to find it."""
    available = {f"c{number}": (MODALITIES[number % 4],) for number in range(218)} | {"full": MODALITIES}
    for name in SAMPLERS.entries:
        sampler = SAMPLERS.load(name)(available, MODALITIES, batch=2, order="random", seed=7)
        assert MODALITIES in {kind.largest.combination for kind in sampler.kinds}
