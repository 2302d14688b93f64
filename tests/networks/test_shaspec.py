import pytest
import torch
from torch.nn import functional

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.errors import ConfigError
from hga_cli.networks.shaspec import ShaSpec
from hga_cli.networks.standardised import Encoder, Pyramid, convolution

MODALITIES = ("flair", "t1ce", "t1", "t2")


def network(modalities=MODALITIES, classes=3, *, dims=3, width=2):
    torch.manual_seed(0)
    return ShaSpec(modalities, classes, dims=dims, width=width)


def draw(names=MODALITIES, batch=2, space=(32, 16, 16)):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, 1, *space, generator=generator) for name in names}


def count(part):
    return sum(parameter.numel() for parameter in part.parameters())


def decoded(model, features, combination):
    """Slots and skips (modality -> tensor, for each level) that the decoder gets."""
    caught = []
    handle = model.decoder.register_forward_pre_hook(lambda module, inputs: caught.append(inputs))
    model.fuse(features, combination)
    handle.remove()
    ((slots, skips),) = caught
    names = model.modalities
    return (
        dict(zip(names, slots.chunk(len(names), 1), strict=True)),
        [dict(zip(names, level.chunk(len(names), 1), strict=True)) for level in skips],
    )


def test_number_of_parameters_as_published():
    model = ShaSpec(MODALITIES, 4)
    assert count(model) == 123_329_284
    assert count(model.shared) == count(model.specific["t1"]) == 22_252_096
    assert count(model.shared.pyramid) == 5_770_240
    assert count(model.composition) == 3_538_944
    assert count(model.decoder) + count(model.output) == 8_528_832
    assert count(model.classifier) == 1_028


def test_the_encoder_halves_four_times():
    feature, skips, pooled = Encoder(2, 3)(draw(("t1",))["t1"])
    assert feature.shape == (2, 8, 2, 1, 1)
    assert pooled.shape == (2, 8)
    assert [level.shape[1:] for level in skips] == [(2, 32, 16, 16), (8, 16, 8, 8), (16, 8, 4, 4), (32, 4, 2, 2)]


@pytest.mark.parametrize("dims", [2, 3])
def test_kernels_are_standardised(dims):
    torch.manual_seed(0)
    layer = convolution(3, 5, 3, dims=dims, stride=2)
    image = torch.randn(1, 3, *[8] * dims)
    original = layer.parametrizations.weight.original
    flat = original.detach().flatten(1)
    weight = (flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)
    expected = {2: functional.conv2d, 3: functional.conv3d}[dims](image, weight.view_as(original), stride=2, padding=1)
    torch.testing.assert_close(layer(image), expected)
    with torch.no_grad():
        original.mul_(7).add_(3)
    torch.testing.assert_close(layer(image), expected, rtol=1e-4, atol=1e-4)


def test_what_the_whole_adds_to_the_pyramid_is_taken_away_by_the_norm():
    torch.manual_seed(0)
    pyramid = Pyramid(8, 3).double()
    value = torch.randn(2, 8, 4, 4, 4, dtype=torch.float64)
    expected = pyramid(value)
    pyramid.whole.register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))
    torch.testing.assert_close(pyramid(value), expected)
    pyramid.near.register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))
    assert not torch.allclose(pyramid(value), expected, atol=0.1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c", "d", "e")], ids=len)
@pytest.mark.parametrize("dims", [2, 3])
def test_any_number_of_modalities_and_classes(dims, modalities, classes):
    model = network(modalities, classes, dims=dims, width=4)
    space = (32, 16, 16)[:dims]
    prediction = model.fuse(model.encode(draw(modalities, space=space)), modalities)
    assert prediction.logits.shape == (2, classes, *space)
    assert prediction.feature.shape == (2, 2, *space)
    assert {name: one.shape for name, one in prediction.recognised.items()} == dict.fromkeys(modalities, (2,))
    assert {one.shape for one in prediction.shared.values()} == {(2, 16, *(edge // 16 for edge in space))}


def test_each_specific_encoder_sees_its_own_image():
    model = network()
    images = draw()
    seen = {}
    for name, encoder in model.specific.items():
        encoder.register_forward_pre_hook(lambda module, inputs, name=name: seen.update({name: inputs[0]}))
    model.encode({name: images[name] for name in ("t1", "t1ce")})
    assert seen.keys() == {"t1ce", "t1"}
    assert all(torch.equal(image, images[name]) for name, image in seen.items())


def test_a_slot_composes_what_is_shared_and_what_is_specific():
    model = network()
    images = draw()
    slots, skips = decoded(model, model.encode(images), ("t2", "t1ce"))
    for name in ("t2", "t1ce"):
        shared, levels, _ = model.shared(images[name])
        specific, _, _ = model.specific[name](images[name])
        added = model.composition(torch.cat([shared, specific], 1))
        torch.testing.assert_close(slots[name], shared + added, rtol=1e-4, atol=1e-4)
        for level, expected in zip(skips, levels, strict=True):
            torch.testing.assert_close(level[name], expected)


@pytest.mark.parametrize("combination", [("t2",), ("flair", "t1"), ("flair", "t1ce", "t2")], ids="+".join)
def test_an_empty_slot_holds_the_mean_shared_feature_and_no_skips(combination):
    model = network()
    features = model.encode(draw())
    slots, skips = decoded(model, features, combination)
    mean = sum(features[name].shared for name in combination) / len(combination)
    for name in set(MODALITIES) - set(combination):
        torch.testing.assert_close(slots[name], mean)
        assert all(torch.count_nonzero(level[name]) == 0 for level in skips)


def test_it_says_how_well_each_modality_is_known():
    model = network()
    images = draw()
    prediction = model.fuse(model.encode(images), ("t1", "t2"))
    _, _, pooled = model.specific["t1"](images["t1"])
    expected = model.classifier(pooled).softmax(1)[:, MODALITIES.index("t1")]
    torch.testing.assert_close(prediction.recognised["t1"].exp(), expected)
    assert prediction.recognised.keys() == prediction.shared.keys() == {"t1", "t2"}


def test_only_the_specific_encoders_are_not_shared():
    model = network()
    shared = {id(parameter) for parameter in model.shared_parameters()}
    own = {name for name, parameter in model.named_parameters() if id(parameter) not in shared}
    assert own == {name for name, _ in model.named_parameters() if name.startswith("specific.")}


@pytest.mark.parametrize("space", [(33, 20, 7), (64, 64, 1), (5, 6, 7), (40, 17)], ids=str)
def test_every_size_comes_out_as_it_went_in(space):
    model = network(dims=len(space))
    prediction = model.fuse(model.encode(draw(("t1", "t2"), batch=1, space=space)), ("t1", "t2"))
    assert prediction.logits.shape == (1, 3, *space)
    assert prediction.feature.shape == (1, 1, *space)
    assert prediction.logits.isfinite().all()


def test_what_does_not_fit_is_refused_with_what_does():
    with pytest.raises(ConfigError, match=r"backbone 'shaspec'.*multiple of 16") as caught:
        ShaSpec(MODALITIES, 3, width=2, patch=(24, 24, 24))
    assert caught.value.hint == "set data.patch = [32, 32, 32]"
    with pytest.raises(ConfigError, match=r"width 5 .*'shaspec': expected an even number") as caught:
        ShaSpec(MODALITIES, 3, width=5)
    assert caught.value.hint == "set network.width = 6"


def test_the_catalog_knows_it():
    assert BACKBONES.load("shaspec") is ShaSpec
