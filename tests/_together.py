"""Two ranks of one command, with the environment a launcher gives them, in forks that need not import torch."""

import os
import runpy
import socket
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["hga_cli.workflows.train", "hga_cli.workflows.evaluate", "hga_cli.workflows.predict"])
HGA = "hga_cli"
RANKS = 2
STREAMS = {"out": 1, "err": 2}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def together(program, *words, patience=120):
    """Run a script, or ``HGA``, in processes that nobody watches; return (exit code, stdout, stderr) of both."""
    usual = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(RANKS), "COLUMNS": "300"}
    with TemporaryDirectory() as top:
        processes = []
        for rank in range(RANKS):
            environment = {**os.environ, **usual, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            files = {name: Path(top) / f"{rank}.{name}" for name in STREAMS}
            processes.append(FORKS.Process(target=_run, args=(program, list(map(str, words)), environment, files)))
        try:
            for process in processes:
                process.start()
            until = time.monotonic() + patience
            for process in processes:
                process.join(max(0, until - time.monotonic()))
        finally:
            late = [process for process in processes if process.pid and process.is_alive()]
            for process in late:
                process.kill()
                process.join()
        told = [[(Path(top) / f"{rank}.{name}").read_text() for name in STREAMS] for rank in range(RANKS)]
        if late:
            pytest.fail(f"after {patience} s not all ranks have ended: {program} {words}\n{told}")
        return [(process.exitcode, *texts) for process, texts in zip(processes, told, strict=True)]


def run_ranks(program, *words, patience=120):
    """Run two ranks, insist that they end well, and return [(stdout, stderr)]."""
    outcomes = together(program, *words, patience=patience)
    assert [code for code, *_ in outcomes] == [0, 0], "".join(err for *_, err in outcomes)
    return [texts for _, *texts in outcomes]


def _run(program, words, environment, files):
    """Be one rank: what ``python PROGRAM WORDS`` would do with these variables and with files as streams."""
    os.environ.clear()
    os.environ.update(environment)
    for name, number in STREAMS.items():
        os.dup2(os.open(files[name], os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [str(program), *words]
    if program == HGA:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(str(program), run_name="__main__")
