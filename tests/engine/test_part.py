"""A fusion decoder sees a part of the modalities besides: one more pass, the same for all who share a step."""

from collections import Counter
from typing import ClassVar

import pytest
import torch
from test_objective import LABEL, MODALITIES, Recorder, images, method

from hga_cli.core.combinations import all_combinations
from hga_cli.engine.objective import Objective, part_of
from hga_cli.losses.segmentation import cross_entropy, dice

TERMS = {"fused": {}, "separate": {}, "part": {"weight": 2.0}}


class Fusing(Recorder):
    """With a decoder for each modality alone."""

    has_separate_decoder: ClassVar[bool] = True

    def __init__(self):
        super().__init__(separate=True)


def losses_of(model, *names, step=0):
    return Objective(method(TERMS), MODALITIES)(model, images(*names), LABEL, step=step)


def test_parts_are_proper_and_drawn_evenly():
    counts = Counter(part_of(MODALITIES, step) for step in range(1800))
    assert set(counts) == set(all_combinations(MODALITIES)[:-1])
    assert all(abs(count - 300) < 5 * 300**0.5 for count in counts.values())
    assert [part_of(MODALITIES, step) for step in range(9)] == [part_of(MODALITIES, step) for step in range(9)]
    assert part_of(("t2",), 3) == ()


@pytest.mark.parametrize("step", range(4))
def test_the_part_of_the_step_is_fused_and_supervised_too(step):
    model = Fusing()
    found = losses_of(model, "flair", "t1ce", "t2", step=step)
    part = part_of(MODALITIES, step)
    assert model.encoded == [MODALITIES]
    assert model.fused == [MODALITIES, part]
    one = Fusing()
    logits = one.fuse(one.encode(images(*part)), part).logits
    wanted = (cross_entropy(logits, LABEL) + dice(logits, LABEL)).mean().item()
    assert found.terms["part/fused"] == pytest.approx(wanted, rel=1e-6)
    assert found.tasks["fused"].item() == pytest.approx(found.terms["fused/fused"] + 2 * wanted, rel=1e-6)


def test_only_its_own_modalities_are_seen():
    """NaN in what the part leaves out changes nothing of its loss."""
    part = part_of(MODALITIES, 0)
    seen = images(*MODALITIES)
    broken = {name: image if name in part else torch.full_like(image, torch.nan) for name, image in seen.items()}
    objective = Objective(method(TERMS), MODALITIES)
    whole, damaged = (objective(Fusing(), given, LABEL).terms["part/fused"] for given in (seen, broken))
    assert whole == damaged


def test_nothing_of_a_single_modality():
    model = Fusing()
    assert "part/fused" not in losses_of(model, "t2").terms
    assert model.fused == [("t2",)]


def test_nothing_with_late_fusion():
    model = Recorder()
    assert "part/fused" not in losses_of(model, *MODALITIES).terms
    assert model.fused == [MODALITIES, *((name,) for name in MODALITIES)]


@pytest.mark.parametrize("separate", [False, True])
def test_a_part_says_nothing_of_a_modality_alone(separate):
    terms = {"fused": {}, "part": {}} | ({"separate": {}} if separate else {})
    assert Objective(method(terms), MODALITIES).predicts_alone == separate
