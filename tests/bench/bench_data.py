"""Speed and size of the data part, beside the usual way: float32 arrays in .npy files, as many research codes have it.

    make bench                                          the table
    .venv/bin/python tests/bench/bench_data.py --json   the same numbers for scripts

Uses scans of real patients where they are at hand (``HGA_REAL_DATA``, or ``../shared/data``), else phantoms of the same
size. Every file has been read before it is timed, so that the disk plays no part: .npy files come from memory here, and
four times fewer of them fit there. Starting the workers is part of their time. It reports and never fails.
"""

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from _cases import BRATS, REAL, raw_folder, usual_way
from _timing import Row, in_turns, show

from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.discovery import discover
from hga_cli.data.store import Box, Store
from hga_cli.workflows.preprocess import preprocess

PATCH = (80, 80, 80)
ROUNDS, READS = 3, 100
MEBIBYTE = 1 << 20


def read_arrays(folder, case, start, *, mmap_mode):
    """Read a patch from the .npy files, as they are or mapped into memory."""
    cut = tuple(slice(low, low + size) for low, size in zip(start, PATCH, strict=True))
    for kind in ("vol", "seg"):
        np.ascontiguousarray(np.load(folder / f"{case}_{kind}.npy", mmap_mode=mmap_mode)[cut])


def read_store(store, case, start):
    """Read what a training needs for one patch, with everything opened anew."""
    store.foreground(case)
    store.patch(case, store.modalities, Box(start=start, size=PATCH))


def measure_reading(store, arrays):
    """Return medians in seconds of reading patches at random positions inside the cases."""
    generator = np.random.default_rng(0)
    names = list(store.cases)
    places = []
    for number in range(READS):
        case = names[number % len(names)]
        shape = np.minimum(store.cases[case].shape, np.load(arrays / f"{case}_seg.npy", mmap_mode="r").shape)
        places.append((case, tuple(generator.integers(0, np.maximum(shape - PATCH, 0) + 1).tolist())))
    ways = {
        "store": lambda case, start: read_store(store, case, start),
        "load": lambda case, start: read_arrays(arrays, case, start, mmap_mode=None),
        "map": lambda case, start: read_arrays(arrays, case, start, mmap_mode="r"),
    }
    return in_turns(ways, places)


def largest_error(store, cases):
    """Return how far a stored z-score is from that of the file, at most."""
    worst = 0.0
    for case in cases:
        trail = store.trail(case.case)
        for role, path in case.images.items():
            raw = np.asarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj, np.float64)
            inside = raw[raw != 0]
            z = (trail.crop(raw) - inside.mean()) / inside.std()
            worst = max(worst, float(np.abs(store.images(case.case, [role])[0] - z).max()))
    return worst


def mean_megabytes(paths, cases):
    return sum(path.stat().st_size for path in paths) / 1e6 / cases


def peak_of_workers():
    """Return the largest memory of any process this one started and saw end, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (MEBIBYTE if sys.platform == "darwin" else 1024)


def measure(raw, top):
    """Return all rows."""
    cases = discover(raw, BRATS, need_label=True).cases
    arrays, rounds = top / "arrays", [(number,) for number in range(ROUNDS)]
    ways = {
        "usual": lambda number: usual_way(cases, arrays),
        "one": lambda number: preprocess(raw, BRATS, top / f"one-{number}", Preprocess(workers=1)),
        "two": lambda number: preprocess(raw, BRATS, top / f"two-{number}", Preprocess(workers=2)),
    }
    taken = {name: value / len(cases) for name, value in in_turns(ways, rounds).items()}
    store = Store(top / "two-0")
    reading = {name: 1000 * value for name, value in measure_reading(store, arrays).items()}
    ours, usual = (mean_megabytes(folder.iterdir(), len(cases)) for folder in (store.path / "cases", arrays))
    return [
        Row(what="preprocess a case, 1 worker", unit="s", ours=taken["one"], usual=taken["usual"]),
        Row(what="preprocess a case, 2 workers", unit="s", ours=taken["two"], usual=taken["usual"], target=0.6),
        Row(what="memory of a worker, at most", unit="MiB", ours=peak_of_workers(), target=1024),
        Row(what="size of a case", unit="MB", ours=ours, usual=usual, target=16),
        Row(what="read a patch (np.load)", unit="ms", ours=reading["store"], usual=reading["load"], target=15),
        Row(what="read a patch (np.load, mapped)", unit="ms", ours=reading["store"], usual=reading["map"], target=15),
        Row(what="largest error of a z-score", unit="std", ours=largest_error(store, cases), target=0.005),
    ]


def main():
    parser = argparse.ArgumentParser(description="Speed and size of the data part.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        raw = raw_folder(top)
        source = "real patients" if raw == REAL else "phantoms"
        title = f"Cases of {source}, patches of {PATCH}; medians, {os.cpu_count()} cores"
        show(title, measure(raw, top), as_json=as_json)


if __name__ == "__main__":
    main()
