"""A model that can be given away: one safetensors file with the weights and everything needed to use them.

It holds weights, settings of the network, modalities, labels, regions, preparation, label values, hashes, and what to
expect of it. It holds no path, no id of a case and nothing else of the patients but a few ranges.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hga_cli.core.atomic import replacing
from hga_cli.core.digest import digest
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.engine import checkpoint
from hga_cli.engine.checkpoint import with_prefix, without_prefix

FORMAT, VERSION = "hga-model", 1
READABLE = 0o644
"""Others may read a file that is there to be given away (safetensors writes for the owner alone)."""
SECTIONS = ("seed", "augmentation", "network", "method", "optim")
"""Settings that are kept whole."""
DATA = ("patch", "spacing", "batch", "foreground")
"""Settings of ``data`` that are kept: the others name splits and tables."""
DESCRIPTION = ("name", "title", "modalities", "files", "labels", "regions", "layout")
"""What is kept of the description of the data set: the rest is about ids and lists."""
NEEDED = ("config", "description", "spacing", "label_values", "training")
"""Without these nobody can use the weights."""
IDENTITY = ("config", "description", "spacing", "clip", "label_values")
"""What makes two models the same, besides their weights."""


def read_model(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights and plain values of a model file or a checkpoint of a run; nothing of the optimiser.

    Raises:
        ConfigError: absent, damaged, or not one of ours.
    """
    kind = "checkpoint" if path.suffix == ".safetensors" else "model file"
    if not path.exists():
        message = f"no {kind} '{path}'"
        raise ConfigError(message, hint="'hga train' makes a run with checkpoints, 'hga export' a model file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if name.startswith("model.")]  # noqa: SIM118
            weights = without_prefix("model", {name: file.get_tensor(name) for name in names})
    except (SafetensorError, OSError) as error:
        message = f"{kind} '{path}' is damaged: {error}"
        hint = "a run keeps the one before as previous.safetensors; a model file can be copied or exported again"
        raise ConfigError(message, hint=hint) from None
    found = (metadata.get("format"), metadata.get("version"))
    known = ((checkpoint.FORMAT, str(checkpoint.VERSION)), (FORMAT, str(VERSION)))
    if found not in known:
        message = f"'{path}' is {found[0]} version {found[1]}, expected {' or '.join(map(' '.join, known))}"
        raise ConfigError(message, hint="update hga, or train again")
    about = _plain_values(path, kind, metadata.get("about", ""))
    if found[0] == FORMAT and not _is_as_written(weights, about):
        message = f"'{path}' is damaged: its contents are not what was written"
        raise ConfigError(message, hint="copy it again, or export it again")
    return weights, about


def write_model(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a model file.

    Args:
        path: any name; ``.hga`` is usual.
        weights: of the network.
        about: from ``essence``, and what else may be told to everyone; hashes are added.

    Raises:
        DataError: the file cannot be written.
    """
    told = {**about, "digest": model_digest(weights, about)}
    complete = {**told, "checksum": digest(told)}
    metadata = {"format": FORMAT, "version": str(VERSION), "about": json.dumps(complete)}
    with replacing(path) as temporary:
        tensors = {name: value.contiguous() for name, value in with_prefix("model", weights).items()}
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            message = f"'{path}' cannot be written: {error}"
            raise DataError(message, hint="check that the folder exists, may be written, and has room") from None
        temporary.chmod(READABLE)


def _plain_values(path: Path, kind: str, text: str) -> dict[str, Any]:
    try:
        about: dict[str, Any] | None = json.loads(text)
    except ValueError:
        about = None
    absent = [key for key in NEEDED if key not in about] if isinstance(about, dict) else NEEDED
    if about is None or absent:
        message = f"{kind} '{path}' is damaged: it does not tell its {', '.join(absent)}"
        raise ConfigError(message, hint="copy it again, or make it again")
    return about


def _is_as_written(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> bool:
    """Tell whether neither weights nor plain values have changed; older files have no checksum of the latter."""
    told = {key: value for key, value in about.items() if key != "checksum"}
    return about.get("digest") == model_digest(weights, about) and about.get("checksum", digest(told)) == digest(told)


def essence(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be given away of the plain values of a checkpoint: no paths, no ids, no names of lists."""
    config, description = about["config"], about["description"]
    return {
        "config": {
            **{key: config[key] for key in SECTIONS if key in config},
            "data": {key: config["data"][key] for key in DATA if key in config["data"]},
        },
        "description": {key: description[key] for key in DESCRIPTION if key in description},
        **{key: about[key] for key in ("spacing", "clip", "label_values", "sources", "seen") if key in about},
        "training": {"step": about["training"]["step"]},
    }


def model_digest(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Return the hash of a model: the same for a checkpoint and for the file that was exported from it."""
    kept = essence(about)
    text = json.dumps({key: kept.get(key) for key in IDENTITY}, sort_keys=True)
    total = hashlib.blake2b(text.encode(), digest_size=16)
    for name, value in sorted(weights.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
