import pytest
import torch

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.errors import ConfigError
from hga_cli.networks.swinunetr import EarlySwinUNETR, LateSwinUNETR

MODALITIES = ("flair", "t1ce", "t1", "t2")


def network(kind=LateSwinUNETR, modalities=("t1", "t2"), classes=3, *, dims=2):
    torch.manual_seed(0)
    return kind(modalities, classes, dims=dims, width=12)


def draw(names=("t1", "t2"), batch=1, space=(64, 32)):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(batch, 1, *space, generator=generator) for name in names}


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_number_of_parameters_as_published():
    """Early fusion has no bias in its output layer (4 classes), as all others here."""
    assert count(LateSwinUNETR(MODALITIES, 4).parameters()) == 16_312_824
    assert count(EarlySwinUNETR(MODALITIES, 4).parameters()) == 62_191_990 - 4


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c")], ids=len)
@pytest.mark.parametrize("kind", [LateSwinUNETR, EarlySwinUNETR])
def test_any_number_of_modalities_and_classes(kind, modalities, classes):
    model = network(kind, modalities, classes)
    prediction = model.fuse(model.encode(draw(modalities)), modalities)
    assert prediction.logits.shape == (1, classes, 64, 32)
    assert prediction.feature.shape == (1, 12, 64, 32)
    assert prediction.deep == ()


@pytest.mark.parametrize("kind", [LateSwinUNETR, EarlySwinUNETR])
def test_three_dimensions_and_a_patch_with_one_long_edge(kind):
    """Two voxels are left at the deepest level: enough for its instance norm, in training too."""
    model = network(kind, dims=3)
    prediction = model.fuse(model.encode(draw(space=(64, 32, 32))), ("t1", "t2"))
    assert prediction.logits.shape == (1, 3, 64, 32, 32)
    prediction.logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_network_of_its_own_is_projected_before_the_mean_and_a_common_one_is_not():
    late, early = network(), network(EarlySwinUNETR)
    assert late.bodies["t1"].network.out.conv.conv.weight.shape == (12, 12, 1, 1)
    assert count(early.body.network.out.parameters()) == 0


def test_networks_of_the_modalities_differ_and_the_output_layer_is_shared():
    model = network()
    image = draw()["t1"]
    features = model.encode({"t1": image, "t2": image})
    assert not torch.allclose(features["t1"].feature, features["t2"].feature)
    assert count(model.shared_parameters()) == 12 * 3
    model.bodies["t2"].load_state_dict(model.bodies["t1"].state_dict())
    features = model.encode({"t1": image, "t2": image})
    assert torch.equal(features["t1"].logits, features["t2"].logits)


@pytest.mark.parametrize(
    ("kind", "name"), [(LateSwinUNETR, "swinunetr"), (EarlySwinUNETR, "swinunetr_early")], ids=["late", "early"]
)
def test_what_does_not_fit_is_refused_with_what_does(kind, name):
    for patch, fitting in (((80, 80, 80), [96, 96, 96]), ((32, 32, 32), [64, 64, 64])):
        with pytest.raises(ConfigError, match=f"backbone '{name}'.*multiple of 32, and one at least 64") as caught:
            kind(MODALITIES, 3, width=12, patch=patch)
        assert caught.value.hint == f"set data.patch = {fitting}"
    with pytest.raises(ConfigError, match=f"width 16 .*'{name}': expected a multiple of 12") as caught:
        kind(MODALITIES, 3, width=16)
    assert caught.value.hint == "set network.width = 24"


def test_the_catalog_knows_them():
    assert BACKBONES.load("swinunetr") is LateSwinUNETR
    assert BACKBONES.load("swinunetr_early") is EarlySwinUNETR
