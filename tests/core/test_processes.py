"""Processes that work for another one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SECONDS = 60


def test_no_worker_outlives_a_process_that_was_killed(tmp_path):
    command = [sys.executable, str(Path(__file__).parent / "_pool.py"), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        process.communicate(timeout=SECONDS)  # each worker holds the pipe open
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
