"""One number for each task that a balancer learns by gradient descent, beside the network."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Learned:
    """Numbers that Adam moves, one for each task; those of absent tasks rest, and so do their moments.

    Args:
        tasks: names.
        start: their first value.
    """

    def __init__(self, tasks: Sequence[str], start: float) -> None:
        self._place = {task: place for place, task in enumerate(tasks)}
        self._values = torch.full((len(tasks),), start, dtype=torch.float64)
        self._moments = torch.zeros(3, len(tasks), dtype=torch.float64)  # of orders 1 and 2, and how many steps

    def __getitem__(self, task: str) -> float:
        return float(self._values[self._place[task]])

    def set(self, values: Mapping[str, float]) -> None:
        """Replace values by others."""
        for task, value in values.items():
            self._values[self._place[task]] = value

    def descend(self, gradients: Mapping[str, float], rate: float) -> None:
        """Do one step of Adam for the tasks that have a gradient."""
        places = [self._place[task] for task in gradients]
        gradient = torch.tensor(list(gradients.values()), dtype=torch.float64)
        first, second, steps = self._moments[:, places]
        first = BETAS[0] * first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * second + (1 - BETAS[1]) * gradient**2
        steps = steps + 1
        self._moments[:, places] = torch.stack([first, second, steps])
        size = (second / (1 - BETAS[1] ** steps)).sqrt() + EPSILON
        self._values[places] -= rate * (first / (1 - BETAS[0] ** steps)) / size

    def state(self) -> dict[str, Tensor]:
        """Return values and moments."""
        return {"values": self._values.clone(), "moments": self._moments.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._values, self._moments = state["values"].clone(), state["moments"].clone()
