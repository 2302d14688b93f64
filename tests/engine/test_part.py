"""A fusion decoder sees a part of the modalities besides: one more pass, the same for all who share a step."""

from collections import Counter
from typing import ClassVar

import pytest
import torch
from _training import make_store, planned, settings, training_of
from test_objective import LABEL, MODALITIES, Recorder, images, method

from hga_cli.core.combinations import all_combinations
from hga_cli.engine import objective
from hga_cli.engine.objective import Objective, part_of
from hga_cli.losses.segmentation import cross_entropy, dice
from hga_cli.networks.unet import EnsembleUNet

TERMS = {"fused": {}, "separate": {}, "part": {"weight": 2.0}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("part") / "store")


class Fusing(Recorder):
    """With a decoder for each modality alone."""

    has_separate_decoder: ClassVar[bool] = True

    def __init__(self):
        super().__init__(separate=True)


def losses_of(model, *names, step=0, seed=0):
    return Objective(method(TERMS), MODALITIES, seed=seed)(model, images(*names), LABEL, step=step)


def test_parts_are_proper_and_drawn_evenly():
    counts = Counter(part_of(MODALITIES, step, 7) for step in range(1800))
    assert set(counts) == set(all_combinations(MODALITIES)[:-1])
    assert all(abs(count - 300) < 5 * 300**0.5 for count in counts.values())
    assert part_of(("t2",), 3, 7) == ()


def test_parts_follow_from_the_seed():
    one, again, other = ([part_of(MODALITIES, step, seed) for step in range(40)] for seed in (1, 1, 2))
    assert one == again
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 20  # of six parts: 7 expected


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_draws_by_its_seed_the_same_for_parts_of_a_batch(store, monkeypatch, accumulate):
    drawn = []
    monkeypatch.setattr(EnsembleUNet, "has_separate_decoder", True)
    monkeypatch.setattr(objective, "part_of", lambda *given: (drawn.append(given), part_of(*given))[1])
    changes = {"method.terms.part.weight": 1.0, "method.sampler.kind": "cycle", "optim.accumulate": accumulate}
    training, patches = training_of(planned(store, settings("joint", seed=3, **changes)))
    for training.step in (3, 4):
        training.learn(patches[training.step])
    assert drawn == [(patches[step].combination, step, 3) for step in (3, 4) for _ in range(accumulate)]


@pytest.mark.parametrize("step", range(4))
def test_the_part_of_the_step_is_fused_and_supervised_too(step):
    model = Fusing()
    found = losses_of(model, "flair", "t1ce", "t2", step=step, seed=5)
    part = part_of(MODALITIES, step, 5)
    assert model.encoded == [MODALITIES]
    assert model.fused == [MODALITIES, part]
    one = Fusing()
    logits = one.fuse(one.encode(images(*part)), part).logits
    wanted = (cross_entropy(logits, LABEL) + dice(logits, LABEL)).mean().item()
    assert found.terms["part/fused"] == pytest.approx(wanted, rel=1e-6)
    assert found.tasks["fused"].item() == pytest.approx(found.terms["fused/fused"] + 2 * wanted, rel=1e-6)


def test_only_its_own_modalities_are_seen():
    """NaN in what the part leaves out changes nothing of its loss."""
    part = part_of(MODALITIES, 0, 0)
    seen = images(*MODALITIES)
    broken = {name: image if name in part else torch.full_like(image, torch.nan) for name, image in seen.items()}
    losses_of_it = Objective(method(TERMS), MODALITIES, seed=0)
    whole, damaged = (losses_of_it(Fusing(), given, LABEL).terms["part/fused"] for given in (seen, broken))
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
    assert Objective(method(terms), MODALITIES, seed=0).predicts_alone == separate
