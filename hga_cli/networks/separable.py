"""What mmFormer, RFNet and M2FTrans share: an encoder per modality, one separate decoder, fusion of any set."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Backbone, Features, Prediction
from hga_cli.networks.convolutions import Order
from hga_cli.networks.levels import Encoder, SeparateDecoder
from hga_cli.networks.sizes import cropped, padded, require_fitting_patch
from hga_cli.networks.slots import shared_parameters
from hga_cli.networks.typed import PerModality


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What an encoder says about one modality."""

    space: tuple[int, ...]
    """Size of the image, before it was padded to what fits."""
    levels: tuple[Tensor, ...]
    """Of the encoder, fine to coarse."""
    parts: Any
    """What fusion needs of this modality, whatever else is there."""


class SeparableBackbone(Backbone):
    """Encoders of all modalities, a separate decoder for each alone, and a fusion decoder for any set of them.

    Args:
        name: of the backbone, for messages.
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level (w).
        levels: of the encoder (L).
        order: of norm and activation.
        patch: size of training patches, if known.

    Raises:
        ConfigError: fewer than 2 levels, or the patch does not fit them.
    """

    has_separate_decoder: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        modalities: Combination,
        classes: int,
        *,
        dims: int,
        width: int,
        levels: int,
        order: Order,
        patch: tuple[int, ...] | None,
    ) -> None:
        super().__init__(modalities, classes, dims)
        if levels < 2:
            message = f"backbone '{name}' needs at least 2 levels, found {levels}"
            raise ConfigError(message, hint="set network.options.levels = 2 or more")
        self.stride = 2 ** (levels - 1)
        require_fitting_patch(patch, self.stride, name)
        self.encoders: PerModality[Encoder] = PerModality(
            {modality: Encoder(width, levels, order, dims=dims) for modality in modalities}
        )
        self.separate = SeparateDecoder(width, levels, classes, order, dims=dims)

    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Run the encoders of the modalities given, and what else of each does not depend on the others."""
        features = {}
        for name, image in images.items():
            levels = self.encoders[name](padded(image, self.stride))
            parts = self.prepare(name, levels)
            features[name] = Encoded(space=tuple(image.shape[2:]), levels=levels, parts=parts)
        return features

    def fuse(self, features: Features, combination: Combination) -> Prediction:
        """Predict from the features of these modalities."""
        return self.fuse_groups(features, [combination])[0]

    def fuse_alone(self, features: Features, combination: Combination) -> dict[str, Prediction]:
        """Predict from each modality alone: all in one pass on a GPU, one by one on a CPU, where that is faster."""
        some: Encoded = features[combination[0]]
        if some.levels[0].device.type == "cpu":
            return super().fuse_alone(features, combination)
        return dict(zip(combination, self.fuse_groups(features, [(name,) for name in combination]), strict=True))

    def fuse_groups(self, features: Features, groups: Sequence[Combination]) -> list[Prediction]:
        """Predict from groups of equal size in one pass; nothing in it looks across the batch."""
        whole = self.decode([{name: features[name].parts for name in group} for group in groups])
        space = features[groups[0][0]].space
        full = whole.logits.shape[-1]
        deep = [cropped(one, [-(-edge // (full // one.shape[-1])) for edge in space]) for one in whole.deep]
        maps = [cropped(whole.logits, space), cropped(whole.feature, space), *deep]
        predictions = zip(*(one.chunk(len(groups)) for one in maps), strict=True)
        return [Prediction(logits=one, features=(feature,), deep=tuple(rest)) for one, feature, *rest in predictions]

    def decode_alone(self, features: Features, modality: str) -> Tensor:
        """Return the logits of the separate decoder."""
        encoded: Encoded = features[modality]
        return cropped(self.separate(encoded.levels), encoded.space)

    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return the decoders and what fusion shares; encoders and slots in fusion layers belong to the modalities."""
        return shared_parameters(self)

    @abstractmethod
    def prepare(self, name: str, levels: Sequence[Tensor]) -> Any:
        """Compute what fusion needs of one modality, from the levels of its encoder."""

    @abstractmethod
    def decode(self, groups: Sequence[Mapping[str, Any]]) -> Prediction:
        """Fuse groups of equal size, each modality -> parts; their predictions follow each other on the batch axis."""
