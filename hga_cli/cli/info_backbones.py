"""How ``hga info backbones`` shows what each can do, and its size beside the published one; without torch."""

from typing import Any

from rich.table import Table

from hga_cli.cli.output import table
from hga_cli.core.backbones import BACKBONES, BackboneEntry

COLUMNS = ["backbone", "dims", "fusion", "separate decoder", "deep levels", "also shows", "patch of"]


def abilities_table() -> Table:
    """Return one row for each backbone."""
    rows = [
        [
            name,
            _dims(facts),
            facts.fusion,
            _separate(facts),
            _deep(facts),
            ", ".join(sorted(ability.name.lower() for ability in facts.abilities)) or "-",
            "any" if facts.multiple == 1 else f"n x {facts.multiple}",
        ]
        for name, facts in BACKBONES.entries.items()
    ]
    made = table(COLUMNS, rows, numbers=1)
    made.columns[0].no_wrap = True
    return made


def facts_text(name: str) -> str:
    """Return one line for each thing a backbone can do, and one for the number of its parameters."""
    facts = BACKBONES.check(name)
    fits = f"edges are multiples of {facts.multiple}, one at least {2 * facts.multiple}"
    lines = {
        "dims": _dims(facts),
        "fusion": facts.fusion,
        "separate decoder": _separate(facts),
        "deep supervision": _deep(facts),
        "also shows": ", ".join(sorted(facts.abilities)) or "-",
        "patch": "any" if facts.multiple == 1 else fits,
        "optim.recompute": "yes" if facts.recompute else "no",
        "parameters (3D, 4 modalities, 4 classes)": _sizes(facts),
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def facts_document(name: str) -> dict[str, Any]:
    """Return the same for ``--json``; ``reason`` says why the counts differ, and is empty where they do not."""
    facts = BACKBONES.check(name)
    return {
        "dims": facts.dims,
        "fusion": facts.fusion,
        "separate_decoder": facts.separate,
        "deep_supervision": facts.deep,
        "patch_multiple": facts.multiple,
        "abilities": sorted(facts.abilities),
        "recompute": facts.recompute,
        "parameters": {"ours": facts.parameters, "published": facts.published, "reason": facts.reason},
    }


def _dims(facts: BackboneEntry) -> str:
    return " ".join(f"{dims}D" for dims in facts.dims)


def _separate(facts: BackboneEntry) -> str:
    return "yes" if facts.separate else "no"


def _deep(facts: BackboneEntry) -> str:
    scales = ["1" if factor == 1 else f"1/{factor}" for factor in facts.deep]
    return f"{scales[0]} to {scales[-1]}" if scales else "no"


def _sizes(facts: BackboneEntry) -> str:
    difference = facts.parameters - facts.published
    if not difference:
        return f"{facts.parameters:,} ours, {facts.published:,} published"
    return f"{facts.parameters:,} ours, {facts.published:,} published ({difference:+,}: {facts.reason})"
