"""First-order MAML: on a quadratic loss every step can be worked out by hand."""

import pytest
import torch
from torch import nn

from hga_cli.alignment.meta import MetaDropSampler, MetaSampler, MetaUpdate
from hga_cli.core.errors import DataError
from hga_cli.core.settings import Outer
from hga_cli.data.dropout import DropoutSampler
from hga_cli.data.sampling import CaseSampler

MODALITIES = ("flair", "t1ce", "t2")
CASES = {
    "a": ("flair", "t2"),
    "b": MODALITIES,
    "c": ("t1ce",),
    "d": MODALITIES,
    "e": ("t2",),
    "f": MODALITIES,
}


BOTH = pytest.mark.parametrize(
    ("kind", "partial"), [(MetaSampler, CaseSampler), (MetaDropSampler, DropoutSampler)], ids=["meta", "meta_drop"]
)


def sampler(available=CASES, *, batch=2, seed=3, kind=MetaSampler):
    return kind(available, MODALITIES, batch=batch, order="random", seed=seed)


@BOTH
def test_in_turn_a_partial_batch_and_a_complete_case(kind, partial):
    one, usual = sampler(kind=kind), partial(CASES, MODALITIES, batch=2, order="random", seed=3)
    for pair in range(20):
        first, second = one.draw(2 * pair), one.draw(2 * pair + 1)
        assert first == usual.draw(pair)
        assert not first.ends_cycle
        assert second.ends_cycle
        assert second.combination == MODALITIES
        assert len(second.cases) == 1


def test_complete_cases_are_passed_through_again_and_again():
    one = sampler()
    seen = [one.draw(2 * pair + 1).cases[0] for pair in range(30)]
    rounds = [tuple(seen[start : start + 3]) for start in range(0, 30, 3)]
    assert all(sorted(one_round) == ["b", "d", "f"] for one_round in rounds)
    assert len(set(rounds)) > 2


def test_complete_cases_are_shuffled_apart_from_those_of_the_trial():
    """The trial has all eight in one batch, in the order of its own shuffle."""
    one = sampler(dict.fromkeys("abcdefgh", MODALITIES), batch=8)
    for number in range(4):
        judges = [one.draw(2 * (8 * number + place) + 1).cases[0] for place in range(8)]
        assert judges != list(one.draw(2 * number).cases)


@BOTH
def test_a_step_is_a_function_of_seed_and_number(kind, partial):
    del partial
    forwards = [sampler(kind=kind).draw(step) for step in range(40)]
    one = sampler(dict(reversed(CASES.items())), kind=kind)
    assert [one.draw(step) for step in reversed(range(40))] == forwards[::-1]
    assert [sampler(seed=4, kind=kind).draw(step) for step in range(40)] != forwards


def test_an_epoch_is_a_pass_of_pairs():
    assert sampler(batch=1).default_iterations == 12
    assert (
        sampler(batch=2).default_iterations
        == 2 * CaseSampler(CASES, MODALITIES, batch=2, order="random", seed=3).default_iterations
    )


@BOTH
def test_without_a_complete_case_there_is_a_clear_error(kind, partial):
    """Of no method by name: both have the same need."""
    del partial
    with pytest.raises(DataError, match=r"^meta-learning needs .* flair\+t1ce\+t2; none of 2 has all of") as caught:
        sampler({"a": ("flair", "t2"), "c": ("t1ce",)}, kind=kind)
    assert "--imbalance" in caught.value.hint


class Weights(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(values, dtype=torch.float64))
        self.unused = nn.Parameter(torch.tensor([5.0], dtype=torch.float64))


def step(model, outer, usual, target, *, ends_cycle):
    """One step on the loss |theta - target|^2 / 2, whose gradient is theta - target, as the engine does it."""
    usual.zero_grad(set_to_none=True)
    ((model.theta - torch.tensor(target)).square().sum() / 2).backward()
    outer.optimiser(usual, ends_cycle=ends_cycle).step()
    if ends_cycle:
        outer.end_cycle(model, outer.epsilon(0, 1))


def made(values=(1.0, 2.0)):
    model = Weights(values)
    outer = MetaUpdate(model, Outer(kind="meta", inner_rate=0.5))
    return model, outer, torch.optim.SGD([model.theta, model.unused], lr=0.1)


def test_the_gradient_after_the_trial_moves_the_weights_from_before_it():
    model, outer, usual = made()
    step(model, outer, usual, [0.0, 0.0], ends_cycle=False)
    assert model.theta.tolist() == pytest.approx([0.5, 1.0])  # the trial: half way to the target
    step(model, outer, usual, [1.5, 0.0], ends_cycle=True)
    gradient = [0.5 - 1.5, 1.0 - 0.0]  # at the trial, towards the second target
    assert model.theta.tolist() == pytest.approx([1.0 - 0.1 * gradient[0], 2.0 - 0.1 * gradient[1]])
    assert model.unused.tolist() == [5.0]


def test_moments_belong_to_the_second_step():
    model, outer, _ = made()
    usual = torch.optim.AdamW(model.parameters(), lr=0.1)
    step(model, outer, usual, [0.0, 0.0], ends_cycle=False)
    assert not usual.state
    step(model, outer, usual, [0.0, 0.0], ends_cycle=True)
    assert usual.state[model.theta]["step"] == 1
    assert usual.state[model.theta]["exp_avg"].tolist() == pytest.approx([0.1 * 0.5, 0.1 * 1.0])


def test_a_trial_without_a_second_step_is_taken_back():
    model, outer, usual = made()
    step(model, outer, usual, [7.0, -3.0], ends_cycle=False)
    outer.end_cycle(model, 1.0)
    assert model.theta.tolist() == pytest.approx([1.0, 2.0])
    outer.end_cycle(model, 1.0)  # once is enough
    assert model.theta.tolist() == pytest.approx([1.0, 2.0])


def test_state_round_trip_between_the_two_steps():
    (model, outer, usual), (other, copy, other_usual) = made(), made((0.0, 0.0))
    step(model, outer, usual, [0.3, 0.9], ends_cycle=False)
    copy.load({name: value.clone() for name, value in outer.state().items()})
    other.load_state_dict(model.state_dict())
    for one, update, optimiser in ((model, outer, usual), (other, copy, other_usual)):
        step(one, update, optimiser, [0.4, 0.1], ends_cycle=True)
    assert torch.equal(model.theta, other.theta)
    assert outer.state().keys() == {"theta", "unused"}
