"""What preprocessing says of a data set as a whole, what a dry run leaves, and what a full disk or Ctrl-C does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from _raw import BRATS, MODALITIES, image, label, write, write_raw

from hga_cli.core.errors import DataError, SetupError
from hga_cli.core.processes import in_processes, usable_cores
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.room import expected_bytes
from hga_cli.data.store import Store, case_path
from hga_cli.workflows.preprocess import preprocess


class Ears(Silent):
    """Remembers what is said."""

    def __init__(self):
        self.said, self.warned = [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)


@pytest.fixture
def raw(tmp_path):
    for case in ("p1", "p2", "p3"):
        write_raw(tmp_path / "raw", case)
    return tmp_path / "raw"


def run(raw, store, *, dry_run=False, ears=None, **settings):
    return preprocess(
        raw, BRATS, store, Preprocess(**{"workers": 1} | settings), dry_run=dry_run, progress=ears or Silent()
    )


def test_dry_run_tells_everything_and_writes_nothing(raw, tmp_path):
    write(raw / "p2" / "p2_seg.nii", label((1, 9)))
    (raw / "p3" / "p3_seg.nii").unlink()
    write_raw(raw, "p4", ["t1"], affines=dict.fromkeys(("t1", "seg"), np.diag([1.0, 1, 2, 1])))
    report = run(raw, tmp_path / "store", dry_run=True)
    assert not (tmp_path / "store").exists()
    assert sorted((one.case, one.file[-6:]) for one in report.problems) == [("p2", "eg.nii"), ("p3", "raw/p3")]
    assert list(report.seen) == ["p1", "p4"]
    assert report.seen["p1"].label_voxels == {"necrosis": 60, "oedema": 60, "enhancing": 60}
    assert (report.seen["p4"].modalities, report.seen["p4"].spacing) == (("t1",), (1, 1, 2))
    assert report.written == ["p1", "p4"]


def test_dry_run_knows_what_the_store_has(raw, tmp_path):
    run(raw, tmp_path / "store")
    write(raw / "p2" / "p2_t1.nii", image("another"))
    before = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    report = run(raw, tmp_path / "store", dry_run=True)
    assert {case: seen.is_new for case, seen in report.seen.items()} == {"p1": False, "p2": True, "p3": False}
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("change", [{"clip": (1, 99)}, {"align": True}, {"spacing": (2, 2, 2)}], ids=str)
def test_each_setting_that_changes_the_result_does_all_again(raw, tmp_path, change):
    run(raw, tmp_path / "store")
    assert run(raw, tmp_path / "store", **change).written == ["p1", "p2", "p3"]
    assert getattr(Store(tmp_path / "store").preparation, next(iter(change))) == next(iter(change.values()))


def test_sources_are_kept_with_name_hash_size_and_time(raw, tmp_path):
    run(raw, tmp_path / "store")
    with h5py.File(case_path(tmp_path / "store", "p1")) as file:
        sources = json.loads(file.attrs["sources"])
    about = (raw / "p1" / "p1_t1.nii").stat()
    assert set(sources) == {*MODALITIES, "label"}
    assert (sources["t1"][0], *sources["t1"][2:]) == ("p1_t1.nii", about.st_size, about.st_mtime_ns)


def test_same_image_under_two_names_is_said(raw, tmp_path):
    """Cases D09 and T17: a link to another case, or a copy; compressed or not, it is the same image."""
    (raw / "again").mkdir()
    for role in ("t1", "seg"):
        (raw / "again" / f"again_{role}.nii").symlink_to(raw / "p2" / f"p2_{role}.nii")
    ears = Ears()
    run(raw, tmp_path / "store", ears=ears)
    assert ears.warned == ["the same image is in the cases again, p2: is it one patient under two names?"]


def test_linked_case_folders_are_found_and_circles_are_not_followed(tmp_path):
    write_raw(tmp_path / "elsewhere", "p1")
    write_raw(tmp_path / "raw", "p2")
    (tmp_path / "raw" / "p1").symlink_to(tmp_path / "elsewhere" / "p1")
    (tmp_path / "raw" / "p2" / "up").symlink_to(tmp_path / "raw")
    assert run(tmp_path / "raw", tmp_path / "store").cases == ["p1", "p2"]


def test_link_that_leads_nowhere_is_a_problem(raw, tmp_path):
    """Not an absent modality."""
    (raw / "p1" / "p1_t1.nii").unlink()
    (raw / "p1" / "p1_t1.nii").symlink_to(tmp_path / "gone.nii")
    with pytest.raises(DataError) as caught:
        run(raw, tmp_path / "store")
    (problem,) = caught.value.problems
    assert problem.case == "p1"
    assert "p1_t1.nii" in problem.file


def test_labels_that_no_case_has_are_said(tmp_path):
    """Perhaps it is another data set with the same names."""
    write_raw(tmp_path / "raw", "p1", arrays={"seg": label((1,))})
    ears = Ears()
    run(tmp_path / "raw", tmp_path / "store", ears=ears)
    assert ears.warned == ["no case has oedema, enhancing: is 'brats' the right --dataset?"]


def test_files_of_no_case_are_said(raw, tmp_path):
    write(raw / "atlas.nii", image("atlas"))
    ears = Ears()
    run(raw, tmp_path / "store", ears=ears)
    assert ears.warned == [f"1 files belong to no case and are passed over: '{raw / 'atlas.nii'}'"]


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from hga_cli.cli.app import main
sys.argv = ["hga", "preprocess", *sys.argv[2:]]
main()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk(tmp_path, workers):
    """Case D05: one clear error, what was whole stays whole, and the next run on a larger disk succeeds."""
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_raw(raw, "p1", ["t1"])
    run(raw, store)
    before = case_path(store, "p1").read_bytes()
    noise = {"t1": np.random.default_rng(0).integers(1, 9999, (60, 60, 60)).astype(np.int16)}
    write_raw(raw, "p2", ["t1"], arrays={**noise, "seg": np.ones((60, 60, 60), np.uint8)})
    words = [str(raw), "--dataset", "brats", "-o", str(store), "--workers", str(workers)]
    done = subprocess.run([sys.executable, "-c", FULL, "200000", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "case 'p2' could not be written" in done.stderr
    assert "MB are free" in done.stderr
    assert "Traceback" not in done.stderr
    assert case_path(store, "p1").read_bytes() == before
    assert [path.name for path in (store / "cases").iterdir()] == ["p1.h5"]
    assert run(raw, store).written == ["p2"]


def test_little_room_is_said_before_the_start(raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    ears = Ears()
    run(raw, tmp_path / "store", ears=ears)
    assert [text.split(": ")[0] for text in ears.warned] == [f"'{tmp_path / 'store'}' may not hold all cases"]
    assert expected_bytes([]) == 0


def test_interrupted_preprocessing_stops_soon_and_goes_on_later(tmp_path):
    """Ctrl-C finishes what has begun, leaves the rest, and says 130."""
    raw, store = tmp_path / "raw", tmp_path / "store"
    for number in range(60):
        write_raw(
            raw, f"p{number:02}", ["t1"], arrays={"t1": image("big", (90, 90, 60)), "seg": label(shape=(90, 90, 60))}
        )
    words = [sys.executable, "-m", "hga_cli", "preprocess", str(raw), "--dataset", "brats", "-o", str(store)]
    process = subprocess.Popen([*words, "--workers", "2"], stderr=subprocess.PIPE, start_new_session=True, text=True)
    while not any((store / "cases").glob("[!.]*.h5")):
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    finished = len(list((store / "cases").glob("[!.]*.h5")))
    assert 0 < finished < 60
    assert [path for path in (store / "cases").iterdir() if path.name.startswith(".")] == []
    report = run(raw, store)
    assert (len(report.unchanged), len(report.written)) == (finished, 60 - finished)


def die(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_worker_that_dies_is_an_error_with_advice():
    with pytest.raises(SetupError, match="worker processes died") as caught:
        list(in_processes(die, [1, 2, 3, 4], 2))
    assert "--workers 1" in caught.value.hint


def test_results_come_from_one_or_many_processes():
    assert list(in_processes(abs, [-1, -2, -3], 1)) == [1, 2, 3]
    assert sorted(in_processes(abs, [-1, -2, -3], 2)) == [1, 2, 3]
    assert usable_cores() >= 1


def test_odd_names_in_a_plain_locale(tmp_path):
    """Case C06: umlauts, Chinese, blanks at the end of a folder, long paths, and LC_ALL=C."""
    case = "Größe 测试 #1 (a)"
    raw = tmp_path / "Ordner mit Leerzeichen " / ("x" * 120) / ("y" * 120)
    write_raw(raw, case)
    words = [sys.executable, "-m", "hga_cli", "preprocess", str(raw), "-o", str(tmp_path / "Speicher ")]
    plain = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    done = subprocess.run([*words, "--json"], capture_output=True, env=plain, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"] == [case]
    store = Store(tmp_path / "Speicher ")
    write_raw(tmp_path / "plain", "p1", arrays={role: image(f"{case} {role}") for role in MODALITIES})
    run(tmp_path / "plain", tmp_path / "plain-store")
    np.testing.assert_array_equal(
        store.images(case, MODALITIES), Store(tmp_path / "plain-store").images("p1", MODALITIES)
    )
