"""Nothing becomes code that was not written as code."""

from html import unescape

import pytest
from _evil import EVIL

from hga_cli.reporting.markup import Markup, element, together


def test_text_is_escaped_and_comes_back():
    made = element("p", EVIL)
    assert "<" not in made[3:-4]
    assert unescape(made[3:-4]) == EVIL


def test_attributes_are_escaped():
    made = element("a", "x", href=EVIL)
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert unescape(made.split('"')[1]) == EVIL


def test_markup_stays():
    assert element("p", element("b", "a & b"), " < c") == "<p><b>a &amp; b</b> &lt; c</p>"


def test_text_with_markup_is_text():
    """Gluing texts together makes a text again, which is escaped: forgetting it is safe."""
    assert element("p", "a" + element("b", "c")) == "<p>a&lt;b&gt;c&lt;/b&gt;</p>"


@pytest.mark.parametrize(
    ("value", "words"), [(True, ["readonly"]), (False, []), (None, []), (0, ['readonly="0"']), ("", ['readonly=""'])]
)
def test_values_of_attributes(value, words):
    assert element("input", readonly=value) == f"<{' '.join(['input', *words])}>"


def test_names_of_attributes():
    assert element("label", class_="a", for_="b", aria_label="c") == '<label class="a" for="b" aria-label="c"></label>'


def test_parts_in_their_order():
    assert together(["<", Markup("<"), ">"]) == "&lt;<&gt;"
