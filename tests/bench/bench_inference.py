"""What evaluation of one case on all combinations costs, beside a code that starts from the images for each of them.

    make bench                                              the table, for unet and mmformer
    .venv/bin/python tests/bench/bench_inference.py --backbone rfnet

The network alone, on windows of 80^3, of which a case of 140 x 180 x 150 voxels has 36, and once the whole case as
``hga evaluate`` does it, probabilities stitched. "Usual": each combination encodes all modalities one by one, in fp32;
it is timed on one of the 15 combinations, in the same process, in turns. It reports and never fails.
"""

import argparse

import numpy as np
import torch
from _steps import BASELINE_CONVOLUTION, BRATS, convolution, make_batch, make_training, one_by_one
from _timing import Row, in_turns, seconds, show

from hga_cli.core.combinations import all_combinations
from hga_cli.data.raw.description import load_description
from hga_cli.data.raw.prepare import Preparation
from hga_cli.engine.inference import TrainedModel, predict_combinations
from hga_cli.engine.network import memory_format
from hga_cli.engine.precision import autocast

CASE = (140, 180, 150)
WINDOWS = 36
TARGETS = {"mmformer": (150, 72), "unet": (55, 20)}  # issue 8: seconds of a case in fp32 and bf16


def every_combination(training, images, combinations):
    """Encode once, fuse for each combination."""
    with torch.inference_mode(), autocast(training.scheme.device, training.scheme.config.optim.precision):
        features = training.model.encode(images)
        for combination in combinations:
            training.model.fuse(features, combination)


def whole_case(training):
    """Predict a case of noise for all combinations, as ``hga evaluate`` does."""
    model = TrainedModel(
        network=training.model,
        config=training.scheme.config,
        description=load_description("brats"),
        preparation=Preparation(),
        label_values={},
        device=training.scheme.device,
        step=0,
    )
    noise = np.random.default_rng(0)
    images = {name: noise.standard_normal(CASE, dtype=np.float32) for name in BRATS}
    predict_combinations(model, images, dict.fromkeys(BRATS, 0.0), all_combinations(BRATS), overlap=0.5)


def rows_of(backbone, precision, layout, target, rounds):
    """Return the rows of one way to compute."""
    ours, usual = make_training(backbone, precision, layout), make_training(backbone, "fp32", "contiguous")
    one_by_one(usual.model)
    for training in (ours, usual):
        training.model.eval()
    images, combinations = make_batch(BRATS).images, all_combinations(BRATS)
    last = memory_format(ours.scheme.config)
    tasks = {
        "ours": lambda: every_combination(
            ours, {name: image.contiguous(memory_format=last) for name, image in images.items()}, combinations
        ),
        "usual": lambda: every_combination(usual, images, [BRATS]),
        "convolution": convolution(),
    }
    in_turns(tasks, [()])
    found = in_turns(tasks, [()] * rounds)
    case, other = WINDOWS * found["ours"], WINDOWS * len(combinations) * found["usual"]
    scaled = case * BASELINE_CONVOLUTION / found["convolution"]
    whole = seconds(whole_case, ours) * BASELINE_CONVOLUTION / found["convolution"]
    name = f"{backbone}, {precision} {layout}"
    return [
        Row(what=f"{name}: a case, {len(combinations)} combinations", unit="s", ours=case, usual=other, target=target),
        Row(what="  the same at the speed of the target's machine", unit="s", ours=scaled, target=target),
        Row(what="  the whole case, stitched, once, likewise", unit="s", ours=whole, target=target),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for backbone in options.backbone or ["unet", "mmformer"]:
        for precision, target in zip(("fp32", "bf16"), TARGETS.get(backbone, (None, None)), strict=True):
            for layout in ("contiguous", "channels_last"):
                rows += rows_of(backbone, precision, layout, target, options.rounds)
    show(f"evaluation of a case of {WINDOWS} windows", rows, as_json=options.json)


if __name__ == "__main__":
    main()
