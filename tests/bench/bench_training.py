"""What a training step of HGA costs, beside a code that computes every modality, present or not, one after another.

    make bench                                              the table
    .venv/bin/python tests/bench/bench_training.py --json   the same numbers for scripts

A step at 80^3 with batch 1 and two threads, for the backbone ``--backbone`` (default: unet). "Usual" is our own network
made to work like scripts of this field: all M modalities go through it one by one in every step, whatever is there. The
mean over all combinations weighs the numbers of modalities by how many combinations have them. Memory is that of a
process that does nothing else. It reports and never fails.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from math import comb
from statistics import median

import torch
from _timing import Row, show

from hga_cli.core.config import resolve
from hga_cli.data.loading import Batch
from hga_cli.engine.precision import autocast
from hga_cli.engine.training import Scheme, Training

MODALITIES = ("flair", "t1ce", "t1", "t2")
TARGETS = {  # issues 6 and 8: seconds in fp32 and bf16, GiB
    "unet": (1.7, 0.8, 2.0),
    "mmformer": (4.0, 2.0, 4.2),
    "rfnet": (6.0, 3.0, 5.0),
    "m2ftrans": (4.5, 2.3, 5.0),
}
STEPS = 3


def make_training(options):
    config = resolve(
        flags={
            "method.name": "hga",
            "network.backbone": options.backbone,
            "data.patch": [options.patch] * 3,
            "data.batch": 1,
            "optim.precision": options.precision,
            "optim.layout": options.layout,
            "optim.epochs": 1,
        }
    )
    device = torch.device("cpu")
    return Training(Scheme(config=config, modalities=MODALITIES, classes=4, device=device, iterations=10**6))


def make_batch(patch, names):
    torch.manual_seed(0)
    space = (patch,) * 3
    label = torch.zeros((1, *space), dtype=torch.uint8)
    for value, edge in ((2, 0.7), (1, 0.5), (3, 0.3)):
        inside = slice(int(patch * (1 - edge) / 2), int(patch * (1 + edge) / 2))
        label[0, inside, inside, inside] = value
    images = {name: torch.randn(1, 1, *space) + label[:, None] for name in names}
    return Batch(step=0, combination=names, cases=("x",), ends_cycle=False, images=images, label=label)


def one_by_one(training):
    """Make the network work as scripts do: each modality in a pass of its own."""
    encode, fuse = training.model.encode, training.model.fuse

    def encode_each(images):
        return {name: part for one in images for name, part in encode({one: images[one]}).items()}

    training.model.encode = encode_each
    training.model.fuse_alone = lambda features, names: {name: fuse(features, (name,)) for name in names}


def bare_step(training, batch):
    """The passes of a step with the simplest loss, to see what the losses of the method add."""
    label, model, images = batch.label.long(), training.model, batch.images
    with autocast(training.scheme.device, training.scheme.config.optim.precision):
        features = model.encode(images)
        fused = model.fuse(features, batch.combination)
        alone = model.fuse_alone(features, batch.combination) if len(images) > 1 else {}
        separate = [model.decode_alone(features, name) for name in batch.combination]
    parts = [fused.logits, fused.feature, *fused.deep, *(one for one in separate if one is not None)]
    parts += [part for one in alone.values() for part in (one.logits, one.feature, *one.deep)]
    sum(part.float().mean() for part in parts).backward()
    del label


def measure(options):
    """Time one kind of step in this process and print what was found as JSON."""
    torch.set_num_threads(2)
    training = make_training(options)
    if options.usual:
        one_by_one(training)
    batch = make_batch(options.patch, MODALITIES[: options.present])
    training.learn(batch)
    steps, bare, rest = [], [], []
    for _ in range(options.steps):
        started = time.perf_counter()
        training.learn(batch)
        steps.append(time.perf_counter() - started)
        started = time.perf_counter()
        training.scaler.step(training.optimiser)
        rest.append(time.perf_counter() - started)
        training.optimiser.zero_grad(set_to_none=True)
        started = time.perf_counter()
        bare_step(training, batch)
        bare.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"step": median(steps), "bare": median(bare), "optimiser": median(rest), "peak": peak}))


def ask(options, present, precision, layout, *, usual=False):
    words = [sys.executable, __file__, "--one", "--backbone", options.backbone, "--patch", str(options.patch)]
    words += ["--present", str(present), "--precision", precision, "--layout", layout, "--steps", str(options.steps)]
    done = subprocess.run([*words, *(["--usual"] if usual else [])], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def mean_of_combinations(by_size):
    weights = {size: comb(len(MODALITIES), size) for size in by_size}
    return sum(weights[size] * value for size, value in by_size.items()) / sum(weights.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="unet")
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--layout", default="contiguous")
    parser.add_argument("--present", type=int, default=4)
    parser.add_argument("--usual", action="store_true")
    parser.add_argument("--one", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.one:
        return measure(options)
    usual = ask(options, 4, "fp32", "contiguous", usual=True)
    fp32, bf16, memory = TARGETS.get(options.backbone, (None, None, None))
    rows = []
    for precision, target in (("fp32", fp32), ("bf16", bf16)):
        for layout in ("contiguous", "channels_last"):
            found = {present: ask(options, present, precision, layout) for present in (1, 2, 3, 4)}
            name = f"{precision} {layout}"
            mean = mean_of_combinations({size: one["step"] for size, one in found.items()})
            rows.append(Row(what=f"{name}: step, mean of 15", unit="s", ours=mean, usual=usual["step"], target=target))
            for size, one in found.items():
                rows.append(Row(what=f"{name}: step with {size}", unit="s", ours=one["step"], usual=usual["step"]))
            whole = found[4]
            share = found[1]["step"] / whole["step"]
            rows.append(Row(what=f"{name}: one modality, share of four", unit="", ours=share, target=0.35))
            losses = max(0.0, 1 - (whole["bare"] + whole["optimiser"]) / whole["step"])
            rows.append(Row(what=f"{name}: losses, share of a step", unit="", ours=losses, target=0.1))
            rest = whole["optimiser"] / whole["step"]
            rows.append(Row(what=f"{name}: optimiser, share of a step", unit="", ours=rest, target=0.03))
            peak = max(one["peak"] for one in found.values())
            rows.append(Row(what=f"{name}: peak memory", unit="GiB", ours=peak, usual=usual["peak"], target=memory))
    show(f"training step, {options.backbone}, {options.patch}^3", rows, as_json=options.json)
    return None


if __name__ == "__main__":
    main()
