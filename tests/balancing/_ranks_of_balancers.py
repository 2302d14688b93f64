"""One rank of trainings with several balancers, started by a test: ``_ranks_of_balancers.py STORE OPTIONS``.

OPTIONS is JSON: balancer -> its options. Each is trained for three epochs in one go, and again from what the first rank
knows in the middle of the second one. All ranks must have the same in the end, and both trainings too.
"""

import json
import sys
from pathlib import Path

import torch
from _training import assert_same_tensors, settings

from hga_cli.data.loading import Patches
from hga_cli.data.store import Store
from hga_cli.engine.ranks import joined_ranks
from hga_cli.engine.training import Training
from hga_cli.workflows.plan import plan, scheme_of

STEPS, CUT, EPOCH = 6, 3, 2


def check(planned, ranks):
    """Train in one go and resumed; say how many steps moved no weight."""
    config = planned.config
    part = (ranks.rank, ranks.count)
    patches = Patches(planned.store, planned.sampler, config.data, config.augmentation, seed=config.seed, part=part)
    whole, resumed = Training(scheme_of(planned)), Training(scheme_of(planned))
    still = 0
    for step in range(STEPS):
        if step == CUT:
            tensors = {name: value.clone() for name, value in whole.tensors().items()}
            resumed.load(*ranks.from_first((tensors, whole.state())))
        for training in (whole, resumed)[: 1 + (step >= CUT)]:
            training.learn(patches[step])
            if training.step % EPOCH == 0:
                training.end_epoch()
        still += all(parameter.grad is None for parameter in whole.model.parameters())
    for other in [*ranks.gather(whole.tensors()), resumed.tensors()]:
        assert_same_tensors(other, whole.tensors())
    return still


def main():
    store, options = sys.argv[1:]
    torch.set_num_threads(1)
    device = torch.device("cpu")
    with joined_ranks(device) as ranks:
        for name, some in json.loads(options).items():
            changes = {"optim__balancer": name, "optim__balancer_options": some, "optim__iterations": EPOCH}
            config = settings("joint", **changes, optim__epochs=STEPS // EPOCH, data__patch=[8, 8, 8])
            still = check(plan(Store(Path(store)), config, device, ranks), ranks)
            if ranks.is_first:
                print(name, still)


main()
