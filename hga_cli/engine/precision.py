"""Number formats of the network's arithmetic."""

from contextlib import AbstractContextManager

import torch

from hga_cli.core.errors import SetupError

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a context in which the network computes in ``precision``; weights and losses stay float32."""
    return torch.autocast(device.type, dtype=FORMATS[precision], enabled=precision != "fp32")


def check_precision(device: torch.device, precision: str) -> None:
    """Refuse half precision where it is of no use.

    Raises:
        SetupError: fp16 without CUDA, where it is twenty times slower than fp32.
    """
    if precision == "fp16" and device.type != "cuda":
        message = f"fp16 needs a CUDA device, this one is '{device}'"
        raise SetupError(message, hint="--set optim.precision=bf16 on a recent CPU, or fp32")
