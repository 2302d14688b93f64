"""A method of one's own, from a file, through training, resuming, scoring and ranking."""

import json
import tomllib

import pytest


@pytest.fixture
def mine(hga, tiny):
    """The file of a method like hga-published, without the term deep and without the scale of distillation."""
    text = hga("info", "methods", "hga-published").out.replace('name = "hga-published"', 'name = "mine"')
    text = text.replace("[method.terms.deep]\nweight = 1.0\n", "").replace('scale = ["beta"]\n', "")
    file = tiny.top / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_run_of_its_own_method_is_trained_resumed_scored_and_ranked(hga, tiny, mine):
    run = tiny.top / "runs" / "own"
    told = hga(*tiny.training("--epochs", 1, "--run", "own"), "-c", mine).err
    assert "method mine, backbone unet" in told
    assert "terms: fused 1, separate 1, distillation 0.5, compactness 0.02 x rho" in told
    assert "warning" not in told
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["method"]["name"] == "mine"
    assert set(config["method"]["terms"]) == {"fused", "separate", "distillation", "compactness"}
    losses = json.loads((run / "journal.jsonl").read_text().splitlines()[0])["losses"]
    assert "distillation/t1" in losses
    assert not [name for name in losses if name.startswith("deep/")]
    resumed = hga("train", "--resume", "--run", "own", "--dataset", "brats", *tiny.data, *tiny.runs, "--device", "cpu")
    assert "continues at step" in resumed.err
    hga("evaluate", "own", *tiny.data, *tiny.runs, "--device", "cpu")
    ranked = hga("report", "--leaderboard", tiny.top / "runs", "-o", tiny.top / "board.html", "--json").document
    assert "mine" in [entry["method"] for board in ranked["boards"] for entry in board["entries"]]


def test_another_method_than_that_of_the_file_is_told(hga, tiny, mine):
    told = hga(*tiny.training("--epochs", 0, "--run", "a", "--method", "joint"), "-c", mine).err
    told = " ".join(told.split())
    assert "what it says of method 'mine' is left out, as method 'joint' was chosen" in told
    assert "method joint, backbone unet" in told
