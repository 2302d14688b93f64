"""Every command of the README, run in its order in one folder, on tiny data and with tiny trainings."""

import re
import shlex
import shutil
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).parents[2]
CASE = "Phantom-00003-000"
ENDINGS = {"flair": "t2f", "t1ce": "t1c", "t1": "t1n", "t2": "t2w"}


def commands():
    """The commands in fenced blocks, comments cut."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [
        shlex.split(line, comments=True)[1:]
        for language, block in blocks
        if not language
        for line in block.splitlines()
        if line.startswith("hga ")
    ]


SWEEP = """
dataset = "brats"
methods = ["joint", "moddrop"]
tables = ["unequal"]
seeds = [1, 2]
[settings]
data = { split = "default", spacing = [4, 4, 4], patch = [16, 16, 16], batch = 1, workers = 0 }
network.width = 4
optim = { epochs = 1, iterations = 2 }
"""


def lay_out(folder, sample_data):
    """Make the folders and files that the README talks about."""
    for name in ("brats", "mine"):
        shutil.copytree(sample_data, folder / "raw" / name, ignore=shutil.ignore_patterns("*.py", "*.md"))
    description = (ROOT / "hga_cli" / "data" / "raw" / "descriptions" / "brats.toml").read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(description.replace('name = "brats"', 'name = "mine"'), encoding="utf-8")
    (folder / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    shutil.copytree(sample_data / CASE, folder / "new" / "patient_17")
    files = [sample_data / CASE / f"{CASE}-{ending}.nii.gz" for ending in ENDINGS.values()]
    shutil.copy(files[0], folder / "new" / "x_flair.nii.gz")
    images = [nibabel.load(file) for file in files]
    stacked = np.stack([np.asarray(image.dataobj) for image in images], -1)
    nibabel.save(nibabel.Nifti1Image(stacked, images[0].affine), folder / "new" / "all.nii.gz")


def shrunk(words):
    """Return a command with a tiny training, on the CPU; everything else is as written."""
    if words[0] in ("train", "sweep"):
        words = [{"--gpu": "--device", "0": "cpu"}.get(word, word) for word in words]
    if words[0] != "train":
        return words
    small = ["network.width=4", "data.spacing=[4,4,4]", "data.patch=[16,16,16]", "data.workers=0", "data.batch=1"]
    return [*words, "--epochs", "1", "--iterations", "2", *(part for value in small for part in ("--set", value))]


def test_every_command_runs(hga, sample_data, tmp_path, monkeypatch):
    lay_out(tmp_path, sample_data)
    monkeypatch.chdir(tmp_path)
    for variable in ("HGA_DATA", "HGA_RUNS", "HGA_DEVICE"):
        monkeypatch.delenv(variable, raising=False)
    assert len(commands()) >= 15
    for words in commands():
        hga(*shrunk(words))
    assert (tmp_path / "data" / "brats" / "store.h5").exists()
    assert (tmp_path / "data" / "mine" / "store.h5").exists()
    assert (tmp_path / "runs" / "joint-complete" / "checkpoints" / "last.safetensors").exists()
    assert {path.name for path in tmp_path.glob("*/*.nii.gz") if path.parent.name != "new"} >= {
        "x.nii.gz",
        "all.nii.gz",
    }
