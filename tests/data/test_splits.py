import math

import numpy as np
import pytest

from hga_cli.core.errors import DataError, UsageError
from hga_cli.data.splits import PARTS, Split, check_split, make_folds, make_split

VISITS = {f"pat{patient:02}_v{visit}": f"pat{patient:02}" for patient in range(10) for visit in range(3)}


def alone(count):
    return {f"c{number}": f"c{number}" for number in range(count)}


def made(subjects, ratios=(0.7, 0.1, 0.2), seed=1037):
    return make_split(subjects, name="default", ratios=ratios, seed=seed)


def sizes(split):
    return tuple(len(split.part(part)) for part in PARTS)


@pytest.mark.parametrize("seed", range(20))
def test_subject_is_in_one_part_with_all_its_cases(seed):
    """Case T17."""
    split = made(VISITS, seed=seed)
    places = {part: {VISITS[case] for case in split.part(part)} for part in PARTS}
    assert sum(map(len, places.values())) == len(set.union(*places.values())) == 10
    assert sorted(split.train + split.val + split.test) == sorted(VISITS)
    assert sizes(split) == (21, 3, 6)


@pytest.mark.parametrize(
    ("count", "ratios", "expected"),
    [
        (10, (0.7, 0.1, 0.2), (7, 1, 2)),
        (369, (219 / 369, 50 / 369, 100 / 369), (219, 50, 100)),
        (100, (0.33, 0.33, 0.34), (33, 33, 34)),
        (3, (0.7, 0.1, 0.2), (1, 1, 1)),
        (4, (0.7, 0.1, 0.2), (2, 1, 1)),
        (5, (0.5, 0.5, 0), (3, 2, 0)),
        (5, (0, 0.5, 0.5), (0, 3, 2)),
        (7, (1, 0, 0), (7, 0, 0)),
        (1, (0, 0, 1), (0, 0, 1)),
        (29, (0.1, 0.2, 0.7), (3, 6, 20)),
    ],
)
def test_counts_follow_the_ratios(count, ratios, expected):
    assert sizes(made(alone(count), ratios)) == expected


@pytest.mark.parametrize("count", [3, 5, 17, 100, 101])
def test_counts_add_up_and_no_wanted_part_is_empty(count):
    generator = np.random.default_rng(count)
    for _ in range(50):
        ratios = tuple(generator.dirichlet([0.5, 0.5, 0.5]).tolist())
        ratios = (ratios[0], ratios[1], 1 - ratios[0] - ratios[1])
        found = sizes(made(alone(count), ratios))
        assert sum(found) == count
        for size, ratio in zip(found, ratios, strict=True):
            assert size >= (ratio > 0)
            assert size == 1 or abs(size - ratio * count) < 3


@pytest.mark.parametrize(
    "ratios",
    [
        (80, 20, 0),
        (70, 10, 20),
        (0.7, 0.2, 0.2),
        (0.5, 0.3, 0.1),
        (math.nan, 0.5, 0.5),
        (-0.2, 0.9, 0.3),
        (1.2, -0.2, 0),
    ],
    ids=str,
)
def test_ratios_that_are_no_shares_are_refused(ratios):
    """Case C04."""
    with pytest.raises(UsageError, match="expected 1") as caught:
        made(alone(10), ratios)
    assert "0.2 for 20 %" in caught.value.hint


@pytest.mark.parametrize("count", [0, 1, 2])
def test_part_that_would_be_empty_is_refused(count):
    with pytest.raises(DataError, match=f"{count} subjects are too few") as caught:
        made(alone(count))
    assert "add subjects" in caught.value.hint


def test_few_subjects_with_many_visits_are_still_few():
    with pytest.raises(DataError, match="2 subjects are too few"):
        made({case: subject for case, subject in VISITS.items() if subject < "pat02"})


def test_same_seed_same_split_whatever_the_order_of_the_cases():
    split = made(VISITS, seed=5)
    assert made(VISITS, seed=5) == split
    assert made(dict(reversed(list(VISITS.items()))), seed=5) == split
    assert made(VISITS, seed=6) != split
    assert split.about == {"ratios": [0.7, 0.1, 0.2], "seed": 5}


def test_frozen_split():
    """The default seed gives these parts for ever: published numbers depend on it."""
    split = made(VISITS)
    assert {VISITS[case] for case in split.val} == {"pat08"}
    assert {VISITS[case] for case in split.test} == {"pat02", "pat05"}


def test_every_subject_is_tested_sometime():
    tested = {VISITS[case] for seed in range(40) for case in made(VISITS, seed=seed).test}
    assert len(tested) == 10


def test_parts_are_sorted_text():
    split = made({name: name for name in ["001", "0123", "1", "no", "12:30", "1e5", "nan"]})
    for part in PARTS:
        assert split.part(part) == sorted(split.part(part))
        assert {type(case) for case in split.part(part)} == {str}


def test_split_with_a_shared_subject_is_refused():
    """Case T17: both cases and both parts are named."""
    shared = Split(name="mine", train=["pat00_v0"], val=["pat01_v0"], test=["pat00_v1"])
    says = r"split 'mine': subject 'pat00' is in train \('pat00_v0'\) and in test \('pat00_v1'\)"
    with pytest.raises(DataError, match=says):
        check_split(shared, VISITS, [])
    check_split(Split(name="mine", train=["pat00_v0", "pat00_v1"], val=[], test=["pat01_v0"]), VISITS, [])


@pytest.mark.parametrize("group", [("c0", "c2"), ("c0", "c1", "c2"), ("x", "c0", "y", "c2")], ids=str)
def test_split_with_a_shared_image_is_refused(group):
    """Case T17: the same array under two names."""
    split = Split(name="mine", train=["c0", "c1"], val=[], test=["c2", "c3"])
    says = r"split 'mine': the same image is in train \('c[01]'\) and in test \('c2'\)"
    with pytest.raises(DataError, match=says) as caught:
        check_split(split, alone(4), [("c0", "c1"), group])
    assert "split.subjects=FILE.csv" in caught.value.hint
    check_split(Split(name="mine", train=["c0", "c1", "c2"], val=[], test=["c3"]), alone(4), [("c0", "c1"), group])


def folded(subjects, folds, *, val=0.1, seed=1037):
    return make_folds(subjects, name="fold", ratios=(1 - val - 0.2, val, 0.2), folds=folds, seed=seed)


@pytest.mark.parametrize("val", [0, 0.1, 0.3])
@pytest.mark.parametrize(("count", "folds"), [(10, 2), (10, 5), (11, 3), (23, 4), (14, 7)])
def test_each_subject_is_tested_once(count, folds, val):
    subjects = {f"p{patient:02}_{visit}": f"p{patient:02}" for patient in range(count) for visit in range(2)}
    made = folded(subjects, folds, val=val)
    assert [one.name for one in made] == [f"fold-{number}" for number in range(1, folds + 1)]
    assert sorted(case for one in made for case in one.test) == sorted(subjects)
    assert max(sizes(one)[2] for one in made) - min(sizes(one)[2] for one in made) <= 2
    for one in made:
        check_split(one, subjects, [])
        assert sorted([*one.train, *one.val, *one.test]) == sorted(subjects)
        assert len(one.val) == 2 * (max(1, round(val * count)) if val else 0)
        assert one.train


def test_folds_come_from_the_seed():
    made = folded(VISITS, 5)
    assert made == folded(dict(reversed(list(VISITS.items()))), 5)
    assert made != folded(VISITS, 5, seed=6)
    assert made[1].about == {"ratios": [0.7, 0.1, 0.2], "seed": 1037, "folds": 5, "fold": 2}
    assert len({tuple(one.val) for one in made}) == 5


@pytest.mark.parametrize(("count", "folds", "val"), [(3, 4, 0), (2, 2, 0.5), (4, 2, 0.6), (0, 2, 0)])
def test_too_few_subjects_for_folds(count, folds, val):
    with pytest.raises(DataError, match=f"{count} subjects are too few for {folds} folds") as caught:
        folded(alone(count), folds, val=val)
    assert "fewer folds" in caught.value.hint


def test_ratios_of_folds_are_shares_too():
    with pytest.raises(UsageError, match="expected 1"):
        make_folds(alone(10), name="fold", ratios=(0.5, 0.1, 0.1), folds=2, seed=1)
