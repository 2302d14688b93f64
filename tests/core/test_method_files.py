"""A file that lists terms is the method: nothing that was deleted comes back, and it may have a name of its own."""

import re
from dataclasses import replace

import pytest

from hga_cli.core.catalog import shipped
from hga_cli.core.config import dump, resolve, to_toml
from hga_cli.core.errors import ConfigError, UsageError
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Method, Term
from hga_cli.core.sweep_plan import members, read_sweep

METHODS = shipped("presets/methods")
PUBLISHED = resolve(flags={"method.name": "hga-published"}).method


@pytest.mark.parametrize("recipe", shipped("presets/recipes"))
def test_a_recipe_gives_every_method_the_same_steps(recipe):
    optims = [resolve(recipe=recipe, flags={"method.name": method}).optim for method in METHODS]
    ((epochs, iterations),) = {(optim.epochs, optim.iterations) for optim in optims}
    assert epochs * iterations > 0


class Heard(Silent):
    """Keeps what is warned of."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def copied(tmp_path):
    """A shipped method in a file, with parts of its text replaced."""

    def copy(name, changes):
        text = METHODS[name].read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return copy


def named(method, name="mine"):
    return {f'name = "{method}"': f'name = "{name}"'}


@pytest.mark.parametrize("name", ["hga-published", "mine"])
def test_a_term_that_is_deleted_stays_away(copied, name):
    file = copied("hga-published", {"[method.terms.deep]\nweight = 1.0\n": "", **named("hga-published", name)})
    terms = resolve(file=file).method.terms
    assert set(terms) == set(PUBLISHED.terms) - {"deep"}
    assert terms["distillation"] == PUBLISHED.terms["distillation"]


@pytest.mark.parametrize("name", ["hga-published", "mine"])
def test_a_key_of_a_term_that_is_deleted_has_its_default(copied, name):
    gone = {'scale = ["beta"]\n': "", 'options = { kind = "kl", temperature = 4.0 }\n': "", "weight = 0.5\n": ""}
    terms = resolve(file=copied("hga-published", gone | named("hga-published", name))).method.terms
    assert terms["distillation"] == Term()
    assert terms["compactness"].scale == ("rho",)


def test_one_term_is_a_list_of_one(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[method.terms.fused]\nweight = 2\n", encoding="utf-8")
    for name in ("hga-published", "passion"):
        method = resolve(file=file, flags={"method.name": name}).method
        assert method.terms == {"fused": Term(weight=2.0)}
        assert replace(method, terms={}) == replace(resolve(flags={"method.name": name}).method, terms={})


def test_what_a_method_of_ones_own_does_not_say_is_the_default(tmp_path):
    """Not what hga has, whose draws nobody asked for."""
    file = tmp_path / "mine.toml"
    file.write_text('[method]\nname = "mine"\n[method.terms.fused]\n', encoding="utf-8")
    assert resolve(file=file).method == Method(name="mine", terms={"fused": Term()})


def test_assignments_change_single_values_of_the_file(copied):
    file = copied("hga-published", {"[method.terms.deep]\nweight = 1.0\n": "", "weight = 0.5": "weight = 0.7"})
    changed = ["method.terms.distillation.options.temperature=2", "method.terms.similarity.weight=0"]
    terms = resolve(file=file, assignments=changed).method.terms
    assert (terms["distillation"].weight, terms["distillation"].scale) == (0.7, ("beta",))
    assert terms["distillation"].options == {"kind": "kl", "temperature": 2}
    assert (terms["similarity"].weight, "deep" in terms) == (0.0, False)


@pytest.mark.parametrize("recipe", [None, "myops"])
@pytest.mark.parametrize("method", METHODS)
def test_a_copy_by_another_name_is_the_same_method(copied, method, recipe):
    own = resolve(recipe=recipe, file=copied(method, named(method)))
    shipped_one = resolve(recipe=recipe, file=copied(method, {}))
    assert own.method.name == "mine"
    assert replace(own, method=replace(own.method, name=method)) == shipped_one


def test_the_config_of_a_run_with_its_own_method_reads_back(copied, tmp_path):
    config = resolve(file=copied("gmd", {"[method.terms.deep]\nweight = 1.0\n": "", **named("gmd")}))
    again = tmp_path / "config.toml"
    again.write_text(to_toml(config), encoding="utf-8")
    assert resolve(file=again) == resolve(file=again, flags={"method.name": "mine"}) == config
    assert dump(config)["method"]["name"] == "mine"


def test_a_sweep_runs_a_method_of_a_file(copied, tmp_path):
    file, sweep = copied("hga-published", named("hga-published")), tmp_path / "sweep.toml"
    sweep.write_text('dataset = "brats"\nseeds = [1, 2]\n', encoding="utf-8")
    runs = members(read_sweep(sweep), sweep, config=file)
    assert [one.name for one in runs] == ["brats-mine-equal-unet-s1", "brats-mine-equal-unet-s2"]
    assert [one.config.method for one in runs] == [resolve(file=file).method] * 2
    assert all(str(file) in one.words for one in runs)


@pytest.mark.parametrize("name", ["my method", "../mine", "a/b", "-x", "mine.2", ""])
def test_a_name_that_is_no_name_is_refused(copied, name):
    with pytest.raises(ConfigError, match=r"setting 'method\.name'.*" + re.escape(repr(name))):
        resolve(file=copied("hga-published", named("hga-published", name)))


def test_a_name_without_terms_has_to_be_a_shipped_one(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[method]\nname = "joit"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="no method called 'joit'") as caught:
        resolve(file=file)
    assert caught.value.hint.startswith("did you mean 'joint'?")
    assert "list its terms in a file" in caught.value.hint


def test_a_flag_may_name_the_method_of_the_file_and_no_other_of_ones_own(copied):
    file = copied("hga-published", named("hga-published"))
    assert resolve(file=file, flags={"method.name": "mine"}) == resolve(file=file)
    with pytest.raises(UsageError, match="no method called 'yours'"):
        resolve(file=file, flags={"method.name": "yours"})


def test_an_empty_list_of_terms_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[method]\nname = "mine"\n[method.terms]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="an empty table, expected at least one term"):
        resolve(file=file)


@pytest.mark.parametrize("name", ["hga-published", "mine"])
def test_another_method_than_that_of_the_file_is_told(copied, name):
    file, heard = copied("hga-published", named("hga-published", name)), Heard()
    assert resolve(file=file, flags={"method.name": "joint"}, progress=heard).method == joint()
    assert len(heard.warnings) == 1
    for word in (f"'{file}'", f"'{name}'", "'joint'", "method.sampler", "method.outer", "method.terms"):
        assert word in heard.warnings[0]


def test_settings_of_a_method_that_a_flag_replaces_are_told():
    heard = Heard()
    chosen = ["method.name=hga", "method.warm_up=3"]
    assert resolve(assignments=chosen, flags={"method.name": "joint"}, progress=heard).method == joint()
    assert ["--set" in text and "method.warm_up" in text for text in heard.warnings] == [True]


def test_nothing_is_told_where_nothing_is_lost(copied, tmp_path):
    heard, file = Heard(), copied("hga-published", named("hga-published"))
    resolve(file=file, progress=heard)
    resolve(file=file, assignments=["method.warm_up=1"], flags={"method.name": "mine"}, progress=heard)
    only_name = tmp_path / "name.toml"
    only_name.write_text('[method]\nname = "joint"\n', encoding="utf-8")
    assert resolve(file=only_name, flags={"method.name": "hga"}, progress=heard).method.name == "hga"
    assert heard.warnings == []


def joint():
    return resolve(flags={"method.name": "joint"}).method
