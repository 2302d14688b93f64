import pytest
import torch
from torch import nn
from torch.nn import functional

from hga_cli.networks.channel_attention import Block
from hga_cli.networks.m2ftrans import M2FTrans
from hga_cli.networks.transformer import as_image, as_tokens

MODALITIES = ("flair", "t1ce", "t2")
N = 8
"""Tokens of a modality."""


def network():
    torch.manual_seed(0)
    model = M2FTrans(MODALITIES, 3, dims=2, width=4, levels=3, heads=2, hidden=8, depth=3, patch=(16, 8)).eval()
    for places in (*model.positions.values(), model.fusion_positions):
        nn.init.normal_(places.table)
    return model


def draw():
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, 1, 16, 8, generator=generator) for name in MODALITIES}


def masked_transformer(model, levels, present):
    """The published one: all tokens in one sequence, and a mask. Also returns the first attention."""
    tokens = [as_tokens(levels[name]) * (name in present) + model.positions[name].table for name in MODALITIES]
    fusion = (model.fusion_tokens.table + model.fusion_positions.table).expand(2, -1, -1)
    value = torch.cat([*tokens, fusion], 1)
    owner = torch.arange(len(MODALITIES) + 1).repeat_interleave(N)
    sees = owner[:, None] == owner[None]
    sees[-N:] = torch.tensor([name in present for name in (*MODALITIES,)] + [True]).repeat_interleave(N)
    first = None
    for layer in model.layers:
        query, key, looked = layer.split(value)
        scores = (query @ key.mT / query.shape[-1] ** 0.5).masked_fill(~sees, -torch.inf)
        first = scores.softmax(-1) if first is None else first
        value = layer.finish(value, scores.softmax(-1) @ looked)
    return value, first


@pytest.mark.parametrize("present", [("t1ce",), ("flair", "t2"), MODALITIES], ids="+".join)
def test_what_is_absent_is_left_out_as_a_mask_would(present):
    model = network()
    features = model.encode(draw())
    levels = {name: features[name].levels[-1] for name in MODALITIES}
    tokens, attention = masked_transformer(model, levels, present)
    fused, (weights,) = model._look([{name: features[name].parts for name in present}])
    torch.testing.assert_close(fused, as_image(tokens[:, -N:], (4, 2)), rtol=1e-4, atol=1e-5)
    looks = attention[:, :, -N:].sum((1, 2))
    for place, name in enumerate(MODALITIES):
        own = slice(place * N, (place + 1) * N)
        if name in present:
            torch.testing.assert_close(weights[name], looks[:, own].view(2, 1, 4, 2), rtol=1e-4, atol=1e-5)
            own_map = as_image(tokens[:, own], (4, 2))
            torch.testing.assert_close(features[name].parts.maps[0], own_map, rtol=1e-4, atol=1e-5)
        else:
            assert looks[:, own].abs().max() == 0
            assert name not in weights


def test_the_looks_of_all_heads_and_fusion_tokens_add_up():
    model = network()
    features = model.encode(draw())
    _, (weights,) = model._look([{name: features[name].parts for name in MODALITIES}])
    total = sum(weight.sum((1, 2, 3)) for weight in weights.values())
    assert (total > 0).all()
    assert (total < 2 * N).all()  # 2 heads; the rest is what fusion tokens see of each other
    assert not any(weight.requires_grad for weight in weights.values())


@pytest.mark.parametrize("present", [("t1ce",), ("flair", "t2")], ids="+".join)
def test_channels_look_at_what_is_there_as_a_mask_would(present):
    torch.manual_seed(0)
    block = Block(4, MODALITIES, dims=2).eval()
    query = torch.randn(2, 4, 4, 2)
    maps = {name: torch.randn(2, 4, 4, 2) for name in MODALITIES}
    keys = torch.cat([block.keys[name](maps[name]).flatten(2) for name in MODALITIES], 1)
    values = torch.cat([block.values[name](maps[name]).flatten(2) for name in MODALITIES], 1)
    there = torch.tensor([name in present for name in MODALITIES]).repeat_interleave(4)
    scores = (block.query(query).flatten(2) @ keys.mT / 8**0.5).masked_fill(~there, -torch.inf)
    seen = (scores.softmax(-1) @ values).view(2, 4, 4, 2)
    expected = block.change(query + block.project(seen))
    torch.testing.assert_close(block(query, [{name: maps[name] for name in present}]), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_places_reach_all_levels():
    """A skip is the sum over modalities of weight times level, enlarged by repetition."""
    model = network()
    features = model.encode(draw())
    parts = {name: features[name].parts for name in MODALITIES}
    raised, weights = model._look([parts])
    merge = model.merges[0]
    dense = torch.cat([merge.slots.slots[name].weight for name in MODALITIES], 1)
    weighed = [
        weights[0][name].repeat_interleave(4, 2).repeat_interleave(4, 3) * features[name].levels[0]
        for name in MODALITIES
    ]
    first = functional.conv2d(torch.cat(weighed, 1), dense, merge.slots.bias)
    expected = merge([[first - merge.slots.bias.view(-1, 1, 1)]])
    torch.testing.assert_close(model._skip([parts], weights, raised, 2), expected, rtol=1e-4, atol=1e-4)


def test_deep_predictions_in_training_only():
    model = network()
    features = model.encode(draw())
    assert model.fuse(features, MODALITIES).deep == ()
    deep = model.train().fuse(features, MODALITIES).deep
    assert [tuple(one.shape[2:]) for one in deep] == [(16, 8), (8, 4), (4, 2)]
