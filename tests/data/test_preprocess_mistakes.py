"""From a raw folder with mistakes to a store: all of them in one error, nothing half written, later runs repair it."""

import shutil
from pathlib import Path

import h5py
import pytest
from _folder import CASES, run, write_cases
from _raw import image, label, write

from hga_cli.core.errors import DataError, ProblemsError
from hga_cli.data.store import Store, case_path


@pytest.fixture
def raw(tmp_path):
    return write_cases(tmp_path / "raw")


@pytest.fixture
def store(tmp_path):
    """Where the store shall be."""
    return tmp_path / "store"


def spoil(raw):
    """Damage two cases in three places that only their contents show; three cases stay sound."""
    (raw / "p1" / "p1_t1.nii").write_bytes(b"nonsense")
    (raw / "p1" / "p1_t2.nii").write_bytes(b"")
    write(raw / "p4" / "p4_seg.nii", label((7,)))


def test_every_problem_inside_files_in_one_error(raw, store):
    spoil(raw)
    with pytest.raises(ProblemsError, match="2 of 5 cases") as caught:
        run(raw, store)
    assert {(problem.case, Path(problem.file).name) for problem in caught.value.problems} == {
        ("p1", "p1_t1.nii"),
        ("p1", "p1_t2.nii"),
        ("p4", "p4_seg.nii"),
    }
    assert "--on-problem skip" in caught.value.hint
    made = Store(store)
    assert list(made.cases) == ["p2", "p3", "p5"]
    with pytest.raises(DataError, match=r"2 of 5 cases lack \(p1, p4\)"):
        made.require_complete()


def test_repaired_cases_are_done_by_the_next_run(raw, store):
    spoil(raw)
    with pytest.raises(ProblemsError):
        run(raw, store)
    for role in ("t1", "t2"):
        write(raw / "p1" / f"p1_{role}.nii", image(f"p1 {role}"))
    write(raw / "p4" / "p4_seg.nii", label())
    assert run(raw, store).written == ["p1", "p4"]
    Store(store).require_complete()


def test_label_that_was_spoilt_leaves_no_old_copy(raw, store):
    run(raw, store)
    spoil(raw)
    with pytest.raises(ProblemsError):
        run(raw, store)
    bad = set(CASES) - set(Store(store).cases)
    assert bad
    assert not any(case_path(store, case).exists() for case in bad)
    with pytest.raises(DataError, match="not finished"):
        Store(store).require_complete()


def test_bad_cases_can_be_left_out(raw, store):
    spoil(raw)
    report = run(raw, store, on_problem="skip")
    assert report.cases == report.written == ["p2", "p3", "p5"]
    assert sorted(problem.case for problem in report.problems) == ["p1", "p1", "p4"]
    made = Store(store)
    made.require_complete()
    assert list(made.cases) == made.expected == ["p2", "p3", "p5"]
    again = run(raw, store, on_problem="skip")
    assert (again.written, again.unchanged) == ([], ["p2", "p3", "p5"])


def test_bad_cases_are_left_out_by_shards_too(raw, store):
    spoil(raw)
    for number in (1, 2):
        run(raw, store, shard=(number, 2), on_problem="skip")
    made = Store(store)
    made.require_complete()
    assert list(made.cases) == ["p2", "p3", "p5"]


def test_problem_of_names_stops_before_anything_is_written(raw, store):
    shutil.copy(raw / "p1" / "p1_t1.nii", raw / "p1" / "p1_t1_Eq_1.nii")
    (raw / "p3" / "p3_seg.nii").unlink()
    with pytest.raises(ProblemsError, match="2 problems, nothing was written") as caught:
        run(raw, store)
    assert sorted(problem.case for problem in caught.value.problems) == ["p1", "p3"]
    assert not store.exists()
    report = run(raw, store, on_problem="skip")
    assert report.cases == ["p2", "p4", "p5"]
    assert len(report.problems) == 2
    Store(store).require_complete()


def test_failure_of_the_disk_leaves_no_half_case(raw, store, monkeypatch):
    """Case D05: what is there stays, nothing half lies under a final name, and a later run finishes."""
    create = h5py.Group.create_dataset

    def full(self, name, *arguments, **options):
        if name == "label" and self.file.filename.endswith("p3.h5"):
            raise OSError(28, "No space left on device")
        return create(self, name, *arguments, **options)

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises((OSError, DataError), match="No space left"):
        run(raw, store)
    assert sorted(path.name for path in (store / "cases").iterdir()) == ["p1.h5", "p2.h5"]
    monkeypatch.undo()
    report = run(raw, store)
    assert (report.unchanged, report.written) == (["p1", "p2"], ["p3", "p4", "p5"])
    Store(store).require_complete()
