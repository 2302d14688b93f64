"""The dry run: one usual step for each number of modalities, weighed by how often it is drawn."""

import resource
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from _training import MODALITIES, make_store, planned, settings

from hga_cli.data.sampling import Draw, Kind
from hga_cli.engine import memory
from hga_cli.engine.training import Training
from hga_cli.workflows.trial import dry_run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("trial") / "store")


@pytest.fixture
def steps(monkeypatch):
    """(epoch, step) of what would be learnt."""
    seen = []

    def learn(self, batch):
        seen.append((self.epoch, self.step))
        self.step += 1
        return 1.0

    monkeypatch.setattr(Training, "learn", learn)
    return seen


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({}, (0, 0)),
        ({"method__warm_up": 5}, (5, 35)),
        ({"log__cosine_every": 100}, (0, 1)),
        ({"method__warm_up": 5, "log__cosine_every": 7}, (5, 36)),
        ({"method__warm_up": 5, "log__cosine_every": 8}, (5, 35)),
        ({"log__cosine_every": 1}, (0, 0)),
        ({"method__warm_up": 9}, (8, 56)),
        ({"log__cosine_every": 100, "optim__epochs": 1, "optim__iterations": 1}, (0, 0)),
    ],
    ids=str,
)
def test_steps_are_after_the_warm_up_and_measure_no_cosines(store, steps, changes, where):
    """Unless there are no others."""
    dry_run(planned(store, settings("hga-published", **{"optim__epochs": 9} | changes)))
    assert steps
    assert set(steps) == {where}


def test_without_epochs_there_is_nothing_to_try(store, steps):
    document = dry_run(planned(store, settings("joint", optim__epochs=0)))
    assert (document["trials"], document["hours"], steps) == ([], 0, [])


def test_hours_weigh_sizes_by_how_often_they_are_drawn(store, steps):
    document = dry_run(planned(store, settings("joint", data__batch=1)))
    assert [one["share"] for one in document["trials"]] == pytest.approx([2 / 5, 2 / 5, 1 / 5])
    mean = sum(one["share"] * max(one["step_s"], one["reading_s"]) for one in document["trials"])
    assert document["hours"] == pytest.approx(14 * mean / 3600)


class Rare:
    """Draws all modalities once in a million steps, and more cases of one pair than of the other."""

    default_iterations = 10
    kinds = (
        Kind(largest=Draw(combination=MODALITIES, cases=("case-0",), ends_cycle=False), share=1e-6),
        Kind(largest=Draw(combination=("flair", "t2"), cases=("case-0",), ends_cycle=False), share=0.5),
        Kind(
            largest=Draw(combination=("flair", "t1ce"), cases=("case-0", "case-3"), ends_cycle=False), share=0.5 - 1e-6
        ),
    )

    def draw(self, step):
        return self.kinds[1].largest


def test_what_is_rare_is_tried_and_the_largest_batch_of_a_size(store, steps):
    document = dry_run(replace(planned(store, settings("joint")), sampler=Rare()))
    tried = [(one["combination"], one["cases"], one["share"]) for one in document["trials"]]
    assert tried == [("flair+t1ce", 2, pytest.approx(1)), ("flair+t1ce+t2", 1, pytest.approx(1e-6))]


def test_both_steps_of_meta_are_tried(tmp_path, steps):
    """The optimiser's moments come with the complete case of the second one: before the largest batch."""
    store = make_store(tmp_path / "store", {"a": MODALITIES, "b": MODALITIES, "c": ("t2",)})
    document = dry_run(planned(store, settings("meta", optim__iterations=8)))
    tried = [(one["combination"].count("+") + 1, one["cases"], one["share"]) for one in document["trials"]]
    assert tried == [(1, 1, 0.25), (3, 1, 0.5), (3, 2, 0.25)]


def test_a_real_step_of_each_size(store):
    document = dry_run(planned(store, settings("hga-published", method__warm_up=1)))
    assert [one["combination"].count("+") + 1 for one in document["trials"]] == [1, 2, 3]
    assert all(one["loss"] > 0 for one in document["trials"])
    assert all(0 < one["peak_gib"] < 64 for one in document["trials"])


def test_peak_is_that_of_this_process(tmp_path, monkeypatch):
    """As Linux tells it; ru_maxrss begins with the parent's."""
    status = tmp_path / "status"
    status.write_text("Name:\thga\nVmHWM:\t  3072 kB\nVmRSS:\t  1024 kB\n", encoding="utf-8")
    monkeypatch.setattr(memory, "STATUS", status)
    assert memory.peak_of_process() == 3 * 2**20


@pytest.mark.parametrize(("system", "peak"), [("linux", 5 * 2**20), ("darwin", 5 * 2**10)])
def test_peak_where_no_file_tells_it(tmp_path, monkeypatch, system, peak):
    """ru_maxrss is in KiB, but in bytes on macOS."""
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", {resource.RUSAGE_SELF: SimpleNamespace(ru_maxrss=5 * 2**10)}.get)
    assert memory.peak_of_process() == peak
