"""Case D08: a container whose shared memory is too small for the batches that workers read ahead."""

import shutil
import subprocess

import pytest

from hga_cli.core.progress import Silent
from hga_cli.core.settings import Data
from hga_cli.data.shared_memory import FOLDER, workers_that_fit

PATCH = (96, 96, 96)
EACH = 96**3 * 17 * 5
"""Four modalities of four bytes and the label; four batches ahead and one on its way."""


class Ears(Silent):
    def __init__(self):
        self.warned = []

    def warn(self, text):
        self.warned.append(text)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="no /dev/shm")
@pytest.mark.parametrize(
    ("free", "expected"), [(64 << 20, 0), (EACH, 1), (3 * EACH + 5, 3), (8 * EACH, 8), (1 << 40, 8)]
)
def test_as_many_workers_as_fit(monkeypatch, free, expected):
    usage = shutil.disk_usage(FOLDER)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    ears = Ears()
    assert workers_that_fit(Data(patch=PATCH, workers=8), 4, 4, ears) == expected
    assert len(ears.warned) == (expected < 8)
    for text in ears.warned:
        assert "/dev/shm" in text
        assert "--shm-size" in text


def test_no_workers_need_no_shared_memory(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", None)
    assert workers_that_fit(Data(patch=PATCH, workers=0), 4, 4, Ears()) == 0


def small_shared_memory(*words):
    """Run a command where /dev/shm has 2 MB."""
    mount = 'mount -t tmpfs -o size=2m tmpfs /dev/shm && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *map(str, words)], capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(
    not shutil.which("unshare") or small_shared_memory("true").returncode,
    reason="not allowed to mount a small /dev/shm",
)
def test_training_with_little_shared_memory_ends_well(tiny, program_path):
    large = ["--set", "data.workers=2", "--set", "data.patch=[48,48,48]"]
    done = small_shared_memory(program_path, *tiny.training(*large, "--epochs", 1, "--run", "small"))
    assert done.returncode == 0, done.stderr
    assert "/dev/shm has 2 MB free, 2 workers need" in done.stderr
