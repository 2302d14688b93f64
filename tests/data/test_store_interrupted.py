"""Ends that no program chooses: a process is killed, a disk is full. What lies under a final name is whole."""

import errno
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from _stores import SPLIT, files, index

from hga_cli.data.store import Store, save_split, stored_fingerprint, write_case

HERE = Path(__file__).parent
PREPARE = """
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from _raw import prepared, write_raw
from _stores import SPLIT, index
from hga_cli.data.store import save_split, write_case
store = Path(sys.argv[1])
case = prepared(write_raw(Path(sys.argv[2]), "p1"))
"""
DIE = """
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
write_case(store, case, "new")
"""
FULL = """
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    {action}
except OSError as error:
    print(error.errno, error.filename, sep="\\n")
"""
ACTIONS = {
    "a new case": ('write_case(store / "new", case, "new")', "new/cases/p1.h5"),
    "a case again": ('write_case(store, case, "new")', "cases/p1.h5"),
    "a split": ("save_split(store, SPLIT)", "store.h5"),
    "the index": ('index(store, ["p1"])', "store.h5"),
}


def run(code, path):
    command = [sys.executable, "-c", PREPARE + code, path, path.parent / "raw", HERE]
    return subprocess.run(command, cwd=HERE.parents[1], check=False, capture_output=True, text=True)


def test_kill_before_the_renaming_leaves_no_half_case(path, cases):
    before = files(path)
    assert run(DIE, path).returncode == -signal.SIGKILL
    after = files(path)
    assert {name: content for name, content in after.items() if name in before} == before
    (left,) = after.keys() - before.keys()
    assert Path(left).name.startswith(".")
    Store(path).require_complete()
    write_case(path, cases["p1"], "new")
    assert stored_fingerprint(path, "p1") == "new"


@pytest.mark.parametrize(("action", "name"), ACTIONS.values(), ids=list(ACTIONS))
def test_full_disk_is_an_error_and_loses_nothing(path, action, name):
    before = files(path)
    ended = run(FULL.format(action=action), path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [str(errno.EFBIG), str(path / name)]
    assert files(path) == before


def test_after_a_full_disk_the_same_again_succeeds(path, cases):
    """In this process, where nothing of HDF5 may be left open by the failure."""
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, was[1]))
    new = replace(cases["p2"], case="p4")
    try:
        for write in (lambda: write_case(path, new, "x"), lambda: save_split(path, SPLIT)):
            with pytest.raises(OSError, match="File too large"):
                write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
    write_case(path, new, "x")
    save_split(path, SPLIT)
    store = index(path, ["p1", "p2", "p3", "p4"])
    assert store.split(None) == SPLIT
    assert store.images("p4", ["t2"]).tobytes() == store.images("p2", ["t2"]).tobytes()
