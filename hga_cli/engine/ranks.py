"""Several processes that train one network: who is who, and what they tell each other.

Each rank computes its cases of a batch; gradients are averaged after the balancer, so that any balancer works, and all
ranks take the same step. Ranks may have other combinations, or no case at all. Only rank 0 writes.

Where one rank fails all end with its exit code, and it alone says why. A process that was killed is missed at once by
gloo, by NCCL when the launcher ends the others, and in any case after ``LONGEST_WAIT``.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

from hga_cli.core.errors import SetupError, UsageError
from hga_cli.engine.farewell import Farewell

LONGEST_WAIT = timedelta(minutes=30)
"""A rank that others hear nothing of for so long is given up: more than a validation may differ between ranks."""
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each process by its environment."""


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
        with _together():
            distributed.all_reduce(used, distributed.ReduceOp.MAX)
            flags = used.tolist()
        chosen = [parameter for parameter, flag in zip(every, flags, strict=True) if flag]
        parts = [
            parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad for parameter in chosen
        ]
        flat = torch.cat([part.reshape(-1).float() for part in parts]) * share
        with _together():
            distributed.all_reduce(flat)
        sizes = [parameter.numel() for parameter in chosen]
        for parameter, part in zip(chosen, torch.split(flat, sizes), strict=True):
            parameter.grad = part.view(parameter.shape).to(parameter.dtype)

    def sum(self, *numbers: float, device: torch.device) -> tuple[float, ...]:
        """Return the sums of numbers over all ranks."""
        if self.count == 1:
            return numbers
        values = torch.tensor(numbers, dtype=torch.float64 if device.type == "cpu" else torch.float32, device=device)
        with _together():
            distributed.all_reduce(values)
            return tuple(values.tolist())

    def gather(self, item: Any) -> list[Any]:
        """Return the items of all ranks, in their order, to all of them."""
        if self.count == 1:
            return [item]
        items: list[Any] = [None] * self.count
        with _together():
            distributed.all_gather_object(items, item)
        return items

    def from_first(self, item: Any) -> Any:
        """Return the item of rank 0 to all ranks; others wait for it."""
        if self.count == 1:
            return item
        items = [item]
        with _together():
            distributed.broadcast_object_list(items)
        return items[0]


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that ``torchrun`` started, or be the only one, and take leave of them at the end.

    Raises:
        SetupError: this torch cannot do that, or the others do not come or are lost.
        SystemExit: another rank failed and says why; the exit code is that of its error.
    """
    if not is_rank():
        yield Ranks()
        return
    if not distributed.is_available():
        message = "this build of torch has no torch.distributed"
        raise SetupError(message, hint="train on one device")
    import torch.distributed.nn  # loaded later, with the optimiser, it would keep hold of the group that is to end
    from torch.distributed.rendezvous import rendezvous

    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _together():
        store, rank, count = next(rendezvous("env://", timeout=LONGEST_WAIT))
        backend = "nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=LONGEST_WAIT)
    farewell = Farewell(store, rank=rank, count=count)
    try:
        yield Ranks(rank=rank, count=count)
        with _together():
            distributed.barrier()
    except BaseException as error:
        code = farewell.first_failure(error)
        if device.type == "cpu":
            distributed.destroy_process_group()  # the others, who wait for this one, notice it
        farewell.wait()
        if code is None:
            raise
        raise SystemExit(code) from None
    distributed.destroy_process_group()


def is_rank() -> bool:
    """Tell whether this process is one of several that train together.

    Raises:
        UsageError: the environment says so, but not all that is needed.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count == "1":
        return False
    rank, absent = os.environ.get("RANK", ""), [name for name in PLACE if not os.environ.get(name)]
    if absent:
        message = f"WORLD_SIZE is '{count}', so this process is one of several, but {', '.join(absent)} is not set"
    elif not (_is_number(count) and _is_number(rank) and int(rank) < int(count)):
        message = f"WORLD_SIZE is '{count}' and RANK is '{rank}': expected a number of processes and a smaller one"
    else:
        return True
    raise UsageError(message, hint="start several with torchrun or --gpu 0,1; for one process: unset WORLD_SIZE")


def start_ranks(count: int, arguments: Sequence[str]) -> int:
    """Start this program ``count`` times on this machine, as ``torchrun`` does.

    Returns:
        The exit code: 0, or that of the first error.

    Raises:
        SetupError: all of them were killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "hga_cli", *arguments)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in sorted(error.failures.values(), key=lambda one: one.timestamp)]
        told = [code for code in codes if code > 0]
        if not told:
            message = f"the processes of this command were ended from outside, by signal {-codes[0]}"
            raise SetupError(message, hint="perhaps for want of memory; a training goes on with --resume") from None
        return int(told[0])
    return 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _first_sentence(error: RuntimeError) -> str:
    return str(error).splitlines()[0].partition(". ")[0]


@contextmanager
def _together() -> Iterator[None]:
    """Turn what torch raises where the others cannot be reached into an error of ours."""
    try:
        yield
    except RuntimeError as error:
        message = f"another process of this command has ended, or says nothing: {_first_sentence(error)}"
        hint = "what it said stands above; if nothing, it was perhaps killed; a training goes on with --resume"
        raise SetupError(message, hint=hint) from None
