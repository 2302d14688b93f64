"""Which device computes. An explicit device that is not there is an error, never a fall-back."""

import os

import torch

from hga_cli.core.errors import SetupError, UsageError

TYPES = ("cpu", "cuda", "mps")


def choose_device(device: str | None, gpu: str | None, *, before: str | None = None) -> torch.device:
    """Return the device asked for.

    Among several ranks each gets a GPU of its own: the one of its place in ``gpu``, or ``cuda`` with its number.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``: a GPU if there is one. None (and no ``gpu``) means
            what the environment variable ``HGA_DEVICE`` says, or else ``before``, or else ``auto``.
        gpu: index of a GPU, the short way to say ``cuda:N``; or several, 0,1, one for each rank.
        before: device of the run that continues; only its kind counts where a launcher gives each rank its own.

    Raises:
        UsageError: both are given and differ, or neither can be read.
        SetupError: the device is not there.
    """
    if gpu is not None:
        numbers = gpu_numbers(gpu)
        number = numbers[local_rank() % len(numbers)]
        if device not in (None, "auto", f"cuda:{number}"):
            message = f"--gpu {gpu} and --device {device} contradict each other"
            raise UsageError(message, hint="give one of them")
        device = f"cuda:{number}"
    asked = device or os.environ.get("HGA_DEVICE")
    if device is None:
        device = asked or _of_this_rank(before) or "auto"
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{local_rank()}"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in TYPES:
        message = f"no device called '{device}'"
        raise UsageError(message, hint="known: auto, cpu, cuda, cuda:0, mps")
    _require_there(chosen, f"'{device}'" if asked or not before else f"'{device}', on which the run was trained,")
    return chosen


def _of_this_rank(before: str | None) -> str | None:
    return before.partition(":")[0] if before and "LOCAL_RANK" in os.environ else before


def _require_there(chosen: torch.device, name: str) -> None:
    count = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        message = f"device {name} is not there: this machine shows {count} GPUs to torch"
        raise SetupError(message, hint="choose --device cpu, or check the driver with nvidia-smi")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        message = f"device {name} is not there"
        raise SetupError(message, hint="choose --device cpu")


def gpu_numbers(text: str) -> list[int]:
    """Read ``0`` or ``0,1``.

    Raises:
        UsageError: these are no different numbers.
    """
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() for part in parts) or len(set(parts)) != len(parts):
        message = f"--gpu '{text}' is not the number of a GPU, or several different ones"
        raise UsageError(message, hint="for example --gpu 0, or --gpu 0,1 to train on two")
    return [int(part) for part in parts]


def local_rank() -> int:
    """Return the place of this process among those of its machine (``torchrun`` says it), 0 if it is alone."""
    return int(os.environ.get("LOCAL_RANK", "0"))
