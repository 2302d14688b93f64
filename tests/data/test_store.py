"""The store: what was written is read back, nothing is half written, and nobody's work is lost."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from _raw import BRATS, MODALITIES, prepared, write_raw

from hga_cli.core.errors import DataError
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.splits import Split
from hga_cli.data.store import (
    Box,
    Store,
    case_path,
    save_split,
    save_table,
    stored_fingerprint,
    update_index,
    write_case,
)
from hga_cli.data.store.files import VERSION

SPLIT = Split(name="default", train=["p1"], val=[], test=["p2"], about={"ratios": [0.5, 0, 0.5], "seed": 3})
TABLE = ImbalanceTable(
    name="mr2468",
    cases=["p1"],
    modalities=MODALITIES,
    available=[(True, False, True, False)],
    about={"rates": {"t1": 0.2}},
)


def index(path, cases, skipped=()):
    update_index(path, BRATS, found=cases, examined=cases, skipped=skipped, spacing=None)
    return Store(path)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Integer images; float images without t1; a case resampled to 2 mm."""
    raw = tmp_path_factory.mktemp("raw")
    floats = {
        role: np.random.default_rng(place).normal(10, 300, (12, 14, 10)).astype(np.float32) * (0.01 if place else 1)
        for place, role in enumerate(["flair", "t1ce", "t2"])
    }
    return {
        "p1": prepared(write_raw(raw, "p1")),
        "p2": prepared(write_raw(raw, "p2", ["flair", "t1ce", "t2"], arrays=floats)),
        "p3": prepared(write_raw(raw, "p3"), (2.0, 2.0, 1.0)),
    }


@pytest.fixture
def path(tmp_path, cases):
    """The folder of a store of those cases."""
    for name, case in cases.items():
        write_case(tmp_path / "store", case, f"fingerprint of {name}")
    index(tmp_path / "store", list(cases))
    return tmp_path / "store"


@pytest.fixture
def store(path):
    return Store(path)


def test_index_tells_every_case(store, cases):
    assert (store.description, store.spacing, store.modalities) == (BRATS, None, MODALITIES)
    assert list(store.cases) == ["p1", "p2", "p3"]
    for name, case in cases.items():
        entry = store.cases[name]
        assert entry.subject == case.subject
        assert entry.modalities == case.combination(MODALITIES)
        assert entry.shape == case.trail.grid
        assert entry.spacing == pytest.approx(case.trail.spacing)
        assert entry.label_values == case.label_values
        assert store.trail(name) == case.trail
        assert stored_fingerprint(store.path, name) == f"fingerprint of {name}"
    store.require_complete()


def test_integer_images_lose_nothing(store, cases):
    read = store.images("p1", MODALITIES)
    assert (read.dtype, read.shape) == (np.float32, (4, 9, 12, 7))
    for one, expected in zip(read, cases["p1"].images.values(), strict=True):
        np.testing.assert_allclose(one, expected.z, rtol=1e-6, atol=1e-6)
        statistics = expected.statistics
        np.testing.assert_array_equal(np.rint(one * statistics.std + statistics.mean), expected.raw)


@pytest.mark.parametrize("case", ["p2", "p3"], ids=["float images", "resampled images"])
def test_other_images_lose_less_than_half_a_step(store, cases, case):
    """65535 steps between minimum and maximum."""
    for role, expected in cases[case].images.items():
        z = expected.z
        error = np.abs(store.images(case, [role])[0] - z).max()
        assert error <= (z.max() - z.min()) / 65534 * 1.001
        assert error > 0


@pytest.mark.parametrize("low", [-40000, 0, 40000])
def test_integers_too_large_for_the_file_are_quantised(tmp_path, cases, low):
    image = cases["p1"].images["t1"]
    wide = replace(image, raw=image.raw.astype(np.int64) * 70 + low)
    write_case(tmp_path, replace(cases["p1"], images={"t1": wide}), "x")
    index(tmp_path, ["p1"])
    step = np.ptp(wide.z) / 65534
    np.testing.assert_allclose(Store(tmp_path).images("p1", ["t1"])[0], wide.z, atol=step * 1.001)


def test_labels_reference_and_background_are_exact(store, cases):
    for name, case in cases.items():
        np.testing.assert_array_equal(store.label(name), case.label)
        np.testing.assert_array_equal(store.reference(name), case.reference)
        assert store.label(name).dtype == store.reference(name).dtype == np.uint8
        expected = [image.statistics.background for image in case.images.values()]
        assert store.backgrounds(name, list(case.images)) == pytest.approx(expected)


def test_absent_modality_is_an_absent_data_set(path, store):
    with h5py.File(case_path(path, "p2")) as file:
        assert sorted(file["images"]) == ["flair", "t1ce", "t2"]
    with pytest.raises(DataError, match="case 'p2' has no t1"):
        store.images("p2", ["flair", "t1"])


@pytest.mark.parametrize("case", ["p1", "p2", "p3"])
def test_part_is_the_slice_of_the_whole(store, case):
    modalities = store.cases[case].modalities
    whole, label = store.images(case, modalities), store.label(case)
    generator = np.random.default_rng(0)
    for _ in range(20):
        start = [int(generator.integers(size)) for size in label.shape]
        size = [int(generator.integers(1, limit - low + 1)) for low, limit in zip(start, label.shape, strict=True)]
        box = Box(start=tuple(start), size=tuple(size))
        cut = tuple(slice(low, low + length) for low, length in zip(start, size, strict=True))
        np.testing.assert_array_equal(store.images(case, modalities, box), whole[(slice(None), *cut)])
        np.testing.assert_array_equal(store.label(case, box), label[cut])


@pytest.mark.parametrize("start", [(-3, -20, 4), (0, 0, 0), (8, 11, 6), (-5, 2, -1), (50, 0, 0), (-40, 0, 0)], ids=str)
@pytest.mark.parametrize("case", ["p1", "p2"])
def test_beyond_the_border_is_background(store, case, start):
    size = (12, 30, 8)
    modalities = ["t2", "flair"]
    whole, label = store.images(case, modalities), store.label(case)
    box = Box(start=start, size=size)
    margin = 60
    fills = store.backgrounds(case, modalities)
    cut = tuple(slice(low + margin, low + margin + length) for low, length in zip(start, size, strict=True))
    for one, plain, fill in zip(store.images(case, modalities, box), whole, fills, strict=True):
        np.testing.assert_allclose(one, np.pad(plain, margin, constant_values=fill)[cut], atol=1e-5)
    np.testing.assert_array_equal(store.label(case, box), np.pad(label, margin)[cut])


def test_foreground_voxels_lie_in_their_class(store):
    for case in store.cases:
        label, voxels = store.label(case), store.foreground(case)
        assert set(voxels) == set(np.unique(label)) - {0}
        for index_of_class, places in voxels.items():
            assert len(np.unique(places, axis=0)) == len(places) == min(1000, (label == index_of_class).sum())
            assert set(label[tuple(places.T)]) == {index_of_class}


def test_foreground_of_a_large_class_is_a_sample_from_all_of_it(tmp_path, cases):
    label = np.zeros((40, 20, 20), np.uint8)
    label[2:38, 1:19] = 2
    write_case(tmp_path, replace(cases["p1"], label=label), "x")
    voxels = index(tmp_path, ["p1"]).foreground("p1")[2]
    assert len(np.unique(voxels, axis=0)) == len(voxels) == 1000
    assert (voxels.min(0), voxels.max(0)) == (pytest.approx([2, 1, 0], abs=1), pytest.approx([37, 18, 19], abs=1))


def test_case_without_label_is_written_without_one(tmp_path, cases):
    write_case(tmp_path, replace(cases["p1"], label=None, reference=None), "x")
    with h5py.File(case_path(tmp_path, "p1")) as file:
        assert set(file) == {"images", "foreground"}


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("after", [0, 1, 3, 5], ids=lambda number: f"after {number} data sets")
@pytest.mark.parametrize("exists", [False, True], ids=["new", "again"])
def test_failure_half_way_leaves_no_half_case(path, cases, monkeypatch, after, exists):
    if not exists:
        case_path(path, "p1").unlink()
    before, count = files(path), iter(range(after + 1))
    create = h5py.Group.create_dataset

    def fail_later(*arguments, **options):
        if next(count) == after:
            raise Interrupted
        return create(*arguments, **options)

    monkeypatch.setattr(h5py.Group, "create_dataset", fail_later)
    with pytest.raises(Interrupted):
        write_case(path, cases["p1"], "new")
    assert files(path) == before
    assert stored_fingerprint(path, "p1") == ("fingerprint of p1" if exists else None)


def test_kill_half_way_leaves_no_half_case(path):
    """SIGKILL inside the writing of a case: what lies under the final name is whole."""
    before = files(path)
    code = """
import os, signal, sys
from pathlib import Path
import h5py
sys.path.insert(0, sys.argv[3])
from _raw import prepared, write_raw
from hga_cli.data.store import write_case
case, create = prepared(write_raw(Path(sys.argv[2]), "p1")), h5py.Group.create_dataset
def create_and_die(self, name, *arguments, **options):
    made = create(self, name, *arguments, **options)
    self.file.flush()
    if name == "label":
        os.kill(os.getpid(), signal.SIGKILL)
    return made
h5py.Group.create_dataset = create_and_die
write_case(Path(sys.argv[1]), case, "new")
"""
    here = Path(__file__).parent
    ended = subprocess.run(
        [sys.executable, "-c", code, path, path.parent / "raw", here], cwd=here.parents[1], check=False
    )
    assert ended.returncode == -9
    after = files(path)
    assert {name: content for name, content in after.items() if name in before} == before
    assert all(Path(name).name.startswith(".") for name in after.keys() - before.keys())
    Store(path).require_complete()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.99])
def test_damaged_case_file_is_known_as_such(path, store, share):
    file = case_path(path, "p1")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert stored_fingerprint(path, "p1") is None
    with pytest.raises(DataError, match=r"p1\.h5' is damaged") as caught:
        store.label("p1")
    assert "hga preprocess" in caught.value.hint


def test_fingerprint_of_an_absent_case_or_store(path):
    assert stored_fingerprint(path, "p9") is None
    assert stored_fingerprint(path / "nowhere", "p1") is None
    case_path(path, "p1").write_bytes(b"not HDF5")
    assert stored_fingerprint(path, "p1") is None


def test_unfinished_store_is_refused_with_the_missing_cases(path, cases):
    """Case D03."""
    unfinished = index(path, ["p1", "p2", "p3", *(f"q{number}" for number in range(6))])
    with pytest.raises(DataError, match=r"6 of 9 cases lack \(q0, q1, q2, q3, q4 \.\.\.\)") as caught:
        unfinished.require_complete()
    assert "hga preprocess" in caught.value.hint
    assert list(unfinished.cases) == list(cases)


def test_skipped_cases_are_not_expected(path):
    index(path, ["p1", "p2", "p3", "q"], skipped=["q"]).require_complete()


def test_shards_know_what_the_others_skipped(path):
    everything = ["p1", "p2", "p3", "q"]
    for examined, skipped in [(["p1", "q"], ["q"]), (["p2", "p3"], [])]:
        update_index(path, BRATS, found=everything, examined=examined, skipped=skipped, spacing=None)
    Store(path).require_complete()
    update_index(path, BRATS, found=everything, examined=["p1", "q"], skipped=[], spacing=None)
    with pytest.raises(DataError, match=r"1 of 4 cases lack \(q\)"):
        Store(path).require_complete()


@pytest.mark.parametrize("which", ["store", "case"])
@pytest.mark.parametrize("attribute", [{"version": VERSION + 1}, {"format": "other"}], ids=str)
def test_newer_versions_and_other_formats_are_refused(path, which, attribute):
    file_path = path / "store.h5" if which == "store" else case_path(path, "p1")
    with h5py.File(file_path, "r+") as file:
        file.attrs.update(attribute)
    value = next(iter(attribute.values()))
    with pytest.raises(DataError, match=f"{value}.*expected hga-{which} version {VERSION}") as caught:
        Store(path).label("p1")
    assert "update hga" in caught.value.hint


def test_no_store(tmp_path):
    with pytest.raises(DataError, match="no store at") as caught:
        Store(tmp_path)
    assert "hga preprocess" in caught.value.hint
    with pytest.raises(DataError, match="no store at"):
        save_split(tmp_path / "nowhere", SPLIT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", ["../p", "a/b", "/p", "..", ".", "", "a\\b", "a\0b"])
def test_ids_that_lead_out_of_the_store_are_refused(tmp_path, cases, case):
    with pytest.raises(DataError, match="cannot be a case id"):
        write_case(tmp_path / "store", replace(cases["p1"], case=case), "x")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "case",
    ["Größe 测试 #1 (a)", "1.2.840.1", "001", "nan", "p1.h5", "a:b*?", "..x", "x" * 200, "é" * 100],
    ids=lambda case: case[:20],
)
def test_ids_are_kept(tmp_path, cases, case):
    write_case(tmp_path, replace(cases["p1"], case=case, subject=case), "x")
    store = index(tmp_path, [case])
    assert list(store.cases) == [case]
    assert store.cases[case].subject == case
    np.testing.assert_array_equal(store.label(case), cases["p1"].label)
    save_split(tmp_path, replace(SPLIT, train=[case], test=[]))
    assert Store(tmp_path).split(None).train == [case]


def test_split_and_table_are_read_back(path):
    assert save_split(path, SPLIT)
    assert save_table(path, TABLE)
    store = Store(path)
    assert store.split("default") == store.split(None) == SPLIT
    assert store.table("mr2468") == store.table(None) == TABLE
    assert store.table("none") is None


def test_the_same_again_writes_nothing(path):
    save_split(path, SPLIT)
    save_table(path, TABLE)
    before = (path / "store.h5").stat()
    assert not save_split(path, SPLIT)
    assert not save_table(path, TABLE)
    after = (path / "store.h5").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_one_with_the_same_name_is_refused(path):
    save_split(path, SPLIT)
    save_table(path, TABLE)
    with pytest.raises(DataError, match="already has another 'default' under splits") as caught:
        save_split(path, replace(SPLIT, train=["p2"], test=["p1"]))
    assert "--name" in caught.value.hint
    with pytest.raises(DataError, match="already has another 'mr2468' under imbalance"):
        save_table(path, replace(TABLE, available=[(True, True, True, True)]))
    assert (Store(path).split(None), Store(path).table(None)) == (SPLIT, TABLE)


def test_preprocessing_again_keeps_splits_and_tables(path, cases):
    save_split(path, SPLIT)
    save_table(path, TABLE)
    store = index(path, list(cases))
    assert (store.split(None), store.table(None)) == (SPLIT, TABLE)


def test_which_split_is_meant(path):
    with pytest.raises(DataError, match="has no split") as caught:
        Store(path).split(None)
    assert "hga split" in caught.value.hint
    assert Store(path).table(None) is None
    for name in ("default", "second"):
        save_split(path, replace(SPLIT, name=name))
        save_table(path, replace(TABLE, name=name))
    store = Store(path)
    for read in (store.split, store.table):
        assert read("second").name == "second"
        with pytest.raises(DataError, match=r"several .* and none was named") as caught:
            read(None)
        assert "default, second" in caught.value.hint
        with pytest.raises(DataError, match="'secnd'") as caught:
            read("secnd")
        assert "did you mean 'second'?" in caught.value.hint


def test_split_with_cases_that_are_gone_is_refused(path):
    save_split(path, SPLIT)
    case_path(path, "p2").unlink()
    with pytest.raises(DataError, match="names cases that are not in the store: p2"):
        index(path, ["p1", "p3"]).split(None)


def test_failure_while_the_index_is_written_leaves_the_old_one(path):
    save_split(path, SPLIT)
    before = files(path)
    with pytest.raises(TypeError):
        save_table(path, replace(TABLE, about={"rates": object()}))
    assert files(path) == before
    assert save_table(path, TABLE)


def test_index_of_many_cases(path):
    """The list of cases is longer than the 64 KiB that HDF5 allows inside an object header."""
    names = [f"BraTS-GLI-{number:05}-000" for number in range(600)]
    for name in names:
        os.link(case_path(path, "p1"), case_path(path, name))
    store = index(path, names)
    assert len(store.cases) == 600
    with h5py.File(path / "store.h5") as file:
        assert len(file.attrs["cases"]) > 65536
    save_split(path, Split(name="big", train=names, val=[], test=[], about={}))
    assert Store(path).split(None).train == names


def test_links_of_the_index_lead_to_the_cases(path):
    with h5py.File(path / "store.h5") as file:
        for case in ("p1", "p2", "p3"):
            assert file["links"][case].attrs["case"] == case


def test_reader_that_is_open_is_not_disturbed(path):
    """Case D01."""
    with h5py.File(path / "store.h5") as reader, h5py.File(case_path(path, "p1")) as case:
        save_split(path, SPLIT)
        assert "default" not in reader["splits"]
        assert json.loads(reader.attrs["expected"]) == ["p1", "p2", "p3"]
        assert case["label"].shape == (9, 12, 7)
    assert Store(path).split(None) == SPLIT


def save_many(path, kind, barrier):
    barrier.wait()
    for number in range(5):
        if kind == "split":
            save_split(path, replace(SPLIT, name=f"s{number}"))
        else:
            save_table(path, replace(TABLE, name=f"t{number}"))


def test_two_processes_that_save_at_once_lose_nothing(path):
    """Splits, tables, and the same splits once more, all from processes of their own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=save_many, args=(path, kind, barrier)) for kind in ("split", "table", "split")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    store = Store(path)
    assert sorted(store.splits) == [f"s{number}" for number in range(5)]
    assert sorted(store.tables) == [f"t{number}" for number in range(5)]
    assert store.splits["s4"] == replace(SPLIT, name="s4")
