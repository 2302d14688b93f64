"""Methods that do not fit backbone or data set are refused by what their terms declare."""

import tomllib
from dataclasses import replace
from itertools import permutations

import pytest

from hga_cli.alignment.requirements import require_fit, require_mark
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import shipped
from hga_cli.core.config import differences, dump, resolve
from hga_cli.core.errors import ConfigError
from hga_cli.engine.objective import Objective

MODALITIES = ("flair", "t1ce", "t2")
METHODS = shipped("presets/methods")
MARKED = {name: tree for name in METHODS if "mark" in (tree := tomllib.loads(METHODS[name].read_text()))}
"""Method -> its file; of those that name the one setting without which they are another method."""
FITTING = {
    "mag-deepest": {"unet", "shaspec"},
    "shaspec": {"shaspec"},
    "shaspec-gss": {"shaspec"},
    "shaspec-hga": {"shaspec"},
    "shaspec-mag": {"shaspec"},
}
"""Method -> the backbones that it fits; all others fit every one."""


def value_of(tree):
    section, key = tree["mark"].split(".")
    return tree[section][key]


def method(name, *assignments):
    return resolve(flags={"method.name": name}, assignments=assignments).method


@pytest.mark.parametrize("backbone", BACKBONES.entries)
@pytest.mark.parametrize("name", shipped("presets/methods"))
def test_every_method_fits_or_is_refused(name, backbone):
    fitting = FITTING.get(name, set(BACKBONES.entries))
    if backbone in fitting:
        require_fit(method(name), backbone, MODALITIES)
        return
    with pytest.raises(ConfigError, match=f"method '{name}': term .* backbone '{backbone}' does not have") as caught:
        require_fit(method(name), backbone, MODALITIES)
    listed = caught.value.hint.partition(";")[0].removeprefix("--backbone ").split(" or ")
    assert set(listed) == fitting


def test_the_error_says_what_each_term_looks_at_and_how_to_do_without():
    with pytest.raises(ConfigError) as caught:
        require_fit(method("shaspec-mag"), "unet", MODALITIES)
    assert "'shared' looks at shared and specific features" in str(caught.value)
    assert "'features'" not in str(caught.value)
    _, without = caught.value.hint.split("; or ")
    words = without.replace("--set ", "").split()
    require_fit(method("shaspec-mag", *words), "unet", MODALITIES)


def test_a_term_without_weight_needs_nothing():
    off = method("mag-deepest", "method.terms.features.weight=0")
    require_fit(off, "dynunet", MODALITIES)


def test_a_leader_that_is_no_modality_of_the_data_set_is_refused():
    led = method("gss", "method.terms.group.options.leader=flaire")
    with pytest.raises(ConfigError, match="names 'flaire', which is no modality") as caught:
        require_fit(led, "unet", MODALITIES)
    assert "did you mean 'flair'" in caught.value.hint
    require_fit(method("gss", "method.terms.group.options.leader=t2"), "unet", MODALITIES)


@pytest.mark.parametrize(("name", "term"), [("hga", "fused"), ("hga", "deep"), ("shaspec-hga", "shared")])
def test_a_scale_of_the_fused_prediction_is_refused(name, term):
    """Nothing would be multiplied: beta, rho and omega are of modalities."""
    scaled = f"method.terms.{term}.scale=['beta']"
    with pytest.raises(ConfigError, match=f"term '{term}' .* which has no scale, found beta") as caught:
        require_fit(method(name, scaled), "shaspec", MODALITIES)
    require_fit(method(name, scaled, caught.value.hint.removeprefix("--set ")), "shaspec", MODALITIES)


@pytest.mark.parametrize("term", ["separate", "distillation", "compactness"])
def test_a_scale_of_modalities_is_allowed(term):
    require_fit(method("hga-published", f"method.terms.{term}.scale=['beta', 'omega']"), "unet", MODALITIES)


@pytest.mark.parametrize("kind", ["kl", "weighted_kl"])
def test_a_sum_over_the_batch_without_anything_to_add_up_is_refused(kind):
    chosen = ["method.terms.distillation.options.over_batch=true", f"method.terms.distillation.options.kind={kind}"]
    with pytest.raises(ConfigError, match=f"'over_batch' of term 'distillation' .* found kind '{kind}'") as caught:
        Objective(method("hga-published", *chosen), MODALITIES, seed=0)
    for repaired in caught.value.hint.replace("--set ", "").split(", or "):
        assert Objective(method("hga-published", *chosen, repaired), MODALITIES, seed=0).has_modalities


@pytest.mark.parametrize("weight", ["-1", "inf", "nan"])
def test_a_weight_that_rewards_distance_is_refused(weight):
    option = f"method.terms.compactness.options.compactness_weight={weight}"
    with pytest.raises(ConfigError, match=f"'compactness_weight' .* should be 0 or more, found {weight}"):
        Objective(method("hga-published", option), MODALITIES, seed=0)
    assert Objective(method("hga-published", option.replace(weight, "0")), MODALITIES, seed=0).has_modalities


def test_methods_that_one_other_setting_tells_apart_are_known():
    """All pairs of shipped methods that differ, but for their names, in one setting, which is none of ``[method]``."""
    trees = {name: dump(resolve(flags={"method.name": name})) for name in METHODS}
    found = {}
    for name, twin in permutations(METHODS, 2):
        other = [one for one in differences(trees[twin], trees[name]) if one[0] != "method.name"]
        if len(other) == 1 and not other[0][0].startswith("method."):
            found[name, twin] = other[0][0], other[0][2]
    expected = {(name, tree["twin"]): (tree["mark"], value_of(tree)) for name, tree in MARKED.items()}
    assert expected.items() <= found.items()
    assert found.keys() == expected.keys() | {(twin, name) for name, twin in expected}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_own_mark(name):
    require_mark(resolve(flags={"method.name": name}))
    require_mark(resolve(flags={"method.name": name}, recipe="brats"))


@pytest.mark.parametrize(("name", "other"), [("gmd", "pcgrad"), ("gmd-hga", "equal"), ("pdt", "mr2468")])
def test_a_method_without_its_mark_is_its_twin(name, other):
    """The hint gives the same training by its proper name, or the method as it is meant."""
    setting, twin_name, value = MARKED[name]["mark"], MARKED[name]["twin"], value_of(MARKED[name])
    lost = resolve(flags={"method.name": name, setting: other})
    with pytest.raises(ConfigError, match=f"'{name}' is made by {setting} = '{value}', found '{other}'") as caught:
        require_mark(lost)
    proper, _, kept = caught.value.hint.partition("; or ")
    assert proper.split() == ["--method", twin_name, "--set", f"{setting}={other}"]
    assert kept.split() == ["--set", f"{setting}={value}"]
    twin = resolve(flags={"method.name": twin_name, setting: other})
    require_mark(twin)
    assert replace(twin, method=replace(twin.method, name=name)) == lost
