"""A network whose weights are NaN is refused: of no numbers the most probable class is background, a silent result."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from hga_cli.core.run_folder import RunFolder


@pytest.fixture
def run(road, tmp_path):
    """A copy of the road's run with one weight that is NaN."""
    from safetensors import safe_open

    run = RunFolder(road.copy_of_run(tmp_path / "runs"))
    with safe_open(run.last, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(run.last)
    name = next(name for name in tensors if name.startswith("model.") and tensors[name].is_floating_point())
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, run.last, metadata)
    return run


def test_evaluate(hga, run, tmp_path):
    words = ["--runs-dir", run.path.parent, "--device", "cpu", "-o", tmp_path / "scores"]
    hga.refuses("evaluate", *words, code=4, says=["the network gives no numbers for", "of case 'Phantom-"])
    assert not (tmp_path / "scores" / "metrics.json").exists()


def test_predict(hga, run, sample_data, tmp_path):
    scans = sample_data / "Phantom-00003-000"
    words = ["--runs-dir", run.path.parent, "--device", "cpu", "-o", tmp_path / "masks"]
    hga.refuses("predict", scans, *words, code=4, says="no numbers for flair+t1ce+t1+t2 of case 'Phantom-00003-000'")
    assert not (tmp_path / "masks").exists()
