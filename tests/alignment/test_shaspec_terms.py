"""The losses of ShaSpec on features small enough to work out by hand."""

import math

import pytest
import torch
from torch import tensor

from hga_cli.alignment.shaspec import Recognition, SharedDistance
from hga_cli.alignment.term import FUSED, Outputs
from hga_cli.core.catalog import TERMS
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Prediction
from hga_cli.networks.shaspec import Disentangled

NOTHING = torch.zeros(2, 2, 1, 1)


def outputs(*, shared=None, recognised=None):
    fused = Disentangled(logits=NOTHING, features=(NOTHING,), shared=shared or {}, recognised=recognised or {})
    names = tuple(shared or recognised or {})
    return Outputs(combination=names, label=torch.zeros(2, 1, 1), fused=fused, alone={}, separate={})


def shared(*levels):
    """Features (2, 3, 2) of one value: the level in the first sample, twice the level in the second."""
    return {f"m{place}": tensor([1.0, 2.0]).view(2, 1, 1).expand(2, 3, 2) * level for place, level in enumerate(levels)}


@pytest.mark.parametrize(
    ("levels", "distance"),
    [((1, 4), 3), ((1, 4, 6), 3 + 2 + 5), ((1, 4, 6, 0), 3 + 2 + 6 + 1), ((2, 2, 2), 0)],
    ids=str,
)
def test_distances_of_neighbours_in_the_circle_add_up(levels, distance):
    losses = SharedDistance()(outputs(shared=shared(*levels))).losses
    assert losses.keys() == {FUSED}
    torch.testing.assert_close(losses[FUSED], tensor([1.0, 2.0]) * distance)


def test_one_modality_has_no_distance():
    assert SharedDistance()(outputs(shared=shared(5))).losses == {}


def test_the_distance_is_a_mean_over_channels_and_voxels_and_moves_both_sides():
    one, other = torch.zeros(1, 2, 2, requires_grad=True), tensor([[[4.0, 0.0], [0.0, 0.0]]]).requires_grad_()
    loss = SharedDistance()(outputs(shared={"t1": one, "t2": other})).losses[FUSED]
    assert loss.tolist() == [1.0]
    loss.sum().backward()
    assert one.grad[0, 0, 0] == -0.25
    assert other.grad[0, 0, 0] == 0.25


def test_half_precision_does_not_overflow():
    losses = SharedDistance()(outputs(shared={name: one.half() for name, one in shared(0, 30000).items()})).losses
    assert losses[FUSED].tolist() == [30000, 60000]


def test_recognition_is_the_cross_entropy_shared_among_the_modalities():
    known = {"t1": tensor([0.5, 1.0]).log(), "t2": tensor([0.25, 0.5]).log()}
    losses = Recognition()(outputs(recognised=known)).losses
    torch.testing.assert_close(losses["t1"], tensor([math.log(2), 0.0]) / 2)
    torch.testing.assert_close(losses["t2"], tensor([math.log(4), math.log(2)]) / 2)


@pytest.mark.parametrize("name", ["shared", "specific"])
def test_with_another_backbone_they_say_so(name):
    plain = Prediction(logits=NOTHING, features=(NOTHING,))
    given = Outputs(combination=("t1",), label=torch.zeros(2, 1, 1), fused=plain, alone={}, separate={})
    with pytest.raises(ConfigError, match=f"term '{name}'") as caught:
        TERMS.load(name)()(given)
    assert "--backbone shaspec" in caught.value.hint
    assert f"method.terms.{name}.weight = 0" in caught.value.hint
