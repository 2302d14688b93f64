"""What every backbone has to keep to, whatever it computes."""

from contextlib import nullcontext

import pytest
import torch

from hga_cli.core.backbones import BACKBONES, Ability
from hga_cli.core.errors import ConfigError
from hga_cli.engine.network import recompute

EDGE = {"dynunet": 16, "dynunet_early": 16, "shaspec": 32, "swinunetr": 32, "swinunetr_early": 32}
"""Backbone -> edge of a small patch, where the first edge is twice as long."""
TINY = {
    "dynunet": {"width": 2},
    "dynunet_early": {"width": 2},
    "m2ftrans": {"width": 4, "levels": 3, "heads": 2, "hidden": 8, "depth": 2},
    "mmformer": {"width": 2, "levels": 3, "channels": 8, "heads": 2, "hidden": 8, "depth": 2},
    "rfnet": {"width": 4, "levels": 3},
    "shaspec": {"width": 2},
    "swinunetr": {"width": 12},
    "swinunetr_early": {"width": 12},
    "unet": {"width": 4},
}
ANY_PATCH = {"unet"}
SEPARATE = {name for name, facts in BACKBONES.entries.items() if facts.separate}
PROBLEMS = {"2D M=3 K=6": (2, 3, 6), "2D M=5 K=2": (2, 5, 2), "3D M=4 K=4": (3, 4, 4)}
NAMES = ("flair", "t1ce", "t1", "t2", "dp")

TERM_OF_ITS_OWN = {"shaspec": {"classifier.weight", "classifier.bias"}}
"""Backbone -> parameters that only a loss term of its own trains."""
SLOW_IN_3D = {"swinunetr", "swinunetr_early"}
"""Backbones of MONAI that have their tests in 3D in a file of their own."""
PAIRS = [
    pytest.param(name, problem, id=f"{name}-{label}")
    for name in sorted(BACKBONES.entries)
    for label, problem in PROBLEMS.items()
    if problem[0] == 2 or name not in SLOW_IN_3D
]

every_backbone = pytest.mark.parametrize("name", sorted(BACKBONES.entries))
every_pair = pytest.mark.parametrize(("name", "problem"), PAIRS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(name, problem):
    """A small one, in evaluation, whose weights are all different from 0: fresh positions and biases are often not."""
    dims, modalities, classes = problem
    torch.manual_seed(0)
    made = BACKBONES.load(name)(NAMES[:modalities], classes, dims=dims, **TINY[name]).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return made


def patch(name, dims):
    edge = EDGE.get(name, 8)
    return (2 * edge, edge, edge)[:dims]


def draw(names, space, *, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, 1, *space, generator=generator) for name in names}


def everything(prediction):
    return (prediction.logits, prediction.feature, *prediction.deep)


def assert_same(left, right):
    for one, other in zip(everything(left), everything(right), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def combinations(names):
    return [(names[1],), (names[0], names[2]), names]


def trained(model, images, combination):
    """Names of the parameters that training on a combination reaches."""
    model.zero_grad(set_to_none=True)
    features = model.encode(images)
    fused = model.fuse(features, combination)
    outputs = [fused.logits, *fused.deep]
    for name in combination:
        alone = model.decode_alone(features, name)
        outputs += [alone] if alone is not None else []
    torch.stack([one.square().sum() for one in outputs]).sum().backward()
    return {key for key, parameter in model.named_parameters() if parameter.grad is not None}


def test_the_tables_of_this_file_are_complete():
    assert TINY.keys() == BACKBONES.entries.keys()


@every_backbone
def test_number_of_parameters(name):
    """As listed; where that is not the published number, the table says why."""
    reads_numbers_while_it_is_built = name.startswith("swinunetr")
    with nullcontext() if reads_numbers_while_it_is_built else torch.device("meta"):
        model = BACKBONES.load(name)(NAMES[:4], 4)
    facts = BACKBONES.check(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == facts.parameters
    assert bool(facts.reason) == (facts.parameters != facts.published)


@every_pair
def test_fusion_is_where_the_list_says(name, problem):
    """Early: nothing is computed before it. Late: the mean of logits."""
    model = network(name, problem)
    images = draw(model.modalities, patch(name, problem[0]))
    features = model.encode(images)
    alone = torch.stack([model.fuse(features, (modality,)).logits for modality in model.modalities])
    fused = model.fuse(features, model.modalities).logits
    is_early = all(features[modality] is images[modality] for modality in model.modalities)
    is_late = torch.allclose(alone.mean(0), fused, rtol=1e-3, atol=1e-4)
    assert (is_early, is_late) == (BACKBONES.check(name).fusion == "early", BACKBONES.check(name).fusion == "late")


@every_backbone
def test_what_can_be_computed_again_is_that_of_the_list(name):
    model = network(name, (2, 3, 6))
    refusal = pytest.raises(ConfigError, match=f"backbone '{name}' has no blocks that can be computed again")
    with nullcontext() if BACKBONES.check(name).recompute else refusal:
        recompute(model, name)


@every_pair
def test_abilities_are_those_of_the_list(name, problem):
    model = network(name, problem)
    prediction = model.fuse(model.encode(draw(model.modalities, patch(name, problem[0]))), model.modalities)
    assert problem[0] in BACKBONES.check(name).dims
    abilities = BACKBONES.check(name).abilities
    assert (prediction.deepest is not None) == (Ability.DEEPEST in abilities)
    assert hasattr(prediction, "shared") == (Ability.DISENTANGLED in abilities)


@every_backbone
def test_patches_of_the_listed_multiple_fit(name):
    """And of half of it do not; with the levels of the backbone itself."""
    edge = BACKBONES.check(name).multiple
    settings = {key: value for key, value in TINY[name].items() if key != "levels"}
    kind = BACKBONES.load(name)
    if name in ANY_PATCH:
        assert edge == 1
        return
    kind(NAMES[:2], 2, dims=2, **settings, patch=(2 * edge, edge))
    for wrong in ((2 * edge, edge // 2), (edge, edge)):
        with pytest.raises(ConfigError, match="does not fit"):
            kind(NAMES[:2], 2, dims=2, **settings, patch=wrong)


@every_pair
def test_an_absent_modality_changes_nothing(name, problem):
    model = network(name, problem)
    images = draw(model.modalities, patch(name, problem[0]))
    for combination in combinations(model.modalities):
        present = {modality: images[modality] for modality in combination}
        expected = model.fuse(model.encode(present), combination)
        spoilt = {m: image if m in combination else image * torch.nan for m, image in images.items()}
        assert_same(model.fuse(model.encode(spoilt), combination), expected)
        assert all(value.isfinite().all() for value in everything(expected))


@every_pair
def test_a_present_modality_changes_the_prediction(name, problem):
    model = network(name, problem)
    images = draw(model.modalities, patch(name, problem[0]))
    other = draw(model.modalities, patch(name, problem[0]), seed=2)
    expected = model.fuse(model.encode(images), model.modalities).logits
    for modality in model.modalities:
        changed = model.fuse(model.encode({**images, modality: other[modality]}), model.modalities).logits
        assert (changed - expected).abs().max() > 1e-3


@every_pair
def test_a_sample_does_not_see_the_others(name, problem):
    model = network(name, problem)
    images = draw(model.modalities, patch(name, problem[0]), batch=3)
    together = model.fuse(model.encode(images), model.modalities)
    alone = model.fuse(model.encode({m: image[1:2] for m, image in images.items()}), model.modalities)
    for one, many in zip(everything(alone), everything(together), strict=True):
        torch.testing.assert_close(one[0], many[1], rtol=1e-3, atol=1e-4)


@every_pair
def test_the_order_of_modalities_does_not_matter(name, problem):
    model = network(name, problem)
    images = draw(model.modalities, patch(name, problem[0]))
    expected = model.fuse(model.encode(images), model.modalities)
    turned = model.modalities[::-1]
    one_by_one = {}
    for modality in turned:
        one_by_one |= model.encode({modality: images[modality]})
    assert_same(model.fuse(one_by_one, model.modalities), expected)
    assert_same(model.fuse(model.encode({m: images[m] for m in turned}), turned), expected)


@every_pair
def test_alone_is_fused_from_one(name, problem):
    """All students at once, each from its own features only."""
    model = network(name, problem)
    features = model.encode(draw(model.modalities, patch(name, problem[0])))
    chosen = model.modalities[1:]
    students = model.fuse_alone(features, chosen)
    assert tuple(students) == chosen
    for modality in chosen:
        assert_same(students[modality], model.fuse({modality: features[modality]}, (modality,)))


@pytest.mark.parametrize("name", sorted(SEPARATE))
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_groups_in_one_pass_are_each_on_its_own(name, problem):
    """What a GPU does with students."""
    model = network(name, problem)
    features = model.encode(draw(model.modalities, patch(name, problem[0])))
    first, second, third, *_ = model.modalities
    for groups in ([(first, second), (second, third), (third, first)], [(third,), (first,)]):
        for group, prediction in zip(groups, model.fuse_groups(features, groups), strict=True):
            assert_same(prediction, model.fuse(features, group))


@every_pair
@pytest.mark.parametrize("space", [(33, 47, 29), (64, 40, 1), (21, 16, 18)], ids=str)
def test_every_size_comes_out_as_it_went_in(name, problem, space):
    dims, _, classes = problem
    model = network(name, problem)
    space = space[:dims]
    images = draw(model.modalities[:2], space, batch=1)
    with torch.inference_mode():
        features = model.encode(images)
        prediction = model.fuse(features, tuple(images))
        alone = model.decode_alone(features, model.modalities[0])
    assert prediction.logits.shape == (1, classes, *space)
    assert prediction.feature.shape[2:] == space
    assert prediction.logits.isfinite().all()
    assert alone is None or alone.shape == prediction.logits.shape


@every_pair
def test_deep_predictions_while_training(name, problem):
    dims, _, classes = problem
    model = network(name, problem).train()
    space = patch(name, dims)
    features = model.encode(draw(model.modalities[:2], space))
    for prediction in (
        model.fuse(features, model.modalities[:2]),
        *model.fuse_alone(features, model.modalities[:2]).values(),
    ):
        assert prediction.logits.shape == (2, classes, *space)
        deepest = 2 ** (TINY[name]["levels"] - 1) if "levels" in TINY[name] else max(space)
        factors = [factor for factor in BACKBONES.check(name).deep if factor <= deepest]
        wanted = [(2, classes, *(edge // factor for edge in space)) for factor in factors]
        assert [one.shape for one in prediction.deep] == wanted


@every_pair
def test_separate_decoder(name, problem):
    model = network(name, problem)
    features = model.encode(draw(model.modalities, patch(name, problem[0])))
    alone = model.decode_alone(features, model.modalities[0])
    assert (alone is not None) == (name in SEPARATE)
    if alone is not None:
        assert alone.shape == (2, problem[2], *patch(name, problem[0]))
        assert torch.equal(
            model.decode_alone({model.modalities[0]: features[model.modalities[0]]}, model.modalities[0]), alone
        )
        assert not torch.allclose(alone, model.decode_alone(features, model.modalities[1]))


@every_pair
def test_the_gradient_reaches_what_is_there_and_nothing_else(name, problem):
    """Shared is exactly what every modality trains; the rest belongs to one modality, and only that one trains it."""
    model = network(name, problem).train()
    images = draw(model.modalities, patch(name, problem[0]))
    reached = {m: trained(model, {m: images[m]}, (m,)) for m in model.modalities}
    shared = set.intersection(*reached.values())
    declared = {id(parameter) for parameter in model.shared_parameters()}
    elsewhere = TERM_OF_ITS_OWN.get(name, set())
    assert shared | elsewhere == {key for key, parameter in model.named_parameters() if id(parameter) in declared}
    own = [reached[m] - shared for m in model.modalities]
    assert sum(map(len, own)) == len(set.union(*own))
    assert set.union(elsewhere, *reached.values()) == {key for key, _ in model.named_parameters()}
    for combination in combinations(model.modalities):
        expected = set.union(*(reached[m] for m in combination))
        assert trained(model, {m: images[m] for m in combination}, combination) == expected


@every_pair
def test_weights_can_be_saved_and_loaded(name, problem):
    model = network(name, problem)
    features = draw(model.modalities, patch(name, problem[0]))
    fresh = BACKBONES.load(name)(model.modalities, problem[2], dims=problem[0], **TINY[name]).eval()
    before = fresh.fuse(fresh.encode(features), model.modalities).logits
    fresh.load_state_dict(model.state_dict())
    expected = model.fuse(model.encode(features), model.modalities)
    assert not torch.allclose(before, expected.logits)
    assert torch.equal(fresh.fuse(fresh.encode(features), model.modalities).logits, expected.logits)


@every_pair
def test_the_layout_in_memory_does_not_matter(name, problem):
    model = network(name, problem)
    layout = torch.channels_last_3d if problem[0] == 3 else torch.channels_last
    images = draw(model.modalities, patch(name, problem[0]))
    expected = model.fuse(model.encode(images), model.modalities)
    model.to(memory_format=layout)
    turned = {modality: image.contiguous(memory_format=layout) for modality, image in images.items()}
    assert_same(model.fuse(model.encode(turned), model.modalities), expected)


@every_backbone
def test_the_same_seed_gives_the_same_weights(name):
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(BACKBONES.load(name)(NAMES[:2], 2, dims=2, **TINY[name]))
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)


@every_backbone
def test_a_patch_that_does_not_fit_is_refused_before_training(name):
    if name in ANY_PATCH:
        pytest.skip("takes every patch")
    kind = BACKBONES.load(name)
    with pytest.raises(ConfigError, match="patch of 20x36x20 does not fit") as caught:
        kind(NAMES[:2], 2, **{**TINY[name], "patch": (20, 36, 20)} | ({"levels": 4} if name in SEPARATE else {}))
    assert caught.value.hint.startswith("set data.patch = [")
