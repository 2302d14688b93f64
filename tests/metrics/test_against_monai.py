"""The same numbers from another library: MONAI takes the larger of the two directions for HD95."""

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDiceMetric
from scipy.ndimage import gaussian_filter

from hga_cli.metrics.overlap import dice
from hga_cli.metrics.surface import hd95, surface_dice, surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.5, 4.0)]


@pytest.fixture(params=range(4))
def masks(request):
    """Two smooth masks that overlap in part and do not touch the border."""
    generator = np.random.default_rng(request.param)
    base = gaussian_filter(generator.standard_normal((26, 24, 18)), 2.5)
    both = np.stack([base + 0.5 * gaussian_filter(generator.standard_normal(base.shape), 2) > 0.03 for _ in range(2)])
    both[:, [0, -1]] = both[:, :, [0, -1]] = both[:, :, :, [0, -1]] = False
    return both


def by_monai(metric, masks, **options):
    prediction, reference = torch.from_numpy(masks[:, None, None].astype(np.float32))
    return metric(prediction, reference, **options).item()


def test_dice(masks):
    assert dice(*masks) == pytest.approx(by_monai(DiceMetric(include_background=True), masks), abs=1e-6)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_hd95(masks, spacing):
    metric = HausdorffDistanceMetric(include_background=True, percentile=95)
    assert hd95(*masks, spacing, definition="maximum") == pytest.approx(
        by_monai(metric, masks, spacing=spacing), abs=1e-5
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tolerance", [0.5, 1.5, 4.0])
def test_surface_dice(masks, spacing, tolerance):
    metric = SurfaceDiceMetric(class_thresholds=[tolerance], include_background=True)
    mine = surface_dice(*surface_distances(*masks, spacing), tolerance)
    assert mine == pytest.approx(by_monai(metric, masks, spacing=spacing), abs=1e-6)
