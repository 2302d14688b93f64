import pytest
import torch
from torch.nn import functional

from hga_cli.networks.convolutions import activated
from hga_cli.networks.slots import Merge, Slots, shared_parameters

MODALITIES = ("flair", "t1ce", "t2")


def draw(channels=3, space=(4, 5, 3)):
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(2, channels, *space, generator=generator) for name in MODALITIES}


@pytest.mark.parametrize("present", [("t1ce",), ("flair", "t2"), MODALITIES], ids="+".join)
def test_slots_are_a_convolution_with_zeros_for_what_is_absent(present):
    slots = Slots(3, 5, MODALITIES, dims=3)
    values = draw()
    dense = torch.cat([slots.slots[name].weight for name in MODALITIES], 1)
    zeroed = torch.cat([values[name] if name in present else 0 * values[name] for name in MODALITIES], 1)
    expected = functional.conv3d(zeroed, dense, slots.bias)
    torch.testing.assert_close(slots.total([slots.part(name, values[name]) for name in present]), expected)


def test_slots_start_as_one_convolution_over_all_modalities_would():
    torch.manual_seed(0)
    slots = Slots(64, 128, MODALITIES, dims=3)
    weights = torch.cat([slot.weight for slot in slots.slots.values()], 1)
    assert weights.std().item() == pytest.approx((2 / (3 * 64)) ** 0.5, rel=0.02)
    assert slots.bias.abs().max() <= (3 * 64) ** -0.5


@pytest.mark.parametrize("order", ["before", "after"])
def test_groups_are_merged_as_each_on_its_own(order):
    merge = Merge((3, 4, 2), MODALITIES, order, dims=3)
    parts = {name: merge.part(name, value) for name, value in draw().items()}
    groups = [[parts["flair"], parts["t2"]], [parts["t1ce"], parts["t2"]]]
    together = merge(groups)
    assert together.shape == (4, 2, 4, 5, 3)
    torch.testing.assert_close(together, torch.cat([merge([group]) for group in groups]))


def test_with_norms_before_convolutions_each_modality_is_normalised_first():
    merge = Merge((3, 4, 2), MODALITIES, "before", dims=3)
    value = draw()["t2"]
    torch.testing.assert_close(merge.part("t2", 7 * value + 1), merge.part("t2", value), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(merge.part("t2", value), merge.slots.part("t2", activated(value)))


def test_slots_belong_to_modalities_and_the_rest_is_shared():
    merge = Merge((3, 4, 2), MODALITIES, "after", dims=2)
    shared = {id(parameter) for parameter in shared_parameters(merge)}
    own = {key for key, parameter in merge.named_parameters() if id(parameter) not in shared}
    assert own == {f"slots.slots.{name}.weight" for name in MODALITIES}
