"""Validation while a network is trained: best checkpoint, patience, and no influence on the training itself."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from _training import assert_same_tensors, journal, make_store, planned, run_folder, settings

from hga_cli.core.combinations import all_combinations
from hga_cli.core.progress import Silent
from hga_cli.data.splits import Split
from hga_cli.data.store import save_split
from hga_cli.engine import loop, validation
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.contest import Contest
from hga_cli.engine.loop import Interrupted
from hga_cli.engine.ranks import Ranks
from hga_cli.workflows.train import train

EPOCHS = 4
COMBINATIONS = ["flair", "t1ce", "t2", "flair+t1ce", "flair+t2", "t1ce+t2", "flair+t1ce+t2"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five training cases of `_training`, of which two are validated instead."""
    made = make_store(tmp_path_factory.mktemp("validation") / "store")
    save_split(made.path, Split(name="val", train=["case-1", "case-2", "case-3", "case-4"], val=["case-0"], test=[]))
    return type(made)(made.path)


def config(**changes):
    usual = {"data__split": "val", "optim__epochs": EPOCHS, "optim__iterations": 3, "validation__every": 2}
    return settings("joint", **usual | changes)


def trained(store, folder, **changes):
    run = run_folder(folder)
    return run, train(planned(store, config(**changes)), run)


def script(monkeypatch, *means):
    """Let validations have these results instead of real ones."""
    results = iter(means)
    monkeypatch.setattr(loop, "validate", lambda what, ranks, stop: {"mean": next(results), "combinations": {}})


def test_results_are_written_for_every_combination(store, tmp_path):
    run, document = trained(store, tmp_path / "a")
    lines = journal(run)
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert ["validation" in line for line in lines] == [False, True, False, True]
    table = lines[1]["validation"]["combinations"]
    assert list(table) == COMBINATIONS
    values = [row["whole"] for row in table.values()]
    assert all(0 <= value <= 1 for value in values)
    assert lines[1]["validation"]["mean"] == pytest.approx(np.mean(values))
    assert document["best"]["mean_dice"] == max(line["validation"]["mean"] for line in lines if "validation" in line)
    about = load_checkpoint(run.last)[1]["training"]["contest"]
    assert about["latest"] == lines[3]["validation"]


def test_validation_has_no_influence_on_the_training(store, tmp_path):
    with_, _ = trained(store, tmp_path / "a")
    without, document = trained(store, tmp_path / "b", validation__every=0)
    assert_same_tensors(load_checkpoint(with_.last)[0], load_checkpoint(without.last)[0])
    assert document["best"] is None


def test_chosen_combinations_and_cases(store, tmp_path):
    run, _ = trained(store, tmp_path / "a", validation__combinations="t2,flair+t2")
    assert list(journal(run)[1]["validation"]["combinations"]) == ["t2", "flair+t2"]


def test_scores_are_those_of_a_perfect_and_of_an_empty_prediction(store, monkeypatch, tmp_path):
    """A region that is neither there nor predicted does not count."""
    plan = planned(store, config())
    what = validation.Examination(
        model=None,
        store=store,
        cases=["case-0", "case-1"],
        combinations=all_combinations(store.modalities)[:2],
        overlap=0,
        every=1,
        patience=None,
    )
    first, second = what.combinations
    truth = {case: store.reference(case) for case in what.cases}
    empty = {case: np.zeros_like(label) for case, label in truth.items()}
    monkeypatch.setattr(
        validation,
        "predict_stored",
        lambda model, store, case, combinations, overlap: {first: truth[case], second: empty[case]},
    )
    result = validation.validate(what, Ranks(), stop=lambda: False)
    assert result == {"mean": 0.5, "combinations": {"flair": {"whole": 1.0}, "t1ce": {"whole": 0.0}}, "pairs": {}}
    monkeypatch.setattr(type(store), "reference", lambda self, case: empty[case])
    result = validation.validate(what, Ranks(), stop=lambda: False)
    assert result["combinations"]["t1ce"] == {"whole": None}
    assert result["combinations"]["flair"] == {"whole": 0.0}
    assert plan.config.validation.every == 2


def test_what_a_further_modality_gains_on_the_same_cases(store, monkeypatch):
    cases, all_of_them = ["case-0", "case-1"], all_combinations(store.modalities)
    what = validation.Examination(
        model=None, store=store, cases=cases, combinations=all_of_them, overlap=0, every=1, patience=None
    )
    truth = {case: store.reference(case) for case in cases}

    def predicted(model, store, case, combinations, overlap):
        """Case 1 lacks t1ce; case 0 is found only with it."""
        alone = truth[case] if case == "case-1" else np.zeros_like(truth[case])
        return {("flair",): alone} | ({("flair", "t1ce"): truth[case]} if case == "case-0" else {})

    monkeypatch.setattr(validation, "predict_stored", predicted)
    result = validation.validate(what, Ranks(), stop=lambda: False)
    assert result["combinations"]["flair"] == {"whole": 0.5}
    assert result["pairs"] == {"flair": {"t1ce": {"whole": {"before": 0.0, "after": 1.0, "n": 1}}}}


@pytest.mark.parametrize("bad", [math.nan, None, -math.inf])
def test_a_result_without_a_number_is_never_the_best(bad):
    """Case T07."""
    contest = Contest()
    assert not contest.note(1, {"mean": bad})
    assert contest.best is None
    assert contest.note(2, {"mean": 0.1})
    assert not contest.note(3, {"mean": bad})
    assert (contest.best, contest.best_epoch, contest.worse_in_a_row) == (0.1, 2, 1)


def test_the_best_checkpoint_is_that_of_the_best_epoch(store, tmp_path, monkeypatch):
    script(monkeypatch, 0.4, 0.7, 0.6, 0.7)
    run, document = trained(store, tmp_path / "a", validation__every=1)
    assert (document["best"]["epoch"], document["best"]["mean_dice"]) == (2, 0.7)
    tensors, about = load_checkpoint(run.best)
    assert about["training"]["step"] == 2 * 3
    assert load_checkpoint(run.last)[1]["training"]["step"] == EPOCHS * 3
    monkeypatch.undo()
    half, _ = trained(store, tmp_path / "b", optim__epochs=EPOCHS, validation__every=0)
    assert set(tensors) == set(load_checkpoint(half.last)[0])


def test_patience_ends_a_training_and_a_resume_does_not_wake_it(store, tmp_path, monkeypatch):
    script(monkeypatch, 0.5, 0.4, 0.3, 0.9)
    run, document = trained(store, tmp_path / "a", validation__every=1, validation__patience=2)
    assert (document["epochs"], document["best"]["epoch"]) == (3, 1)
    assert "ended early: no better validation since epoch 1" in (run.path / "log.txt").read_text()
    before = run.last.read_bytes()
    again = train(planned(store, config(validation__every=1, validation__patience=2)), run, resume=True)
    assert again["epochs"] == 3
    assert run.last.read_bytes() == before


class StopsAfter(Silent):
    """Asks for an end as Ctrl-C does, in the step with this number."""

    def __init__(self, steps):
        self.left = steps

    def advance(self, note=""):
        self.left -= 1
        if not self.left:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_between_and_in_validations_gives_the_same_run(store, tmp_path):
    """Ctrl-C in step 6 comes before the validation of epoch 2: it is made up for."""
    straight, expected = trained(store, tmp_path / "straight")
    run = run_folder(tmp_path / "stopped")
    for stop in (2, 4):
        with pytest.raises(Interrupted):
            train(planned(store, config()), run, resume=run.last.exists(), progress=StopsAfter(stop))
    assert "validation" not in journal(run)[1]
    found = train(planned(store, config()), run, resume=True)
    assert found["best"]["mean_dice"] == expected["best"]["mean_dice"]
    assert found["best"]["epoch"] == expected["best"]["epoch"]
    assert_same_tensors(load_checkpoint(run.last)[0], load_checkpoint(straight.last)[0])
    assert (run.path / "journal.jsonl").read_bytes() == (straight.path / "journal.jsonl").read_bytes()
    states = [load_checkpoint(one.last)[1]["training"]["contest"] for one in (run, straight)]
    assert json.dumps(states[0]) == json.dumps(states[1])


def test_mistyped_combination_is_refused_before_the_start(store):
    with pytest.raises(Exception, match="no modality called 'flare'"):
        planned(store, config(validation__combinations="flare"))


def test_model_is_in_training_mode_again(store, tmp_path, monkeypatch):
    seen = []
    original = loop.validate
    monkeypatch.setattr(
        loop,
        "validate",
        lambda what, ranks, stop: seen.append(what.model.network.training) or original(what, ranks, stop),
    )
    plan = planned(store, config())
    train(replace(plan, config=plan.config), run_folder(tmp_path / "a"))
    assert seen == [False, False]
    assert torch.is_grad_enabled()
