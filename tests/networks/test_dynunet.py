import pytest
import torch
from monai.networks.nets.dynunet import DynUNet

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.errors import ConfigError
from hga_cli.networks.dynunet import DynUNetBody, EarlyDynUNet, LateDynUNet

MODALITIES = ("flair", "t1ce", "t1", "t2")


def network(kind=LateDynUNet, modalities=MODALITIES, classes=3, *, dims=3, width=2):
    torch.manual_seed(0)
    return kind(modalities, classes, dims=dims, width=width)


def draw(names=MODALITIES, batch=2, space=(32, 16, 16)):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, 1, *space, generator=generator) for name in names}


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_number_of_parameters_as_published_without_what_does_nothing():
    """Less by the biases of 18 convolutions, which a norm takes away again, and by a second output layer (48 to 4)."""
    biases = 2 * sum([48, 96, 192, 320, 320, 320, 192, 96, 48])
    assert count(LateDynUNet(MODALITIES, 4).parameters()) == 102_416_128 - 4 * (biases + 192)
    assert count(EarlyDynUNet(MODALITIES, 4).parameters()) == 25_608_064 - (biases + 192)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_body_is_monai_s(dims):
    """With the weights of MONAI's DynUNet it gives the feature MONAI's output layer sees."""
    torch.manual_seed(0)
    kernels, strides = [3] * 5, [1, 2, 2, 2, 2]
    whole = DynUNet(dims, 2, 3, kernels, strides, strides[1:], filters=[4, 8, 16, 32, 64])
    body = DynUNetBody(2, 3, dims=dims, width=4)
    parts = [(body.down, [whole.input_block, *whole.downsamples, whole.bottleneck]), (body.up, whole.upsamples)]
    for ours, theirs in parts:
        for block, source in zip(ours, theirs, strict=True):
            block.load_state_dict(source.state_dict())
    image = torch.randn(1, 2, *(32, 16, 16)[:dims])
    feature, _ = body(image)
    torch.testing.assert_close(feature, whole.skip_layers(image))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c", "d", "e")], ids=len)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", [LateDynUNet, EarlyDynUNet])
def test_any_number_of_modalities_and_classes(kind, dims, modalities, classes):
    model = network(kind, modalities, classes, dims=dims)
    space = (32, 16, 16)[:dims]
    prediction = model.fuse(model.encode(draw(modalities, space=space)), modalities)
    assert prediction.logits.shape == (2, classes, *space)
    assert prediction.feature.shape == (2, 2, *space)
    assert [level.shape for level in prediction.deep] == [
        (2, classes, *(edge // factor for edge in space)) for factor in (2, 4, 8)
    ]


@pytest.mark.parametrize("kind", [LateDynUNet, EarlyDynUNet])
def test_coarser_scales_are_for_training_only(kind):
    model = network(kind)
    trained = model.fuse(model.encode(draw()), MODALITIES)
    model.eval()
    used = model.fuse(model.encode(draw()), MODALITIES)
    assert len(trained.deep) == 3
    assert used.deep == ()
    torch.testing.assert_close(used.logits, trained.logits)


@pytest.mark.parametrize("kind", [LateDynUNet, EarlyDynUNet])
def test_coarser_scales_train_what_lies_below_them(kind):
    model = network(kind)
    model.fuse(model.encode(draw()), MODALITIES).deep[2].square().sum().backward()
    body = model.bodies["t1"] if kind is LateDynUNet else model.body
    assert body.up[0].transp_conv.conv.weight.grad.abs().max() > 0
    assert body.up[1].transp_conv.conv.weight.grad is None
    assert [head.weight.grad is not None for head in body.deep] == [True, False, False]


def test_widths_double_down_to_320():
    body = network(modalities=("a", "b"), width=48).bodies["a"]
    assert [level.conv1.conv.out_channels for level in body.down] == [48, 96, 192, 320, 320]
    assert [level.transp_conv.conv.out_channels for level in body.up] == [320, 192, 96, 48]


def test_convolutions_start_as_in_nnunet():
    body = network(modalities=("a", "b"), width=32).bodies["a"]
    weight = body.down[4].conv2.conv.weight  # 320 inputs, 27 places
    assert weight.std().item() == pytest.approx((2 / ((1 + 0.01**2) * 320 * 27)) ** 0.5, rel=0.01)


@pytest.mark.parametrize(("kind", "name"), [(LateDynUNet, "dynunet"), (EarlyDynUNet, "dynunet_early")])
def test_a_patch_that_does_not_fit_is_refused(kind, name):
    kind(MODALITIES, 3, width=2, patch=(32, 16, 16))
    for patch, fitting in (((40, 40, 40), [48, 48, 48]), ((16, 16, 16), [32, 32, 32])):
        with pytest.raises(ConfigError, match=f"backbone '{name}'.*multiple of 16") as caught:
            kind(MODALITIES, 3, width=2, patch=patch)
        assert caught.value.hint == f"set data.patch = {fitting}"


def test_the_catalog_knows_them():
    assert BACKBONES.load("dynunet") is LateDynUNet
    assert BACKBONES.load("dynunet_early") is EarlyDynUNet
