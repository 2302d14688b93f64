import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from hga_cli.metrics.surface import bounding_box, hd95

DEFINITIONS = ("pooled", "maximum")
SPACING = (0.7, 1.5, 4.0)


def plain_hd95(a, b, spacing, definition):
    """The straightforward way: distance transforms of the whole volume."""
    surface_a, surface_b = a & ~binary_erosion(a), b & ~binary_erosion(b)
    there = distance_transform_edt(~surface_b, sampling=spacing)[surface_a]
    back = distance_transform_edt(~surface_a, sampling=spacing)[surface_b]
    if definition == "pooled":
        return np.percentile(np.hstack([there, back]), 95)
    return max(np.percentile(there, 95), np.percentile(back, 95))


def blobs(seed, shape=(24, 20, 14)):
    """Two smooth random masks that overlap in part and touch the border."""
    rng = np.random.default_rng(seed)
    base = gaussian_filter(rng.standard_normal(shape), 2.5)
    return [base + 0.5 * gaussian_filter(rng.standard_normal(shape), 2) > 0.03 for _ in range(2)]


def boxes(shape, *corners):
    masks = []
    for box in corners:
        mask = np.zeros(shape, bool)
        mask[tuple(slice(start, stop) for start, stop in box)] = True
        masks.append(mask)
    return masks


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_straightforward_way(seed, spacing, definition):
    a, b = blobs(seed)
    assert hd95(a, b, spacing, definition=definition) == pytest.approx(plain_hd95(a, b, spacing, definition), abs=1e-9)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("density", [0.002, 0.5, 0.97])
def test_noise_equals_the_straightforward_way(density, definition):
    a, b = np.random.default_rng(5).random((2, 18, 17, 16)) < density
    assert hd95(a, b, SPACING, definition=definition) == pytest.approx(plain_hd95(a, b, SPACING, definition), abs=1e-9)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_small_structures_in_a_large_volume(definition):
    a, b = boxes((60, 50, 40), [(20, 26), (30, 33), (5, 9)], [(22, 30), (29, 31), (7, 12)])
    assert hd95(a, b, SPACING, definition=definition) == pytest.approx(plain_hd95(a, b, SPACING, definition), abs=1e-9)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_symmetric_and_zero_for_itself(definition):
    a, b = blobs(1)
    assert hd95(a, b, SPACING, definition=definition) == hd95(b, a, SPACING, definition=definition) > 0
    assert hd95(a, a, SPACING, definition=definition) == 0


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_mirrored_and_transposed(definition):
    a, b = blobs(2)
    want = hd95(a, b, SPACING, definition=definition)
    for axis in range(3):
        mirrored = np.flip(a, axis), np.flip(b, axis)
        assert hd95(*mirrored, SPACING, definition=definition) == pytest.approx(want, abs=1e-9)
    for order in [(1, 0, 2), (2, 0, 1), (2, 1, 0)]:
        spacing = [SPACING[axis] for axis in order]
        transposed = a.transpose(order), b.transpose(order)
        assert hd95(*transposed, spacing, definition=definition) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_padding_and_scale(definition):
    a, b = blobs(3)
    want = hd95(a, b, SPACING, definition=definition)
    assert hd95(np.pad(a, 5), np.pad(b, 5), SPACING, definition=definition) == pytest.approx(want, abs=1e-9)
    assert hd95(a, b, [3 * step for step in SPACING], definition=definition) == pytest.approx(3 * want, abs=1e-9)


def test_millimetres_not_voxels():
    """Case M02: one slice of 5 mm apart."""
    slice_4, slice_5 = boxes((10, 10, 10), [(2, 8), (2, 8), (4, 5)], [(2, 8), (2, 8), (5, 6)])
    assert hd95(slice_4, slice_5, (0.5, 0.5, 5)) == 5.0
    assert hd95(slice_4, slice_5, (1, 1, 1)) == 1.0


def test_single_voxels():
    a, b = boxes((9, 9, 9), [(0, 1), (0, 1), (0, 1)], [(3, 4), (4, 5), (0, 1)])
    for definition in DEFINITIONS:
        assert hd95(a, b, (1, 1, 1), definition=definition) == 5.0
        assert hd95(a, b, (2, 1, 9), definition=definition) == pytest.approx(math.hypot(6, 4))


def test_the_border_of_the_volume_is_surface():
    """A full volume against its inner voxels: its outermost layer is surface, as it is when background follows."""
    full, inner = boxes((5, 5, 5), [(0, 5)] * 3, [(1, 4)] * 3)
    assert hd95(full, inner, (1, 1, 1)) == pytest.approx(plain_hd95(np.pad(full, 1), np.pad(inner, 1), None, "pooled"))
    assert hd95(full, full, (1, 1, 1)) == 0.0


def test_the_definitions_differ():
    """Lines of 20 and of 1 voxel: the way there has percentiles of 0..19 mm, the way back is 0."""
    line, point = boxes((1, 1, 20), [(0, 1), (0, 1), (0, 20)], [(0, 1), (0, 1), (0, 1)])
    assert hd95(line, point, (1, 1, 1), definition="maximum") == pytest.approx(18.05)
    assert hd95(line, point, (1, 1, 1), definition="pooled") == pytest.approx(18.0)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_two_dimensions(definition):
    a, b = (mask[:, :, 7] for mask in blobs(4))
    want = plain_hd95(a, b, (0.5, 2), definition)
    assert hd95(a, b, (0.5, 2), definition=definition) == pytest.approx(want, abs=1e-9)


def test_memory_order_does_not_matter():
    a, b = blobs(5)
    assert hd95(np.asfortranarray(a), b.astype(np.uint8), SPACING) == hd95(a, b, SPACING)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_undefined_when_either_is_empty(definition):
    full, empty = np.ones((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    for pair in [(full, empty), (empty, full), (empty, empty)]:
        assert math.isnan(hd95(*pair, (1, 1, 1), definition=definition))


def test_errors():
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(ValueError, match="shape"):
        hd95(mask, mask[1:], (1, 1, 1))
    for spacing in [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, math.nan), (1, 1, math.inf)]:
        with pytest.raises(ValueError, match="spacing"):
            hd95(mask, mask, spacing)
    with pytest.raises(ValueError, match="pooled or maximum"):
        hd95(mask, mask, (1, 1, 1), definition="medpy")


def test_bounding_box():
    mask = np.zeros((6, 5, 4), bool)
    mask[2, 4, 0] = mask[4, 1, 2] = True
    assert bounding_box(mask) == (slice(2, 5), slice(1, 5), slice(0, 3))
    assert mask[bounding_box(np.zeros_like(mask))].size == 0
