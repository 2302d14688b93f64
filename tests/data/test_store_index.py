"""The index of a store: splits and tables are kept, and nobody's work is lost."""

import json
import multiprocessing
import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from _raw import BRATS
from _stores import SPLIT, TABLE, files, index

from hga_cli.core.errors import DataError
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.splits import Split
from hga_cli.data.store import (
    Store,
    case_path,
    save_split,
    save_table,
    update_index,
    write_case,
)
from hga_cli.data.store.files import VERSION


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
        update_index(path, BRATS, found=everything, examined=examined, skipped=skipped, preparation=Preparation())
    Store(path).require_complete()
    update_index(path, BRATS, found=everything, examined=["p1", "q"], skipped=[], preparation=Preparation())
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
