"""A damaged store ends a training with one clear error, whoever reads it, and never hangs."""

import random

import h5py
import pytest

from hga_cli.core.errors import HgaError
from hga_cli.data.store import Store, case_path


def spoil_images(store, cases):
    """Flip a byte in the first chunk of every image."""
    for case in cases:
        path = case_path(store, case)
        with h5py.File(path) as file:
            places = [image.id.get_chunk_info(0).byte_offset for image in file["images"].values()]
        content = bytearray(path.read_bytes())
        for place in places:
            content[place + 8] ^= 255
        path.write_bytes(bytes(content))


@pytest.mark.parametrize("workers", [0, 1])
def test_training_ends_with_the_name_of_the_file(hga, tiny, workers):
    store = tiny.store
    spoil_images(store, Store(store).cases)
    words = tiny.training("--epochs", 1, "--run", "a", "--set", f"data.workers={workers}")
    hga.refuses(*words, code=3, says=[".h5' is damaged", "hint: remove it"])


@pytest.mark.parametrize("seed", range(40))
def test_changed_bytes_are_an_error_of_ours_or_none(tiny, seed):
    """Whatever byte runs of index or case file change: reading works or raises one of our errors."""
    store, drawn = tiny.store, random.Random(seed)
    case = drawn.choice(sorted(Store(store).cases))
    path = drawn.choice([store / "store.h5", case_path(store, case)])
    content = bytearray(path.read_bytes())
    place = drawn.randrange(len(content) - 64)
    content[place : place + 64] = drawn.randbytes(64)
    path.write_bytes(bytes(content))
    try:
        opened = Store(store)
        opened.images(case, opened.cases[case].modalities)
        opened.label(case), opened.reference(case), opened.trail(case), opened.foreground(case)
    except HgaError as error:
        assert error.hint
