from itertools import permutations

import pytest
import torch
from torch import nn

from hga_cli.core.backbones import BACKBONES
from hga_cli.networks import unet
from hga_cli.networks.norm_relu import norm_relu
from hga_cli.networks.unet import EnsembleUNet

MODALITIES = ("flair", "t1ce", "t1", "t2")
SIZES = {
    "multiples of 16": (16, 32, 16),
    "odd": (33, 47, 29),
    "one slice": (64, 64, 1),
    "one line": (1, 1, 9),
    "one column": (1, 23, 1),
    "smaller than the stride": (2, 3, 9),
    "patch of T11": (20, 36, 20),
    "2D odd": (33, 47),
    "2D multiples of 16": (32, 16),
    "2D one line": (1, 30),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(modalities=MODALITIES, classes=3, *, dims=3, width=4):
    """A network whose norms differ: fresh ones are all alike, and a mix-up of modalities would not show."""
    torch.manual_seed(0)
    made = EnsembleUNet(modalities, classes, dims=dims, width=width)
    for module in made.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return made


def draw(names=MODALITIES, batch=2, space=(16, 8, 8), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, 1, *space, generator=generator) for name in names}


def parameters_of(model, name):
    """Names of the parameters that belong to one modality."""
    return {key for key, _ in model.named_parameters() if f".norms.{name}." in key}


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def test_number_of_parameters_as_published():
    model = EnsembleUNet(MODALITIES, 4, width=16)
    assert count(model.parameters()) == 3_245_252
    assert count(model.shared_parameters()) == 3_236_420


@pytest.mark.parametrize("dims", [2, 3])
def test_every_parameter_is_shared_or_belongs_to_one_modality(dims):
    model = network(dims=dims)
    shared = {id(parameter) for parameter in model.shared_parameters()}
    own = [parameters_of(model, name) for name in MODALITIES]
    assert len(shared) == 2 * (2 * 9 + 1)  # weight and bias of two convolutions in each of 9 blocks, and of the head
    assert {len(names) for names in own} == {2 * 2 * 9}
    rest = {key for key, parameter in model.named_parameters() if id(parameter) not in shared}
    assert rest == set.union(*own)
    assert sum(map(len, own)) == len(rest)


@pytest.mark.parametrize("classes", [2, 4, 7])
@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c"), MODALITIES, ("a", "b", "c", "d", "e")], ids=len)
@pytest.mark.parametrize("dims", [2, 3])
def test_any_number_of_modalities_and_classes(dims, modalities, classes):
    model = network(modalities, classes, dims=dims)
    space = (16, 16, 8)[:dims]
    prediction = model.fuse(model.encode(draw(modalities, space=space)), modalities)
    assert prediction.logits.shape == (2, classes, *space)
    assert prediction.feature.shape == (2, 4, *space)
    assert prediction.deep == ()
    assert prediction.logits.isfinite().all()
    assert model.modalities == modalities
    assert model.classes == classes


@pytest.mark.parametrize("width", [4, 6, 8, 16])
def test_widths(width):
    model = network(width=width)
    prediction = model.fuse(model.encode(draw(batch=1)), MODALITIES)
    assert prediction.logits.shape == (1, 3, 16, 8, 8)
    assert prediction.feature.shape == (1, width, 16, 8, 8)
    assert model.down[4].convolutions[1].out_channels == 8 * width


@pytest.mark.parametrize("space", SIZES.values(), ids=SIZES)
def test_every_size_comes_out_as_it_went_in(space):
    model = network(dims=len(space))
    prediction = model.fuse(model.encode(draw(("t1", "t2"), batch=1, space=space)), ("t1", "t2"))
    assert prediction.logits.shape == (1, 3, *space)
    assert prediction.feature.shape == (1, 4, *space)
    assert prediction.logits.isfinite().all()


@pytest.mark.parametrize("space", [(16, 16, 16), (33, 17, 18), (21, 16)], ids=str)
def test_every_voxel_of_the_output_sees_its_own_input(space):
    """Also behind the last whole multiple of 16, where pooling drops voxels and padding fills in."""
    model = network(dims=len(space)).eval()
    images = draw(("t1",), batch=1, space=space)
    corner = (0, 0, *(size - 1 for size in space))
    images["t1"].requires_grad_()
    logits = model.fuse(model.encode(images), ("t1",)).logits
    (gradient,) = torch.autograd.grad(logits[corner], images["t1"])
    assert gradient[corner] != 0


def test_one_voxel_at_the_deepest_level_still_carries_information():
    """8 x width channels in 8 groups: a norm of one voxel compares the channels of a group with each other."""
    model = network().eval()
    deepest = []
    model.down[4].register_forward_hook(lambda module, inputs, output: deepest.append(output))
    for seed in (1, 2):
        model.encode(draw(("t1",), batch=1, space=(16, 16, 16), seed=seed))
    assert deepest[0].shape == (1, 32, 1, 1, 1)
    assert deepest[0].abs().max() > 0
    assert not torch.allclose(*deepest)


@pytest.mark.parametrize(("width", "smallest"), [(4, 8), (8, 4), (16, 1)])
def test_the_smallest_patch(width, smallest):
    """Narrow networks have one channel per group at their fine levels, and a group needs two numbers.

    So one patch of 7 at width 4, or of 3 at width 8, is an error of torch. Prediction is not concerned: a smaller
    volume is padded to the window before the network sees it.
    """
    model = network(width=width)
    prediction = model.fuse(model.encode(draw(batch=1, space=3 * (smallest,))), MODALITIES)
    assert prediction.logits.isfinite().all()
    if smallest > 1:
        with pytest.raises(ValueError, match="Expected more than 1"):
            model.encode(draw(batch=1, space=3 * (smallest - 1,)))


def test_a_sample_does_not_see_the_others():
    model = network()
    images = draw(batch=3)
    together = model.fuse(model.encode(images), MODALITIES).logits
    for place in range(3):
        alone = model.fuse(model.encode({name: x[place : place + 1] for name, x in images.items()}), MODALITIES)
        torch.testing.assert_close(alone.logits[0], together[place])
    image = images["t1"].requires_grad_()
    (gradient,) = torch.autograd.grad(model.fuse(model.encode(images), MODALITIES).logits[0].sum(), image)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_modalities_are_encoded_at_once_as_one_by_one():
    model = network()
    images = draw()
    together = model.encode(images)
    assert tuple(together) == MODALITIES
    for name, image in images.items():
        for whole, single in zip(together[name], model.encode({name: image})[name], strict=True):
            torch.testing.assert_close(whole, single)


def test_norms_tell_modalities_apart_and_nothing_else_does():
    image = draw(("t1",))["t1"]
    model = network(("t1", "t2"))
    left, right = model.encode({"t1": image, "t2": image}).values()
    assert not torch.allclose(left[0], right[0])
    for block in (*model.down, *model.up):
        block.norms["t2"].load_state_dict(block.norms["t1"].state_dict())
    left, right = model.encode({"t1": image, "t2": image}).values()
    assert torch.equal(left[0], right[0])


def kept_bytes(model):
    """Bytes of all distinct values that are kept for the way back through ``encode``."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    images = {name: image.contiguous(memory_format=torch.channels_last_3d) for name, image in draw().items()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.encode(images)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_a_quarter_less_is_kept_for_the_way_back_than_with_plain_layers(monkeypatch):
    model = network(width=16).to(memory_format=torch.channels_last_3d)
    parameters = 4 * count(model.parameters())
    ours = kept_bytes(model) - parameters
    monkeypatch.setattr(unet, "convolved", lambda convolution, maps: convolution(torch.cat(list(maps), 1)))
    monkeypatch.setattr(
        unet, "norm_relu_convolution", lambda value, norms, convolution: convolution(norm_relu(value, norms))
    )
    plain = kept_bytes(model) - parameters
    assert ours < 0.78 * plain


def test_the_fused_prediction_is_the_mean_of_logits_and_features():
    model = network()
    features = model.encode(draw())
    for combination in (("flair", "t2"), ("t1ce", "t1", "t2"), MODALITIES):
        fused = model.fuse(features, combination)
        alone = [model.fuse(features, (name,)) for name in combination]
        torch.testing.assert_close(fused.logits, sum(one.logits for one in alone) / len(combination))
        torch.testing.assert_close(fused.feature, sum(one.feature for one in alone) / len(combination))
        torch.testing.assert_close(fused.deepest, sum(one.deepest for one in alone) / len(combination))
        assert [id(one) for one in fused.features] == [id(one.features[0]) for one in alone]  # no mean yet
    assert not torch.allclose(model.fuse(features, ("t1",)).logits, model.fuse(features, ("t2",)).logits)


@pytest.mark.parametrize("combination", [("t1",), ("flair", "t2"), ("t1ce", "t1", "t2")], ids="+".join)
def test_fuse_looks_only_at_its_combination(combination):
    model = network()
    features = model.encode(draw())
    expected = model.fuse(features, combination)
    spoilt = {
        name: parts if name in combination else tuple(torch.full_like(part, torch.nan) for part in parts)
        for name, parts in features.items()
    }
    fewer = {name: features[name] for name in combination}
    for given in (spoilt, fewer):
        assert torch.equal(model.fuse(given, combination).logits, expected.logits)
        assert torch.equal(model.fuse(given, combination).feature, expected.feature)


def test_what_is_not_given_changes_nothing():
    model = network()
    images = draw()
    whole = model.fuse(model.encode(images), ("t1", "t2"))
    part = model.fuse(model.encode({name: images[name] for name in ("t1", "t2")}), ("t1", "t2"))
    torch.testing.assert_close(part.logits, whole.logits)


def test_order_of_modalities_does_not_matter():
    model = network()
    images = draw()
    expected = model.fuse(model.encode(images), MODALITIES).logits
    for order in list(permutations(MODALITIES))[5::6]:
        mixed = model.fuse(model.encode({name: images[name] for name in order}), order).logits
        torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize("combination", [("flair",), ("t1ce", "t2"), MODALITIES], ids="+".join)
def test_the_gradient_reaches_what_is_there_and_nothing_else(combination):
    model = network()
    model.fuse(model.encode(draw(combination)), combination).logits.square().sum().backward()
    absent = set.union(set(), *(parameters_of(model, name) for name in MODALITIES if name not in combination))
    without = {key for key, parameter in model.named_parameters() if parameter.grad is None}
    assert without == absent
    still = {key for key, p in model.named_parameters() if p.grad is not None and not p.grad.abs().max() > 0}
    assert not still


def test_channels_last_gives_the_same():
    model = network()
    images = draw()
    expected = model.fuse(model.encode(images), MODALITIES).logits
    model.to(memory_format=torch.channels_last_3d)
    last = {name: image.contiguous(memory_format=torch.channels_last_3d) for name, image in images.items()}
    torch.testing.assert_close(model.fuse(model.encode(last), MODALITIES).logits, expected, rtol=1e-4, atol=1e-4)


def test_same_seed_same_weights():
    first, second = network(), network()
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_convolutions_start_from_kaiming_normal():
    torch.manual_seed(0)
    model = EnsembleUNet(MODALITIES, 4, width=16)
    weight = model.down[3].convolutions[1].weight  # 128 inputs, 27 places
    assert weight.std().item() == pytest.approx((2 / (128 * 27)) ** 0.5, rel=0.01)
    assert abs(weight.mean().item()) < 1e-3


def test_there_is_no_separate_decoder():
    model = network()
    assert model.decode_alone(model.encode(draw()), "t1") is None


def test_the_catalog_knows_it():
    assert BACKBONES.load("unet") is EnsembleUNet
