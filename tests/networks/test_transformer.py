import pytest
import torch

from hga_cli.networks.transformer import Layer, Places, as_image, as_tokens


def test_tokens_go_back_to_their_places():
    image = torch.randn(2, 3, 4, 5, 6)
    tokens = as_tokens(image)
    assert torch.equal(as_image(tokens, (4, 5, 6)), image)
    assert torch.equal(tokens[:, 1 * 30 + 2 * 6 + 3], image[:, :, 1, 2, 3])


def test_a_layer_as_in_the_paper():
    """Pre-norm attention and perceptron, written down with the attention matrix."""
    torch.manual_seed(0)
    layer = Layer(8, 2, 16).eval()
    tokens = torch.randn(3, 5, 8)
    normed = torch.nn.functional.layer_norm(tokens, (8,), layer.norm.weight, layer.norm.bias)
    query, key, value = (normed @ part.T for part in layer.query_key_value.weight.chunk(3))
    seen = []
    for head in (slice(0, 4), slice(4, 8)):
        attention = (query[..., head] @ key[..., head].mT / 2).softmax(-1)
        seen.append(attention @ value[..., head])
    middle = tokens + torch.cat(seen, -1) @ layer.project.weight.T + layer.project.bias
    torch.testing.assert_close(layer(tokens), middle + layer.perceptron(middle))
    looked, attention = layer.attend(*layer.split(tokens))
    torch.testing.assert_close(layer.finish(tokens, looked), layer(tokens))
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 2, 5))


def test_places_of_another_grid_are_interpolated():
    places = Places((3, 3), 2)
    with torch.no_grad():
        places.table.copy_(torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)))
    assert torch.equal(places((3, 3))[0], places.table)
    expected = torch.cartesian_prod(torch.linspace(0, 2, 5), torch.linspace(0, 2, 2))
    torch.testing.assert_close(places((5, 2))[0], expected)


@pytest.mark.parametrize(("spread", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_first_values_of_places(spread, expected):
    torch.manual_seed(0)
    assert Places((16, 16, 4), 8, spread=spread).table.std().item() == pytest.approx(expected, rel=0.05)
