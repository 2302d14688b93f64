"""Running out of the memory of a GPU is an error with advice, not a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hga_cli.core.errors import ConfigError


@contextmanager
def enough_memory(what: str, hint: str) -> Iterator[None]:
    """Turn a lack of GPU memory into an error.

    Args:
        what: what was being done.
        hint: which settings make it smaller.

    Raises:
        ConfigError: the memory does not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = f"the memory of the GPU does not suffice for {what}: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint=hint) from None
