"""``hga train``: run folders, names that are wrong, overwriting, interrupting and resuming."""

import json
import shutil
import signal
import tomllib

import pytest
import torch
from safetensors import safe_open

from hga_cli.core.run_folder import RunFolder, find_run
from hga_cli.engine.training import Training


def tensors(run):
    """All tensors of the newest checkpoint."""
    with safe_open(run / "checkpoints" / "last.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def weights(run):
    """All tensors of the newest checkpoint, as bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in tensors(run).items()}


def journal(run):
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_run(tiny, name):
    return tiny.top / "runs" / name


@pytest.fixture
def steps_that_stop(monkeypatch):
    """The function that lets the user press Ctrl-C during a step."""

    def arrange(at):
        learn = Training.learn

        def stopping(self, batch):
            if self.step == at:
                signal.raise_signal(signal.SIGINT)
            return learn(self, batch)

        monkeypatch.setattr(Training, "learn", stopping)

    return arrange


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
    assert "epoch 1: loss" in (run / "log.txt").read_text()


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


@pytest.mark.parametrize(("method", "sampler"), [("hga", "cycle"), ("joint", "case")])
def test_methods(hga, tiny, method, sampler):
    outcome = hga(*tiny.training("--epochs", 1, "--run", "a", "--method", method))
    config = tomllib.loads((on_run(tiny, "a") / "config.toml").read_text())
    assert (config["method"]["name"], config["method"]["sampler"]["kind"]) == (method, sampler)
    assert ("distillation/t1" in journal(on_run(tiny, "a"))[0]["losses"]) == (method == "hga")
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


class TestResume:
    """Resuming continues the same training or refuses."""

    def test_interrupted_run_ends_as_if_nothing_had_happened(self, hga, tiny, steps_that_stop, monkeypatch):
        hga(*tiny.training("--epochs", 2, "--run", "straight"))
        with monkeypatch.context():
            steps_that_stop(at=5)
            outcome = hga(*tiny.training("--epochs", 2, "--run", "stopped"), code=130)
            monkeypatch.undo()
        assert outcome.out == ""
        assert "interrupted" in outcome.err
        assert "Traceback" not in outcome.err
        assert json.loads((on_run(tiny, "stopped") / "run.json").read_text())["status"] == "running"
        outcome = hga("train", "--resume", "--run", "stopped", "--device", "cpu", *tiny.runs)
        assert "continues at step 6" in outcome.err
        assert weights(on_run(tiny, "stopped")) == weights(on_run(tiny, "straight"))
        assert journal(on_run(tiny, "stopped")) == journal(on_run(tiny, "straight"))
        assert json.loads((on_run(tiny, "stopped") / "run.json").read_text())["status"] == "finished"

    def test_latest_run_is_meant_where_none_is_named(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        assert f"run folder {on_run(tiny, 'a')}" in hga("train", "--resume", "--device", "cpu", *tiny.runs).err

    def test_finished_run_stays_as_it_is(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        before = weights(on_run(tiny, "a")), journal(on_run(tiny, "a"))
        hga("train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs)
        assert (weights(on_run(tiny, "a")), journal(on_run(tiny, "a"))) == before

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (["--epochs", "2"], "optim.epochs was 1, is 2"),
            (["--seed", "4"], "seed was 1037, is 4"),
            (["--set", "optim.learning_rate=1e-3"], "optim.learning_rate was 0.0002, is 0.001"),
            (["--method", "joint"], "method.name was 'hga', is 'joint'"),
        ],
        ids=["epochs", "seed", "learning rate", "method"],
    )
    def test_changed_settings_are_refused(self, hga, tiny, change, says):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        before = weights(on_run(tiny, "a"))
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        hga.refuses(*resume, *change, code=4, says=["cannot continue with other settings", says])
        assert weights(on_run(tiny, "a")) == before

    def test_workers_may_change(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        hga("train", "--resume", "--run", "a", "--device", "cpu", "--set", "data.workers=1", *tiny.runs)

    def test_changed_data_are_refused(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a", "--split", "default"))
        hga("make-imbalance", "--dataset", "brats", "--rates", "mr2468", *tiny.data)
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        hga(*resume)
        hga.refuses(*resume, "--imbalance", "mr2468", code=4, says="data.imbalance was 'none', is 'mr2468'")

    def test_no_run(self, hga, tiny):
        shutil.rmtree(on_run(tiny, "start"))
        hga.refuses("train", "--resume", *tiny.runs, code=3, says="no run in")
        hga.refuses("train", "--resume", "--run", "a", *tiny.runs, code=3, says="no run 'a'")

    def test_mistyped_run(self, hga, tiny):
        hga.refuses("train", "--resume", "--run", "strat", *tiny.runs, code=3, says="did you mean 'start'?")

    def test_damaged_checkpoint(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        last = find_run(tiny.top / "runs", "a", finished=False).last
        last.write_bytes(last.read_bytes()[:1000])
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        assert "continuing from the one before" in hga(*resume).err
        last.write_bytes(last.read_bytes()[:1000])
        last.with_name("previous.safetensors").unlink()
        hga.refuses(*resume, code=4, says="damaged")

    def test_not_together_with_overwrite(self, hga, tiny):
        says = "--resume and --overwrite contradict each other"
        hga.refuses("train", "--resume", "--overwrite", "--run", "start", *tiny.runs, code=2, says=says)


class TestNames:
    """Whatever is chosen by name: a mistyped one is refused with the nearest, before anything is written."""

    @pytest.mark.parametrize(
        ("option", "says"),
        [
            (["--method", "jiont"], ["no method called 'jiont'", "did you mean 'joint'?"]),
            (["--preset", "quik"], ["no preset called 'quik'", "did you mean 'quick'?"]),
            (["--backbone", "unnet"], ["no backbone called 'unnet'", "did you mean 'unet'?"]),
            (["--balancer", "eqal"], ["no balancer called 'eqal'", "did you mean 'equal'?"]),
            (["--set", "method.sampler.kind=cycel"], ["no sampler called 'cycel'", "did you mean 'cycle'?"]),
            (["--set", "method.terms.fusd.weight=1"], ["no term called 'fusd'", "did you mean 'fused'?"]),
            (["--set", "optim.epoch=1"], ["no setting called 'optim.epoch'", "did you mean 'epochs'?"]),
        ],
        ids=["method", "preset", "backbone", "balancer", "sampler", "term", "setting"],
    )
    def test_mistyped(self, hga, tiny, option, says):
        hga.refuses(*tiny.training("--run", "new", *option), code=4 if option[0] == "--set" else 2, says=says)
        assert not on_run(tiny, "new").exists()

    @pytest.mark.parametrize("name", ["../other", "a/b", "", ".", "-"])
    def test_run_that_is_no_name(self, hga, tiny, name):
        hga.refuses(*tiny.training(f"--run={name}"), code=2, says="cannot be the name of a run")

    def test_data_set_has_to_be_named(self, hga, tiny):
        hga.refuses("train", *tiny.data, *tiny.runs, code=2, says=["no data set named", "--dataset NAME", "brats"])

    def test_no_store(self, hga, tiny):
        arguments = ["train", "--dataset", "absent", *tiny.data, *tiny.runs]
        hga.refuses(*arguments, code=3, says=["no store at", "hga preprocess"])

    def test_one_of_several_tables_has_to_be_named(self, hga, tiny):
        for rates in ("mr2468", "mr8642"):
            hga("make-imbalance", "--dataset", "brats", "--rates", rates, *tiny.data)
        says = ["several imbalance tables", "choose one of: mr2468, mr8642"]
        hga.refuses(*tiny.training("--run", "new"), code=3, says=says)
        hga.refuses(*tiny.training("--run", "new", "--imbalance", "mr2486"), code=3, says="did you mean 'mr2468'?")
        assert not on_run(tiny, "new").exists()
        assert "table: mr8642" in hga(*tiny.training("--run", "new", "--imbalance", "mr8642", "--epochs", 0)).err

    def test_one_of_several_splits_has_to_be_named(self, hga, tiny):
        hga("split", "--dataset", "brats", "--name", "other", "--seed", 2, *tiny.data)
        hga.refuses(*tiny.training("--run", "new"), code=3, says=["several splits", "choose one of: default, other"])
        assert "of split 'other'" in hga(*tiny.training("--run", "new", "--split", "other", "--epochs", 0)).err

    def test_store_without_split(self, hga, tmp_path, phantom):
        phantom(tmp_path / "raw", "A")
        hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
        arguments = ["train", "--dataset", tmp_path / "store", "--runs-dir", tmp_path / "runs"]
        hga.refuses(*arguments, code=3, says=["has no split", "hga split"])

    def test_unfinished_store(self, hga, tiny):
        (tiny.store / "cases" / "Tiny-00004-000.h5").unlink()
        hga("preprocess", tiny.top / "raw", "-o", tiny.store, "--workers", 1, "--shard", "1/11")
        says = ["not finished", "Tiny-00004-000", "hga preprocess"]
        hga.refuses(*tiny.training("--run", "new"), code=3, says=says)


class TestDevice:
    """An explicit device is used or refused; there is no fall-back."""

    @pytest.mark.skipif(torch.cuda.device_count() > 7, reason="this machine has eight GPUs")
    @pytest.mark.parametrize("option", [["--gpu", "7"], ["--device", "cuda:7"]], ids=["gpu", "device"])
    def test_absent_gpu(self, hga, tiny, option):
        arguments = ["train", "--dataset", "brats", "--run", "new", *tiny.data, *tiny.runs]
        hga.refuses(*arguments, *option, code=5, says=["'cuda:7' is not there", "--device cpu"])
        assert not on_run(tiny, "new").exists()

    @pytest.mark.parametrize("gpu", ["first", "0,0", "-1", "", "²"])
    def test_gpu_that_is_no_number(self, hga, tiny, gpu):
        arguments = ["train", "--dataset", "brats", *tiny.data, *tiny.runs, f"--gpu={gpu}"]
        hga.refuses(*arguments, code=2, says=f"--gpu '{gpu}'")

    def test_several_gpus_are_not_replaced_either(self, hga, tiny):
        arguments = ["train", "--dataset", "brats", "--run", "new", *tiny.data, *tiny.runs, "--gpu", "7,8"]
        hga.refuses(*arguments, code=5, says="'cuda:7' is not there")
        assert not on_run(tiny, "new").exists()

    def test_device_that_is_none(self, hga, tiny):
        hga.refuses(*tiny.training("--device", "gpu"), code=2, says="no device called 'gpu'")

    def test_gpu_against_device(self, hga, tiny):
        hga.refuses(*tiny.training("--gpu", "0"), code=2, says="--gpu 0 and --device cpu contradict each other")


@pytest.mark.parametrize("option", [["--epochs", "-1"], ["--epochs", "many"], ["--iterations", "0"]])
def test_numbers_that_typer_refuses(hga, tiny, option):
    outcome = hga(*tiny.training("--run", "new", *option), code=2)
    assert (outcome.out, option[0] in outcome.err) == ("", True)
    assert not on_run(tiny, "new").exists()


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("network.width=0", "network.width"),
        ("optim.learning_rate=-1", "optim.learning_rate"),
        ("optim.precision=fp8", "'fp32', 'bf16' or 'fp16'"),
        ("data.patch=[16,16]", "network.dims is 3"),
        ("data.foreground=50", "0.2 for 20 %"),
    ],
)
def test_settings_out_of_range(hga, tiny, assignment, says):
    hga.refuses(*tiny.training("--run", "new", "--set", assignment), code=4, says=says)
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
        document = hga(*tiny.training("--dry-run", "--json", "--epochs", 3)).document
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
