"""A model that always returns the reference scores Dice 1 and HD95 0: for every case, combination and region."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from hga_cli.core.combinations import all_combinations, combination_name
from hga_cli.data.store import Store
from hga_cli.engine.inference import load_model
from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.workflows.evaluate import evaluate

MODALITIES = ("flair", "t1ce", "t1", "t2")
STRANGE_IDS = ["p1", "p1-2", "case_1", "case_2", "case_10", "0123", "nan"]


@pytest.fixture(scope="module")
def model(tiny_folder):
    """A model that works on the grid of each case."""
    loaded = load_model(tiny_folder / "runs" / "start" / "checkpoints" / "last.safetensors", torch.device("cpu"))
    return replace(loaded, preparation=replace(loaded.preparation, spacing=None))


@pytest.fixture(scope="module")
def perfect():
    """The function that makes a model perfect on a store; returns the list of calls (case, images, combinations)."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield partial(make_perfect, monkeypatch)


def make_perfect(monkeypatch, store):
    case_of = {
        store.images(case, [modality])[0].tobytes(): case
        for case, entry in store.cases.items()
        for modality in entry.modalities
    }
    calls = []

    def one_hot(model, images, backgrounds, combinations, *, overlap):
        (case,) = {case_of[image.tobytes()] for image in images.values()}
        calls.append((case, tuple(images), list(combinations)))
        probabilities = np.eye(model.description.classes, dtype=np.float32)[store.label(case)]
        return dict.fromkeys(combinations, np.moveaxis(probabilities, -1, 0)).items()

    monkeypatch.setattr("hga_cli.engine.scoring.each_combination", one_hot)
    return calls


def scored(model, store, cases, combinations=None, convention="hga"):
    chosen = combinations or all_combinations(MODALITIES)
    return evaluate(model, store, cases, chosen, CONVENTIONS[convention])


@pytest.fixture(scope="module")
def all_phantoms(model, perfect, road):
    """All twelve sample cases with all combinations: the store, the calls of the model, the document."""
    store = Store(road.store)
    calls = perfect(store)
    return store, calls, scored(model, store, sorted(store.cases))


def test_scores(all_phantoms):
    """All twelve phantoms: some turned, one oblique, one without enhancing tumour, three that lack modalities."""
    _, _, document = all_phantoms
    assert len(document["combinations"]) == 15
    for name, regions in document["combinations"].items():
        for region in ("WT", "TC", "ET"):
            row = regions[region]
            assert (row["dice"], row["hd95"], row["misses"], row["false_alarms"]) == (1.0, 0.0, 0, 0), name
    for region in ("WT", "TC", "ET"):
        assert document["mean"][region] == {"dice": 1.0, "hd95": 0.0}


def test_small_structures_are_erased_where_that_is_the_rule(all_phantoms):
    """ETpp: a prediction of fewer than 500 voxels counts as none, so a small tumour is missed; an absent one is not."""
    rows = [row for row in all_phantoms[2]["cases"] if row["region"] == "ETpp"]
    sizes = {row["reference_voxels"] for row in rows}
    assert 0 in sizes
    assert any(0 < size < 500 for size in sizes)
    assert any(size >= 500 for size in sizes)
    for row in rows:
        missed = 0 < row["reference_voxels"] < 500
        assert (row["dice"], row["hd95"]) == ((0.0, 1.0) if missed else (1.0, 0.0))
        assert row["predicted_voxels"] == (0 if missed else row["reference_voxels"])


def test_case_counts_only_where_it_has_the_modalities(all_phantoms):
    store, calls, document = all_phantoms
    present = {case: set(entry.modalities) for case, entry in store.cases.items()}
    for combination in all_combinations(MODALITIES):
        owners = {case for case, has in present.items() if set(combination) <= has}
        name = combination_name(combination)
        assert {row["n"] for row in document["combinations"][name].values()} == {len(owners)}
        assert {row["case"] for row in document["cases"] if row["combination"] == name} == owners
    assert {row["n"] for row in document["combinations"]["t1+t2"].values()} == {10}
    for case, images, combinations in calls:
        assert set(images) == present[case]
        assert len(combinations) == 2 ** len(present[case]) - 1


def test_reads_only_what_the_combinations_need(model, perfect, road):
    store = Store(road.store)
    calls = perfect(store)
    case, lacking = "Phantom-00003-000", "Phantom-00005-000"
    scored(model, store, [case, lacking], [("flair",), ("flair", "t2")])
    assert calls == [
        (case, ("flair", "t2"), [("flair",), ("flair", "t2")]),
        (lacking, ("flair",), [("flair",)]),
    ]


def test_combination_that_nobody_has(model, perfect, road):
    store = Store(road.store)
    calls = perfect(store)
    document = scored(model, store, ["Phantom-00005-000"], [("t2",), ("flair",)])
    row = document["combinations"]["t2"]["WT"]
    assert row["n"] == 0
    assert np.isnan(row["dice"])
    assert document["mean"]["WT"]["dice"] == 1.0
    assert document["worst"]["WT"] == "flair"
    assert [call[0] for call in calls] == ["Phantom-00005-000"]


def test_ids_pair_predictions_with_references(hga, model, perfect, phantom, tmp_path):
    """[M09] Ids that sort differently as names and as file names, and ids that look like numbers."""
    for number, case in enumerate(STRANGE_IDS):
        phantom(tmp_path / "raw", case, shape=(12 + number, 14, 10), seed=number)
    hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
    store = Store(tmp_path / "store")
    assert sorted(store.cases) == sorted(STRANGE_IDS)
    perfect(store)
    for order in (sorted(STRANGE_IDS), STRANGE_IDS[::-1]):
        document = scored(model, store, order)
        assert {row["case"] for row in document["cases"]} == set(STRANGE_IDS)
        assert {row["dice"] for row in document["cases"] if row["region"] != "ETpp"} == {1.0}


def test_wrong_partner_would_be_seen(model, perfect, monkeypatch, road):
    """The counter-proof: the reference of another visit scores less than 1."""
    store = Store(road.store)
    perfect(store)
    first = store.reference("Phantom-00001-000")
    monkeypatch.setattr(Store, "reference", lambda self, case: np.roll(first, 3, 0))
    document = scored(model, store, ["Phantom-00001-000"], [("flair",)])
    assert 0 < document["combinations"]["flair"]["WT"]["dice"] < 1
    assert document["combinations"]["flair"]["WT"]["hd95"] > 1
