"""Every term on a case small enough to work out by hand: two voxels, two classes."""

import pytest
import torch
from torch import tensor

from hga_cli.alignment.distillation import PixelDistillation
from hga_cli.alignment.prototype_terms import Compactness, Similarity
from hga_cli.alignment.prototypes import compactness, similarity
from hga_cli.alignment.supervision import DeepSupervision, FusedSegmentation, ModalitySegmentation
from hga_cli.alignment.term import FUSED, Outputs
from hga_cli.core.catalog import TERMS
from hga_cli.core.errors import ConfigError
from hga_cli.losses.distillation import dice_kd, kl
from hga_cli.losses.segmentation import cross_entropy, dice
from hga_cli.networks.backbone import Prediction

LABEL = tensor([[[0, 1]]])  # one sample of 1 x 2 voxels, one of each class: both classes weigh 1 - 1/2


def logits(*probability_of_1):
    """Logits (1, 2, 1, V) with these probabilities of class 1, voxel by voxel."""
    p = tensor(probability_of_1, dtype=torch.float64).view(1, 1, 1, -1)
    return torch.cat([1 - p, p], 1).log()


def softened(temperature, *probability_of_1):
    """Logits whose softmax at this temperature has these probabilities."""
    return temperature * logits(*probability_of_1)


def prediction(values, *, deep=(), seed=0):
    feature = torch.randn(len(values), 3, *values.shape[2:], generator=torch.Generator().manual_seed(seed))
    return Prediction(logits=values, features=(feature.double(),), deep=deep)


def outputs(fused, *, label=LABEL, **alone):
    """Outputs of one batch; what is alone is separate too, as in a backbone without separate decoder."""
    return Outputs(
        combination=tuple(alone) or ("t1",),
        label=label,
        fused=fused,
        alone=alone,
        separate={name: one.logits for name, one in alone.items()},
    )


def log(number):
    return tensor(number, dtype=torch.float64).log().item()


def by_hand(p0, p1):
    """Weighted cross-entropy and Dice loss of the two voxels, whose true classes have probability 1 - p0 and p1."""
    cross_entropy = (-0.5 * log(1 - p0) - 0.5 * log(p1)) / 2
    background = 2 * (1 - p0) / ((1 - p0) + (1 - p1) + 1 + 1e-7)
    foreground = 2 * p1 / (p0 + p1 + 1 + 1e-7)
    return cross_entropy + 1 - (background + foreground) / 2


def test_fused_segmentation():
    result = FusedSegmentation()(outputs(prediction(logits(0.2, 0.6))))
    assert result.losses.keys() == {FUSED}
    assert result.losses[FUSED].tolist() == pytest.approx([by_hand(0.2, 0.6)])
    assert result.preferences is None


def test_one_loss_for_each_sample():
    batch = prediction(torch.cat([logits(0.2, 0.6), logits(0.9, 0.5)]))
    result = FusedSegmentation()(outputs(batch, label=LABEL.expand(2, 1, 2)))
    assert result.losses[FUSED].tolist() == pytest.approx([by_hand(0.2, 0.6), by_hand(0.9, 0.5)])


def test_modality_segmentation_looks_at_the_separate_predictions():
    seen = outputs(prediction(logits(0.5, 0.5)), t1=prediction(logits(0.2, 0.6)), t2=prediction(logits(0.3, 0.9)))
    result = ModalitySegmentation()(seen)
    assert {name: loss.item() for name, loss in result.losses.items()} == pytest.approx(
        {"t1": by_hand(0.2, 0.6), "t2": by_hand(0.3, 0.9)}
    )


def test_deep_supervision_halves_from_scale_to_scale():
    """A prediction that is the same everywhere stays so when it is enlarged."""
    label = tensor([[[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]])
    deep = (logits(0.3, 0.3).expand(1, 2, 2, 2), logits(0.4))
    result = DeepSupervision()(outputs(prediction(torch.zeros(1, 2, 4, 4).double(), deep=deep), label=label))
    assert result.losses.keys() == {FUSED}

    def constant(p):
        dice = (2 * 8 * (1 - p) / (16 * (1 - p) + 8 + 1e-7) + 2 * 8 * p / (16 * p + 8 + 1e-7)) / 2
        return (-0.5 * log(1 - p) - 0.5 * log(p)) / 2 + 1 - dice

    assert result.losses[FUSED].tolist() == pytest.approx([constant(0.3) / 2 + constant(0.4) / 4])


def test_deep_supervision_of_a_backbone_without_scales_is_nothing():
    assert DeepSupervision()(outputs(prediction(logits(0.2, 0.6)))).losses == {}


def divergence(student, teacher, temperature):
    """T^2 / (K V) sum pt (log pt - log ps), with probabilities of class 1 at this temperature."""
    total = 0.0
    for ps, pt in zip(student, teacher, strict=True):
        total += pt * (log(pt) - log(ps)) + (1 - pt) * (log(1 - pt) - log(1 - ps))
    return temperature**2 * total / (2 * len(student))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_pixel_distillation(temperature):
    teacher, students = (0.5, 0.8), {"t1": (0.2, 0.6), "t2": (0.5, 0.8)}
    seen = outputs(
        prediction(softened(temperature, *teacher)),
        **{name: prediction(softened(temperature, *values)) for name, values in students.items()},
    )
    losses = PixelDistillation(temperature=temperature)(seen).losses
    assert losses["t1"].tolist() == pytest.approx([divergence(students["t1"], teacher, temperature)])
    assert losses["t2"].tolist() == pytest.approx([0.0], abs=1e-12)
    assert losses.keys() == {"t1", "t2"}


def test_the_published_temperature_is_four():
    seen = outputs(prediction(logits(0.5, 0.8)), t1=prediction(logits(0.2, 0.6)))
    assert torch.equal(PixelDistillation()(seen).losses["t1"], PixelDistillation(temperature=4.0)(seen).losses["t1"])


def test_distillation_at_coarser_scales_halves_too():
    seen = outputs(
        prediction(softened(4, 0.5, 0.8), deep=(softened(4, 0.4),)),
        t1=prediction(softened(4, 0.5, 0.8), deep=(softened(4, 0.3),)),
        label=LABEL.expand(1, 2, 2),
    )
    wanted = divergence([0.3], [0.4], 4) / 2
    assert PixelDistillation()(seen).losses["t1"].tolist() == pytest.approx([wanted])


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("weighted_kl", lambda s, t: kl(s, t, LABEL, temperature=2.0)),
        ("dice_kd", lambda s, t: dice_kd(s, t, temperature=2.0)),
    ],
)
def test_other_kinds_of_distillation(kind, loss):
    student, teacher = logits(0.2, 0.6), logits(0.5, 0.8)
    result = PixelDistillation(kind=kind, temperature=2.0)(outputs(prediction(teacher), t1=prediction(student)))
    torch.testing.assert_close(result.losses["t1"], loss(student, teacher))


@pytest.mark.parametrize("kind", ["kl", "weighted_kl", "dice_kd"])
def test_the_teacher_is_a_constant(kind):
    student, teacher = logits(0.2, 0.6).requires_grad_(), logits(0.5, 0.8).requires_grad_()
    result = PixelDistillation(kind=kind)(outputs(prediction(teacher), t1=prediction(student)))
    result.losses["t1"].sum().backward()
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


def test_an_unknown_kind_is_an_error_with_a_suggestion():
    with pytest.raises(ConfigError, match="weighted_kll") as caught:
        PixelDistillation(kind="weighted_kll")
    assert "did you mean 'weighted_kl'" in caught.value.hint


def prototypes_seen():
    label = tensor([[[0, 1, 1], [0, 0, 1]]])
    fused, t1, t2 = (prediction(torch.randn(1, 2, 2, 3).double(), seed=seed) for seed in (1, 2, 3))
    return outputs(fused, label=label, t1=t1, t2=t2)


def test_compactness_says_that_confidence_is_strength():
    seen = prototypes_seen()
    result = Compactness(compactness_weight=0.5)(seen)
    for name, alone in seen.alone.items():
        loss, confidence = compactness(alone.feature, seen.label, 2, compactness_weight=0.5)
        assert torch.equal(result.losses[name], loss)
        assert torch.equal(result.preferences.values[name], confidence)
    assert result.preferences.higher_is_stronger
    assert not torch.equal(result.losses["t1"], Compactness()(seen).losses["t1"])  # 0.001


def test_similarity_says_that_distance_is_weakness():
    seen = prototypes_seen()
    result = Similarity()(seen)
    for name, alone in seen.alone.items():
        loss, distance = similarity(alone.feature, seen.fused.feature, seen.label, 2)
        assert torch.equal(result.losses[name], loss)
        assert torch.equal(result.preferences.values[name], distance)
    assert not result.preferences.higher_is_stronger


@pytest.mark.parametrize("term", [Compactness(), Similarity()], ids=["compactness", "similarity"])
def test_preferences_carry_no_gradient(term):
    seen = prototypes_seen()
    for alone in seen.alone.values():
        alone.feature.requires_grad_()
    result = term(seen)
    assert all(loss.requires_grad for loss in result.losses.values())
    assert not any(value.requires_grad for value in result.preferences.values.values())


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("fused", set()),
        ("deep", set()),
        ("separate", {"separate"}),
        ("distillation", {"alone"}),
        ("compactness", {"alone"}),
        ("similarity", {"alone"}),
    ],
)
def test_what_each_term_needs(name, needs):
    assert TERMS.load(name).needs == needs


def two_samples():
    """A batch whose Dice over the batch differs from the mean over its samples."""
    label = tensor([[[0, 1, 1, 1]], [[0, 0, 0, 1]]])
    fused, t1 = (torch.cat(pair) for pair in (both([0.2] * 4, [0.9] * 4), both([0.1, 0.6, 0.7, 0.2], [0.4] * 4)))
    return outputs(prediction(fused), label=label, t1=prediction(t1))


def both(first, second):
    return logits(*first), logits(*second)


@pytest.mark.parametrize(
    ("term", "part", "task"), [(FusedSegmentation, "fused", FUSED), (ModalitySegmentation, "t1", "t1")]
)
@pytest.mark.parametrize("over_batch", [False, True])
def test_kinds_of_segmentation_loss(term, part, task, over_batch):
    seen = two_samples()
    values = (seen.fused if part == "fused" else seen.alone["t1"]).logits
    overlap = dice(values, seen.label, over_batch=over_batch)
    only = term(kind="dice", over_batch=over_batch)(seen).losses[task]
    whole = term(over_batch=over_batch)(seen).losses[task]
    assert torch.equal(only, overlap)
    torch.testing.assert_close(whole, overlap + cross_entropy(values, seen.label))
    assert (only[0] == only[1]) == over_batch


def test_distillation_may_leave_coarser_scales_out():
    deep = {"fused": (softened(4, 0.4),), "t1": (softened(4, 0.3),)}
    seen = outputs(
        prediction(softened(4, 0.5, 0.8), deep=deep["fused"]),
        t1=prediction(softened(4, 0.2, 0.6), deep=deep["t1"]),
        label=LABEL.expand(1, 2, 2),
    )
    fine = divergence((0.2, 0.6), (0.5, 0.8), 4)
    assert PixelDistillation(deep=False)(seen).losses["t1"].tolist() == pytest.approx([fine])
    whole = fine + divergence([0.3], [0.4], 4) / 2
    assert PixelDistillation()(seen).losses["t1"].tolist() == pytest.approx([whole])


def test_dice_between_student_and_teacher_over_the_batch():
    seen = two_samples()
    per_sample = PixelDistillation(kind="dice_kd")(seen).losses["t1"]
    over_batch = PixelDistillation(kind="dice_kd", over_batch=True)(seen).losses["t1"]
    assert per_sample[0] != per_sample[1]
    assert over_batch[0] == over_batch[1]
    student, teacher = seen.alone["t1"].logits, seen.fused.logits
    assert torch.equal(over_batch, dice_kd(student, teacher, over_batch=True))


@pytest.mark.parametrize("term", [FusedSegmentation, DeepSupervision, ModalitySegmentation])
def test_an_unknown_kind_of_segmentation_loss_is_an_error(term):
    with pytest.raises(ConfigError, match="'dise'") as caught:
        term(kind="dise")
    assert "did you mean 'dice'" in caught.value.hint
