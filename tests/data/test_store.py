"""The files of cases: what was written is read back, and nothing is half written."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from _raw import BRATS, MODALITIES
from _stores import files, index

from hga_cli.core.errors import DataError
from hga_cli.data.raw.prepare import PreparedImage
from hga_cli.data.store import (
    Box,
    Store,
    case_path,
    stored_fingerprint,
    write_case,
)
from hga_cli.imaging.normalise import Statistics


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


def test_one_extreme_voxel_does_not_flatten_the_others(tmp_path, cases):
    """65535 steps up to 1e6 would be 15 standard deviations wide; the file takes float32 instead."""
    raw = np.random.default_rng(0).normal(0, 1, (9, 12, 7)).astype(np.float32)
    raw[4, 5, 6] = 1e6
    image = PreparedImage(raw=raw, statistics=Statistics(mean=0.0, std=1.0))
    write_case(tmp_path, replace(cases["p1"], images={"t1": image}), "x")
    read = index(tmp_path, ["p1"]).images("p1", ["t1"])[0]
    assert np.abs(read - raw).max() < 0.01
    with h5py.File(case_path(tmp_path, "p1")) as file:
        assert file["images/t1"].dtype == np.float32


@pytest.mark.parametrize(("extreme", "stored"), [(650, np.int16), (660, np.float32)])
def test_steps_are_at_most_a_hundredth_of_a_standard_deviation(tmp_path, cases, extreme, stored):
    raw = np.linspace(0, extreme, 9 * 12 * 7, dtype=np.float32).reshape(9, 12, 7)
    image = PreparedImage(raw=raw, statistics=Statistics(mean=3.0, std=1.0))
    write_case(tmp_path, replace(cases["p1"], images={"t1": image}), "x")
    with h5py.File(case_path(tmp_path, "p1")) as file:
        assert file["images/t1"].dtype == stored
    np.testing.assert_allclose(index(tmp_path, ["p1"]).images("p1", ["t1"])[0], raw - 3, atol=0.005)


def test_same_image_has_the_same_digest_under_any_id(path, cases):
    one = cases["p1"].images
    write_case(path, replace(cases["p1"], case="p9", subject="other", images={"t1": one["t2"], "t2": one["t1"]}), "x")
    entries = index(path, ["p1", "p2", "p3", "p9"]).cases
    assert entries["p9"].digests == {"t1": entries["p1"].digests["t2"], "t2": entries["p1"].digests["t1"]}
    digests = [digest for case in ("p1", "p2", "p3") for digest in entries[case].digests.values()]
    assert len(set(digests)) == len(digests) == 11
    assert list(entries["p2"].digests) == ["flair", "t1ce", "t2"]


def test_digest_tells_shapes_apart(tmp_path, cases):
    for name, shape in (("a", (9, 12, 7)), ("b", (12, 9, 7))):
        image = replace(cases["p1"].images["t1"], raw=np.ones(shape, np.int16))
        write_case(tmp_path, replace(cases["p1"], case=name, images={"t1": image}), "x")
    first, second = (entry.digests["t1"] for entry in index(tmp_path, ["a", "b"]).cases.values())
    assert first != second


def test_index_counts_the_voxels_of_each_class(store):
    """The whole label file: 60 voxels for each value, also where the case was resampled."""
    for case in ("p1", "p2", "p3"):
        assert store.cases[case].label_voxels == {"necrosis": 60, "oedema": 60, "enhancing": 60}
        assert sum(store.cases[case].label_voxels.values()) == (store.reference(case) > 0).sum()


def test_case_says_where_it_comes_from(path, cases):
    with h5py.File(case_path(path, "p1")) as file:
        sources = json.loads(file.attrs["sources"])
    assert sources == {role: list(about) for role, about in cases["p1"].sources.items()}
    assert set(sources) == {*MODALITIES, "label"}


def test_same_case_gives_the_same_bytes(path, cases):
    before = files(path / "cases")
    for name, case in cases.items():
        write_case(path, case, f"fingerprint of {name}")
    assert files(path / "cases") == before


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


@pytest.mark.parametrize("start", [(0, 0, 0), (-3, 5, 4)], ids=str)
def test_patch_is_images_label_and_backgrounds_at_once(store, start):
    box = Box(start=start, size=(6, 5, 4))
    patch = store.patch("p2", ["t2", "flair"], box)
    np.testing.assert_array_equal(patch.images, store.images("p2", ["t2", "flair"], box))
    np.testing.assert_array_equal(patch.label, store.label("p2", box))
    assert patch.label.dtype == np.uint8
    assert patch.backgrounds == store.backgrounds("p2", ["t2", "flair"])
    with pytest.raises(DataError, match="case 'p2' has no t1"):
        store.patch("p2", ["t1"], box)


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
