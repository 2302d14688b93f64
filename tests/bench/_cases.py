"""Cases for the benchmarks of data: real ones or phantoms, and the arrays that many research codes make of them."""

import os
from pathlib import Path

import nibabel
import numpy as np

from hga_cli.data.raw.description import load_description

BRATS = load_description("brats")
REAL = Path(os.environ.get("HGA_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "brats21"
SHAPE = (240, 240, 155)


def raw_folder(top, shape=None):
    """Return a folder of cases: real patients where they are at hand, else phantoms; with a shape always phantoms."""
    if shape is None and REAL.is_dir():
        return REAL
    write_phantoms(top / "raw", shape=tuple(shape or SHAPE))
    return top / "raw"


def write_phantoms(folder, *, shape, count=4):
    """Write cases: an ellipsoid of noisy tissue with a tumour of three shells."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij", sparse=True)
    radius = sum((axis / size) ** 2 for axis, size in zip(axes, (0.58, 0.72, 0.9), strict=True))
    label = np.select([radius < 0.01, radius < 0.03, radius < 0.08], [1, 4, 2]).astype(np.uint8)
    for number in range(count):
        generator = np.random.default_rng(number)
        case = folder / f"Phantom-{number:05}"
        case.mkdir(parents=True)
        for role in BRATS.modalities:
            tissue = 600 + 200 * generator.normal(size=shape) + 300.0 * label
            image = np.where(radius < 1, tissue.clip(1), 0).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(image, np.diag([-1, -1, 1, 1])), case / f"{case.name}_{role}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, np.diag([-1, -1, 1, 1])), case / f"{case.name}_seg.nii.gz")


def usual_way(cases, folder):
    """Load, stack, crop to the joint box, z-score where any modality is positive, save (H, W, D, M) and the label."""
    folder.mkdir(exist_ok=True)
    for case in cases:
        images = np.stack([np.asarray(nibabel.load(path).dataobj, np.float32) for path in case.images.values()])
        label = np.asarray(nibabel.load(case.label).dataobj, np.uint8)
        inside = images.sum(0) > 0
        box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(inside))
        images, label, inside = images[(slice(None), *box)], label[box], inside[box]
        for image in images:
            values = image[inside]
            image -= values.mean()
            image /= values.std()
        np.save(folder / f"{case.case}_vol.npy", np.ascontiguousarray(images.transpose(1, 2, 3, 0)))
        np.save(folder / f"{case.case}_seg.npy", label)
