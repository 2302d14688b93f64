"""What holds for every loss on logits."""

from functools import partial

import pytest
import torch

from hga_cli.losses.distillation import dice_kd, kl
from hga_cli.losses.segmentation import cross_entropy, dice

LOSSES = {
    "cross-entropy": lambda student, teacher, label: cross_entropy(student, label),
    "plain cross-entropy": lambda student, teacher, label: cross_entropy(student, label, weighted=False),
    "dice": lambda student, teacher, label: dice(student, label),
    "kl": lambda student, teacher, label: kl(student, teacher),
    "weighted kl": kl,
    "dice-kd": lambda student, teacher, label: dice_kd(student, teacher),
}
every_loss = pytest.mark.parametrize("loss", [pytest.param(f, id=name) for name, f in LOSSES.items()])


def example(batch=3, space=(6, 6, 6), seed=0, classes=4):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2 * torch.randn(2, batch, classes, *space, generator=generator)
    return student.requires_grad_(), teacher, torch.randint(0, classes, (batch, *space), generator=generator)


@every_loss
def test_one_value_per_sample(loss):
    values = loss(*example())
    assert values.shape == (3,)
    assert values.dtype == torch.float32


@every_loss
def test_order_of_samples_does_not_matter(loss):
    inputs = example()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(*(x[order] for x in inputs)), loss(*inputs)[order])


@every_loss
def test_a_sample_does_not_see_the_others(loss):
    student, teacher, label = example()
    before = loss(student, teacher, label)
    (gradient,) = torch.autograd.grad(before[0], student)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0
    other_label = torch.cat([label[:1], torch.zeros_like(label[1:])])
    other_teacher = torch.cat([teacher[:1], teacher[1:] + 1.5 * torch.randn_like(teacher[1:])])
    other_student = torch.cat([student[:1], -student[1:]])
    after = loss(other_student, other_teacher, other_label)
    torch.testing.assert_close(after[0], before[0])
    assert after[1] != before[1]


@every_loss
def test_two_dimensions_are_three_with_one_slice(loss):
    flat = example(space=(6, 10))
    deep = [x.unsqueeze(-1) for x in flat]
    torch.testing.assert_close(loss(*flat), loss(*deep))


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_of_a_large_patch(loss, dtype):
    # 48^3 = 110592 voxels, all foreground: a sum of them is infinite as float16
    student, teacher, _ = example(batch=1, space=(48, 48, 48))
    student, teacher = student.detach(), teacher.clone()
    student[:, 1] += 4
    student, teacher = student.to(dtype).requires_grad_(), teacher.to(dtype)
    label = torch.ones(1, 48, 48, 48, dtype=torch.int64)
    value = loss(student, teacher, label)
    assert value.dtype == torch.float32
    assert value.isfinite().all()
    torch.testing.assert_close(value, loss(student.float(), teacher.float(), label), rtol=1e-3, atol=1e-6)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


@every_loss
def test_autocast_changes_nothing(loss):
    inputs = example()
    expected = loss(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(*inputs), expected)


@every_loss
def test_extreme_logits_and_a_single_class(loss):
    student, teacher, label = example()
    student = (1e4 * student.detach()).requires_grad_()
    value = loss(student, -1e4 * teacher, torch.zeros_like(label))
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


@every_loss
def test_gradients_of_several_samples_at_once(loss):
    """Balancers ask for the gradients of several losses in one backward pass."""
    student, teacher, label = example()
    values = loss(student, teacher, label)
    one_by_one = torch.stack([torch.autograd.grad(v, student, retain_graph=True)[0] for v in values])
    (together,) = torch.autograd.grad(values, student, torch.eye(3), is_grads_batched=True)
    torch.testing.assert_close(together, one_by_one)


@pytest.mark.parametrize("loss", [cross_entropy, dice, partial(dice, over_batch=True)], ids=["ce", "dice", "batch"])
def test_other_numbers_of_classes(loss):
    for classes in (2, 7):
        student, _, label = example(classes=classes)
        assert loss(student, label).isfinite().all()


@every_loss
def test_many_voxels_that_are_alike_add_up_exactly(loss):
    """In float32 a sum of 64^3 equal numbers, one after another, would be wrong in the third or fourth digit."""
    space = (64, 64, 64)
    student = torch.tensor([1.7, 0.2, -0.4, 0.9]).view(1, 4, 1, 1, 1).expand(1, 4, *space)
    teacher = torch.tensor([0.3, 1.1, 0.5, -0.8]).view(1, 4, 1, 1, 1).expand(1, 4, *space)
    label = torch.zeros(1, *space, dtype=torch.int64)
    label[:, 16:48, 16:48, 16:48] = 1
    exact = loss(student.double(), teacher.double(), label)
    assert loss(student, teacher, label).item() == pytest.approx(exact.item(), rel=1e-5)
