"""New patients, made from a phantom that has all modalities."""

import shutil

import nibabel
import numpy as np

CASE = "Phantom-00003-000"
SUFFIXES = {"flair": "t2f", "t1ce": "t1c", "t1": "t1n", "t2": "t2w"}
STRANGE = "Größe 测试 #1 (a)"


def on_road(road):
    return ["--runs-dir", road.runs_dir, "--device", "cpu"]


def mask(path):
    return np.asarray(nibabel.load(path).dataobj)


def folder_with(folder, files, modalities, case="p"):
    """Copy some files of a case into a folder, in BraTS 2020 style."""
    folder.mkdir(parents=True)
    for name in modalities:
        shutil.copy(files[name], folder / f"{case}_{name}.nii.gz")
    return folder


def stacked(path, files, modalities):
    """Write a 4D file with one volume for each modality."""
    images = [nibabel.load(files[name]) for name in modalities]
    data = np.stack([np.asarray(image.dataobj) for image in images], -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, images[0].affine, images[0].header), path)
    return path
