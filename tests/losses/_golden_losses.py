"""Reads the golden numbers of the losses and draws their inputs again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
CLASSES = 4


def golden(name):
    """The cases of golden_<name>.json as parameters of a test, by name."""
    cases = json.loads((HERE / f"golden_{name}.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


def draw(case, dtype=torch.float64):
    """Student logits, teacher logits and label of a case."""
    rng = np.random.default_rng(case["seed"])
    arrays = {"z_s": case["scale"] * rng.standard_normal(case["logits"])}
    if "z_t" in case["sums"]:
        arrays["z_t"] = case["scale"] * rng.standard_normal(case["logits"])
    arrays["lab"] = rng.integers(0, CLASSES, case["label"])
    _choose_classes(arrays["lab"], case["classes_of_label"], rng)
    assert {k: a.sum(dtype=float) for k, a in arrays.items()} == pytest.approx(case["sums"], rel=1e-9)
    student = torch.from_numpy(arrays["z_s"]).to(dtype).requires_grad_()
    teacher = torch.from_numpy(arrays.get("z_t", arrays["z_s"])).to(dtype)
    return student, teacher, torch.from_numpy(arrays["lab"])


def _choose_classes(label, which, rng):
    if which == "absent":
        label[label == 3] = 1
    elif which == "absent_in_first":
        label[0][label[0] == 3] = 2
    elif which == "sparse":
        label[rng.random(label.shape) < 0.9] = 0
    else:
        assert which == "all"


def tolerance(dtype):
    return 1e-9 if dtype == torch.float64 else 1e-5


def assert_value(loss, wanted, dtype):
    assert loss.dtype == dtype
    assert loss.tolist() == pytest.approx(wanted, rel=tolerance(dtype))


def assert_gradient(gradient, wanted, *, rel=1e-9):
    """Compare with the recorded norm, sum, largest magnitude and some entries."""
    small = rel * wanted["abs_max"]
    assert gradient.norm().item() == pytest.approx(wanted["l2_norm"], rel=rel)
    assert gradient.abs().max().item() == pytest.approx(wanted["abs_max"], rel=rel)
    assert gradient.sum().item() == pytest.approx(wanted["sum"], rel=rel, abs=small * gradient.numel() ** 0.5)
    assert gradient.flatten()[wanted["flat_index"]].tolist() == pytest.approx(wanted["entry"], rel=rel, abs=small)
