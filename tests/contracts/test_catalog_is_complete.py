"""Whatever can be chosen by name exists, says what it is, and where it comes from."""

import tomllib
from importlib.resources import files

import pytest

from hga_cli.core import backbones, catalog
from hga_cli.core.catalog import shipped
from hga_cli.core.config import resolve
from hga_cli.core.registry import Registry
from hga_cli.core.settings import Config
from hga_cli.data.raw.description import load_description

REGISTRIES = [one for module in (backbones, catalog) for one in vars(module).values() if isinstance(one, Registry)]
ENTRIES = [(registry, name) for registry in REGISTRIES for name in registry.entries]
PRESETS = [(folder, name) for folder in ("methods", "recipes") for name in shipped(f"presets/{folder}")]


def test_all_registries_are_seen():
    assert sorted(registry.kind for registry in REGISTRIES) == [
        "backbone",
        "balancer",
        "outer update",
        "sampler",
        "term",
    ]


@pytest.mark.parametrize(("registry", "name"), ENTRIES, ids=[f"{one.kind} {name}" for one, name in ENTRIES])
def test_entry_loads_and_explains_itself(registry, name):
    loaded = registry.load(name)
    assert callable(loaded)
    assert "__doc__" in vars(loaded)
    assert (loaded.__doc__ or "").splitlines()[:1] not in ([], [""])
    assert loaded.__module__.startswith("hga_cli.")
    entry = registry.entries[name]
    assert entry.summary.strip()
    assert entry.source.strip()


@pytest.mark.parametrize("registry", REGISTRIES, ids=[one.kind for one in REGISTRIES])
def test_names_are_sorted(registry):
    assert list(registry.entries) == sorted(registry.entries)


@pytest.mark.parametrize(("folder", "name"), PRESETS, ids=[name for _, name in PRESETS])
def test_preset_has_summary_and_source(folder, name):
    tree = tomllib.loads(shipped(f"presets/{folder}")[name].read_text(encoding="utf-8"))
    assert tree["summary"].strip()
    assert tree["source"].strip()


@pytest.mark.parametrize("name", shipped("presets/methods"))
def test_method_resolves_to_names_that_exist(name):
    method = resolve(flags={"method.name": name}).method
    assert method.name == name
    catalog.SAMPLERS.check(method.sampler.kind)
    catalog.OUTER_UPDATES.check(method.outer.kind)
    assert method.terms
    for term in method.terms:
        catalog.TERMS.check(term)


@pytest.mark.parametrize("name", shipped("presets/recipes"))
def test_recipe_resolves_to_names_that_exist(name):
    config = resolve(recipe=name)
    backbones.BACKBONES.check(config.network.backbone)
    catalog.BALANCERS.check(config.optim.balancer)
    assert len(config.data.patch) == config.network.dims


@pytest.mark.parametrize("name", shipped("data/raw/descriptions"))
def test_description_has_name_and_title(name):
    """Those that leave modalities and labels to ``dataset.json`` are whole only with a raw folder."""
    tree = tomllib.loads(shipped("data/raw/descriptions")[name].read_text(encoding="utf-8"))
    assert tree["name"] == name
    assert tree["title"]
    if not tree.get("dataset_json"):
        assert load_description(name).name == name


def test_default_names_exist():
    config = Config()
    backbones.BACKBONES.check(config.network.backbone)
    catalog.BALANCERS.check(config.optim.balancer)
    assert config.method.name in shipped("presets/methods")


def test_help_lists_every_choice(hga):
    text = " ".join(hga("train", "--help", env={"COLUMNS": "400"}).out.split())
    for option, names in {
        "--method": shipped("presets/methods"),
        "--backbone": backbones.BACKBONES.entries,
        "--balancer": catalog.BALANCERS.entries,
        "--preset": shipped("presets/recipes"),
    }.items():
        line = text[text.index(f"{option} ") :].split("│")[0]
        for name in names:
            assert name in line, option


def test_package_carries_its_data():
    root = files("hga_cli")
    for folder in ("presets/methods", "presets/recipes", "data/raw/descriptions"):
        assert [file.name for file in root.joinpath(folder).iterdir() if file.name.endswith(".toml")]
    assert root.joinpath("py.typed").is_file()
