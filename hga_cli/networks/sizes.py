"""Sizes that networks with strides can take: which patches are refused, and how any other image is made to fit.

Each axis has to be a multiple of the stride, and more than one voxel has to be left at the deepest level: an instance
norm over a single voxel gives nothing but its bias.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from hga_cli.core.errors import ConfigError


def fitting_size(space: Sequence[int], stride: int) -> tuple[int, ...]:
    """Return the smallest size that holds ``space`` and fits a network of this stride (voxels per axis)."""
    edges = tuple(-(-edge // stride) * stride for edge in space)
    return tuple(2 * edge for edge in edges) if max(edges) == stride else edges


def require_fitting_patch(patch: Sequence[int] | None, stride: int, backbone: str) -> None:
    """Check the size of training patches; None: nothing is known of them.

    Raises:
        ConfigError: it does not fit; the hint names the next size that does.
    """
    if patch is None or fitting_size(patch, stride) == tuple(patch):
        return
    rule = f"each edge should be a multiple of {stride}, and one at least {2 * stride}"
    message = f"a patch of {'x'.join(map(str, patch))} does not fit backbone '{backbone}': {rule}"
    raise ConfigError(message, hint=f"set data.patch = {list(fitting_size(patch, stride))}")


def padded(image: Tensor, stride: int) -> Tensor:
    """Pad (B, C, *space) with zeros at the end of each axis to the next size that fits."""
    space = image.shape[2:]
    room = [new - old for old, new in zip(space, fitting_size(space, stride), strict=True)]
    return functional.pad(image, [number for edge in reversed(room) for number in (0, edge)]) if any(room) else image


def cropped(value: Tensor, space: Sequence[int]) -> Tensor:
    """Return the first ``space`` voxels of (B, C, *padded space): the inverse of `padded`."""
    for axis, edge in enumerate(space, start=2):
        value = value.narrow(axis, 0, edge)
    return value
