"""The files of cases: what was written is read back, and nothing is half written."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from _raw import BRATS, MODALITIES
from _stores import files, index

from hga_cli.core.errors import DataError
from hga_cli.data.store import (
    Box,
    Store,
    case_path,
    stored_fingerprint,
    write_case,
)


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


def test_flipped_byte_is_found(path, store):
    file = case_path(path, "p1")
    with h5py.File(file) as opened:
        place = opened["images/flair"].id.get_chunk_info(0).byte_offset
    content = bytearray(file.read_bytes())
    content[place + 8] ^= 255
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"p1\.h5. is damaged"):
        store.images("p1", ["flair"])
    assert store.images("p1", ["t1"]).shape[0] == 1


def test_fingerprint_of_an_absent_case_or_store(path):
    assert stored_fingerprint(path, "p9") is None
    assert stored_fingerprint(path / "nowhere", "p1") is None
    case_path(path, "p1").write_bytes(b"not HDF5")
    assert stored_fingerprint(path, "p1") is None
