"""What made ``store_v1``, a store of version 1 that must open for ever.

    .venv/bin/python tests/data/_make_store_v1.py tests/data/store_v1

It was run once, with version 1 of the format. Do not run it again into that folder: a newer program would write a newer
format, and the point of the folder is that it is old.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from _raw import write_raw

from hga_cli.core.settings import Imbalance, Preprocess
from hga_cli.core.settings import Split as SplitSettings
from hga_cli.data.raw.description import parse_description
from hga_cli.data.store import Store
from hga_cli.workflows.make_imbalance import make_imbalance
from hga_cli.workflows.preprocess import preprocess
from hga_cli.workflows.split import split

SHAPE = (9, 8, 7)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 2, 5], [0, 0, 0, 1]])
"""The first axis of the files runs to the left: in the store it is reversed."""
TREE = {
    "name": "old",
    "modalities": ["flair", "t1"],
    "subject": "^(.+)-[0-9]+$",
    "files": {"flair": ["flair"], "t1": ["t1"], "label": ["seg"]},
    "labels": [{"name": "oedema", "values": [2]}, {"name": "core", "values": [4, 3]}],
    "regions": [{"name": "whole", "labels": ["oedema", "core"]}, {"name": "core", "labels": ["core"]}],
}
PRESENT = {"patient1-1": ("flair", "t1"), "patient2-1": ("flair",)}
"""The second case lacks t1."""


def image(case, modality):
    """Values of a file: a formula, so that only arithmetic says what must be read. t1 is float32, flair int16."""
    first, second, third = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    values = 10 + (1 + list(PRESENT).index(case)) * first + 7 * second * third - 3 * first * third
    values[:1], values[:, -2:] = 0, 0
    return (values * 0.37).astype(np.float32) if modality == "t1" else values.astype(np.int16)


def label(case):
    """Values of the label file: 2 and 4 in the first case, 2 in the second."""
    values = np.zeros(SHAPE, np.uint8)
    values[2:7, 1:5, 1:6] = 2
    if case == "patient1-1":
        values[3:5, 2:4, 2:4] = 4
    return values


def make(folder):
    """Run the first three commands on both cases."""
    with tempfile.TemporaryDirectory() as raw:
        for case, present in PRESENT.items():
            arrays = {modality: image(case, modality) for modality in present} | {"seg": label(case)}
            write_raw(Path(raw), case, (), arrays=arrays, affines=dict.fromkeys(arrays, AFFINE))
        preprocess(Path(raw), parse_description(TREE, "old"), folder, Preprocess(workers=1))
    split(Store(folder), SplitSettings(ratios=(0.5, 0, 0.5), seed=1))
    make_imbalance(Store(folder), Imbalance(rates="mr28", rule="bernoulli"), None)
    (folder / ".store.lock").unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
