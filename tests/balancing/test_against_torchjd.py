"""With the same tasks in every step, ours and torchjd's own classes say the same."""

import subprocess
import sys

import pytest
import torch
from _tasks import NAMES, Problem
from torchjd import aggregation, scalarization

from hga_cli.balancing.balancer import Step

THEIRS = {
    "pcgrad": aggregation.PCGrad,
    "graddrop": aggregation.GradDrop,
    "gradvac": aggregation.GradVac,
    "aligned_mtl": aggregation.AlignedMTL,
    "imtl_g": aggregation.IMTLG,
}


@pytest.mark.parametrize("name", THEIRS)
def test_aggregators_over_several_steps(name):
    problem = Problem()
    ours, theirs = problem.balancer(name), THEIRS[name]()
    generator = torch.Generator().manual_seed(1)
    for seed in range(4):
        problem.slopes = torch.randn(4, 6, generator=generator, dtype=torch.float64)
        found = problem.step(ours, seed=seed)[0]
        torch.manual_seed(seed)
        torch.testing.assert_close(found, theirs(problem.slopes))


def test_mgda_is_what_frank_wolfe_comes_near_to():
    problem = Problem()
    theirs = aggregation.MGDA(epsilon=1e-9, max_iters=20000)(problem.slopes)
    ours = problem.step(problem.balancer("mgda"))[0]
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    assert ours.norm() <= theirs.norm() + 1e-12


def test_uncertainty_has_the_gradient_of_theirs():
    problem = Problem()
    theirs = scalarization.UW(4).double()
    with torch.no_grad():
        theirs.log_var.copy_(torch.tensor([0.3, -0.2, 0.0, 0.5]))
    ours = problem.balancer("uncertainty")
    ours.load({"values": theirs.log_var.detach().clone(), "moments": torch.zeros(3, 4, dtype=torch.float64)})
    losses = torch.stack(list(problem.losses().values()))
    gradient = torch.autograd.grad(theirs(losses), [problem.shared, theirs.log_var])
    found = problem.step(ours)[0]
    torch.testing.assert_close(found, gradient[0])
    torch.testing.assert_close(ours.state()["moments"][0] / 0.1, gradient[1])


def test_dwa_has_the_weights_of_theirs_over_epochs():
    ours, theirs = Problem().balancer("dwa"), scalarization.DWA()
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for _ in range(3):
            values = (0.2 + torch.rand(4, generator=generator)).double().requires_grad_()
            named = dict(zip(NAMES, values.tolist(), strict=True))
            (weights,) = torch.autograd.grad(theirs(values), values)
            assert list(ours.weights(named).values()) == pytest.approx(weights.tolist())
            ours.learn(named)
        ours.end_epoch()
        theirs.step()


def test_famo_has_the_weights_of_theirs_over_steps():
    ours, theirs = Problem().balancer("famo"), scalarization.FAMO(4).double()
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        before, after = (0.2 + torch.rand(2, 4, generator=generator)).double()
        before.requires_grad_()
        ours.begin(Step())
        named = dict(zip(NAMES, before.tolist(), strict=True))
        (weights,) = torch.autograd.grad(theirs(before), before)
        assert list(ours.weights(named).values()) == pytest.approx(weights.tolist(), rel=1e-6)
        ours.learn(named)
        ours.look_back(dict(zip(NAMES, after.tolist(), strict=True)))
        theirs.update(after)
    assert ours.state()["values"].tolist() == pytest.approx(theirs._w.tolist(), rel=1e-6)


def test_random_weights_are_softmax_of_normal_numbers():
    balancer = Problem().balancer("random")
    drawn = []
    for seed in range(2000):
        balancer.begin(Step(seed=seed))
        weights = list(balancer.weights(dict.fromkeys(NAMES, 1.0)).values())
        assert sum(weights) == pytest.approx(1)
        drawn.append(weights)
    logs = torch.tensor(drawn).log()
    centred = logs - logs.mean(1, keepdim=True)  # normal numbers less their mean: variance 1 - 1/4
    assert centred.var(0).tolist() == pytest.approx([0.75] * 4, abs=0.1)
    assert centred.mean(0).tolist() == pytest.approx([0.0] * 4, abs=0.1)


def test_torchjd_loads_only_where_it_is_used():
    code = """
import sys
from hga_cli.core.catalog import BALANCERS
for name in ("equal", "mgda", "dwa", "pcgrad"):
    BALANCERS.load(name)(("fused", "t2"), [], [])
    print(name, "torchjd" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["equal False", "mgda False", "dwa False", "pcgrad True"]
