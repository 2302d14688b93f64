"""What weighs the terms of a method beyond a number: omega, a warm-up, a preference that is measured only."""

import pytest
import torch
from test_objective import LABEL, MODALITIES, Recorder, images, method

from hga_cli.alignment.preference import Preference
from hga_cli.alignment.prototypes import compactness
from hga_cli.alignment.term import Preferences
from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Preference as Settings
from hga_cli.engine.objective import Objective

OMEGA = {"flair": 1.5, "t1ce": 4.0, "t2": 2.0}


def run(terms, *names, epoch=0, omega=None, **sections):
    objective = Objective(method(terms, **sections), MODALITIES, omega, seed=0)
    return objective, objective(Recorder(), images(*names), LABEL, epoch=epoch)


def rho_of(*names):
    model = Recorder()
    features = model.encode(images(*names))
    values = {name: compactness(features[name], LABEL, 2)[1] for name in names}
    return Preference(MODALITIES, Settings()).observe(Preferences(values=values, higher_is_stronger=True))


def test_omega_scales_the_modalities_and_only_where_asked():
    plain = run({"separate": {}, "fused": {}}, "flair", "t2")[1].tasks
    terms = {"separate": {"scale": ["omega"]}, "fused": {"scale": ["omega"]}}
    objective, losses = run(terms, "flair", "t2", omega=OMEGA)
    assert losses.tasks["flair"].item() == pytest.approx(1.5 * plain["flair"].item())
    assert losses.tasks["t2"].item() == pytest.approx(2 * plain["t2"].item())
    assert losses.tasks["fused"].item() == plain["fused"].item()
    assert objective.end_epoch(0)["omega"] == OMEGA
    unasked, same = run({"separate": {}, "fused": {}}, "flair", "t2", omega=OMEGA)
    assert same.tasks["t2"].item() == plain["t2"].item()
    assert unasked.end_epoch(0)["omega"] == {}


def test_a_frequency_weight_that_nobody_gave_is_no_silent_one():
    with pytest.raises(KeyError, match="t2"):
        run({"separate": {"scale": ["omega"]}}, "t2")


def test_factors_multiply():
    terms = {"separate": {"weight": 0.5, "scale": ["rho", "beta", "omega"]}, "compactness": {"weight": 1e-9}}
    objective = Objective(method(terms), MODALITIES, OMEGA, seed=0)
    objective.preference.beta = {"flair": 0.25, "t1ce": 1.0, "t2": 3.0}
    found = objective(Recorder(), images(*MODALITIES), LABEL).tasks
    rho = rho_of(*MODALITIES)
    alone = {"separate": {"weight": 0.5, "scale": ["rho"]}, "compactness": {"weight": 1e-9}}
    plain = run(alone, *MODALITIES)[1].tasks
    assert any(marks.any() for marks in rho.values())
    for name, beta in objective.preference.beta.items():
        assert found[name].item() == pytest.approx(beta * OMEGA[name] * plain[name].item(), rel=1e-5, abs=1e-7)


WHOLE = {
    "fused": {},
    "separate": {"scale": ["rho", "beta", "omega"]},
    "distillation": {"scale": ["beta"]},
    "compactness": {"scale": ["rho"]},
}


def test_a_warm_up_trains_separate_alone_without_rho():
    objective, losses = run(WHOLE, "flair", "t2", epoch=1, omega=OMEGA, warm_up=2)
    assert losses.terms.keys() == {"separate/flair", "separate/t2"}
    plain = run({"separate": {}}, "flair", "t2")[1].tasks
    assert losses.tasks.keys() == {"flair", "t2"}
    for name, loss in losses.tasks.items():
        assert loss.item() == pytest.approx(OMEGA[name] * plain[name].item())
    assert objective.end_epoch(1)["beta"] == dict.fromkeys(MODALITIES, 1.0)


def test_after_the_warm_up_everything_counts():
    later = run(WHOLE, "flair", "t2", epoch=2, omega=OMEGA, warm_up=2)[1]
    never = run(WHOLE, "flair", "t2", epoch=2, omega=OMEGA)[1]
    assert later.terms == never.terms
    assert "fused/fused" in later.terms
    assert {name: loss.item() for name, loss in later.tasks.items()} == {
        name: loss.item() for name, loss in never.tasks.items()
    }


def test_a_warm_up_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="warms up with the term separate") as caught:
        Objective(method({"fused": {}}, warm_up=1), MODALITIES, seed=0)
    assert "warm_up = 0" in caught.value.hint


def test_a_preference_may_be_measured_without_being_trained():
    terms = {"separate": {"scale": ["rho"]}, "compactness": {"weight": 0}}
    objective, losses = run(terms, *MODALITIES)
    rho, plain = rho_of(*MODALITIES), run({"separate": {}}, *MODALITIES)[1]
    assert {f"compactness/{name}" for name in MODALITIES} < losses.terms.keys()  # for the journal
    assert sum(objective.preference.state()["counts"].values()) == 6
    for name, marks in rho.items():
        if marks.all():
            assert losses.tasks[name].item() == pytest.approx(plain.tasks[name].item())
        elif not marks.any():
            assert losses.tasks[name].item() == 0


def test_what_is_only_measured_has_no_gradient():
    gradients = []
    for extra in ({}, {"compactness": {"weight": 0}}):
        terms = {"separate": {"scale": ["beta"] if extra else []}, **extra}
        model = Recorder()
        losses = Objective(method(terms), MODALITIES, seed=0)(model, images(*MODALITIES), LABEL)
        torch.autograd.backward(list(losses.tasks.values()))
        gradients.append([parameter.grad.item() for parameter in model.parameters()])
    assert gradients[0] == gradients[1]


def test_a_term_of_weight_0_makes_no_second_preference():
    terms = {"separate": {"scale": ["beta"]}, "compactness": {"weight": 0.1}, "similarity": {"weight": 0}}
    losses = run(terms, "flair", "t2")[1]
    assert not any(name.startswith("similarity") for name in losses.terms)
