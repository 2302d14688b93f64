import pytest
import torch
from torch.nn import functional

from hga_cli.core.errors import ConfigError
from hga_cli.networks.convolutions import SLOPE, activated
from hga_cli.networks.regions import RegionFusion
from hga_cli.networks.rfnet import RFNet

MODALITIES = ("flair", "t1ce", "t2")
SPACE = (4, 6)


def parts(channels=4, classes=3):
    generator = torch.Generator().manual_seed(0)
    levels = {name: torch.randn(2, channels, *SPACE, generator=generator) for name in MODALITIES}
    return levels, torch.randn(2, classes, *SPACE, generator=generator).softmax(1)


@pytest.mark.parametrize("present", [("t1ce",), ("flair", "t2"), MODALITIES], ids="+".join)
def test_regions_are_fused_as_in_the_paper(present):
    """Written down with all maps, loops over classes and zeros for what is absent."""
    torch.manual_seed(0)
    fusion = RegionFusion(4, 3, MODALITIES, dims=2)
    levels, regions = parts()
    views = fusion.weigh.views
    fused = []
    for k in range(3):
        region = {m: levels[m] * regions[:, k, None] * (m in present) for m in MODALITIES}
        size = regions[:, k].mean((1, 2)) + 1e-7
        described = [region[m].mean((2, 3)) / size[:, None] for m in MODALITIES]
        inward = torch.cat([*(views[m].inward[k] for m in MODALITIES), fusion.weigh.size[k, :, None]], 1)
        hidden = torch.cat([*described, size[:, None]], 1) @ inward.T + fusion.weigh.bias[k]
        hidden = functional.leaky_relu(hidden, SLOPE)
        omega = {m: torch.sigmoid(hidden @ views[m].outward[k] + views[m].bias[k]) for m in MODALITIES}
        fused.append(sum(omega[m][:, None, None, None] * region[m] for m in MODALITIES))
    expected = fusion.refine(activated(fusion.merge(torch.cat(fused, 1))))
    short = fusion.short_cut
    given = {name: levels[name] for name in present}
    result = fusion([given], [[short.part(name, level) for name, level in given.items()]], regions)
    torch.testing.assert_close(result[:, :2], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result[:, 2:], short([[short.part(name, levels[name]) for name in present]]))


def test_fusion_does_not_train_the_regions():
    torch.manual_seed(0)
    model = RFNet(MODALITIES, 3, dims=2, width=4, levels=3)
    images = {name: torch.randn(1, 1, 16, 8) for name in MODALITIES}
    prediction = model.fuse(model.encode(images), MODALITIES)
    prediction.logits.square().sum().backward()
    assert all(parameter.grad is None for parameter in model.finders.parameters())
    assert all(parameter.grad is not None for parameter in model.fusions.parameters())


def test_deep_predictions_are_those_of_the_regions_down_from_full_resolution():
    model = RFNet(MODALITIES, 3, dims=2, width=4, levels=3)
    prediction = model.fuse(model.encode({name: torch.randn(1, 1, 16, 8) for name in MODALITIES}), MODALITIES)
    assert [tuple(one.shape[2:]) for one in prediction.deep] == [(16, 8), (8, 4), (4, 2)]


def test_a_width_has_four_parts():
    with pytest.raises(ConfigError, match="width 6 does not fit backbone 'rfnet'") as caught:
        RFNet(MODALITIES, 3, width=6)
    assert caught.value.hint == "set network.width = 8"
