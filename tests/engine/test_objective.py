import pytest
import torch

from hga_cli.alignment.preference import Preference
from hga_cli.alignment.prototypes import compactness
from hga_cli.alignment.supervision import FusedSegmentation
from hga_cli.alignment.term import Preferences
from hga_cli.core.catalog import TERMS
from hga_cli.core.config import build
from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Preference as Settings
from hga_cli.engine.objective import Objective
from hga_cli.losses.segmentation import cross_entropy, dice
from hga_cli.networks.backbone import Backbone, Prediction

MODALITIES = ("flair", "t1ce", "t2")
WEIGHTS = {"fused": 2.0, "separate": 3.0, "distillation": 0.5, "compactness": 0.25}


class Recorder(Backbone):
    """Two classes; the logits of class 1 are a modality's image times its parameter. Says what it was asked."""

    def __init__(self, *, separate=False):
        super().__init__(MODALITIES, 2, 2)
        self.strength = torch.nn.ParameterDict({name: torch.tensor(1.0 + i) for i, name in enumerate(MODALITIES)})
        self.separate = separate
        self.encoded, self.fused, self.decoded = [], [], []

    def encode(self, images):
        self.encoded.append(tuple(images))
        return {name: self.strength[name] * image for name, image in images.items()}

    def fuse(self, features, combination):
        self.fused.append(combination)
        value = sum(features[name] for name in combination) / len(combination)
        return Prediction(logits=torch.cat([torch.zeros_like(value), value], 1), features=(value,))

    def decode_alone(self, features, modality):
        if not self.separate:
            return None
        self.decoded.append(modality)
        return torch.cat([features[modality], torch.zeros_like(features[modality])], 1)

    def shared_parameters(self):
        return []


def method(terms=None, **sections):
    terms = {name: {"weight": weight} for name, weight in WEIGHTS.items()} if terms is None else terms
    return build({"method": {"name": "test", "terms": terms, **sections}}).method


def images(*names, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: 3 * torch.randn(batch, 1, 4, 5, generator=generator) for name in MODALITIES}
    return {name: drawn[name] for name in names}


LABEL = torch.randint(0, 2, (2, 4, 5), generator=torch.Generator().manual_seed(9))


def run(settings, *names, model=None):
    objective = Objective(settings, MODALITIES, seed=0)
    model = model or Recorder()
    return objective, model, objective(model, images(*names), LABEL)


def test_a_task_is_the_weighted_sum_of_its_terms():
    _, _, losses = run(method(), "flair", "t2")
    assert losses.tasks.keys() == {"fused", "flair", "t2"}
    for task, total in losses.tasks.items():
        parts = [WEIGHTS[name] * losses.terms[f"{name}/{task}"] for name in WEIGHTS if f"{name}/{task}" in losses.terms]
        assert len(parts) == (1 if task == "fused" else 3)
        assert total.item() == pytest.approx(sum(parts), rel=1e-6)
        assert total.shape == ()


def test_a_loss_is_the_mean_over_the_batch():
    objective, model = Objective(method({"fused": {}}), MODALITIES, seed=0), Recorder()
    image = images("t2")["t2"]
    whole = objective(model, {"t2": image}, LABEL).tasks["fused"]
    apart = [objective(model, {"t2": image[i : i + 1]}, LABEL[i : i + 1]).tasks["fused"] for i in range(2)]
    assert whole.item() == pytest.approx(sum(loss.item() for loss in apart) / 2)


def test_beta_scales_the_modalities_and_only_where_asked():
    plain = run(method(), "flair", "t2")[2].tasks
    settings = method({name: {"weight": WEIGHTS[name], "scale": ["beta"]} for name in WEIGHTS})
    objective = Objective(settings, MODALITIES, seed=0)
    objective.preference.beta = {"flair": 0.5, "t1ce": 7.0, "t2": 3.0}
    scaled = objective(Recorder(), images("flair", "t2"), LABEL).tasks
    assert scaled["fused"].item() == plain["fused"].item()
    assert scaled["flair"].item() == pytest.approx(0.5 * plain["flair"].item())
    assert scaled["t2"].item() == pytest.approx(3 * plain["t2"].item())
    unasked = Objective(method(), MODALITIES, seed=0)
    unasked.preference.beta = objective.preference.beta
    assert unasked(Recorder(), images("flair", "t2"), LABEL).tasks["t2"].item() == plain["t2"].item()


def test_rho_scales_sample_by_sample():
    terms = {"separate": {"scale": ["rho"]}, "compactness": {"weight": 1e-9}, "fused": {"scale": ["rho"]}}
    losses = run(method(terms), *MODALITIES)[2]
    model = Recorder()
    features = model.encode(images(*MODALITIES))
    rho = Preference(MODALITIES, Settings()).observe(
        Preferences(
            values={name: compactness(features[name], LABEL, 2)[1] for name in MODALITIES}, higher_is_stronger=True
        )
    )
    assert any(value.unique().numel() == 2 for value in rho.values()), "samples should differ"
    for name in MODALITIES:
        logits = model.fuse(features, (name,)).logits
        separate = cross_entropy(logits, LABEL) + dice(logits, LABEL)
        assert losses.tasks[name].item() == pytest.approx((rho[name] * separate).mean().item(), abs=1e-6)
    assert losses.tasks["fused"].item() == losses.terms["fused/fused"]  # rho is for modalities


def test_the_journal_gets_losses_before_any_weight():
    heavy = method({name: {"weight": 10 * WEIGHTS[name], "scale": ["rho", "beta"]} for name in WEIGHTS})
    assert run(heavy, "flair", "t2")[2].terms == run(method(), "flair", "t2")[2].terms


def test_each_modality_is_fused_alone_once():
    _, model, _ = run(method(), "flair", "t2")
    assert model.encoded == [("flair", "t2")]
    assert sorted(model.fused) == [("flair",), ("flair", "t2"), ("t2",)]


def test_one_modality_is_not_computed_twice():
    _, model, losses = run(method(), "t1ce")
    assert model.fused == [("t1ce",)]
    assert losses.tasks.keys() == {"fused", "t1ce"}
    assert losses.terms["separate/t1ce"] == losses.terms["fused/fused"]
    assert losses.terms["distillation/t1ce"] == pytest.approx(0, abs=1e-7)


def test_terms_that_need_nothing_get_nothing():
    _, model, losses = run(method({"fused": {}, "deep": {}}), "flair", "t2")
    assert model.fused == [("flair", "t2")]
    assert losses.tasks.keys() == {"fused"}


def test_a_term_of_weight_0_computes_nothing(monkeypatch):
    def fail(self, outputs):
        pytest.fail("was called")

    monkeypatch.setattr(FusedSegmentation, "__call__", fail)
    off = {"fused": {"weight": 0}, "compactness": {"weight": 0}, "separate": {}}
    objective, model, losses = run(method(off), "flair", "t2")
    assert losses.terms.keys() == {"separate/flair", "separate/t2"}
    assert model.fused == [("flair", "t2"), ("flair",), ("t2",)]
    assert objective.preference.state()["counts"] == dict.fromkeys(MODALITIES, 0)


def test_a_separate_decoder_replaces_the_prediction_alone():
    _, model, losses = run(method({"fused": {}, "separate": {}}), "flair", "t2", model=Recorder(separate=True))
    assert model.decoded == ["flair", "t2"]
    assert model.fused == [("flair", "t2")]
    shared = run(method({"fused": {}, "separate": {}}), "flair", "t2")[2]
    assert losses.terms["separate/t2"] != shared.terms["separate/t2"]
    assert losses.terms["fused/fused"] == shared.terms["fused/fused"]


def test_a_separate_decoder_does_not_replace_the_students():
    _, model, _ = run(method(), "flair", "t2", model=Recorder(separate=True))
    assert model.decoded == ["flair", "t2"]
    assert sorted(model.fused) == [("flair",), ("flair", "t2"), ("t2",)]


def test_a_batch_counts_in_the_preference_once():
    objective, model, _ = run(method(), "flair", "t2")
    objective(model, images("t2", seed=4), LABEL)
    assert objective.preference.state()["counts"] == {"flair": 2, "t1ce": 0, "t2": 4}


def test_distillation_teaches_the_student_only():
    """The fused logits contain the student, but as a teacher they are a constant."""
    settings = method({"distillation": {"options": {"temperature": 1.0}}})
    model = Recorder()
    losses = Objective(settings, MODALITIES, seed=0)(model, images("flair", "t2"), LABEL)
    losses.tasks["flair"].backward()
    assert model.strength["flair"].grad.abs() > 0
    assert model.strength["t2"].grad is None
    assert model.strength["t1ce"].grad is None


def test_options_reach_the_term():
    def loss(**options):
        return run(method({"distillation": {"options": options}}), "flair", "t2")[2].terms["distillation/t2"]

    assert loss() == loss(kind="kl", temperature=4.0)
    assert loss(temperature=1.0) != loss()
    assert loss(kind="dice_kd") != loss()


@pytest.mark.parametrize(
    ("terms", "message", "hint"),
    [
        ({"distilation": {}}, "no term called 'distilation'", "did you mean 'distillation'"),
        ({"distillation": {"options": {"temprature": 2}}}, "'temprature'", "did you mean 'temperature'"),
        ({"similarity": {"options": {"weight": 2}}}, "term 'similarity' has no option 'weight'", "no options"),
        ({"distillation": {"options": {"kind": "l2"}}}, "'l2'", "dice_kd"),
        ({}, "no term with a weight above 0", "fused"),
        ({"fused": {"weight": 0}}, "no term with a weight above 0", "fused"),
    ],
    ids=["unknown term", "unknown option", "term without options", "bad value", "no term", "only weight 0"],
)
def test_errors_name_the_mistake(terms, message, hint):
    with pytest.raises(ConfigError, match=message) as caught:
        Objective(method(terms), MODALITIES, seed=0)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"compactness": {}, "similarity": {}}, "compactness and similarity both say"),
        ({"fused": {}, "distillation": {"scale": ["beta"]}}, "the scale of distillation follows a preference"),
    ],
)
def test_weights_follow_exactly_one_preference(terms, message):
    with pytest.raises(ConfigError, match=message):
        Objective(method(terms), MODALITIES, seed=0)


def test_terms_that_give_no_loss_are_refused():
    with pytest.raises(ConfigError, match=r"none of the terms deep gives a loss .* for flair\+t2"):
        run(method({"deep": {}}), "flair", "t2")


@pytest.mark.parametrize("names", [("pmr",), ("group",), ("shared",), ("group", "pmr")], ids="+".join)
def test_terms_that_compare_modalities_cannot_be_all(names):
    """A batch with one modality would have no loss, and end the training."""
    terms = {name: {} for name in names}
    with pytest.raises(ConfigError, match=f"no loss where a batch has one modality: {', '.join(names)}") as caught:
        Objective(method(terms | {"fused": {"weight": 0}}), MODALITIES, seed=0)
    assert "terms.fused.weight = 1" in caught.value.hint
    assert run(method({"pmr": {}, "fused": {}}), "t2")[2].tasks.keys() == {"fused"}


@pytest.mark.parametrize("name", [name for name in TERMS.entries if name != "deep" and not TERMS.load(name).requires])
def test_which_terms_compare_modalities(name):
    losses = run(method({"fused": {}, name: {}}), "t2")[2]
    assert any(key.startswith(f"{name}/") for key in losses.terms) == (not TERMS.load(name).compares_modalities)


@pytest.mark.parametrize(
    ("names", "have_losses", "predict"),
    [
        (["fused", "deep"], False, False),
        (["fused", "shared", "specific"], True, False),
        (["fused", "separate"], True, True),
        (["fused", "pmr"], True, True),
    ],
)
def test_a_balancer_is_told_what_modalities_have(names, have_losses, predict):
    objective = Objective(method({name: {} for name in names}), MODALITIES, seed=0)
    assert (objective.has_modalities, objective.predicts_alone) == (have_losses, predict)
