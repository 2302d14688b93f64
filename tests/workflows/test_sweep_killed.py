"""A sweep that is killed with SIGKILL, which it can tell nobody: what it started ends as after Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from _sweeps import sweep_text

from hga_cli.core.errors import DataError
from hga_cli.core.orphans import FOLLOWS_STDIN
from hga_cli.core.run_folder import RunFolder

PATIENCE = 120
"""Seconds, on a busy machine; alone a start takes 6 and an end 1."""
CALM = {**os.environ, "OMP_NUM_THREADS": "1"}
LONG = sweep_text(iterations=20000)
NAME = "x-joint-equal-unet-s1037"


@pytest.fixture
def run(tiny_folder, tmp_path):
    """A run that will be, beside a store of tiny cases."""
    shutil.copytree(tiny_folder / "data", tmp_path / "data")
    (tmp_path / "sweep.toml").write_text(LONG, encoding="utf-8")
    return RunFolder(tmp_path / "runs" / NAME)


@contextmanager
def killed_in_the_end(process):
    """So that a process which goes on makes a test fail, not wait."""
    with process:
        try:
            yield process
        finally:
            process.kill()


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
    with killed_in_the_end(subprocess.Popen(command, cwd=top, env=CALM, **pipes)) as process:
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
from pathlib import Path
from hga_cli.cli.app import main
from hga_cli.workflows import evaluate
def evaluated(*words, **options):
    Path("at-work").touch()
    time.sleep(600)
evaluate.evaluate = evaluated
main()
"""
TRAIN, EVALUATE = ("train", "--dataset", "brats", "--run", "new", "--iterations"), ("evaluate", "start")


def started(tiny_folder, top, words, **options):
    """Start a command in a folder with a store and a run."""
    shutil.copytree(tiny_folder, top / "tiny")
    command = [sys.executable, *words, *TINY, "--runs-dir", "runs", "--data-dir", "data"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return killed_in_the_end(subprocess.Popen(command, cwd=top / "tiny", **pipes, **options))


@pytest.mark.parametrize(
    ("words", "sign"),
    [((*PROGRAM, *TRAIN, "100000"), "runs/new/checkpoints/last.safetensors"), (("-c", SLOW, *EVALUATE), "at-work")],
    ids=["train", "evaluate"],
)
def test_a_command_follows_its_stdin_where_it_is_asked_to(tiny_folder, tmp_path, words, sign):
    """Left alone each would take many minutes."""
    follows = {**CALM, **FOLLOWS_STDIN}
    with started(tiny_folder, tmp_path, words, env=follows, stdin=subprocess.PIPE) as process:
        wait_until((tmp_path / "tiny" / sign).exists, process)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(PATIENCE) == 130


@pytest.mark.parametrize("words", [(*TRAIN, "3", "--epochs", "1"), EVALUATE], ids=["train", "evaluate"])
def test_an_empty_stdin_is_nothing_else(tiny_folder, tmp_path, words):
    """Schedulers give one to their commands."""
    with started(tiny_folder, tmp_path, (*PROGRAM, *words), env=CALM, stdin=subprocess.DEVNULL) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
