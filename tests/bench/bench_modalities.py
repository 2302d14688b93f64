"""How the cost of a backbone grows with the number of modalities M.

    make bench
    .venv/bin/python tests/bench/bench_modalities.py --backbone rfnet

Encoding all M, fusing all 2^M - 1 combinations (both without gradient), and a training step of HGA with all M present,
at 48^3 with batch 1; memory is that of a process of its own. It reports and never fails.
"""

import argparse
import json
import subprocess
import sys

import torch
from _steps import make_batch, make_training
from _timing import Row, in_turns, peak_memory, show

from hga_cli.core.combinations import all_combinations

COUNTS = (3, 4, 5, 6)
PATCH = 48
BACKBONES = ("unet", "mmformer", "rfnet", "m2ftrans")


def measure(backbone, count, rounds):
    """Return medians in seconds, and the memory in GiB."""
    names = tuple(f"m{index}" for index in range(count))
    training = make_training(backbone, "fp32", "channels_last", modalities=names, patch=PATCH)
    batch = make_batch(names, PATCH)
    features = {}

    def encode():
        with torch.inference_mode():
            features.update(training.model.encode(batch.images))

    def fuse():
        with torch.inference_mode():
            for combination in all_combinations(names):
                training.model.fuse(features, combination)

    tasks = {"encode": encode, "fuse": fuse, "step": lambda: training.learn(batch)}
    in_turns(tasks, [()])
    found = in_turns(tasks, [()] * rounds)
    return {**found, "memory": peak_memory()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.count:
        print(json.dumps(measure(options.backbone[0], options.count, options.rounds)))
        return
    rows = []
    for backbone in options.backbone or BACKBONES:
        for count in COUNTS:
            words = ["--backbone", backbone, "--count", str(count), "--rounds", str(options.rounds)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            combinations = 2**count - 1
            name = f"{backbone}, M = {count}"
            rows += [
                Row(what=f"{name}: encode, per modality", unit="s", ours=found["encode"] / count),
                Row(what=f"  fuse, per combination ({combinations})", unit="s", ours=found["fuse"] / combinations),
                Row(what="  training step with all, per modality", unit="s", ours=found["step"] / count),
                Row(what="  memory", unit="GiB", ours=found["memory"]),
            ]
    show(f"cost by the number of modalities, {PATCH}^3, fp32", rows, as_json=options.json)


if __name__ == "__main__":
    main()
