"""``hga train --overwrite``: whatever can be refused is refused before the old run is touched."""

import shutil
import sys

import pytest
from _training_runs import files, on_run

from hga_cli.core.errors import DataError
from hga_cli.core.run_folder import new_run
from hga_cli.data.store import Store
from hga_cli.engine.training import Training


@pytest.mark.parametrize(
    "words",
    [
        ["--backbone", "rfnet", "--set", "data.patch=[20,20,20]"],
        ["--backbone", "rfnet", "--set", "network.width=3"],
        ["--set", "network.options.depth=3"],
        ["--backbone", "dynunet_early", "--method", "pdt", "--set", "optim.recompute=true"],
        ["--balancer", "cagrad", "--set", "optim.balancer_options.c=-1"],
        ["--balancer", "pcgrad", "--method", "joint", "--set", "method.terms.separate.weight=0"],
        ["--balancer", "dre"],
    ],
    ids=["patch", "width", "option", "recompute", "balancer option", "nothing to balance", "too few epochs"],
)
def test_what_only_building_finds_out_costs_nothing(hga, tiny, words):
    before = files(on_run(tiny, "start"))
    hga.refuses(*tiny.training("--run", "start", "--overwrite", "--epochs", 1, *words), code=4)
    assert files(on_run(tiny, "start")) == before
    hga.refuses(*tiny.training("--run", "new", "--epochs", 1, *words), code=4)
    assert not on_run(tiny, "new").exists()


def test_absent_tensorboard_costs_nothing(hga, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    before = files(on_run(tiny, "start"))
    words = ["--run", "start", "--overwrite", "--set", "log.tensorboard=true"]
    hga.refuses(*tiny.training(*words), code=5, says="tensorboard is not installed")
    assert files(on_run(tiny, "start")) == before


def test_a_case_that_cannot_be_read_costs_nothing(hga, tiny, monkeypatch):
    def gone(self, case, modalities):
        raise DataError("the disk is gone", hint="buy another")

    monkeypatch.setattr(Store, "images", gone)
    before = files(on_run(tiny, "start"))
    hga.refuses(*tiny.training("--run", "start", "--overwrite"), code=3, says="the disk is gone")
    assert files(on_run(tiny, "start")) == before


def test_a_device_without_room_costs_nothing(hga, tiny, monkeypatch):
    def no_room(self, scheme):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Training, "__init__", no_room)
    before = files(on_run(tiny, "start"))
    hga(*tiny.training("--run", "start", "--overwrite"), code=1)
    assert files(on_run(tiny, "start")) == before


def test_a_kill_while_the_old_run_is_removed_leaves_no_half_of_it(tiny, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    runs = tiny.top / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            new_run(runs, "start", overwrite=True)
    assert not on_run(tiny, "start").exists()
    assert list(runs.glob("*/run.json")) == []
    assert len(list(runs.glob(".removed-*"))) == 1
    assert list(new_run(runs, "start", overwrite=False).path.iterdir()) == []
    assert list(runs.glob(".removed-*")) == []
