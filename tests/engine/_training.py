"""Tiny stores and settings for tests that train."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from hga_cli.core.config import resolve
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.loading import Patches
from hga_cli.data.raw.description import parse_description
from hga_cli.data.raw.prepare import Preparation, PreparedCase, PreparedImage
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split, save_table, update_index, write_case
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.training import Scheme, Training
from hga_cli.imaging.normalise import foreground_statistics
from hga_cli.imaging.trail import Trail
from hga_cli.workflows.plan import plan
from hga_cli.workflows.train import train

MODALITIES = ("flair", "t1ce", "t2")
SHAPE = (18, 17, 16)
CASES = {
    "case-0": ("flair", "t1ce", "t2"),
    "case-1": ("flair", "t2"),
    "case-2": ("t1ce",),
    "case-3": ("flair", "t1ce"),
    "case-4": ("t2",),
}
"""What each training case may use: all seven combinations have a pool, no modality is complete."""
TINY = {
    "data.patch": [12, 12, 12],
    "data.batch": 2,
    "data.workers": 0,
    "network.width": 4,
    "optim.learning_rate": 1e-3,
    "optim.epochs": 2,
    "optim.iterations": 7,
}


def description():
    return parse_description(
        {
            "name": "tiny",
            "modalities": MODALITIES,
            "files": {name: [f"_{name}"] for name in (*MODALITIES, "label")},
            "labels": [{"name": "core", "values": [1]}, {"name": "oedema", "values": [2]}],
            "regions": [{"name": "whole", "labels": ["core", "oedema"]}],
        },
        "tests",
    )


def make_store(path, cases=None, *, table=None, shape=SHAPE):
    """Write a store of training cases.

    Args:
        path: its folder.
        cases: case -> modalities that are on disk; images depend on the names of case and modality only.
        table: case -> modalities that may be used, kept as imbalance table "hidden".
        shape: D, H, W.
    """
    cases = cases or CASES
    for case, present in cases.items():
        write_case(path, prepared(case, present, shape), fingerprint=case)
    names = list(cases)
    update_index(path, description(), found=names, examined=names, skipped=[], preparation=Preparation())
    save_split(path, Split(name="default", train=sorted(cases), val=[], test=[]))
    if table:
        rows = [tuple(modality in table[case] for modality in MODALITIES) for case in sorted(table)]
        save_table(path, ImbalanceTable(name="hidden", cases=sorted(table), modalities=MODALITIES, available=rows))
    return Store(path)


def prepared(case, present, shape):
    label = np.zeros(shape, np.uint8)
    start = 2 + sum(case.encode()) % 3
    label[start : start + 9, 3:13, 3:12] = 2
    label[start + 2 : start + 6, 5:10, 5:9] = 1
    images = {}
    for modality in present:
        noise = np.random.default_rng(list(f"{case} {modality}".encode())).integers(20, 60, shape)
        raw = (noise + 40 * label * (1 + MODALITIES.index(modality))).astype(np.int16)
        images[modality] = PreparedImage(raw=raw, statistics=foreground_statistics(raw))
    return PreparedCase(
        case=case,
        subject=case,
        images=images,
        label=label,
        reference=label,
        label_values={"core": 1, "oedema": 2},
        label_voxels={"core": int((label == 1).sum()), "oedema": int((label == 2).sum())},
        trail=Trail.along(shape, np.eye(4), ((0, 0, 0), shape), None),
        like=None,
        sources={},
    )


def settings(method="hga-published", **changes):
    """Tiny settings of a method; ``settings("joint", optim__epochs=3)``."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return resolve(flags={"method.name": method, **TINY, **dotted})


def planned(store, config):
    return plan(store, config, torch.device("cpu"))


def training_of(planned):
    """The training of a plan and its patches, without a run folder."""
    scheme = Scheme(
        config=planned.config,
        modalities=planned.store.modalities,
        classes=planned.store.description.classes,
        device=planned.device,
        iterations=planned.config.optim.iterations,
    )
    config = planned.config
    return Training(scheme), Patches(planned.store, planned.sampler, config.data, config.augmentation, seed=config.seed)


def run_folder(path):
    path.mkdir(parents=True)
    return RunFolder(path)


def finished(store, config, path):
    """A run that was trained in one go."""
    run = run_folder(path)
    train(planned(store, config), run)
    return run


def journal(run):
    return [json.loads(line) for line in Path(run.path / "journal.jsonl").read_text().splitlines()]


def assert_same_tensors(left, right):
    assert left.keys() == right.keys(), left.keys() ^ right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different, different


def assert_same_run(left, right):
    """All tensors of the last checkpoints, their plain values and the journals are equal, bit for bit."""
    (tensors, about), (others, other_about) = load_checkpoint(left.last), load_checkpoint(right.last)
    assert_same_tensors(tensors, others)
    assert about["training"] == other_about["training"], (about["training"], other_about["training"])
    assert journal(left) == journal(right), (journal(left), journal(right))


@contextmanager
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
