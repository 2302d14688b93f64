"""One rank that sees other modalities than the other one, started by a test: ``_ranks_apart.py FOLDER METHOD ...``."""

import sys
from pathlib import Path

import torch
from _training import MODALITIES, TINY, settings

from hga_cli.data.loading import Batch
from hga_cli.engine.checkpoint import save_checkpoint
from hga_cli.engine.ranks import Ranks, joined_ranks
from hga_cli.engine.training import Scheme, Training

CLASSES = 3
SEEN = [(("flair",), ("t2",)), (("flair", "t1ce"), ("t2",)), (("t2",), ("flair",))]
"""Step -> the combination of each rank."""
CASES = (2, 1)
"""Of each rank in every step."""


def batch(step, rank):
    """Patches in which the label can be seen in every modality."""
    generator = torch.Generator().manual_seed(10 * step + rank)
    space, count = TINY["data.patch"], CASES[rank]
    label = torch.randint(0, CLASSES, (count, *[edge // 4 for edge in space]), generator=generator, dtype=torch.uint8)
    for axis in (1, 2, 3):
        label = label.repeat_interleave(4, axis)
    noise = [torch.randn(count, 1, *space, generator=generator) for _ in SEEN[step][rank]]
    return Batch(
        step=step,
        combination=SEEN[step][rank],
        cases=("a", "b")[:count],
        ends_cycle=False,
        images={name: label[:, None] + 0.5 * one for name, one in zip(SEEN[step][rank], noise, strict=True)},
        label=label,
    )


def training(method, ranks):
    """A training by SGD: AdamW makes whole steps of rounding errors."""
    sgd = {"optim__optimiser": "sgd", "optim__momentum": 0.5, "optim__learning_rate": 1e-2}
    config = settings(method, **sgd, optim__epochs=1, optim__iterations=len(SEEN))
    return Training(
        Scheme(
            config=config,
            modalities=MODALITIES,
            classes=CLASSES,
            device=torch.device("cpu"),
            iterations=len(SEEN),
            ranks=ranks,
        )
    )


def main():
    folder, *methods = sys.argv[1:]
    torch.set_num_threads(1)
    with joined_ranks(torch.device("cpu")) as ranks:
        for method in methods:
            made = training(method, ranks)
            losses = [made.learn(batch(step, ranks.rank)) for step in range(len(SEEN))]
            path = Path(folder) / f"{method}-{ranks.rank}.safetensors"
            save_checkpoint(path, made.tensors(), {"losses": losses})


def alone(method):
    """Return the weights and the losses of one process, which adds up the gradients of all."""
    made = training(method, Ranks())
    total, losses = sum(CASES), []
    for step in range(len(SEEN)):
        made.optimiser.zero_grad(set_to_none=True)
        parts = []
        for rank, count in enumerate(CASES):
            one = batch(step, rank)
            tasks = made.objective(made.model, one.images, one.label.long(), step=step).tasks
            parts.append(sum(tasks.values()) * count / total)
            parts[-1].backward()
        made.optimiser.step()
        losses.append(sum(part.item() for part in parts))
    return made.model.state_dict(), losses


if __name__ == "__main__":
    main()
