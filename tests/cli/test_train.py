"""``hga train``: what a run folder tells, what a second run does with it, losses that are no numbers, dry runs."""

import json
import re
import tomllib

import pytest
import torch
from _training_runs import files, journal, on_run, tensors, weights

from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.training import Training


def test_document(hga, tiny):
    document = hga(*tiny.training("--epochs", 2, "--run", "a", "--json")).document
    folder = on_run(tiny, "a") / "checkpoints"
    best = document.pop("best")
    assert document == {"run": str(on_run(tiny, "a")), "epochs": 2, "checkpoint": str(folder / "last.safetensors")}
    assert (best["checkpoint"], best["epoch"]) == (str(folder / "best.safetensors"), 2)
    assert 0 <= best["mean_dice"] <= 1
    assert (folder / "last.safetensors").exists()
    assert (folder / "best.safetensors").exists()


def test_without_validation_there_is_no_best(hga, tiny):
    words = ["--set", "validation.every=0", "--epochs", 1, "--run", "a", "--json"]
    assert hga(*tiny.training(*words)).document["best"] is None
    assert not (on_run(tiny, "a") / "checkpoints" / "best.safetensors").exists()


def test_run_folder_tells_everything(hga, tiny):
    hga(*tiny.training("--epochs", 2, "--run", "a", "--seed", 3))
    run = on_run(tiny, "a")
    config, about = tomllib.loads((run / "config.toml").read_text()), json.loads((run / "run.json").read_text())
    assert (config["seed"], config["data"]["split"], config["data"]["imbalance"]) == (3, "default", "none")
    assert config["optim"]["iterations"] == 4
    assert about["status"] == "finished"
    assert set(about["sources"]) == {"split", "available", "cases"}
    assert {"hga", "torch"} <= set(about["versions"])
    assert [(line["epoch"], line["step"]) for line in journal(run)] == [(0, 4), (1, 8)]
    assert re.search(r"epoch 1: loss [\d.]+, [\d.]+ s a step\n", (run / "log.txt").read_text())


def test_config_of_a_run_repeats_it(hga, tiny):
    hga(*tiny.training("--epochs", 1, "--run", "a", "--seed", 3))
    same = ["train", "--dataset", "brats", "-c", on_run(tiny, "a") / "config.toml", "--device", "cpu"]
    hga(*same, *tiny.data, *tiny.runs, "--run", "b")
    assert weights(on_run(tiny, "a")) == weights(on_run(tiny, "b"))


def test_method_flag_replaces_the_method_of_a_file(hga, tiny):
    hga(*tiny.training("--epochs", 0, "--run", "a", "--method", "hga"))
    hga(*tiny.training("--epochs", 0, "--run", "b", "--method", "joint"))
    file = on_run(tiny, "a") / "config.toml"
    hga(*tiny.training("--epochs", 0, "--run", "c", "--method", "joint", "-c", file))
    methods = [tomllib.loads((on_run(tiny, run) / "config.toml").read_text())["method"] for run in "abc"]
    assert methods[2] == methods[1] != methods[0]


def test_seed_decides(hga, tiny):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        hga(*tiny.training("--epochs", 1, "--run", name, "--seed", seed))
    assert weights(on_run(tiny, "a")) == weights(on_run(tiny, "b"))
    assert weights(on_run(tiny, "a")) != weights(on_run(tiny, "c"))


@pytest.mark.parametrize(("method", "sampler"), [("hga", "rarity"), ("hga-published", "cycle"), ("joint", "case")])
def test_methods(hga, tiny, method, sampler):
    outcome = hga(*tiny.training("--epochs", 1, "--run", "a", "--method", method))
    config = tomllib.loads((on_run(tiny, "a") / "config.toml").read_text())
    assert (config["method"]["name"], config["method"]["sampler"]["kind"]) == (method, sampler)
    assert ("distillation/t1" in journal(on_run(tiny, "a"))[0]["losses"]) == (method == "hga-published")
    assert f"method {method}, backbone unet" in outcome.err


def test_introduction_counts_what_is_there(hga, tiny):
    outcome = hga(*tiny.training("--epochs", 0, "--run", "a"))
    assert f"run folder {on_run(tiny, 'a')}" in outcome.err
    assert "training cases of split 'default', imbalance table: none" in outcome.err
    hga("make-imbalance", "--dataset", "brats", "--rates", "mr2468", *tiny.data)
    assert "imbalance table: mr2468" in hga(*tiny.training("--epochs", 0, "--run", "b")).err
    assert "imbalance table: none" in hga(*tiny.training("--epochs", 0, "--run", "c", "--imbalance", "none")).err


def test_no_epochs_keep_the_random_start(hga, tiny):
    document = hga(*tiny.training("--epochs", 0, "--run", "a", "--json")).document
    assert document["epochs"] == 0
    assert not (on_run(tiny, "a") / "journal.jsonl").exists()
    hga(*tiny.training("--epochs", 0, "--run", "b"))
    assert weights(on_run(tiny, "a")) == weights(on_run(tiny, "b"))
    hga("evaluate", "a", "--device", "cpu", "--combinations", "flair", *tiny.runs)


def test_run_gets_a_name_of_its_own(hga, tiny):
    first, second = (hga(*tiny.training("--epochs", 0, "--json")).document["run"] for _ in range(2))
    assert first != second
    assert "/brats-hga-2" in first


class TestExistingRun:
    """Nothing is replaced unless asked for, and nothing but a run ever is."""

    def test_is_refused(self, hga, tiny):
        before = files(on_run(tiny, "start"))
        says = ["run 'start' exists", "--resume", "--overwrite"]
        hga.refuses(*tiny.training("--epochs", 1, "--run", "start"), code=3, says=says)
        assert files(on_run(tiny, "start")) == before

    def test_is_replaced(self, hga, tiny):
        (on_run(tiny, "start") / "metrics.json").write_text("{}")
        hga(*tiny.training("--epochs", 1, "--run", "start", "--overwrite"))
        assert len(journal(on_run(tiny, "start"))) == 1
        assert not (on_run(tiny, "start") / "metrics.json").exists()

    def test_foreign_files_stay(self, hga, tiny):
        folder = on_run(tiny, "thesis")
        (folder / "figures").mkdir(parents=True)
        (folder / "thesis.tex").write_text("years of work")
        (folder / "figures" / "one.png").write_text("more work")
        before = files(folder)
        hga.refuses(*tiny.training("--epochs", 0, "--run", "thesis", "--overwrite"), code=3, says="no run folder")
        hga.refuses(*tiny.training("--epochs", 0, "--run", "thesis"), code=3, says="exists")
        assert files(folder) == before

    def test_another_process_keeps_its_folder(self, hga, tiny):
        run = on_run(tiny, "start")
        lock = RunFolder(run).lock()
        before = files(run)
        try:
            hga.refuses(*tiny.training("--epochs", 0, "--run", "start", "--overwrite"), code=3, says="another process")
            hga.refuses("train", "--resume", "--run", "start", *tiny.runs, code=3, says="another process")
        finally:
            lock.release()
        assert files(run) == before

    @pytest.mark.parametrize(
        ("option", "value", "code"),
        [
            ("--backbone", "unnet", 2),
            ("--balancer", "eqal", 2),
            ("--set", "method.outer.kind=interpolate", 4),
            ("--set", "method.terms.fusd.weight=1", 4),
            ("--set", "method.terms.fused.options={ x = 1 }", 4),
            ("--set", "data.patch=[16,16]", 4),
            ("--imbalance", "mr2468", 3),
            ("--split", "other", 3),
        ],
    )
    def test_a_typing_mistake_costs_nothing(self, hga, tiny, option, value, code):
        before = files(on_run(tiny, "start"))
        hga.refuses(*tiny.training("--run", "start", "--overwrite", option, value), code=code)
        assert files(on_run(tiny, "start")) == before
        hga.refuses(*tiny.training("--run", "new", option, value), code=code)
        assert not on_run(tiny, "new").exists()


def test_loss_that_is_not_finite_ends_the_run(hga, tiny, monkeypatch):
    def broken(self, batch):
        batch.images[next(iter(batch.images))][:] = float("inf")
        return learn(self, batch)

    learn = Training.learn
    monkeypatch.setattr(Training, "learn", broken)
    says = ["not finite at epoch 0, step 0", "cases Tiny-"]
    hga.refuses(*tiny.training("--epochs", 1, "--run", "a"), code=4, says=says)
    assert all(torch.isfinite(tensor).all() for tensor in tensors(on_run(tiny, "a")).values())
    assert json.loads((on_run(tiny, "a") / "run.json").read_text())["status"] == "running"


class TestDryRun:
    """One real step for each number of modalities, and nothing written."""

    def test_document(self, hga, tiny):
        before = sorted(path.name for path in (tiny.top / "runs").iterdir())
        document = hga(*tiny.training("--dry-run", "--json", "--epochs", 3, "--method", "cycle")).document
        assert sorted(path.name for path in (tiny.top / "runs").iterdir()) == before
        sizes = [one["combination"].count("+") + 1 for one in document["trials"]]
        assert sizes == [1, 2, 3, 4]
        for one in document["trials"]:
            assert one["shape"] == [one["cases"], 1, 16, 16, 16]
            assert one["step_s"] > 0
            assert one["peak_gib"] > 0
            assert one["loss"] > 0
        assert document["parameters"] > 1000
        assert document["steps"] == 12

    def test_table(self, hga, tiny):
        out = hga(*tiny.training("--dry-run", "--method", "joint")).out
        assert "nothing was written" in out
        assert "flair+t1ce+t1+t2" in out
        assert "hours" in out
