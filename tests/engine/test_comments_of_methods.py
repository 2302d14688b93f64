"""What the comments of shipped methods tell to type is read from there, and trained."""

import math
import re

import pytest
from _comments import PROSE, arguments, commands, comment
from _training import CASES, MODALITIES, TINY, make_store, planned, training_of

from hga_cli.core.catalog import shipped
from hga_cli.core.config import resolve
from hga_cli.engine.objective import Objective

METHODS = shipped("presets/methods")
COMMANDS = [(method, name, options) for method in METHODS for name, options in commands(comment(METHODS[method]))]
TOLD = {name: options for method, name, options in COMMANDS if method == "hga-published"}
ABLATIONS = [
    ("only the interpolation", {"fused", "separate", "deep"}, "interpolation", set()),
    ("only self-distillation", {"fused", "separate", "deep", "distillation", "compactness"}, "none", set()),
    ("of pixels only", {"fused", "separate", "deep", "distillation"}, "none", set()),
    ("of all scales only", {"fused", "separate", "deep", "distillation"}, "none", set()),
    ("of prototypes only", {"fused", "separate", "deep", "compactness"}, "none", set()),
    ("only the preference", {"fused", "separate", "deep"}, "none", {"separate"}),
    (
        "other orders of a cycle",
        {"fused", "separate", "deep", "distillation", "compactness"},
        "interpolation",
        {"distillation", "compactness"},
    ),
]
"""Of hga-published: name, terms, outer update, terms with a scale."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("comments") / "store", table=CASES | {"case-0": ("flair", "t2")})


def told(method, options, **changes):
    """Tiny settings of a method with the options of a comment."""
    assignments, flags = arguments(options)
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return resolve(assignments=assignments, flags={"method.name": method, **TINY, **dotted, **flags})


def learns(store, config):
    """Do two steps with the first batch that has two modalities or more, and return the losses."""
    made, patches = training_of(planned(store, config))
    batch = next(patches[step] for step in range(14) if len(patches[step].combination) > 1)
    return [made.learn(batch) for _ in range(2)]


@pytest.mark.parametrize("folder", ["methods", "recipes"])
def test_no_option_in_a_comment_is_missed(folder):
    for preset, path in shipped(f"presets/{folder}").items():
        found = [name for name in re.findall(r"--[a-z-]+", comment(path)) if name not in PROSE]
        read = [name for method, _, options in COMMANDS if method == preset for name, _ in options]
        assert set(found) == set(read), preset
        assert len(found) <= len(read), preset


@pytest.mark.parametrize(
    ("method", "options"),
    [pytest.param(method, options, id=f"{method}: {name}") for method, name, options in COMMANDS],
)
def test_what_comments_tell_is_another_training(store, method, options):
    config = told(method, options)
    assert (config == told(method, [])) == (options == [("--method", method)])
    assert all(math.isfinite(loss) for loss in learns(store, config))


@pytest.mark.parametrize(("name", "terms", "outer", "scaled"), ABLATIONS)
def test_ablations_are_values(name, terms, outer, scaled):
    method = told("hga-published", TOLD[name]).method
    weighted = {term: one for term, one in method.terms.items() if one.weight > 0}
    assert weighted.keys() == terms
    assert method.outer.kind == outer
    assert {term for term, one in weighted.items() if one.scale} == scaled
    Objective(method, MODALITIES, seed=0)
    assert method.terms["distillation"].options.get("deep", True) == (name != "of pixels only")


def test_all_ablations_are_checked():
    others = {"Parts of it alone, each by", "without any imbalance"}
    assert TOLD.keys() == {name for name, *_ in ABLATIONS} | others


def test_without_any_imbalance(store):
    """The only table of the store hides t1ce of case-0, unless the comment is followed."""
    options = TOLD["without any imbalance"]
    assert planned(store, told("hga-published", [])).available["case-0"] == ("flair", "t2")
    assert planned(store, told("hga-published", options)).available == CASES


@pytest.mark.parametrize(("backbone", "width", "patch"), [("dynunet", 2, [32, 16]), ("swinunetr", 12, [64, 32])])
def test_hga_for_one_network_per_modality(store, backbone, width, patch):
    """HGA of nnU-Net and SwinUNETR (spec 4.4), from the comment of hga-late."""
    *_, options = (options for method, _, options in COMMANDS if method == "hga-late")
    assert options[0] == ("--method", "hga-published")
    config = told(
        "hga-late", options, network__backbone=backbone, network__dims=2, network__width=width, data__patch=patch
    )
    terms = config.method.terms
    assert (config.method.sampler.kind, config.method.outer.kind) == ("cycle", "interpolation")
    assert {name: one.scale for name, one in terms.items()} == {
        "fused": (),
        "deep": (),
        "separate": ("beta",),
        "distillation": ("beta",),
        "compactness": ("rho",),
    }
    assert {name: terms[name].weight for name in ("fused", "separate", "distillation", "compactness")} == {
        "fused": 1.0,
        "separate": 1.0,
        "distillation": 0.5,
        "compactness": 0.02,
    }
    assert terms["distillation"].options["kind"] == "weighted_kl"
    assert terms["fused"].options == terms["separate"].options == {"over_batch": True}
    assert all(math.isfinite(loss) for loss in learns(store, config))
