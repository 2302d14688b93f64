"""One case of a store, in one file. The format is specified in ``hga_cli.data.store``."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import DataError
from hga_cli.data.raw.description import Description, as_tree
from hga_cli.data.raw.prepare import PreparedCase, PreparedImage
from hga_cli.data.store.chunks import write_chunks
from hga_cli.data.store.files import CASE, VERSION, reading, tuples, writing
from hga_cli.data.store.identity import image_digest
from hga_cli.imaging.trail import Trail

LARGEST = 32767
COARSEST = 0.01
"""Largest step (standard deviations) between two stored values: it is not seen, and far below the noise of a scan."""
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


def stored_label_values(store: Path, case: str) -> dict[str, int] | None:
    """Return which value each class had in the label file of a finished case, or None if it is not in the store."""
    try:
        with reading(case_path(store, case), CASE) as file:
            values: dict[str, int] = json.loads(file.attrs["label_values"])
            return values
    except DataError:
        return None


def meaning_of(description: Description) -> dict[str, Any]:
    """Return what files are taken for, as plain values: modalities, labels with their values, layout."""
    tree = as_tree(description)
    labels = [[entry.name, list(entry.values)] for entry in description.labels]
    return {"modalities": list(description.modalities), "labels": labels, "layout": tree["layout"]}


def write_case(store: Path, case: PreparedCase, fingerprint: str, description: Description | None = None) -> None:
    """Write the file of a case: aside, then renamed.

    Args:
        store: folder of the store.
        case: what to write.
        fingerprint: of its sources and of all settings.
        description: what its files were taken for; None leaves that out, as in older files.

    Raises:
        OSError: no room or no permission; what was there before is still there.
    """
    attributes = {
        "format": CASE,
        "version": VERSION,
        "case": case.case,
        "subject": case.subject,
        "modalities": json.dumps(list(case.images)),
        "fingerprint": fingerprint,
        "preparation": json.dumps(asdict(case.preparation)),
        "trail": json.dumps(asdict(case.trail)),
        "sources": json.dumps(case.sources),
        "label_values": json.dumps(case.label_values),
        "label_voxels": json.dumps(case.label_voxels),
        "warnings": json.dumps(case.warnings),
    }
    if description is not None:
        attributes["meaning"] = json.dumps(meaning_of(description), sort_keys=True)
    with writing(case_path(store, case.case)) as file:
        for modality, image in case.images.items():
            _write_image(file, f"images/{modality}", image)
        file.require_group("foreground")
        if case.label is not None and case.reference is not None:
            write_chunks(file, "label", case.label)
            write_chunks(file, "reference", case.reference)
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
    cut, place = _overlap(box, stored.shape)
    image = np.empty(box.size if box else stored.shape, np.float32)
    if image[place].shape != image.shape:
        image[...] = stored.attrs["background"]
    np.multiply(stored[cut], np.float32(stored.attrs["scale"]), out=image[place])
    image[place] += np.float32(stored.attrs["offset"])
    return image


def read_digests(file: Any) -> dict[str, str]:
    """Read the hash of each image (older files have none, or one that depends on crop box and type)."""
    images = {modality: file["images"][modality].attrs for modality in json.loads(file.attrs["modalities"])}
    return {modality: str(about["digest"]) for modality, about in images.items() if "digest" in about}


def read_sources(file: Any) -> dict[str, str]:
    """Read the hash of the file of each modality."""
    sources, present = json.loads(file.attrs["sources"]), json.loads(file.attrs["modalities"])
    return {modality: str(sources[modality][1]) for modality in present if modality in sources}


def read_trail(file: Any) -> Trail:
    """Read the way back to the files of a case."""
    return Trail(**{key: tuples(value) for key, value in json.loads(file.attrs["trail"]).items()})


def read_box(data: Any, box: Box | None, *, fill: float) -> NDArray[Any]:
    """Read a box of an array or data set (D, H, W), in its own type; what lies beyond it is ``fill``."""
    cut, place = _overlap(box, data.shape)
    part = data[cut]
    if box is None or part.shape == tuple(box.size):
        return np.asarray(part)
    result = np.full(box.size, fill, dtype=data.dtype)
    result[place] = part
    return result


def _overlap(box: Box | None, shape: Sequence[int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where box and case overlap: in the case, and in the box (empty slices if they do not)."""
    box = box or Box(start=(0,) * len(shape), size=tuple(shape))
    cut, place = [], []
    for start, size, limit in zip(box.start, box.size, shape, strict=True):
        low = min(max(0, start), limit)
        high = max(low, min(start + size, limit))
        cut.append(slice(low, high))
        place.append(slice(low - start, high - start))
    return tuple(cut), tuple(place)


def _write_image(file: Any, name: str, image: PreparedImage) -> None:
    stored, scale, offset = _stored(image)
    empty = stored.flat[np.abs(image.raw).argmin()]  # what a voxel of 0 has become
    data = write_chunks(file, name, stored, fill=empty)
    data.attrs.update(
        scale=scale, offset=offset, background=image.statistics.background, digest=image_digest(image.raw)
    )


def _stored(image: PreparedImage) -> tuple[NDArray[Any], float, float]:
    """Return (stored, scale, offset): integers that fit are kept as they are, others get 65535 steps.

    Where one extreme voxel would make those steps coarse, z-scores are kept as float32.
    """
    raw, statistics = image.raw, image.statistics
    if raw.dtype.kind in "biu" and raw.min() >= -LARGEST and raw.max() <= LARGEST:
        return raw.astype(np.int16), 1 / statistics.std, -statistics.mean / statistics.std
    z = image.z
    low, high = float(z.min()), float(z.max())
    scale = (high - low) / (2 * LARGEST) or 1.0
    if scale > COARSEST:
        return z, 1.0, 0.0
    middle = (high + low) / 2
    return np.rint((z.astype(np.float64) - middle) / scale).astype(np.int16), scale, middle


def _some_foreground(label: NDArray[np.uint8]) -> dict[int, NDArray[np.int32]]:
    """Return up to 1000 voxels per class, evenly picked: the same ones every time."""
    found = {}
    for index in np.unique(label[label > 0]):
        voxels = np.argwhere(label == index)
        picked = np.unique(np.linspace(0, len(voxels) - 1, min(FOREGROUND_SAMPLES, len(voxels))).round().astype(int))
        found[int(index)] = voxels[picked].astype(np.int32)
    return found
