"""Two ways to make a backbone of a network that knows nothing of absent modalities.

Late fusion: one network per modality, and the mean of what those that are there say. Early fusion: one network for all,
with zeros in the channels of what is not there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.networks.backbone import Backbone, Features, Prediction, mean
from hga_cli.networks.sizes import cropped, padded
from hga_cli.networks.typed import PerModality
from hga_cli.networks.unet import CONVOLUTION


class Body(nn.Module, ABC):
    """A segmentation network without its output layer.

    Args:
        channels: of the feature (C).
        stride: what sizes have to be a multiple of.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map (B, inputs, *space) to the feature (B, C, *space) and logits at coarser scales, fine to coarse."""


class LateFusion(Backbone):
    """One network per modality, one output layer for all; the fused prediction is the mean over what is there.

    A modality that is absent is not touched: neither computed nor trained.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        bodies: the network of each modality, for images of one channel.
    """

    def __init__(self, modalities: Combination, classes: int, dims: int, bodies: Sequence[Body]) -> None:
        super().__init__(modalities, classes, dims)
        self.bodies: PerModality[Body] = PerModality(dict(zip(modalities, bodies, strict=True)))
        self.output = output_layer(bodies[0].channels, classes, dims)

    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Return the whole prediction of each modality given."""
        return {name: _predict(self.bodies[name], self.output, image) for name, image in images.items()}

    def fuse(self, features: Features, combination: Combination) -> Prediction:
        """Return the mean of logits, coarser ones too, over the combination, and the features to take it of."""
        parts: list[Prediction] = [features[name] for name in combination]
        return Prediction(
            logits=mean([part.logits for part in parts]),
            features=tuple(feature for part in parts for feature in part.features),
            deep=tuple(mean(level) for level in zip(*(part.deep for part in parts), strict=True)),
        )

    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return the output layer; everything else belongs to one modality."""
        return self.output.parameters()


class EarlyFusion(Backbone):
    """One network with a channel for each modality; the channel of an absent one holds zeros.

    Nothing is computed before fusion, so each combination costs a pass through the whole network.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        body: the network, for images of M channels.
    """

    def __init__(self, modalities: Combination, classes: int, dims: int, body: Body) -> None:
        super().__init__(modalities, classes, dims)
        self.body = body
        self.output = output_layer(body.channels, classes, dims)

    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Return the images as they are."""
        return dict(images)

    def fuse(self, features: Features, combination: Combination) -> Prediction:
        """Run the network on the images of the combination."""
        nothing = torch.zeros_like(features[combination[0]])
        channels = [features[name] if name in combination else nothing for name in self.modalities]
        return _predict(self.body, self.output, torch.cat(channels, 1))

    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return all parameters: every modality goes through the same network."""
        return self.parameters()


def output_layer(channels: int, classes: int, dims: int) -> nn.Module:
    """Return a convolution of one voxel from C channels to K logits, without bias (HGA)."""
    return CONVOLUTION[dims](channels, classes, 1, bias=False)


def _predict(body: Body, output: nn.Module, image: Tensor) -> Prediction:
    space = image.shape[2:]
    feature, deep = body(padded(image, body.stride))
    factors = [feature.shape[-1] // level.shape[-1] for level in deep]
    return Prediction(
        logits=cropped(output(feature), space),
        features=(cropped(feature, space),),
        deep=tuple(
            cropped(level, [-(-edge // factor) for edge in space]) for level, factor in zip(deep, factors, strict=True)
        ),
    )
