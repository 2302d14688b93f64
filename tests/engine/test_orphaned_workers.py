"""Workers that read ahead end when their process is killed with SIGKILL, which it cannot tell them."""

import signal
from pathlib import Path

import pytest
from _ending import ended, started

MOMENTS = ("starting", "reading", "writing", "waiting")
WORKERS = 2
SECONDS = 60
"""From the start of a process to the end of its last worker, on a busy machine; alone it takes 4."""


@pytest.fixture(scope="module")
def killed():
    """All are started before one is waited for."""
    return {moment: started(Path(__file__).parent / "_orphaned.py", moment, WORKERS) for moment in MOMENTS}


@pytest.mark.parametrize("moment", MOMENTS)
def test_no_worker_outlives_its_process(killed, moment):
    said, errors = ended(killed[moment], SECONDS)
    assert killed[moment].returncode == -signal.SIGKILL, errors
    assert said.startswith("worker "), errors
