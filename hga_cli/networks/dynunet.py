"""DynUNet, the U-Net of nnU-Net, made of MONAI's blocks: one per modality, or one for all.

Source: Isensee et al., nnU-Net, Nature Methods 2021, as HGA uses it. Where we depart: convolutions before a norm have
no bias (the norm takes it away again), and there is no second output layer at full resolution beside the real one.
"""

from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetUpBlock
from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.networks.fusion import Body, EarlyFusion, LateFusion, output_layer
from hga_cli.networks.sizes import require_fitting_patch

LEVELS = 5
STRIDE = 2 ** (LEVELS - 1)
WIDEST = 320
"""Most channels of a level."""
NORM = ("INSTANCE", {"affine": True})
SLOPE = 0.01
"""Of the leaky ReLU."""


class LateDynUNet(LateFusion):
    """One DynUNet per modality; fused logits and features are means. For training, deep supervision at 1/2, 1/4, 1/8.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level; they double down to 320 (HGA: 48, 102 million parameters for M = 4).
        patch: size of training patches, if known.

    Raises:
        ConfigError: the patch does not fit.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 48,
        patch: tuple[int, ...] | None = None,
    ) -> None:
        require_fitting_patch(patch, STRIDE, "dynunet")
        bodies = [DynUNetBody(1, classes, dims=dims, width=width) for _ in modalities]
        super().__init__(modalities, classes, dims, bodies)


class EarlyDynUNet(EarlyFusion):
    """One DynUNet with a channel for each modality, zeros where one is absent; deep supervision at 1/2, 1/4, 1/8.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level; they double down to 320 (HGA: 48, 26 million parameters for M = 4).
        patch: size of training patches, if known.

    Raises:
        ConfigError: the patch does not fit.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 48,
        patch: tuple[int, ...] | None = None,
    ) -> None:
        require_fitting_patch(patch, STRIDE, "dynunet_early")
        super().__init__(modalities, classes, dims, DynUNetBody(len(modalities), classes, dims=dims, width=width))


class DynUNetBody(Body):
    """Five levels, strided convolutions down, transposed ones up; logits at 1/2, 1/4, 1/8 in training only.

    Args:
        inputs: channels of the image.
        classes: K.
        dims: 2 or 3.
        width: channels of the first level.
    """

    def __init__(self, inputs: int, classes: int, *, dims: int, width: int) -> None:
        super().__init__(width, STRIDE)
        widths = [min(width * 2**level, WIDEST) for level in range(LEVELS)]
        act = ("leakyrelu", {"inplace": True, "negative_slope": SLOPE})
        before = [inputs, *widths[:-1]]
        self.down = nn.ModuleList(
            UnetBasicBlock(dims, before[level], widths[level], 3, min(level, 1) + 1, NORM, act)
            for level in range(LEVELS)
        )
        self.up = nn.ModuleList(
            UnetUpBlock(dims, widths[level + 1], widths[level], 3, 1, 2, NORM, act)
            for level in reversed(range(LEVELS - 1))
        )
        self.deep = nn.ModuleList(output_layer(channels, classes, dims) for channels in widths[-2:0:-1])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Body.forward`."""
        skips, value = [], image
        for level in self.down:
            value = level(value)
            skips.append(value)
        maps = []
        for level, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            value = level(value, skip)
            maps.append(value)
        if not self.training:
            return value, ()
        deep = [head(coarse) for head, coarse in zip(self.deep, maps[:-1], strict=True)]
        return value, tuple(reversed(deep))


def _initialise(module: nn.Module) -> None:
    """Start convolutions as nnU-Net does: Kaiming normal for the slope of the leaky ReLU."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
