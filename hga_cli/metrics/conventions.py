"""Conventions: what a structure scores that is empty in the prediction, in the reference, or in both.

Published tables differ by this more than by the method, so each result names its convention. All of them give Dice 0
when exactly one side is empty. All of them use the pooled HD95 unless the other definition is asked for, which they
name then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.metrics.surface import Definition

Penalty = float | Literal["diagonal"] | None
"""HD95 in mm; "diagonal": that of the volume at hand; None: left out of the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """Values for empty structures; None leaves the case out of the mean.

    Args:
        name: how it is asked for, and how result files call it.
        summary: one sentence for the foot of a table.
        dice_both_empty: Dice when prediction and reference are empty.
        hd95_both_empty: HD95 in mm then.
        hd95_one_empty: HD95 in mm when exactly one of them is empty (its Dice is 0).
        definition: of HD95, see `surface.hd95`.
    """

    name: str
    summary: str
    dice_both_empty: float | None
    hd95_both_empty: float | None
    hd95_one_empty: Penalty
    definition: Definition = "pooled"


CONVENTIONS: Mapping[str, Convention] = {
    "hga": Convention(
        name="hga",
        summary="Both empty: Dice 1, HD95 0 mm. One empty: Dice 0, HD95 1 mm. As in the code of the paper; "
        "a missed structure costs less HD95 than one that is 2 mm off.",
        dice_both_empty=1.0,
        hd95_both_empty=0.0,
        hd95_one_empty=1.0,
    ),
    "brats": Convention(
        name="brats",
        summary="Both empty: Dice 1, HD95 0 mm. One empty: Dice 0, HD95 373.13 mm, the diagonal of 240 x 240 x 155 "
        "voxels of 1 mm, whatever the volume.",
        dice_both_empty=1.0,
        hd95_both_empty=0.0,
        hd95_one_empty=373.12866,
    ),
    "diagonal": Convention(
        name="diagonal",
        summary="Both empty: Dice 1, HD95 0 mm. One empty: Dice 0, HD95 the diagonal of the volume in mm.",
        dice_both_empty=1.0,
        hd95_both_empty=0.0,
        hd95_one_empty="diagonal",
    ),
    "exclude": Convention(
        name="exclude",
        summary="Both empty: left out of both means. One empty: Dice 0, left out of the mean HD95.",
        dice_both_empty=None,
        hd95_both_empty=None,
        hd95_one_empty=None,
    ),
}


def convention(name: str, definition: Definition = "pooled") -> Convention:
    """The convention of that name, with this definition of HD95 (see `surface.hd95`).

    Raises:
        ConfigError: there is none; the hint suggests the nearest name.
    """
    if name not in CONVENTIONS:
        message = f"no scoring convention called '{name}'"
        raise ConfigError(message, hint=suggestion(name, CONVENTIONS))
    return replace(CONVENTIONS[name], definition=definition)
