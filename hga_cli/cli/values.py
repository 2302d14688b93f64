"""Reading the values of options."""

from hga_cli.core.errors import UsageError


def numbers(text: str | None, flag: str, count: int, *, example: str = "1,1,1") -> tuple[float, ...] | None:
    """Read ``1,1,2``; None stays None.

    Raises:
        UsageError: other than ``count`` numbers.
    """
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        message = f"{flag} '{text}': expected {count} numbers with commas between them"
        raise UsageError(message, hint=f"for example {flag} {example}")
    return values


def part_of(text: str | None) -> tuple[int, int] | None:
    """Read ``i/n``, part i of n, counted from 1; None stays None.

    Raises:
        UsageError: not of this form, or i is not in 1..n.
    """
    if text is None:
        return None
    first, slash, second = text.partition("/")
    if not (slash and _is_whole(first) and _is_whole(second) and 1 <= int(first) <= int(second)):
        message = f"--shard '{text}': expected i/n with 1 <= i <= n"
        raise UsageError(message, hint="for example --shard 1/4, 2/4, 3/4 and 4/4 on four machines")
    return int(first), int(second)


def _is_whole(text: str) -> bool:
    """Tell whether a text is digits 0 to 9 only (not, say, a raised 2)."""
    return text.isascii() and text.isdecimal()
