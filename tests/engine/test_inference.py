import numpy as np
import pytest
import torch
from _training import MODALITIES, description, make_store, planned, settings, training_of
from torch import nn

from hga_cli.core.combinations import all_combinations
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.store import Box
from hga_cli.engine.inference import TrainedModel, predict_combinations
from hga_cli.engine.network import build_network

BACKGROUNDS = {"flair": -1.5, "t1ce": -0.5, "t2": -2.0}
EVERY = all_combinations(MODALITIES)


def model(patch=(16, 16, 16), **changes):
    """A network nobody trained; its norms differ, so that modalities cannot be mixed up unnoticed."""
    config = settings(data__patch=list(patch), network__dims=len(patch), **changes)
    torch.manual_seed(0)
    network = build_network(config, MODALITIES, 3)
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return TrainedModel(
        network=network.eval(),
        config=config,
        description=description(),
        preparation=Preparation(),
        label_values={"core": 1, "oedema": 2},
        device=torch.device("cpu"),
        step=0,
    )


def draw(shape, names=MODALITIES):
    generator = np.random.default_rng(1)
    drawn = {name: generator.standard_normal(shape).astype(np.float32) for name in MODALITIES}
    return {name: drawn[name] for name in names}


def predict(one, images, combinations, *, overlap=0.5):
    return predict_combinations(one, images, BACKGROUNDS, combinations, overlap=overlap)


def direct(one, images, combination):
    """Probabilities (K, *space) of arrays (*space) by the network itself."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(images[name]))[None, None] for name in combination}
    with torch.inference_mode():
        return one.network.fuse(one.network.encode(tensors), combination).logits.softmax(1)[0].numpy()


def assert_close(left, right, tolerance=1e-5):
    np.testing.assert_allclose(left, right, rtol=0, atol=tolerance)


def assert_probabilities(found, shape):
    assert found.shape == (3, *shape)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert_close(found.sum(0), np.ones(shape))


def test_one_window_over_all_is_a_plain_forward_pass():
    one, images = model(), draw((16, 16, 16))
    found = predict(one, images, EVERY)
    assert list(found) == EVERY
    for combination in EVERY:
        assert_probabilities(found[combination], (16, 16, 16))
        assert_close(found[combination], direct(one, images, combination))
    assert len({found[combination].tobytes() for combination in EVERY}) == len(EVERY)


def test_where_windows_overlap_their_probabilities_are_averaged():
    """One voxel more than the window: two windows, at 0 and 1, share all but the first and the last plane."""
    one, images = model(), draw((17, 16, 16))
    parts = [
        direct(one, {name: image[start : start + 16] for name, image in images.items()}, MODALITIES) for start in (0, 1)
    ]
    expected = np.zeros((3, 17, 16, 16))
    expected[:, :16] += parts[0]
    expected[:, 1:] += parts[1]
    expected[:, 1:16] /= 2
    assert_close(predict(one, images, [MODALITIES])[MODALITIES], expected)


def test_neighbours_that_do_not_overlap_stay_side_by_side():
    one, images = model(), draw((32, 16, 16))
    halves = [
        direct(one, {name: image[start : start + 16] for name, image in images.items()}, ("t2",)) for start in (0, 16)
    ]
    assert_close(predict(one, images, [("t2",)], overlap=0.0)["t2",], np.concatenate(halves, axis=1))


@pytest.mark.parametrize(
    ("shape", "overlap"),
    [
        ((8, 8, 5), 0.5),
        ((64, 64, 1), 0.25),
        ((1, 1, 1), 0.5),
        ((17, 16, 16), 0.0),
        ((17, 16, 16), 0.9),
        ((33, 47, 29), 0.25),
        ((1, 40, 3), 0.75),
        ((16, 15, 17), 0.5),
    ],
    ids=str,
)
def test_volumes_of_every_shape(shape, overlap):
    images = draw(shape)
    found = predict(model(), images, [("flair",), MODALITIES], overlap=overlap)
    for combination in (("flair",), MODALITIES):
        assert_probabilities(found[combination], shape)
    assert not np.array_equal(found["flair",], found[MODALITIES])


def test_a_small_volume_is_padded_with_background_as_in_training(tmp_path):
    """Training reads such a case with background around it; prediction must show the network the same."""
    shape = (9, 12, 16)
    store = make_store(tmp_path / "store", {"case-0": MODALITIES}, shape=shape)
    still = {f"augmentation__{name}": 0.0 for name in ("rotation", "scale", "shift", "flip")}
    config = settings("joint", data__patch=[16, 16, 16], data__batch=1, **still)
    batch = training_of(planned(store, config))[1][0]
    one = model()
    images = dict(zip(MODALITIES, store.images("case-0", MODALITIES), strict=True))
    backgrounds = dict(zip(MODALITIES, store.backgrounds("case-0", MODALITIES), strict=True))
    found = predict_combinations(one, images, backgrounds, [MODALITIES], overlap=0.5)[MODALITIES]
    padded = direct(one, {name: image[0, 0].numpy() for name, image in batch.images.items()}, MODALITIES)
    label = store.label("case-0", Box(start=(0, 0, 0), size=shape))
    corner = np.argwhere(batch.label[0].numpy() == 1).min(0) - np.argwhere(label == 1).min(0)
    assert_close(found, padded[(slice(None), *(slice(c, c + size) for c, size in zip(corner, shape, strict=True)))])


def test_padding_is_the_background_of_each_modality():
    """Not zero, and not that of another one."""
    one, images = model(), draw((16, 16, 11))
    padded = {
        name: np.pad(image, ((0, 0), (0, 0), (3, 2)), constant_values=BACKGROUNDS[name])
        for name, image in images.items()
    }
    for combination in EVERY:
        wanted = direct(one, padded, combination)[..., 3:14]
        assert_close(predict(one, images, [combination])[combination], wanted)


def test_order_of_the_images_does_not_matter():
    one, images = model(), draw((20, 18, 16))
    expected = predict(one, images, EVERY)
    turned = predict(one, dict(reversed(images.items())), EVERY)
    assert all(np.array_equal(expected[combination], turned[combination]) for combination in EVERY)


@pytest.mark.parametrize("combination", [("flair",), ("t1ce", "t2")], ids="+".join)
def test_to_hide_a_modality_is_to_have_none(combination):
    one = model()
    shape = (20, 18, 16)
    hidden = predict(one, draw(shape), [combination])[combination]
    dropped = predict(one, draw(shape, combination), [combination])[combination]
    assert_close(hidden, dropped)
    spoilt = {name: image if name in combination else image * np.nan for name, image in draw(shape).items()}
    assert_close(predict(one, spoilt, [combination])[combination], hidden)


def test_all_combinations_at_once_are_each_on_its_own():
    one, images = model(), draw((17, 20, 9))
    together = predict(one, images, EVERY)
    for combination in EVERY:
        assert np.array_equal(predict(one, images, [combination])[combination], together[combination])


@pytest.mark.parametrize("shape", [(16, 16, 3), (20, 9, 2), (40, 40, 1), (1, 1, 4)], ids=str)
def test_a_2d_network_sees_slice_by_slice(shape):
    one, images = model(patch=(16, 16)), draw(shape)
    found = predict(one, images, [("t2",), MODALITIES])
    for place in range(shape[2]):
        single = {name: image[..., place : place + 1] for name, image in images.items()}
        alone = predict(one, single, [("t2",), MODALITIES])
        for combination in alone:
            assert_probabilities(found[combination], shape)
            assert_close(alone[combination][..., 0], found[combination][..., place])
    if shape[:2] == (16, 16):
        flat = {name: image[..., 1] for name, image in images.items()}
        assert_close(found[MODALITIES][..., 1], direct(one, flat, MODALITIES))


def test_bf16_answers_in_float32_and_nearly_the_same():
    images = draw((18, 16, 16))
    half = predict(model(optim__precision="bf16"), images, [MODALITIES])[MODALITIES]
    whole = predict(model(), images, [MODALITIES])[MODALITIES]
    assert_probabilities(half, (18, 16, 16))
    assert_close(half, whole, 0.1)
    assert not np.array_equal(half, whole)


def test_predicting_leaves_the_model_as_it_was():
    one, images = model(), draw((17, 16, 16))
    before = {name: value.clone() for name, value in one.network.state_dict().items()}
    first = predict(one, images, [MODALITIES])[MODALITIES]
    assert np.array_equal(first, predict(one, images, [MODALITIES])[MODALITIES])
    assert all(torch.equal(before[name], value) for name, value in one.network.state_dict().items())
    assert all(parameter.grad is None for parameter in one.network.parameters())
