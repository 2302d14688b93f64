"""A model file or checkpoint whose plain values were lost or changed is refused with a sentence, whatever is wrong."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.inference import load_model
from hga_cli.workflows.export import export

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(road, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.hga"
    export(RunFolder(road.run), path)
    return path


def written_again(path, target, change=None, weights=None, version="1"):
    """Write a model file again with other plain values; ``change`` gets them and returns the text that is stored."""
    with safe_open(path, framework="pt") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if change:
        metadata["about"] = change(json.loads(metadata["about"]))
    save_file({**tensors, **(weights or {})}, target, {**metadata, "version": version})
    return target


def without(*keys):
    return lambda about: json.dumps({key: value for key, value in about.items() if key not in keys})


def better_than_it_was(about):
    """A digit of what to expect, as a defective disk or a hopeful person changes it."""
    assert about["expected"]["dice"]["flair"]["WT"] < 0.9
    about["expected"]["dice"]["flair"]["WT"] = 0.9
    return json.dumps(about)


def test_as_written(model, tmp_path):
    again = load_model(written_again(model, tmp_path / "x.hga"), CPU)
    assert again.digest == load_model(model, CPU).digest


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda about: "{", "does not tell its config"),
        (lambda about: "[]", "does not tell its config"),
        (without("config"), "does not tell its config$"),
        (without("training", "description"), "does not tell its description, training"),
        (without("digest"), "not what was written"),
        (better_than_it_was, "not what was written"),
    ],
    ids=["no JSON", "a list", "no config", "two absent", "no hash", "better expectation"],
)
def test_plain_values(model, tmp_path, change, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_model(written_again(model, tmp_path / "x.hga", change), CPU)
    assert str(tmp_path / "x.hga") in caught.value.message
    assert caught.value.hint


def test_older_file_without_a_checksum(model, tmp_path):
    old = written_again(model, tmp_path / "x.hga", without("checksum"))
    assert load_model(old, CPU).digest == load_model(model, CPU).digest


def test_version_of_the_future(model, tmp_path):
    with pytest.raises(ConfigError, match="version 9"):
        load_model(written_again(model, tmp_path / "x.hga", version="9"), CPU)


def test_weights_of_another_network(road, tmp_path):
    path = written_again(
        road.run / "checkpoints" / "last.safetensors", tmp_path / "x.safetensors", weights={"model.more": torch.ones(1)}
    )
    with pytest.raises(ConfigError, match="do not fit its settings") as caught:
        load_model(path, CPU)
    assert "more" in caught.value.message


def test_no_place_to_write(road, tmp_path):
    """A folder that cannot take the file: an error that names it, not a traceback of the library."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises((DataError, OSError), match="file"):
        export(RunFolder(road.run), tmp_path / "file" / "model.hga")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
