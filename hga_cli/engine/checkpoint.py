"""Checkpoints: tensors and plain values in one safetensors file, written aside and renamed. No pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hga_cli.core.atomic import replacing
from hga_cli.core.errors import ConfigError

FORMAT = "hga-checkpoint"
VERSION = 1


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: ends in ``.safetensors``.
        tensors: dotted names to tensors of any device.
        about: plain values; numbers keep all their digits.

    Raises:
        OSError: there is no room, or it may not be written.
    """
    metadata = {"format": FORMAT, "version": str(VERSION), "about": json.dumps(about)}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata)
        except SafetensorError as error:
            message = f"'{path}' could not be written: {error}"
            raise OSError(message) from None


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint onto the CPU; return its tensors and plain values.

    Raises:
        ConfigError: absent, damaged, or not one of ours.
    """
    if not path.exists():
        message = f"no checkpoint '{path}'"
        raise ConfigError(message, hint="was this run ever trained? 'hga train --run NAME --overwrite' starts it again")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        message = f"checkpoint '{path}' is damaged: {error}"
        raise ConfigError(message, hint="the one before it is kept beside it, as previous.safetensors") from None
    if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
        message = f"'{path}' is {metadata.get('format')} version {metadata.get('version')}, expected {FORMAT} {VERSION}"
        raise ConfigError(message, hint="update hga, or train again")
    return tensors, json.loads(metadata["about"])


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under ``prefix.name``."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that are named ``prefix.name``, by ``name``."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
