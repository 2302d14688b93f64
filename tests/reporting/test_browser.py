"""Pages in a real browser: they load nothing, complain of nothing, fit the screen, and their controls work."""

import json
from urllib.parse import unquote

import pytest
from _browser import browser, chromium
from _evil import EVIL

from hga_cli.reporting.presence import Presence
from hga_cli.reporting.run_page import Material, run_page

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here: apt-get install chromium")
SEEN = "[...document.querySelectorAll('.viewer')[0].querySelectorAll('.slice')].filter(one => one.checkVisibility())"
"""The slices of the first case that can be seen."""
FILES = ("first/report.html", "second/report.html", "comparison.html")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1400])
@pytest.mark.parametrize("file", FILES)
def test_fits_the_screen_and_is_silent(screen, pages, file, width, dark):
    screen.open(pages.runs / file, width=width, dark=dark)
    assert screen.js("innerWidth") == width
    assert screen.js("document.documentElement.scrollWidth") <= width
    assert screen.requests == [(pages.runs / file).resolve().as_uri()]
    assert screen.complaints == []


def test_complaints_and_requests_are_noticed(screen, tmp_path):
    """Or the test above could not fail."""
    bad = tmp_path / "bad.html"
    bad.write_text("<title>x</title><img src='http://127.0.0.1:9/x.png'><script>nothing.here()</script>")
    screen.open(bad, width=390)
    assert "http://127.0.0.1:9/x.png" in screen.requests
    assert screen.complaints


def test_policy_stops_what_is_not_in_the_page(screen, pages):
    screen.open(pages.runs / FILES[0], width=390)
    refused = "fetch('http://127.0.0.1:9/').then(() => 'loaded', error => error.message)"
    assert screen.js(refused) == "Failed to fetch"
    assert "Content Security Policy" in json.dumps(screen.complaints)


def test_theme_follows_the_system(screen, pages):
    found = {}
    for dark in (False, True):
        screen.open(pages.runs / FILES[0], width=1400, dark=dark)
        found[dark] = screen.js("getComputedStyle(document.body).backgroundColor")
    light, dark = (sum(map(int, found[one][4:-1].split(","))) for one in (False, True))
    assert light > 700
    assert dark < 120


def test_slider_changes_the_picture_from_the_keyboard(screen, pages):
    screen.open(pages.runs / FILES[0], width=390)
    picture = f"{SEEN}.map(one => one.querySelector('img').src)"
    name = "document.querySelector('.viewer output').value"
    slider = "document.querySelector('.viewer input[type=range]')"
    screen.js(f"{slider}.focus()")
    before, told, place = screen.js(picture), screen.js(name), screen.js(f"{slider}.valueAsNumber")
    screen.press("ArrowRight", 39)
    after = screen.js(picture)
    assert (len(before), len(after)) == (1, 1)
    assert after != before
    assert screen.js(f"{slider}.valueAsNumber") == place + 1
    assert screen.js(name) != told
    assert screen.js(f"{slider}.getAttribute('aria-valuetext')") == screen.js(name)
    screen.press("ArrowLeft", 37)
    assert screen.js(picture) == before
    screen.press("Home", 36)
    first = screen.js(name)
    screen.press("End", 35)
    assert int(first.split()[2]) < int(screen.js(name).split()[2])
    assert len(screen.js(picture)) == 1


def test_outlines_can_be_switched_off(screen, pages):
    screen.open(pages.runs / FILES[0], width=390)
    shown = (
        "['prediction', 'reference'].map(what => "
        f"{SEEN}[0].querySelectorAll('.' + what).values().some(one => one.checkVisibility()))"
    )
    assert screen.js(shown) == [True, True]
    screen.js("document.querySelector('.viewer input[value=prediction]').click()")
    assert screen.js(shown) == [False, True]
    screen.js("document.querySelector('.viewer input[value=reference]').click()")
    assert screen.js(shown) == [False, False]
    screen.js("document.querySelector('.viewer input[value=prediction]').click()")
    assert screen.js(shown) == [True, False]


def test_outlines_lie_on_their_scan(screen, pages):
    """Image and drawing fill the same box, with the same ratio of width to height."""
    screen.open(pages.runs / FILES[0], width=390)
    boxes = screen.js(
        f"{SEEN}.map(one => [one.querySelector('img'), one.querySelector('svg')])"
        ".map(([img, svg]) => [img.naturalWidth / img.naturalHeight, svg.viewBox.baseVal.width / "
        "svg.viewBox.baseVal.height, ...['left', 'top', 'width', 'height'].map(key => "
        "img.getBoundingClientRect()[key] - svg.getBoundingClientRect()[key])])"
    )
    (ratio, drawn, *apart) = boxes[0]
    assert ratio == pytest.approx(drawn, rel=0.02)
    assert apart == [0, 0, 0, 0]


def test_without_script_one_slice_is_seen(screen, pages):
    screen.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        screen.open(pages.runs / FILES[0], width=390)
        assert screen.js(f"{SEEN}.length") == 1
    finally:
        screen.ask("Emulation.setScriptExecutionDisabled", value=False)


def test_table_is_copied_and_downloaded_as_it_is(screen, pages):
    screen.open(pages.runs / FILES[0], width=390)
    screen.js("document.querySelector('.copy button').click()")
    chosen = screen.js("getSelection().toString() || document.querySelector('.copy textarea').value")
    links = screen.js("[...document.querySelectorAll('.copy a')].map(one => [one.download, one.href])")
    assert [name for name, _ in links] == ["scores.tex", "scores.csv"]
    assert unquote(links[0][1].partition(",")[2]) == chosen
    assert chosen.startswith(r"\begin{table}")
    assert screen.complaints == []


def test_evil_names_do_nothing(screen, facts, example, tmp_path):
    presence = Presence(table=EVIL, unit="cases", modalities=("flair",), wanted={}, available={EVIL: ("flair",)})
    papers = {"scores.csv": EVIL + "</textarea>" + EVIL}
    path = tmp_path / "evil.html"
    material = Material(facts=facts, presence=presence, examples=[example], papers=papers)
    path.write_text(run_page(material), encoding="utf-8")
    screen.open(path, width=390)
    assert screen.js("window.evil === undefined")
    assert screen.requests == [path.resolve().as_uri()]
    assert screen.complaints == []
    assert screen.js("document.documentElement.scrollWidth") <= 390
    assert screen.js("document.querySelector('h1').textContent") == f"Run {EVIL}"
