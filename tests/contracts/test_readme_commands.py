"""The README is true: each command in it has only options that exist, and each of the six commands is in it."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from hga_cli.cli.app import app
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, shipped

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands

pytestmark = pytest.mark.skipif(not README.strip(), reason="README.md is not written yet")


def lines():
    """The lines of fenced blocks that start with ``hga``, continuation lines joined, comments cut."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r"(\$ )?hga\s", line.strip())]


def test_each_command_is_shown():
    assert {shlex.split(line, comments=True)[1] for line in lines()} >= set(COMMANDS)


@pytest.mark.parametrize("line", lines())
def test_command_can_be_parsed(line):
    words = shlex.split(line.removeprefix("$ "), comments=True)
    assert words[0] == "hga"
    command = COMMANDS[words[1]]
    context = command.make_context(words[1], words[2:])
    assert not context.args


@pytest.mark.parametrize("line", lines())
def test_names_in_a_command_are_shipped_ones(line):
    words = shlex.split(line.removeprefix("$ "), comments=True)
    known = {
        "--method": shipped("presets/methods"),
        "--preset": shipped("presets/recipes"),
        "--backbone": BACKBONES.entries,
        "--balancer": BALANCERS.entries,
    }
    for option, value in pairwise(words):
        assert value in known.get(option, [value])


def test_inline_options_exist():
    """Options in running text (`--json`) belong to some command."""
    known = {word for command in COMMANDS.values() for one in command.params for word in one.opts} | {"--help"}
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    spans = [span for span in re.findall(r"`([^`]+)`", prose) if not span.startswith(("torchrun ", "tensorboard "))]
    shown = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", " ".join(spans)))
    assert shown
    assert shown <= known


def test_links_lead_somewhere():
    root = Path(__file__).parents[2]
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []
