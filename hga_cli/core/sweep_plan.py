"""A list of trainings: every combination of methods, balancers, backbones, tables, seeds and other settings.

A sweep is a TOML file. It names what varies, and the settings that all runs share; ``hga train`` could do each run
with a few options, and that is what becomes of it.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from hga_cli.core.config import resolve
from hga_cli.core.digest import digest
from hga_cli.core.errors import ConfigError, UsageError, suggestion
from hga_cli.core.quantities import Seed
from hga_cli.core.settings import STRICT, Config, PlainName

LISTS = {
    "methods": ("method.name", "--method"),
    "balancers": ("optim.balancer", "--balancer"),
    "backbones": ("network.backbone", "--backbone"),
    "tables": ("data.imbalance", "--imbalance"),
    "seeds": ("seed", "--seed"),
}
"""List in the file -> the setting that it varies, and the option of ``hga train``."""
LONGEST = 100
"""Letters in the name of a run."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Axes:
    """What varies. An empty list leaves the setting to ``settings``, the preset and the defaults."""

    methods: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """Imbalance tables of the store, or none."""
    seeds: tuple[Seed, ...] = ()
    axes: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Any other setting -> its values, for example ``"optim.learning_rate" = [1e-3, 2e-3]``."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sweep(Axes):
    """A file of ``hga sweep``. What varies at the top holds for each group that does not say it otherwise."""

    dataset: str
    """Name of a store, or its folder."""
    name: PlainName | None = None
    """How names of runs begin; None: as the store is called."""
    preset: str | None = None
    on_problem: Literal["stop", "skip"] = "stop"
    """What runs that make no sense do: end with an error before the first training, or be left out."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of all runs, section by section, each as ``--set`` of ``hga train``: other terms of a method stay."""
    group: tuple[Axes, ...] = ()
    """Combinations that are added up; none: those of the lists at the top."""


@plain_dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One run of a sweep."""

    name: str
    config: Config
    """As ``hga train`` resolves it before it looks at the store."""
    words: tuple[str, ...]
    """Options of ``hga train`` that make it so."""


def read_sweep(file: Path) -> Sweep:
    """Read the file of a sweep.

    Raises:
        ConfigError: it is not there, no TOML, or has a key that does not exist or a value of another kind.
    """
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        message = f"no file '{file}'"
        raise ConfigError(message, hint="name a TOML file, for example sample_data/sweep.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"'{file}' is not a TOML file: {error}"
        raise ConfigError(message, hint='text values need quotes: methods = ["joint", "hga"]') from None
    try:
        sweep = TypeAdapter(Sweep).validate_python(tree)
    except ValidationError as error:
        raise _explained(file, error) from None
    for axes in (sweep, *sweep.group):
        _require_axes(file, axes)
    return sweep


def members(sweep: Sweep, file: Path, *, config: Path | None = None, assignments: Sequence[str] = ()) -> list[Member]:
    """Return the runs of a sweep in the order of its lists; one that is in several groups is there once.

    Args:
        sweep: what varies.
        file: where it stands, for messages.
        config: a file of settings below those of the sweep.
        assignments: texts ``section.key=value`` over those of the sweep.

    Raises:
        ConfigError: a setting or name that does not exist, a value that does not fit, or two runs of one name.
    """
    shared = ["--preset", sweep.preset] if sweep.preset else []
    shared += ["--config", str(config)] if config else []
    texts = [*_flat(sweep.settings), *assignments]
    found: dict[str, Member] = {}
    for given, others in _points(sweep):
        chosen = [*texts, *(_assignment(key, value) for key, value in others.items())]
        flags = [word for option, value in given.items() for word in (LISTS[option][1], str(value))]
        words = (*shared, *(word for text in chosen for word in ("--set", text)), *flags)
        by_setting = {LISTS[option][0]: value for option, value in given.items()}
        try:
            settings = resolve(recipe=sweep.preset, file=config, assignments=chosen, flags=by_setting)
        except (ConfigError, UsageError) as error:
            message = f"'{file}': {error.message}"
            raise ConfigError(message, hint=error.hint) from None
        name = _name(sweep.name or Path(sweep.dataset).name, settings, others)
        made = Member(name=name, config=settings, words=words)
        if found.setdefault(name, made).config != settings:
            message = f"'{file}': two different runs would be called '{name}'"
            raise ConfigError(message, hint="let values differ in letters, digits, dots or dashes; or write two files")
    return list(found.values())


def _points(sweep: Sweep) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (list -> its value, other setting -> its value) for each run."""
    for axes in sweep.group or (sweep,):
        lists = {name: getattr(axes, name) or getattr(sweep, name) for name in LISTS}
        used = {name: values for name, values in lists.items() if values}
        others = {**sweep.axes, **axes.axes}
        for values in product(*used.values(), *others.values()):
            given = dict(zip(used, values, strict=False))
            yield given, dict(zip(others, values[len(used) :], strict=True))


def _name(start: str, config: Config, others: Mapping[str, Any]) -> str:
    """Return a name that says method, balancer, backbone, table, seed and what else varies, and never changes."""
    parts = [start, config.method.name, config.optim.balancer, config.network.backbone]
    parts += [config.data.imbalance] if config.data.imbalance else []
    parts += [f"s{config.seed}", *(f"{key.rpartition('.')[2]}-{_short(value)}" for key, value in others.items())]
    name = re.sub(r"[^\w.+-]+", "_", "-".join(parts))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{digest(name)[:8]}"


def _short(value: Any) -> str:
    return "x".join(map(_short, value)) if isinstance(value, list) else str(value)


def _flat(tree: Mapping[str, Any], above: str = "") -> list[str]:
    """Return ``section.key=value`` for each value of a tree."""
    texts = []
    for key, value in tree.items():
        name = f"{above}{key}"
        texts += _flat(value, f"{name}.") if isinstance(value, dict) and value else [_assignment(name, value)]
    return texts


def _assignment(key: str, value: Any) -> str:
    """Return ``key=value``; plain values are written in JSON as in TOML."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _require_axes(file: Path, axes: Axes) -> None:
    """Refuse other settings that have a list of their own, or no value."""
    for option, (setting, _) in LISTS.items():
        if setting in axes.axes:
            message = f"'{file}': '{setting}' has a list of its own"
            raise ConfigError(message, hint=f"write it as {option} = [...]")
    for setting, values in axes.axes.items():
        if not values:
            message = f"'{file}': the axis '{setting}' has no value"
            raise ConfigError(message, hint=f'for example "{setting}" = [1, 2]; or leave it out')


def _explained(file: Path, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        kind = Axes if first["loc"][0] == "group" else Sweep
        known = [field.name for field in fields(kind)]
        message = f"'{file}': a sweep has no key '{key}'"
        hint = f"{suggestion(str(first['loc'][-1]), known)}; settings of all runs belong below [settings]"
        return ConfigError(message, hint=hint)
    if first["type"] == "missing":
        message = f"'{file}': '{key}' is not said"
        return ConfigError(message, hint=f'write {key} = "NAME"')
    message = f"'{file}': '{key}': {first['msg'].lower()}, found {first['input']!r}"
    return ConfigError(message, hint='lists need brackets and texts need quotes: methods = ["joint", "hga"]')
