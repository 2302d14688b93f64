"""The terms of MAG, GSS and PMR: by hand, against plain numpy, and what must not matter."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import tensor

from hga_cli.alignment.features import FeatureDistillation
from hga_cli.alignment.group import GroupSupport, group_target
from hga_cli.alignment.pmr import PrototypicalRebalance
from hga_cli.alignment.term import Outputs
from hga_cli.core.backbones import Ability
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Prediction

NAMES = ("flair", "t1ce", "t2")


def random(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def outputs(names=NAMES, *, batch=2, space=(3, 4), spread=4.0):
    """Random predictions; each modality has its own seed, whatever else is there."""
    made = {
        name: Prediction(
            logits=random(batch, 3, *space, seed=seed, scale=spread),
            features=(random(batch, 5, *space, seed=10 + seed),),
            deepest=random(batch, 6, 1, 2, seed=20 + seed),
        )
        for seed, name in enumerate(NAMES)
    }
    return assembled({name: made[name] for name in names})


def assembled(alone):
    """As late fusion does it: the fused prediction is the mean."""
    fused = Prediction(
        logits=mean(one.logits for one in alone.values()),
        features=tuple(one.feature for one in alone.values()),
        deepest=mean(one.deepest for one in alone.values()),
    )
    batch, _, *space = fused.logits.shape
    separate = {name: one.logits for name, one in alone.items()}
    label = torch.zeros(batch, *space, dtype=torch.int64)
    return Outputs(combination=tuple(alone), label=label, fused=fused, alone=alone, separate=separate)


def mean(parts):
    return torch.stack(list(parts)).mean(0)


def sample(seen, place):
    """One sample of a batch, as a batch."""

    def one(prediction):
        parts = (prediction.logits, prediction.feature, prediction.deepest)
        logits, feature, deepest = (part[place : place + 1] for part in parts)
        return Prediction(logits=logits, features=(feature,), deepest=deepest)

    parts = assembled({name: one(prediction) for name, prediction in seen.alone.items()})
    return replace(parts, label=seen.label[place : place + 1])


def two_classes(*probability_of_1):
    """Logits (m, 1, 2, 1) of m modalities with these probabilities of class 1 in the one voxel."""
    p = tensor(probability_of_1, dtype=torch.float64).view(-1, 1, 1, 1)
    return torch.cat([1 - p, p], 2).log()


@pytest.mark.parametrize(
    ("probabilities", "leading", "class_0", "class_1"),
    [
        ((0.9, 0.6, 0.3), [0, 1, 2], 0.7, 0.9),  # each class has a leader of its own
        ((0.3, 0.6, 0.9), [0, 1, 2], 0.7, 0.9),  # whoever it is
        ((0.5, 0.6, 0.45), [0, 1, 2], 0.4, 0.45),  # nobody is certain: the smallest
        ((0.9, 0.6, 0.3), [0], 0.1, 0.9),  # class 0: neither leader nor others agree
        ((0.5, 0.8, 0.9), [0], 0.1, 0.85),  # the others agree
        ((0.5, 0.7, 0.9), [0], 0.1, 0.5),  # one of them not enough
        ((0.8, 0.9), [], 0.1, 0.85),  # the leader is absent
        ((0.999, 0.998), [0, 1], 0.005, 0.999),  # clipped
    ],
)
def test_target_of_one_voxel(probabilities, leading, class_0, class_1):
    target = group_target(two_classes(*probabilities), leading, certain=0.65, agreed=0.75)
    total = class_0 + class_1
    assert target.flatten().tolist() == pytest.approx([class_0 / total, class_1 / total])


def target_by_loops(p, leading, certain, agreed):
    """(m, B, K, V) -> (B, K, V), number by number."""
    members, batch, classes, voxels = p.shape
    target = np.empty(p.shape[1:])
    for b, c, v in product(range(batch), range(classes), range(voxels)):
        values = [float(p[m, b, c, v]) for m in range(members)]
        others = [value for m, value in enumerate(values) if m not in leading] or values
        lead = max((values[m] for m in leading), default=-1.0)
        if lead > certain:
            target[b, c, v] = lead
        elif min(others) > agreed:
            target[b, c, v] = sum(others) / len(others)
        else:
            target[b, c, v] = min(values)
    target = np.clip(target, 0.005, 1)
    return target / target.sum(1, keepdims=True)


@pytest.mark.parametrize("leading", [[], [0], [2], [0, 1, 2]], ids=str)
@pytest.mark.parametrize(("certain", "agreed"), [(0.65, 0.75), (0.8, 0.4)])
def test_target_of_many_voxels(leading, certain, agreed):
    logits = random(3, 2, 4, 50, scale=3)
    found = group_target(logits, leading, certain=certain, agreed=agreed)
    p = np.exp(logits.numpy())
    wanted = target_by_loops(p / p.sum(2, keepdims=True), leading, certain, agreed)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    np.testing.assert_allclose(found.sum(1).numpy(), 1, rtol=1e-12)


def group_losses(seen, **options):
    return {name: loss.tolist() for name, loss in GroupSupport(**options)(seen).losses.items()}


@pytest.mark.parametrize("leader", ["", "flair", "t2"])
def test_group_loss_is_the_divergence_from_the_target(leader):
    seen = outputs()
    p = {name: one.softmax(1).flatten(2).numpy() for name, one in seen.separate.items()}
    leading = [place for place, name in enumerate(NAMES) if leader in ("", name)]
    target = np.clip(target_by_loops(np.stack(list(p.values())), leading, 0.65, 0.75), 0.005, 1)
    for name, losses in group_losses(seen, leader=leader).items():
        gap = target * (np.log(target) - np.log(np.clip(p[name], 0.005, 1)))
        assert losses == pytest.approx(gap.mean((1, 2)).tolist(), rel=1e-9)


def test_the_target_is_a_constant_and_every_student_learns():
    """What one modality says moves its own loss only."""
    seen = outputs(spread=1.0)
    for logits in seen.separate.values():
        logits.requires_grad_()
    GroupSupport()(seen).losses["t1ce"].sum().backward()
    assert seen.separate["t1ce"].grad.abs().max() > 0
    assert seen.separate["flair"].grad is None


def test_an_absent_leader_leads_nobody():
    assert group_losses(outputs(("t1ce", "t2")), leader="flair") != group_losses(outputs(("t1ce", "t2")))
    assert group_losses(outputs(("t1ce", "t2")), leader="flair") == group_losses(outputs(("t1ce", "t2")), certain=1.0)


@pytest.mark.parametrize("name", NAMES)
def test_one_modality_alone_has_no_group(name):
    assert GroupSupport()(outputs((name,))).losses == {}


@pytest.mark.parametrize(("kind", "power"), [("mse", 2), ("l1", 1)])
@pytest.mark.parametrize(("deepest", "part"), [(False, "feature"), (True, "deepest")])
def test_feature_loss_is_a_mean_difference(kind, power, deepest, part):
    seen = outputs()
    losses = FeatureDistillation(kind=kind, deepest=deepest)(seen).losses
    assert losses.keys() == set(NAMES)
    for name, loss in losses.items():
        gap = np.abs(getattr(seen.alone[name], part).numpy() - getattr(seen.fused, part).numpy()) ** power
        assert loss.tolist() == pytest.approx([gap[0].mean(), gap[1].mean()], rel=1e-12)


@pytest.mark.parametrize("deepest", [False, True])
def test_the_fused_feature_is_a_constant(deepest):
    """The gradient of the squares is 2 (f_m - f) / n, with nothing of what f holds of f_m."""
    seen = outputs()
    part = "deepest" if deepest else "feature"
    student = getattr(seen.alone["t2"], part).requires_grad_()
    seen = assembled(seen.alone)
    assert getattr(seen.fused, part).requires_grad
    FeatureDistillation(deepest=deepest)(seen).losses["t2"].sum().backward()
    wanted = 2 * (student - getattr(seen.fused, part)).detach() / student[0].numel()
    torch.testing.assert_close(student.grad, wanted)


def test_one_modality_alone_has_its_own_feature():
    losses = FeatureDistillation()(outputs(("t2",))).losses
    assert losses["t2"].tolist() == [0.0, 0.0]


def labelled(names=NAMES, batch=2):
    """Random predictions of voxels of three classes, of which the first sample has two."""
    seen = outputs(names, batch=batch, space=(6, 7))
    label = torch.randint(0, 3, (batch, 6, 7), generator=torch.Generator().manual_seed(3))
    label[0][label[0] == 2] = 1
    return replace(seen, label=label)


TERMS = [
    GroupSupport(),
    GroupSupport(leader="t1ce"),
    FeatureDistillation(),
    FeatureDistillation(kind="l1"),
    PrototypicalRebalance(),
]
IDS = ["group", "group led", "features", "features l1", "pmr"]


@pytest.mark.parametrize("term", TERMS, ids=IDS)
def test_the_order_of_modalities_does_not_matter(term):
    wanted = term(labelled()).losses
    for names in permutations(NAMES):
        found = term(labelled(names)).losses
        for name in NAMES:
            torch.testing.assert_close(found[name], wanted[name])


@pytest.mark.parametrize("term", TERMS, ids=IDS)
def test_samples_of_a_batch_are_independent(term):
    seen = labelled(batch=3)
    together = term(seen).losses
    for place in range(3):
        for name, loss in term(sample(seen, place)).losses.items():
            torch.testing.assert_close(loss, together[name][place : place + 1])


@pytest.mark.parametrize("term", TERMS, ids=IDS)
def test_only_modalities_that_are_there_have_a_loss(term):
    assert term(outputs(("flair", "t2"))).losses.keys() == {"flair", "t2"}


@pytest.mark.parametrize("term", TERMS, ids=IDS)
def test_extreme_and_half_precision_predictions_have_finite_losses_and_gradients(term):
    """Half precision holds 300, but not its square."""
    alone = {
        name: Prediction(logits=sign * full, features=(sign * full,), deepest=sign * full)
        for name, sign in zip(NAMES, (1, -1, 1), strict=True)
        for full in [torch.full((1, 2, 2, 2), 300.0).half() * tensor([1, -1]).view(1, 2, 1, 1)]
    }
    for one in alone.values():
        one.logits.requires_grad_()
        one.feature.requires_grad_()
    seen = assembled(alone)
    losses = term(replace(seen, label=seen.label + tensor([[0, 1], [1, 0]]))).losses
    total = sum(loss.sum() for loss in losses.values())
    assert torch.isfinite(total)
    assert total.dtype == torch.float32
    total.backward()
    grads = [grad for one in alone.values() for grad in (one.logits.grad, one.feature.grad) if grad is not None]
    assert grads
    assert all(grad.isfinite().all() for grad in grads)


def test_what_they_declare():
    assert GroupSupport.needs == {"separate"}
    assert FeatureDistillation.needs == PrototypicalRebalance.needs == {"alone"}
    assert FeatureDistillation().requires == frozenset()
    assert FeatureDistillation(deepest=True).requires == {Ability.DEEPEST}
    assert GroupSupport().names == frozenset()
    assert GroupSupport(leader="t1").names == {"t1"}


def test_an_unknown_kind_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="called 'msee'") as caught:
        FeatureDistillation(kind="msee")
    assert "did you mean 'mse'" in caught.value.hint


@pytest.mark.parametrize("option", ["certain", "agreed"])
def test_a_bound_that_is_no_probability_is_an_error(option):
    with pytest.raises(ConfigError, match=f"'{option}' .* found 65") as caught:
        GroupSupport(**{option: 65})
    assert f"options.{option}=" in caught.value.hint
