"""Reading volumes (NIfTI; MetaImage and NRRD through ``itk``) and writing NIfTI.

A ``Volume`` has its array in the order of the file, (D, H, W), and everything needed to write a label map that lies
exactly where the volume lay: shape, affine, and the header with sform, qform, their codes and units.
"""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from hga_cli.core.atomic import replacing
from hga_cli.core.errors import DataError
from hga_cli.imaging.itk import ITK_SUFFIXES, describe_itk, is_itk, read_itk

SUFFIXES = (".nii.gz", ".nii")
PATIENT_SUFFIXES = (*SUFFIXES, *ITK_SUFFIXES)
"""What a new patient may come in; data sets say their own in their description."""
GZIP_MAGIC = b"\x1f\x8b"
LABEL_TOLERANCE = 0.05
LENGTHS = 7
"""The bits of ``xyzt_units`` that say the unit of lengths."""
MM = {1: 1e3, 3: 1e-3}
"""Code of a unit -> mm: metre and micrometre. Code 2 is mm, 0 is unset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One image or label map as stored in a file."""

    path: Path
    data: NDArray[Any]
    """(D, H, W), native byte order, scaled by the slope and intercept of the header."""
    affine: NDArray[np.float64]
    """(4, 4), voxel indices to mm, whatever the unit of the file is."""
    header: Any
    """The nibabel header, for writing; in the unit of the file."""
    digest: str
    """Hash of the bytes of the file."""


def stem(path: Path, suffixes: Sequence[str] = PATIENT_SUFFIXES) -> str:
    """Return the file name without ``.nii.gz``, ``.nii``, ... (or other ``suffixes``), and nothing else removed."""
    for suffix in suffixes:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def is_volume(path: Path, suffixes: Sequence[str] = SUFFIXES) -> bool:
    """Tell whether the name is one of a NIfTI file, or has one of other ``suffixes`` (hidden files are none)."""
    return path.name.lower().endswith(tuple(suffixes)) and not path.name.startswith(".")


def read_volume(path: Path) -> Volume:
    """Read a 3D volume; trailing axes of length one are dropped.

    Raises:
        DataError: no such file, damaged, no numbers (RGB, complex), a true fourth axis, or fewer than three.
    """
    volume = _read(path)
    if volume.data.ndim != 3:
        message = f"'{path}' has shape {times(volume.data.shape)}, expected three axes"
        raise DataError(message, hint="write one file per modality; hga predict takes 4D images with --modalities")
    return volume


def read_channels(path: Path) -> list[Volume]:
    """Read a 4D file (D, H, W, channels) as one volume per channel; three axes are one channel.

    ITK may hold the channels as several numbers for each voxel, in NIfTI along the fifth axis.

    Raises:
        DataError: as ``read_volume``, or the file has other than three or four axes.
    """
    whole = _read(path)
    if whole.data.ndim < 3 or sum(size > 1 for size in whole.data.shape[3:]) > 1:
        message = f"'{path}' has shape {times(whole.data.shape)}, expected three axes, and one for modalities"
        raise DataError(message, hint="put one volume per modality along the fourth axis")
    data = whole.data.reshape(*whole.data.shape[:3], -1)
    header = whole.header.copy()
    header.set_data_shape(data.shape[:3])
    return [replace(whole, data=data[..., index], header=header) for index in range(data.shape[3])]


def file_digest(path: Path) -> str:
    """Return the hash of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hash).hexdigest()


def integers(volume: Volume) -> NDArray[np.integer[Any]]:
    """Return the values of a label map as integers (D, H, W).

    Values up to 0.05 away from an integer are rounded (label maps saved with a scaling header), never cut.

    Raises:
        DataError: a value is not close to an integer, or is not finite.
    """
    values = volume.data
    if values.dtype == bool:
        return values.view(np.uint8)
    if np.issubdtype(values.dtype, np.integer):
        return values
    if bad := int((~np.isfinite(values)).sum()):
        message = f"'{volume.path}' holds values that are not integers: NaN or infinite in {bad} voxels"
        raise DataError(
            message, hint="a label map holds one integer per class; set those voxels to 0 or to their class"
        )
    if np.abs(values - np.rint(values)).max(initial=0.0) <= LABEL_TOLERANCE:
        rounded: NDArray[np.int64] = np.rint(values).astype(np.int64)
        return rounded
    found = len(np.unique(values))
    message = f"'{volume.path}' holds values that are not integers ({found} different ones)"
    raise DataError(message, hint="a label map holds one integer per class; is this an image?")


def describe_grid(path: Path) -> str:
    """Return shape and voxel size as the header says them, or that it cannot be read: for messages."""
    if is_itk(path):
        return describe_itk(path)
    try:
        header = nibabel.load(path).header
        sizes = [f"{_unit(header) * float(size):.3g}" for size in header.get_zooms()[:3]]
        return f"{times(header.get_data_shape())}, {' x '.join(sizes)} mm"
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, zlib.error, ValueError):
        return "unreadable"


def write_label_map(path: Path, labels: NDArray[np.integer[Any]], like: Volume) -> None:
    """Write a label map (D, H, W) with shape, affine, sform, qform, codes and units of ``like``.

    The type is uint8 where the values fit, else int16.

    Raises:
        ValueError: the shape is not that of ``like``.
    """
    if labels.shape != like.data.shape:
        message = f"labels have shape {times(labels.shape)}, expected {times(like.data.shape)}"
        raise ValueError(message)
    kind = np.uint8 if labels.min(initial=0) >= 0 and labels.max(initial=0) < 256 else np.int16
    _write(path, labels.astype(kind), like)


def write_floats(path: Path, values: NDArray[np.floating[Any]], like: Volume) -> None:
    """Write numbers (D, H, W), or (D, H, W, C) with C numbers for each voxel, as float32 where ``like`` lies.

    Raises:
        ValueError: the shape is not that of ``like``.
    """
    if values.shape[:3] != like.data.shape:
        message = f"values have shape {times(values.shape)}, expected {times(like.data.shape)} and perhaps channels"
        raise ValueError(message)
    _write(path, values.astype(np.float32), like)


def _write(path: Path, array: NDArray[Any], like: Volume) -> None:
    header = like.header.copy()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header["cal_max"] = header["cal_min"] = 0
    image = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    with replacing(path) as temporary:
        nibabel.save(image(array, _scaled(like.affine, 1 / _unit(header)), header), temporary)


def _header(data: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """Return the header a NIfTI file in scanner coordinates would have."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(data.shape)
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    return header


def _read(path: Path) -> Volume:
    """Read a file with any number of axes; trailing ones of length one are dropped."""
    if is_itk(path):
        data, affine = read_itk(path)
        return Volume(path=path, data=data, affine=affine, header=_header(data, affine), digest=file_digest(path))
    image, digest = _open(path)
    affine = _scaled(image.affine, _unit(image.header))
    return Volume(path=path, data=_values(image, path), affine=affine, header=image.header, digest=digest)


def _unit(header: Any) -> float:
    """Return how many mm the unit of lengths in a header is; where it says none, it is mm."""
    return MM.get(int(header["xyzt_units"]) & LENGTHS, 1.0)


def _scaled(affine: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Return an affine (4, 4) whose lengths are ``factor`` times as large."""
    return np.diag([factor, factor, factor, 1.0]) @ affine if factor != 1 else affine


def _hash() -> Any:
    return hashlib.blake2b(digest_size=16)


def _open(path: Path) -> tuple[Any, str]:
    """Return the nibabel image and the hash of the file; compressed or not is seen in the bytes, not in the name."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"'{path}' cannot be read: {error.strerror}"
        raise DataError(message) from None
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        raw = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
        kind = nibabel.Nifti2Image if raw[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else nibabel.Nifti1Image
        return kind.from_bytes(raw), digest
    except (ImageFileError, HeaderDataError, WrapStructError, EOFError, OSError, zlib.error, ValueError) as error:
        message = f"'{path}' is not a whole NIfTI file: {_first_line(error)}"
        raise DataError(message, hint="copy or convert it again") from None


def _values(image: Any, path: Path) -> NDArray[Any]:
    try:
        data = np.asarray(image.dataobj)
    except (OSError, ValueError, EOFError) as error:
        message = f"'{path}' is damaged: {_first_line(error)}"
        raise DataError(message, hint="copy or convert it again") from None
    if data.dtype.kind not in "biuf":
        message = f"'{path}' holds {kind_of(data.dtype)}, expected one number per voxel"
        raise DataError(message, hint="convert colour or complex images to one number per voxel")
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def kind_of(dtype: np.dtype[Any]) -> str:
    """Return what voxels hold, for messages: ``colours (R, G, B)``, ``complex64``."""
    return f"colours ({', '.join(dtype.names)})" if dtype.names else str(dtype)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def times(shape: Sequence[int]) -> str:
    """Return ``240x240x155``."""
    return "x".join(str(size) for size in shape)
