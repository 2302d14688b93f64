"""The commands that the comments of presets tell."""

import re

FLAGS = {"--method": "method.name", "--balancer": "optim.balancer", "--imbalance": "data.imbalance"}
OPTION = re.compile(r"(--[a-z-]+) ('[^']*'|[^\s,]+)")
ADDS = re.compile(r"(?:^|:)\s*and\b", re.MULTILINE)
"""Before a command that adds to the last one without it."""
SAME = re.compile(r",\s+the same for (\w+)")
PROSE = {"--preset"}
"""Options that comments only talk about."""


def comment(path):
    """The lines of a preset that are comments, as one text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.lstrip("# ") for line in lines if line.startswith("#"))


def commands(text):
    """Return [(what is said before, [(option, value)])]; nothing but "with" stands between options of a command."""
    groups, end = [], 0
    for option in OPTION.finditer(text):
        if option[1] in PROSE:
            continue
        between = text[end : option.start()]
        if not groups or between.strip() not in ("", "with"):
            groups.append((between, []))
        groups[-1][1].extend(_options(text, option))
        end = option.end()
    made, base = [], []
    for between, options in groups:
        adds = ADDS.search(between)
        base = base if adds else options
        name = between.strip().rpartition("\n")[2].partition(":")[0]
        made.append((name, [*base, *options] if adds else options))
    return made


def _options(text, option):
    name, value = option[1], option[2].strip("'").rstrip(".;:)")
    yield name, value
    if same := SAME.match(text, option.end()):
        yield name, re.sub(r"terms\.\w+", f"terms.{same[1]}", value)


def arguments(options):
    """Return the assignments and the flags for `hga_cli.core.config.resolve`."""
    assignments = [value for name, value in options if name == "--set"]
    return assignments, {FLAGS[name]: value for name, value in options if name != "--set"}
