"""ShaSpec: what modalities share and what is specific to each, encoded apart and put together again.

Source: Wang et al., Multi-modal Learning with Missing Modality via Shared-Specific Feature Modelling, CVPR 2023, as
HGA uses it. Where we depart from HGA's code: every encoder gets the image of its own modality; an empty slot holds the
mean shared feature of what is there (as in the paper; there: of the first one), and zeros in its skips; one modality
alone follows the same rule (there: its composed feature fills all slots); the norm of the pooled branch is a group norm
(torch refuses an instance norm of one voxel); the kernels of the composition start like all others (their size means
nothing).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Backbone, Features, Prediction, mean
from hga_cli.networks.fusion import output_layer
from hga_cli.networks.sizes import cropped, padded, require_fitting_patch
from hga_cli.networks.slots import shared_parameters
from hga_cli.networks.standardised import SLOPE, Encoder, convolution, transposed, unit
from hga_cli.networks.typed import PerModality

STRIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Disentangled(Prediction):
    """A prediction that shows what its modalities share and how well they are told apart, for the terms of ShaSpec."""

    shared: dict[str, Tensor]
    """modality -> its shared feature, (B, C, *space / 16)."""
    recognised: dict[str, Tensor]
    """modality -> log-probability that its specific feature is known as its own, (B,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What the encoders say about one modality."""

    space: torch.Size
    """Size of the image before it was padded."""
    composed: Tensor
    """(B, C, *space / 16): shared and specific feature together."""
    shared: Tensor
    """(B, C, *space / 16)."""
    skips: list[Tensor]
    """Of the shared encoder, at 1, 1/2, 1/4, 1/8."""
    recognised: Tensor
    """(B,)."""


class ShaSpec(Backbone):
    """A shared encoder, one specific encoder per modality, and a decoder with a slot for each modality.

    A slot holds shared + convolution([shared; specific]) of its modality, or, where that is absent, the mean shared
    feature of the others. The convolution's kernels have unit variance and no norm follows, so it outweighs the sum's
    first part about a hundredfold, as published. No deep supervision.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level, an even number (64: 123 million parameters for M = 4).
        patch: size of training patches, if known.

    Raises:
        ConfigError: patch or width do not fit.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 64,
        patch: tuple[int, ...] | None = None,
    ) -> None:
        require_fitting_patch(patch, STRIDE, "shaspec")
        if width % 2:
            message = f"width {width} does not fit backbone 'shaspec': expected an even number"
            raise ConfigError(message, hint=f"set network.width = {width + 1}")
        super().__init__(modalities, classes, dims)
        self.shared = Encoder(width, dims)
        self.specific: PerModality[Encoder] = PerModality({name: Encoder(width, dims) for name in modalities})
        self.composition = convolution(8 * width, 4 * width, 3, dims=dims)
        self.decoder = Decoder(len(modalities), width, dims)
        self.output = output_layer(self.decoder.channels, classes, dims)
        self.classifier = nn.Linear(4 * width, len(modalities))

    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Return what shared and specific encoders say; the shared one sees the modalities as one batch."""
        names = tuple(images)
        fitting = {name: padded(image, STRIDE) for name, image in images.items()}
        shared, skips, _ = self.shared(torch.cat([fitting[name] for name in names]))
        parts = zip(*(level.chunk(len(names)) for level in (shared, *skips)), strict=True)
        return {
            name: self._encoded(name, fitting[name], list(part), images[name].shape[2:])
            for name, part in zip(names, parts, strict=True)
        }

    def fuse(self, features: Features, combination: Combination) -> Disentangled:
        """Fill the slots and decode."""
        there: dict[str, Encoded] = {name: features[name] for name in combination}
        first = there[combination[0]]
        average = mean([one.shared for one in there.values()])
        empty = [torch.zeros_like(skip) for skip in first.skips]
        slots = [there[name].composed if name in there else average for name in self.modalities]
        skips = [there[name].skips if name in there else empty for name in self.modalities]
        feature = self.decoder(torch.cat(slots, 1), [torch.cat(level, 1) for level in zip(*skips, strict=True)])
        return Disentangled(
            logits=cropped(self.output(feature), first.space),
            features=(cropped(feature, first.space),),
            deepest=mean([one.composed for one in there.values()]),
            shared={name: one.shared for name, one in there.items()},
            recognised={name: one.recognised for name, one in there.items()},
        )

    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return everything but the specific encoders."""
        return shared_parameters(self)

    def _encoded(self, name: str, image: Tensor, shared: list[Tensor], space: torch.Size) -> Encoded:
        specific, _, pooled = self.specific[name](image)
        guesses = self.classifier(pooled).log_softmax(1)
        return Encoded(
            space=space,
            composed=shared[0] + self.composition(torch.cat([shared[0], specific], 1)),
            shared=shared[0],
            skips=shared[1:],
            recognised=guesses[:, self.modalities.index(name)],
        )


class Decoder(nn.Module):
    """Four stages: twice as large, plus the skips, then a residual unit.

    Args:
        slots: M.
        width: w; the feature has w / 2 channels.
        dims: 2 or 3.
    """

    def __init__(self, slots: int, width: int, dims: int) -> None:
        super().__init__()
        inputs = [slots * 4 * width, 4 * width, 2 * width, width]
        outputs = [4 * width, 2 * width, width, width // 2]
        skips = [slots * 16 * width, slots * 8 * width, slots * 4 * width, slots * width]
        self.channels = outputs[-1]
        self.up = nn.ModuleList(transposed(*pair, dims=dims) for pair in zip(inputs, outputs, strict=True))
        self.skip = nn.ModuleList(unit(*pair, 1, dims=dims) for pair in zip(skips, outputs, strict=True))
        self.residual = nn.ModuleList(Residual(channels, dims) for channels in outputs)

    def forward(self, value: Tensor, skips: list[Tensor]) -> Tensor:
        """Map (B, M 4 w, *space / 16) and skips, fine to coarse, to (B, w / 2, *space)."""
        for up, reduce, residual, skip in zip(self.up, self.skip, self.residual, reversed(skips), strict=True):
            value = residual(up(value) + reduce(skip))
        return value


class Residual(nn.Module):
    """Two units around which the input is led; the last activation comes after the sum."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.first = unit(channels, channels, 3, dims=dims)
        self.second = unit(channels, channels, 3, dims=dims, is_active=False)

    def forward(self, value: Tensor) -> Tensor:
        """Keep the shape (B, C, *space)."""
        return functional.leaky_relu(self.second(self.first(value)) + value, SLOPE)
