"""What a training step of HGA costs, beside a code that computes every modality, present or not, one after another.

    make bench                                                              the tables, for all backbones with targets
    .venv/bin/python tests/bench/bench_training.py --backbone shaspec       for another one
    .venv/bin/python tests/bench/bench_training.py --json                   the same numbers for scripts

A step at 80^3 with batch 1 and two threads, in the layout in which a step with all modalities turned out faster.
"Usual" is our own network made to work like scripts of this field: all M modalities go through it one by one in every
step, whatever is there, in fp32. It runs in the same process, in turns with ours. The mean over all combinations weighs
the numbers of modalities by how many combinations have them. The losses are timed on what the network says of a batch;
bookkeeping is the optimiser, the search for what is not finite, the preference, and its share of the end of a cycle
(slow weights, beta). The speed of one convolution tells how this machine compares with that of the targets. Memory,
also of the usual way, is that of a process that does two steps and nothing else. It reports and never fails.
"""

import argparse
import json
import subprocess
import sys
from math import comb

import torch
from _steps import BASELINE_CONVOLUTION, BRATS, Replay, convolution, losses, make_batch, make_training, one_by_one
from _timing import Row, in_turns, peak_memory, show

from hga_cli.alignment.term import Preferences
from hga_cli.engine.optimiser import gradient_norm

TARGETS = {  # issues 6 and 8: seconds in fp32 and bf16, GiB
    "unet": (1.7, 0.8, 2.0),
    "mmformer": (4.0, 2.0, 4.2),
    "rfnet": (6.0, 3.0, 5.0),
    "m2ftrans": (4.5, 2.3, 5.0),
}
PRECISIONS = ("fp32", "bf16")
LAYOUTS = ("contiguous", "channels_last")
USUAL = "usual"
SIZES = range(1, len(BRATS) + 1)
COMBINATIONS = sum(comb(len(BRATS), size) for size in SIZES)


def mean(values):
    """Return the mean over all combinations of a value for each number of modalities."""
    return sum(comb(len(BRATS), size) * values[size] for size in SIZES) / COMBINATIONS


def usual_training(backbone, patch):
    usual = make_training(backbone, "fp32", "contiguous", patch=patch)
    one_by_one(usual.model)
    return usual


def step_bookkeeping(training, preferences):
    """Do what a step does after its gradients are there."""
    training.objective.preference.observe(preferences)
    gradient_norm(training.model.parameters())
    training.scaler.step(training.optimiser)


def cycle_bookkeeping(training):
    """Do what the last step of a cycle does besides, and the move of beta, which comes after an epoch only."""
    training.outer.end_cycle(training.model, training.outer.epsilon(0, 1))
    training.objective.preference.end_epoch(0)


def faster_layout(backbone, precision, options):
    """Return the layout in which a step with all modalities took less time, of one step each after another."""
    batch = make_batch(BRATS, options.patch)
    trainings = {layout: make_training(backbone, precision, layout, patch=options.patch) for layout in LAYOUTS}
    tasks = {layout: lambda training=training: training.learn(batch) for layout, training in trainings.items()}
    in_turns(tasks, [()])
    found = in_turns(tasks, [()])
    return min(found, key=found.get)


def measure(backbone, precision, layout, options):
    """Return medians in seconds of the steps, of losses and bookkeeping, and of the usual step."""
    ours, usual = (
        make_training(backbone, precision, layout, patch=options.patch),
        usual_training(backbone, options.patch),
    )
    batches = {size: make_batch(BRATS[:size], options.patch) for size in SIZES}
    whole = batches[len(BRATS)]
    replay = Replay(ours, whole)
    preferences = Preferences(values=dict.fromkeys(BRATS, torch.ones(1)), higher_is_stronger=True)
    tasks = {size: lambda batch=batch: ours.learn(batch) for size, batch in batches.items()}
    tasks["step"] = lambda: step_bookkeeping(ours, preferences)  # with the gradients of the step with all
    tasks["cycle"] = lambda: cycle_bookkeeping(ours)
    tasks["losses"] = lambda: losses(ours, replay, whole)
    tasks[USUAL] = lambda: usual.learn(whole)
    tasks["convolution"] = convolution(options.patch)
    in_turns(tasks, [()])
    return in_turns(tasks, [()] * options.steps)


def peak(backbone, options, *words):
    """Return the memory in GiB of a process that does two steps."""
    own = ["--peak", "--backbone", backbone, "--patch", str(options.patch), "--threads", str(options.threads)]
    command = [sys.executable, __file__, *own, *words]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def print_peak(backbone, options):
    """Do two steps and print the memory of this process."""
    if options.usual:
        training = usual_training(backbone, options.patch)
    else:
        training = make_training(
            backbone, options.precision, options.layout, patch=options.patch, recompute=options.recompute
        )
    for _ in range(2):
        training.learn(make_batch(BRATS[: options.present], options.patch))
    print(peak_memory())


def time_rows(name, found, patch, target):
    """Return the rows of the steps and their parts."""
    usual, whole, average = found[USUAL], found[len(BRATS)], mean(found)
    rows = [Row(what=f"{name}: step, mean of {COMBINATIONS}", unit="s", ours=average, usual=usual, target=target)]
    if patch == 80:
        scaled = average * BASELINE_CONVOLUTION / found["convolution"]
        rows.append(Row(what="  the same at the speed of the target's machine", unit="s", ours=scaled, target=target))
    bookkeeping = found["step"] + found["cycle"] / COMBINATIONS
    return [
        *rows,
        *(Row(what=f"  step with {size}", unit="s", ours=found[size], usual=usual) for size in SIZES),
        Row(what="  one modality, share of four", unit="", ours=found[1] / whole, target=0.35),
        Row(what="  losses, share of a step with all", unit="", ours=found["losses"] / whole, target=0.1),
        Row(what="  optimiser and bookkeeping, share of it", unit="", ours=bookkeeping / whole, target=0.03),
        Row(what="  end of a cycle, not divided", unit="s", ours=found["cycle"]),
        Row(what="  one convolution", unit="s", ours=found["convolution"], usual=BASELINE_CONVOLUTION),
    ]


def memory_rows(backbone, precision, layout, options, usual, target):
    """Return the rows of memory, beside that of the usual way, which is the same for any combination."""
    way = ("--precision", precision, "--layout", layout)
    peaks = {size: peak(backbone, options, *way, "--present", str(size)) for size in SIZES}
    again = peak(backbone, options, *way, "--recompute")
    return [
        Row(what=f"  peak memory, mean of {COMBINATIONS}", unit="GiB", ours=mean(peaks), usual=usual, target=target),
        Row(what="  peak memory with all", unit="GiB", ours=peaks[len(BRATS)], usual=usual),
        Row(what="  the same with optim.recompute", unit="GiB", ours=again, usual=usual),
    ]


def rows_of(backbone, options):
    """Return the rows of a backbone, in each precision in one layout."""
    fp32, bf16, memory = TARGETS.get(backbone, (None, None, None))
    usual, rows = peak(backbone, options, "--usual"), []
    for precision, target in zip(PRECISIONS, (fp32, bf16), strict=True):
        if options.precision in (None, precision):
            layout = options.layout or faster_layout(backbone, precision, options)
            name = f"{backbone}, {precision} {layout}"
            print(name, file=sys.stderr)
            rows += time_rows(name, measure(backbone, precision, layout, options), options.patch, target)
            rows += memory_rows(backbone, precision, layout, options, usual, memory)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", action="append", help="only this one; may be given again")
    parser.add_argument("--patch", type=int, default=80)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=PRECISIONS, help="only this one")
    parser.add_argument("--layout", choices=LAYOUTS, help="this one, whether faster or not")
    parser.add_argument("--present", type=int, default=len(BRATS))
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--peak", action="store_true")
    parser.add_argument("--usual", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbones = options.backbone or list(TARGETS)
    if options.peak:
        return print_peak(backbones[0], options)
    title, rows = f"training step, {options.patch}^3", []
    for backbone in backbones:
        found = rows_of(backbone, options)
        rows += found
        if not options.json:  # at once, as all of them take long
            show(f"{title}, {backbone}", found, as_json=False)
    if options.json:
        show(title, rows, as_json=True)
    return None


if __name__ == "__main__":
    main()
