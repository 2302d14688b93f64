"""From a raw folder to a store: again and again, in parts, by many - always a whole store."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _folder import CASES, run, write_cases
from _raw import MODALITIES, image, label, write, write_raw

from hga_cli.core.errors import DataError
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Split as SplitSettings
from hga_cli.data.store import Store, case_path
from hga_cli.workflows.split import split


@pytest.fixture
def raw(tmp_path):
    return write_cases(tmp_path / "raw")


@pytest.fixture
def store(tmp_path):
    """Where the store shall be."""
    return tmp_path / "store"


def content(store):
    """Every byte and time of the case files."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (store / "cases").iterdir()}


def same_stores(left, right):
    left, right = Store(left), Store(right)
    entries = [
        {case: replace(entry, fingerprint="", sources={}) for case, entry in one.cases.items()} for one in (left, right)
    ]
    assert entries[0] == entries[1]
    assert (left.expected, left.spacing) == (right.expected, right.spacing)
    for case, entry in left.cases.items():
        np.testing.assert_array_equal(left.images(case, entry.modalities), right.images(case, entry.modalities))
        np.testing.assert_array_equal(left.label(case), right.label(case))


def test_every_case_is_stored_with_what_it_has(raw, store):
    report = run(raw, store)
    assert (report.store, report.cases) == (store, list(CASES))
    assert (report.written, report.unchanged, report.problems, report.warnings) == (list(CASES), [], [], {})
    made = Store(store)
    made.require_complete()
    assert {case: entry.modalities for case, entry in made.cases.items()} == CASES
    assert sorted(path.name for path in store.iterdir() if path.name[0] != ".") == ["cases", "store.h5"]


def test_second_run_writes_no_case(raw, store):
    run(raw, store)
    before = content(store)
    report = run(raw, store)
    assert (report.written, report.unchanged) == ([], list(CASES))
    assert content(store) == before


def test_second_run_does_only_what_is_missing_or_damaged(raw, store):
    run(raw, store)
    before = content(store)
    case_path(store, "p1").unlink()
    damaged = case_path(store, "p3")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    write_raw(raw, "p6")
    report = run(raw, store)
    assert report.written == ["p1", "p3", "p6"]
    after = content(store)
    assert {name: after[name] for name in ("p2.h5", "p4.h5", "p5.h5")} == {
        name: before[name] for name in ("p2.h5", "p4.h5", "p5.h5")
    }
    Store(store).require_complete()


@pytest.mark.parametrize("role", ["seg", "t1"])
def test_changed_file_of_equal_size_and_time_is_seen(raw, store, role):
    """Case T13."""
    run(raw, store)
    path = raw / "p1" / f"p1_{role}.nii"
    before = path.stat()
    array = {"seg": label((2, 1, 4)), "t1": image("another")}[role]
    write(path, array)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert run(raw, store).written == ["p1"]
    made = Store(store)
    if role == "seg":
        expected = np.select([array == 2, array == 1, array == 4], [2, 1, 3])
        np.testing.assert_array_equal(made.reference("p1"), expected)
    else:
        z = made.images("p1", ["t1"])[0]
        inside = array[array != 0]
        np.testing.assert_allclose(z, (array[2:11, 1:13, 2:9] - inside.mean()) / inside.std(), atol=1e-5)


def test_new_or_removed_modality_is_seen(raw, store):
    run(raw, store)
    (raw / "p1" / "p1_t1ce.nii").unlink()
    write(raw / "p2" / "p2_t2.nii", image("p2 t2"))
    assert run(raw, store).written == ["p1", "p2"]
    cases = Store(store).cases
    assert cases["p1"].modalities == ("flair", "t1", "t2")
    assert cases["p2"].modalities == ("flair", "t1", "t2")


def test_changed_setting_does_all_again(raw, store):
    run(raw, store)
    report = run(raw, store, spacing=(2.0, 2.0, 1.0))
    assert report.written == list(CASES)
    made = Store(store)
    assert made.spacing == (2.0, 2.0, 1.0)
    assert {entry.shape for entry in made.cases.values()} == {(4, 6, 7)}
    assert run(raw, store, spacing=(2.0, 2.0, 1.0)).written == []


def test_touched_file_does_nothing_again(raw, store):
    run(raw, store)
    for path in raw.rglob("*.nii"):
        os.utime(path)
    assert run(raw, store).written == []


def test_folder_may_move(raw, store):
    run(raw, store)
    moved = raw.rename(raw.with_name("Größe 测试 (a) "))
    assert run(moved, store).written == []


def test_shards_make_the_same_store(raw, store, tmp_path):
    run(raw, tmp_path / "whole")
    assert run(raw, store, shard=(1, 2)).written == ["p1", "p3", "p5"]
    with pytest.raises(DataError, match=r"2 of 5 cases lack \(p2, p4\)"):
        Store(store).require_complete()
    assert run(raw, store, shard=(2, 2)).written == ["p2", "p4"]
    Store(store).require_complete()
    same_stores(store, tmp_path / "whole")


def test_more_shards_than_cases(raw, store):
    written = [run(raw, store, shard=(number, 7)).written for number in range(1, 8)]
    assert [case for part in written for case in part] == list(CASES)
    Store(store).require_complete()


def test_workers_make_the_same_store(raw, store, tmp_path):
    run(raw, tmp_path / "one", workers=1)
    report = run(raw, store, workers=2)
    assert report.written == list(CASES)
    same_stores(store, tmp_path / "one")


TWICE = """
import sys
from pathlib import Path
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.description import load_description
from hga_cli.workflows.preprocess import preprocess
print("ready", flush=True)
sys.stdin.readline()
print(len(preprocess(Path(sys.argv[1]), load_description("brats"), Path(sys.argv[2]), Preprocess(workers=1)).cases))
"""


def test_two_at_once_give_a_whole_store(raw, tmp_path):
    """Started at the same moment, each may write what the other has written. Case C06: in the C locale as well."""
    write_raw(raw, "Größe 测试 #1 (a)")
    raw, store = raw.rename(tmp_path / "ähm 测试 "), tmp_path / "store ß"
    command = [sys.executable, "-W", "error", "-c", TWICE, raw, store]
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    places = {"cwd": Path(__file__).parents[2], "env": {**os.environ, "LC_ALL": "C"}}
    both = [subprocess.Popen(command, text=True, **pipes, **places) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, out, errors) == (0, "6\n", "")
    Store(store).require_complete()
    assert list(Store(store).cases) == sorted([*CASES, "Größe 测试 #1 (a)"])
    run(raw, tmp_path / "alone")
    same_stores(store, tmp_path / "alone")
    assert run(raw, store).written == []


def test_nothing_found_writes_nothing(tmp_path, store):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no case"):
        run(tmp_path / "empty", store)
    assert not store.exists()


def test_cases_of_another_folder_are_not_dropped_silently(raw, store, tmp_path):
    run(raw, store)
    write_raw(tmp_path / "other", "q1")
    before = content(store)
    with pytest.raises(DataError, match=r"5 cases that '.*other' does not have: p1, p2, p3, p4, p5") as caught:
        run(tmp_path / "other", store)
    assert "--overwrite" in caught.value.hint
    assert content(store) == before
    assert list(Store(store).cases) == list(CASES)
    run(tmp_path / "other", store, overwrite=True)
    assert list(Store(store).cases) == ["q1"]
    assert [path.name for path in (store / "cases").iterdir()] == ["q1.h5"]


def test_splits_survive_and_new_cases_are_in_no_part(raw, store):
    run(raw, store)
    made, is_new = split(Store(store), SplitSettings(ratios=(0.6, 0.2, 0.2)))
    assert is_new
    write_raw(raw, "p6")
    run(raw, store)
    assert Store(store).split(None) == made
    assert "p6" not in made.train + made.val + made.test


def test_unfinished_store_is_not_split(raw, store):
    run(raw, store, shard=(1, 2))
    with pytest.raises(DataError, match="is not finished"):
        split(Store(store), SplitSettings())
    assert Store(store).splits == {}


class Recorder(Silent):
    """What the terminal would show."""

    def __init__(self):
        self.told = []

    def warn(self, text):
        self.told.append(text)

    def start(self, title, total, done=0):
        self.told.append((title, total))

    def advance(self, note=""):
        self.told.append(note)

    def finish(self):
        self.told.append("finish")


def test_progress_and_warnings(raw, store):
    write(raw / "p4" / "p4_t1.nii", np.full((12, 14, 10), 7, np.int16))
    recorder = Recorder()
    report = run(raw, store, progress=recorder)
    warning = "t1: 'p4_t1.nii' is constant, it counts as absent"
    assert recorder.told == [("preprocess", 5), "p1", "p2", "p3", f"p4: {warning}", "p4", "p5", "finish"]
    assert report.warnings == {"p4": [warning]}
    assert Store(store).cases["p4"].modalities == ("t2",)


def test_stored_copy_of_a_clean_twin(raw, store, tmp_path):
    """Case G01 through the whole way: NaN voxels leave the store of the twin with zeros."""
    dirty, clean = image("p1 t1").astype(np.float32), image("p1 t1").astype(np.float32)
    dirty[3:5, 3, 3], clean[3:5, 3, 3] = np.nan, 0
    stores = {}
    for name, array in {"dirty": dirty, "clean": clean}.items():
        write_raw(tmp_path / name, "p1", arrays={"t1": array})
        stores[name] = run(tmp_path / name, tmp_path / f"store {name}").store
    same_stores(stores["dirty"], stores["clean"])
    assert np.isfinite(Store(stores["dirty"]).images("p1", MODALITIES)).all()
