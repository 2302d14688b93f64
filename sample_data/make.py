"""Make the sample cases: small synthetic brains with a tumour, named and labelled like BraTS.

Run as ``python sample_data/make.py [OUT_DIR]``; the default is the folder of this script.
Every number comes from a seed, so that the same files come out each time.
"""

import argparse
import gzip
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Volume = NDArray[np.float64]  # (X, Y, Z)
Mask = NDArray[np.bool_]  # (X, Y, Z)
Labels = NDArray[np.uint8]  # (X, Y, Z)

NECROSIS, OEDEMA, ENHANCING = 1, 2, 4
LEVELS = 100  # grey levels up to an intensity of 1; few of them, so that the files compress well
KNOTS = 24  # knots of a random field along each axis
BLUR = 0.6  # voxels; mixes the tissues at their borders


class Contrast(NamedTuple):
    """Intensity of each tissue in one modality (1 is bright) and the standard deviation of its noise."""

    grey: float
    white: float
    oedema: float
    necrosis: float
    enhancing: float
    noise: float


CONTRASTS = {
    "t2f": Contrast(grey=0.50, white=0.40, oedema=0.95, necrosis=0.66, enhancing=0.74, noise=0.04),
    "t1c": Contrast(grey=0.44, white=0.52, oedema=0.48, necrosis=0.20, enhancing=1.00, noise=0.05),
    "t1n": Contrast(grey=0.50, white=0.60, oedema=0.51, necrosis=0.30, enhancing=0.51, noise=0.07),
    "t2w": Contrast(grey=0.48, white=0.38, oedema=0.74, necrosis=0.98, enhancing=0.90, noise=0.08),
}


class Case(NamedTuple):
    """One visit of one subject: its voxel grid, its tumour and the modalities that it lacks."""

    subject: int
    visit: int
    shape: tuple[int, int, int]  # voxels
    spacing: tuple[float, float, float]  # mm
    orientation: str  # world direction of growing index, per axis
    tumour: float  # part of the brain's volume
    lacking: tuple[str, ...] = ()
    tilt: float = 0.0  # degrees, about the first and the second axis
    enhances: bool = True

    @property
    def name(self) -> str:
        """Name of the folder and start of every file name."""
        return f"Phantom-{self.subject:05d}-{self.visit:03d}"


CASES = (
    Case(1, 0, (48, 56, 40), (1.5, 1.5, 2.0), "RAS", 0.060),
    Case(2, 0, (46, 54, 40), (1.6, 1.6, 2.0), "LPS", 0.040),
    Case(2, 1, (48, 56, 38), (1.5, 1.5, 2.1), "LPS", 0.075),
    Case(3, 0, (50, 58, 42), (1.5, 1.5, 1.9), "LAS", 0.050),
    Case(4, 0, (52, 58, 42), (1.5, 1.5, 2.0), "RAS", 0.065, tilt=12.0),
    Case(5, 0, (46, 52, 44), (1.6, 1.6, 1.8), "LPS", 0.055, lacking=("t2w",)),
    Case(6, 0, (48, 54, 38), (1.5, 1.6, 2.1), "RAS", 0.070, lacking=("t1n", "t2w")),
    Case(7, 0, (44, 52, 40), (1.7, 1.6, 2.0), "LPS", 0.060, lacking=("t1c",)),
    Case(8, 0, (48, 58, 36), (1.5, 1.5, 2.2), "RAS", 0.050, enhances=False),
    Case(9, 0, (46, 56, 42), (1.6, 1.5, 1.9), "LPS", 0.045),
    Case(10, 0, (50, 56, 40), (1.4, 1.5, 2.0), "RAS", 0.070),
    Case(11, 0, (48, 54, 42), (1.5, 1.6, 1.9), "LAS", 0.055),
)


class Anatomy(NamedTuple):
    """What is where in the grid of a case."""

    brain: Mask
    white: Volume  # part of white matter in the brain's tissue, 0 to 1
    labels: Labels


def voxel_to_world(case: Case) -> NDArray[np.float64]:
    """Affine (4, 4) from voxel indices to world millimetres (RAS+), the middle of the grid at the origin."""
    cosine, sine = np.cos(np.radians(case.tilt)), np.sin(np.radians(case.tilt))
    about_first = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_second = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    signs = [1 if direction in "RAS" else -1 for direction in case.orientation]
    affine = np.eye(4)
    affine[:3, :3] = about_second @ about_first * signs * case.spacing
    affine[:3, 3] = -affine[:3, :3] @ (np.array(case.shape) - 1) / 2
    return affine


def world_positions(case: Case) -> NDArray[np.float64]:
    """World position in mm of every voxel, (3, X, Y, Z)."""
    affine = voxel_to_world(case)
    return np.tensordot(affine[:3, :3], np.indices(case.shape), axes=1) + affine[:3, 3, None, None, None]


def smooth_field(generator: np.random.Generator, position: NDArray[np.float64], length: float) -> Volume:
    """Random field with a standard deviation near 1 that changes over `length` mm; the same in every grid."""
    knots = generator.standard_normal((KNOTS, KNOTS, KNOTS))
    return map_coordinates(knots, position / length, order=3, mode="grid-wrap")


def grow_tumour(
    generator: np.random.Generator, position: NDArray[np.float64], brain: Mask, centre: NDArray[np.float64], case: Case
) -> Labels:
    """Labels of nested regions around `centre` (mm): oedema, in it an enhancing ring, in it a necrotic core.

    Each region is the part of the brain nearest to the centre by a distance that a random field distorts,
    so that the whole tumour fills exactly the part of the brain that the case asks for.
    """
    distance = np.linalg.norm(position - centre[:, None, None, None], axis=0)
    ragged = distance + 1.8 * smooth_field(generator, position, length=9)
    rounded = distance + 0.8 * smooth_field(generator, position, length=7)
    whole = brain & (ragged <= np.quantile(ragged[brain], case.tumour))
    core = whole & (rounded <= np.quantile(rounded[brain], 0.38 * case.tumour))
    necrosis = core & (rounded <= np.quantile(rounded[brain], 0.14 * case.tumour))
    inside_core = np.where(necrosis, NECROSIS, ENHANCING) if case.enhances else NECROSIS
    return np.where(core, inside_core, np.where(whole, OEDEMA, 0)).astype(np.uint8)


def draw_anatomy(case: Case) -> Anatomy:
    """Brain and tumour of a case; all visits of a subject share the brain and the place of the tumour."""
    generator = np.random.default_rng(case.subject)
    position = world_positions(case)
    semi_axes = generator.uniform((30, 35, 32), (33, 39, 36))  # mm
    side = generator.choice((-1, 1))
    centre = semi_axes * generator.uniform((0.40, -0.35, -0.15), (0.50, 0.35, 0.30)) * (side, 1, 1)
    radius = np.linalg.norm(position / semi_axes[:, None, None, None], axis=0)  # 1 at the surface of the ellipsoid
    brain = radius + 0.02 * smooth_field(generator, position, length=12) < 1
    white = np.clip(0.5 + 3 * (0.75 - radius) + 0.8 * smooth_field(generator, position, length=8), 0, 1)
    return Anatomy(brain, white, grow_tumour(generator, position, brain, centre, case))


def tissue_parts(anatomy: Anatomy) -> NDArray[np.float64]:
    """Part of each voxel that each tissue fills, (5, X, Y, Z) in the order of `Contrast`."""
    healthy = anatomy.brain & (anatomy.labels == 0)
    tumour = [anatomy.labels == label for label in (OEDEMA, NECROSIS, ENHANCING)]
    sharp = np.stack([healthy * (1 - anatomy.white), healthy * anatomy.white, *tumour])
    return gaussian_filter(sharp, BLUR, axes=(1, 2, 3))


def acquire(
    generator: np.random.Generator, contrast: Contrast, parts: NDArray[np.float64], bias: Volume, brain: Mask
) -> NDArray[np.int16]:
    """Image (X, Y, Z) of one modality in arbitrary units: 0 outside the brain, above 0 in it."""
    signal = np.tensordot(contrast[:5], parts, axes=1) * bias
    noisy = signal + contrast.noise * generator.standard_normal(signal.shape)
    gain = generator.integers(3, 24)  # the scale of a scanner, different for each image
    return (brain * gain * np.maximum(np.rint(LEVELS * noisy), 1)).astype(np.int16)


def write_image(path: Path, data: NDArray[np.int16] | Labels, affine: NDArray[np.float64]) -> None:
    """Write gzipped NIfTI without time or file name, the affine (mm) in both sform and qform."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    with path.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(image.to_bytes())


def make_case(case: Case, folder: Path) -> None:
    """Write the images and the label of one case into its own folder below `folder`."""
    generator = np.random.default_rng((case.subject, 1 + case.visit))
    target = folder / case.name
    target.mkdir(parents=True, exist_ok=True)
    anatomy, affine = draw_anatomy(case), voxel_to_world(case)
    parts = tissue_parts(anatomy)
    bias = 1 + 0.08 * smooth_field(generator, world_positions(case), length=60)
    for modality, contrast in CONTRASTS.items():
        if modality in case.lacking:
            continue
        image = acquire(generator, contrast, parts, bias, anatomy.brain)
        write_image(target / f"{case.name}-{modality}.nii.gz", image, affine)
    write_image(target / f"{case.name}-seg.nii.gz", anatomy.labels, affine)


def main() -> None:
    """Make all cases in the folder named in the terminal."""
    parser = argparse.ArgumentParser(description="Make the sample cases.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, metavar="OUT_DIR")
    folder = parser.parse_args().folder
    for case in CASES:
        make_case(case, folder)


if __name__ == "__main__":
    main()
