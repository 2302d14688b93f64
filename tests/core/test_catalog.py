import tomllib

import pytest

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, OUTER_UPDATES, SAMPLERS, TERMS, Entry, Registry, shipped
from hga_cli.core.errors import ConfigError

TABLES = [BACKBONES, BALANCERS, OUTER_UPDATES, SAMPLERS, TERMS]


def entry(name, target="json:dumps"):
    return Entry(name=name, target=target, summary="s", source="s")


def test_unknown_name_gets_a_suggestion():
    table = Registry("balancer", [entry("equal"), entry("pcgrad")])
    with pytest.raises(ConfigError, match="no balancer called 'pcgrd'") as caught:
        table.load("pcgrd")
    assert caught.value.hint == "did you mean 'pcgrad'? known: equal, pcgrad"


def test_equal_names_are_a_bug_of_the_table():
    with pytest.raises(ValueError, match="same name"):
        Registry("balancer", [entry("equal"), entry("equal")])


def test_nothing_is_imported_before_it_is_loaded():
    table = Registry("thing", [entry("here"), entry("absent", "no_such_module:nothing")])
    assert table.check("absent").target == "no_such_module:nothing"
    assert table.load("here")([1]) == "[1]"
    with pytest.raises(ModuleNotFoundError):
        table.load("absent")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)
def test_every_entry_loads_and_says_what_it_is(table):
    assert list(table.entries) == sorted(table.entries)
    for name, known in table.entries.items():
        assert callable(table.load(name))
        assert known.summary
        assert known.source


def test_shipped_files_by_name():
    methods = shipped("presets/methods")
    assert list(methods) == sorted(methods)
    assert {"hga", "joint"} <= set(methods)
    assert tomllib.loads(methods["hga"].read_text(encoding="utf-8"))["method"]["name"] == "hga"
    assert "brats" in shipped("data/raw/descriptions")
