"""Methods on all backbones, with batches made by hand."""

import pytest
import torch
from test_every_backbone import NAMES, TINY, patch

from hga_cli.alignment.frequency import frequency_weights
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError
from hga_cli.data.loading import Batch
from hga_cli.engine.network import build_network
from hga_cli.engine.training import Scheme, Training

MODALITIES = ("flair", "t1ce", "t2")
COMBINATIONS = (("t2",), ("flair", "t2"), MODALITIES)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def training(name, method="hga-published", *, dims=2, modalities=MODALITIES, **changes):
    options = dict(TINY[name])
    flags = {
        "method.name": method,
        "network.backbone": name,
        "network.dims": dims,
        "network.width": options.pop("width"),
        "network.options": options,
        "data.patch": list(patch(name, dims)),
        "data.batch": 2,
        "optim.epochs": 100,
        "optim.learning_rate": 1e-3,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    config = resolve(flags=flags)
    return Training(
        Scheme(
            config=config,
            modalities=modalities,
            classes=3,
            device=torch.device("cpu"),
            iterations=len(COMBINATIONS),
            omega=frequency_weights(COMBINATIONS),
        )
    )


def batch(name, step, combination, *, dims=2):
    """Patches in which the label can be seen in every modality."""
    generator = torch.Generator().manual_seed(step)
    space = patch(name, dims)
    label = torch.randint(0, 3, (2, *[edge // 4 for edge in space]), generator=generator, dtype=torch.uint8)
    for axis in range(1, 1 + dims):
        label = label.repeat_interleave(4, axis)
    images = {m: label.unsqueeze(1) + 0.1 * torch.randn(2, 1, *space, generator=generator) for m in combination}
    return Batch(step=step, combination=combination, cases=("a", "b"), ends_cycle=step == 2, images=images, label=label)


def moved(made, before):
    return {key for key, value in made.model.named_parameters() if not torch.equal(before[key], value)}


@pytest.mark.parametrize("name", sorted(BACKBONES.entries))
def test_a_separate_decoder_is_declared(name):
    """Else the fusion decoder would not be trained on parts, and nobody would notice."""
    model = training(name).model
    combination = COMBINATIONS[-1]
    features = model.encode(batch(name, 0, combination).images)
    assert (model.decode_alone(features, combination[0]) is not None) == model.has_separate_decoder


@pytest.mark.parametrize("method", ["hga-published", "hga", "passion"])
@pytest.mark.parametrize("name", sorted(BACKBONES.entries))
def test_a_cycle_moves_what_it_saw(name, method):
    made = training(name, method)
    before = {key: value.clone() for key, value in made.model.named_parameters()}
    shared = {id(parameter) for parameter in made.model.shared_parameters()}
    own = {key: key.split(".") for key, value in made.model.named_parameters() if id(value) not in shared}
    losses = [made.learn(batch(name, 0, COMBINATIONS[0]))]
    early = moved(made, before)
    assert early
    assert not [key for key in early & own.keys() if {"flair", "t1ce"} & set(own[key])]
    losses += [made.learn(batch(name, step, COMBINATIONS[step])) for step in (1, 2)]
    assert all(torch.tensor(losses).isfinite())
    late = moved(made, before)
    for modality in MODALITIES if own else ():
        assert [key for key in late & own.keys() if modality in own[key]]


@pytest.mark.parametrize("name", sorted(BACKBONES.entries))
def test_five_modalities_are_distilled(name):
    """As of MSSEG, by HGA as published, with one of them absent."""
    made = training(name, modalities=NAMES, optim__learning_rate=1e-2)
    one = batch(name, 1, NAMES[1:])
    losses = [made.learn(one) for _ in range(3)]
    assert losses[-1] < losses[0]
    made.step = made.scheme.iterations
    noted = made.end_epoch()["losses"]
    for term in ("separate", "distillation", "compactness"):
        assert {key for key in noted if key.startswith(term)} == {f"{term}/{modality}" for modality in NAMES[1:]}


@pytest.mark.parametrize("name", ["m2ftrans", "mmformer", "rfnet"])
def test_parts_of_a_combination_are_seen_in_3d(name):
    made = training(name, "hga", dims=3, optim__learning_rate=1e-2)
    one = batch(name, 1, MODALITIES, dims=3)
    losses = [made.learn(one) for _ in range(3)]
    assert losses[-1] < losses[0]
    made.step = made.scheme.iterations
    assert {"fused/fused", "part/fused", *(f"separate/{name}" for name in MODALITIES)} <= made.end_epoch()[
        "losses"
    ].keys()


@pytest.mark.parametrize("name", ["m2ftrans", "mmformer", "rfnet"])
def test_a_network_learns_one_batch_by_heart(name):
    made = training(name, optim__learning_rate=1e-2)
    one = batch(name, 1, ("flair", "t2"))
    losses = [made.learn(one) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("name", ["m2ftrans", "mmformer", "rfnet"])
def test_bf16_and_channels_last_are_the_same_up_to_rounding(name):
    """Each batch alone: after a few steps rounding may lead elsewhere."""
    for step, combination in enumerate(COMBINATIONS):
        one = batch(name, step, combination)
        expected = training(name).learn(one)
        assert training(name, optim__layout="channels_last").learn(one) == pytest.approx(expected, rel=1e-4)
        assert training(name, optim__precision="bf16").learn(one) == pytest.approx(expected, rel=0.03)


def test_settings_become_arguments():
    config = training("mmformer").scheme.config
    network = build_network(config, MODALITIES, 3)
    assert network.positions["t2"].grid == tuple(edge // 4 for edge in patch("mmformer", 2))
    assert network.inside["t2"].layers[0].heads == 2
    assert build_network(resolve(), MODALITIES, 3).down[0].convolutions[0].out_channels == 16  # its own width


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"head": 2}, "backbone 'mmformer' has no option 'head'", "did you mean 'heads'?"),
        ({"width": 2}, "backbone 'mmformer' has no option 'width'", "known: channels"),
        ({"patch": 2}, "backbone 'mmformer' has no option 'patch'", "known"),
        ({"heads": "two"}, "option 'heads' of backbone 'mmformer' should be of type int, found 'two'", "8"),
        ({"heads": True}, "should be of type int, found True", "8"),
        ({"heads": 3}, "8 channels of a token of backbone 'mmformer' cannot be shared out among 3 heads", "divisor"),
        ({"depth": 0}, "option 'depth' of backbone 'mmformer' should be at least 1, found 0", "1 or more"),
        ({"levels": 1}, "backbone 'mmformer' needs at least 2 levels, found 1", "levels = 2"),
    ],
    ids=["misspelt", "width", "patch", "type", "bool", "heads", "depth", "levels"],
)
def test_errors_name_the_option(options, message, hint):
    config = resolve(
        flags={
            "network.backbone": "mmformer",
            "network.width": 2,
            "network.options": {"channels": 8, "hidden": 8, "levels": 3, **options},
            "data.patch": [16, 16, 16],
        }
    )
    with pytest.raises(ConfigError) as caught:
        build_network(config, MODALITIES, 3)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["m2ftrans", "mmformer", "rfnet"])
def test_blocks_computed_again_give_the_same_step(name):
    """Dropout too: it is drawn from the same random numbers."""
    one = batch(name, 1, ("flair", "t2"))
    plain, again = training(name), training(name, optim__recompute=True)
    assert again.learn(one) == pytest.approx(plain.learn(one), rel=1e-5)
    for left, right in zip(plain.model.parameters(), again.model.parameters(), strict=True):
        assert (left.grad is None) == (right.grad is None)
        if left.grad is not None:
            torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-4)
