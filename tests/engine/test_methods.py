"""The shipped methods are values of one engine: each builds, trains, resumes bit for bit, and says what it weighs."""

from dataclasses import replace

import pytest
from _training import (
    CASES,
    MODALITIES,
    assert_same_run,
    finished,
    journal,
    make_store,
    planned,
    run_folder,
    settings,
)
from test_resume import interrupt

from hga_cli.core.catalog import shipped
from hga_cli.core.combinations import all_combinations
from hga_cli.core.config import resolve
from hga_cli.core.errors import DataError
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.objective import Objective
from hga_cli.workflows.train import train

METHODS = shipped("presets/methods")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("methods") / "store", table=CASES | {"case-0": ("flair", "t2")})


def config(method, **changes):
    own = {} if method == "pdt" else {"data__imbalance": "none"}
    return settings(method, **{"optim__epochs": 2, "optim__iterations": 6, **own, **changes})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("modalities", [("a", "b"), ("flair", "t1ce", "t1", "t2"), ("a", "b", "c", "d", "e")], ids=len)
def test_every_method_fits_any_number_of_modalities(method, modalities):
    objective = Objective(resolve(flags={"method.name": method}).method, modalities, seed=0)
    assert objective.preference.beta == dict.fromkeys(modalities, 1.0)


@pytest.mark.parametrize("method", ["passion", "moddrop", "meta", "hga-late"])
def test_interrupted_and_resumed(store, tmp_path, method):
    """Stops after an odd and an even step, and between epochs."""
    straight = finished(store, config(method), tmp_path / "straight")
    run = run_folder(tmp_path / "run")
    for number, step in enumerate([3, 5, 8]):
        interrupt(planned(store, config(method)), run, step, resume=number > 0)
    train(planned(store, config(method)), run, resume=True)
    assert_same_run(run, straight)


def test_passion_weighs_by_preference_and_frequency(store, tmp_path):
    """Five cases; flair and t2 have three owners, t1ce has three."""
    run = finished(store, config("passion", optim__epochs=3), tmp_path / "run")
    lines = journal(run)
    for line in lines:
        assert line["omega"] == pytest.approx(dict.fromkeys(MODALITIES, 5 / 3))
        assert line["rho"].keys() == line["D"].keys() == line["R"].keys() == set(MODALITIES)
        assert all(0 <= share <= 1 for share in line["rho"].values())
        assert sum(line["R"].values()) == pytest.approx(0, abs=1e-6)
        assert all(line["beta"][name] > 0 for name in MODALITIES)
    changes = {name: lines[1]["beta"][name] - lines[0]["beta"][name] for name in MODALITIES}
    weakest = max(lines[1]["D"], key=lines[1]["D"].get)  # far from the fused prediction
    assert max(changes, key=changes.get) == weakest


def test_passion_warms_up_with_what_is_separate(store, tmp_path):
    run = finished(store, config("passion", method__warm_up=1), tmp_path / "run")
    first, second = journal(run)
    assert {name.partition("/")[0] for name in first["losses"]} == {"loss", "separate"}
    assert first["beta"] == dict.fromkeys(MODALITIES, 1.0)
    assert {"fused/fused", "similarity/t2", "distillation/t2"} <= second["losses"].keys()
    assert second["beta"] != first["beta"]


def test_perfect_data_training_ignores_the_table(store):
    """The only table of the store hides t1ce of case-0; other methods take it, unless told otherwise."""
    perfect, dropped = planned(store, config("pdt")), planned(store, replace_imbalance(config("moddrop")))
    assert perfect.available == {case: has for case, has in CASES.items()}
    assert dropped.available["case-0"] == ("flair", "t2")
    seen = {perfect.sampler.draw(step).combination for step in range(300)}
    assert seen == set(all_combinations(MODALITIES))


def replace_imbalance(config):
    return replace(config, data=replace(config.data, imbalance=None))


def test_meta_needs_a_complete_case(store):
    with pytest.raises(DataError, match=r"flair\+t1ce\+t2; none of 5 has"):
        planned(store, replace_imbalance(config("meta")))


def test_meta_ends_with_the_weights_proper(store, tmp_path):
    """Ten steps are five pairs: no trial is left in any checkpoint."""
    run = finished(store, config("meta", optim__epochs=2, optim__iterations=10), tmp_path / "run")
    for path in (run.previous, run.last):
        tensors, _ = load_checkpoint(path)
        trials = [value for name, value in tensors.items() if name.startswith("outer.")]
        assert trials
        assert not any(value.any() for value in trials)


def test_the_published_recipe_has_every_number():
    published = resolve(flags={"method.name": "hga-published"})
    assert (published.optim.epochs, published.optim.iterations, published.optim.learning_rate) == (300, 225, 2e-3)
    assert published.data.batch == 1
    assert (published.method.sampler.kind, published.method.outer.kind) == ("cycle", "interpolation")
    assert published.method.outer.epsilon == 0.1
