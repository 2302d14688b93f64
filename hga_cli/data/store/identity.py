"""Which image it is: the same hash for the same scan, however it was cropped, saved and called."""

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.imaging.trail import bounding_box

STEPS = 16
"""Bits that are left of a value, counted from the largest one: integers up to 65535 keep all of theirs."""


def image_digest(values: NDArray[Any]) -> str:
    """Return the BLAKE2b hash (32 hexadecimal digits) of what an image shows.

    Only the part around the voxels that are not 0 counts, in steps of 2**-16 of the power of two above the largest
    value: so neither the crop box nor the type (int16, float32) nor the last digit of a scaled file matters.

    Args:
        values: (D, H, W) numbers, all finite.
    """
    box = bounding_box(values)
    inside = values[tuple(slice(*ends) for ends in zip(*box, strict=True))] if box else values[:0]
    numbers = inside.astype(np.result_type(inside, np.float32))
    exponent = math.frexp(float(np.abs(numbers).max(initial=0)))[1]
    steps = np.rint(np.ldexp(numbers, STEPS - exponent)).astype("<i4")
    about = f"{steps.shape} {exponent} ".encode()
    return hashlib.blake2b(about + steps.tobytes(), digest_size=16).hexdigest()
