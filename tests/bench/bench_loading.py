"""What a training does to have its samples: the time of one, and the processes and memory of those that read ahead.

    make bench                                             the table
    .venv/bin/python tests/bench/bench_loading.py --json   the same numbers for scripts

A sample is a patch of four modalities, around a labelled voxel, read from the store and augmented, in one thread.
"Usual": whole float32 arrays are loaded from .npy files, then cropped, rotated by scipy, changed in intensity and
flipped. Both are done in turns. Processes and memory are those of ``hga train --preset brats``, looked at while one
cycle of HGA is trained; memory is the sum of their proportional shares (PSS), so that what they share counts once.
"Usual" there is counted, not started: a pool of 8 processes for each combination, and the training. Cases are real or
phantoms as in bench_data.py. It reports and never fails; for Linux, whose /proc it reads.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from _cases import BRATS, raw_folder, usual_way
from _timing import Row, in_turns, show
from scipy.ndimage import rotate

from hga_cli.core.combinations import all_combinations
from hga_cli.core.config import resolve
from hga_cli.core.settings import Augmentation, Data, Preprocess, Split
from hga_cli.data.loading import Patches
from hga_cli.data.raw.discovery import discover
from hga_cli.data.sampling import CaseSampler
from hga_cli.data.store import Store
from hga_cli.workflows.preprocess import preprocess
from hga_cli.workflows.split import split

USUAL_POOL = 8
PRESET = "brats"
INTERVAL = 0.2
"""Seconds between two looks at the processes."""


def usual_sample(folder, case, patch, generator):
    """Return images (M, *patch) and label of a whole case that was loaded, cropped and augmented."""
    images, label = (np.load(folder / f"{case}_{kind}.npy") for kind in ("vol", "seg"))
    start = generator.integers(0, np.maximum(np.array(label.shape) - patch, 0) + 1)
    cut = tuple(slice(low, low + size) for low, size in zip(start, patch, strict=True))
    plane, angle = ((0, 1), (0, 2), (1, 2))[generator.integers(3)], generator.uniform(-10, 10)
    images, label = (rotate(array[cut], angle, plane, reshape=False, order=0) for array in (images, label))
    scale, shift = (generator.uniform(low, high, 4).astype(np.float32) for low, high in ((0.9, 1.1), (-0.1, 0.1)))
    flips = tuple(np.flatnonzero(generator.random(3) < 0.5))
    images, label = np.flip(images * scale + shift, flips), np.flip(label, flips)
    return (torch.from_numpy(np.ascontiguousarray(array)) for array in (images.transpose(3, 0, 1, 2), label))


def sample_row(store, arrays, options):
    """Time both ways to a sample, in turns."""
    available = dict.fromkeys(store.cases, store.modalities)
    sampler = CaseSampler(available, store.modalities, batch=1, order="fixed", seed=0)
    patch, generator = (options.patch,) * 3, np.random.default_rng(0)
    patches = Patches(store, sampler, Data(patch=patch, foreground=1.0), Augmentation(), seed=0)
    ways = {
        "ours": lambda step: patches[step],
        "usual": lambda step: usual_sample(arrays, sampler.draw(step).cases[0], patch, generator),
    }
    in_turns(ways, [(step,) for step in range(len(store.cases))])
    found = in_turns(ways, [(step,) for step in range(options.reads)])
    ours, usual = (1000 * found[way] for way in ways)
    return Row(what="read and augment a sample", unit="ms", ours=ours, usual=usual, target=20)


def family(root):
    """Return the ids of a process and of all that it started, themselves or through others."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text(encoding="latin-1").rpartition(")")[2].split()[1])
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory_of(processes):
    """Return process -> proportional share of memory in GiB, of those that are still there."""
    found = {}
    for process in processes:
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
            found[process] = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**20
    return found


def watch(command):
    """Run a command and return what it had at most: processes, GiB of all, GiB of those it started."""
    looks = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as main:
        while not looks or main.poll() is None:
            memory = memory_of(family(main.pid))
            looks.append((len(memory), sum(memory.values()), sum(memory.values()) - memory.get(main.pid, 0)))
            time.sleep(INTERVAL)
    if main.returncode:
        raise subprocess.CalledProcessError(main.returncode, command)
    return tuple(map(max, zip(*looks, strict=True)))


def process_rows(store, top, options):
    """Train one cycle with the workers of the preset."""
    split(store, Split(ratios=(0.5, 0.25, 0.25)))
    workers, combinations = resolve(recipe=PRESET).data.workers, len(all_combinations(store.modalities))
    size = ["--set", f"data.patch={[options.patch] * 3}"]
    where = ["--dataset", str(store.path), "--runs-dir", str(top / "runs"), "--run", "bench", "--device", "cpu"]
    what = ["--preset", PRESET, "--method", "hga-published", "--epochs", "1", "--iterations", str(combinations)]
    silent = ["--set", "validation.every=0", "--quiet"]
    count, memory, loaders = watch([sys.executable, "-m", "hga_cli", "train", *where, *what, *size, *silent])
    usual = combinations * USUAL_POOL + 1
    return [
        Row(what=f"processes, {workers} workers", unit="", ours=count, usual=usual, target=workers + 1),
        Row(what="  memory of all (PSS)", unit="GiB", ours=memory),
        Row(what="  memory of those that read ahead (PSS)", unit="GiB", ours=loaders),
    ]


def main():
    parser = argparse.ArgumentParser(description="Samples of a training: time, processes, memory.")
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--reads", type=int, default=100)
    parser.add_argument("--shape", type=int, nargs=3, help="phantoms of this size instead of real patients")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        raw = raw_folder(top, options.shape)
        usual_way(discover(raw, BRATS, need_label=True).cases, top / "arrays")
        preprocess(raw, BRATS, top / "store", Preprocess(workers=1))
        store = Store(top / "store")
        rows = [sample_row(store, top / "arrays", options), *process_rows(store, top, options)]
    show(f"samples of a training, {options.patch}^3, {len(store.cases)} cases", rows, as_json=options.json)


if __name__ == "__main__":
    main()
