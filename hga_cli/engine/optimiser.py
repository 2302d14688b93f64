"""How the weights move: optimiser, learning rate, clipping."""

from collections.abc import Iterable

import torch
from torch import nn

from hga_cli.core.settings import Optim


def build_optimiser(parameters: Iterable[nn.Parameter], settings: Optim) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name.

    AdamW with amsgrad is that of PASSION and HGA; Adam with coupled weight decay that of their multi-task baselines;
    SGD is with Nesterov's momentum, as in nnU-Net.

    None is fused: on a CPU torch's fused Adam takes a moment or gradient of another layout in memory for one of the
    same, and computes something else without a word.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=settings.momentum, nesterov=True)
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, amsgrad=True)


def learning_rate(settings: Optim, epoch: int) -> float:
    """Return the rate of an epoch: base (1 - e / E) ** power, the schedule of PASSION and HGA, after a warm-up.

    In the first W epochs of the warm-up it is also multiplied by (e + 1) / W, so that the first one is not lost.
    """
    share_left: float = 1 - epoch / settings.epochs
    rising = min(1.0, (epoch + 1) / settings.warm_up) if settings.warm_up else 1.0
    return float(settings.learning_rate * rising * share_left**settings.power)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    """Return the Euclidean norm of all gradients together; it is not finite if any number is not."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
