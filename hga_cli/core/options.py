"""Options that settings hand to something chosen by name: arguments of its constructor."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from hga_cli.core.errors import ConfigError, suggestion


def check_options(
    kind: str, name: str, constructor: Callable[..., Any], options: Mapping[str, Any], *, given: tuple[str, ...] = ()
) -> None:
    """Check that the constructor takes these options.

    Args:
        kind: what is chosen, for the message (``term``, ``backbone``).
        name: which one.
        constructor: what the options are for; its annotations say the types.
        options: argument -> value.
        given: arguments that come from elsewhere.

    Raises:
        ConfigError: there is no such option, or its value has the wrong type.
    """
    known = {argument.name: argument for argument in signature(constructor).parameters.values() if _is_named(argument)}
    free = [argument for argument in known if argument not in given]
    for option, value in options.items():
        if option not in free:
            message = f"{kind} '{name}' has no option '{option}'"
            raise ConfigError(message, hint=suggestion(option, free) if free else "it has no options")
        wanted = known[option].annotation
        if wanted in (bool, int, float, str) and not _is_a(value, wanted):
            message = f"option '{option}' of {kind} '{name}' should be of type {wanted.__name__}, found {value!r}"
            default = known[option].default
            raise ConfigError(message, hint=None if default is Parameter.empty else f"its default is {default!r}")


def _is_named(argument: Parameter) -> bool:
    return argument.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _is_a(value: object, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
