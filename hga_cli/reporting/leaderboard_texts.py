"""What the page and the terminal both say of a leaderboard."""

from collections import defaultdict
from collections.abc import Sequence

from hga_cli.reporting.facts import Document


def other_settings(entry: Document) -> str:
    """Return in what an entry differs from its baseline beyond method and balancer; empty where in nothing."""
    told = (
        f"{key} {_told(own)} instead of {_told(of_baseline)}"
        for key, (own, of_baseline) in entry["other_settings"].items()
    )
    return ", ".join(told)


def left_out_by_reason(left_out: Sequence[Document]) -> dict[str, list[str]]:
    """Return reason -> runs that it holds for."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in left_out:
        found[one["reason"]].append(one["run"])
    return found


def _told(value: object) -> str:
    return "nothing" if value is None else str(value)
