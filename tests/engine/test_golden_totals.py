"""The total loss of the methods as published, from recorded numbers of each term: weights, beta, rho and omega at once.

Not compared: HGA on complete data (its signs and weights are a defect), PASSION with mixed batches (a batch has one
combination here), and idt_drop after its first epoch (D is a mean over all steps there).
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hga_cli.alignment.frequency import frequency_weights
from hga_cli.alignment.term import FUSED, Preferences, TermResult
from hga_cli.core.config import resolve
from hga_cli.engine.objective import Objective
from hga_cli.networks.backbone import Backbone, Prediction

CASES = json.loads((Path(__file__).parent / "golden_totals.json").read_text())["cases"]
MASKS = [
    "0001",
    "0100",
    "0010",
    "1000",
    "0101",
    "0110",
    "1010",
    "0011",
    "1001",
    "1100",
    "1110",
    "1011",
    "1101",
    "0111",
    "1111",
]
MODALITIES = ("flair", "t1ce", "t1", "t2")
PRESETS = {"hga": "hga-published", "passion": "passion"}
PROTOTYPES = {"hga": "compactness", "passion": "similarity"}


class Nothing(Backbone):
    """A network whose predictions are not looked at."""

    def __init__(self):
        super().__init__(MODALITIES, 2, 2)

    def encode(self, images):
        return images

    def fuse(self, features, combination):
        return Prediction(logits=torch.zeros(1), features=(torch.zeros(1),))

    def shared_parameters(self):
        return []


class Recorded:
    """A term that says what was recorded for the running batch: task -> losses of the samples."""

    needs = frozenset()

    def __init__(self, makes_preferences, higher_is_stronger):
        self.makes_preferences, self.higher_is_stronger = makes_preferences, higher_is_stronger
        self.losses, self.strengths = {}, {}

    def __call__(self, outputs):
        strengths = Preferences(values=self.strengths, higher_is_stronger=self.higher_is_stronger)
        return TermResult(losses=self.losses, preferences=strengths if self.makes_preferences else None)


def combination(case, ident):
    mask = "1111" if case["every_modality"] else MASKS[ident]
    return tuple(name for name, bit in zip(MODALITIES, mask, strict=True) if bit == "1")


def objective_of(case):
    """The objective of the shipped method with recorded terms, and the recorded numbers."""
    flags = {f"method.preference.{name}": value for name, value in case["settings"].items()}
    settings = resolve(flags={"method.name": PRESETS[case["method"]], **flags}).method
    owners = [combination(case, idents[0]) for idents in case["batches"][: case["per_epoch"]]]
    omega = frequency_weights(owners)
    if case["method"] == "passion" and not case["every_modality"]:  # complete data: recorded, but not used there
        assert [omega[name] for name in MODALITIES] == pytest.approx(case["omega"])
    objective = Objective(settings, MODALITIES, omega, seed=0)
    prototypes = PROTOTYPES[case["method"]]
    objective._terms = {name: Recorded(name == prototypes, prototypes == "compactness") for name in settings.terms}
    rng, shape = np.random.default_rng(case["seed"]), tuple(case["shape"])
    bounds = {"dist": (0.2, 0.95), "sep": (0.2, 2.0), "kl": (0.0, 0.5), "proto": (0.0, 0.3)}
    arrays = {name: rng.uniform(*bound, shape) for name, bound in bounds.items()}
    arrays["prm"] = rng.uniform(0.5, 1.5, shape[:-1])
    arrays["dist"] = arrays["dist"] * np.array(case["factors"])
    if case["factors"] == [1, 1, 1, 1]:
        assert {name: array.sum() for name, array in arrays.items()} == pytest.approx(case["sums"], rel=1e-9)
    return objective, arrays


def show(objective, case, arrays, place, present):
    """Give the terms the numbers of a batch."""

    def pick(name):
        values = torch.from_numpy(arrays[name][place])
        return {modality: values[:, MODALITIES.index(modality)] for modality in present}

    terms = objective._terms
    terms["fused"].losses = {FUSED: torch.full((case["shape"][2],), case["fuse"], dtype=torch.float64)}
    terms["deep"].losses = {FUSED: torch.from_numpy(arrays["prm"][place])}
    terms["separate"].losses, terms["distillation"].losses = pick("sep"), pick("kl")
    prototypes = terms[PROTOTYPES[case["method"]]]
    prototypes.losses, prototypes.strengths = pick("proto"), pick("dist")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_total_loss_as_published(case):
    """With two samples rho is one vector per batch there, so totals are compared where both samples have that rho."""
    objective, arrays = objective_of(case)
    compared = 0
    for step, (idents, wanted) in enumerate(zip(case["batches"], case["loss"], strict=True)):
        epoch, row = divmod(step, case["per_epoch"])
        present = combination(case, idents[0])
        place = (epoch, idents[0] if case["method"] == "hga" else row)
        show(objective, case, arrays, place, present)
        label = torch.zeros(case["shape"][2], 1, 1, dtype=torch.int64)
        marks = {name: 0.0 for name in MODALITIES} | dict(objective.preference.state()["marks"])
        losses = objective(Nothing(), {name: label for name in present}, label, epoch=epoch)
        found = [objective.preference.state()["marks"][name] - marks[name] for name in MODALITIES]
        if found == [case["shape"][2] * int(mark) for mark in case["rho"][step]]:
            assert float(sum(losses.tasks.values())) == pytest.approx(wanted, rel=1e-9)
            compared += 1
        if row == case["per_epoch"] - 1:
            objective.end_epoch(epoch)
    assert compared == len(case["loss"]) if case["shape"][2] == 1 else compared > len(case["loss"]) / 3
