"""The program starts fast: nothing heavy is imported before a command runs (style, 3.7)."""

import subprocess
import sys

import pytest

HEAVY = ["torch", "numpy", "pandas", "scipy", "h5py", "nibabel", "SimpleITK", "monai", "pydantic", "PIL"]


def python(*words):
    """Run a fresh interpreter."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout


def test_nothing_heavy_is_loaded():
    loaded = python("-c", "import sys, hga_cli.cli.app; print(*sys.modules)").split()
    assert "hga_cli.cli.train" in loaded
    assert [name for name in HEAVY if name in loaded] == []
    packages = tuple(f"hga_cli.{name}" for name in ("workflows", "reporting", "engine", "data"))
    assert [name for name in loaded if name.startswith(packages)] == []


def test_help_of_the_installed_program(program_path):
    result = subprocess.run([program_path, "--help"], capture_output=True, text=True, check=True)
    assert "make-imbalance" in result.stdout
    assert result.stderr == ""


def test_module_is_the_program():
    assert python("-m", "hga_cli", "--version").startswith("hga ")


def test_version_is_that_of_the_package(hga):
    from importlib.metadata import version

    assert hga("--version").out == f"hga {version('hga-cli')}\n"


@pytest.mark.parametrize("word", ["-h", "--help"])
@pytest.mark.parametrize("command", ["preprocess", "split", "make-imbalance", "train", "evaluate", "predict"])
def test_help_of_each_command_ends_with_examples(hga, command, word):
    text = hga(command, word, env={"COLUMNS": "100"}).out
    start = text.index("Examples:")
    assert f"hga {command} " in text[start:]
    assert text.index("--config") < start
