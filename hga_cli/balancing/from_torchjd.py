"""Gradients merged by the classes of torchjd, which is loaded when one of them is used."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import in_range, one_of
from hga_cli.balancing.per_task import PerTask, products


class FromTorchjd(PerTask):
    """A class of ``torchjd.aggregation`` that maps (T, n) to (n,) and has no state."""

    name: ClassVar[str]
    """Of the class."""

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], **options: Any
    ) -> None:
        super().__init__(tasks, shared, own)
        self._theirs: Any = getattr(import_module("torchjd.aggregation"), self.name)(**options)

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return what torchjd makes of the matrix."""
        del tasks
        merged: Tensor = self._theirs(matrix)
        return merged


class PCGrad(FromTorchjd):
    """Each gradient is projected off those it conflicts with, in random order; the result is the sum.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, Algorithm 1.
    """

    name: ClassVar[str] = "PCGrad"


class GradDrop(FromTorchjd):
    """Each element takes the positive or the negative parts of the gradients, drawn by how pure its sign is.

    Source: Chen et al., Just Pick a Sign, NeurIPS 2020, lines 10 to 15 of Algorithm 1.
    """

    name: ClassVar[str] = "GradDrop"


class ImpartialGradients(FromTorchjd):
    """The combination, with weights of sum 1, that has the same projection on the direction of each gradient.

    Source: Liu et al., Towards Impartial Multi-task Learning (IMTL-G), ICLR 2021.
    """

    name: ClassVar[str] = "IMTLG"


class AlignedMTL(FromTorchjd):
    """The principal components of the gradients are made equally long; the result is the mean.

    Source: Senushkin et al., Independent Component Alignment, CVPR 2023.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        scale: how long: as the shortest component (``min``), the ``median`` one, or the mean (``rmse``).

    Raises:
        ConfigError: no such scale.
    """

    name: ClassVar[str] = "AlignedMTL"

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], *, scale: str = "min"
    ) -> None:
        mode = one_of("aligned_mtl", "scale", scale, ("min", "median", "rmse"))
        super().__init__(tasks, shared, own, scale_mode=mode)


class GradVac(FromTorchjd):
    """Gradients are turned towards each other until their cosines reach what is usual for the pair; the sum of them.

    What is usual is a running mean for each pair of tasks, kept while a pair is not in a step (torchjd keeps it by
    place, and would give it to other tasks). Source: Wang et al., Gradient Vaccine, ICLR 2021.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        beta: share of the newest cosine in the running mean.

    Raises:
        ConfigError: an option out of range.
    """

    name: ClassVar[str] = "GradVacWeighting"

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], *, beta: float = 0.5
    ) -> None:
        super().__init__(tasks, shared, own, beta=in_range("gradvac", "beta", beta, below=1))
        self._usual = torch.zeros(len(self.tasks), len(self.tasks), dtype=torch.float64)

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return what torchjd makes of it, with the running means of just these tasks."""
        places = torch.tensor([self.tasks.index(task) for task in tasks])
        self._theirs._phi_t = self._usual[places][:, places]
        self._theirs._state_key = (len(tasks), torch.float64)
        weights: Tensor = self._theirs(products(matrix))
        self._usual[places[:, None], places] = self._theirs._phi_t
        return weights.to(matrix) @ matrix

    def state(self) -> dict[str, Tensor]:
        """Return the running means."""
        return {"usual": self._usual.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._usual = state["usual"].clone()
