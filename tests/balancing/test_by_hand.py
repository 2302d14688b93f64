"""Formulas worked out by hand: small numbers in which each option and each part of a formula counts."""

import math

import pytest
import torch
from _tasks import NAMES, Problem, same

from hga_cli.balancing.balancer import Step
from hga_cli.balancing.dwa import DynamicWeightAverage
from hga_cli.balancing.random_weights import RandomWeights
from hga_cli.balancing.uncertainty import Uncertainty


class Scored(Problem):
    """In the parts of a batch, modalities give the true class these probabilities: name -> one for each part."""

    def __init__(self, probabilities):
        super().__init__()
        self.probabilities = probabilities
        self.part = -1

    def logits(self, present=None):
        self.part += 1
        label = torch.zeros(1, 2, 2, dtype=torch.int64)
        pairs = {name: (parts[self.part], 1 - parts[self.part]) for name, parts in self.probabilities.items()}
        return {
            name: torch.tensor(pair).log().view(1, 2, 1, 1).expand(1, 2, 2, 2) for name, pair in pairs.items()
        }, label


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        ({"flair": (0.8,), "t1ce": (0.6,), "t2": (0.2,)}, (1.0,)),
        ({"flair": (0.2, 1.0), "t1ce": (0.9, 0.5), "t2": (0.5, 0.1)}, (0.25, 0.75)),
    ],
    ids=["whole", "in parts"],
)
def test_ogm_compares_each_modality_with_the_mean_of_the_others(parts, shares):
    """Scores 0.8, 0.6, 0.2: ratios 0.8 / 0.4, 0.6 / 0.5 and 0.2 / 0.7, of which the last one is not ahead."""
    problem = Scored(parts)
    found = problem.step(problem.balancer("ogm_ge", alpha=0.5, noise=False), shares=shares)
    plain = problem.plain()
    for place, factor in enumerate((1 - math.tanh(0.5 * 2.0), 1 - math.tanh(0.5 * 1.2), 1.0), start=1):
        torch.testing.assert_close(found[place], factor * plain[place], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found[0], plain[0])


@pytest.mark.parametrize(("alpha", "rises"), [(0.0, False), (0.5, False), (1.0, True), (1.5, True)])
def test_gradnorm_helps_slow_tasks_as_alpha_says(alpha, rises):
    """Norms 0.7 and 1.3, paces 2/3 and 4/3 of the mean: (4/3) ** 0.5 is below 1.3, (4/3) ** 1 above."""
    problem = Problem(("fused", "t2"))
    problem.slopes = torch.tensor([[0.7, 0, 0, 0, 0, 0], [0, 1.3, 0, 0, 0, 0]], dtype=torch.float64)
    problem.values = {"fused": 1.0, "t2": 2.0}
    balancer = problem.balancer("gradnorm", alpha=alpha)
    balancer.load({**balancer.state(), "first": torch.ones(2, dtype=torch.float64)})
    problem.step(balancer)
    assert (balancer.state()["values"][1] > 1) == rises


def unequal(**options):
    """Speeds 3, 2 and 1, measured in two steps; the mean is 2."""
    problem = Problem()
    problem.own = {name: torch.ones(3, dtype=torch.float64, requires_grad=True) for name in NAMES[1:]}
    problem.own_slopes = torch.tensor([[1.0], [3.0], [2.0], [1.0]]).double().expand(4, 3)
    balancer = problem.balancer("bml", every=2, **options)
    for _ in range(2):
        same(problem.step(balancer), problem.plain())
    return problem, balancer


@pytest.mark.parametrize("window", [1, 3])
def test_bml_lets_the_slow_modality_learn_alone_for_a_window_of_its_steps(window):
    """A step without it is as usual, and the window waits."""
    problem, balancer = unequal(window=window)
    others = ("fused", "flair", "t1ce")
    same(problem.step(balancer, others), problem.plain(others))
    for _ in range(window):
        shared, *own = problem.step(balancer)
        torch.testing.assert_close(shared, problem.slopes[3])
        assert [one is None for one in own] == [True, True, False, True]
    same(problem.step(balancer), problem.plain())


@pytest.mark.parametrize(("tolerance", "is_slow"), [(0.4, True), (0.6, False)])
def test_bml_calls_slow_what_is_below_the_tolerance(tolerance, is_slow):
    """1 is below 0.6 times the mean of 2, and not below 0.4 times."""
    problem, balancer = unequal(tolerance=tolerance)
    assert (problem.step(balancer)[1] is None) == is_slow


def test_dwa_a_task_without_two_epochs_has_ratio_1():
    balancer = DynamicWeightAverage(("fused", "t2"), [], [], temperature=2.0)
    for losses in ({"fused": 2.0}, {"fused": 1.0, "t2": 5.0}):
        balancer.learn(losses)
        balancer.end_epoch()
    raw = [math.exp(0.5 / 2), math.exp(1.0 / 2)]
    assert list(balancer.weights({"fused": 1.0, "t2": 1.0}).values()) == pytest.approx([2 * x / sum(raw) for x in raw])


@pytest.mark.parametrize("speed", [1.0, 3.0])
def test_uncertainty_moves_at_its_speed(speed):
    """The first step of Adam is its rate: up for a loss above 1, down for one below."""
    balancer = Uncertainty(("fused", "t2"), [], [], speed=speed)
    balancer.begin(Step(rate=1e-2))
    balancer.learn({"fused": 3.0, "t2": 0.2})
    assert balancer.state()["values"].tolist() == pytest.approx([speed * 1e-2, -speed * 1e-2], rel=1e-6)


@pytest.mark.parametrize(("scale", "length"), [("min", 1.0), ("median", 2.0), ("rmse", math.sqrt(7.0))])
def test_aligned_mtl_makes_components_as_long_as_the_scale_says(scale, length):
    """Orthogonal gradients of length 1, 2 and 4, whose mean square is 7; the result is a mean over three."""
    problem = Problem(("fused", "flair", "t2"))
    problem.slopes = torch.zeros(3, 6, dtype=torch.float64)
    problem.slopes[[0, 1, 2], [0, 1, 2]] = torch.tensor([1.0, 2.0, 4.0]).double()
    found = problem.step(problem.balancer("aligned_mtl", scale=scale))[0]
    assert found.tolist() == pytest.approx([length / 3] * 3 + [0.0] * 3)


@pytest.mark.parametrize("c", [0.2, 0.7])
def test_cagrad_goes_as_far_from_the_mean_as_c_says(c):
    problem = Problem()
    mean = problem.plain()[0] / len(NAMES)
    found = problem.step(problem.balancer("cagrad", c=c))[0]
    assert float((found - mean).norm() / mean.norm()) == pytest.approx(c, rel=1e-6)


def test_random_draws_do_not_depend_on_who_else_is_there():
    """So ranks with different modalities, and parts of a batch, weigh a task alike against another one."""
    balancer = RandomWeights(NAMES, [], [])
    balancer.begin(Step(seed=3))
    every, few = (balancer.weights(dict.fromkeys(tasks, 1.0)) for tasks in (NAMES, ("fused", "t2")))
    assert every["t2"] / every["fused"] == pytest.approx(few["t2"] / few["fused"])
    assert len(set(every.values())) == len(NAMES)
