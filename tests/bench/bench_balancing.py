"""What a balancer costs: its training step beside a plain one, with ``fused`` and four modalities, on ``unet``.

    make bench                                               the table
    .venv/bin/python tests/bench/bench_balancing.py --json   the same numbers for scripts

Both steps are done in turns, on one thread, and the median of the ratios of their CPU seconds counts, so that a noisy
machine disturbs both alike. The bound is 2.5 for those that merge gradients (one backward pass for each task), 1.05 for
those that weigh losses; FAMO, which looks at its losses again after each step, has none. Patches are those of real
trainings; smaller ones (``--patch 48``) cost more, as modalities then go one by one through layers that a batch of all
would fill. By default one of each kind is measured; ``--balancers`` names others. It reports and never fails.
"""

import argparse
import time
from statistics import median

import torch
from _steps import BRATS, make_batch, make_training
from _timing import Row, show

from hga_cli.core.catalog import BALANCERS

GRADIENTS, LOSSES = 2.5, 1.05


def joint(balancer, options):
    return make_training(options.backbone, "fp32", "contiguous", patch=options.patch, method="joint", balancer=balancer)


def bound(name):
    kind = BALANCERS.load(name)
    return GRADIENTS if kind.apart else None if kind.looks_back else LOSSES


def cpu_seconds(training, batch):
    start = time.process_time()
    training.learn(batch)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="unet")
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--balancers", nargs="+", default=["pcgrad", "gradnorm", "dwa", "famo"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batch = make_batch(BRATS, options.patch)
    plain = joint("equal", options)
    plain.learn(batch)
    rows = []
    for name in options.balancers:
        ours = joint(name, options)
        ours.learn(batch)
        pairs = [(cpu_seconds(ours, batch), cpu_seconds(plain, batch)) for _ in range(options.steps)]
        ratio = median(mine / usual for mine, usual in pairs)
        rows.append(Row(what=name, unit="x plain step", ours=ratio, target=bound(name)))
    show(f"step with a balancer, {options.backbone}, {options.patch}^3, 5 tasks", rows, as_json=options.json)


if __name__ == "__main__":
    main()
