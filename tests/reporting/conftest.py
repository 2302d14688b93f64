"""Pages that several tests look at."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from _evil import EVIL

from hga_cli.metrics.regions import Region
from hga_cli.reporting.examples import Choice, Example
from hga_cli.reporting.facts import RunFacts
from hga_cli.reporting.scene import Scene


@dataclass(frozen=True)
class Pages:
    """What ``hga report`` wrote."""

    runs: Path
    document: dict

    def text(self, name):
        return (self.runs / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def pages(hga, road, tmp_path_factory):
    """Pages of two runs that were evaluated, with the page that compares them."""
    runs = tmp_path_factory.mktemp("pages") / "runs"
    for name in ("first", "second"):
        road.copy_of_run(runs, name)
        hga("evaluate", name, "--runs-dir", runs, "--device", "cpu")
    change_dice(runs / "second" / "metrics.json", 0.1)
    outcome = hga("report", "first", "second", "--runs-dir", runs, "--device", "cpu", "--json")
    return Pages(runs, outcome.document)


def change_dice(path, amount):
    """Let a run look better than it is."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for row in document["cases"]:
        row["dice"] += amount
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.fixture
def scene():
    """A scan of 4 x 6 x 3 voxels of 1 x 2 x 3 mm; two voxels are predicted, three are true."""
    prediction, reference = np.zeros((2, 4, 6, 3), np.uint8)
    prediction[1, 2:4, 1] = 1
    reference[1, 2:5, 1] = 1
    grey = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    return Scene(
        modality="flair",
        grey=grey,
        labels={"prediction": prediction, "reference": reference},
        regions=[Region(name="WT", classes=(1,))],
        spacing=(1.0, 2.0, 3.0),
        start=(10, 20, 30),
        whole=(40, 50, 60),
    )


@pytest.fixture
def example(scene):
    """A shown case with a name that tries to be code."""
    choice = Choice(title="best", case=EVIL, combination=("flair", "t2"), mean=0.8, dice={"WT": 0.8})
    volumes = {"prediction": {"WT": 0.012}, "reference": {"WT": 0.018}}
    return Example(choice=choice, scene=scene, volumes_ml=volumes, changed={})


@pytest.fixture
def facts():
    """A run with a name that tries to be code, which was killed in its third epoch."""
    row = {"WT": 0.5, "TC": None}
    validation = {"mean": 0.5, "combinations": {"flair": row, "t2": {"WT": 0.3, "TC": 0.1}, "flair+t2": row}}
    epochs = [
        {
            "epoch": number,
            "losses": {"loss": 2.0 - number, "separate/t2": 0.5, "separate/flair": 0.4},
            "beta": {"flair": 1.0, "t2": 1.0},
            "rho": {"flair": 0.2, "t2": 0.7},
            **({"validation": validation} if number else {}),
        }
        for number in range(2)
    ]
    return RunFacts(
        name=EVIL,
        about={"status": "running", "versions": {EVIL: EVIL}, "store": EVIL, "sources": {}},
        config={
            "seed": 1,
            "method": {"name": EVIL},
            "network": {"backbone": "unet"},
            "optim": {"epochs": 3},
            "data": {"split": EVIL, "imbalance": EVIL},
        },
        config_text=f"name = '{EVIL}'",
        epochs=epochs,
        metrics=None,
    )
