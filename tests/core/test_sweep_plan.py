"""A list becomes runs: all combinations, once each, with names that never change."""

from itertools import product
from pathlib import Path

import pytest

from hga_cli.core.catalog import BALANCERS, shipped
from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError
from hga_cli.core.sweep_plan import LONGEST, members, read_sweep

WHOLE = """
dataset = "data/brats"
preset = "quick"
methods = ["joint", "hga"]
balancers = ["equal", "pcgrad"]
backbones = ["unet"]
tables = ["none", "mr2468"]
seeds = [1, 2]
axes = { "optim.learning_rate" = [1e-3, 2e-3] }
[settings.data]
patch = [16, 16, 16]
[settings]
optim.epochs = 3
optim.balancer_options = {}
"""


@pytest.fixture
def runs(tmp_path):
    def read(text, **more):
        file = tmp_path / "sweep.toml"
        file.write_text(text, encoding="utf-8")
        return members(read_sweep(file), file, **more)

    return read


def options(words):
    """The settings that the words of ``hga train`` resolve to, read as the command line reads them."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    keys = {
        "--method": "method.name",
        "--balancer": "optim.balancer",
        "--backbone": "network.backbone",
        "--imbalance": "data.imbalance",
        "--seed": "seed",
    }
    flags = {keys[word]: int(value) if word == "--seed" else value for word, value in pairs if word in keys}
    alone = dict(pairs)
    return resolve(
        recipe=alone.get("--preset"),
        file=Path(alone["--config"]) if "--config" in alone else None,
        assignments=[value for word, value in pairs if word == "--set"],
        flags=flags,
    )


def test_all_combinations_and_their_names(runs):
    found = runs(WHOLE)
    wanted = product(["joint", "hga"], ["equal", "pcgrad"], ["none", "mr2468"], [1, 2], [0.001, 0.002])
    assert [one.name for one in found] == [
        f"brats-{method}-{balancer}-unet-{table}-s{seed}-learning_rate-{rate}"
        for method, balancer, table, seed, rate in wanted
    ]
    for one in found:
        assert (one.config.optim.epochs, one.config.data.patch) == (3, (16, 16, 16))
        assert f"-{one.config.method.name}-{one.config.optim.balancer}-" in one.name
        assert one.name.endswith(f"-s{one.config.seed}-learning_rate-{one.config.optim.learning_rate}")


def test_words_say_what_the_settings_are(runs, tmp_path):
    """What ``hga train`` makes of its options is what was checked."""
    (tmp_path / "more.toml").write_text('optim.momentum = 0.5\n[network.options]\nquoted = "a \\"b\\" $c"\n')
    for one in runs(WHOLE, config=tmp_path / "more.toml", assignments=["optim.epochs=7"]):
        assert options(one.words) == one.config
        assert one.config.optim.epochs == 7
        assert one.config.optim.momentum == 0.5


def test_names_do_not_depend_on_what_else_is_in_the_list(runs):
    few = runs('dataset = "brats"\nmethods = ["joint"]\nseeds = [1]')
    many = runs('dataset = "brats"\nmethods = ["hga", "joint"]\nseeds = [2, 1]\nbalancers = ["pcgrad", "equal"]')
    assert [one.name for one in few] == ["brats-joint-equal-unet-s1"]
    assert few[0].config in [one.config for one in many if one.name == few[0].name]


def test_groups_add_up_and_what_is_twice_is_there_once(runs):
    found = runs(
        'dataset = "brats"\nname = "x"\nmethods = ["joint"]\nseeds = [1]\n'
        '[[group]]\nmethods = ["joint", "hga"]\n[[group]]\nbalancers = ["equal", "agm"]\n'
    )
    assert [one.name for one in found] == [
        "x-joint-equal-unet-s1",
        "x-hga-equal-unet-s1",
        "x-joint-agm-unet-s1",
    ]


def test_lists_as_values(runs):
    (one,) = runs('dataset = "brats"\naxes = { "data.patch" = [[16, 32, 16]] }')
    assert one.name == "brats-hga-equal-unet-s1037-patch-16x32x16"
    assert one.config.data.patch == (16, 32, 16)


def test_long_names_are_cut_and_stay_apart(runs):
    found = runs(f'dataset = "brats"\nname = "{"n" * 95}"\nseeds = [1, 2]')
    assert [len(one.name) for one in found] == [LONGEST, LONGEST]
    assert found[0].name != found[1].name


def test_settings_of_a_method_are_laid_over_it(runs):
    """Unlike the terms of a file for ``-c``, which are all terms."""
    (one,) = runs('dataset = "brats"\nmethods = ["joint"]\n[settings.method.terms.fused]\nweight = 0.5')
    shipped_one = resolve(flags={"method.name": "joint"}).method
    assert one.config.method.terms.keys() == shipped_one.terms.keys()
    assert one.config.method.terms["fused"].weight == 0.5 != shipped_one.terms["fused"].weight


def test_a_method_of_a_file_may_stand_in_the_list(runs, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[method]\nname = "mine"\n[method.terms.fused]\nweight = 1.0\n', encoding="utf-8")
    found = runs('dataset = "brats"\nmethods = ["joint", "mine"]', config=file)
    assert [(one.config.method.name, len(one.config.method.terms)) for one in found][1] == ("mine", 1)
    assert found[0].config.method == resolve(flags={"method.name": "joint"}).method
    assert [options(one.words) for one in found] == [one.config for one in found]


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("methods = []", "'dataset' is not said", 'dataset = "NAME"'),
        ('dataset = "a"\nmethod = ["hga"]', "no key 'method'", "did you mean 'methods'?"),
        ('dataset = "a"\n[[group]]\nbalancer = ["equal"]', "no key 'group.0.balancer'", "did you mean 'balancers'?"),
        ('dataset = "a"\nmethods = "hga"', "'methods'", "brackets"),
        ('dataset = "a"\nmethods = ["hgaa"]', "no method called 'hgaa'", "did you mean 'hga'?"),
        ('dataset = "a"\nbalancers = ["pcgra"]', "no balancer called 'pcgra'", "did you mean 'pcgrad'?"),
        ('dataset = "a"\n[[group]]\nbackbones = ["unett"]', "no backbone called 'unett'", "did you mean 'unet'?"),
        ('dataset = "a"\npreset = "quik"', "no preset called 'quik'", "did you mean 'quick'?"),
        ('dataset = "a"\nseeds = [-1]', "'seeds.0'", "brackets"),
        ('dataset = "a"\nsettings = { optim.epoch = 1 }', "no setting called 'optim.epoch'", "did you mean 'epochs'?"),
        ('dataset = "a"\naxes = { "optim.power" = [-1] }', "setting 'optim.power'", "optim.power"),
        ('dataset = "a"\naxes = { "optim.power" = [] }', "has no value", "leave it out"),
        ('dataset = "a"\naxes = { seed = [1] }', "'seed' has a list of its own", "seeds = [...]"),
        ('dataset = "a"\naxes = { "data.split" = ["a b", "a_b"] }', "would be called", "differ"),
        ("dataset = ", "is not a TOML file", "quotes"),
    ],
)
def test_mistakes_are_explained(runs, text, says, hint):
    with pytest.raises(ConfigError) as caught:
        runs(text)
    assert "sweep.toml'" in caught.value.message
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match="no file"):
        read_sweep(tmp_path / "absent.toml")


def test_sample_has_every_method_and_balancer():
    """A method or balancer that is new belongs into ``sample_data/sweep.toml``."""
    file = Path(__file__).parents[2] / "sample_data" / "sweep.toml"
    found = [one.config for one in members(read_sweep(file), file)]
    assert {config.method.name for config in found} == set(shipped("presets/methods"))
    assert {config.optim.balancer for config in found} == set(BALANCERS.entries)
