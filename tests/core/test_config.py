import tomllib
from dataclasses import fields, is_dataclass

import pytest

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, OUTER_UPDATES, SAMPLERS, TERMS, shipped
from hga_cli.core.config import build, differences, dump, merged, resolve, to_toml
from hga_cli.core.errors import ConfigError, UsageError
from hga_cli.core.settings import Config

METHODS, RECIPES = list(shipped("presets/methods")), list(shipped("presets/recipes"))


def written(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def read_toml(text):
    return build(tomllib.loads(text))


def test_later_layers_win_one_by_one(tmp_path):
    """Defaults < preset of the method < recipe < file < --set < flag; each layer adds one that the next overrides."""
    file = written(tmp_path, "[optim]\nepochs = 31\nlearning_rate = 0.5\n[network]\nwidth = 32\n")
    layers = {"assignments": ["optim.epochs=32", "network.width=24"], "flags": {"optim.epochs": 33, "seed": None}}
    assert resolve().optim.epochs == Config().optim.epochs == 300
    assert resolve(recipe="quick").optim.epochs == 30
    assert resolve(recipe="quick", file=file).optim.epochs == 31
    assert resolve(recipe="quick", file=file, assignments=layers["assignments"]).optim.epochs == 32
    last = resolve(recipe="quick", file=file, **layers)
    assert (last.optim.epochs, last.network.width, last.optim.learning_rate) == (33, 24, 0.5)
    assert last.optim.iterations == 45
    assert last.optim.weight_decay == Config().optim.weight_decay
    assert last.seed == Config().seed


def test_later_assignment_wins():
    assert resolve(assignments=["optim.epochs=3", "optim.epochs=4"]).optim.epochs == 4


def test_preset_of_the_method_lies_below_everything_else(tmp_path):
    published = {"method.name": "hga-published"}
    base = resolve(flags=published).method
    assert base.preference.beta_min == 0.1
    assert base.terms["distillation"].scale == ("beta",)
    changed = resolve(flags=published, assignments=["method.terms.distillation.weight=0.75"]).method
    term = changed.terms["distillation"]
    assert (term.weight, term.scale, term.options["temperature"]) == (0.75, ("beta",), 4.0)
    file = written(tmp_path, "[method.preference]\nbeta_max = 3.0\n")
    method = resolve(file=file, flags=published).method
    assert (method.preference.beta_max, method.outer.kind) == (3.0, "interpolation")
    assert method.terms == base.terms


@pytest.mark.parametrize("where", ["file", "assignment", "flag"])
def test_method_may_be_chosen_in_any_layer(tmp_path, where):
    layers = {
        "file": {"file": written(tmp_path, '[method]\nname = "joint"\n')},
        "assignment": {"assignments": ["method.name=joint"]},
        "flag": {"flags": {"method.name": "joint"}},
    }
    method = resolve(**layers[where]).method
    assert (method.name, method.sampler.kind, set(method.terms)) == ("joint", "case", {"fused", "separate", "deep"})


def test_last_layer_chooses_the_method(tmp_path):
    file = written(tmp_path, '[method]\nname = "joint"\n')
    assert resolve(file=file, flags={"method.name": "hga"}).method.sampler.kind == "rarity"


@pytest.mark.parametrize(
    ("assignment", "key", "hint"),
    [
        ("optim.learning_rat=1", "optim.learning_rat", "did you mean 'learning_rate'?"),
        ("optm.epochs=1", "optm", "did you mean 'optim'?"),
        ("method.terms.fused.wight=1", "method.terms.fused.wight", "did you mean 'weight'?"),
        ("method.sampler.ordr=fixed", "method.sampler.ordr", "did you mean 'order'?"),
        ("zzz=1", "zzz", "known: augmentation, data, evaluation"),
    ],
)
def test_unknown_key_gets_a_suggestion(assignment, key, hint):
    with pytest.raises(ConfigError, match=f"no setting called '{key}'$") as caught:
        resolve(assignments=[assignment])
    assert caught.value.hint.startswith(hint)


def test_unknown_key_of_a_file_gets_a_suggestion(tmp_path):
    with pytest.raises(ConfigError, match=r"no setting called 'data\.pach'") as caught:
        resolve(file=written(tmp_path, "[data]\npach = [1, 2, 3]\n"))
    assert caught.value.hint.startswith("did you mean 'patch'?")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("optim.epochs=abc", ["'optim.epochs'", "integer", "found 'abc'"]),
        ("optim.epochs=-1", ["'optim.epochs'", "greater than or equal to 0", "found -1"]),
        ("optim.learning_rate=nan", ["'optim.learning_rate'", "finite", "found nan"]),
        ("optim.learning_rate=0", ["'optim.learning_rate'", "greater than 0", "found 0"]),
        ("data.patch=[80, 0]", ["'data.patch.1'", "greater than or equal to 1", "found 0"]),
        ("split.ratios=[80, 20, 0]", ["'split.ratios.0'", "less than or equal to 1", "found 80"]),
        ("split.ratios=[-0.2, 1.0, 0.2]", ["'split.ratios.0'", "greater than or equal to 0", "found -0.2"]),
        ("split.ratios=[0.7, 0.3]", ["split.ratios", "required"]),
        ("split.name=../x", ["'split.name'", "'../x'"]),
        ("imbalance.rates={t1 = 1.0}", ["t1", "less than 1", "found 1.0"]),
        ("imbalance.rates={t1 = 20}", ["t1", "less than 1", "found 20"]),
        ("network.dims=4", ["'network.dims'", "2 or 3", "found 4"]),
        ("optim.precision=fp8", ["'optim.precision'", "'fp32', 'bf16' or 'fp16'", "found 'fp8'"]),
        ("seed=-1", ["'seed'", "greater than or equal to 0", "found -1"]),
        ("split.seed=1.5", ["'split.seed'", "integer"]),
        ("imbalance.seed=4294967296", ["'imbalance.seed'", "less than 4294967296"]),
        ("optim=3", ["'optim'", "found 3"]),
        ("method=3", ["'method'", "found 3"]),
        ("method=hga", ["'method'", "found 'hga'"]),
        ("method.name=3", ["no method called '3'"]),
        ("method.name=[1]", ["no method called"]),
        ("preprocess.spacing=[1, 1, -1]", ["'preprocess.spacing.2'", "greater than 0"]),
        ("optim.epochs=true", ["'optim.epochs'", "a number, not true or false", "found True"]),
        ("optim.learning_rate=true", ["'optim.learning_rate'", "a number, not true or false"]),
        ("data.patch=[true, 8, 8]", ["'data.patch.0'", "a number, not true or false"]),
        ("method.preference.single=true", ["'method.preference.single'", "a number, not true or false"]),
        ("imbalance.rates={t1 = true}", ["'imbalance.rates.t1'", "a number, not true or false"]),
        ("method.preference.beta_min=5", ["'method.preference'", "beta_min 5 is above beta_max 4"]),
        ("method.terms.distillation.scale=['beta', 'beta']", ["'method.terms.distillation'", "twice: beta, beta"]),
        ("method.terms.distillation.options.temperature=0", ["options.temperature", "above 0", "found 0"]),
        ("method.terms.distillation.options.temperature=nan", ["options.temperature", "above 0", "found nan"]),
        ("method.terms={}", ["'method.terms'", "expected at least one term"]),
        ("preprocess.on_problem=ask", ["'preprocess.on_problem'", "'stop' or 'skip'"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_value_names_key_expected_and_found(assignment, words):
    with pytest.raises(ConfigError) as caught:
        resolve(assignments=[assignment])
    assert [word for word in words if word not in caught.value.message] == []
    assert caught.value.hint


@pytest.mark.parametrize("text", ["optim.epochs", "=3", " =3", ""])
def test_assignment_without_key_or_equals_sign(text):
    with pytest.raises(UsageError, match="not of the form") as caught:
        resolve(assignments=[text])
    assert "--set" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.split=default", "default"),
        ('data.split="default"', "default"),
        ("data.split = a=b", "a=b"),
        ("data.split=__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("data.split='001'", "001"),
    ],
)
def test_values_are_literals_or_text_and_never_evaluated(text, value):
    assert resolve(assignments=[text]).data.split == value


def test_equal_bounds_keep_beta_where_it_is():
    assert resolve(assignments=["method.preference.beta_min=1", "method.preference.beta_max=1"]).method.preference


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, expected a configuration file") as caught:
        resolve(file=tmp_path)
    assert str(tmp_path / "config.toml") in caught.value.hint


def test_file_that_is_absent(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file '.*no\.toml'"):
        resolve(file=tmp_path / "no.toml")


@pytest.mark.parametrize("content", [b"[optim]\nepochs = many", b"a = '\xff'"], ids=["text without quotes", "latin-1"])
def test_file_that_is_not_toml(tmp_path, content):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not a TOML file"):
        resolve(file=file)


@pytest.mark.parametrize(
    ("layers", "message", "hint"),
    [
        ({"recipe": "quik"}, "no preset called 'quik'", "did you mean 'quick'?"),
        ({"flags": {"method.name": "hgaa"}}, "no method called 'hgaa'", "did you mean 'hga'?"),
        ({"recipe": "../methods/hga"}, "no preset called", "known: "),
    ],
)
def test_unknown_name_on_the_command_line_gets_a_suggestion(layers, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        resolve(**layers)
    assert caught.value.hint.startswith(hint)


def test_unknown_method_in_a_file_is_a_wrong_setting(tmp_path):
    (tmp_path / "mine.toml").write_text('[method]\nname = "hag"\n')
    with pytest.raises(ConfigError, match="no method called 'hag'") as caught:
        resolve(file=tmp_path / "mine.toml")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("method", METHODS)
def test_every_method_resolves_to_names_that_exist(method):
    settings = resolve(flags={"method.name": method}).method
    assert settings.name == method
    SAMPLERS.check(settings.sampler.kind)
    OUTER_UPDATES.check(settings.outer.kind)
    assert settings.terms
    for term in settings.terms:
        TERMS.check(term)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_resolves_to_names_that_exist(recipe):
    config = resolve(recipe=recipe)
    BACKBONES.check(config.network.backbone)
    BALANCERS.check(config.optim.balancer)
    assert len(config.data.patch) == config.network.dims
    changed = {key for key, _, _ in differences(dump(resolve()), dump(config))}
    assert "optim.epochs" in changed or "optim.learning_rate" in changed
    # what is trained towards is the method's; only the start of its schedule may follow the length of the recipe
    assert {key for key in changed if key.startswith("method")} <= {"method.outer.epsilon"}


@pytest.mark.parametrize("folder", ["presets/methods", "presets/recipes"])
def test_every_preset_says_what_it_is(folder):
    for file in shipped(folder).values():
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
        assert tree["summary"]
        assert tree["source"]


@pytest.mark.parametrize("recipe", [None, *RECIPES])
@pytest.mark.parametrize("method", METHODS)
def test_toml_reads_back_to_the_same_configuration(tmp_path, method, recipe):
    config = resolve(recipe=recipe, flags={"method.name": method})
    assert read_toml(to_toml(config)) == config
    assert resolve(file=written(tmp_path, to_toml(config))) == config


def test_toml_keeps_every_kind_of_value(tmp_path):
    assignments = [
        "preprocess.spacing=[1, 2.5, 3]",
        "imbalance.rates={t1 = 0.25, 't 2' = 0.0}",
        'data.split="Größe 测试 \\"1\\""',
        "data.patch=[64, 32]",
        "optim.learning_rate=1e-7",
        "method.terms.distillation.options={temperature = 4.0, steps = 3, on = true, kind = 'true'}",
        "seed=4294967295",
    ]
    config = resolve(assignments=assignments)
    again = resolve(file=written(tmp_path, to_toml(config)))
    assert again == config
    options = again.method.terms["distillation"].options
    assert [(type(options[key]), options[key]) for key in ("steps", "on", "kind")] == [
        (int, 3),
        (bool, True),
        (str, "true"),
    ]


def test_dump_leaves_out_what_is_none():
    tree = dump(Config())
    assert "spacing" not in tree["preprocess"]
    assert tree["data"]["patch"] == [80, 80, 80]


def test_differences_have_dotted_names_and_both_values():
    old = {"seed": 1, "optim": {"epochs": 3, "power": 0.9}, "data": {"patch": [1, 2]}, "gone": True}
    new = {"seed": 1, "optim": {"epochs": 4, "power": 0.9}, "data": {"patch": [1, 3]}, "new": {"a": 1}}
    assert differences(old, new) == [
        ("data.patch", [1, 2], [1, 3]),
        ("gone", True, None),
        ("new", None, {"a": 1}),
        ("optim.epochs", 3, 4),
    ]
    assert differences(old, old) == []


def test_merged_lays_sections_over_each_other_and_changes_neither():
    base, over = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4, "z": 5}, "b": {"c": 6}}
    assert merged(base, over) == {"a": {"x": 1, "y": 4, "z": 5}, "b": {"c": 6}}
    assert (base, over) == ({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4, "z": 5}, "b": {"c": 6}})


def test_settings_are_frozen_at_every_level():
    def sections(value):
        yield value
        for field in fields(value):
            inner = getattr(value, field.name)
            if is_dataclass(inner):
                yield from sections(inner)

    for section in sections(Config()):
        name = fields(section)[0].name
        with pytest.raises(AttributeError):
            setattr(section, name, getattr(section, name))
