"""A page is whole, says what is missing, and runs no name."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from _evil import EVIL

from hga_cli.core.errors import DataError
from hga_cli.reporting.comparison_page import comparison_page
from hga_cli.reporting.page import POLICY
from hga_cli.reporting.presence import Presence
from hga_cli.reporting.run_page import Material, run_page

VOID = {"img", "input", "meta"}


class Reader(HTMLParser):
    """Collects elements, and insists that each one is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def presence():
    return Presence(
        table=EVIL,
        unit="cases",
        modalities=("flair", "t2"),
        wanted={"flair": 0.5},
        available={"a": ("flair",), "b": ("flair", "t2"), "c": ("flair",), "d": ("t2",)},
    )


@pytest.fixture
def page(facts, example, presence):
    """The page of a run in which everything that can have a name has an evil one."""
    papers = {"scores.tex": EVIL, "scores.csv": EVIL}
    return run_page(Material(facts=facts, presence=presence, examples=[example], papers=papers))


def test_names_stay_text(page, facts, example):
    both = comparison_page({EVIL: facts, "other": facts}, {"other": DataError(EVIL, hint=EVIL)}, {"x.csv": EVIL})
    for text in (page, both):
        read = Reader(text)
        assert len(read.all("script")) == 1
        assert not any("onerror" in attributes for _, attributes in read.elements)
        assert any(EVIL in word for word in read.words)


def test_nothing_is_loaded(page):
    read = Reader(page)
    for _, attributes in read.elements:
        for key in ("src", "href", "action", "srcset", "poster", "xlink:href", "style"):
            assert re.match(r"data:|#|background:rgb\(|$", attributes.get(key) or ""), attributes
    (policy,) = [one["content"] for one in read.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == POLICY
    assert "url(" not in page
    assert "@import" not in page
    assert {tag for tag, _ in read.elements} & {"link", "iframe", "object", "embed", "base", "form"} == set()


def test_pictures_and_controls_have_names(page):
    read = Reader(page)
    assert all(one["alt"] for one in read.all("img"))
    named = {one["for"] for one in read.all("label") if "for" in one}
    for one in read.all("input"):
        assert one["id"] in named or one["type"] == "checkbox"
    assert all((one.get("role") == "img" and one["aria-label"]) or one.get("aria-hidden") for one in read.all("svg"))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for one in read.all("a") if one["href"].startswith("#")} <= set(ids)


def test_only_one_slice_is_seen_before_the_script_runs(page):
    slices = [one for one in Reader(page).all("div") if one.get("class") == "slice"]
    assert len(slices) == 3
    (seen,) = [one for one in slices if "hidden" not in one]
    assert seen["data-name"] == "axial slice 32 of 60"


def test_unfinished_run_says_so(page, facts, example, presence):
    words = " ".join(Reader(page).words)
    assert "This training is not finished: 2 of 3 epochs." in words
    assert "was not evaluated" in words
    finished = replace(facts, about={**facts.about, "status": "finished"})
    assert "not finished" not in run_page(Material(facts=finished, presence=presence, examples=[example]))


def test_validation_stands_in_for_scores(page):
    """WT in flair, t2, flair+t2; None is shown as a dash."""
    start = page.index("latest validation")
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page[start : page.index("</table>", start)])
    assert cells == ["50.0", "-", "30.0", "10.0", "50.0", "-"]


def test_realised_missing_rates(page):
    start = page.index("<caption>Missing rates")
    found = page[start : page.index("</table>", start)]
    assert re.findall(r">(\w+)</th><td>([^<]*)</td><td>([^<]*)</td>", found) == [
        ("flair", "0.50", "0.25"),
        ("t2", "-", "0.50"),
    ]


def test_missing_parts_say_why(facts):
    lost = DataError("the store is gone", hint="name it with --dataset")
    words = " ".join(Reader(run_page(Material(facts=facts, presence=lost, examples=lost))).words)
    assert words.count("Not shown: the store is gone. What helps: name it with --dataset.") == 2


def test_run_that_never_finished_an_epoch(facts, example, presence):
    started = replace(facts, epochs=[])
    words = " ".join(Reader(run_page(Material(facts=started, presence=presence, examples=[example]))).words)
    assert "0 of 3 epochs" in words
    assert "No epoch was finished yet" in words
    assert "was never measured" in words


def test_curves_of_each_modality_in_the_order_of_the_data_set(page):
    start = page.index("Loss term")
    legend = page[page.index('class="legend"', start) :]
    assert re.findall(r"<li[^>]*>([^<]*)<", legend)[:2] == ["flair", "t2"]


def test_method_without_preference(facts, presence, example):
    plain = replace(facts, epochs=[{**line, "rho": {}} for line in facts.epochs])
    text = run_page(Material(facts=plain, presence=presence, examples=[example]))
    assert "this method does not use them" in text
    assert "beta: weight" not in text
    assert "beta: weight" in run_page(Material(facts=facts, presence=presence, examples=[example]))
