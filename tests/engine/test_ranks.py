"""Several processes with gloo give the weights of one process that sees all their cases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from _together import free_port, run_ranks
from _training import CASES, assert_same_tensors, journal, make_store, one_thread, planned, run_folder, settings
from torch import distributed, multiprocessing, nn

from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.ranks import Ranks
from hga_cli.workflows.train import train

LONG = {"optim__epochs": 2, "optim__iterations": 5, "data__batch": 2, "data__patch": [8, 8, 8]}
PLAIN = {**LONG, "optim__optimiser": "sgd", "optim__momentum": 0.5}
"""SGD: AdamW makes whole steps of rounding errors where a gradient is zero (a bias before a norm)."""
WORKER = Path(__file__).parent / "_ranks.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cases = {**CASES, "case-5": ("flair", "t1ce", "t2"), "case-6": ("t2",)}
    return make_store(tmp_path_factory.mktemp("ranks") / "store", cases)


@pytest.mark.parametrize(("method", "epochs"), [("hga-published", 2), ("hga", 1)])
def test_two_processes_with_batch_1_equal_one_with_batch_2(store, tmp_path, method, epochs):
    """Case R02, whole trainings: pools of one case leave a rank without any, modalities are absent in turn.

    Norms over tiny volumes make rounding grow from step to step: 1e-7 after one epoch of hga, 3e-6 after two.
    """
    plain = {**PLAIN, "optim__epochs": epochs}
    with one_thread():
        alone = run_folder(tmp_path / "alone")
        train(planned(store, settings(method, **plain)), alone)
    run_ranks(WORKER, store.path, tmp_path / "together", method, json.dumps(plain))
    together = RunFolder(tmp_path / "together")
    (left, about), (right, expected) = (load_checkpoint(run.last) for run in (together, alone))
    assert set(left) == set(right)
    for name, tensor in left.items():
        if not name.startswith("model."):
            continue
        torch.testing.assert_close(tensor, right[name], atol=1e-6, rtol=1e-4, msg=name)
    assert about["training"]["step"] == expected["training"]["step"]
    for one, other in zip(journal(together), journal(alone), strict=True):
        assert one["losses"]["loss"] == pytest.approx(other["losses"]["loss"], rel=1e-5)
        assert one["beta"] == pytest.approx(other["beta"], rel=1e-4)


def _share(rank, port, queue):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    distributed.init_process_group("gloo")
    torch.manual_seed(0)
    branches = nn.ModuleList([nn.Linear(3, 2) for _ in range(3)])
    shared = nn.Linear(2, 1)
    every = [*branches.parameters(), *shared.parameters()]
    images = torch.arange(6.0).view(2, 3)
    shared(branches[rank](images[rank])).sum().backward()
    Ranks(rank=rank, count=2).average_gradients(every, 0.5)
    queue.put([None if one.grad is None else one.grad.numpy().copy() for one in every])
    distributed.barrier()
    distributed.destroy_process_group()


def test_ranks_with_different_modalities():
    """Case R02: rank 0 has the first branch only, rank 1 the second; the third stays without gradient on both."""
    context = multiprocessing.get_context("spawn")
    queue, port = context.Queue(), free_port()
    processes = [context.Process(target=_share, args=(rank, port, queue)) for rank in range(2)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    torch.manual_seed(0)
    branches = nn.ModuleList([nn.Linear(3, 2) for _ in range(3)])
    shared = nn.Linear(2, 1)
    images = torch.arange(6.0).view(2, 3)
    (0.5 * sum(shared(branches[rank](images[rank])).sum() for rank in range(2))).backward()
    for gradients in found:
        for one, parameter in zip(gradients, [*branches.parameters(), *shared.parameters()], strict=True):
            if parameter.grad is None:
                assert one is None
            else:
                torch.testing.assert_close(torch.from_numpy(one), parameter.grad)


def test_alone_there_is_nothing_to_share():
    ranks, parameter = Ranks(), nn.Parameter(torch.ones(2))
    ranks.average_gradients([parameter], 0.3)
    assert parameter.grad is None
    assert ranks.sum(1, 2.5, device=torch.device("cpu")) == (1, 2.5)
    assert (ranks.gather("x"), ranks.from_first("x"), ranks.is_first) == (["x"], "x", True)


def test_from_the_terminal_with_torchrun_and_overwrite(hga, tiny):
    """Case R04: only the first rank touches folders; one document, one run folder, nothing lost."""
    words = [*tiny.training("--epochs", 1, "--run", "a", "--overwrite", "--json")]
    hga(*words)
    start = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "hga_cli", "--"]
    command = [sys.executable, "-m", *start, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(tiny.top / "runs" / "a")
    assert sorted(path.name for path in (tiny.top / "runs").iterdir()) == ["a", "start"]
    lines = [json.loads(line) for line in (tiny.top / "runs" / "a" / "journal.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0]
    assert "validation" in lines[0]
    assert (tiny.top / "runs" / "a" / "checkpoints" / "best.safetensors").exists()


def test_resume_together_equals_never_having_stopped(store, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    run_ranks(WORKER, store.path, straight, "hga-published", json.dumps(LONG))
    run_ranks(WORKER, store.path, stopped, "hga-published", json.dumps(LONG), "--stop-after", 4)
    assert load_checkpoint(RunFolder(stopped).last)[1]["training"]["step"] == 4
    run_ranks(WORKER, store.path, stopped, "hga-published", json.dumps(LONG), "--resume")
    assert_same_tensors(*(load_checkpoint(RunFolder(path).last)[0] for path in (straight, stopped)))
