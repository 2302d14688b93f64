"""What a step of each run costs: the trainings of a regime are built again, and make one step each in turn."""

import time
from collections import defaultdict
from statistics import fmean

import torch
from tables import scores_of

from hga_cli.core.config import resolve
from hga_cli.data.store import Store
from hga_cli.engine.training import Training
from hga_cli.workflows.plan import patches_of, plan, scheme_of

STEPS = 60
"""Four cycles over 15 combinations; one more step before them warms up."""
CPU = torch.device("cpu")


def step_costs(work):
    """Return regime -> run -> mean seconds of a step with its reading, on one thread with nothing beside."""
    torch.set_num_threads(1)
    runs = {
        regime: [name for name in work.plan["runs"] if scores_of(work, regime, name)] for regime in work.plan["regimes"]
    }
    return {regime: in_turn({name: _training(work, regime, name) for name in names}) for regime, names in runs.items()}


def in_turn(trainings):
    """Return run -> mean seconds of a step: what steps draw differs from run to run, when they are made does not."""
    seconds = defaultdict(list)
    for step in range(STEPS + 1):
        for name, (training, patches) in trainings.items():
            began = time.perf_counter()
            training.learn(patches[step])
            seconds[name].append(time.perf_counter() - began)
    return {name: fmean(times[1:]) for name, times in seconds.items()}


def _training(work, regime, name):
    """Return the first training of a run at its start, and what its steps see."""
    ((folder, *_), *_) = scores_of(work, regime, name).folders
    planned = plan(Store(work.store), resolve(file=folder / "config.toml"), CPU)
    return Training(scheme_of(planned)), patches_of(planned)
