"""DRe: what is pure, who is held back, and how far weights go back."""

import math

import numpy as np
import pytest
import torch
from _tasks import GOLDEN, NAMES, Problem, golden_step, same, same_state
from _training import MODALITIES, assert_same_tensors, make_store, planned, settings, training_of

from hga_cli.balancing.balancer import Step, mean_state
from hga_cli.balancing.dre import DiagnoseAndRelearn, nearest_prototype, purity

golden = pytest.mark.parametrize("case", GOLDEN["dre"], ids=[case["name"] for case in GOLDEN["dre"]])
HELD, SEEN = "case-1", "case-4"
"""Of two parts, the one that the first round holds back and the other one."""
FIRST_FOLD = {"case-0", HELD, "case-2", "case-3"}
"""Of eight cases."""


def drawn(case):
    """The inputs of the reference: label (2, *space), logits (4, 2, 4, *space), first weights, those now, gradients."""
    generator = np.random.default_rng(case["seed"])
    label = generator.integers(0, 4, (2, 5, 6, 4))
    if case["name"] == "absent3":
        label[label == 3] = 2
    strength = np.array([0.3, 1.0, 0.6, 1.5]).reshape(4, 1, 1, 1, 1, 1)
    logits = generator.standard_normal((4, 2, 4, 5, 6, 4)) + 1.2 * np.moveaxis(np.eye(4)[label], -1, 1) * strength
    logits[:, 1] *= 0.5
    first = generator.standard_normal(9)
    now = first + generator.standard_normal(9)
    gradients = generator.standard_normal((4, 9))
    return [torch.from_numpy(one) for one in (label, logits, first, now, gradients)]


@golden
def test_voxels_nearest_to_their_prototype_are_those_of_the_reference(case):
    label, logits, *_ = drawn(case)
    for one, wanted in zip(logits, case["purities"], strict=True):
        hits = nearest_prototype(one, label) == label.flatten(1)
        assert hits.double().mean(1).tolist() == pytest.approx(wanted, abs=1e-9)


@golden
def test_weights_go_back_as_in_the_reference(case):
    """With its purities, of all voxels; ours are means over classes."""
    *_, first, now, gradients = drawn(case)
    parameters = [one.clone().requires_grad_() for one in first.split([3, 2, 1, 2, 1])]
    balancer = DiagnoseAndRelearn(("fused", "0", "1", "2", "3"), parameters[:1], parameters[1:], every=1)
    golden_step(balancer, parameters, dict(enumerate(gradients.tolist())), [[0, place] for place in range(1, 5)])
    with torch.no_grad():
        for parameter, value in zip(parameters, now.split([3, 2, 1, 2, 1]), strict=True):
            parameter.copy_(value)
    counted = torch.stack([torch.tensor(case["purities"]).double().T, torch.ones(2, 4, dtype=torch.float64)], 1)
    balancer.load({**balancer.state(), "purities": counted})
    balancer.end_epoch()
    assert balancer.state()["alphas"].tolist() == pytest.approx(case["alpha"], abs=1e-6)
    balancer.begin(Step())
    assert torch.cat(parameters).tolist() == pytest.approx(case["theta_after"], abs=1e-6)


class Judged(Problem):
    """Modalities in ``worse`` take a quarter of the voxels of cases that are held back for the other class."""

    def __init__(self, *worse):
        super().__init__()
        self.worse = worse

    def logits(self, present=None):
        made, label = super().logits(present)
        swapped = [1, 0, *range(2, 8)]
        for name in self.worse if self.cases == (HELD,) else ():
            if name in made:
                made[name] = made[name].flatten(2)[..., swapped].view_as(made[name])
        return made, label

    def weights(self):
        return [one.detach().clone() for one in (self.shared, *self.own.values(), self.idle)]

    def moved(self, by=1.0):
        """Move all weights, as a training does."""
        with torch.no_grad():
            for one in (self.shared, *self.own.values(), self.idle):
                one.add_(by)

    def round(self, balancer, steps):
        """A round of one epoch: (case, tasks that are there) each; then the start of the next one."""
        for case, present in steps:
            self.cases = (case,)
            self.step(balancer, present)
        balancer.end_epoch()
        before = self.weights()
        balancer.begin(Step())
        return before


def made(problem):
    balancer = problem.balancer("dre", every=1, folds=2)
    problem.moved()
    return balancer


def test_without_a_gap_nothing_moves():
    problem = Judged()
    balancer = made(problem)
    before = problem.round(balancer, [(HELD, None), (SEEN, None)])
    same(problem.weights(), before, atol=0, rtol=0)


def test_a_modality_with_a_gap_goes_back_and_no_other():
    """A quarter of the voxels: by tanh(3/4) of the way to its first weights."""
    problem = Judged("t1ce")
    first = problem.own["t1ce"].detach().clone()
    balancer = made(problem)
    before = problem.round(balancer, [(HELD, None), (SEEN, None)])
    after = problem.weights()
    torch.testing.assert_close(after[2], before[2] + math.tanh(0.75) * (first - before[2]))
    same(after[:2] + after[3:], before[:2] + before[3:], atol=0, rtol=0)
    balancer.begin(Step())  # once is enough
    same(problem.weights(), after, atol=0, rtol=0)


@pytest.mark.parametrize(
    "steps", [[(HELD, ("fused", "flair")), (SEEN, None)], [(HELD, None), (SEEN, ("fused", "flair"))]]
)
def test_a_modality_that_was_absent_on_one_side_stays(steps):
    problem = Judged("flair", "t1ce")
    balancer = made(problem)
    before = problem.round(balancer, steps)
    after = problem.weights()
    assert not torch.allclose(after[1], before[1])
    same(after[2:], before[2:], atol=0, rtol=0)


def test_what_two_modalities_train_stays():
    problem = Judged("flair", "t1ce")
    problem.own["t1ce"] = problem.own["flair"]
    balancer = made(problem)
    before = problem.round(balancer, [(HELD, None), (SEEN, None)])
    same(problem.weights(), before, atol=0, rtol=0)


def test_weights_wait_for_the_next_step():
    """The last epoch of a training is followed by none, and its weights are those that were trained."""
    problem = Judged("t2")
    balancer = made(problem)
    for problem.cases in ((HELD,), (SEEN,)):
        problem.step(balancer)
    before = problem.weights()
    balancer.end_epoch()
    same(problem.weights(), before, atol=0, rtol=0)
    assert float(balancer.state()["alphas"][2]) > 0


def test_rounds_of_several_epochs_judge_by_the_last_one():
    problem = Judged("t2")
    balancer = problem.balancer("dre", every=3, folds=2)
    for epoch in range(3):
        problem.cases = (HELD,)
        problem.step(balancer)
        assert bool(balancer.state()["purities"].any()) == (epoch == 2)
        balancer.end_epoch()


def test_a_case_that_is_held_back_teaches_nothing_and_each_is_once():
    problem = Problem()
    balancer = problem.balancer("dre", every=2, folds=4)
    held = []
    for epoch in range(8):
        for name in [f"case-{number}" for number in range(30)]:
            problem.cases = (name,)
            if all(one is None for one in problem.step(balancer)):
                held.append((name, epoch))
        balancer.end_epoch()
    assert len(held) == 60
    for name in {name for name, _ in held}:
        first, second = [epoch for one, epoch in held if one == name]
        assert first % 2 == 0
        assert second == first + 1


def test_slices_of_a_case_are_held_back_together():
    problem = Problem()
    balancer = problem.balancer("dre", folds=2)
    for case in (HELD, SEEN):
        for number in range(5):
            problem.cases = (f"{case}_slice_{number}",)
            assert (problem.step(balancer)[0] is not None) == (case == SEEN)


@pytest.mark.parametrize("cases", [(HELD, SEEN), (SEEN, HELD)])
def test_of_two_cases_one_holds_back_both_and_each_is_judged_on_its_side(cases):
    """flair sees nothing of the one that is held back, and all of the other one."""
    problem = Problem()
    balancer = problem.balancer("dre", every=1, folds=2)
    logits, label = problem.logits(("flair",))
    both = [logits["flair"] * (1 if case == SEEN else -1) for case in cases]
    balancer.begin(Step())
    balancer.observe({"flair": torch.cat(both)[:, :, :1]}, label[:, :1].expand(2, 1, 2, 2), cases)
    balancer.backward(problem.losses())
    balancer.merge()
    assert problem.shared.grad is None
    assert balancer.state()["purities"][:, 1, 0].tolist() == [1.0, 1.0]


def test_whose_a_parameter_is_stays_known():
    """Also after a step in which the loss of the modality does not reach it."""
    problem = Judged("flair")
    balancer = made(problem)
    for case, losses in ((HELD, None), (SEEN, None), (SEEN, {"flair": problem.shared.square().sum()})):
        problem.cases = (case,)
        problem.losses = (lambda *_, losses=losses: losses) if losses else problem.losses
        problem.step(balancer)
    balancer.end_epoch()
    before = problem.weights()
    balancer.begin(Step())
    assert not torch.allclose(problem.weights()[1], before[1])


def test_a_resumed_balancer_has_the_first_weights():
    """Built when the weights had moved already, and continued between diagnosis and move."""
    problem = Judged("flair", "t2")
    whole = made(problem)
    for problem.cases in ((HELD,), (SEEN,)):
        problem.step(whole)
    whole.end_epoch()
    moved = problem.weights()
    resumed = problem.balancer("dre", every=1, folds=2)
    resumed.load({name: value.clone() for name, value in whole.state().items()})
    same_state(resumed.state(), whole.state())
    whole.begin(Step())
    wanted = problem.weights()
    with torch.no_grad():
        for parameter, value in zip((problem.shared, *problem.own.values(), problem.idle), moved, strict=True):
            parameter.copy_(value)
    resumed.begin(Step())
    same(problem.weights(), wanted, atol=0, rtol=0)
    assert not torch.equal(wanted[1], moved[1])


def test_ranks_share_what_they_learnt_but_not_the_first_weights():
    """One has the case that is held back, the other one the other case: together they know the gap."""
    left, right = Judged("t2"), Judged("t2")
    balancers = made(left), made(right)
    for problem, balancer, case in zip((left, right), balancers, (HELD, SEEN), strict=True):
        problem.cases = (case,)
        problem.step(balancer)
    learnt = [balancer.learnt() for balancer in balancers]
    assert "first" not in learnt[0]
    for balancer in balancers:
        first = balancer.state()["first"]
        balancer.load(mean_state([(0.5, one) for one in learnt]))
        balancer.end_epoch()
        assert balancer.state()["alphas"].tolist() == pytest.approx([0, 0, math.tanh(0.75)])
        assert torch.equal(balancer.state()["first"], first)


def test_purity_is_a_mean_over_classes():
    """One voxel of class 1 among nine; it looks like class 0, whose prototype is as near as can be."""
    label = torch.tensor([[0, 0, 0, 0, 0, 0, 0, 0, 1]])
    apart = torch.nn.functional.one_hot(label, 2).double().mT
    assert purity(apart, label).tolist() == [1.0]
    mixed = apart.clone()
    mixed[0, :, :2] = torch.tensor([[0.0], [1.0]])
    assert purity(mixed, label).tolist() == [(6 / 8 + 1) / 2]


def test_purity_does_not_depend_on_shift_scale_or_neighbours():
    label, logits, *_ = drawn(GOLDEN["dre"][0])
    found = purity(logits[1], label)
    torch.testing.assert_close(purity(10 * logits[1] - 5, label), found)
    torch.testing.assert_close(purity(logits[1, 1:], label[1:]), found[1:])


def test_what_cannot_be_pure_has_no_purity():
    label = torch.zeros(2, 4, dtype=torch.int64)
    label[1, 0] = 1
    logits = torch.randn(2, 3, 4)
    assert purity(logits, label).isnan().tolist() == [True, False]
    logits[1, 2, 3] = torch.inf
    assert purity(logits, label).isnan().all()


def test_the_first_weights_take_no_more_room_than_weights():
    own = [torch.randn(3, requires_grad=True), torch.randn(2, 2, requires_grad=True)]
    balancer = DiagnoseAndRelearn(NAMES, [], own)
    first = balancer.state()["first"]
    assert torch.equal(first, torch.cat([one.detach().flatten() for one in own]))
    assert first.dtype == torch.float32


def training_with_dre(tmp_path):
    cases = {f"case-{number}": MODALITIES for number in range(8)}
    options = {"every": 1, "folds": 2}
    changes = {"optim__balancer": "dre", "optim__balancer_options": options, "optim__iterations": 8}
    return training_of(planned(make_store(tmp_path / "store", cases), settings("joint", **changes)))


@pytest.mark.parametrize("is_scaled", [False, True], ids=["plain", "as in fp16"])
def test_a_step_that_is_held_back_moves_nothing(tmp_path, is_scaled):
    """Neither weights by momentum or decay, nor moments; and training goes on."""
    training, patches = training_with_dre(tmp_path)
    training.scaler = torch.amp.GradScaler("cpu", enabled=is_scaled)
    held = [bool(FIRST_FOLD & set(patches[step].cases)) for step in range(40)]
    one, other = [step for step, is_held in enumerate(held) if not is_held][:2]
    training.learn(patches[one])

    def moving():
        found = {name: value for name, value in training.tensors().items() if not name.startswith("balancer")}
        return {name: value.clone() for name, value in found.items()}

    before = moving()
    training.learn(patches[held.index(True)])
    assert all(parameter.grad is None for parameter in training.model.parameters())
    assert_same_tensors(moving(), before)
    training.learn(patches[other])
    assert not torch.equal(moving()["model.head.weight"], before["model.head.weight"])


def test_norms_of_modalities_go_back_in_a_training(tmp_path):
    """What is left of the way from the first weights is what alpha leaves; convolutions, which are shared, stay."""
    training, patches = training_with_dre(tmp_path)
    named = dict(training.model.named_parameters())
    first = {name: one.detach().clone() for name, one in named.items()}
    for step in range(8):
        training.learn(patches[step])
    training.end_epoch()
    before = {name: one.detach().clone() for name, one in named.items()}
    alphas = dict(zip(NAMES[1:], training.balancer.state()["alphas"].tolist(), strict=True))
    assert all(0 < alpha < 1 for alpha in alphas.values())
    training.balancer.begin(Step())
    for name, one in named.items():
        alpha = next((alpha for modality, alpha in alphas.items() if f".norms.{modality}." in name), 0.0)
        torch.testing.assert_close(one, before[name] + alpha * (first[name] - before[name]))
