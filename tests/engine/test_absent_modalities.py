"""What a case may not use changes nothing: not a loss, not a gradient, not a weight."""

import h5py
import numpy as np
import pytest
import torch
from _training import CASES, MODALITIES, assert_same_tensors, make_store, planned, settings, training_of

from hga_cli.core.errors import DataError
from hga_cli.data.store import Store, case_path
from hga_cli.engine.network import build_network

WHOLE = dict.fromkeys(CASES, MODALITIES)
STEPS = 14


def spoil(store, case, modality, *, how):
    """Make an image on disk useless: its numbers become NaN, or its chunks cannot be read any more."""
    path = case_path(store.path, case)
    with h5py.File(path, "r+") as file:
        data = file[f"images/{modality}"]
        chunk = data.id.get_chunk_info(0)
        if how == "nan":
            data.attrs.update(scale=np.nan, offset=np.nan, background=np.nan)
    if how == "unreadable":
        with path.open("r+b") as file:
            file.seek(chunk.byte_offset)
            file.write(np.random.default_rng(0).bytes(chunk.size))


def trained(store, method):
    """Losses, gradients of every step, and all tensors after two cycles."""
    training, patches = training_of(planned(store, settings(method)))
    losses, gradients = [], []
    for step in range(STEPS):
        losses.append(training.learn(patches[step]))
        named = training.model.named_parameters()
        gradients.append({name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None})
    return losses, gradients, training.tensors(), training.objective.preference.state()


@pytest.mark.parametrize("how", ["nan", "unreadable"])
@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_a_hidden_modality_may_as_well_not_exist(tmp_path, method, how):
    """All is on disk and a table hides a part, spoilt - against a store that never had that part."""
    full = make_store(tmp_path / "full", WHOLE, table=CASES)
    for case, available in CASES.items():
        for modality in set(MODALITIES) - set(available):
            spoil(full, case, modality, how=how)
    bare = make_store(tmp_path / "bare", CASES)
    losses, gradients, tensors, preference = trained(full, method)
    expected = trained(bare, method)
    assert np.isfinite(losses).all()
    assert losses == expected[0]
    for found, wanted in zip(gradients, expected[1], strict=True):
        assert_same_tensors(found, wanted)
    assert_same_tensors(tensors, expected[2])
    assert preference == expected[3]


@pytest.mark.parametrize("how", ["nan", "unreadable"])
def test_spoiling_would_be_noticed(tmp_path, how):
    """Without the table the same store cannot be trained: the test above can fail."""
    store = make_store(tmp_path / "store", WHOLE)
    spoil(store, "case-2", "t2", how=how)
    training, patches = training_of(planned(store, settings("joint", data__batch=5)))
    with pytest.raises(Exception, match=r"not finite|damaged|read"):
        training.learn(patches[0])


@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_a_case_that_may_use_nothing_is_an_error(tmp_path, method):
    """Its table was made before it lost its flair: neither leave it out silently nor stumble over it."""
    store = make_store(tmp_path / "store", {**CASES, "case-9": ("t2",)}, table={**CASES, "case-9": ("flair",)})
    with pytest.raises(DataError, match="without any modality: case-9") as caught:
        planned(store, settings(method))
    assert "make-imbalance" in caught.value.hint


def test_a_step_reads_only_its_combination(tmp_path, monkeypatch):
    """Also of a case that may use more: the cycle hides it."""
    store = make_store(tmp_path / "store", WHOLE)
    read = []
    original = Store.patch
    monkeypatch.setattr(
        Store, "patch", lambda self, case, names, box: (read.append(names), original(self, case, names, box))[1]
    )
    monkeypatch.setattr(Store, "images", None)
    _, patches = training_of(planned(store, settings("hga-published")))
    for step in range(STEPS):
        read.clear()
        batch = patches[step]
        assert read == [batch.combination] * len(batch.cases)
        assert tuple(batch.images) == batch.combination
    assert {len(patches[step].combination) for step in range(7)} == {1, 2, 3}


def test_images_of_a_batch_carry_the_right_names(tmp_path):
    """Every combination sees the same t2, whatever stands beside it."""
    store = make_store(tmp_path / "store", {"case-0": MODALITIES})
    still = {f"augmentation__{name}": 0.0 for name in ("rotation", "scale", "shift", "flip")}
    _, patches = training_of(planned(store, settings("hga-published", data__patch=[18, 17, 16], **still)))
    whole = dict(zip(MODALITIES, store.images("case-0", MODALITIES), strict=True))
    for step in range(7):
        for name, image in patches[step].images.items():
            np.testing.assert_allclose(image[0, 0].numpy(), whole[name], rtol=1e-6)


def norms_of_others(model, combination):
    names = [name for name, _ in model.named_parameters() if ".norms." in name]
    return {name for name in names if not any(f".norms.{modality}." in name for modality in combination)}


@pytest.mark.parametrize("method", ["hga-published", "hga"])
@pytest.mark.parametrize("combination", [("flair",), ("t1ce", "t2")], ids="+".join)
def test_gradients_and_weights_of_absent_modalities_stay(tmp_path, method, combination):
    store = make_store(tmp_path / "store", dict.fromkeys(CASES, combination))
    training, patches = training_of(planned(store, settings(method, optim__weight_decay=0.5)))
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    for step in range(training.scheme.iterations):
        batch = patches[step]
        training.learn(batch)
        without = {name for name, parameter in training.model.named_parameters() if parameter.grad is None}
        assert without == norms_of_others(training.model, batch.combination)
    absent = norms_of_others(training.model, combination)
    assert absent
    after = training.model.state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == absent
    names = [name for name, _ in training.model.named_parameters()]
    assert {names[index] for index in training.optimiser.state_dict()["state"]} == set(names) - absent


def test_a_modality_that_pauses_does_not_drift(tmp_path):
    """Its moments are there from an earlier step, yet without a gradient AdamW must leave it alone."""
    store = make_store(tmp_path / "store", {"case-0": MODALITIES})
    training, patches = training_of(
        planned(store, settings("hga-published", method__sampler__order="fixed", optim__weight_decay=0.5))
    )
    training.learn(patches[0])  # flair
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.learn(patches[1])  # t1ce
    training.learn(patches[2])  # t2
    after = training.model.state_dict()
    flair = [name for name in before if ".norms.flair." in name]
    assert flair
    assert all(torch.equal(before[name], after[name]) for name in flair)
    assert not any(torch.equal(before[name], after[name]) for name in before if ".convolutions." in name)


def test_order_of_modalities_in_a_batch_does_not_matter(tmp_path):
    store = make_store(tmp_path / "store", {"case-0": MODALITIES})
    training, patches = training_of(planned(store, settings("hga-published", method__sampler__order="fixed")))
    batch = patches[6]
    network = build_network(training.scheme.config, MODALITIES, 3)
    results = [
        training.objective(network, dict(list(batch.images.items())[::turn]), batch.label.long()) for turn in (1, -1)
    ]
    assert results[0].terms == pytest.approx(results[1].terms, rel=1e-5)
