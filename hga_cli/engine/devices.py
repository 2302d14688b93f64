"""Which device computes. An explicit device that is not there is an error, never a fall-back."""

import os

import torch

from hga_cli.core.errors import SetupError, UsageError

TYPES = ("cpu", "cuda", "mps")


def choose_device(device: str | None, gpu: str | None) -> torch.device:
    """Return the device asked for.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto``: a GPU if there is one. None (and no ``gpu``) means
            what the environment variable ``HGA_DEVICE`` says, or ``auto``.
        gpu: index of a GPU, the short way to say ``cuda:N``.

    Raises:
        UsageError: both are given and differ, or neither can be read.
        SetupError: the device is not there.
    """
    if gpu is not None:
        if not gpu.isdigit():
            message = f"--gpu '{gpu}' is not the number of one GPU"
            raise UsageError(message, hint="for example --gpu 0; training on several GPUs is not there yet")
        if device not in (None, "auto", f"cuda:{gpu}"):
            message = f"--gpu {gpu} and --device {device} contradict each other"
            raise UsageError(message, hint="give one of them")
        device = f"cuda:{gpu}"
    if device is None:
        device = os.environ.get("HGA_DEVICE", "auto")
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in TYPES:
        message = f"no device called '{device}'"
        raise UsageError(message, hint="known: auto, cpu, cuda, cuda:0, mps")
    count = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        message = f"device '{device}' is not there: this machine shows {count} GPUs to torch"
        raise SetupError(message, hint="choose --device cpu, or check the driver with nvidia-smi")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        message = "device 'mps' is not there"
        raise SetupError(message, hint="choose --device cpu")
    return chosen
