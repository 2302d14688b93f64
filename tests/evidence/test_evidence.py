"""What the evidence counts, on made-up scores; and that all it trains can be trained."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import cost
import numpy as np
import pytest
from evidence import Work, stretched, sweeps
from figures import Scores, is_clear
from phantoms import SHAPE, draw_case
from tables import folds, scores_of, trained_in

from hga_cli.core.sweep_plan import members, read_sweep

PLANS = ("phantoms.toml", "real.toml")
NAMES = ("t1", "t2", "t1+t2")


def scored(folder, dice):
    """Write the scores of one run: (cases, combinations) as shares, the same in both regions."""
    rows = [
        {"case": f"c{case}", "combination": name, "region": region, "dice": float(dice[case, place])}
        for case in range(len(dice))
        for place, name in enumerate(NAMES)
        for region in ("WT", "ET", "ETpp")
    ]
    for row in rows:
        if row["region"] == "ETpp":
            row["dice"] = 0.0  # a region after post-processing does not count
    folder.mkdir(parents=True)
    mean = {"WT": {}, "ET": {}, "ETpp": {}}
    rules = {"averaged": ["WT", "ET"]}
    document = {"conventions": rules, "combinations": {name: {} for name in NAMES}, "mean": mean, "cases": rows}
    (folder / "metrics.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def scores(tmp_path):
    def make(name, *seeds):
        folders = [(scored(tmp_path / name / str(place), dice),) for place, dice in enumerate(seeds)]
        return Scores(tuple(folders), frozenset({"t2"}))

    return make


def test_figures_are_means_over_their_combinations(scores):
    dice = np.array([[0.1, 0.5, 0.9], [0.3, 0.7, 0.7]])
    assert scores("one", dice).figures() == pytest.approx({"all": 320 / 6, "rarest": 70, "worst": 20})


def test_the_spread_is_that_of_seeds(scores):
    low, high = np.full((4, 3), 0.4), np.full((4, 3), 0.6)
    found = scores("two", low, high)
    assert found.figures()["all"] == pytest.approx(50)
    assert found.spread()["all"] == pytest.approx(np.sqrt(200))


def test_differences_are_paired_over_cases(scores):
    """Cases that differ much from each other, but all by the same amount between two methods: no doubt at all."""
    dice = np.random.default_rng(1).uniform(0.1, 0.8, (20, 3))
    better, worse = scores("better", dice + 0.05), scores("worse", dice)
    value, low, high = better.difference(worse)["all"]
    assert (value, low, high) == pytest.approx((5, 5, 5))
    assert is_clear((value, low, high), 1.0)
    assert not is_clear((value, low, high), 6.0)
    back = worse.difference(better)["all"]
    assert back == pytest.approx((-5, -5, -5))


def test_a_difference_that_hangs_on_few_cases_is_not_clear(scores):
    dice = np.full((20, 3), 0.5)
    other = dice.copy()
    other[0] += 0.3
    other[1] -= 0.2
    difference = scores("first", other).difference(scores("second", dice))["all"]
    assert difference[0] > 0
    assert not is_clear(difference, 0.0)


def test_a_step_costs_its_mean_and_warm_up_does_not_count(monkeypatch):
    clock = SimpleNamespace(now=0.0)

    def training(*seconds):
        def learn(batch):
            clock.now += seconds[batch % len(seconds)] if batch else 100.0

        return SimpleNamespace(learn=learn), range(cost.STEPS + 1)

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    assert cost.in_turn({"a": training(1.0), "b": training(2.0, 4.0)}) == pytest.approx({"a": 1, "b": 3})


@pytest.mark.parametrize("name", PLANS)
def test_every_run_of_a_plan_can_be_trained(name, tmp_path):
    plan = tomllib.loads((Path(__file__).parent / name).read_text())
    names = []
    for file in sweeps(Work(folder=tmp_path, plan=plan)):
        (member,) = members(read_sweep(file), file)
        names.append(member.name)
        assert member.config.data.patch == tuple(plan["settings"]["data"]["patch"])
    assert len(set(names)) == len(names) > 10


@pytest.mark.parametrize("name", PLANS)
def test_each_row_of_a_table_is_of_its_own_runs(name, tmp_path):
    work = Work(folder=tmp_path, plan=tomllib.loads((Path(__file__).parent / name).read_text()))
    made = []
    for file in sweeps(work):
        (member,) = members(read_sweep(file), file)
        made.append(scored(work.runs / member.name, np.full((2, 3), 0.5)))
    runs = work.plan["runs"]
    found = [scores for regime in work.plan["regimes"] for run in runs if (scores := scores_of(work, regime, run))]
    assert {folder for scores in found for of_seed in scores.folders for folder in of_seed} == set(made)
    for scores in found:
        assert [len(of_seed) for of_seed in scores.folders] == [len(folds(work.plan))] * len(work.plan["seeds"])


def test_every_table_has_the_upper_reference_of_its_own_cases():
    plan = tomllib.loads((Path(__file__).parent / "phantoms.toml").read_text())
    places = {regime: trained_in(plan, regime, "joint-complete") for regime in plan["regimes"]}
    assert places["mr1379"] == places["one-rare"] == "mr2468"
    assert places["small"] == "small"
    assert places["one-rare-fusion"] == "one-rare-fusion"  # another network: not trained with complete data
    assert trained_in(plan, "one-rare", "joint") == "one-rare"


def test_a_long_night_stretches_every_run_alike():
    plan = tomllib.loads((Path(__file__).parent / "phantoms.toml").read_text())
    longer = stretched(plan, 10)
    assert longer["settings"]["optim"]["epochs"] == 10 * plan["settings"]["optim"]["epochs"]
    epochs = plan["runs"]["joint-longer"]["settings"]["optim.epochs"]
    assert longer["runs"]["joint-longer"]["settings"]["optim.epochs"] == 10 * epochs
    assert epochs > plan["settings"]["optim"]["epochs"]


def test_phantoms_are_the_same_each_time_and_each_tissue_is_somewhere():
    images, labels = draw_case(3)
    again, _ = draw_case(3)
    assert all((images[name] == again[name]).all() for name in images)
    assert labels.shape == SHAPE
    found = set().union(*(np.unique(draw_case(number)[1]) for number in range(1, 6)))
    assert found == {0, 1, 2, 4}
