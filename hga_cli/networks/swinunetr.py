"""SwinUNETR, MONAI's: a transformer of shifted windows with a convolutional decoder; one per modality, or one for all.

Source: Hatamizadeh et al., Swin UNETR, BrainLes 2021, as HGA uses it.
"""

from monai.networks.nets.swin_unetr import SwinUNETR
from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError
from hga_cli.networks.fusion import Body, EarlyFusion, LateFusion
from hga_cli.networks.sizes import require_fitting_patch

STRIDE = 32
HEADS = 12
"""The width has to be a multiple of it, for the attention heads."""


class LateSwinUNETR(LateFusion):
    """One SwinUNETR per modality; fused logits and features are means. No deep supervision.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level, a multiple of 12 (HGA: 12, 16 million parameters for M = 4).
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
        width: int = 12,
        patch: tuple[int, ...] | None = None,
    ) -> None:
        require_fitting_patch(patch, STRIDE, "swinunetr")
        _require_fitting_width(width, "swinunetr")
        bodies = [SwinUNETRBody(1, dims=dims, width=width, is_projected=True) for _ in modalities]
        super().__init__(modalities, classes, dims, bodies)


class EarlySwinUNETR(EarlyFusion):
    """One SwinUNETR with a channel for each modality, zeros where one is absent. No deep supervision.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level, a multiple of 12 (HGA: 48, 62 million parameters for M = 4).
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
        width: int = 48,
        patch: tuple[int, ...] | None = None,
    ) -> None:
        require_fitting_patch(patch, STRIDE, "swinunetr_early")
        _require_fitting_width(width, "swinunetr_early")
        body = SwinUNETRBody(len(modalities), dims=dims, width=width, is_projected=False)
        super().__init__(modalities, classes, dims, body)


class SwinUNETRBody(Body):
    """MONAI's SwinUNETR with all its defaults.

    Args:
        inputs: channels of the image.
        dims: 2 or 3.
        width: channels of the first level and of the feature, a multiple of 12.
        is_projected: whether a convolution of one voxel ends it, so that networks of several modalities can agree on
            what the channels mean before their features are averaged.
    """

    def __init__(self, inputs: int, *, dims: int, width: int, is_projected: bool) -> None:
        super().__init__(width, STRIDE)
        self.network = SwinUNETR(inputs, width, feature_size=width, spatial_dims=dims)
        if not is_projected:
            self.network.out = nn.Identity()

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Body.forward`."""
        return self.network(image), ()


def _require_fitting_width(width: int, backbone: str) -> None:
    if width % HEADS:
        message = f"width {width} does not fit backbone '{backbone}': expected a multiple of {HEADS}"
        raise ConfigError(message, hint=f"set network.width = {-(-width // HEADS) * HEADS}")
