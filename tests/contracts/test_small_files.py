"""Small by taste (style, 3.8): no file of the package is longer than 350 lines, none is called utils."""

from pathlib import Path

import pytest

import hga_cli

FILES = sorted(Path(hga_cli.__file__).parent.rglob("*.py"))
NAMES = [str(path.relative_to(Path(hga_cli.__file__).parent)) for path in FILES]


def test_package_is_found():
    assert {"cli/app.py", "workflows/train.py", "core/catalog.py"} <= set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_length(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_name(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}
