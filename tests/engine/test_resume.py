"""A run that was interrupted and resumed is the run that was not, bit for bit."""

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from _interrupting import interrupt
from _training import (
    CASES,
    MODALITIES,
    assert_same_run,
    assert_same_tensors,
    finished,
    journal,
    make_store,
    one_thread,
    planned,
    run_folder,
    settings,
)

from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.progress import Silent
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.workflows.train import train

EPOCHS, ITERATIONS = 3, 5  # cycles of 7 steps cross the epochs; the last one is cut short
METHODS = ("hga-published", "hga")


def config(method, **changes):
    return settings(method, **{"optim__epochs": EPOCHS, "optim__iterations": ITERATIONS, **changes})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("resume") / "store")


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    """A run of each method in one go."""
    folder = tmp_path_factory.mktemp("straight")
    with one_thread():
        return {method: finished(store, config(method), folder / method) for method in METHODS}


@pytest.mark.parametrize("steps", [[3], [5], [7, 8, 10, 14]], ids=["mid-epoch", "between epochs", "again and again"])
@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed(store, straight, tmp_path, method, steps):
    run = run_folder(tmp_path / "run")
    for number, step in enumerate(steps):
        interrupt(planned(store, config(method)), run, step, resume=number > 0)
    train(planned(store, config(method)), run, resume=True)
    assert_same_run(run, straight[method])


@pytest.mark.parametrize("method", METHODS)
def test_with_workers_that_read_ahead(store, straight, tmp_path, method):
    """A worker has prepared later steps when the run stops; without workers it goes on."""
    run = run_folder(tmp_path / "run")
    interrupt(planned(store, config(method, data__workers=1)), run, 4, resume=False)
    interrupt(planned(store, config(method, data__workers=2)), run, 9, resume=True)
    train(planned(store, config(method, data__workers=0)), run, resume=True)
    assert_same_run(run, straight[method])


def test_a_signal_to_the_whole_group_spares_the_workers(store, straight, tmp_path):
    """Schedulers send SIGTERM to every process of a job: a worker that died would take the running epoch with it."""

    def to_the_workers():
        children = multiprocessing.active_children()
        assert children
        for child in children:
            os.kill(child.pid, signal.SIGTERM)

    run = run_folder(tmp_path / "run")
    interrupt(planned(store, config("hga-published", data__workers=1)), run, 4, resume=False, also=to_the_workers)
    train(planned(store, config("hga-published")), run, resume=True)
    assert_same_run(run, straight["hga-published"])


def test_channels_last_and_bf16_resume_exactly_too(store, tmp_path):
    changes = {"optim__layout": "channels_last", "optim__precision": "bf16"}
    whole = finished(store, config("hga-published", **changes), tmp_path / "whole")
    run = run_folder(tmp_path / "run")
    interrupt(planned(store, config("hga-published", **changes)), run, 8, resume=False)
    train(planned(store, config("hga-published", **changes)), run, resume=True)
    assert_same_run(run, whole)


def test_what_was_straight_is_worth_comparing_with(straight):
    """Tensors of all four kinds, moments of every parameter, beta that moved, one line per epoch."""
    tensors, about = load_checkpoint(straight["hga-published"].last)
    kinds = {name.split(".")[0] for name in tensors}
    assert kinds == {"model", "optimiser", "outer"}  # the balancer "equal" has nothing to keep
    parameters = sum(name.startswith("model.") for name in tensors)
    assert sum(name.startswith("optimiser.") for name in tensors) == 4 * parameters
    assert about["training"]["step"] == EPOCHS * ITERATIONS
    assert len(set(about["training"]["preference"]["beta"].values())) == 3
    assert len(journal(straight["hga-published"])) == EPOCHS
    other = load_checkpoint(straight["hga"].last)[0]
    assert not torch.equal(other["model.head.weight"], tensors["model.head.weight"])


@pytest.fixture(scope="module")
def interrupted_once(store, tmp_path_factory):
    with one_thread():
        run = run_folder(tmp_path_factory.mktemp("interrupted") / "run")
        interrupt(planned(store, config("hga-published")), run, 7, resume=False)
        return run


@pytest.fixture
def stopped(interrupted_once, tmp_path):
    """A copy of a run of hga that was interrupted after step 7, in its second epoch."""
    shutil.copytree(interrupted_once.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(store, straight, tmp_path):
    run = run_folder(tmp_path / "run")
    shutil.copytree(straight["hga-published"].path, run.path, dirs_exist_ok=True)
    train(planned(store, config("hga-published")), run, resume=True)
    assert_same_run(run, straight["hga-published"])
    assert run.about()["status"] == "finished"


@pytest.mark.parametrize(
    ("change", "key", "old", "new"),
    [
        ({"optim__epochs": 6}, "optim.epochs", "3", "6"),
        ({"optim__learning_rate": 2e-3}, "optim.learning_rate", "0.001", "0.002"),
        ({"optim__iterations": 7}, "optim.iterations", "5", "7"),
        ({"seed": 3}, "seed", "1037", "3"),
        ({"data__batch": 1}, "data.batch", "2", "1"),
        ({"augmentation__flip": 0.25}, "augmentation.flip", "0.5", "0.25"),
        ({"method__terms__distillation__weight": 0.1}, "method.terms.distillation.weight", "0.5", "0.1"),
        ({"network__width": 8}, "network.width", "4", "8"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and not value[0].isdigit() else "",
)
def test_other_settings_are_refused(store, stopped, change, key, old, new):
    before = stopped.last.read_bytes()
    with pytest.raises(ConfigError) as caught:
        train(planned(store, config("hga-published", **change)), stopped, resume=True)
    assert f"{key} was {old}, is {new}" in caught.value.message
    assert "config.toml" in caught.value.hint
    assert stopped.last.read_bytes() == before


def test_another_method_is_refused(store, stopped):
    with pytest.raises(ConfigError, match=r"method\.name was 'hga-published', is 'joint'"):
        train(planned(store, config("joint")), stopped, resume=True)


def test_several_differences_are_told_at_once(store, stopped):
    with pytest.raises(ConfigError, match=r"optim\.epochs was 3, is 4.*seed was 1037, is 1"):
        train(planned(store, config("hga-published", seed=1, optim__epochs=4)), stopped, resume=True)


def test_workers_and_evaluation_are_free(store, stopped, straight):
    changed = config("hga-published", data__workers=1, evaluation__overlap=0.25)
    train(planned(store, changed), stopped, resume=True)
    assert_same_run(stopped, straight["hga-published"])


def test_another_split_is_refused(store, stopped, tmp_path):
    shutil.copytree(store.path, tmp_path / "store")
    save_split(tmp_path / "store", Split(name="other", train=sorted(CASES)[1:], val=[], test=[]))
    with pytest.raises(ConfigError, match=r"data\.split was 'default', is 'other'.*split was '\w+', is '\w+'"):
        train(planned(Store(tmp_path / "store"), config("hga-published", data__split="other")), stopped, resume=True)


def test_a_split_of_the_same_name_with_other_cases_is_refused(stopped, tmp_path):
    other = make_store(tmp_path / "other", {case: has for case, has in CASES.items() if case != "case-1"})
    with pytest.raises(ConfigError, match=r"available was '\w+', is '\w+'; split was '\w+', is '\w+'"):
        train(planned(other, config("hga-published")), stopped, resume=True)


def test_cases_that_may_use_something_else_are_refused(stopped, tmp_path):
    other = make_store(tmp_path / "other", {**CASES, "case-2": MODALITIES})
    with pytest.raises(ConfigError, match=r"other settings or data: available was") as caught:
        train(planned(other, config("hga-published")), stopped, resume=True)
    assert "split" not in caught.value.message.partition("available")[2]


class Ears(Silent):
    def __init__(self):
        self.warned = []

    def warn(self, text):
        self.warned.append(text)


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(store, stopped, straight):
    """Case T03: last is of step 7, previous of step 5; the result is that of a run that never stopped."""
    stopped.last.write_bytes(stopped.last.read_bytes()[: int(0.6 * stopped.last.stat().st_size)])
    assert load_checkpoint(stopped.previous)[1]["training"]["step"] == 5
    ears = Ears()
    train(planned(store, config("hga-published")), stopped, resume=True, progress=ears)
    (text,) = ears.warned
    assert "last.safetensors' is damaged" in text
    assert f"continuing from the one before, '{stopped.previous}'" in text
    assert_same_run(stopped, straight["hga-published"])


def test_two_damaged_checkpoints_are_an_error(store, stopped):
    for path in (stopped.last, stopped.previous):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"previous\.safetensors' is damaged") as caught:
        train(planned(store, config("hga-published")), stopped, resume=True)
    assert caught.value.exit_code == 4


def test_more_epochs_are_refused_with_both_rates(store, tmp_path):
    """Case T01: the polynomial schedule would jump from 1.26e-4 to 5.36e-4."""
    short = settings(optim__epochs=10, optim__iterations=1, optim__learning_rate=1e-3, data__patch=[8, 8, 8])
    run = run_folder(tmp_path / "run")
    train(planned(store, short), run)
    longer = replace(short, optim=replace(short.optim, epochs=20))
    with pytest.raises(ConfigError, match=r"optim.epochs was 10, is 20") as caught:
        train(planned(store, longer), run, resume=True)
    assert "the learning rate would jump from 0.000126 to 0.000536" in caught.value.message


def test_a_kill_between_journal_and_checkpoint_leaves_no_line_twice(store, stopped, straight):
    """The journal may be ahead of the checkpoint, and its last line cut off."""
    with (stopped.path / "journal.jsonl").open("a") as file:
        file.write(json.dumps({**journal(stopped)[0], "epoch": 1}) + "\n" + '{"epoch": 2, "beta": {"fl')
    train(planned(store, config("hga-published")), stopped, resume=True)
    assert_same_run(stopped, straight["hga-published"])


def test_an_empty_folder_cannot_be_resumed(store, tmp_path):
    run = run_folder(tmp_path / "run")
    with pytest.raises(DataError, match=r"is no run folder: it has no run\.json"):
        train(planned(store, config("hga-published")), run, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_training_in_one_folder_is_refused(store, stopped, resume):
    before = stopped.last.read_bytes()
    lock = stopped.lock()
    try:
        with pytest.raises(DataError, match="another process is training"):
            train(planned(store, config("hga-published")), stopped, resume=resume)
    finally:
        lock.release()
    assert stopped.last.read_bytes() == before


def test_the_lock_goes_with_the_training(store, stopped):
    """Also when it was interrupted or failed."""
    stopped.lock().release()
    with pytest.raises(ConfigError):
        train(planned(store, config("hga-published", seed=1)), stopped, resume=True)
    stopped.lock().release()


def test_signal_handlers_are_put_back(store, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    interrupt(planned(store, config("hga-published")), run_folder(tmp_path / "run"), 1, resume=False)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_config_of_the_run_resumes_it(store, stopped, straight):
    """What `hga train --resume` does: read config.toml, change nothing."""
    again = resolve(file=stopped.config_file)
    assert again == planned(store, config("hga-published")).config
    train(planned(store, again), stopped, resume=True)
    assert_same_run(stopped, straight["hga-published"])


def test_the_checkpoint_of_an_interrupted_run_is_the_state_after_the_step(store, tmp_path):
    """Not of the epoch before: nothing that was learnt is lost."""
    run, other = run_folder(tmp_path / "run"), run_folder(tmp_path / "other")
    interrupt(planned(store, config("hga-published")), run, 3, resume=False)
    interrupt(planned(store, config("hga-published")), other, 2, resume=False)
    assert_same_tensors(*(load_checkpoint(one.previous)[0] for one in (run, other)))
    weights = [load_checkpoint(one.last)[0]["model.head.weight"] for one in (run, other)]
    assert not torch.equal(*weights)
