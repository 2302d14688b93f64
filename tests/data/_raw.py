"""Small raw folders as scanners and challenges leave them."""

import nibabel
import numpy as np

from hga_cli.data.raw.description import load_description
from hga_cli.data.raw.discovery import discover
from hga_cli.data.raw.prepare import Preparation, prepare

BRATS = load_description("brats")
MODALITIES = BRATS.modalities
SHAPE = (12, 14, 10)
INSIDE = (slice(2, 11), slice(1, 13), slice(2, 9))
"""Where images are not empty."""


def image(name, shape=SHAPE):
    """Integers above 0 inside, 0 outside; they depend on the name only."""
    values = np.random.default_rng(list(name.encode())).integers(50, 900, shape).astype(np.int16)
    outside = np.ones(shape, bool)
    outside[INSIDE] = False
    values[outside] = 0
    return values


def label(values=(1, 2, 4), shape=SHAPE):
    """A corner of 3 x 4 x 5 voxels for each value, along the first axis."""
    array = np.zeros(shape, np.int16)
    for place, value in enumerate(values):
        array[2 + 3 * place : 5 + 3 * place, 4:8, 3:8] = value
    return array


def write(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine, dtype=array.dtype), path)
    return path


def touch(root, *names):
    """Make empty files: all that names are looked at for."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_raw(root, case, present=MODALITIES, *, arrays=None, affines=None, suffix=".nii"):
    """Write ``root/case/case_<role>.nii``; ``arrays`` and ``affines`` (role -> ...) replace the usual ones."""
    usual = {role: image(f"{case} {role}") for role in present} | {"seg": label()}
    for role, array in (usual | (arrays or {})).items():
        write(root / case / f"{case}_{role}{suffix}", array, (affines or {}).get(role))
    return root / case


def look(root, description=BRATS, **options):
    return discover(root, description, **({"need_label": True} | options))


def found(folder, description=BRATS):
    """The one case of a folder that holds nothing wrong."""
    findings = discover(folder, description, need_label=False)
    assert findings.problems == []
    (case,) = findings.cases
    return case


def prepared(folder, spacing=None, description=BRATS):
    return prepare(found(folder, description), description, Preparation(spacing=spacing))
