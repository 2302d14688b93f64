"""Steps and windows of a backbone for the benchmarks, and the machine's own speed."""

from dataclasses import replace

import torch
from torch.nn import functional

from hga_cli.core.config import resolve
from hga_cli.data.loading import Batch
from hga_cli.engine.network import memory_format
from hga_cli.engine.precision import autocast
from hga_cli.engine.training import Scheme, Training

BRATS = ("flair", "t1ce", "t1", "t2")
BASELINE_CONVOLUTION = 0.108
"""Seconds of ``convolution`` on the machine of the targets (Xeon with AMX, 2 threads, quiet)."""


def make_training(
    backbone,
    precision,
    layout,
    *,
    modalities=BRATS,
    patch=80,
    recompute=False,
    method="hga-published",
    balancer="equal",
):
    """Return a training that takes batches of one patch."""
    flags = {
        "method.name": method,
        "network.backbone": backbone,
        "data.patch": [patch] * 3,
        "data.batch": 1,
        "optim.precision": precision,
        "optim.layout": layout,
        "optim.epochs": 1,
        "optim.balancer": balancer,
        "optim.recompute": recompute,
    }
    scheme = Scheme(
        config=resolve(flags=flags), modalities=modalities, classes=4, device=torch.device("cpu"), iterations=10**6
    )
    return Training(scheme)


def make_batch(names, patch=80):
    """Return one sample that has these modalities, with nested boxes as its label."""
    torch.manual_seed(0)
    space = (patch,) * 3
    label = torch.zeros((1, *space), dtype=torch.uint8)
    for value, edge in ((2, 0.7), (1, 0.5), (3, 0.3)):
        inside = slice(int(patch * (1 - edge) / 2), int(patch * (1 + edge) / 2))
        label[0, inside, inside, inside] = value
    images = {name: torch.randn(1, 1, *space) + label[:, None] for name in names}
    return Batch(step=0, combination=names, cases=("x",), ends_cycle=False, images=images, label=label)


def one_by_one(model):
    """Make a network work as scripts of this field do: each modality in a pass of its own."""
    encode, fuse = model.encode, model.fuse

    def encode_each(images):
        return {name: part for one in images for name, part in encode({one: images[one]}).items()}

    model.encode = encode_each
    model.fuse_alone = lambda features, names: {name: fuse(features, (name,)) for name in names}
    return model


class Replay:
    """A network that repeats what that of a training said of a batch: a step with it is the losses and nothing else."""

    def __init__(self, training, batch):
        model, names, layout = training.model, batch.combination, memory_format(training.scheme.config)
        images = {name: image.contiguous(memory_format=layout) for name, image in batch.images.items()}
        self.has_separate_decoder = model.has_separate_decoder
        self.leaves = []
        with torch.no_grad(), autocast(training.scheme.device, training.scheme.config.optim.precision):
            features = model.encode(images)
            self._fused = self._kept(model.fuse(features, names))
            self._alone = {name: self._kept(one) for name, one in model.fuse_alone(features, names).items()}
            decoded = {name: model.decode_alone(features, name) for name in names}
        self._separate = {name: None if logits is None else self._leaf(logits) for name, logits in decoded.items()}

    def encode(self, images):
        return dict.fromkeys(images)

    def fuse(self, features, combination):
        return self._fused

    def fuse_alone(self, features, combination):
        return self._alone

    def decode_alone(self, features, modality):
        return self._separate[modality]

    def _kept(self, said):
        deep = tuple(self._leaf(logits) for logits in said.deep)
        return replace(said, logits=self._leaf(said.logits), features=tuple(map(self._leaf, said.features)), deep=deep)

    def _leaf(self, value):
        self.leaves.append(value.detach().requires_grad_())
        return self.leaves[-1]


def losses(training, replay, batch):
    """Compute the losses of a method and their gradient with respect to what the network says."""
    with autocast(training.scheme.device, training.scheme.config.optim.precision):
        tasks = training.objective(replay, batch.images, batch.label.long()).tasks
    torch.autograd.grad(sum(tasks.values()), replay.leaves, allow_unused=True)


def convolution(patch=80):
    """Return a function that runs a convolution of 3^3 voxels, 16 to 32 channels, forwards and backwards, in fp32."""
    torch.manual_seed(0)
    image = torch.randn(1, 16, *(patch,) * 3, requires_grad=True)
    weight = torch.randn(32, 16, 3, 3, 3, requires_grad=True)

    def run():
        functional.conv3d(image, weight, padding=1).sum().backward()
        image.grad = weight.grad = None

    return run
