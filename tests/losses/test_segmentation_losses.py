import pytest
import torch
from _golden_losses import assert_gradient, assert_value, draw, golden, tolerance

from hga_cli.losses.labels import class_weights
from hga_cli.losses.segmentation import cross_entropy, dice, overlap_loss

both_types = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


@pytest.fixture
def without_softmax(monkeypatch):
    """Losses take their first argument for probabilities, so that a gradient is one of the probabilities."""
    monkeypatch.setattr(torch, "softmax", lambda values, dim: values)


def gradient(loss, of):
    return torch.autograd.grad(loss.sum(), of)[0]


@both_types
@pytest.mark.parametrize("case", golden("weighted_ce"))
def test_weighted_cross_entropy_as_published(case, dtype):
    logits, _, label = draw(case, dtype)
    loss = cross_entropy(logits, label, factor=case.get("factor", 1))
    assert_value(loss, case["outputs"]["wce_per_sample"], dtype)
    assert loss.mean().item() == pytest.approx(case["outputs"]["wce_scalar"], rel=tolerance(dtype))


@pytest.mark.parametrize("case", golden("weighted_ce"))
def test_gradient_of_weighted_cross_entropy(case, without_softmax):
    logits, _, label = draw(case)
    q = logits.exp() / logits.exp().sum(1, keepdim=True)
    loss = cross_entropy(q, label, factor=case.get("factor", 1))
    assert_gradient(gradient(loss, q), case["gradients"]["wce_per_sample"])


@both_types
@pytest.mark.parametrize("case", golden("plain_ce"))
def test_plain_cross_entropy_as_published(case, dtype):
    logits, _, label = draw(case, dtype)
    loss = cross_entropy(logits, label, weighted=False)
    assert loss.mean().item() == pytest.approx(case["outputs"]["ce"], rel=tolerance(dtype))


@pytest.mark.parametrize("case", golden("plain_ce"))
def test_gradient_of_plain_cross_entropy(case, without_softmax):
    logits, _, label = draw(case)
    q = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert_gradient(gradient(cross_entropy(q, label, weighted=False).mean(), q), case["gradients"]["ce"])


@both_types
@pytest.mark.parametrize("case", golden("dice"))
def test_dice_as_published(case, dtype):
    logits, _, label = draw(case, dtype)
    factor = case.get("factor", 1)
    assert_value(dice(logits, label, factor=factor), case["outputs"]["dice_per_sample"], dtype)
    over_batch = dice(logits, label, factor=factor, over_batch=True)
    assert_value(over_batch, [case["outputs"]["dice_batch"]] * len(label), dtype)


@pytest.mark.parametrize("case", golden("dice"))
def test_gradient_of_dice(case, without_softmax):
    logits, _, label = draw(case)
    q = logits.exp() / logits.exp().sum(1, keepdim=True)
    factor = case.get("factor", 1)
    assert_gradient(gradient(dice(q, label, factor=factor), q), case["gradients"]["dice_per_sample"])
    over_batch = dice(q, label, factor=factor, over_batch=True).mean()
    assert_gradient(gradient(over_batch, q), case["gradients"]["dice_batch"])


@pytest.mark.parametrize("case", golden("dice_logits"))
def test_dice_of_late_fusion_as_published(case):
    logits, _, label = draw(case)
    loss = dice(logits, label, over_batch=True).mean()
    assert loss.item() == pytest.approx(case["outputs"]["dice_logits"], rel=1e-9)
    assert_gradient(gradient(loss, logits), case["gradients"]["dice_logits"])


def test_an_absent_class_costs_one_kth_even_when_all_is_right():
    label = torch.randint(0, 3, (2, 6, 6, 6))
    logits = 1e3 * torch.nn.functional.one_hot(label, 4).movedim(-1, 1).float()
    assert dice(logits, label).tolist() == pytest.approx([0.25, 0.25])
    assert cross_entropy(logits, label).tolist() == [0.0, 0.0]


def test_class_weights():
    label = torch.tensor([[[0, 0], [0, 2]], [[1, 1], [1, 1]]])
    weights = class_weights(label, 3)
    assert weights.dtype == torch.float32
    assert weights.tolist() == [[0.25, 1.0, 0.75], [1.0, 0.0, 1.0]]


def test_a_hopeless_voxel_pulls_no_more():
    logits = torch.tensor([[[10.0], [0.0]]]).requires_grad_()
    loss = cross_entropy(logits, torch.tensor([[1]]), weighted=False)
    assert loss.item() == pytest.approx(-torch.tensor(0.005).log().item())
    assert gradient(loss, logits).abs().max() == 0


def test_label_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"\(1, 4, 8, 8, 8\) against \(1, 4, 4, 4\)"):
        cross_entropy(torch.zeros(1, 4, 8, 8, 8), torch.zeros(1, 4, 4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 8\) against \(1, 4, 4\)"):
        dice(torch.zeros(1, 4, 2, 8), torch.zeros(1, 4, 4, dtype=torch.int64))


def test_overlap_of_disjoint_and_equal():
    first = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert overlap_loss(first, first).item() == pytest.approx(0, abs=1e-6)
    assert overlap_loss(first, 1 - first).item() == 1
