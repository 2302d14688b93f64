"""The numbers of the specification: corrected where the reference is defective."""

import math

import pytest
import torch
from _tasks import GOLDEN, golden_balancer, golden_parameters, golden_step

from hga_cli.balancing.agm import AdaptiveGradientModulation
from hga_cli.balancing.balancer import Step
from hga_cli.balancing.bml import BalancedLearning
from hga_cli.balancing.dwa import DynamicWeightAverage
from hga_cli.balancing.uncertainty import Uncertainty
from hga_cli.losses.segmentation import cross_entropy


def cases(subject):
    return pytest.mark.parametrize("case", GOLDEN[subject], ids=[case["name"] for case in GOLDEN[subject]])


def prescribe_orders(monkeypatch, orders):
    """Let torch draw these orders, one after another."""
    left = [torch.tensor(order) for order in orders]
    monkeypatch.setattr(torch, "randperm", lambda count: left.pop(0))


@cases("pcgrad")
def test_pcgrad_is_the_sum_of_projected_gradients(case, monkeypatch):
    for output in case["outputs"]:
        parameters = golden_parameters(case)
        balancer = golden_balancer("pcgrad", parameters, len(case["g"]))
        prescribe_orders(monkeypatch, output["orders"])
        found = golden_step(balancer, parameters, dict(enumerate(case["g"])), case["uses"])
        assert found.tolist() == pytest.approx(output["sum"], abs=1e-9)


@cases("gmd")
def test_gmd_is_their_mean(case, monkeypatch):
    for output in case["outputs"]:
        parameters = golden_parameters(case)
        balancer = golden_balancer("gmd", parameters, len(case["g"]))
        prescribe_orders(monkeypatch, output["orders"])
        found = golden_step(balancer, parameters, dict(enumerate(case["g"])), case["uses"])
        assert found.tolist() == pytest.approx(output["mean"], abs=1e-9)


def test_gmd_with_the_published_clamp_leaves_strong_conflicts():
    """Two tasks, <g1, g2> / ||g2||^2 = -4 is cut to -2; the other coefficient, -1/4, is not."""
    parameters = [torch.zeros(2, dtype=torch.float64, requires_grad=True)]
    balancer = golden_balancer("gmd", parameters, 2, clamp=True)
    found = golden_step(balancer, parameters, {0: [-4.0, 0.0], 1: [1.0, 0.0]}, [[0], [0]])
    assert found.tolist() == pytest.approx([((-4 + 2) + (1 - 1)) / 2, 0.0])


@cases("mgda")
def test_mgda_is_the_shortest_combination(case):
    parameters = golden_parameters(case)
    balancer = golden_balancer("mgda", parameters, len(case["g"]))
    found = golden_step(balancer, parameters, dict(enumerate(case["g"])), case["uses"])
    assert found.tolist() == pytest.approx(case["merged"], rel=1e-6, abs=1e-6 * max(map(abs, case["merged"])))


@cases("gradnorm")
def test_gradnorm_with_a_persistent_optimiser(case):
    """Where a task is absent we depart: its weight and moments rest, and the others keep their sum."""
    parameters = golden_parameters(case)
    count = len(case["uses"])
    balancer = golden_balancer("gradnorm", parameters, count)
    for row, values, active, step in zip(case["g"], case["losses"], case["active"], case["steps"], strict=True):
        before = balancer.state()["values"]
        present = [task for task in range(count) if active[task]]
        found = golden_step(
            balancer,
            parameters,
            {task: row[task] for task in present},
            case["uses"],
            dict(enumerate(values)),
            case["settings"]["lr"],
        )
        assert before.tolist() == pytest.approx(step["weights_before"], abs=1e-9)
        assert found.tolist() == pytest.approx(step["model_gradient"], abs=1e-9)
        after = balancer.state()["values"]
        if all(active):
            assert after.tolist() == pytest.approx(step["weights_after"], abs=1e-9)
        else:
            (absent,) = set(range(count)) - set(present)
            assert after[absent] == before[absent]
            assert float(after.sum()) == pytest.approx(count)


@cases("dwa")
def test_dwa_follows_means_of_epochs(case):
    tasks = tuple(map(str, range(len(case["losses"][0]))))
    balancer = DynamicWeightAverage(tasks, [], [])
    for losses, weights in zip(case["losses"], case["weights"], strict=True):
        named = dict(zip(tasks, losses, strict=True))
        assert list(balancer.weights(named).values()) == pytest.approx(weights, abs=1e-9)
        for factor in (0.5, 1.5):  # two steps, whose mean is the loss of the epoch
            balancer.learn({task: factor * loss for task, loss in named.items()})
        balancer.end_epoch()


@cases("uncertainty")
def test_uncertainty_in_the_form_of_log_variances(case):
    """With prescribed s: the weights, and the slopes from the direction of one step of Adam each."""
    tasks = tuple(map(str, range(len(case["losses"]))))
    losses = dict(zip(tasks, case["losses"], strict=True))
    balancer = Uncertainty(tasks, [], [])
    moments = torch.zeros(3, len(tasks), dtype=torch.float64)
    balancer.load({"values": torch.tensor(case["s"], dtype=torch.float64), "moments": moments})
    weights = balancer.weights(losses)
    value = sum(weights[task] * losses[task] for task in tasks) + sum(case["s"]) / 2
    assert value == pytest.approx(case["loss"], rel=1e-9)
    balancer.learn(losses)
    first = balancer.state()["moments"][0] / 0.1  # Adam keeps a tenth of the first slope
    assert first.tolist() == pytest.approx(case["gradient"], abs=1e-9)


@cases("agm")
def test_agm_weighs_by_advantage(case):
    """The reference gives float32; a task alone weighs 1."""
    count = len(case["scores"][0])
    tasks = ("fused", *map(str, range(count)))
    balancer = AdaptiveGradientModulation(tasks, [], [])
    for scores, active, step in zip(case["scores"], case["active"], case["steps"], strict=True):
        present = [place for place in range(count) if active[place]]
        balancer.begin(Step())
        label = torch.zeros(1, 1, dtype=torch.int64)
        logits = {str(place): torch.tensor([[[0.0], [_other_logit(scores[place])]]]).double() for place in present}
        for place in present:
            assert float(cross_entropy(logits[str(place)], label, weighted=False)) == pytest.approx(scores[place])
        balancer.observe(logits, label, ("case",))
        weights = balancer.weights(dict.fromkeys(("fused", *map(str, present)), 1.0))
        assert weights.pop("fused") == 1
        wanted = [step["weights_of_active_tasks"][place] for place in present]
        assert list(weights.values()) == pytest.approx(wanted, rel=2e-5, abs=1e-9)
        balancer.learn({})
        sums, counts = balancer.state()["running"][:, 1:]
        assert (sums / counts.clamp(min=1)).tolist() == pytest.approx(step["running_mean_after"], abs=1e-5)


def _other_logit(score):
    """Two logits, 0 of the true class: -log softmax is the score."""
    return math.log(math.exp(score) - 1)


def test_bml_measures_and_picks_the_slowest():
    """All tasks in every step, so that "not shared" means the same as in the reference.

    The reference lets the slowest learn alone in the step in which it is found, ours in the next one.
    """
    case = GOLDEN["bml"]
    theta = torch.tensor(case["theta"], dtype=torch.float64).split(case["sizes"])
    parameters = [one.clone().requires_grad_() for one in theta]
    tasks = ("fused", "0", "1", "2", "3")
    balancer = BalancedLearning(tasks, parameters[:1], parameters[1:])
    uses = [[0, place] for place in range(1, 5)]
    picked = 0
    for row, step in zip(case["g"], case["steps"], strict=True):
        golden_step(balancer, parameters, dict(enumerate(row)), uses)
        if step["u"] != [0.0] * 4:
            assert balancer.state()["speeds"][0].tolist() == pytest.approx(step["u"], rel=1e-5)
            continue
        picked += 1
        slow = step["slow"][-1]
        found = golden_step(balancer, parameters, dict(enumerate(row)), uses)
        alone = golden_step(golden_balancer("equal", parameters, 5), parameters, {slow: row[slow]}, uses)
        torch.testing.assert_close(found, alone)
        assert balancer.state()["speeds"].abs().sum() == 0
    assert picked == 2
