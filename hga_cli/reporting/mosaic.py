"""One picture of a predicted case: slices of all three planes with outlines, and what the colours mean."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hga_cli.core.atomic import replacing
from hga_cli.reporting.outlines import outlines
from hga_cli.reporting.scene import AXES, COLOURS, Scene, plane, plane_spacing

TILE, GAP, FOOT, TEXT = 320, 4, 34, 16
"""Pixels: edge of a slice, room between slices, height of the legend and of its letters."""
PLACES = 3
"""Slices of each plane."""
SIDES = {"sagittal": "A", "coronal": "R", "axial": "R"}
"""What lies to the left of a slice: anterior, or the right of the patient."""


def write_mosaic(path: Path, scene: Scene, volumes_ml: Mapping[str, float]) -> None:
    """Write a PNG: a row of slices for each plane, outlines of the predicted regions, legend with their volumes in ml.

    Of each third of the slices with foreground, the one with most of it is shown.
    """
    step = TILE + GAP
    canvas = Image.new("RGB", (PLACES * step - GAP, len(AXES) * step + FOOT))
    for row, (name, axis) in enumerate(reversed(AXES.items())):
        for column, place in enumerate(fullest(scene.foreground(axis), PLACES)):
            canvas.paste(_tile(scene, axis, place, SIDES[name]), (column * step, row * step))
    _legend(ImageDraw.Draw(canvas), len(AXES) * step, scene, volumes_ml)
    with replacing(path) as temporary:
        canvas.save(temporary, "PNG", optimize=True)


def fullest(counts: NDArray[np.int64], number: int) -> list[int]:
    """Return the slice with most foreground of each of ``number`` equal parts of those that have some (or of all)."""
    found = np.flatnonzero(counts) if counts.any() else np.arange(len(counts))
    parts = np.array_split(np.arange(found[0], found[-1] + 1), number)
    return [int(part[counts[part].argmax()]) for part in parts if len(part)]


def _tile(scene: Scene, axis: int, place: int, side: str) -> Image.Image:
    """Return one slice, as large as fits, with its name."""
    grey = plane(scene.grey, axis, place)
    height, width = (size * step for size, step in zip(grey.shape, plane_spacing(scene.spacing, axis), strict=True))
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = Image.new("RGB", (TILE, TILE))
    corner = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    tile.paste(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC), corner)
    pen = ImageDraw.Draw(tile)
    across, down = size[0] / grey.shape[1], size[1] / grey.shape[0]
    for number, mask in enumerate(scene.masks("prediction", axis, place)):
        for loop in outlines(mask):
            line = [(corner[0] + x * across, corner[1] + y * down) for x, y in (*loop, loop[0])]
            pen.line(line, fill=COLOURS[number % len(COLOURS)], width=2, joint="curve")
    pen.text((6, 4), scene.slice_name(axis, place), fill="#d0d0d0", font=ImageFont.load_default(13))
    pen.text((6, TILE // 2 - 8), side, fill="#d0d0d0", font=ImageFont.load_default(13))
    return tile


def _legend(pen: ImageDraw.ImageDraw, top: int, scene: Scene, volumes_ml: Mapping[str, float]) -> None:
    font = ImageFont.load_default(TEXT)
    left: float = 8
    for number, region in enumerate(scene.regions):
        colour = COLOURS[number % len(COLOURS)]
        text = f"{region.name} {volumes_ml[region.name]:.1f} ml"
        pen.rectangle((left, top + 9, left + 14, top + 23), outline=colour, width=3)
        pen.text((left + 22, top + 6), text, fill="#ffffff", font=font)
        left += 22 + pen.textlength(text, font) + 24
    pen.text((left, top + 6), f"on {scene.modality}", fill="#b0b0b0", font=font)
