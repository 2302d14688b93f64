"""Reading MetaImage (``.mha``) and NRRD (``.nrrd``) through SimpleITK, in the conventions of NIfTI.

ITK counts mm to the left and to the back (LPS), NIfTI to the right and to the front (RAS); its arrays come with the
axes the other way round.
"""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from hga_cli.core.errors import DataError

ITK_SUFFIXES = (".mha", ".nrrd")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TURNED = 1e-6
"""Cosines of angles that are larger than rounding."""


def is_itk(path: Path) -> bool:
    """Tell whether the name is one of a MetaImage or NRRD file."""
    return path.name.lower().endswith(ITK_SUFFIXES)


def read_itk(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the array, axes in the order of the file, and affine (4, 4), voxel indices to mm (RAS).

    The array is (D, H, W), or (D, H, W, C) where a voxel holds C > 1 numbers or C volumes lie along a fourth axis.

    Raises:
        DataError: no such file, damaged, complex numbers, other axes, or a fourth one turned towards the others.
    """
    image = _open(path)
    kind, axes = image.GetPixelIDTypeAsString(), image.GetDimension()
    if "complex" in kind:
        message = f"'{path}' holds {kind}, expected one number per voxel"
        raise DataError(message, hint="convert complex images to one number per voxel")
    vectors = image.GetNumberOfComponentsPerPixel() > 1
    if not (axes == 3 or (axes == 4 and not vectors)):
        each = f", {image.GetNumberOfComponentsPerPixel()} numbers each" if vectors else ""
        message = f"'{path}' has shape {'x'.join(map(str, image.GetSize()))}{each}, expected three axes"
        raise DataError(message, hint="write one file per modality; hga predict takes 4D images with --modalities")
    array = SimpleITK.GetArrayFromImage(image)
    data = np.moveaxis(array, -1, 0).T if vectors else array.T
    return data[..., 0] if axes == 4 and data.shape[3] == 1 else data, _affine(image, path)


def describe_itk(path: Path) -> str:
    """Return shape and voxel size as the header says them, or that it cannot be read: for messages."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return "unreadable"
    shape, spacing = reader.GetSize()[:3], reader.GetSpacing()[:3]
    return f"{'x'.join(map(str, shape))}, {' x '.join(f'{size:.3g}' for size in spacing)} mm"


def _open(path: Path) -> Any:
    if not path.is_file():
        message = f"'{path}' cannot be read: no such file"
        raise DataError(message, hint="look at its name and folder")
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        message = f"'{path}' is not a whole {path.suffix} file: {_reason(error)}"
        raise DataError(message, hint="copy or convert it again") from None


def _reason(error: RuntimeError) -> str:
    """Return what ITK says, without the place in its code."""
    return str(error).strip().splitlines()[-1].rpartition("): ")[2]


def _affine(image: Any, path: Path) -> NDArray[np.float64]:
    axes = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(axes, axes)
    if np.abs(direction[3:, :3]).max(initial=0) > TURNED or np.abs(direction[:3, 3:]).max(initial=0) > TURNED:
        message = f"the fourth axis of '{path}' is turned towards the other three, so nobody can say where it lies"
        raise DataError(message, hint="write it again with volumes along a fourth axis of its own")
    affine = np.eye(4)
    affine[:3, :3] = direction[:3, :3] * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine
