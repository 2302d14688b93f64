"""The numbers in golden_*.json of the tests are those of ../shared/golden (which a user does not have)."""

import json
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SHARED = TESTS.parents[1] / "shared" / "golden"
FOLDERS = ("alignment", "engine", "losses")
FILES = [file for folder in FOLDERS for file in sorted((TESTS / folder).glob("golden_*.json"))]
DRAWN = ("sum", "sums")
"""Sums of what a test draws: ours, to see whether numpy still draws the same."""

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="../shared/golden is not here")


def long_numbers(value):
    """All numbers of a document that are not round."""
    if isinstance(value, dict):
        return {number for key, item in value.items() if key not in DRAWN for number in long_numbers(item)}
    if isinstance(value, list):
        return {number for item in value for number in long_numbers(item)}
    return {value} if isinstance(value, float) and len(repr(value)) > 10 else set()


@pytest.fixture(scope="module")
def recorded():
    return {number for file in SHARED.glob("*.json") for number in long_numbers(json.loads(file.read_text()))}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_number_was_recorded(file, recorded):
    carried = long_numbers(json.loads(file.read_text()))
    assert carried
    assert not carried - recorded
