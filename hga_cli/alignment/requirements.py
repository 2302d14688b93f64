"""What a method needs of backbone, data set and other settings, checked before anything is trained."""

import tomllib

from hga_cli.core.backbones import BACKBONES, Ability
from hga_cli.core.catalog import OUTER_UPDATES, SAMPLERS, TERMS, shipped
from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.core.settings import Config, Method, Sampler


def require_mark(config: Config) -> None:
    """Refuse a method that has lost what its name says, so that it would be trained twice by two names.

    The file of such a method names its ``mark``, the one setting outside ``[method]`` by which it differs from another
    method, and that ``twin``.

    Raises:
        ConfigError: the hint says by which name the same training goes, and how to keep the method.
    """
    file = shipped("presets/methods").get(config.method.name)
    tree = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    if "mark" not in tree:
        return
    (section, key), twin = tree["mark"].split("."), tree["twin"]
    value, found = tree[section][key], getattr(getattr(config, section), key)
    if found != value:
        setting = f"{section}.{key}"
        message = f"method '{config.method.name}' is made by {setting} = '{value}', found '{found}': "
        message += f"that is method '{twin}' by another name"
        raise ConfigError(message, hint=f"--method {twin} --set {setting}={found}; or --set {setting}={value}")


def require_sampler(method: Method) -> None:
    """Refuse an outer update without its sampler, and an order for a sampler that has none.

    Raises:
        ConfigError: the hint names the samplers that would do.
    """
    _require_cycles(method)
    _require_order(method)


def require_fit(method: Method, backbone: str, modalities: Combination) -> None:
    """Refuse a method whose terms ask for what is not there: features of a backbone, a modality, or a scale of theirs.

    Args:
        method: whose terms have options that exist.
        backbone: its name.
        modalities: of the data set.

    Raises:
        ConfigError: the hint lists the backbones that show everything the terms look at.
    """
    terms = {name: TERMS.load(name)(**term.options) for name, term in method.terms.items() if term.weight > 0}
    for name, term in terms.items():
        for unknown in sorted(term.names - set(modalities)):
            message = f"term '{name}' of method '{method.name}' names '{unknown}', which is no modality of the data set"
            raise ConfigError(message, hint=suggestion(unknown, modalities))
        scale = method.terms[name].scale
        if scale and not term.is_of_modalities:
            message = f"term '{name}' of method '{method.name}' is of the fused prediction, which has no scale, found "
            raise ConfigError(message + ", ".join(scale), hint=f"--set method.terms.{name}.scale=[]")
    lacking = {name: term.requires - BACKBONES.check(backbone).abilities for name, term in terms.items()}
    lacking = {name: abilities for name, abilities in lacking.items() if abilities}
    if lacking:
        looks = "; ".join(f"term '{name}' looks at {' and '.join(sorted(what))}" for name, what in lacking.items())
        message = f"method '{method.name}': {looks}, which backbone '{backbone}' does not have"
        fitting = _backbones_with(frozenset[Ability]().union(*(term.requires for term in terms.values())))
        without = " ".join(f"--set method.terms.{name}.weight=0" for name in lacking)
        raise ConfigError(message, hint=f"--backbone {' or '.join(fitting)}; or {without}")


def _backbones_with(abilities: frozenset[Ability]) -> list[str]:
    return [name for name, entry in BACKBONES.entries.items() if abilities <= entry.abilities]


def _require_cycles(method: Method) -> None:
    sampler, outer = SAMPLERS.check(method.sampler.kind).name, method.outer.kind
    needed = OUTER_UPDATES.load(outer).samplers
    if needed and sampler not in needed:
        names = " or ".join(needed)
        message = f"method '{method.name}': outer.kind {outer} needs sampler.kind {names}, found {sampler}"
        raise ConfigError(message, hint=f"--set method.sampler.kind={needed[0]}, or --set method.outer.kind=none")


def _require_order(method: Method) -> None:
    sampler, order, usual = method.sampler.kind, method.sampler.order, Sampler().order
    if order == usual or SAMPLERS.load(sampler).has_order:
        return
    ordered = " or ".join(name for name in SAMPLERS.entries if SAMPLERS.load(name).has_order)
    message = (
        f"method '{method.name}': sampler.kind {sampler} has no order, "
        f"so sampler.order should be {usual}, found {order}"
    )
    hint = f"--set method.sampler.order={usual}; or --set method.sampler.kind={ordered}, which has an order"
    raise ConfigError(message, hint=hint)
