"""Full precision: losses that do not overflow under autocast."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Let a loss see its half-precision tensors as float32, and switch autocast off while it runs.

    float32, float64 and integer tensors are passed on unchanged. The gradient of an input has the type of that input.
    """

    @wraps(loss)
    def in_full_precision(*args: P.args, **kwargs: P.kwargs) -> R:
        wide_args: list[Any] = [_widen(value) for value in args]
        wide_kwargs: dict[str, Any] = {name: _widen(value) for name, value in kwargs.items()}
        device = next(v.device for v in [*wide_args, *wide_kwargs.values()] if isinstance(v, Tensor))
        with torch.autocast(device.type, enabled=False):
            return loss(*wide_args, **wide_kwargs)

    return in_full_precision


def _widen(value: object) -> object:
    narrow = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
    return value.float() if narrow and isinstance(value, Tensor) else value
