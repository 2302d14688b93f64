"""What a training step of HGA costs, beside a code that computes every modality, present or not, one after another.

    make bench                                                              the table, for unet
    .venv/bin/python tests/bench/bench_training.py --backbone mmformer      for another backbone
    .venv/bin/python tests/bench/bench_training.py --json                   the same numbers for scripts

A step at 80^3 with batch 1 and two threads. "Usual" is our own network made to work like scripts of this field: all M
modalities go through it one by one in every step, whatever is there, in fp32. It runs in the same process, in turns
with ours. The mean over all combinations weighs the numbers of modalities by how many combinations have them. The speed
of one convolution tells how this machine compares with that of the targets. Memory is that of a process that does
nothing else. It reports and never fails.
"""

import argparse
import json
import subprocess
import sys
from math import comb

import torch
from _steps import BASELINE_CONVOLUTION, BRATS, convolution, make_batch, make_training, one_by_one
from _timing import Row, in_turns, peak_memory, show

from hga_cli.engine.precision import autocast

TARGETS = {  # issues 6 and 8: seconds in fp32 and bf16, GiB
    "unet": (1.7, 0.8, 2.0),
    "mmformer": (4.0, 2.0, 4.2),
    "rfnet": (6.0, 3.0, 5.0),
    "m2ftrans": (4.5, 2.3, 5.0),
}
USUAL = "usual"
SIZES = range(1, len(BRATS) + 1)


def bare_step(training, batch):
    """The passes of a step with the simplest loss, to see what the losses of the method add."""
    model = training.model
    with autocast(training.scheme.device, training.scheme.config.optim.precision):
        features = model.encode(batch.images)
        fused = model.fuse(features, batch.combination)
        alone = model.fuse_alone(features, batch.combination) if len(batch.images) > 1 else {}
        separate = [model.decode_alone(features, name) for name in batch.combination]
    parts = [fused.logits, fused.feature, *fused.deep, *(one for one in separate if one is not None)]
    parts += [part for one in alone.values() for part in (one.logits, one.feature, *one.deep)]
    sum(part.float().mean() for part in parts).backward()


def measure(options, precision, layout):
    """Return medians in seconds of the steps, of a step without losses, of the optimiser, and of the usual step."""
    ours = make_training(options.backbone, precision, layout, patch=options.patch)
    usual = make_training(options.backbone, "fp32", "contiguous", patch=options.patch)
    one_by_one(usual.model)
    batches = {size: make_batch(BRATS[:size], options.patch) for size in SIZES}
    tasks = {size: lambda batch=batch: ours.learn(batch) for size, batch in batches.items()}
    tasks["optimiser"] = lambda: ours.scaler.step(ours.optimiser)
    tasks["bare"] = lambda: bare_step(ours, batches[len(BRATS)])
    tasks[USUAL] = lambda: usual.learn(batches[len(BRATS)])
    tasks["convolution"] = convolution(options.patch)
    in_turns(tasks, [()])
    return in_turns(tasks, [()] * options.steps)


def peak(options, *words):
    """Return the memory in GiB of a process that does two steps with all modalities."""
    own = ["--peak", "--backbone", options.backbone, "--patch", str(options.patch), "--precision", words[0]]
    command = [sys.executable, __file__, *own, "--layout", words[1], *words[2:]]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(options):
    """Do two steps and print the memory of this process."""
    recompute = options.recompute
    training = make_training(
        options.backbone, options.precision, options.layout, patch=options.patch, recompute=recompute
    )
    for _ in range(2):
        training.learn(make_batch(BRATS[: options.present], options.patch))
    print(peak_memory())


def rows_of(options, precision, layout, target, memory):
    """Return the rows of one way to compute."""
    found = measure(options, precision, layout)
    usual, whole, name = found[USUAL], found[len(BRATS)], f"{precision} {layout}"
    combinations = sum(comb(len(BRATS), size) for size in SIZES)
    mean = sum(comb(len(BRATS), size) * found[size] for size in SIZES) / combinations
    speed = found["convolution"] / BASELINE_CONVOLUTION if options.patch == 80 else None
    losses = max(0.0, 1 - (found["bare"] + found["optimiser"]) / whole)
    peaks = {size: peak(options, precision, layout, "--present", str(size)) for size in SIZES}
    rows = [Row(what=f"{name}: step, mean of {combinations}", unit="s", ours=mean, usual=usual, target=target)]
    if speed is not None:
        rows.append(
            Row(what="  the same at the speed of the target's machine", unit="s", ours=mean / speed, target=target)
        )
    rows += [Row(what=f"  step with {size}", unit="s", ours=found[size], usual=usual) for size in SIZES]
    rows += [
        Row(what="  one modality, share of four", unit="", ours=found[1] / whole, target=0.35),
        Row(what="  losses, share of a step", unit="", ours=losses, target=0.1),
        Row(what="  optimiser, share of a step", unit="", ours=found["optimiser"] / whole, target=0.03),
        Row(what="  one convolution", unit="s", ours=found["convolution"], usual=BASELINE_CONVOLUTION),
    ]
    mean_peak = sum(comb(len(BRATS), size) * peaks[size] for size in SIZES) / combinations
    rows += [
        Row(what=f"  peak memory, mean of {combinations}", unit="GiB", ours=mean_peak, target=memory),
        Row(what="  peak memory with all", unit="GiB", ours=max(peaks.values())),
        Row(what="  the same with optim.recompute", unit="GiB", ours=peak(options, precision, layout, "--recompute")),
    ]
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="unet")
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", help="only this one")
    parser.add_argument("--layout", help="only this one")
    parser.add_argument("--present", type=int, default=len(BRATS))
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        return print_peak(options)
    fp32, bf16, memory = TARGETS.get(options.backbone, (None, None, None))
    rows = []
    for precision, target in (("fp32", fp32), ("bf16", bf16)):
        for layout in ("contiguous", "channels_last"):
            if options.precision not in (None, precision) or options.layout not in (None, layout):
                continue
            rows += rows_of(options, precision, layout, target, memory)
    show(f"training step, {options.backbone}, {options.patch}^3", rows, as_json=options.json)
    return None


if __name__ == "__main__":
    main()
