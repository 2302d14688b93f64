"""One rank of a training, started by a test: ``_ranks.py STORE RUN METHOD SETTINGS [--resume|--stop-after N]``."""

import json
import sys
from pathlib import Path

import torch
from _interrupting import StopAfter
from _training import settings

from hga_cli.core.progress import Silent
from hga_cli.core.run_folder import RunFolder, WatchedRun
from hga_cli.data.store import Store
from hga_cli.engine.loop import Interrupted
from hga_cli.engine.ranks import joined_ranks
from hga_cli.workflows.plan import plan
from hga_cli.workflows.train import train


def main():
    store, folder, method, changes, *more = sys.argv[1:]
    torch.set_num_threads(1)
    device = torch.device("cpu")
    with joined_ranks(device) as ranks:
        run = (RunFolder if ranks.is_first else WatchedRun)(Path(folder))
        asked = more[:1] == ["--stop-after"] and ranks.rank == 1  # the second rank alone is asked to stop: all must
        progress = StopAfter(int(more[1])) if asked else Silent()
        planned = plan(Store(Path(store)), settings(method, **json.loads(changes)), device, ranks)
        try:
            train(planned, run, resume="--resume" in more, progress=progress)
        except Interrupted:
            assert more[:1] == ["--stop-after"]


main()
