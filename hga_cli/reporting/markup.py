"""HTML and SVG as text. What is not ``Markup`` is escaped, so that no name or id can become part of a page's code."""

from collections.abc import Iterable
from html import escape

VOID = frozenset({"input", "img", "meta"})
"""Elements without an end."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: what is in it, escaped where it is not ``Markup``.
        attributes: ``_`` stands for ``-`` and is dropped at the end (``class_``); True is an attribute without a value;
            False and None are left out.
    """
    words = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if tag in VOID else f"{start}{together(children)}</{tag}>")


def together(parts: Iterable[str]) -> Markup:
    """Return parts one after the other, escaped where they are not ``Markup``."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))
