"""Number formats of the network's arithmetic."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from hga_cli.core.errors import ConfigError, SetupError

PLANES_THAT_FAIL = 2
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


def refuse_two_planes(network: nn.Module) -> None:
    """Let a network refuse what torch computes wrongly in bf16 on a CPU.

    The weight gradient of a 3 x 3 x 3 convolution over two planes reads memory that nobody has written (torch 2.13):
    numbers of any size, and no error. It happens where a patch has two voxels left along its first axis at some level.

    Raises:
        ConfigError: later, in the first step in which it would happen.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1:
            module.register_forward_pre_hook(_refuse)


def _refuse(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if module.training and inputs[0].shape[2] == PLANES_THAT_FAIL:
        message = "torch computes wrong gradients in bf16 on a CPU where a patch has two voxels left at some level"
        raise ConfigError(message, hint="--set optim.precision=fp32, or a larger first number of data.patch")
