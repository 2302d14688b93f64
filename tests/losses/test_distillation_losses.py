import pytest
import torch
from _golden_losses import assert_gradient, assert_value, draw, golden, tolerance

from hga_cli.losses.distillation import dice_kd, kl

both_types = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def settings(case):
    return {"temperature": case["temperature"], "factor": case.get("factor", 1)}


@both_types
@pytest.mark.parametrize("case", golden("kl"))
def test_kl_as_published(case, dtype):
    student, teacher, _ = draw(case, dtype)
    loss = kl(student, teacher, **settings(case))
    if "kl_per_sample" in case["outputs"]:
        assert_value(loss, case["outputs"]["kl_per_sample"], dtype)
    assert loss.mean().item() == pytest.approx(case["outputs"]["kl_scalar"], rel=tolerance(dtype))
    if "gradients" in case and dtype == torch.float64:
        assert_gradient(torch.autograd.grad(loss.sum(), student)[0], case["gradients"]["kl_per_sample"])


@both_types
@pytest.mark.parametrize("case", golden("weighted_kl"))
def test_weighted_kl_as_published(case, dtype):
    student, teacher, label = draw(case, dtype)
    loss = kl(student, teacher, label, **settings(case)).mean()
    assert loss.item() == pytest.approx(case["outputs"]["wkl_scalar"], rel=tolerance(dtype))
    if dtype == torch.float64:
        assert_gradient(torch.autograd.grad(loss, student)[0], case["gradients"]["wkl_scalar"])


@both_types
@pytest.mark.parametrize("case", golden("dice_kd"))
def test_dice_kd_as_published(case, dtype):
    student, teacher, _ = draw(case, dtype)
    loss = dice_kd(student, teacher, temperature=case["temperature"], over_batch=True)
    assert_value(loss, [case["outputs"]["dice_kd"]] * len(student), dtype)
    if dtype == torch.float64:
        assert_gradient(torch.autograd.grad(loss.mean(), student)[0], case["gradients"]["dice_kd"])


def test_dice_kd_per_sample_equals_that_of_each_sample_alone():
    student, teacher = torch.randn(2, 3, 4, 6, 6, 6)
    alone = torch.cat([dice_kd(student[i : i + 1], teacher[i : i + 1], over_batch=True) for i in range(3)])
    torch.testing.assert_close(dice_kd(student, teacher), alone)


@pytest.mark.parametrize("factor", [1, 2])
def test_nothing_to_learn_from_oneself(factor):
    logits = 5 * torch.randn(2, 4, 6, 6, 6)
    assert kl(logits, logits.clone(), factor=factor).tolist() == [0, 0]
    label = torch.randint(0, 4, (2, *(factor * n for n in (6, 6, 6))))
    assert kl(logits, logits.clone(), label, factor=factor).tolist() == [0, 0]
    assert (dice_kd(logits, logits) > 0).all()


def test_the_teacher_is_a_constant():
    student, teacher = torch.randn(2, 1, 4, 6, 6).requires_grad_()
    label = torch.randint(0, 4, (1, 6, 6))
    for loss in (kl(student, teacher), kl(student, teacher, label), dice_kd(student, teacher)):
        to_student, to_teacher = torch.autograd.grad(loss.sum(), (student, teacher), allow_unused=True)
        assert to_student.abs().max() > 0
        assert to_teacher is None


def test_a_teacher_of_probabilities_is_passed_as_its_logarithm():
    student, teacher = torch.randn(2, 1, 4, 6, 6)
    as_logits = kl(student, teacher, temperature=1)
    torch.testing.assert_close(kl(student, torch.softmax(teacher, 1).log(), temperature=1), as_logits)


def test_label_of_another_size_is_an_error():
    logits = torch.zeros(1, 4, 8, 8, 8)
    with pytest.raises(ValueError, match=r"\(1, 4, 16, 16, 16\) against \(1, 8, 8, 8\)"):
        kl(logits, logits, torch.zeros(1, 8, 8, 8, dtype=torch.int64), factor=2)
