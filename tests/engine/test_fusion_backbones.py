"""Networks with late or early fusion, and ShaSpec, are trained by the methods like any other."""

import pytest
from _training import make_store, planned, settings, training_of

from hga_cli.core.errors import ConfigError

NETWORKS = {
    "dynunet": {"network__width": 2, "data__patch": [32, 16, 16]},
    "dynunet_early": {"network__width": 2, "data__patch": [32, 16, 16]},
    "shaspec": {"network__width": 4, "data__patch": [32, 16, 16]},
    "swinunetr": {"network__width": 12, "data__patch": [64, 32], "network__dims": 2},
    "swinunetr_early": {"network__width": 12, "data__patch": [64, 32], "network__dims": 2},
}
"""The smallest patches that they take."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("fusion") / "store")


def training(store, method, backbone):
    return training_of(planned(store, settings(method, network__backbone=backbone, **NETWORKS[backbone])))


def with_several(patches):
    """The first batch with several modalities."""
    return next(patches[step] for step in range(7) if len(patches[step].combination) > 1)


@pytest.mark.parametrize("backbone", NETWORKS)
@pytest.mark.parametrize("method", ["hga-published", "hga"])
def test_three_steps_on_the_same_batch_lower_its_loss(store, method, backbone):
    made, patches = training(store, method, backbone)
    batch = with_several(patches)
    losses = [made.learn(batch) for _ in range(4)]
    assert losses[3] < losses[0]


def test_the_method_shaspec_trains_its_own_backbone(store):
    made, patches = training(store, "shaspec", "shaspec")
    batch = with_several(patches)
    made.learn(batch)
    line = made.end_epoch()["losses"]
    assert {"shared/fused", "fused/fused", *(f"specific/{name}" for name in batch.combination)} <= line.keys()
    assert made.model.classifier.weight.grad.abs().max() > 0


def test_the_method_shaspec_refuses_other_backbones(store):
    with pytest.raises(ConfigError, match="backbone 'dynunet' does not have") as caught:
        training(store, "shaspec", "dynunet")
    assert "--backbone shaspec" in caught.value.hint


@pytest.mark.parametrize("backbone", ["dynunet", "shaspec", "swinunetr"])
def test_a_patch_that_does_not_fit_is_refused_before_training(store, backbone):
    config = settings(network__backbone=backbone, network__width=12, data__patch=[20, 20, 20])
    with pytest.raises(ConfigError, match="20x20x20") as caught:
        training_of(planned(store, config))
    assert caught.value.hint.startswith("set data.patch = [")
