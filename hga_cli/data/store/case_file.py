"""One case of a store, in one file. The format is specified in ``hga_cli.data.store``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hga_cli.core.atomic import replacing
from hga_cli.core.errors import DataError
from hga_cli.data.prepare import PreparedCase, PreparedImage
from hga_cli.data.store.files import CASE, VERSION, reading, tuples
from hga_cli.imaging.trail import Trail

CHUNK = 32
LARGEST = 32767
FOREGROUND_SAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of a case: first voxel and size, in voxels. It may reach beyond the case."""

    start: tuple[int, ...]
    size: tuple[int, ...]


def case_path(store: Path, case: str) -> Path:
    """Return where the file of a case lies.

    Raises:
        DataError: the id would lead out of the store.
    """
    if not case or case in (".", "..") or set(case) & set("/\\\0"):
        message = f"'{case}' cannot be a case id"
        raise DataError(message)
    return store / "cases" / f"{case}.h5"


def stored_fingerprint(store: Path, case: str) -> str | None:
    """Return the fingerprint of a finished case, or None if it is not in the store or its file is damaged."""
    try:
        with reading(case_path(store, case), CASE) as file:
            return str(file.attrs["fingerprint"])
    except DataError:
        return None


def write_case(store: Path, case: PreparedCase, fingerprint: str) -> None:
    """Write the file of a case: aside, then renamed."""
    attributes = {
        "format": CASE,
        "version": VERSION,
        "case": case.case,
        "subject": case.subject,
        "modalities": json.dumps(list(case.images)),
        "fingerprint": fingerprint,
        "trail": json.dumps(asdict(case.trail)),
        "sources": json.dumps(case.sources),
        "label_values": json.dumps(case.label_values),
        "warnings": json.dumps(case.warnings),
    }
    with replacing(case_path(store, case.case)) as temporary, h5py.File(temporary, "w") as file:
        for modality, image in case.images.items():
            stored, scale, offset = _quantised(image)
            data = _write(file, f"images/{modality}", stored, shuffle=True)
            data.attrs.update(scale=scale, offset=offset, background=image.statistics.background)
        file.require_group("foreground")
        if case.label is not None and case.reference is not None:
            _write(file, "label", case.label)
            _write(file, "reference", case.reference)
            for index, voxels in _some_foreground(case.label).items():
                file.create_dataset(f"foreground/{index}", data=voxels)
        file.attrs.update(attributes)


def read_image(file: Any, modality: str, box: Box | None) -> NDArray[np.float32]:
    """Read z-scores (D, H, W) of one modality; only the chunks of the box; beyond the case it is background.

    Raises:
        DataError: the case does not have this modality.
    """
    if modality not in file["images"]:
        message = f"case '{file.attrs['case']}' has no {modality}"
        raise DataError(message, hint="absent modalities are never read; this is a fault of the caller")
    stored = file["images"][modality]
    scale, offset = (np.float32(stored.attrs[name]) for name in ("scale", "offset"))
    values = read_box(stored, box, fill=(stored.attrs["background"] - offset) / scale)
    return values * scale + offset


def read_trail(file: Any) -> Trail:
    """Read the way back to the files of a case."""
    return Trail(**{key: tuples(value) for key, value in json.loads(file.attrs["trail"]).items()})


def read_box(data: Any, box: Box | None, *, fill: float) -> NDArray[np.float32]:
    """Read a box of an array or data set (D, H, W) as float32; what lies beyond it is ``fill``."""
    if box is None:
        return np.asarray(data[()], dtype=np.float32)
    cuts, places = [], []
    for start, size, limit in zip(box.start, box.size, data.shape, strict=True):
        low = min(max(0, start), limit)
        high = max(low, min(start + size, limit))
        cuts.append(slice(low, high))
        places.append(slice(low - start, high - start))
    part = np.asarray(data[tuple(cuts)], dtype=np.float32)
    if part.shape == tuple(box.size):
        return part
    result = np.full(box.size, fill, dtype=np.float32)
    if part.size:
        result[tuple(places)] = part
    return result


def _write(file: Any, name: str, array: NDArray[Any], *, shuffle: bool = False) -> Any:
    chunks = tuple(min(CHUNK, size) for size in array.shape)
    return file.create_dataset(name, data=array, chunks=chunks, compression="lzf", shuffle=shuffle, fletcher32=True)


def _quantised(image: PreparedImage) -> tuple[NDArray[np.int16], float, float]:
    """Return (stored, scale, offset): integers that fit are kept as they are, others get 65535 steps."""
    raw, statistics = image.raw, image.statistics
    if raw.dtype.kind in "biu" and raw.min() >= -LARGEST and raw.max() <= LARGEST:
        return raw.astype(np.int16), 1 / statistics.std, -statistics.mean / statistics.std
    z = image.z.astype(np.float64)
    low, high = float(z.min()), float(z.max())
    scale = (high - low) / (2 * LARGEST) or 1.0
    middle = (high + low) / 2
    return np.rint((z - middle) / scale).astype(np.int16), scale, middle


def _some_foreground(label: NDArray[np.uint8]) -> dict[int, NDArray[np.int32]]:
    """Return up to 1000 voxels per class, evenly picked: the same ones every time."""
    found = {}
    for index in np.unique(label[label > 0]):
        voxels = np.argwhere(label == index)
        picked = np.unique(np.linspace(0, len(voxels) - 1, min(FOREGROUND_SAMPLES, len(voxels))).round().astype(int))
        found[int(index)] = voxels[picked].astype(np.int32)
    return found
