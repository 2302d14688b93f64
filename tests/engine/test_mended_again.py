"""What a second review found, kept from coming back."""

import shlex
from dataclasses import replace

import pytest
import torch
from _interrupting import StopAfter
from _training import (
    CASES,
    SHAPE,
    description,
    journal,
    make_store,
    planned,
    prepared,
    run_folder,
    settings,
    training_of,
)

from hga_cli.alignment.interpolation import Interpolation
from hga_cli.core.errors import ConfigError
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split, update_index, write_case
from hga_cli.engine import loop
from hga_cli.engine.checkpoint import load_checkpoint, save_checkpoint
from hga_cli.engine.loop import Interrupted
from hga_cli.engine.ranks import Ranks
from hga_cli.workflows import resume
from hga_cli.workflows.plan import plan
from hga_cli.workflows.train import train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("mended again") / "store")


def config(**changes):
    """One step on four cases; the fifth is for validation."""
    usual = {"data__split": "five", "validation__every": 0, "optim__epochs": 1, "optim__iterations": 1}
    return settings("joint", **usual | changes)


@pytest.fixture
def trained(tmp_path):
    """A run, and the path of its store, which a test may change."""
    path = make_store(tmp_path / "store").path
    *train_cases, val = sorted(CASES)
    save_split(path, Split(name="five", train=train_cases, val=[val], test=[]))
    run = run_folder(tmp_path / "run")
    train(planned(Store(path), config()), run)
    return run, path


def rewritten(path, *cases, description=description):
    """Write cases of a store again, as after another preprocessing, and return the store."""
    for case in cases:
        write_case(path, prepared(case, CASES[case], SHAPE), fingerprint=f"other-{case}")
    update_index(path, description(), found=list(CASES), examined=list(CASES), skipped=[], preparation=Preparation())
    return Store(path)


def refusal(run, store, **changes):
    with pytest.raises(ConfigError, match="cannot continue with other settings or data") as caught:
        train(planned(store, config(**changes)), run, resume=True)
    return caught.value.message


@pytest.mark.parametrize("case", ["case-0", "case-4"], ids=["trains", "validates"])
def test_a_case_that_was_prepared_again_is_noticed(trained, case):
    run, path = trained
    text = refusal(run, rewritten(path, case))
    assert text.endswith(f"data: case '{case}' of the store was {case}, is other-ca")


def test_some_of_many_changed_cases_are_named(trained, monkeypatch):
    run, path = trained
    monkeypatch.setattr(resume, "SHOWN", 2)
    text = refusal(run, rewritten(path, *CASES), seed=3)
    assert "seed was 1037, is 3; case 'case-0' of the store" in text
    assert text.count("of the store") == 2
    assert text.endswith("; 3 more cases changed")


def test_another_meaning_of_labels_is_noticed_and_another_title_is_not(trained):
    run, path = trained
    titled = rewritten(path, description=lambda: replace(description(), title="a new title"))
    assert train(planned(titled, config()), run, resume=True)["epochs"] == 1
    swapped = rewritten(path, description=lambda: replace(description(), labels=description().labels[::-1]))
    text = refusal(run, swapped)
    assert "description.labels was [{'name': 'core'" in text
    assert ", is [{'name': 'oedema'" in text


def test_a_run_of_an_older_version_kept_no_fingerprints(trained):
    run, path = trained
    tensors, about = load_checkpoint(run.last)
    del about["fingerprints"], about["sources"]["cases"]
    save_checkpoint(run.last, tensors, about)
    assert train(planned(rewritten(path, "case-1"), config()), run, resume=True)["epochs"] == 1


@pytest.mark.parametrize(
    ("accumulate", "count", "says"),
    [(2, 1, "optim.accumulate=2 splits it"), (1, 2, "2 processes share it")],
    ids=["parts", "ranks"],
)
def test_a_loss_over_the_batch_is_not_computed_in_parts(store, accumulate, count, says):
    whole = {"data__batch": 2, "optim__accumulate": accumulate}
    ranks = Ranks(rank=0, count=count)
    with pytest.raises(ConfigError, match="terms separate, distillation add up over the batch") as caught:
        plan(store, settings("hga-late", **whole), CPU, ranks)
    assert says in caught.value.message
    words = [word for word in shlex.split(caught.value.hint.partition(";")[0]) if word != "--set"]
    advised = {word.partition("=")[0].replace(".", "__"): False for word in words}
    assert plan(store, settings("hga-late", **whole, **advised), CPU, ranks).config.data.batch == 2
    assert plan(store, settings("hga-published", **whole), CPU, ranks).config.data.batch == 2


def test_a_batch_of_one_has_no_parts(store):
    config = settings("hga-late", data__batch=1, optim__accumulate=2)
    assert plan(store, config, CPU).config.optim.accumulate == 2


def test_meta_ends_no_epoch_with_a_trial(store):
    with pytest.raises(ConfigError, match="meta makes steps by 2, and an epoch has 7") as caught:
        planned(store, settings("meta", optim__iterations=7))
    assert caught.value.hint == "--set optim.iterations=8"
    assert planned(store, settings("meta", optim__iterations=8)).config.optim.iterations == 8
    assert planned(store, settings("meta", optim__iterations=None)).config.optim.iterations % 2 == 0


@pytest.mark.parametrize(("steps", "before"), [(3, 0), (6, 3), (7, 6)])
def test_a_signal_at_the_end_of_an_epoch_keeps_two_generations(store, tmp_path, steps, before):
    """``previous`` is the end of the epoch before, and no copy of ``last``."""
    run = run_folder(tmp_path / "run")
    with pytest.raises(Interrupted):
        train(planned(store, settings("joint", optim__iterations=3, optim__epochs=4)), run, progress=StopAfter(steps))
    assert load_checkpoint(run.last)[1]["training"]["step"] == steps
    assert load_checkpoint(run.previous)[1]["training"]["step"] == before


def test_an_early_end_merges_with_the_epsilon_of_its_epoch(tmp_path, monkeypatch):
    """Ten steps are one cycle of seven and a part of the next; both ended in epoch 1 of 4."""
    own = make_store(tmp_path / "store")
    save_split(own.path, Split(name="some", train=sorted(CASES)[:4], val=["case-4"], test=[]))
    scores, epsilons = iter([0.5, 0.4]), []
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {"mean": next(scores), "combinations": {}})
    monkeypatch.setattr(Interpolation, "end_cycle", lambda self, model, epsilon: epsilons.append(epsilon))
    ends_early = {"validation__every": 1, "validation__patience": 1, "data__split": "some"}
    config = settings("hga-published", optim__iterations=5, optim__epochs=4, **ends_early)
    run = run_folder(tmp_path / "run")
    assert train(planned(Store(own.path), config), run)["epochs"] == 2
    assert epsilons == pytest.approx([0.1 + 0.9 / 4] * 2)
    assert journal(run)[-1]["epsilon"] == pytest.approx(epsilons[-1])


def test_means_of_terms_count_samples_however_the_batch_is_divided(tmp_path):
    """Three cases at once, or two and one: the same means in the journal."""
    own = make_store(tmp_path / "store", {f"case-{number}": ("flair", "t2") for number in range(3)})
    found = []
    for parts in (1, 2):
        changes = {"data__batch": 3, "optim__accumulate": parts, "log__cosine_every": 1}
        training, patches = training_of(planned(own, settings("joint", optim__iterations=1, **changes)))
        training.learn(patches[0])
        found.append(training.end_epoch()["losses"])
    whole, divided = found
    assert whole.keys() == divided.keys() > {"fused/fused", "separate/t2", "loss"}
    assert divided == pytest.approx(whole, rel=1e-4)
