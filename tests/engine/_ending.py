"""Waits for processes that tests start: none is waited for without end, and one that hangs shows where."""

import os
import signal
import subprocess
import sys
from threading import Timer

import pytest

CALM = {**os.environ, "OMP_NUM_THREADS": "1", "HGA_DEVICE": "cpu", "PYTHONFAULTHANDLER": "1"}
"""The last makes SIGABRT write the stacks of all threads."""


def started(*words):
    """Start Python in a session of its own, with pipes for what it says."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *map(str, words)], env=CALM, start_new_session=True, **pipes)


def ended(process, seconds):
    """Return what a process says, once it and all its descendants have ended: each of them holds the pipes open.

    Those that are left after ``seconds`` are ended, and the test fails with the stacks of their threads.
    """
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)
    _, stacks = process.communicate(timeout=30)
    pytest.fail(f"after {seconds} s this or a descendant has not ended: {process.args}\n{stacks}")


def wait_for_line(process, start, seconds):
    """Read stderr up to the line that starts so; if it does not come, the test fails with all that came."""
    alarm = Timer(seconds, os.killpg, (process.pid, signal.SIGABRT))
    alarm.start()
    lines = [process.stderr.readline()]
    while lines[-1] and not lines[-1].startswith(start):
        lines.append(process.stderr.readline())
    alarm.cancel()
    assert lines[-1], "".join(lines)
