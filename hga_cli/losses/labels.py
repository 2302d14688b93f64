"""Class indices, and what the losses need of them."""

from collections.abc import Callable

import torch
from torch import Tensor


def one_hot(label: Tensor, classes: int, *, dtype: torch.dtype) -> Tensor:
    """Return y[b, c, v] = 1 where voxel v of sample b has class c, else 0: (B, K, V) from (B, *space).

    A voxel whose value is none of the classes 0 .. K - 1 gets zeros only.
    """
    indices = torch.arange(classes, device=label.device).view(1, classes, 1)
    return (label.flatten(1).unsqueeze(1) == indices).to(dtype)


def class_weights(label: "Tensor | Truth", classes: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weight classes by their rarity in the patch: w[b,c] = 1 - n[b,c] / V.

    n[b,c] is the number of voxels of class c in sample b, V that of all its voxels. An absent class weighs 1, the only
    class of a patch weighs 0. Source: published code of PASSION and HGA.

    Args:
        label: class indices, (B, *space) int64, or what was made of them.
        classes: K.
        dtype: type of the weights.

    Returns:
        w, (B, K).
    """
    truth = Truth.of(label, classes)
    return 1 - truth.counts(dtype) / truth.label[0].numel()


class Truth:
    """The label of a batch with what losses make of it, each made once for all losses of a step.

    Args:
        label: class indices, (B, *space) int64.
        classes: K.
    """

    def __init__(self, label: Tensor, classes: int) -> None:
        self.label = label
        self.classes = classes
        self._made: dict[tuple[str, torch.dtype], Tensor] = {}

    @classmethod
    def of(cls, label: "Tensor | Truth", classes: int) -> "Truth":
        """Return what is made of a label, or what is it already."""
        return label if isinstance(label, Truth) else cls(label, classes)

    def one_hot(self, dtype: torch.dtype) -> Tensor:
        """Return the label as `one_hot`, (B, K, V)."""
        return self._kept("one_hot", dtype, lambda: one_hot(self.label, self.classes, dtype=dtype))

    def counts(self, dtype: torch.dtype) -> Tensor:
        """Return how many voxels each class has, (B, K)."""
        return self._kept("counts", dtype, lambda: self.one_hot(dtype).sum(2))

    def weights(self, dtype: torch.dtype) -> Tensor:
        """Return for each voxel the `class_weights` of its own class, (B, V)."""
        return self._kept("weights", dtype, lambda: self._weights(dtype))

    def _weights(self, dtype: torch.dtype) -> Tensor:
        return class_weights(self, self.classes, dtype=dtype).gather(1, self.label.flatten(1))

    def _kept(self, name: str, dtype: torch.dtype, make: Callable[[], Tensor]) -> Tensor:
        if (name, dtype) not in self._made:
            self._made[name, dtype] = make()
        return self._made[name, dtype]


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
