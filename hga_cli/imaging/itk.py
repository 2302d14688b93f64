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


def is_itk(path: Path) -> bool:
    """Tell whether the name is one of a MetaImage or NRRD file."""
    return path.name.lower().endswith(ITK_SUFFIXES)


def read_itk(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return array (D, H, W), axes in the order of the file, and affine (4, 4), voxel indices to mm (RAS).

    Raises:
        DataError: no such file, damaged, no single number per voxel, or other than three axes.
    """
    if not path.is_file():
        message = f"'{path}' cannot be read: no such file"
        raise DataError(message, hint="look at its name and folder")
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        message = f"'{path}' is not a whole {path.suffix} file"
        raise DataError(message, hint="copy or convert it again") from None
    size = image.GetSize()
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        message = f"'{path}' holds {image.GetPixelIDTypeAsString()}, expected one number per voxel"
        raise DataError(message, hint="convert colour, vector or complex images to one number per voxel")
    if len(size) != 3:
        message = f"'{path}' has shape {'x'.join(map(str, size))}, expected three axes"
        raise DataError(message, hint="write one file per modality")
    return SimpleITK.GetArrayFromImage(image).transpose(), _affine(image)


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


def _affine(image: Any) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine
