"""The two extra losses of ShaSpec: what modalities share is alike, what is specific to one tells which one it is.

Source: Wang et al., ShaSpec, CVPR 2023; pairs and weights as HGA uses it, but only over the modalities that are there.
"""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import FUSED, Outputs, Term, TermResult
from hga_cli.core.backbones import Ability
from hga_cli.core.errors import ConfigError
from hga_cli.losses.precision import full_precision
from hga_cli.networks.shaspec import Disentangled


class SharedDistance(Term):
    """Mean absolute difference of shared features, added up over neighbours in the circle of what is there.

    Four modalities have four pairs, three have three, two have one, and one has none.

    Raises:
        ConfigError: when used with another backbone than ``shaspec``.
    """

    requires = frozenset({Ability.DISENTANGLED})
    is_of_modalities: ClassVar[bool] = False
    compares_modalities: ClassVar[bool] = True

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        features = list(_disentangled(outputs, "shared").shared.values())
        others = features[1:] + features[:1] if len(features) > 2 else features[1:]
        parts = [_distance(one, other) for one, other in zip(features, others, strict=False)]
        return TermResult(losses={FUSED: sum(parts[1:], parts[0])} if parts else {})


class Recognition(Term):
    """Cross-entropy of telling a modality from its specific feature, divided by the number of modalities there.

    Raises:
        ConfigError: when used with another backbone than ``shaspec``.
    """

    requires = frozenset({Ability.DISENTANGLED})

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        recognised = _disentangled(outputs, "specific").recognised
        return TermResult(losses={name: -value.float() / len(recognised) for name, value in recognised.items()})


def _disentangled(outputs: Outputs, term: str) -> Disentangled:
    if not isinstance(outputs.fused, Disentangled):
        message = f"term '{term}' looks at shared and specific features, which this backbone does not have"
        raise ConfigError(message, hint=f"choose --backbone shaspec, or set method.terms.{term}.weight = 0")
    return outputs.fused


@full_precision
def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().flatten(1).mean(1)
