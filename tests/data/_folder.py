"""A raw folder of five cases, and preprocessing it."""

from _raw import BRATS, MODALITIES, write_raw

from hga_cli.core.settings import Preprocess
from hga_cli.workflows.preprocess import Shard, preprocess

CASES = {
    "p1": MODALITIES,
    "p2": ("flair", "t1"),
    "p3": MODALITIES,
    "p4": ("t2",),
    "p5": MODALITIES,
}


def write_cases(folder):
    """Write the cases and return the folder."""
    for case, present in CASES.items():
        write_raw(folder, case, present)
    return folder


def run(raw, store, *, workers=1, shard=None, overwrite=False, progress=None, **settings):
    return preprocess(
        raw,
        BRATS,
        store,
        Preprocess(workers=workers, **settings),
        shard=shard and Shard(index=shard[0], count=shard[1]),
        overwrite=overwrite,
        progress=progress,
    )
