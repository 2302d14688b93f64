"""A case to leaf through: a scan slice by slice, with outlines that can be switched off."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hga_cli.core.combinations import combination_name
from hga_cli.reporting.examples import Example
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.outlines import outlines, svg_path
from hga_cli.reporting.scene import AXES, COLOURS, Scene, plane, plane_spacing
from hga_cli.reporting.tables import plain_table

AXIS = AXES["axial"]
SLICES, EDGE = 32, 256
"""Slices of a case at most, and pixels along the longer edge of each: what keeps a page at some MB."""
LAYERS = {"prediction": "solid", "reference": "dashed"}


def viewer(example: Example, number: int) -> Markup:
    """Return the figure of a case; ``number`` tells it from the others of the page."""
    choice, scene = example.choice, example.scene
    places = shown_slices(scene)
    first = int(scene.foreground(AXIS)[places].argmax())
    title = f"{choice.title} case: {choice.case}, Dice {100 * choice.mean:.1f}"
    made_from = f"predicted from {combination_name(choice.combination)}, drawn on {scene.modality}"
    slices = [_slice(scene, place, shown=order == first) for order, place in enumerate(places)]
    side = element("span", "R", class_="side", title="the right of the patient")
    return element(
        "figure",
        element("figcaption", element("strong", title), made_from),
        element("div", *slices, side, class_="slices"),
        _slider(scene, places, first, number),
        _switches(number),
        _numbers(example),
        *_changes(example),
        class_="viewer",
    )


def shown_slices(scene: Scene) -> list[int]:
    """Return which axial slices are shown: those with labels and a few beside them, evenly thinned to ``SLICES``."""
    counts = scene.foreground(AXIS)
    found = np.flatnonzero(counts) if counts.any() else np.array([len(counts) // 2])
    margin = max(2, (SLICES - (found[-1] - found[0] + 1)) // 2)
    low, high = max(0, found[0] - margin), min(len(counts) - 1, found[-1] + margin)
    return sorted({round(place) for place in np.linspace(low, high, min(SLICES, high - low + 1)).tolist()})


def data_png(grey: NDArray[np.uint8], pixel: tuple[float, float]) -> str:
    """Return a ``data:`` address of a slice (rows, columns), made square in mm and at most ``EDGE`` pixels long.

    Args:
        grey: the slice.
        pixel: height and width of its pixels in mm.
    """
    height, width = (size * step for size, step in zip(grey.shape, pixel, strict=True))
    scale = min(1 / min(pixel), EDGE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    file = BytesIO()
    Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def _slice(scene: Scene, place: int, *, shown: bool) -> Markup:
    """Return a scan with outlines on it; both fill the same box, in mm."""
    name, pixel = scene.slice_name(AXIS, place), plane_spacing(scene.spacing, AXIS)
    grey = plane(scene.grey, AXIS, place)
    paths = [
        element("path", d=svg_path(outlines(mask)), class_=f"{what} r{number % len(COLOURS)}")
        for what in LAYERS
        for number, mask in enumerate(scene.masks(what, AXIS, place))
        if mask.any()
    ]
    to_mm = element("g", *paths, transform=f"scale({pixel[1]:.4g} {pixel[0]:.4g})")
    box = f"0 0 {grey.shape[1] * pixel[1]:.5g} {grey.shape[0] * pixel[0]:.5g}"
    return element(
        "div",
        element("img", src=data_png(grey, pixel), alt=f"{scene.modality}, {name}"),
        element("svg", to_mm, viewBox=box, aria_hidden="true"),
        class_="slice",
        hidden=not shown,
        data_name=name,
    )


def _slider(scene: Scene, places: Sequence[int], first: int, number: int) -> Markup:
    slider = element(
        "input", type="range", id=f"slice-{number}", min=0, max=len(places) - 1, value=first, autocomplete="off"
    )
    told = element("output", scene.slice_name(AXIS, places[first]), for_=f"slice-{number}")
    return element("div", element("label", "Slice", for_=f"slice-{number}"), slider, told, class_="slider")


def _switches(number: int) -> Markup:
    """Return a box to tick for each layer of outlines."""
    boxes = [
        element(
            "label",
            element("input", type="checkbox", checked=True, value=what, id=f"{what}-{number}", autocomplete="off"),
            f" {what} ({look})",
        )
        for what, look in LAYERS.items()
    ]
    return element("div", *boxes, class_="switches")


def _numbers(example: Example) -> Markup:
    """Return what each colour means, with volumes and Dice."""
    rows = []
    for number, region in enumerate(example.scene.regions):
        dice = example.choice.dice.get(region.name)
        volumes = [f"{example.volumes_ml[what][region.name]:.1f}" for what in LAYERS]
        cells = [*volumes, "-" if dice is None else f"{100 * dice:.1f}"]
        rows.append([element("span", region.name, class_=f"key r{number % len(COLOURS)}"), *cells])
    return plain_table(f"Regions of {example.choice.case}", ["region", "predicted ml", "reference ml", "Dice %"], rows)


def _changes(example: Example) -> list[Markup]:
    if not example.changed:
        return []
    said = "; ".join(f"{name} {before:.3f}, now {now:.3f}" for name, (before, now) in example.changed.items())
    return [element("p", f"Not the Dice that was measured: {said}. Evaluate the run again.", class_="notice")]
