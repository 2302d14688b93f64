"""Group self-support: the modalities of a sample teach each other, class by class and voxel by voxel."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from hga_cli.alignment.term import Need, Outputs, Term, TermResult
from hga_cli.core.errors import ConfigError
from hga_cli.losses.distillation import kl
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import CLIP


class GroupSupport(Term):
    """Divergence of each modality on its own from the target that their group agrees on (`group_target`).

    A modality alone has no group and no loss. Source: Qiu et al., Scratch Each Other's Back (GSS), ICCV 2023. HGA's
    code has flair as the only leader, takes a minimum over an axis of space too, fills the first sample only and
    applies softmax twice.

    Args:
        leader: name of the only modality that leads (HGA: flair); empty: any, the most confident one.
        certain: probability above which a leader is followed.
        agreed: probability that all others have to be above to be followed.

    Raises:
        ConfigError: a probability is none.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"separate"})
    compares_modalities: ClassVar[bool] = True

    def __init__(self, *, leader: str = "", certain: float = 0.65, agreed: float = 0.75) -> None:
        for option, value in (("certain", certain), ("agreed", agreed)):
            if not 0 <= value <= 1:
                message = f"option '{option}' of term 'group' should be a probability, found {value}"
                raise ConfigError(message, hint=f"--set method.terms.group.options.{option}=0.7")
        self._leader, self._certain, self._agreed = leader, certain, agreed
        self.names = frozenset({leader} if leader else ())

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        students = outputs.separate
        if len(students) < 2:
            return TermResult()
        leading = [place for place, name in enumerate(students) if self._leader in ("", name)]
        logits = torch.stack(list(students.values()))
        target = group_target(logits, leading, certain=self._certain, agreed=self._agreed).log()
        return TermResult(losses={name: kl(student, target, temperature=1.0) for name, student in students.items()})


@full_precision
def group_target(logits: Tensor, leading: Sequence[int], *, certain: float, agreed: float) -> Tensor:
    """Return what a group of modalities takes for true, for each class c and voxel v on its own.

    With the probabilities p_m of the modalities: the largest p_m of the leaders, where it is above ``certain``; else
    the mean of the others, where all of them are above ``agreed``; else the smallest p_m of all. Then clipped to
    [0.005, 1] and divided by the sum over classes. Where all lead, the others are all too.

    Args:
        logits: (m, B, K, *space) of m modalities; detached here.
        leading: places of those that may lead, in 0 .. m - 1; none: the second rule is the first.
        certain: see above.
        agreed: see above.

    Returns:
        Probabilities, (B, K, *space).
    """
    p = torch.softmax(logits.detach(), 2)
    others = p[[place for place in range(len(p)) if place not in leading] or list(leading)]
    target = torch.where((others > agreed).all(0), others.mean(0), p.amin(0))
    if leading:
        lead = p[list(leading)].amax(0)
        target = torch.where(lead > certain, lead, target)
    target = target.clamp(CLIP, 1.0)
    return target / target.sum(1, keepdim=True)
