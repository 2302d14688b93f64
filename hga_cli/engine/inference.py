"""A trained model at work: sliding window over a case, encode once, fuse once for each combination."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations as choose
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor

from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.config import build
from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Config
from hga_cli.data.ranges import Ranges
from hga_cli.data.raw.description import Description, parse_description
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.store.files import tuples
from hga_cli.engine.expectation import Expectation
from hga_cli.engine.memory import enough_memory, keep_memory
from hga_cli.engine.model_file import model_digest, read_model
from hga_cli.engine.network import build_network, memory_format
from hga_cli.engine.precision import autocast
from hga_cli.imaging.trail import Triple
from hga_cli.networks.backbone import Backbone

Blending = Literal["constant", "gaussian"]
ROOM = 2**31
"""Bytes for the probabilities of the combinations that are computed together (one at least): enough for four modalities
and classes in the uncut images of BraTS, if no edge of a window is longer than that of the image."""


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
    name: str = ""
    """The run it comes from."""
    digest: str = ""
    """Hash of weights and settings; the same for a checkpoint and the file exported from it."""
    seen: Ranges | None = None
    """How its training cases look; None: unknown (older models)."""
    expected: Expectation | None = None
    """What it reached on cases it was not trained on; None: never measured."""

    @property
    def spacing(self) -> Triple | None:
        """Voxel size in mm the network works at; None: that of each case."""
        return self.preparation.spacing

    @property
    def modalities(self) -> Combination:
        """What the model can use, in its order."""
        return self.description.modalities


def load_model(path: Path, device: torch.device) -> TrainedModel:
    """Read a checkpoint of a run, or a file of ``hga export``, for use. No store is needed.

    Raises:
        ConfigError: absent, damaged, not one of ours, or the weights do not fit the settings.
    """
    if device.type == "cpu":
        keep_memory()
    weights, about = read_model(path)
    config = build(about["config"])
    description = parse_description(about["description"], str(path))
    network = build_network(config, description.modalities, description.classes)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        message = f"the weights in '{path}' do not fit its settings: {str(error).splitlines()[-1].strip()}"
        raise ConfigError(message, hint="it was made by another hga, or is damaged; make it again") from None
    expected = about.get("expected")
    return TrainedModel(
        network=network.to(device).to(memory_format=memory_format(config)).eval(),  # type: ignore[call-overload]
        config=config,
        description=description,
        preparation=Preparation(spacing=tuples(about["spacing"]), clip=tuples(about.get("clip"))),
        label_values=about["label_values"],
        device=device,
        step=about["training"]["step"],
        name=about.get("name", path.stem),
        digest=model_digest(weights, about),
        seen=Ranges.from_tree(about["seen"]) if "seen" in about else None,
        expected=Expectation(**expected)
        if expected
        else Expectation.from_contest(about["training"].get("contest", {})),
    )


def predict_combinations(
    model: TrainedModel,
    images: Mapping[str, NDArray[np.float32]],
    backgrounds: Mapping[str, float],
    combinations: Sequence[Combination],
    *,
    overlap: float,
    blending: Blending = "constant",
    flips: bool = False,
) -> dict[Combination, NDArray[np.float32]]:
    """Return class probabilities (K, D, H, W) for each combination, all of them at once; see ``each_combination``."""
    return dict(
        each_combination(model, images, backgrounds, combinations, overlap=overlap, blending=blending, flips=flips)
    )


def each_combination(
    model: TrainedModel,
    images: Mapping[str, NDArray[np.float32]],
    backgrounds: Mapping[str, float],
    combinations: Sequence[Combination],
    *,
    overlap: float,
    blending: Blending = "constant",
    flips: bool = False,
) -> Iterator[tuple[Combination, NDArray[np.float32]]]:
    """Yield class probabilities (K, D, H, W) for one combination after the other.

    Windows have the size of training patches; where they overlap, probabilities are averaged with equal weight (HGA).
    Volumes smaller than a window are padded with the background of each modality. A 2D network sees slice by slice.
    Combinations are computed together, from features encoded once, as many as fit into ``ROOM``.

    Args:
        model: what predicts.
        images: modality -> z-scores (D, H, W) on the grid of the network; only what is there.
        backgrounds: modality -> z-score of empty voxels.
        combinations: each a subset of the modalities given.
        overlap: of neighbouring windows, a share of their size.
        blending: equal weight in a window, or less towards its border (Gaussian of MONAI).
        flips: average over all mirrored versions of a window.

    Raises:
        ConfigError: the memory of the GPU does not suffice.
    """
    names = [name for name in model.modalities if name in images]
    window = (*model.config.data.patch, 1)[:3]
    shape = images[names[0]].shape
    room = [max(0, edge - size) for edge, size in zip(window, shape, strict=True)]
    padding = [(number - number // 2, number // 2) for number in room]
    padded = [np.pad(images[name], padding, constant_values=backgrounds[name]) for name in names]
    stacked = torch.from_numpy(np.stack(padded))[None]
    inside = (slice(None), *(slice(start, start + size) for (start, _), size in zip(padding, shape, strict=True)))
    for chosen in groups(combinations, classes=model.description.classes, voxels=stacked[0, 0].numel()):
        stitched = _stitched(model, stacked, names, chosen, window, overlap=overlap, blending=blending, flips=flips)
        for place, combination in enumerate(chosen):
            yield combination, stitched[place].numpy()[inside].copy()  # a view would keep all of them alive
        del stitched


def groups(combinations: Sequence[Combination], *, classes: int, voxels: int) -> list[Sequence[Combination]]:
    """Divide combinations into as few groups as fit into ``ROOM``, as equal as can be."""
    together = max(1, ROOM // (4 * classes * voxels))
    count = -(-len(combinations) // together)
    cuts = [len(combinations) * place // count for place in range(count + 1)]
    return [combinations[start:stop] for start, stop in pairwise(cuts)]


def require_numbers(probabilities: NDArray[np.float32], combination: Combination, case: str) -> None:
    """Make sure that the network said something, before the most probable class is taken.

    Raises:
        ConfigError: NaN or infinite somewhere.
    """
    if not np.isfinite(probabilities).all():
        message = f"the network gives no numbers for {combination_name(combination)} of case '{case}'"
        raise ConfigError(message, hint="its weights have grown beyond all bounds; try a lower optim.learning_rate")


@torch.inference_mode()
def _stitched(
    model: TrainedModel,
    stacked: Tensor,
    names: Sequence[str],
    combinations: Sequence[Combination],
    window: tuple[int, ...],
    *,
    overlap: float,
    blending: Blending,
    flips: bool,
) -> Tensor:
    """Return probabilities (N, K, D, H, W) of N combinations on the CPU; ``stacked`` is (1, M, D, H, W)."""

    def fuse_all(patch: Tensor) -> Tensor:
        images = {name: patch[:, place, None] for place, name in enumerate(names)}
        return _mirrored(model, images, combinations, flips=flips).flatten(1, 2)

    with enough_memory("a window of the network", "choose --device cpu"):
        stitched: Any = sliding_window_inference(
            stacked,
            window,
            1,
            fuse_all,
            overlap=overlap,
            mode=blending,
            sw_device=model.device,
            device=torch.device("cpu"),
        )
    found: Tensor = stitched[0].unflatten(0, (len(combinations), -1))
    return found


def _mirrored(
    model: TrainedModel, images: dict[str, Tensor], combinations: Sequence[Combination], *, flips: bool
) -> Tensor:
    """Return `_window`, with ``flips`` averaged over the mirrored versions of the window, turned back."""
    if not flips:
        return _window(model, images, combinations)
    axes = range(model.network.dims)
    turns = [turn for count in range(len(axes) + 1) for turn in choose(axes, count)]
    total = torch.zeros(())
    for turn in turns:
        mirrored = {name: image.flip([2 + axis for axis in turn]) for name, image in images.items()}
        total = total + _window(model, mirrored, combinations).flip([3 + axis for axis in turn])
    return total / len(turns)


def _window(model: TrainedModel, images: dict[str, Tensor], combinations: Sequence[Combination]) -> Tensor:
    """Return the probabilities (1, N, K, *space) of a window for N combinations."""
    flat = model.network.dims == 2
    if flat:
        images = {name: image.squeeze(-1) for name, image in images.items()}
    precision = model.config.optim.precision
    if precision == "fp16" and model.device.type != "cuda":
        precision = "fp32"
    image = next(iter(images.values()))
    found = image.new_empty((1, len(combinations), model.network.classes, *image.shape[2:]))
    with autocast(model.device, precision):
        features = model.network.encode(images)
        for place, combination in enumerate(combinations):
            found[:, place] = model.network.fuse(features, combination).logits.float().softmax(1)
    return found.unsqueeze(-1) if flat else found
