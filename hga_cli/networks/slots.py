"""Layers that have weights of their own for each modality, and use those of the modalities that are there."""

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.networks.convolutions import Order, Unit, activated
from hga_cli.networks.typed import PerModality
from hga_cli.networks.unet import CONVOLUTION


class Slots(nn.Module):
    """A convolution of one voxel over the channels of all modalities, as a sum over those that are there.

    The weights of an absent modality are not used; the sum is what zeros in its channels would give. What each modality
    adds does not depend on the others, so it is computed once for all combinations.

    Args:
        inputs: channels of each modality.
        outputs: channels.
        modalities: names (M).
        dims: 2 or 3.
    """

    def __init__(self, inputs: int, outputs: int, modalities: Combination, *, dims: int) -> None:
        super().__init__()
        self.slots: PerModality[nn.Module] = PerModality(
            {name: CONVOLUTION[dims](inputs, outputs, 1, bias=False) for name in modalities}
        )
        self.bias = nn.Parameter(torch.empty(outputs))
        fan = len(modalities) * inputs
        for slot in self.slots.parameters():
            nn.init.normal_(slot, std=(2 / fan) ** 0.5)
        nn.init.uniform_(self.bias, -(fan**-0.5), fan**-0.5)

    def part(self, name: str, value: Tensor) -> Tensor:
        """Return what one modality adds, (B, outputs, *space)."""
        added: Tensor = self.slots[name](value)
        return added

    def total(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the convolution, from the parts of the modalities that are there."""
        bias = self.bias.to(parts[0].dtype).view(-1, *[1] * (parts[0].ndim - 2))
        return sum(parts[1:], parts[0] + bias)


class Merge(nn.Module):
    """Three convolutions, of 1, 3 and 1 voxels, that make one map from those of all modalities of a group.

    A group is a set of modalities that are fused. G groups follow each other on the batch axis: G B samples.

    Args:
        channels: of each modality, in between, and of the result.
        modalities: names (M).
        order: of norm and activation.
        dims: 2 or 3.
        mirror: pad by mirroring; False: with zeros.
    """

    recomputable = True

    def __init__(
        self, channels: tuple[int, int, int], modalities: Combination, order: Order, *, dims: int, mirror: bool = True
    ) -> None:
        super().__init__()
        inputs, middle, outputs = channels
        self.order = order
        self.slots = Slots(inputs, middle, modalities, dims=dims)
        self.middle = Unit(middle, middle, 3, order, dims=dims, mirror=mirror)
        self.last = Unit(middle, outputs, 1, order, dims=dims)

    def part(self, name: str, value: Tensor) -> Tensor:
        """Return what one modality (B, inputs, *space) adds to the first convolution."""
        return self.slots.part(name, activated(value) if self.order == "before" else value)

    def forward(self, groups: Sequence[Sequence[Tensor]]) -> Tensor:
        """Merge the parts of each group: (G B, outputs, *space)."""
        merged = stacked(self.slots.total(parts) for parts in groups)
        value: Tensor = self.last(self.middle(activated(merged) if self.order == "after" else merged))
        return value


def shared_parameters(network: nn.Module) -> Iterable[nn.Parameter]:
    """Return the parameters of a network that belong to no modality."""
    parts = (module.parameters() for module in network.modules() if isinstance(module, PerModality))
    own = {id(parameter) for parameter in chain.from_iterable(parts)}
    return [parameter for parameter in network.parameters() if id(parameter) not in own]


def stacked(values: Iterable[Tensor]) -> Tensor:
    """Put groups one after another on the batch axis."""
    together = tuple(values)
    return torch.cat(together) if len(together) > 1 else together[0]
