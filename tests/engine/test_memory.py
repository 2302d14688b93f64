"""Memory of large tensors is kept and used again on a CPU."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from hga_cli.engine.memory import keep_memory

if "keep" in sys.argv:
    keep_memory()
for _ in range(20):
    torch.zeros(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.zeros(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 5 * 2**25 // 4096
"""Of five tensors of 32 MiB."""


def faults(*words, **variables):
    """How many pages a process fetches for tensors, where others have been and gone.

    The C library may leave a first few gaps alone, as it asks for a little more room than it gives.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS, *words]
    done = subprocess.run(command, env={**environment, **variables}, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux")
def test_large_tensors_take_the_place_of_those_that_are_gone():
    assert faults("keep") < PAGES / 100


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library of Linux")
def test_who_sets_the_memory_of_the_c_library_is_left_alone():
    assert faults("keep", MALLOC_TOP_PAD_="0") == pytest.approx(faults(), rel=0.2)
