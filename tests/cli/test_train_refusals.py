"""``hga train``: names, devices and numbers that are wrong are refused before anything is written."""

import pytest
import torch
from _training_runs import on_run


class TestNames:
    """Whatever is chosen by name: a mistyped one is refused with the nearest, before anything is written."""

    @pytest.mark.parametrize(
        ("option", "says"),
        [
            (["--method", "jiont"], ["no method called 'jiont'", "did you mean 'joint'?"]),
            (["--preset", "quik"], ["no preset called 'quik'", "did you mean 'quick'?"]),
            (["--backbone", "unnet"], ["no backbone called 'unnet'", "did you mean 'unet'?"]),
            (["--balancer", "eqal"], ["no balancer called 'eqal'", "did you mean 'equal'?"]),
            (["--balancer", "pmr"], ["no balancer called 'pmr'", "'pmr' is a method: --method pmr", "known: agm"]),
            (["--backbone", "pcgrad"], ["no backbone called 'pcgrad'", "'pcgrad' is a balancer: --balancer pcgrad"]),
            (["--set", "method.sampler.kind=cycel"], ["no sampler called 'cycel'", "did you mean 'cycle'?"]),
            (["--set", "method.terms.fusd.weight=1"], ["no term called 'fusd'", "did you mean 'fused'?"]),
            (["--set", "optim.epoch=1"], ["no setting called 'optim.epoch'", "did you mean 'epochs'?"]),
        ],
        ids=["method", "preset", "backbone", "balancer", "a method", "a balancer", "sampler", "term", "setting"],
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
