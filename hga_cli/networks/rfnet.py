"""RFNet: region-aware fusion.

Source: Ding et al., RFNet, ICCV 2021, as HGA uses it. A modality that is absent is left out of every sum (in the
published code it is zero in them, which gives the same numbers), so its weights are not touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Prediction
from hga_cli.networks.convolutions import convolution
from hga_cli.networks.levels import steps
from hga_cli.networks.regions import RegionFinder, RegionFusion
from hga_cli.networks.separable import SeparableBackbone
from hga_cli.networks.typed import Modules


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What fusion needs of one level of one modality."""

    level: Tensor
    """(B, C, *space)."""
    finding: Tensor
    """What it adds where regions are found."""
    short_cut: Tensor
    """What it adds to the short cut."""


class RFNet(SeparableBackbone):
    """Encoders of L levels with norms after convolutions; regions at every level, which give the deep supervision.

    The finest level of the deep supervision has full resolution. No gradient reaches the regions from the fusion.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level, a multiple of 4 (HGA: 8; published: 16).
        patch: size of training patches, if known.
        levels: L.

    Raises:
        ConfigError: the width is no multiple of 4, or the patch does not fit the levels.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 8,
        patch: tuple[int, ...] | None = None,
        levels: int = 4,
    ) -> None:
        if width % 4:
            message = f"width {width} does not fit backbone 'rfnet': it should be a multiple of 4"
            raise ConfigError(message, hint=f"set network.width = {width + -width % 4}")
        super().__init__(
            "rfnet", modalities, classes, dims=dims, width=width, levels=levels, order="after", patch=patch
        )
        widths = [width * 2**level for level in range(levels)]
        self.finders: Modules[RegionFinder] = Modules(
            RegionFinder(channels, classes, modalities, dims=dims, is_deepest=channels == widths[-1])
            for channels in widths
        )
        self.fusions: Modules[RegionFusion] = Modules(
            RegionFusion(channels, classes, modalities, dims=dims) for channels in widths
        )
        self.steps = steps(width, levels, "after", dims=dims)
        self.head = convolution(width, classes, 1, dims=dims)

    def prepare(self, name: str, levels: Sequence[Tensor]) -> tuple[Part, ...]:
        """Compute what a modality adds to the fusion of each level, fine to coarse."""
        return tuple(
            Part(level=level, finding=finder.merge.part(name, level), short_cut=fusion.short_cut.part(name, level))
            for finder, fusion, level in zip(self.finders, self.fusions, levels, strict=True)
        )

    def decode(self, groups: Sequence[Mapping[str, tuple[Part, ...]]]) -> Prediction:
        """Find and fuse regions, level by level."""
        logits, value = self._fused(groups, -1, None)
        deep = [logits]
        for place, step in enumerate(self.steps, start=2):
            raised = step.raised(value)
            logits, skip = self._fused(groups, -place, raised)
            value = step.join(skip, raised)
            deep.insert(0, logits)
        return Prediction(logits=self.head(value), features=(value,), deep=tuple(deep))

    def _fused(
        self, groups: Sequence[Mapping[str, tuple[Part, ...]]], place: int, raised: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of the regions of a level, and the fused level."""
        parts = [{name: part[place] for name, part in group.items()} for group in groups]
        logits = self.finders[place]([[part.finding for part in group.values()] for group in parts], raised)
        levels = [{name: part.level for name, part in group.items()} for group in parts]
        short_cuts = [[part.short_cut for part in group.values()] for group in parts]
        return logits, self.fusions[place](levels, short_cuts, logits.detach().float().softmax(1))
