"""What a method needs of backbone, data set and other settings, checked before anything is trained."""

from dataclasses import dataclass

from hga_cli.core.backbones import BACKBONES, Ability
from hga_cli.core.catalog import TERMS
from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.core.settings import Config, Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The one setting outside ``[method]`` by which a method differs from its twin."""

    section: str
    key: str
    value: str
    option: str
    """That chooses the setting."""
    twin: str
    """The method that this one would be with another value."""


GMD = {"section": "optim", "key": "balancer", "value": "gmd", "option": "--balancer"}
MARKS = {
    "gmd": Mark(**GMD, twin="joint"),
    "gmd-hga": Mark(**GMD, twin="joint-hga"),
    "pdt": Mark(section="data", key="imbalance", value="none", option="--imbalance", twin="moddrop"),
}
"""Method -> what it is no more itself without."""


def require_mark(config: Config) -> None:
    """Refuse a method that has lost what its name says, so that it would be trained twice by two names.

    Raises:
        ConfigError: the hint says by which name the same training goes, and how to keep the method.
    """
    mark = MARKS.get(config.method.name)
    if mark is None:
        return
    found = getattr(getattr(config, mark.section), mark.key)
    if found != mark.value:
        message = (
            f"method '{config.method.name}' is made by {mark.section}.{mark.key} = '{mark.value}', found '{found}': "
            f"that is method '{mark.twin}' by another name"
        )
        raise ConfigError(message, hint=f"--method {mark.twin} {mark.option} {found}; or {mark.option} {mark.value}")


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
