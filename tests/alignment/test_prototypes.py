import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hga_cli.alignment.prototypes import compactness, similarity

CLASSES = 4
types = {"float64": torch.float64, "float32": torch.float32}


def golden(name):
    cases = json.loads((Path(__file__).parent / f"golden_{name}.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


def draw(case, dtype=torch.float64):
    """Student feature, teacher feature and label of a golden case; "sums" tells whether numpy draws other numbers."""
    rng = np.random.default_rng(case["seed"])
    batch = case["label"][0]
    rng.standard_normal(case["logits"])  # of no use here
    student = rng.standard_normal((batch, 8, 8, 8, 8))
    teacher = student + 0.7 * rng.standard_normal(student.shape)
    label = rng.integers(0, CLASSES, case["label"])
    choose_classes(label, case["classes_of_label"], rng)
    if case["classes_of_label"] == "zero_feature":
        student = np.where(label[:, None] == 1, 0.0, student)
        teacher = student + 0.7 * rng.standard_normal(student.shape)
    sums = {"f_s": student.sum(), "f_t": teacher.sum(), "lab": label.sum()}
    assert sums == pytest.approx(case["sums"], rel=1e-9)
    student = torch.from_numpy(student).to(dtype).requires_grad_()
    return student, torch.from_numpy(teacher).to(dtype), torch.from_numpy(label)


def choose_classes(label, which, rng):
    if which == "absent":
        label[label == 3] = 1
    elif which == "absent_in_first":
        label[0][label[0] == 3] = 2
    elif which == "sparse":
        label[rng.random(label.shape) < 0.9] = 0
    elif which == "zero_feature":
        label[:] = rng.integers(0, 2, label.shape)
    elif which in ("background_only", "single_voxel"):
        label[:] = 0
    elif which == "nothing_in_common":
        label[0], label[1] = 0, 1
    if which == "single_voxel":
        label[0, 0, 0, :3] = 1
        label[0, 1, 1, 1] = 3


def assert_gradient(gradient, wanted, rel):
    small = rel * wanted["abs_max"]
    assert gradient.norm().item() == pytest.approx(wanted["l2_norm"], rel=rel)
    assert gradient.flatten()[wanted["flat_index"]].tolist() == pytest.approx(wanted["entry"], rel=rel, abs=small)


@pytest.mark.parametrize("dtype", types.values(), ids=types)
@pytest.mark.parametrize("case", golden("compactness"))
def test_compactness_as_published(case, dtype):
    feature, _, label = draw(case, dtype)
    loss, confidence = compactness(feature, label, CLASSES)
    assert loss.tolist() == pytest.approx(case["outputs"]["loss"], rel=1e-5)
    assert confidence.tolist() == pytest.approx(case["outputs"]["confidence"], rel=1e-5)
    assert not confidence.requires_grad
    (gradient,) = torch.autograd.grad(loss.mean(), feature)
    assert gradient.isfinite().all()
    if "gradient" in case and dtype == torch.float64:
        assert_gradient(gradient, case["gradient"], rel=1e-4)


@pytest.mark.parametrize("dtype", types.values(), ids=types)
@pytest.mark.parametrize("case", golden("similarity"))
def test_similarity_as_published(case, dtype):
    feature, teacher, label = draw(case, dtype)
    rel = 1e-9 if dtype == torch.float64 else 1e-5
    loss, distance = similarity(feature, teacher, label, CLASSES)
    assert loss.tolist() == pytest.approx(case["outputs"]["loss"], rel=rel)
    assert distance.tolist() == pytest.approx(case["outputs"]["distance"], rel=rel)
    assert not distance.requires_grad
    (gradient,) = torch.autograd.grad(loss.sum(), feature)
    assert gradient.isfinite().all()
    if "gradient" in case and dtype == torch.float64:
        assert_gradient(gradient, case["gradient"], rel=1e-9)


def example(batch=3, space=(6, 6, 6), channels=8):
    generator = torch.Generator().manual_seed(1)
    feature, teacher = torch.randn(2, batch, channels, *space, generator=generator)
    return feature.requires_grad_(), teacher, torch.randint(0, CLASSES, (batch, *space), generator=generator)


def by_compactness(feature, teacher, label):
    return compactness(feature, label, CLASSES)


def by_similarity(feature, teacher, label):
    return similarity(feature, teacher, label, CLASSES)


both = pytest.mark.parametrize("loss", [by_compactness, by_similarity])

LABELS = {
    "all classes": lambda label: label,
    "one class": torch.zeros_like,
    "an empty class": lambda label: label.clamp(max=2),
    "a class of one voxel": lambda label: torch.zeros_like(label).index_fill_(-1, torch.tensor(0), 1),
}
FEATURES = {
    "zero": torch.zeros_like,
    "constant": lambda feature: torch.full_like(feature, 3.1),
    "tiny": lambda feature: 1e-7 * feature,
    "huge": lambda feature: 1e3 * feature,
}


@both
@pytest.mark.parametrize("label_of", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("feature_of", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=["float16", "float32"])
def test_degenerate_inputs_stay_finite(loss, label_of, feature_of, dtype):
    feature, teacher, label = example()
    feature = feature_of(feature.detach()).to(dtype).requires_grad_()
    value, state = loss(feature, teacher.to(dtype), label_of(label))
    (gradient,) = torch.autograd.grad(value.sum(), feature)
    assert value.isfinite().all()
    assert state.isfinite().all()
    assert gradient.isfinite().all()


@both
def test_half_precision_of_a_large_patch(loss):
    feature, teacher, _ = example(batch=1, space=(48, 48, 48))
    label = torch.ones(1, 48, 48, 48, dtype=torch.int64)
    half = feature.detach().half().requires_grad_()
    value, state = loss(half, teacher.half(), label)
    wide_value, wide_state = loss(half.float(), teacher.half().float(), label)
    assert value.dtype == state.dtype == torch.float32
    torch.testing.assert_close((value, state), (wide_value, wide_state), rtol=1e-3, atol=0)
    (gradient,) = torch.autograd.grad(value.sum(), half)
    assert gradient.dtype == torch.float16
    assert gradient.isfinite().all()


@both
def test_autocast_changes_nothing(loss):
    inputs = example()
    expected = loss(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, state = loss(*inputs)
    assert torch.equal(value, expected[0])
    assert torch.equal(state, expected[1])


@both
def test_a_sample_does_not_see_the_others(loss):
    feature, teacher, label = example()
    before = loss(feature, teacher, label)
    (gradient,) = torch.autograd.grad(before[0][0], feature)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0
    changed = (torch.cat([feature[:1], 2 - feature[1:]]), teacher, torch.cat([label[:1], label[1:] * 0]))
    after = loss(*changed)
    for new, old in zip(after, before, strict=True):
        torch.testing.assert_close(new[0], old[0])
        assert new[1] != old[1]


@both
@pytest.mark.parametrize("space", [(4, 6, 2), (3, 4), (5, 3)], ids=["in 8 parts", "in 4", "in 1"])
@pytest.mark.parametrize("is_last", [False, True], ids=["", "channels last"])
def test_a_single_sample_is_computed_in_parts(loss, space, is_last):
    """Alone it has the loss and the gradient that it has among others."""
    feature, teacher, label = example(space=space)
    if is_last:
        feature = feature.detach().movedim(1, -1).contiguous().movedim(-1, 1).requires_grad_()
    together, state = loss(feature, teacher, label)
    (wanted,) = torch.autograd.grad(together.sum(), feature)
    for place in range(len(feature)):
        one = slice(place, place + 1)
        alone, own = loss(feature[one], teacher[one], label[one])
        (found,) = torch.autograd.grad(alone.sum(), feature)
        torch.testing.assert_close(alone, together[one])
        torch.testing.assert_close(own, state[one])
        torch.testing.assert_close(found[one], wanted[one])


@both
def test_order_of_samples_does_not_matter(loss):
    inputs = example()
    order = torch.tensor([2, 0, 1])
    mixed = loss(*(x[order] for x in inputs))
    for new, old in zip(mixed, loss(*inputs), strict=True):
        torch.testing.assert_close(new, old[order])


@both
def test_gradients_are_those_of_finite_differences(loss):
    feature, teacher, label = example(batch=2, space=(2, 3), channels=2)
    feature, teacher = feature.detach().double().requires_grad_(), teacher.double()
    assert torch.autograd.gradcheck(lambda f: loss(f, teacher, label)[0], feature)
    assert torch.autograd.gradgradcheck(lambda f: loss(f, teacher, label)[0], feature)


@both
def test_gradients_of_several_samples_at_once(loss):
    feature, teacher, label = example()
    values, _ = loss(feature, teacher, label)
    one_by_one = torch.stack([torch.autograd.grad(v, feature, retain_graph=True)[0] for v in values])
    (together,) = torch.autograd.grad(values, feature, torch.eye(3), is_grads_batched=True)
    torch.testing.assert_close(together, one_by_one)


def test_separated_classes_are_confident_and_mixed_ones_are_not():
    _, _, label = example()
    separated = 20 * torch.nn.functional.one_hot(label, CLASSES).movedim(-1, 1).float()
    loss, confidence = compactness(separated, label, CLASSES)
    mixed_loss, mixed_confidence = compactness(torch.randn_like(separated), label, CLASSES)
    assert (confidence > 0.999).all()
    assert (mixed_confidence < 0.5).all()
    assert (loss < mixed_loss).all()


def test_distance_grows_with_the_gap_to_the_teacher():
    feature, teacher, label = example()
    nothing, near, far = (similarity(feature, feature + s * teacher, label, CLASSES) for s in (0, 0.1, 2))
    assert torch.equal(nothing[1], torch.zeros(3))
    assert (near[1] < far[1]).all()
    assert (near[0] < far[0]).all()


def test_the_teacher_is_a_constant():
    feature, teacher, label = example()
    loss, _ = similarity(feature, teacher.requires_grad_(), label, CLASSES)
    to_feature, to_teacher = torch.autograd.grad(loss.sum(), (feature, teacher), allow_unused=True)
    assert to_feature.abs().max() > 0
    assert to_teacher is None


def test_an_offset_common_to_all_features_costs_little_precision():
    feature, _, label = example()
    shifted = feature.detach() + 30
    loss, confidence = compactness(shifted, label, CLASSES)
    exact_loss, exact_confidence = compactness(shifted.double(), label, CLASSES)
    torch.testing.assert_close(loss.double(), exact_loss, rtol=1e-3, atol=0)
    torch.testing.assert_close(confidence.double(), exact_confidence, rtol=1e-3, atol=0)


def test_feature_of_another_size_is_an_error():
    label = torch.zeros(1, 4, 8, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\(1, 2, 8, 4\) against \(1, 4, 8\)"):
        compactness(torch.zeros(1, 2, 8, 4), label, CLASSES)
    with pytest.raises(ValueError, match=r"\(1, 2, 8, 4\) against \(1, 4, 8\)"):
        similarity(torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 8, 4), label, CLASSES)
