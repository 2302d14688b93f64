"""A trained model at work: sliding window over a case, encode once, fuse once for each combination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from hga_cli.core.combinations import Combination
from hga_cli.core.config import build
from hga_cli.core.settings import Config
from hga_cli.data.description import Description, parse_description
from hga_cli.data.prepare import Preparation
from hga_cli.data.store.files import tuples
from hga_cli.engine.checkpoint import load_checkpoint, without_prefix
from hga_cli.engine.memory import enough_memory
from hga_cli.engine.network import build_network
from hga_cli.engine.precision import autocast
from hga_cli.imaging.trail import Triple
from hga_cli.networks.backbone import Backbone


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A network with everything that is needed to use it."""

    network: Backbone
    config: Config
    description: Description
    preparation: Preparation
    """How its training cases were prepared, at the voxel size the network works at; a new case is prepared so too."""
    label_values: dict[str, int]
    """What is written for each label."""
    device: torch.device
    step: int
    """Steps it was trained."""

    @property
    def spacing(self) -> Triple | None:
        """Voxel size in mm the network works at; None: that of each case."""
        return self.preparation.spacing

    @property
    def modalities(self) -> Combination:
        """What the model can use, in its order."""
        return self.description.modalities


def load_model(checkpoint: Path, device: torch.device) -> TrainedModel:
    """Read a checkpoint for use.

    Raises:
        ConfigError: absent, damaged, or not one of ours.
    """
    tensors, about = load_checkpoint(checkpoint)
    config = build(about["config"])
    description = parse_description(about["description"], str(checkpoint))
    network = build_network(config, description.modalities, description.classes)
    network.load_state_dict(without_prefix("model", tensors))
    return TrainedModel(
        network=network.to(device).eval(),
        config=config,
        description=description,
        preparation=Preparation(spacing=tuples(about["spacing"]), clip=tuples(about.get("clip"))),
        label_values=about["label_values"],
        device=device,
        step=about["training"]["step"],
    )


@torch.inference_mode()
def predict_combinations(
    model: TrainedModel,
    images: Mapping[str, NDArray[np.float32]],
    backgrounds: Mapping[str, float],
    combinations: Sequence[Combination],
    *,
    overlap: float,
) -> dict[Combination, NDArray[np.float32]]:
    """Return class probabilities (K, D, H, W) for each combination.

    Windows have the size of training patches; where they overlap, probabilities are averaged with equal weight (HGA).
    Volumes smaller than a window are padded with the background of each modality. A 2D network sees slice by slice.

    Args:
        model: what predicts.
        images: modality -> z-scores (D, H, W) on the grid of the network; only what is there.
        backgrounds: modality -> z-score of empty voxels.
        combinations: each a subset of the modalities given.
        overlap: of neighbouring windows, a share of their size.
    """
    names = [name for name in model.modalities if name in images]
    window = (*model.config.data.patch, 1)[:3]
    shape = images[names[0]].shape
    room = [max(0, edge - size) for edge, size in zip(window, shape, strict=True)]
    padding = [(number - number // 2, number // 2) for number in room]
    padded = [np.pad(images[name], padding, constant_values=backgrounds[name]) for name in names]
    stacked = torch.from_numpy(np.stack(padded))[None]

    def fuse_all(patch: Tensor) -> tuple[Tensor, ...]:
        return _window(model, {name: patch[:, place, None] for place, name in enumerate(names)}, combinations)

    with enough_memory("a window of the network", "choose --device cpu"):
        stitched = sliding_window_inference(
            stacked,
            window,
            1,
            fuse_all,
            overlap=overlap,
            mode="constant",
            sw_device=model.device,
            device=torch.device("cpu"),
        )
    inside = (slice(None), *(slice(start, start + size) for (start, _), size in zip(padding, shape, strict=True)))
    parts: Any = stitched if isinstance(stitched, tuple) else (stitched,)
    return {combination: part[0].numpy()[inside] for combination, part in zip(combinations, parts, strict=True)}


def _window(model: TrainedModel, images: dict[str, Tensor], combinations: Sequence[Combination]) -> tuple[Tensor, ...]:
    flat = model.network.dims == 2
    if flat:
        images = {name: image.squeeze(-1) for name, image in images.items()}
    precision = model.config.optim.precision
    if precision == "fp16" and model.device.type != "cuda":
        precision = "fp32"
    with autocast(model.device, precision):
        features = model.network.encode(images)
        logits = [model.network.fuse(features, combination).logits for combination in combinations]
    probabilities = [one.float().softmax(1) for one in logits]
    return tuple(one.unsqueeze(-1) if flat else one for one in probabilities)
