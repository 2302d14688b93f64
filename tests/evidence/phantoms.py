"""Make phantoms that are hard on purpose: cohorts on which methods for missing modalities can differ.

Each case is a slab of brain with one to three lesions, named and labelled like BraTS. No modality is enough: each shows
only some of the tissues, noise and a bias field lie over all, and each has distractors that look like lesions in it and
in no other modality. Every number comes from the number of the case, so that the same files come out each time.
"""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SHAPE = (48, 48, 6)  # voxels
SPACING = (4.0, 4.0, 8.0)  # mm
NECROSIS, OEDEMA, ENHANCING = 1, 2, 4
GREY_LEVELS = 200  # of an intensity of 1

Volume = NDArray[np.float64]  # (X, Y, Z)


class Contrast(NamedTuple):
    """What a modality adds to the healthy tissue where a tissue or one of its own distractors is, and its noise."""

    white: float
    oedema: float
    necrosis: float
    enhancing: float
    distractor: float
    noise: float


CONTRASTS = {
    "t2f": Contrast(white=-0.08, oedema=0.40, necrosis=0.10, enhancing=0.34, distractor=0.38, noise=0.06),
    "t1c": Contrast(white=0.10, oedema=-0.04, necrosis=-0.22, enhancing=0.50, distractor=0.46, noise=0.06),
    "t1n": Contrast(white=0.12, oedema=-0.14, necrosis=-0.34, enhancing=-0.12, distractor=-0.28, noise=0.06),
    "t2w": Contrast(white=-0.10, oedema=0.28, necrosis=0.52, enhancing=0.22, distractor=0.42, noise=0.07),
}


def smooth(generator: np.random.Generator, length: float) -> Volume:
    """Random field with mean 0 and standard deviation 1 that changes over ``length`` mm."""
    sigma = [length / edge / 2 for edge in SPACING]
    field = gaussian_filter(generator.standard_normal(SHAPE), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def blob(generator: np.random.Generator, brain: NDArray[np.bool_], radius: float) -> Volume:
    """Ragged distance in units of ``radius`` (mm) from a random place of the brain: up to 1 is inside."""
    centre = generator.choice(np.argwhere(brain))
    offsets = np.indices(SHAPE) - centre[:, None, None, None]
    distance = np.sqrt(sum((edge * offset) ** 2 for edge, offset in zip(SPACING, offsets, strict=True)))
    return distance / radius + 0.22 * smooth(generator, 14.0)


def draw_labels(generator: np.random.Generator, brain: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Lesions of very different sizes: oedema, in most of them a core, in most cores a small enhancing part."""
    labels = np.zeros(SHAPE, np.uint8)
    for _ in range(generator.integers(1, 4)):
        distance = blob(generator, brain, radius=generator.uniform(14, 40))
        labels[brain & (distance < 1)] = OEDEMA
        if generator.random() < 0.8:
            inner = distance + 0.15 * smooth(generator, 10.0)
            size = generator.uniform(0.45, 0.75)
            labels[brain & (inner < size)] = ENHANCING
            labels[brain & (inner < size * generator.uniform(0.5, 0.8))] = NECROSIS
    return labels


def draw_case(number: int) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.uint8]]:
    """Return modality -> image, and the label, of one case."""
    generator = np.random.default_rng([2026, number])
    places = (np.indices(SHAPE).transpose(1, 2, 3, 0) - (np.array(SHAPE) - 1) / 2) * SPACING
    radius = np.linalg.norm(places / generator.uniform((72, 82, 60), (88, 94, 80)), axis=-1)
    brain = radius + 0.03 * smooth(generator, 20.0) < 1
    white = 1 / (1 + np.exp(-2.5 * (0.5 * smooth(generator, 16.0) + 3 * (0.6 - radius))))
    labels = draw_labels(generator, brain)
    images = {}
    for modality, contrast in CONTRASTS.items():
        signal = 0.5 + contrast.white * white
        for _ in range(generator.integers(1, 4)):
            signal[(blob(generator, brain, radius=generator.uniform(8, 26)) < 1) & (labels == 0)] += contrast.distractor
        strength = generator.uniform(0.7, 1.2)  # lesions differ from patient to patient
        for label, change in (
            (OEDEMA, contrast.oedema),
            (NECROSIS, contrast.necrosis),
            (ENHANCING, contrast.enhancing),
        ):
            signal[labels == label] += strength * change
        signal = gaussian_filter(signal, (0.6, 0.6, 0.2)) * (1 + 0.12 * smooth(generator, 90.0))
        noisy = signal + contrast.noise * generator.standard_normal(SHAPE)
        gain = generator.integers(1, 10)  # the scale of a scanner
        images[modality] = (brain * np.maximum(np.rint(gain * GREY_LEVELS * noisy), 1)).astype(np.int16)
    return images, labels


def write_case(number: int, folder: Path) -> None:
    """Write the images and the label of one case into its own folder below ``folder``, if they are not there."""
    name = f"Hard-{number:05d}-000"
    target = folder / name
    label = target / f"{name}-seg.nii.gz"
    if label.exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    images, labels = draw_case(number)
    affine = np.diag([*SPACING, 1.0])
    for modality, image in images.items():
        nib.save(nib.Nifti1Image(image, affine), target / f"{name}-{modality}.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), label)  # the last one: it says that the case is whole


def make(folder: Path, cases: int) -> None:
    """Write the cases 1, 2, ... below ``folder``; those that are there stay."""
    for number in range(1, cases + 1):
        write_case(number, folder)
