"""Class indices, and what the losses need of them."""

import torch
from torch import Tensor


def one_hot(label: Tensor, classes: int, *, dtype: torch.dtype) -> Tensor:
    """Return y[b, c, v] = 1 where voxel v of sample b has class c, else 0: (B, K, V) from (B, *space).

    A voxel whose value is none of the classes 0 .. K - 1 gets zeros only.
    """
    indices = torch.arange(classes, device=label.device).view(1, classes, 1)
    return (label.flatten(1).unsqueeze(1) == indices).to(dtype)


def at_true_class(values: Tensor, label: Tensor) -> Tensor:
    """Pick from (B, K, *space) the entry of each voxel's own class: (B, V)."""
    return values.gather(1, label.unsqueeze(1)).flatten(1)


def require_fit(values: Tensor, label: Tensor) -> None:
    """Check that (B, C, *space) and (B, *space) belong together, which indexing and flattening would not notice.

    Raises:
        ValueError: if the two differ in batch or space.
    """
    if values.shape[:1] + values.shape[2:] != label.shape:
        shapes = f"{tuple(values.shape)} against {tuple(label.shape)}"
        message = f"tensor and label do not fit: {shapes}; expected (B, C, *space) against (B, *space)"
        raise ValueError(message)
