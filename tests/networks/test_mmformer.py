import pytest
import torch
from torch import nn
from torch.nn import functional

from hga_cli.networks.mmformer import MMFormer
from hga_cli.networks.transformer import as_tokens

MODALITIES = ("flair", "t1ce", "t2")


def network(**changes):
    torch.manual_seed(0)
    options = {"dims": 2, "width": 2, "levels": 3, "channels": 8, "heads": 2, "hidden": 8, "patch": (16, 8), **changes}
    model = MMFormer(MODALITIES, 3, **options).eval()
    for places in model.positions.values():
        nn.init.normal_(places.table)
    return model


def draw(space=(16, 8)):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, *space, generator=generator) for name in MODALITIES}


class Nothing(nn.Module):
    def forward(self, tokens, positions):
        return tokens


def test_tokens_return_to_their_own_place():
    """Without the transformer between modalities, a place depends on the tokens of that place."""
    model = network()
    model.between = Nothing()
    features = model.encode(draw())
    parts = {name: features[name].parts for name in MODALITIES}
    images = [parts[name].tokens.transpose(1, 2).reshape(2, 8, 4, 2) for name in MODALITIES]
    dense = torch.cat([model.back.slots[name].weight for name in MODALITIES], 1)
    expected = functional.conv2d(torch.cat(images, 1), dense, model.back.bias)
    torch.testing.assert_close(model._between([parts]), expected)


def test_tokens_of_a_modality_as_in_the_paper():
    model = network()
    features = model.encode(draw())["t2"]
    assert len(features.levels) == 3
    tokens = as_tokens(model.project["t2"](features.levels[-1]))
    expected = model.inside["t2"].layers[0](tokens + model.positions["t2"].table)
    torch.testing.assert_close(features.parts.tokens, expected)


def test_positions_are_added_again_between_modalities():
    model = network()
    seen = []
    model.between.layers[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    features = model.encode(draw())
    model.fuse(features, ("flair", "t2"))
    expected = [features[name].parts.tokens + model.positions[name].table for name in ("flair", "t2")]
    torch.testing.assert_close(seen[0], torch.cat(expected, 1))


def test_an_absent_modality_has_no_tokens():
    model = network()
    sizes = []
    model.between.layers[0].register_forward_pre_hook(lambda layer, inputs: sizes.append(inputs[0].shape[1]))
    features = model.encode(draw())
    for combination in (("t2",), ("flair", "t2"), MODALITIES):
        model.fuse(features, combination)
    assert sizes == [8, 16, 24]


def test_renaming_modalities_with_their_weights_changes_no_student():
    """A student of the published code got the tokens of another modality."""
    model, other = network(), network()
    turned = dict(zip(MODALITIES, MODALITIES[::-1], strict=True))
    state = {}
    for key, value in model.state_dict().items():
        state[".".join(turned.get(part, part) for part in key.split("."))] = value
    other.load_state_dict(state)
    images = draw()
    students = model.fuse_alone(model.encode(images), MODALITIES)
    renamed = {turned[name]: image for name, image in images.items()}
    for name, student in other.fuse_alone(other.encode(renamed), MODALITIES[::-1]).items():
        torch.testing.assert_close(student.logits, students[turned[name]].logits)


@pytest.mark.parametrize("space", [(16, 8), (32, 24)], ids=str)
def test_tokens_of_any_size(space):
    model = network()
    features = model.encode(draw(space))
    assert features["t2"].parts.tokens.shape == (2, space[0] * space[1] // 16, 8)
    assert model.fuse(features, MODALITIES).logits.isfinite().all()


def test_dropout_is_for_training_only():
    model = network()
    images = draw()
    first, second = (model.fuse(model.encode(images), MODALITIES).logits for _ in range(2))
    assert torch.equal(first, second)
    model.train()
    first, second = (model.fuse(model.encode(images), MODALITIES).logits for _ in range(2))
    assert not torch.allclose(first, second)
