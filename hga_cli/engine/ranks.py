"""Several processes that train one network: who is who, and what they tell each other.

Each rank computes its cases of a batch; gradients are averaged after the balancer, so that any balancer works, and all
ranks take the same step. Ranks may have other combinations, or no case at all. Only rank 0 writes.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

from hga_cli.core.errors import SetupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The place of a process among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """Replace each gradient by the mean over ranks, weighted with their ``share`` of the batch.

        A parameter that no rank has a gradient for keeps None: it was not in use, and must not move.
        """
        if self.count == 1:
            return
        every = list(parameters)
        used = torch.tensor([parameter.grad is not None for parameter in every], dtype=torch.uint8)
        used = used.to(every[0].device)
        distributed.all_reduce(used, distributed.ReduceOp.MAX)
        chosen = [parameter for parameter, flag in zip(every, used.tolist(), strict=True) if flag]
        parts = [
            parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad for parameter in chosen
        ]
        flat = torch.cat([part.reshape(-1).float() for part in parts]) * share
        distributed.all_reduce(flat)
        sizes = [parameter.numel() for parameter in chosen]
        for parameter, part in zip(chosen, torch.split(flat, sizes), strict=True):
            parameter.grad = part.view(parameter.shape).to(parameter.dtype)

    def sum(self, *numbers: float, device: torch.device) -> tuple[float, ...]:
        """Return the sums of numbers over all ranks."""
        if self.count == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        distributed.all_reduce(values)
        return tuple(values.tolist())

    def gather(self, item: Any) -> list[Any]:
        """Return the items of all ranks, in their order, to all of them."""
        if self.count == 1:
            return [item]
        items: list[Any] = [None] * self.count
        distributed.all_gather_object(items, item)
        return items

    def from_first(self, item: Any) -> Any:
        """Return the item of rank 0 to all ranks; others wait for it."""
        if self.count == 1:
            return item
        items = [item]
        distributed.broadcast_object_list(items)
        return items[0]


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that ``torchrun`` started, or be the only one, and take leave of them at the end.

    Raises:
        SetupError: this torch cannot do that.
    """
    if not is_rank():
        yield Ranks()
        return
    if not distributed.is_available():
        message = "this build of torch has no torch.distributed"
        raise SetupError(message, hint="train on one device")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(rank=distributed.get_rank(), count=distributed.get_world_size())
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def is_rank() -> bool:
    """Tell whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def start_ranks(count: int, arguments: Sequence[str]) -> int:
    """Start this program ``count`` times on this machine, as ``torchrun`` does, and return its exit code."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, rdzv_backend="c10d", rdzv_endpoint="localhost:0"
    )
    try:
        elastic_launch(config, sys.executable)("-m", "hga_cli", *arguments)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return int(failure.exitcode)
    return 0
