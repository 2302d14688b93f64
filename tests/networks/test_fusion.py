"""Late and early fusion around a network small enough to work out by hand: its feature is a multiple of its image."""

import pytest
import torch
from torch import nn

from hga_cli.networks.backbone import mean as mean_of
from hga_cli.networks.fusion import Body, EarlyFusion, LateFusion

MODALITIES = ("flair", "t1", "t2")


class Multiple(Body):
    """The feature is ``factor`` times the sum of the channels, the coarser logits are every second voxel of it."""

    def __init__(self, factor, channels=1):
        super().__init__(channels, 4)
        self.factor = nn.Parameter(torch.tensor(float(factor)))
        self.seen = []

    def forward(self, image):
        self.seen.append(image.detach())
        feature = self.factor * image.sum(1, keepdim=True)
        return feature, (torch.cat([feature, -feature], 1)[..., ::2, ::2],)


def late():
    model = LateFusion(MODALITIES, 2, 2, [Multiple(factor) for factor in (1, 10, 100)])
    nn.init.ones_(model.output.weight)
    return model


def early():
    model = EarlyFusion(MODALITIES, 2, 2, Multiple(10))
    nn.init.ones_(model.output.weight)
    return model


def images(*names, space=(8, 8)):
    """Modality -> an image of ones times its place (1, 2, 3)."""
    return {name: torch.full((2, 1, *space), 1.0 + MODALITIES.index(name)) for name in names or MODALITIES}


@pytest.mark.parametrize(
    ("combination", "mean"),
    [(("flair",), 1), (("t2",), 300), (("flair", "t2"), 301 / 2), (MODALITIES, 321 / 3)],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_late_fusion_is_the_mean_of_what_is_there(combination, mean):
    model = late()
    prediction = model.fuse(model.encode(images()), combination)
    expected = torch.full((2, 1, 8, 8), float(mean))
    torch.testing.assert_close(prediction.feature, expected)
    torch.testing.assert_close(prediction.logits, expected.expand(2, 2, 8, 8))
    torch.testing.assert_close(
        prediction.deep[0], torch.cat([expected, -expected], 1)[..., ::2, ::2], msg="coarser logits are means too"
    )


def test_late_fusion_does_not_run_the_network_of_an_absent_modality():
    model = late()
    features = model.encode(images("flair", "t2"))
    assert tuple(features) == ("flair", "t2")
    assert [len(body.seen) for body in model.bodies.values()] == [1, 0, 1]
    model.fuse(features, ("flair", "t2")).logits.sum().backward()
    assert model.bodies["t1"].factor.grad is None
    assert model.bodies["t2"].factor.grad == 3 * 2 * 64 * 2 / 2  # image, samples, voxels, classes; half of the mean


def test_late_fusion_shares_its_output_layer_only():
    model = late()
    assert [id(one) for one in model.shared_parameters()] == [id(model.output.weight)]


@pytest.mark.parametrize(
    ("combination", "total"), [(("flair",), 10), (("t2",), 30), (("flair", "t2"), 40), (MODALITIES, 60)]
)
def test_early_fusion_shows_zeros_in_place_of_what_is_absent(combination, total):
    model = early()
    prediction = model.fuse(model.encode(images()), combination)
    torch.testing.assert_close(prediction.feature, torch.full((2, 1, 8, 8), float(total)))
    (seen,) = model.body.seen
    assert seen.shape == (2, 3, 8, 8)
    assert [seen[:, place].unique().tolist() for place in range(3)] == [
        [float(place + 1)] if name in combination else [0.0] for place, name in enumerate(MODALITIES)
    ]


def test_channels_of_early_fusion_follow_the_data_set_not_the_order_given():
    model = early()
    shuffled = dict(reversed(images().items()))
    model.fuse(model.encode(shuffled), tuple(shuffled))
    assert model.body.seen[0][0, :, 0, 0].tolist() == [1, 2, 3]


def test_early_fusion_encodes_nothing_and_shares_everything():
    model = early()
    given = images("t1")
    features = model.encode(given)
    assert features["t1"] is given["t1"]
    assert model.body.seen == []
    assert {id(one) for one in model.shared_parameters()} == {id(one) for one in model.parameters()}


@pytest.mark.parametrize("build", [late, early])
def test_sizes_between_the_strides_are_padded_for_the_network_and_cut_again(build):
    model = build()
    prediction = model.fuse(model.encode(images("t2", space=(9, 6))), ("t2",))
    body = model.bodies["t2"] if build is late else model.body
    assert body.seen[0].shape[2:] == (12, 8)
    assert prediction.logits.shape == (2, 2, 9, 6)
    assert prediction.feature.shape == (2, 1, 9, 6)
    assert prediction.deep[0].shape == (2, 2, 5, 3)
    assert prediction.logits.min() > 0  # no padding in it


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_mean_of_half_precision_is_rounded_once(kind):
    values = [one.to(kind) for one in torch.randn(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))]
    kept = [one.clone() for one in values]
    found = mean_of(values)
    assert found.dtype == kind
    torch.testing.assert_close(found, torch.stack(values).double().mean(0).to(kind), rtol=1e-6, atol=1e-6)
    assert all(torch.equal(one, other) for one, other in zip(values, kept, strict=True))
    assert mean_of(values[:1]) is values[0]
