"""Processes that are killed or told to stop from outside, and resumed."""

import signal
from pathlib import Path

import pytest
from _ending import ended, started, wait_for_line
from _killed import LONG, SAVES, WORKERS
from _training import assert_same_run, finished, make_store, one_thread, settings
from typer.testing import CliRunner

from hga_cli.cli.app import app
from hga_cli.core.config import to_toml
from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("killed") / "store")


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    """Runs of both methods whose processes were killed at random moments or in a save, and resumed."""
    made = tmp_path_factory.mktemp("killed runs")
    process = started(Path(__file__).parent / "_killed.py", store.path, made)
    numbers, errors = ended(process, 200)  # a busy machine takes 30
    assert process.returncode == 0, errors
    for line in numbers.splitlines():
        in_save, after_step, _ = map(int, line.split())
        assert in_save == len(SAVES)
        assert after_step >= 1  # the others may have ended before
    return made


@pytest.mark.parametrize("method", WORKERS)
def test_killed_again_and_again_and_resumed(store, folder, tmp_path, method):
    with one_thread():
        straight = finished(store, settings(method, **LONG), tmp_path / "straight")
    assert_same_run(RunFolder(folder / method), straight)


def test_sigterm_from_outside_through_the_terminal(store, tmp_path):
    """`hga train`, SIGTERM in the middle of an epoch, `hga train --resume`: as if nothing had been."""
    runs = ["--run", "one", "--runs-dir", str(tmp_path / "runs")]
    (tmp_path / "tiny.toml").write_text(to_toml(settings("hga-published", **LONG, data__workers=1)))
    command = ["-m", "hga_cli", "train", "--dataset", store.path, *runs]
    process = started(*command, "-c", tmp_path / "tiny.toml", "--epochs", 2, "--iterations", 20)
    wait_for_line(process, "train ", 100)
    process.send_signal(signal.SIGTERM)
    _, text = ended(process, 100)
    assert process.returncode == 130, text
    assert "--resume" in text
    run = RunFolder(tmp_path / "runs" / "one")
    assert 0 < load_checkpoint(run.last)[1]["training"]["step"] < 40
    assert run.about()["status"] == "running"
    with one_thread():
        again = CliRunner().invoke(app, ["train", "--resume", "--device", "cpu", *runs])
        assert again.exit_code == 0, again.stderr
        changes = {**LONG, "optim__epochs": 2, "optim__iterations": 20}
        straight = finished(store, settings("hga-published", **changes), tmp_path / "straight")
    assert_same_run(run, straight)
    assert run.about()["status"] == "finished"
