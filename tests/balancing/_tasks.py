"""Tasks whose losses and gradients a test prescribes."""

import json
from pathlib import Path

import torch

from hga_cli.balancing.balancer import Step
from hga_cli.core.catalog import BALANCERS

GOLDEN = json.loads((Path(__file__).parent / "golden_balancers.json").read_text())
"""From ../shared/golden/optim_*: corrected values, computed from the formulas of the specification."""
NAMES = ("fused", "flair", "t1ce", "t2")
EVERY = list(BALANCERS.entries)
PER_TASK = [name for name in EVERY if BALANCERS.load(name).apart]


class Problem:
    """A shared tensor of 6 elements, one of 3 for each modality, and one that nobody uses.

    ``fused`` reaches all tensors of the modalities that are there, a modality its own one. Gradients are drawn once.
    """

    def __init__(self, names=NAMES, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.names = names
        self.shared = torch.randn(6, generator=generator, dtype=torch.float64).requires_grad_()
        self.own = {name: torch.randn(3, generator=generator).double().requires_grad_() for name in names[1:]}
        self.idle = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        self.slopes = torch.randn(len(names), 6, generator=generator, dtype=torch.float64)
        self.own_slopes = torch.randn(len(names), 3, generator=generator, dtype=torch.float64)
        self.values = dict(zip(names, (1.3, 0.7, 0.9, 1.6, 0.4), strict=False))
        self.cases = ("case-1",)

    def balancer(self, name, **options):
        return BALANCERS.load(name)(self.names, [self.shared], [*self.own.values(), self.idle], **options)

    def losses(self, present=None, scale=1.0):
        """The losses of these tasks; ``fused`` is always there."""
        present = present or self.names
        found = {}
        for task, slope, own_slope in zip(self.names, self.slopes, self.own_slopes, strict=True):
            if task not in present:
                continue
            reached = [self.own[name] for name in present if name in self.own] if task == "fused" else [self.own[task]]
            linear = self.shared @ slope + sum(one @ own_slope for one in reached)
            found[task] = scale * (linear - linear.detach() + self.values[task])
        return found

    def logits(self, present=None):
        """Predictions of each modality: one is better than the other."""
        names = [name for name in (present or self.names) if name != "fused"]
        label = torch.arange(8).view(1, 2, 2, 2) % 2
        onehot = torch.stack([1.0 - label, label.double()], 1)
        return {name: (self.values[name] + 0.5) * onehot for name in names}, label

    def step(self, balancer, present=None, *, order=1, seed=5, scale=1.0, rate=1e-3, fp16=1.0, shares=(1.0,)):
        """One step; return the gradients: shared, own of each modality, idle."""
        every = [self.shared, *self.own.values(), self.idle]
        for parameter in every:
            parameter.grad = None
        balancer.begin(Step(seed=seed, rate=rate, scale=fp16))
        for share in shares:
            if balancer.compares:
                balancer.observe(*self.logits(present), self.cases)
            losses = self.losses(present, scale)
            balancer.backward(dict(list(losses.items())[::order]), share)
        balancer.merge()
        if balancer.looks_back:
            after = self.losses(present, scale).items()
            balancer.look_back({task: 0.9 * float(loss.detach()) + 0.02 for task, loss in after})
        return [None if parameter.grad is None else parameter.grad.clone() for parameter in every]

    def plain(self, present=None):
        """The gradients of the sum."""
        return self.step(self.balancer("equal"), present)


def same(left, right, **tolerance):
    """Both lists of gradients are equal, and None at the same places."""
    for one, other in zip(left, right, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **tolerance)


def same_state(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def golden_step(balancer, parameters, rows, uses, values=None, rate=1e-3):
    """One step in which each task has a row as its gradient on the tensors that it uses; return the gradients.

    Args:
        balancer: with tasks named "0", "1", ...
        parameters: tensors, the first one shared.
        rows: task number -> gradient over all tensors, in a line.
        uses: task number -> places of its tensors.
        values: task number -> loss.
        rate: learning rate of the network.
    """
    sizes = [one.numel() for one in parameters]
    for parameter in parameters:
        parameter.grad = None
    losses = {}
    for task, row in rows.items():
        parts = torch.tensor(row, dtype=torch.float64).split(sizes)
        linear = sum(parameters[place] @ parts[place] for place in uses[task])
        losses[str(task)] = linear - linear.detach() + (values[task] if values else 1.0)
    balancer.begin(Step(rate=rate))
    balancer.backward(losses)
    balancer.merge()
    return torch.cat([torch.zeros_like(one) if one.grad is None else one.grad for one in parameters])


def golden_parameters(case):
    return [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in case["sizes"]]


def golden_balancer(name, parameters, count, **options):
    tasks = tuple(map(str, range(count)))
    return BALANCERS.load(name)(tasks, parameters[:1], parameters[1:], **options)
