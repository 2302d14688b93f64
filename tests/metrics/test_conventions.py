import math
from dataclasses import replace

import pytest

from hga_cli.core.errors import ConfigError
from hga_cli.metrics.conventions import CONVENTIONS, convention


def test_names_and_summaries():
    assert list(CONVENTIONS) == ["hga", "brats", "diagonal", "exclude"]
    for name, found in CONVENTIONS.items():
        assert convention(name) == found
        assert convention(name, "maximum") == replace(found, definition="maximum")
        assert found.name == name
        assert "Both empty" in found.summary
        assert "One empty" in found.summary


def test_all_use_the_pooled_hd95_unless_asked():
    assert {found.definition for found in CONVENTIONS.values()} == {"pooled"}


def test_the_fixed_penalty_is_the_diagonal_of_brats():
    assert convention("brats").hd95_one_empty == pytest.approx(math.hypot(240, 240, 155), abs=1e-5)


def test_unknown_name():
    with pytest.raises(ConfigError, match="no scoring convention called 'diagnoal'") as caught:
        convention("diagnoal")
    assert caught.value.hint == "did you mean 'diagonal'? known: brats, diagonal, exclude, hga"
