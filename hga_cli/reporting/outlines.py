"""The outline of a mask: closed lines along the edges of its pixels, so that they say exactly what is in it."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
"""(x, y): column and row of a corner of a pixel; pixel (row, column) lies between (column, row) and 1 further."""
Loop = list[Corner]
"""Corners of a closed line; the last one is joined to the first."""


def outlines(mask: NDArray[np.bool_]) -> list[Loop]:
    """Return the closed lines around a mask (H, W), clockwise on a screen; those around holes run the other way."""
    leaving: dict[Corner, list[Corner]] = defaultdict(list)
    for start, stop in _edges(mask):
        leaving[start].append(stop)
    loops = []
    while leaving:
        start = corner = next(iter(leaving))
        loop = []
        while True:
            loop.append(corner)
            ways = leaving[corner]
            following = ways.pop()
            if not ways:
                del leaving[corner]
            corner = following
            if corner == start:
                break
        loops.append(_turns(loop))
    return loops


def svg_path(loops: list[Loop]) -> str:
    """Return the ``d`` of an SVG path along closed lines."""
    return "".join(f"M{'L'.join(f'{x} {y}' for x, y in loop)}Z" for loop in loops)


def _edges(mask: NDArray[np.bool_]) -> list[tuple[Corner, Corner]]:
    """Return the edges between pixels inside and outside, with the inside to the right."""
    around = np.pad(mask, 1)
    edges: list[tuple[Corner, Corner]] = []
    for (down, right), (first, second) in (
        ((-1, 0), ((0, 0), (1, 0))),
        ((0, 1), ((1, 0), (1, 1))),
        ((1, 0), ((1, 1), (0, 1))),
        ((0, -1), ((0, 1), (0, 0))),
    ):
        neighbour = np.roll(around, (-down, -right), (0, 1))[1:-1, 1:-1]
        for row, column in np.argwhere(mask & ~neighbour).tolist():
            edges.append(((column + first[0], row + first[1]), (column + second[0], row + second[1])))
    return edges


def _turns(loop: Loop) -> Loop:
    """Keep only the corners where a line turns."""
    return [
        here
        for before, here, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True)
        if (here[0] - before[0], here[1] - before[1]) != (after[0] - here[0], after[1] - here[1])
    ]
