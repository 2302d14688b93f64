"""What balancers share that merge gradients: one backward pass for each task."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import Balancer, Step

Gradients = list[Tensor | None]


class PerTask(Balancer):
    """The shared parameters get one direction that is made of the gradients of the tasks.

    The gradients of all parts of a batch are added up, task by task, before they are merged once. A task whose gradient
    is zero everywhere has no say, like an absent one; one task alone gives its own gradient.
    """

    apart: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter]) -> None:
        super().__init__(tasks, shared, own)
        self._rows: dict[str, Gradients] = {}

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return what the gradients of several tasks are merged to; the sum, unless a balancer has something better.

        Args:
            matrix: (T, n) gradients of T >= 2 tasks on the n shared elements that any of them reaches; none is zero.
            tasks: their names, in the order of the rows.

        Returns:
            (n,).
        """
        del tasks
        return matrix.sum(0)

    def begin(self, step: Step) -> None:
        """Start a step."""
        super().begin(step)
        self._rows = {}

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Keep the gradients on shared parameters, task by task; add those on others."""
        present = self.ordered(losses)
        count = len(self.shared)
        for place, (task, loss) in enumerate(present.items(), start=1):
            scaled = loss * self.factor(share)
            found = torch.autograd.grad(
                scaled, [*self.shared, *self.own], retain_graph=place < len(present), allow_unused=True
            )
            self._rows[task] = added(self._rows.get(task, [None] * count), found[:count])
            self.add_own(task, found[count:])

    def add_own(self, task: str, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradients of a task on parameters that are not shared."""
        del task
        for parameter, gradient in zip(self.own, gradients, strict=True):
            parameter.grad = _sum(parameter.grad, gradient)

    def merge(self) -> None:
        """Write what the gradients of the tasks are merged to, to the shared parameters that any task reaches."""
        reached = [parts for parts in zip(self.shared, *self._rows.values(), strict=True) if _any(parts[1:])]
        if not reached:
            return
        parameters, *rows = zip(*reached, strict=True)
        matrix = torch.stack([_flat(row, parameters) for row in rows])
        merged = self._merged(matrix / self.now.scale, tuple(self._rows)) * self.now.scale
        for parameter, part in zip(parameters, torch.split(merged, [one.numel() for one in parameters]), strict=True):
            parameter.grad = _sum(parameter.grad, part.view_as(parameter))
        self._rows = {}

    def _merged(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return the direction; where there is nothing to merge or something is not finite, the sum."""
        speaking = [place for place, row in enumerate(matrix) if bool(row.any())]
        if len(speaking) < 2 or not bool(matrix.isfinite().all()):
            return matrix.sum(0)
        torch.manual_seed(self.now.seed)
        return self.direction(matrix[speaking], [tasks[place] for place in speaking])


def products(matrix: Tensor) -> Tensor:
    """Return the products (T, T) of the rows of a matrix (T, n), float64 on the CPU."""
    return (matrix @ matrix.T).double().cpu()


def added(old: Sequence[Tensor | None], new: Sequence[Tensor | None]) -> Gradients:
    """Return the sums of gradients, where None is nothing."""
    return [_sum(one, other) for one, other in zip(old, new, strict=True)]


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return new if old is None else old
    return old + new


def _any(parts: Sequence[Tensor | None]) -> bool:
    return any(part is not None for part in parts)


def _flat(row: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """Return the gradients of one task in a line, with zeros where it does not reach."""
    parts = zip(row, parameters, strict=True)
    return torch.cat([(torch.zeros_like(one) if part is None else part).flatten() for part, one in parts])
