"""Every backbone goes the whole road on the three data sets of the field: training, scores, label map."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.combinations import all_combinations
from hga_cli.core.config import resolve
from hga_cli.core.run_folder import new_run
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.description import load_description
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split
from hga_cli.engine.inference import load_model
from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.workflows.evaluate import evaluate
from hga_cli.workflows.inputs import assigned_input
from hga_cli.workflows.plan import plan
from hga_cli.workflows.predict import predict
from hga_cli.workflows.preprocess import preprocess
from hga_cli.workflows.train import train

CPU = torch.device("cpu")
TRANSFORMER = {"heads": 2, "hidden": 8, "depth": 1}
NETWORKS = {
    "dynunet": {"width": 2},
    "dynunet_early": {"width": 2},
    "m2ftrans": {"width": 4, "options": TRANSFORMER},
    "mmformer": {"width": 2, "options": {"channels": 8, **TRANSFORMER}},
    "rfnet": {"width": 4},
    "shaspec": {"width": 2},
    "swinunetr": {"width": 12},
    "swinunetr_early": {"width": 12},
    "unet": {"width": 2},
}
ALL_COMBINATIONS = ("msseg", "mmformer")
"""Problem and backbone of which all 31 combinations are scored; of others three."""
SHAPE = (16, 14, 4)
ROUNDING = 9
"""Voxels, 1 % of all: z-scores of a store and of a file differ by 1e-7, which a norm over two values may amplify."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A data set, the files of its case number i, and how it is trained."""

    name: str
    dims: int
    classes: int
    image: str
    label: str
    method: str
    settings: dict[str, object] = field(default_factory=dict)
    """Of the method."""
    terms: frozenset[str] = frozenset({"fused", "separate"})
    """What has to be in the journal."""
    roles: dict[str, str] = field(default_factory=dict)
    """Modality -> its name in files, where it is another."""

    def path(self, raw, number, modality):
        """Return the file of a modality, or of the label (None)."""
        if modality is None:
            return raw / self.label.format(i=number)
        return raw / self.image.format(i=number, m=self.roles.get(modality, modality))


PROBLEMS = [
    Problem(
        name="brats",
        dims=3,
        classes=4,
        method="hga-published",
        settings={"method.sampler.order": "random", "seed": 3},  # flair+t1ce+t2, t1+t2: two to distil into, or more
        terms=frozenset({"fused", "separate", "distillation", "compactness"}),
        image="P-{i}/P-{i}_{m}.nii.gz",
        label="P-{i}/P-{i}_seg.nii.gz",
    ),
    Problem(
        name="myops",
        dims=2,
        classes=6,
        method="passion",
        image="train25/myops_training_{i}_{m}.nii.gz",
        label="train25_myops_gd/myops_training_{i}_gd.nii.gz",
    ),
    Problem(
        name="msseg",
        dims=2,
        classes=2,
        method="hga",
        image="Center_01/Patient_{i}/Preprocessed_Data/{m}_preprocessed.nii.gz",
        label="Center_01/Patient_{i}/Masks/Consensus.nii.gz",
        roles={name: name.upper() for name in ("flair", "t1", "t2", "dp", "gado")},
    ),
]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A problem with two cases of all modalities: the first is trained on, the second tested."""

    problem: Problem
    raw: Path
    store: Store


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=PROBLEMS, ids=lambda problem: f"{problem.name}-{problem.dims}D")
def prepared(request, volume, tmp_path_factory):
    problem, top = request.param, tmp_path_factory.mktemp(request.param.name)
    description = load_description(problem.name)
    values = [0, *(label.values[0] for label in description.labels)]
    for number in (1, 2):
        generator = np.random.default_rng(number)
        classes = np.broadcast_to((np.arange(SHAPE[0]) * len(values) // SHAPE[0])[:, None, None], SHAPE)
        volume(problem.path(top / "raw", number, None), np.asarray(values, np.int16)[classes], np.eye(4))
        for modality in description.modalities:
            image = 100 + generator.integers(0, 50, SHAPE) + 60 * classes
            volume(problem.path(top / "raw", number, modality), image.astype(np.int16), np.eye(4))
    preprocess(top / "raw", description, top / "store", Preprocess(workers=1))
    first, second = sorted(Store(top / "store").cases)
    save_split(top / "store", Split(name="default", train=[first], val=[], test=[second]))
    return Prepared(problem=problem, raw=top / "raw", store=Store(top / "store"))


def trained(prepared, name, runs):
    """Two steps with the smallest patch that the backbone takes, or one of 16 x 8 x 8 voxels where it takes any."""
    problem, edge = prepared.problem, max(8, BACKBONES.check(name).multiple)
    network = NETWORKS[name]
    flags = {
        "method.name": problem.method,
        **problem.settings,
        "network.backbone": name,
        "network.dims": problem.dims,
        "network.width": network["width"],
        "network.options": network.get("options", {}),
        "data.patch": [2 * edge, edge, edge][: problem.dims],
        "data.batch": 1,
        "data.workers": 0,
        "optim.epochs": 1,
        "optim.iterations": 2,
    }
    run = new_run(runs, name, overwrite=False)
    train(plan(prepared.store, resolve(flags=flags), CPU), run)
    return run


@pytest.mark.parametrize("name", sorted(BACKBONES.entries))
def test_training_scores_and_label_map(prepared, name, tmp_path):
    problem, store = prepared.problem, prepared.store
    run = trained(prepared, name, tmp_path / "runs")
    (line,) = (json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines())
    assert all(np.isfinite(value) for value in line["losses"].values())
    assert problem.terms <= {name.partition("/")[0] for name in line["losses"]}
    model = load_model(run.last, CPU)
    assert (model.step, len(model.description.labels) + 1) == (2, problem.classes)

    some = (model.modalities[0], model.modalities[2])
    (case,) = store.split("default").test
    combinations = [some[:1], some, model.modalities]
    if (problem.name, name) == ALL_COMBINATIONS:
        combinations = all_combinations(model.modalities)
        assert len(combinations) == 31
    scores = evaluate(model, store, [case], combinations, CONVENTIONS["hga"])
    rows = {row["region"]: row for row in scores["cases"] if row["combination"] == "+".join(some)}
    assert len(rows) == len(model.description.scored_regions())
    assert len(scores["cases"]) == len(combinations) * len(rows)
    assert all(0 <= row["dice"] <= 1 for row in scores["cases"])

    files = [f"{modality}={problem.path(prepared.raw, 2, modality)}" for modality in some]
    (result,) = predict(model, [assigned_input(files, model)], tmp_path / "masks")
    made = np.asarray(nibabel.load(result.output).dataobj)
    assert made.shape == SHAPE
    assert set(np.unique(made)) <= {0, *model.label_values.values()}
    for region in model.description.regions:
        voxels = np.isin(made, [model.label_values[label] for label in region.labels]).sum()
        if not region.minimum_voxels:
            assert abs(rows[region.name]["predicted_voxels"] - voxels) <= ROUNDING
