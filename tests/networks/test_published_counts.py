"""The published numbers of parameters are those of ../shared/golden/backbones.json (which a user does not have)."""

import json
from pathlib import Path

import pytest

from hga_cli.core.backbones import BACKBONES

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "backbones.json"
RECORDED = {
    "dynunet": "nnunet_late",
    "dynunet_early": "nnunet_early",
    "m2ftrans": "m2ftrans",
    "mmformer": "mmformer",
    "rfnet": "rfnet",
    "swinunetr": "swinunetr_late",
    "swinunetr_early": "swinunetr_early",
    "unet": "ensemble_unet",
}
"""Our backbone -> its name there."""
COUNTED = {"shaspec"}
"""Not recorded: counted in ../shared/spec/backbones.md."""


def test_every_backbone_has_a_count_to_compare_with():
    assert RECORDED.keys() | COUNTED == BACKBONES.entries.keys()


@pytest.mark.skipif(not GOLDEN.exists(), reason="../shared/golden is not here")
def test_published_counts_were_recorded():
    recorded = json.loads(GOLDEN.read_text())["outputs"]
    published = {name: BACKBONES.entries[name].published for name in RECORDED}
    assert published == {name: recorded[other]["total"] for name, other in RECORDED.items()}
    assert len(set(RECORDED.values())) == len(recorded)
