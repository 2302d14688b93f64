"""Comparing prepared cases, and what is wrong with those that cannot be prepared."""

import math

import numpy as np
import pytest
from _raw import prepared

from hga_cli.core.errors import ProblemsError


def problems_of(folder, spacing=None):
    with pytest.raises(ProblemsError) as caught:
        prepared(folder, spacing)
    return caught.value.problems


def same_content(left, right):
    assert list(left.images) == list(right.images)
    for role, one in left.images.items():
        np.testing.assert_array_equal(one.raw, right.images[role].raw)
        assert one.statistics == right.images[role].statistics
    np.testing.assert_array_equal(left.label, right.label)
    np.testing.assert_array_equal(left.reference, right.reference)
    assert (left.trail.start, left.trail.stop, left.trail.grid) == (
        right.trail.start,
        right.trail.stop,
        right.trail.grid,
    )


def moved(millimetres, axis=0):
    affine = np.eye(4)
    affine[axis, 3] = millimetres
    return affine


def rotated(degrees):
    affine, angle = np.eye(4), math.radians(degrees)
    affine[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return affine
