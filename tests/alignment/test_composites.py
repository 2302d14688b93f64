"""The terms on recorded predictions of the published networks: what their forward passes return as losses.

The reference mixes combinations in a batch (B2): its numbers of absent modalities are 0 and are not compared, as absent
modalities do not exist here. Its compactness is one value per batch, compared with the mean over the samples. There is
no counterpart of the mask regime pdt for what is not encoded; the recorded students of all modalities are compared.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hga_cli.alignment.distillation import PixelDistillation
from hga_cli.alignment.prototype_terms import Compactness, Similarity
from hga_cli.alignment.supervision import DeepSupervision, FusedSegmentation, ModalitySegmentation
from hga_cli.alignment.term import FUSED, Outputs
from hga_cli.networks.backbone import Prediction

CASES = json.loads((Path(__file__).parent / "golden_composite.json").read_text())["cases"]
MODALITIES = ("flair", "t1ce", "t1", "t2")
composite = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
types = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def drawn(case, dtype):
    """Outputs of the network as recorded, all modalities of all samples."""
    rng, batch = np.random.default_rng(case["seed"]), len(case["masks"])
    arrays = {"lab": rng.integers(0, 4, (batch, 16, 16, 16))}
    arrays["F"] = 2.0 * rng.standard_normal((5, batch, 4, 16, 16, 16))
    arrays["P"] = 2.0 * rng.standard_normal((4, batch, 4, 16, 16, 16))
    arrays["f"] = rng.standard_normal((5, batch, 8, 16, 16, 16))
    for level, size in enumerate(case["levels"], start=1):
        arrays[f"G{level}"] = 2.0 * rng.standard_normal((5, batch, 4, size, size, size))
    assert {name: arrays[name].sum(dtype=float) for name in case["sums"]} == pytest.approx(case["sums"], rel=1e-9)
    values = {name: torch.from_numpy(array) for name, array in arrays.items()}
    predictions = [
        Prediction(
            logits=values["F"][place].to(dtype),
            features=(values["f"][place].to(dtype),),
            deep=tuple(values[f"G{level}"][place].to(dtype) for level in range(1, len(case["levels"]) + 1)),
        )
        for place in range(5)
    ]
    return Outputs(
        combination=MODALITIES,
        label=values["lab"],
        fused=predictions[0],
        alone=dict(zip(MODALITIES, predictions[1:], strict=True)),
        separate={name: values["P"][place].to(dtype) for place, name in enumerate(MODALITIES)},
    )


def assert_modalities(case, found, wanted, rel):
    """Compare modality -> (B,) with rows (B, M) where a modality is there."""
    for place, name in enumerate(MODALITIES):
        for sample, mask in enumerate(case["masks"]):
            if case["every_modality"] or mask[place]:
                assert found[name][sample].item() == pytest.approx(wanted[sample][place], rel=rel), (name, sample)


@types
@composite
def test_supervision_and_distillation_as_published(case, dtype):
    seen, wanted = drawn(case, dtype), case["outputs"]
    rel = 1e-9 if dtype == torch.float64 else 1e-5
    fused = FusedSegmentation()(seen).losses[FUSED]
    deep = DeepSupervision()(seen).losses[FUSED]
    assert fused.tolist() == pytest.approx([row[0] for row in wanted["fuse_b"]], rel=rel)
    assert deep.tolist() == pytest.approx([row[0] for row in wanted["prm_b"]], rel=rel)
    assert_modalities(case, ModalitySegmentation()(seen).losses, wanted["sep_bm"], rel)
    assert_modalities(case, PixelDistillation()(seen).losses, wanted["kl_bm"], rel)


@types
@composite
def test_prototypes_as_published(case, dtype):
    """Compactness differs by the 1e-12 under its root, hence 1e-5; all classes occur in all samples here."""
    seen, wanted = drawn(case, dtype), case["outputs"]
    if case["prototypes"] == "similarity":
        result, rel = Similarity()(seen), 1e-9 if dtype == torch.float64 else 1e-5
    else:
        result, rel = Compactness()(seen), 1e-5
        for values in (result.losses, result.preferences.values):
            values.update({name: value.mean().expand(len(value)) for name, value in values.items()})
    assert_modalities(case, result.losses, wanted["proto_bm"], rel)
    assert_modalities(case, result.preferences.values, wanted["dist_bm"], rel)


def test_every_published_backbone_is_there():
    assert {case["name"].split("_")[0] for case in CASES} == {"mmformer", "rfnet", "m2ftrans"}
    assert {len(case["levels"]) for case in CASES} == {4, 5}
