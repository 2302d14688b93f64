"""The committed store of version 1 opens for ever. ``_make_store_v1.py`` made it, from formulas that are used here."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _make_store_v1 import AFFINE, PRESENT, SHAPE, TREE, image, label

from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.raw.consistency import same_images
from hga_cli.data.raw.description import parse_description
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split, stored_fingerprint, update_index

FOLDER = Path(__file__).parent / "store_v1"
INSIDE = (slice(1, 9), slice(0, 6), slice(0, 7))
"""What is left of a file after cropping."""
FIRST, SECOND = PRESENT


def in_store(array):
    """The part of a file inside the crop box; the first axis, to the left in the file, is to the right in the store."""
    return array[INSIDE][::-1]


def classes(case):
    return np.select([label(case) == 2, label(case) == 4], [1, 2])


@pytest.fixture(scope="module")
def store():
    return Store(FOLDER)


def test_fixture_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 60 * 1024
    assert sorted(path.name for path in FOLDER.rglob("*.h5")) == [f"{FIRST}.h5", f"{SECOND}.h5", "store.h5"]


def test_index(store):
    store.require_complete()
    assert store.description == parse_description(TREE, "old")
    assert store.spacing is None
    assert store.expected == [FIRST, SECOND]
    assert {case: entry.modalities for case, entry in store.cases.items()} == PRESENT
    assert {case: entry.subject for case, entry in store.cases.items()} == {FIRST: "patient1", SECOND: "patient2"}
    assert store.cases[FIRST].label_values == {"oedema": 2, "core": 4}
    assert store.cases[SECOND].label_values == {"oedema": 2}
    for entry in store.cases.values():
        assert (entry.shape, entry.spacing) == ((8, 6, 7), (1.0, 1.5, 2.0))
        assert (entry.label_voxels, entry.digests) == ({}, {})


@pytest.mark.parametrize("case", PRESENT)
def test_images_are_the_scores_of_the_files(store, case):
    for modality in PRESENT[case]:
        raw = image(case, modality).astype(np.float64)
        inside = raw[raw != 0]
        expected = in_store((raw - inside.mean()) / inside.std())
        tolerance = np.ptp(expected) / 65534 if modality == "t1" else 1e-6
        np.testing.assert_allclose(store.images(case, [modality])[0], expected, atol=tolerance)
        assert store.backgrounds(case, [modality])[0] == pytest.approx(-inside.mean() / inside.std())


@pytest.mark.parametrize("case", PRESENT)
def test_labels_and_way_back(store, case):
    np.testing.assert_array_equal(store.label(case), in_store(classes(case)))
    np.testing.assert_array_equal(store.reference(case), classes(case)[::-1])
    trail = store.trail(case)
    assert (trail.shape, trail.start, trail.stop, trail.grid) == (SHAPE, (0, 0, 0), (8, 6, 7), (8, 6, 7))
    np.testing.assert_array_equal(np.array(trail.affine), AFFINE)
    np.testing.assert_array_equal(trail.to_file(trail.uncrop(store.label(case))), classes(case))


@pytest.mark.parametrize("case", PRESENT)
def test_foreground(store, case):
    voxels = store.foreground(case)
    assert set(voxels) == set(np.unique(classes(case))) - {0}
    for index, places in voxels.items():
        np.testing.assert_array_equal(places, np.argwhere(in_store(classes(case)) == index))


def test_split_and_table(store):
    about = {"ratios": [0.5, 0.0, 0.5], "seed": 1}
    assert store.split(None) == Split(name="default", train=[FIRST], val=[], test=[SECOND], about=about)
    assert store.table(None) == ImbalanceTable(
        name="mr28",
        cases=[FIRST],
        modalities=("flair", "t1"),
        available=[(True, False)],
        about={
            "rates": {"flair": 0.2, "t1": 0.8},
            "rule": "bernoulli",
            "unit": "subject",
            "seed": 1037,
            "split": "default",
        },
    )


def test_fingerprints():
    found = [stored_fingerprint(FOLDER, case) for case in PRESENT]
    assert all(len(fingerprint) == 32 for fingerprint in found)
    assert found[0] != found[1]


def test_old_store_can_be_written_on(tmp_path, store):
    copy = Path(shutil.copytree(FOLDER, tmp_path / "store"))
    second = Split(name="second", train=[SECOND], val=[FIRST], test=[])
    save_split(copy, second)
    update_index(copy, store.description, found=list(PRESENT), examined=[], skipped=[], preparation=Preparation())
    again = Store(copy)
    assert again.splits == {"default": store.split("default"), "second": second}
    assert again.tables == store.tables
    plain = {case: replace(entry, fingerprint="", sources={}) for case, entry in again.cases.items()}
    assert plain == store.cases
    assert {case: tuple(entry.sources) for case, entry in again.cases.items()} == PRESENT
    again.require_complete()


def test_old_cases_are_not_taken_for_others_under_a_changed_description(tmp_path):
    """They do not say how they were made: what was examined counts, or listed under the same description."""
    copy = Path(shutil.copytree(FOLDER, tmp_path / "store"))
    turned = parse_description(TREE | {"labels": TREE["labels"][::-1]}, "old")
    how = {"found": list(PRESENT), "skipped": [], "preparation": Preparation()}
    update_index(copy, turned, examined=[FIRST], **how)
    assert list(Store(copy).cases) == [FIRST]
    update_index(copy, turned, examined=[], **how)
    assert list(Store(copy).cases) == [FIRST]
    update_index(copy, turned, examined=[SECOND], **how)
    Store(copy).require_complete()


def test_copies_are_found_by_their_files_where_there_is_no_digest(tmp_path, store):
    copy = Path(shutil.copytree(FOLDER, tmp_path / "store"))
    shutil.copy(copy / "cases" / f"{FIRST}.h5", copy / "cases" / "again.h5")
    found = [*PRESENT, "again"]
    update_index(copy, store.description, found=found, examined=found, skipped=[], preparation=Preparation())
    assert {case: entry.digests for case, entry in Store(copy).cases.items()} == {case: {} for case in sorted(found)}
    assert same_images(Store(copy).cases) == [("again", FIRST)]
