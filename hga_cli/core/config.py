"""From presets, files and flags to one checked ``Config``.

Later wins: defaults, the preset of the method, the recipe (``--preset``), the file (``-c``), ``--set a.b=value``,
flags. Values are TOML literals; nothing is ever evaluated. One thing is not laid over what is below: a file with
``[method.terms]`` lists all terms of its method, which then may be a method of its own.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, shipped
from hga_cli.core.errors import ConfigError, UsageError, suggestion
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.settings import Config

Tree = dict[str, Any]
ABOUT = ("summary", "source", "mark", "twin")


def resolve(
    *,
    recipe: str | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Config:
    """Return the configuration that presets, file, assignments and flags add up to.

    Args:
        recipe: name of a file in ``presets/recipes``.
        file: a TOML file of the user; its terms replace those of the method, as a whole.
        assignments: texts ``section.key=value``.
        flags: dotted names to values; None means "not given".
        progress: hears of settings of a method that a later layer replaces by another one.

    Raises:
        ConfigError: an unknown key, a value that does not fit, or a method that is neither shipped nor in the file.
        UsageError: an assignment that cannot be read, or a name or value of a flag that does not fit.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    own = f"'{file}'"
    of_file = _file_tree(file) if file else {}
    _check_names({"preset": recipe, **given}, of_file)
    layers = {
        "--preset": _shipped_tree("recipes", recipe) if recipe else {},
        own: of_file,
        "--set": _assigned(assignments),
        "flags": _nested(given),
    }
    sections = [_method_of(layer) for layer in layers.values()]
    _refuse_no_terms(sections)
    method = next((str(one["name"]) for one in reversed(sections) if "name" in one), Config().method.name)
    told = progress or Silent()
    kept = {source: _without_other_method(layer, method, source, told) for source, layer in layers.items()}
    tree = _base(method, kept[own])
    for layer in kept.values():
        tree = merged(tree, layer)
    return build(tree, flags=given)


def _base(method: str, of_file: Tree) -> Tree:
    """Return what all layers lie on: the preset of the method, without its terms where the file lists them.

    A method that only the file has lies on the defaults.
    """
    if "terms" not in _method_of(of_file):
        return _shipped_tree("methods", method)
    if method not in shipped("presets/methods"):
        return {}
    tree = _shipped_tree("methods", method)
    return {**tree, "method": {key: value for key, value in tree["method"].items() if key != "terms"}}


def _method_of(layer: Tree) -> Tree:
    """Return the section of the method, empty where a layer has none (or something else, which is refused later)."""
    section = layer.get("method")
    return section if isinstance(section, dict) else {}


def _refuse_no_terms(sections: Iterable[Tree]) -> None:
    if any(section.get("terms") == {} for section in sections):
        message = "setting 'method.terms': an empty table, expected at least one term"
        hint = (
            "leave the table out to have the terms of the method; one is switched off by method.terms.NAME.weight = 0"
        )
        raise ConfigError(message, hint=hint)


def _check_names(flags: Mapping[str, Any], of_file: Tree) -> None:
    """Refuse a mistyped name on the command line as what it is: wrong usage."""
    section = _method_of(of_file)
    own = [section["name"]] if "name" in section and "terms" in section else []
    known: dict[str, tuple[str, Iterable[str]]] = {
        "preset": ("preset", shipped("presets/recipes")),
        "method.name": ("method", [*shipped("presets/methods"), *own]),
        "network.backbone": ("backbone", BACKBONES.entries),
        "optim.balancer": ("balancer", BALANCERS.entries),
    }
    for key, (kind, names) in known.items():
        name = flags.get(key)
        if name is not None and name not in names:
            message = f"no {kind} called '{name}'"
            raise UsageError(message, hint=f"{_elsewhere(name, known.values())}{suggestion(name, names)}")


def _elsewhere(name: str, known: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Tell of which other kinds there is such a name; a flag is called as its kind."""
    return "".join(f"'{name}' is a {kind}: --{kind} {name}; " for kind, names in known if name in names)


def build(tree: Tree, *, flags: Iterable[str] = ()) -> Config:
    """Check a tree of plain values and return it as a ``Config``.

    Args:
        tree: section by section.
        flags: dotted names whose values the user typed as flags.

    Raises:
        ConfigError: says which key, what was expected and what was found.
        UsageError: the same, where the value came from a flag.
    """
    try:
        return TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))  # not: which branch of a union
        if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            message = f"no setting called '{key}'"
            raise ConfigError(message, hint=suggestion(str(first["loc"][-1]), _known_keys(first["loc"][:-1]))) from None
        found = "" if isinstance(first["input"], dict) else f", found {first['input']!r}"
        message = f"setting '{key}': {first['msg'].lower().removeprefix('value error, ')}{found}"
        is_share = 1 in (first.get("ctx", {}).get(bound) for bound in ("le", "lt"))
        hint = "write shares, 0.2 for 20 %" if is_share else f"change '{key}' in the file, in --set or in the flag"
        kind = UsageError if any(f"{key}.".startswith(f"{flag}.") for flag in flags) else ConfigError
        raise kind(message, hint=hint) from None


def dump(config: Config) -> Tree:
    """Return the configuration as plain values (settings that are None are left out)."""
    tree: Tree = _plain(TypeAdapter(Config).dump_python(config))
    return tree


def to_toml(config: Config) -> str:
    """Return the configuration as TOML text; ``hga train -c`` reads it back to the same configuration."""
    return tomli_w.dumps(dump(config))


def differences(old: Tree, new: Tree, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Return (dotted key, old value, new value) wherever two trees differ."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(old.keys() | new.keys()):
        left, right = old.get(key), new.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            found += differences(left, right, f"{prefix}{key}.")
        elif left != right:
            found.append((f"{prefix}{key}", left, right))
    return found


def merged(base: Tree, over: Tree) -> Tree:
    """Return ``base`` with the values of ``over`` laid over it, section by section."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _without_other_method(layer: Tree, method: str, source: str, progress: Progress) -> Tree:
    """Leave out the section of a method that a later layer replaces by another one, and say what goes with it."""
    section = _method_of(layer)
    other = section.get("name", method)
    if other == method:
        return layer
    lost = ", ".join(f"method.{key}" for key in section if key != "name")
    if lost:
        progress.warn(
            f"{source}: what it says of method '{other}' is left out, as method '{method}' was chosen: {lost}; "
            f"what it says of other things counts"
        )
    return {key: value for key, value in layer.items() if key != "method"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _shipped_tree(folder: str, name: str) -> Tree:
    presets = shipped(f"presets/{folder}")
    if name not in presets:
        kind = {"methods": "method", "recipes": "preset"}[folder]
        message = f"no {kind} called '{name}'"
        own = "; or list its terms in a file for -c, with this name in [method]" if folder == "methods" else ""
        raise ConfigError(message, hint=f"{suggestion(name, presets)}{own}")
    tree = tomllib.loads(presets[name].read_text(encoding="utf-8"))
    return {key: value for key, value in tree.items() if key not in ABOUT}


def _file_tree(file: Path) -> Tree:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"no configuration file '{file}'"
        raise ConfigError(message, hint="name a TOML file; every run folder holds one: config.toml") from None
    except IsADirectoryError:
        message = f"'{file}' is a folder, expected a configuration file"
        raise ConfigError(message, hint=f"name a TOML file, for example {file / 'config.toml'} of a run") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"'{file}' is not a TOML file: {error}"
        raise ConfigError(message, hint="text values need quotes; see config.toml of a run folder") from None
    return {key: value for key, value in tree.items() if key not in ABOUT}


def _assigned(assignments: Iterable[str]) -> Tree:
    tree: Tree = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            message = f"--set '{text}' is not of the form section.key=value"
            raise UsageError(message, hint="for example --set optim.learning_rate=1e-3")
        tree = merged(tree, _nested({key.strip(): _literal(value.strip())}))
    return tree


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(flat: Mapping[str, Any]) -> Tree:
    tree: Tree = {}
    for key, value in flat.items():
        branch: Any = value
        for part in reversed(key.split(".")):
            branch = {part: branch}
        tree = merged(tree, branch)
    return tree


def _known_keys(path: tuple[Any, ...]) -> list[str]:
    """Return the names of the settings of the section at ``path``."""
    section: Any = Config
    for part in path:
        if is_dataclass(section):
            section = get_type_hints(section).get(str(part))
        elif get_origin(section) is dict:
            section = get_args(section)[1]
    return [field.name for field in fields(section)] if is_dataclass(section) else []
