"""What benchmarks share: taking turns, so that a noisy machine disturbs all alike, and one table at the end."""

import json
import time
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured thing, ours and the usual way (None: not measured)."""

    what: str
    unit: str
    ours: float
    usual: float | None = None
    target: float | None = None
    """Ours shall be at most this."""

    @property
    def ratio(self):
        """How many times smaller ours is."""
        return self.usual / self.ours if self.usual is not None and self.ours else None


def peak_memory():
    """Return the most memory this process ever had, in GiB."""
    from hga_cli.engine.memory import peak_of_process  # not above: processes that are measured shall not load torch

    return peak_of_process() / 2**30


def seconds(function, *arguments):
    """Return how long one call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def in_turns(functions, arguments):
    """Call each function (name -> function) with each tuple of arguments, in turns; return medians in seconds."""
    taken = {name: [] for name in functions}
    for some in arguments:
        for name, function in functions.items():
            taken[name].append(seconds(function, *some))
    return {name: median(values) for name, values in taken.items()}


def show(title, rows, *, as_json):
    """Print all rows as a table or as one JSON document."""
    if as_json:
        print(json.dumps({"title": title, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}, indent=2))
        return
    table = Table(title=title)
    for name in ("", "unit"):
        table.add_column(name, no_wrap=True)
    for name in ("target", "ours", "usual", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.what, row.unit, *map(_number, (row.target, row.ours, row.usual, row.ratio)))
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


def _number(value):
    """Three digits, or as many as an integer has."""
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"
