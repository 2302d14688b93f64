"""A sweep that is killed with SIGKILL, which it can tell nobody: what it started ends as after Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from hga_cli.core.errors import DataError
from hga_cli.core.orphans import FOLLOWS_STDIN
from hga_cli.core.run_folder import RunFolder

PATIENCE = 120
"""Seconds, on a busy machine; alone a start takes 6 and an end 1."""
CALM = {**os.environ, "OMP_NUM_THREADS": "1"}
LONG = """
dataset = "brats"
name = "x"
methods = ["joint"]
[settings]
network.width = 2
data = { batch = 2, patch = [16, 16, 16], workers = 0, split = "default" }
optim = { iterations = 20000, epochs = 1 }
validation.every = 0
"""
NAME = "x-joint-equal-unet-s1037"


@pytest.fixture
def run(tiny_folder, tmp_path):
    """A run that will be, beside a store of tiny cases."""
    shutil.copytree(tiny_folder / "data", tmp_path / "data")
    (tmp_path / "sweep.toml").write_text(LONG, encoding="utf-8")
    return RunFolder(tmp_path / "runs" / NAME)


def wait_until(is_so, process):
    until = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)


def sweep_until(is_so, top, number):
    """Start a sweep, send it a signal when something is so, and return what it says."""
    words = ["sweep", "sweep.toml", "--data-dir", "data", "--runs-dir", "runs", "--device", "cpu", "--json"]
    command = [sys.executable, "-m", "hga_cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=top, env=CALM, **pipes) as process:
        wait_until(is_so, process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
    return out


def is_trained(run):
    """Tell whether a process trains in a run."""
    try:
        run.lock().release()
    except DataError:
        return True
    return False


def log(run):
    return (run.path / "log.txt").read_text(encoding="utf-8") if (run.path / "log.txt").exists() else ""


def test_training_saves_itself_and_the_next_sweep_goes_on(run, tmp_path):
    """Nothing hears the training any more, and no line of it is due for a while: it learns of it by its stdin."""
    assert sweep_until(run.last.exists, tmp_path, signal.SIGKILL) == ""
    until = time.monotonic() + PATIENCE
    while is_trained(run) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_trained(run)
    assert log(run).count("interrupted after step") == 1
    said = sweep_until(lambda: log(run).count("method joint") == 2, tmp_path, signal.SIGINT)
    (row,) = json.loads(said)["runs"]
    assert (row["todo"], row["result"]) == ("resume", "interrupted")


TINY = ["--set", "network.width=2", "--set", "data.patch=[16,16,16]", "--set", "data.workers=0", "--device", "cpu"]
PROGRAM = "-m", "hga_cli"
SLOW = """
import time
from hga_cli.cli.app import main
from hga_cli.workflows import evaluate
evaluate.evaluate = lambda *words, **options: time.sleep(600)
main()
"""
TRAIN, EVALUATE = ("train", "--dataset", "brats", "--run", "new", "--iterations"), ("evaluate", "start")


def ending(tiny_folder, top, words, environment):
    """Return how a command ends whose stdin is empty, as where the other end of a pipe is gone."""
    shutil.copytree(tiny_folder, top / "tiny")
    return subprocess.run(
        [sys.executable, *words, *TINY, "--runs-dir", "runs", "--data-dir", "data"],
        cwd=top / "tiny",
        env={**CALM, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("words", [(*PROGRAM, *TRAIN, "100000"), ("-c", SLOW, *EVALUATE)], ids=["train", "evaluate"])
def test_a_command_follows_its_stdin_where_it_is_asked_to(tiny_folder, tmp_path, words):
    """Left alone each would take many minutes, and end with 0.

    Usually it ends with 130; but this interrupt comes at the start, where a library that is being loaded may turn it
    into an error of its own.
    """
    result = ending(tiny_folder, tmp_path, words, FOLLOWS_STDIN)
    assert result.returncode in (130, 1), result.stderr


@pytest.mark.parametrize("words", [(*TRAIN, "3", "--epochs", "1"), EVALUATE], ids=["train", "evaluate"])
def test_an_empty_stdin_is_nothing_else(tiny_folder, tmp_path, words):
    """Schedulers give one to their commands."""
    result = ending(tiny_folder, tmp_path, (*PROGRAM, *words), {})
    assert result.returncode == 0, result.stderr
