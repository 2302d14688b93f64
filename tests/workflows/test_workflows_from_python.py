"""Every workflow is usable from Python: settings in, plain results out, nothing printed."""

import json

import nibabel
import numpy as np
import torch

from hga_cli.core.combinations import all_combinations
from hga_cli.core.config import resolve
from hga_cli.core.run_folder import new_run
from hga_cli.data.raw.description import load_description
from hga_cli.data.store import Store
from hga_cli.engine.inference import load_model
from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.workflows.evaluate import evaluate, part_of_split, write_metrics
from hga_cli.workflows.inputs import find_inputs
from hga_cli.workflows.make_imbalance import make_imbalance
from hga_cli.workflows.plan import plan
from hga_cli.workflows.predict import predict
from hga_cli.workflows.preprocess import preprocess
from hga_cli.workflows.split import split
from hga_cli.workflows.train import train

CPU = torch.device("cpu")


def test_the_six_workflows(phantom, tmp_path, capfd):
    for number in range(6):
        phantom(tmp_path / "raw", f"case-{number}")
    settings = [
        "preprocess.workers=1",
        "split.ratios=[0.5, 0.2, 0.3]",
        "imbalance.rates=mr2468",
        "network.width=2",
        "data.patch=[16, 16, 16]",
        "data.workers=0",
        "optim.epochs=1",
        "optim.iterations=2",
    ]
    config = resolve(assignments=settings, flags={"method.name": "joint"})

    report = preprocess(tmp_path / "raw", load_description("brats"), tmp_path / "store", config.preprocess)
    assert report.written == [f"case-{number}" for number in range(6)]
    made, is_new = split(Store(tmp_path / "store"), config.split)
    assert is_new
    assert len(made.train) == 3
    table = make_imbalance(Store(tmp_path / "store"), config.imbalance, None)
    assert sum(table.counts.values()) == 3

    store = Store(tmp_path / "store")
    run = new_run(tmp_path / "runs", "mine", overwrite=False)
    planned = plan(store, config, CPU)
    assert planned.config.data.imbalance == "mr2468"
    assert list(run.path.iterdir()) == []
    assert train(planned, run)["checkpoint"] == str(run.last)

    model = load_model(run.last, CPU)
    cases = part_of_split(store, "test", "default")
    document = evaluate(model, store, cases, all_combinations(model.modalities), CONVENTIONS["hga"])
    as_json, as_csv = write_metrics(tmp_path / "scores", document)
    assert json.loads(as_json.read_text())["combinations"].keys() == document["combinations"].keys()
    assert as_csv.exists()

    (result,) = predict(model, find_inputs([tmp_path / "raw" / "case-0"], model), tmp_path / "masks")
    assert nibabel.load(result.output).shape == (12, 14, 10)
    assert capfd.readouterr() == ("", "")


def test_plan_names_what_was_left_open(tiny, tmp_path):
    planned = plan(Store(tiny.store), resolve(assignments=["data.patch=[16, 16, 16]"]), CPU)
    config = planned.config
    assert (config.data.split, config.data.imbalance) == ("default", "none")
    assert config.optim.iterations == planned.sampler.default_iterations
    assert set(planned.available) == set(Store(tiny.store).split("default").train)


def test_plan_knows_what_is_truly_absent(tiny):
    store = Store(tiny.store)
    planned = plan(store, resolve(assignments=["data.patch=[16, 16, 16]"]), CPU)
    for case, has in planned.available.items():
        assert has == store.cases[case].modalities
    lacking = [case for case, has in planned.available.items() if len(has) < 4]
    assert lacking


def test_label_values_of_the_training_data_are_written(hga, phantom, tmp_path):
    """Data that call enhancing tumour 3 (from 2023 on) get label maps that say 3."""
    for number in range(2):
        folder = phantom(tmp_path / "raw", f"case-{number}")
        path = folder / f"case-{number}_seg.nii.gz"
        old = nibabel.load(path)
        labels = np.asarray(old.dataobj)
        nibabel.save(nibabel.Nifti1Image(np.where(labels == 4, 3, labels), old.affine), path)
    hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
    hga("split", "--dataset", tmp_path / "store", "--ratios", "1,0,0")
    config = resolve(assignments=["data.patch=[16, 16, 16]", "optim.epochs=0", "network.width=2", "data.workers=0"])
    run = new_run(tmp_path / "runs", "mine", overwrite=False)
    train(plan(Store(tmp_path / "store"), config, CPU), run)
    assert load_model(run.last, CPU).label_values == {"necrosis": 1, "oedema": 2, "enhancing": 3}
