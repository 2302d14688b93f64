"""How fast the scores of a case are, beside the usual way: distance transforms of the whole volume.

    make bench                                             the table
    .venv/bin/python tests/bench/bench_metrics.py --json   the same numbers for scripts

One case of 140 x 180 x 150 voxels, a tumour of three shells with rough edges, four regions (WT, TC, ET, ETpp), a
prediction for each of 15 combinations: Dice and HD95. The usual way is that of medpy, a few lines with scipy: surfaces
by erosion, two distance transforms of the whole volume, the 95th percentile of both directions together. It computes
the same numbers, which is checked. It reports and never fails.
"""

import argparse
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _timing import Row, seconds, show
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import score_case

SHAPE, SPACING, COMBINATIONS, THREADS = (140, 180, 150), (1.0, 1.0, 1.0), 15, 2
REGIONS = (
    Region(name="WT", classes=(1, 2, 3)),
    Region(name="TC", classes=(1, 3)),
    Region(name="ET", classes=(3,)),
    Region(name="ETpp", classes=(3,), minimum_voxels=500),
)
SCATTERED = 40
"""False voxels of each class far from the tumour, which make boxes large."""


def tumour(seed, *, shift=0.0, scattered=0):
    """Return a label map: necrosis inside enhancing tumour inside oedema, about 130 ml, with rough edges."""
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(size) - size / 2 - shift for size in SHAPE], indexing="ij", sparse=True)
    radius = np.sqrt(sum(axis**2 for axis in axes)) + 60 * gaussian_filter(generator.normal(size=SHAPE), 4)
    labels = np.select([radius < 12, radius < 19, radius < 32], [1, 3, 2]).astype(np.uint8)
    for label in (1, 2, 3):
        labels[tuple(generator.integers(0, size, scattered) for size in SHAPE)] = label
    return labels


def usual_way(prediction, reference):
    """Dice and HD95 of every region by whole volumes."""
    scores = []
    for region in REGIONS:
        ours, theirs = region.prediction_mask(prediction), region.mask(reference)
        dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        edges = [mask & ~binary_erosion(mask) for mask in (ours, theirs)]
        there = distance_transform_edt(~edges[1], sampling=SPACING)[edges[0]]
        back = distance_transform_edt(~edges[0], sampling=SPACING)[edges[1]]
        scores.append((dice, np.percentile(np.concatenate([there, back]), 95)))
    return scores


def our_way(prediction, reference):
    return [(one.dice, one.hd95) for one in score_case(prediction, reference, REGIONS, spacing=SPACING)]


def all_combinations(predictions, reference):
    """Score a case as an evaluation does: in threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda prediction: our_way(prediction, reference), predictions))


def measure(scattered):
    """Return the row of one kind of predictions."""
    reference = tumour(0)
    predictions = [tumour(seed, shift=1.0, scattered=scattered) for seed in range(1, COMBINATIONS + 1)]
    np.testing.assert_allclose(our_way(predictions[0], reference), usual_way(predictions[0], reference), atol=1e-9)
    ours = min(seconds(all_combinations, predictions, reference) for _ in range(3))
    usual = COMBINATIONS * min(seconds(usual_way, prediction, reference) for prediction in predictions[:2])
    kind = f", {3 * scattered} scattered voxels" if scattered else ""
    return Row(what=f"Dice and HD95 of 15 combinations{kind}", unit="s", ours=ours, usual=usual, target=3.0)


def main():
    parser = argparse.ArgumentParser(description="Speed of the scores.")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    as_json = parser.parse_args().json
    title = f"A case of {SHAPE} voxels, {len(REGIONS)} regions, {THREADS} threads, {os.cpu_count()} cores"
    show(title, [measure(0), measure(SCATTERED)], as_json=as_json)


if __name__ == "__main__":
    main()
