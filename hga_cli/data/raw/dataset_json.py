"""What ``dataset.json`` says of a data set: nnU-Net (versions 1 and 2) and the Medical Segmentation Decathlon.

Channels become modalities, with their keys as endings (``"0"``: ``0000``); values become labels; a label of several
values (nnU-Net calls it a region) becomes a region. Names are turned into ours: ``whole tumour`` is ``whole-tumour``.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hga_cli.core.errors import ConfigError, DataError

FILE = "dataset.json"
IGNORE = "ignore"
"""What nnU-Net calls the label of voxels that nobody labelled."""
KEY = re.compile(r"[0-9]{1,4}")
"""What a channel can be called by: files end in it, with four digits."""


def read_dataset_json(raw: Path | None, source: str) -> dict[str, Any]:
    """Return name, modalities, files, labels, the value to ignore and regions as a description has them.

    Args:
        raw: folder that holds ``dataset.json``, itself or one of the folders right below it.
        source: name of the description that asks.

    Raises:
        ConfigError: no folder is known.
        DataError: no such file, several, or one that cannot be understood.
    """
    if raw is None:
        message = f"data set '{source}' is described by the {FILE} of its raw folder"
        raise ConfigError(message, hint=f"hga preprocess RAW_DIR --dataset {source}")
    path = _find(raw)
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"))
        channels = tree.get("channel_names") or tree["modality"]
        numbers = _numbers(channels, path)
        values = _values(tree["labels"])
        ignored = values.pop(IGNORE, [None])[0]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"'{path}' is no description of a data set: {type(error).__name__} {error}"
        raise DataError(
            message, hint="it needs channel_names (or modality) and labels, as nnU-Net writes them"
        ) from None
    ending = tree.get("file_ending", ".nii.gz")
    if ending not in (".nii.gz", ".nii"):
        message = f"'{path}' says that files end with '{ending}'"
        raise DataError(message, hint="hga reads NIfTI; convert the files to .nii.gz")
    names = _label_names(values)
    regions = [_plain(region, "region") for region in values]
    return {
        "name": _plain(str(tree.get("name") or raw.resolve().name), "data"),
        "modalities": list(numbers),
        "files": {name: [f"{number:04}", name] for name, number in numbers.items()},
        "labels": [{"name": name, "values": [value]} for value, name in names.items()],
        "ignore_label": ignored,
        "regions": [
            {
                "name": f"{name}-{place}" if regions.count(name) > 1 else name,
                "labels": [names[value] for value in members],
            }
            for place, (name, members) in enumerate(zip(regions, values.values(), strict=True), start=1)
        ],
    }


def dataset_jsons(raw: Path) -> list[Path]:
    """Return every ``dataset.json`` in a raw folder or right below it."""
    return sorted({*raw.glob(FILE), *raw.glob(f"*/{FILE}")})


def _find(raw: Path) -> Path:
    found = dataset_jsons(raw)
    if len(found) != 1:
        what = "no" if not found else f"{len(found)} files"
        message = f"{what} {FILE} in '{raw}'"
        raise DataError(message, hint="name the folder of one data set, the one with imagesTr and labelsTr")
    return found[0]


def _numbers(channels: Mapping[str, str], path: Path) -> dict[str, int]:
    """Return name -> key of each channel, in the order of the keys; equal names get their key.

    Raises:
        DataError: a key is no number that files could end in, or two are one number.
    """
    keys = list(channels.keys())
    times = Counter(int(key) for key in keys if KEY.fullmatch(key))
    wrong = [key for key in keys if not KEY.fullmatch(key) or times[int(key)] > 1]
    if wrong:
        message = f"'{path}': the channel {wrong[0]!r} has a key that is no number of its own"
        raise DataError(message, hint='keys are the numbers that names of files end in: "0" for _0000, "1" for _0001')
    names = {int(key): _plain(str(channels[key]), "channel") for key in sorted(keys, key=int)}
    every = list(names.values())
    return {f"{name}-{number}" if every.count(name) > 1 else name: number for number, name in names.items()}


def _values(labels: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return name -> values, without background. Version 1 and the Decathlon write value -> name."""
    pairs = [(value, key) if isinstance(value, str) else (key, value) for key, value in labels.items()]
    found = {
        str(name): sorted({int(one) for one in (value if isinstance(value, list) else [value])})
        for name, value in pairs
    }
    return {name: [value for value in values if value] for name, values in found.items() if any(values)}


def _label_names(values: Mapping[str, list[int]]) -> dict[int, str]:
    """Return value -> name; ``value-3`` where it is only part of regions, or names become equal."""
    alone: dict[int, str] = {}
    for name, members in values.items():
        if len(members) == 1:
            alone.setdefault(members[0], _plain(name, "label"))
    every = sorted({value for members in values.values() for value in members})
    names = {value: alone.get(value, f"value-{value}") for value in every}
    times = Counter(names.values())
    return {value: name if times[name] == 1 else f"value-{value}" for value, name in names.items()}


def _plain(name: str, kind: str) -> str:
    """Return a name of letters, digits, ``-`` and ``_`` that starts with a letter."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:40]
    return words if re.match(r"[A-Za-z]", words) else f"{kind}-{words}".rstrip("-")[:40]
