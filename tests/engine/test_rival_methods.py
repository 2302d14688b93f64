"""The rivals of HGA are presets of the one engine: they train in 2D and 3D, and nothing absent is seen."""

import numpy as np
import pytest
import torch
from _training import CASES, MODALITIES, assert_same_tensors, make_store, planned, settings, training_of
from test_absent_modalities import WHOLE, spoil

from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError
from hga_cli.engine.network import build_network

SMALL = {  # an instance norm over two voxels would turn round at any moment
    "unet": {},
    "rfnet": {"network__options": {"levels": 2}},
    "dynunet": {"network__width": 2, "data__patch": [32, 16, 16]},
    "dynunet_early": {"network__width": 2, "data__patch": [32, 16, 16]},
    "shaspec": {"data__patch": [32, 32, 16]},
}
TERMS = {
    "hps": {"fused"},
    "joint-hga": {"fused", "separate"},
    "gmd": {"fused", "separate"},
    "gmd-hga": {"fused", "separate"},
    "mag": {"fused", "separate", "distillation", "features"},
    "mag-deepest": {"fused", "separate", "distillation", "features"},
    "gss": {"fused", "separate", "group"},
    "pmr": {"fused", "separate", "pmr"},
    "shaspec": {"fused", "shared", "specific"},
    "shaspec-gss": {"fused", "shared", "specific", "group"},
    "shaspec-hga": {"fused", "shared", "specific", "distillation", "compactness"},
    "shaspec-mag": {"fused", "shared", "specific", "distillation", "features"},
}
"""Method -> its terms, but for deep supervision, which unet and shaspec do not have."""
OWN = {method: "shaspec" if method.startswith("shaspec") else "unet" for method in TERMS}
WITH_CYCLE = {"joint-hga", "gmd-hga", "shaspec-hga"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("rivals") / "store")


def config(method, backbone=None, **changes):
    name = backbone or OWN[method]
    return settings(method, network__backbone=name, **{**SMALL[name], **changes})


def with_several(patches):
    """The first batch with two modalities or more."""
    return next(patches[step] for step in range(14) if len(patches[step].combination) > 1)


def lowers_its_loss(store, config):
    """Learn from one batch again and again, and return the line of the journal."""
    made, patches = training_of(planned(store, config))
    batch = with_several(patches)
    losses = [made.learn(batch) for _ in range(5)]
    assert losses[-1] < losses[0]
    made.step = config.optim.iterations
    return made, batch, made.end_epoch()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", TERMS)
def test_steps_on_the_same_batch_lower_its_loss(store, method, dims):
    patch = {"data__patch": SMALL[OWN[method]].get("data__patch", [12, 12, 12])[:dims], "network__dims": dims}
    _, batch, line = lowers_its_loss(store, config(method, **patch))
    noted = {name.partition("/")[0] for name in line["losses"]} - {"loss"}
    assert noted == TERMS[method]
    tasks = {name.partition("/")[2] for name in line["losses"]} - {""}
    assert tasks <= {"fused", *batch.combination}
    for term in noted - {"fused", "shared"}:
        assert {f"{term}/{name}" for name in batch.combination} <= line["losses"].keys()
        assert all(line["losses"][f"{term}/{name}"] >= 0 for name in batch.combination)


@pytest.mark.parametrize("backbone", ["rfnet", "dynunet", "dynunet_early"])
@pytest.mark.parametrize("method", ["mag", "gss", "gmd", "pmr"])
def test_other_backbones_do_too(store, method, backbone):
    _, _, line = lowers_its_loss(store, config(method, backbone))
    deep = set() if line["losses"].keys().isdisjoint({"deep/fused"}) else {"deep"}
    assert deep == {"deep"}
    assert {name.partition("/")[0] for name in line["losses"]} - {"loss"} == TERMS[method] | deep


@pytest.mark.parametrize("method", TERMS)
def test_cycle_and_interpolation_belong_together(method):
    found = resolve(flags={"method.name": method}).method
    parts = ("cycle", "interpolation") if method in WITH_CYCLE else ("case", "none")
    assert (found.sampler.kind, found.outer.kind) == parts


@pytest.mark.parametrize("method", ["mag", "mag-deepest", "gss", "pmr"])
def test_every_rival_takes_the_parts_of_hga(store, method):
    parts = {"method__sampler__kind": "cycle", "method__outer__kind": "interpolation"}
    made, patches = training_of(planned(store, config(method, **parts)))
    before = {name: value.clone() for name, value in made.outer.state().items()}
    for step in range(7):
        made.learn(patches[step])
    assert any(not torch.equal(value, before[name]) for name, value in made.outer.state().items())


@pytest.mark.parametrize(
    "method", ["gmd", "mag", "mag-deepest", "gss", "pmr", "shaspec-gss", "shaspec-hga", "shaspec-mag"]
)
def test_a_hidden_modality_may_as_well_not_exist(tmp_path, method):
    """All is on disk and a table hides a part that is NaN - against a store that never had that part."""
    full = make_store(tmp_path / "full", WHOLE, table=CASES)
    for case, available in CASES.items():
        for modality in set(MODALITIES) - set(available):
            spoil(full, case, modality, how="nan")
    bare = make_store(tmp_path / "bare", CASES)
    (losses, tensors), (wanted, expected) = (trained(store, config(method)) for store in (full, bare))
    assert np.isfinite(losses).all()
    assert losses == wanted
    assert_same_tensors(tensors, expected)


def trained(store, config):
    made, patches = training_of(planned(store, config))
    return [made.learn(patches[step]) for step in range(7)], made.tensors()


@pytest.mark.parametrize("method", ["mag", "mag-deepest", "gss", "pmr"])
def test_one_modality_alone_is_learnt_as_by_joint(store, method):
    """There is nobody to learn from: only supervision has a gradient."""
    plain = {f"method__terms__{term}__weight": 0 for term in TERMS[method] - {"fused", "separate"}}
    gradients = []
    for changes in ({}, plain):
        made, patches = training_of(planned(store, config(method, **changes)))
        batch = next(patches[step] for step in range(14) if len(patches[step].combination) == 1)
        made.learn(batch)
        named = made.model.named_parameters()
        gradients.append({name: one.grad for name, one in named if one.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


def test_meta_drop_tries_parts_of_cases_and_is_judged_by_complete_ones(store):
    """And what the table hides stays hidden: a batch is a part of what its cases have."""
    made, patches = training_of(planned(store, settings("meta-drop", optim__iterations=40, optim__epochs=1)))
    usual = training_of(planned(store, settings("meta", optim__iterations=40, optim__epochs=1)))[1]
    batches = [patches[step] for step in range(40)]
    assert all(batch.combination == MODALITIES and batch.ends_cycle for batch in batches[1::2])
    assert all(set(batch.combination) <= set(CASES[case]) for batch in batches[::2] for case in batch.cases)
    assert any(batch.combination != CASES[case] for batch in batches[::2] for case in batch.cases)
    assert all(usual[step].combination == CASES[case] for step in range(0, 40, 2) for case in usual[step].cases)
    losses = [made.learn(batch) for batch in batches]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_gmd_is_its_balancer_and_a_flag_wins():
    assert resolve(flags={"method.name": "gmd"}).optim.balancer == "gmd"
    assert resolve(flags={"method.name": "gmd-hga"}).optim.balancer == "gmd"
    assert resolve(flags={"method.name": "gmd", "optim.balancer": "equal"}).optim.balancer == "equal"


@pytest.mark.parametrize(
    ("method", "changes"),
    [("gmd", {"method__terms__separate__weight": 0}), ("hps", {})],
    ids=["weight 0", "hps"],
)
def test_without_losses_of_modalities_there_is_nothing_to_balance(store, method, changes):
    with pytest.raises(ConfigError, match=f"method '{method}' looks at no modality alone") as caught:
        training_of(planned(store, config(method, optim__balancer="gmd", **changes)))
    repair = {"method__terms__separate__weight": 1}
    assert "separate.weight=1" in caught.value.hint
    assert training_of(planned(store, config(method, optim__balancer="gmd", **changes | repair)))


def unet(**options):
    made = build_network(settings(network__options=options), MODALITIES, 3).eval()
    for parameter in made.parameters():
        torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return made


def images(*names):
    return {name: torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1)) for name in names}


@torch.no_grad()
def test_dynamic_sharing_is_what_tells_modalities_apart():
    """The same image as three modalities: with common norms the network cannot know."""
    for own_norms in (True, False):
        model = unet(own_norms=own_norms)
        alone = model.fuse_alone(model.encode(images(*MODALITIES)), MODALITIES)
        first, *others = (one.logits for one in alone.values())
        assert all(torch.allclose(first, other, atol=1e-5) != own_norms for other in others)


def test_without_dynamic_sharing_everything_is_shared(store):
    shared = list(unet(own_norms=False).shared_parameters())
    assert len({id(one) for one in shared}) == len(shared) == len(list(unet(own_norms=False).parameters()))
    made, _, _ = lowers_its_loss(store, config("gmd", network__options={"own_norms": False}))
    assert made.balancer.own == []
    with pytest.raises(ConfigError, match="has none"):
        training_of(planned(store, config("joint-hga", network__options={"own_norms": False}, optim__balancer="bml")))


@pytest.mark.parametrize(("backbone", "stride"), [("unet", 16), ("shaspec", 16)])
@torch.no_grad()
def test_the_deepest_feature_is_the_mean_of_those_of_the_modalities(backbone, stride):
    changed = {"network__backbone": backbone, "data__patch": [16, 32, 16], "network__width": 4}
    model = build_network(settings(**changed), MODALITIES, 3).eval()
    given = {
        name: torch.randn(2, 1, 16, 32, 16, generator=torch.Generator().manual_seed(seed))
        for seed, name in enumerate(MODALITIES)
    }
    features = model.encode(given)
    alone = [one.deepest for one in model.fuse_alone(features, MODALITIES[:2]).values()]
    fused = model.fuse(features, MODALITIES[:2]).deepest
    assert fused.shape[2:] == (16 // stride, 32 // stride, 16 // stride)
    assert not torch.equal(*alone)
    torch.testing.assert_close(fused, (alone[0] + alone[1]) / 2)
