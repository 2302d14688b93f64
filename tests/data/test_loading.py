"""From steps to batches: the same whoever prepares them, and only what is available is read."""

import numpy as np
import pytest
import torch
from _raw import BRATS, MODALITIES, image, label, prepared, write_raw

from hga_cli.alignment.cycle import CycleSampler
from hga_cli.core.settings import Augmentation, Data
from hga_cli.data.loading import Patches, load
from hga_cli.data.patches import CaseReader
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.sampling import CaseSampler, Draw
from hga_cli.data.store import Box, Store, update_index, write_case
from hga_cli.data.store import reading as store_reading
from hga_cli.imaging.resample import resample_image, resample_labels

NOTHING = Augmentation(rotation=0, scale=0, shift=0, flip=0)
PRESENT = {"p1": MODALITIES, "p2": MODALITIES, "p3": ("flair", "t2"), "p4": ("flair", "t2")}
AVAILABLE = {"p1": MODALITIES, "p2": ("flair", "t1"), "p3": ("flair", "t2"), "p4": ("t2",)}
SHAPE = (9, 12, 7)
"""Of every case in the store, after cropping."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    for case, present in PRESENT.items():
        write_case(folder / "store", prepared(write_raw(folder / "raw", case, present)), "x")
    update_index(
        folder / "store", BRATS, found=list(PRESENT), examined=list(PRESENT), skipped=[], preparation=Preparation()
    )
    return Store(folder / "store")


def patches(store, *, sampler=None, patch=(6, 8, 4), augmentation=NOTHING, seed=5, available=AVAILABLE, **settings):
    sampler = sampler or CycleSampler(available, MODALITIES, batch=2, order="random", seed=seed)
    return Patches(store, sampler, Data(patch=patch, **settings), augmentation, seed=seed)


class One:
    """A sampler that always sees the same."""

    default_iterations = 1

    def __init__(self, case, combination=("flair",)):
        self.seen = Draw(combination=combination, cases=(case,), ends_cycle=True)

    def draw(self, step):
        return self.seen


def same(left, right):
    assert (left.step, left.combination, left.cases, left.ends_cycle) == (
        right.step,
        right.combination,
        right.cases,
        right.ends_cycle,
    )
    assert list(left.images) == list(right.images)
    for modality, one in left.images.items():
        assert torch.equal(one, right.images[modality])
    assert torch.equal(left.label, right.label)


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)], ids=["store", "2 mm"])
def test_batch_depends_on_the_step_and_not_on_who_prepares_it(store, spacing):
    made = patches(store, augmentation=Augmentation(), foreground=0.5, patch=(4, 4, 4), spacing=spacing)
    here = list(load(made, 0, 12, workers=0))
    assert [batch.step for batch in here] == list(range(12))
    for one, other in zip(here, load(made, 0, 12, workers=2), strict=True):
        same(one, other)
    resumed = patches(store, augmentation=Augmentation(), foreground=0.5, patch=(4, 4, 4), spacing=spacing)
    for one, other in zip(here[7:], load(resumed, 7, 12, workers=0), strict=True):
        same(one, other)


def test_seed_and_step_change_the_patch(store):
    made, other = patches(store, sampler=One("p1")), patches(store, sampler=One("p1"), seed=6)
    first = made[0].images["flair"]
    assert not torch.equal(first, made[1].images["flair"])
    assert not torch.equal(first, other[0].images["flair"])


def test_cases_of_a_batch_are_drawn_apart(store):
    sampler = One("p1")
    sampler.seen = Draw(combination=("flair",), cases=("p1", "p1"), ends_cycle=False)
    both = patches(store, sampler=sampler)[0].images["flair"]
    assert both.shape == (2, 1, 6, 8, 4)
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize(("patch", "space"), [((6, 8, 4), (6, 8, 4)), ((6, 5), (6, 5))], ids=["3D", "2D"])
def test_shapes_and_types(store, patch, space):
    for batch in load(patches(store, patch=patch), 0, 15, workers=0):
        assert list(batch.images) == list(batch.combination)
        for one in batch.images.values():
            assert (one.shape, one.dtype) == ((len(batch.cases), 1, *space), torch.float32)
        assert (batch.label.shape, batch.label.dtype) == ((len(batch.cases), *space), torch.uint8)


def test_every_batch_is_what_the_sampler_says(store):
    sampler = CaseSampler(AVAILABLE, MODALITIES, batch=2, order="", seed=5)
    for step, batch in enumerate(load(patches(store, sampler=sampler), 0, 10, workers=0)):
        drawn = sampler.draw(step)
        assert (batch.combination, batch.cases, batch.ends_cycle) == (drawn.combination, drawn.cases, False)


def places_of(patch, whole):
    """Where a patch lies in a whole case: (3,) for each place that fits."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, patch.shape)
    return np.argwhere((windows == patch).all(axis=(-3, -2, -1)))


def test_patches_are_parts_of_the_case_and_lie_everywhere(store):
    """Image and label are cut at the same place, and every place that fits is possible."""
    whole, classes = store.images("p1", ["flair", "t2"]), store.label("p1")
    made = patches(store, sampler=One("p1", ("flair", "t2")), patch=(8, 10, 6))
    found = set()
    for step in range(120):
        batch = made[step]
        (place,) = places_of(batch.images["flair"][0, 0].numpy(), whole[0])
        cut = tuple(slice(start, start + size) for start, size in zip(place, (8, 10, 6), strict=True))
        np.testing.assert_array_equal(batch.images["t2"][0, 0], whole[(1, *cut)])
        np.testing.assert_array_equal(batch.label[0], classes[cut])
        found.add(tuple(int(number) for number in place))
    assert found == {(a, b, c) for a in (0, 1) for b in (0, 1, 2) for c in (0, 1)}


@pytest.mark.parametrize("patch", [(16, 16, 16), (20, 12, 9)], ids=str)
def test_case_smaller_than_the_patch_lies_in_its_middle(store, patch):
    """Around it is background: the z-score of an empty voxel, and class 0."""
    batch = patches(store, sampler=One("p1", ("flair", "t1")), patch=patch)[3]
    start = [(size - inside) - (size - inside) // 2 for size, inside in zip(patch, SHAPE, strict=True)]
    cut = tuple(slice(low, low + size) for low, size in zip(start, SHAPE, strict=True))
    for modality, fill in zip(("flair", "t1"), store.backgrounds("p1", ("flair", "t1")), strict=True):
        expected = np.full(patch, fill, np.float32)
        expected[cut] = store.images("p1", [modality])[0]
        np.testing.assert_allclose(batch.images[modality][0, 0], expected, atol=1e-5)
    expected = np.zeros(patch, np.uint8)
    expected[cut] = store.label("p1")
    np.testing.assert_array_equal(batch.label[0], expected)


@pytest.mark.parametrize("patch", [(3, 3, 3), (1, 1, 1), (5, 4), (16, 2, 16)], ids=str)
def test_foreground_patches_hold_a_class_drawn_evenly(store, patch):
    """Corners of the case too: the patch is pushed inside and still holds the voxel."""
    made = patches(store, sampler=One("p1"), patch=patch, foreground=1.0)
    held = [set(np.unique(made[step].label)) - {0} for step in range(60)]
    assert all(held)
    assert set.union(*held) == {1, 2, 3}


def test_foreground_patches_lie_inside_where_they_fit(store):
    whole = store.images("p1", ["flair"])[0]
    made = patches(store, sampler=One("p1"), patch=(6, 8, 4), foreground=1.0)
    places = [places_of(made[step].images["flair"][0, 0].numpy(), whole) for step in range(40)]
    assert {len(found) for found in places} == {1}
    assert len({tuple(found[0]) for found in places}) > 10


def test_share_of_foreground_patches(store):
    made = patches(store, sampler=One("p1"), patch=(1, 1, 1), foreground=0.6)
    inside = np.mean([int(made[step].label.max()) > 0 for step in range(300)])
    chance = (store.label("p1") > 0).mean()
    assert inside == pytest.approx(0.6 + 0.4 * chance, abs=0.1)


def test_small_class_is_seen_as_often_as_a_large_one(tmp_path):
    classes = label((2,))
    classes[9, 9, 6] = 1
    write_case(tmp_path / "store", prepared(write_raw(tmp_path, "p1", arrays={"seg": classes})), "x")
    update_index(tmp_path / "store", BRATS, found=["p1"], examined=["p1"], skipped=[], preparation=Preparation())
    made = patches(Store(tmp_path / "store"), sampler=One("p1"), patch=(1, 1, 1), foreground=1.0)
    small = np.mean([int(made[step].label.max()) == 1 for step in range(200)])
    assert small == pytest.approx(0.5, abs=0.12)


def test_only_the_modalities_of_the_combination_are_read(store, monkeypatch):
    """What is not available is not even read from disk."""
    read = store_reading.read_image
    seen = []

    def reading(file, modality, box):
        case = str(file.attrs["case"])
        seen.append((case, modality))
        if modality not in AVAILABLE[case]:
            raise AssertionError(f"{modality} of {case} is hidden")
        return read(file, modality, box)

    monkeypatch.setattr(store_reading, "read_image", reading)
    for spacing in (None, (2.0, 2.0, 2.0)):
        seen.clear()
        for batch in load(patches(store, patch=(4, 4, 4), spacing=spacing), 0, 30, workers=0):
            assert all(set(batch.images) <= set(AVAILABLE[case]) for case in batch.cases)
        assert {modality for case, modality in seen if case == "p2"} == {"flair", "t1"}


def test_augmentation_comes_from_the_step_and_moves_the_label_along(store):
    strong = Augmentation(rotation=30, scale=0.5, shift=0.5, flip=0.5)
    plain, changed = patches(store, sampler=One("p1")), patches(store, sampler=One("p1"), augmentation=strong)
    assert not torch.equal(plain[2].images["flair"], changed[2].images["flair"])
    same(changed[2], patches(store, sampler=One("p1"), augmentation=strong)[2])


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 3.0, 0.7)], ids=str)
def test_reader_on_another_grid(store, spacing):
    reader = CaseReader(store, spacing)
    shape = tuple(max(1, round(size / step)) for size, step in zip(SHAPE, spacing, strict=True))
    assert reader.shape("p1") == shape
    whole = reader.images("p1", ["t2", "flair"])
    for place, modality in enumerate(["t2", "flair"]):
        np.testing.assert_array_equal(whole[place], resample_image(store.images("p1", [modality])[0], shape))
    np.testing.assert_array_equal(reader.label("p1"), resample_labels(store.label("p1"), shape))
    box = Box(start=(-1, 1, 0), size=(3, 9, 2))
    part, fill = reader.images("p1", ["t2"], box)[0], store.backgrounds("p1", ["t2"])[0]
    padded = np.pad(whole[0], 12, constant_values=fill)
    np.testing.assert_allclose(part, padded[11:14, 13:22, 12:14], rtol=1e-6)
    np.testing.assert_array_equal(reader.label("p1", box), np.pad(reader.label("p1"), 12)[11:14, 13:22, 12:14])
    for places in reader.foreground("p1").values():
        assert (places >= 0).all()
        assert (places < shape).all()


def test_foreground_keeps_its_place_on_another_grid(store):
    reader = CaseReader(store, (0.5, 0.5, 0.5))
    fine = reader.label("p1")
    for index, places in reader.foreground("p1").items():
        assert (fine[tuple(places.T)] == index).mean() > 0.9


def test_reader_forgets_what_does_not_fit(store):
    """The oldest resampled image goes; what is read again is the same."""
    small, large = CaseReader(store, (2.0, 2.0, 2.0), cache_bytes=1), CaseReader(store, (2.0, 2.0, 2.0))
    for case in ("p1", "p2", "p1"):
        for modality in ("flair", "t2"):
            np.testing.assert_array_equal(small.images(case, [modality]), large.images(case, [modality]))
            assert len(small._cache) == 1
    assert len(large._cache) == 4


def test_what_is_given_out_is_not_the_cache(store):
    reader = CaseReader(store, (2.0, 2.0, 2.0))
    for read in (lambda: reader.images("p1", ["flair"]), lambda: reader.label("p1")):
        before = read().copy()
        read()[...] = 9
        np.testing.assert_array_equal(read(), before)


def test_raw_values_are_those_of_the_files(store):
    """The whole way once: a voxel of the file, through store and loader."""
    raw = image("p3 t2")
    batch = patches(store, sampler=One("p3", ("t2",)), patch=SHAPE)[0]
    inside = raw[raw != 0]
    expected = (raw[2:11, 1:13, 2:9] - inside.mean()) / inside.std()
    np.testing.assert_allclose(batch.images["t2"][0, 0], expected, atol=1e-5)
