"""Reading what a training left in its run folder."""

import json

from safetensors import safe_open


def tensors(run):
    """All tensors of the newest checkpoint."""
    with safe_open(run / "checkpoints" / "last.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def weights(run):
    """All tensors of the newest checkpoint, as bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in tensors(run).items()}


def journal(run):
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_run(tiny, name):
    return tiny.top / "runs" / name
