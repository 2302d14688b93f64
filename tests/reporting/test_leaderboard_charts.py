"""Curves of a leaderboard: validation over optimiser steps, with numbers that were computed by hand."""

import json
import re
from xml.etree import ElementTree

import pytest
from _evil import EVIL
from _runs import COMBINATIONS, Runs, scores
from test_run_page import Reader

from hga_cli.core.digest import digest
from hga_cli.data.store import Store
from hga_cli.reporting.charts import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH
from hga_cli.workflows.leaderboard import leaderboard

SVG = "{http://www.w3.org/2000/svg}"
ALL = "leaderboard-brats-default-test-convention-hga-no-imbalance-table-all.svg"


@pytest.fixture
def known(tiny_folder):
    """Where a run was trained so that its rarest modality is known: it is t2."""
    store = Store(tiny_folder / "data" / "brats")
    available = {case: store.cases[case].modalities for case in store.split("default").train}
    return {"sources": {"available": digest(available)}, "store": store.path}


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "runs")


def add(runs, name, curve, *, dice=0.5, combinations=COMBINATIONS, **more):
    """A run with a validation at each step of ``curve``: step -> Dice with flair, t2, both (WT 0.1 above ET).

    Epochs have 7 steps; the first has no validation.
    """
    run = runs.add(name, scores(dice, dice, dice), **more)
    lines = [{"epoch": 0, "step": 7}]
    for step, values in curve.items():
        table = {
            one: {"WT": None if value is None else value + 0.05, "ET": None if value is None else value - 0.05}
            for one, value in zip(combinations, values, strict=True)
        }
        validation = {"mean": -1, "combinations": table, "pairs": {}}
        lines.append({"epoch": step // 7 - 1, "step": step, "validation": validation})
    (run.path / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return run


def curves(found):
    return {entry["label"]: entry["curve"] for board in found["boards"] for entry in board["entries"]}


def pictures(found):
    """Name of each SVG file -> its root."""
    return {
        path.rpartition("/")[2]: ElementTree.parse(path).getroot() for path in found["files"] if path.endswith(".svg")
    }


def words(root):
    return " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def places(root):
    """The points of each curve."""
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split(" ")]
        for line in root.iter(f"{SVG}polyline")
    ]


def test_mean_over_seeds_at_the_steps_that_all_have(runs):
    add(runs, "a", {14: (0.2, 0.3, 0.4), 28: (0.3, 0.4, 0.5), 35: (0.9, 0.9, 0.9)})
    add(runs, "b", {14: (0.4, 0.5, 0.6), 21: (0.1, 0.1, 0.1), 28: (0.7, 0.8, 0.9)}, seed=2)
    (curve,) = curves(leaderboard(runs.path)).values()
    assert curve["steps"] == [14, 28]
    assert curve["dice"] == pytest.approx([0.4, 0.6])


def test_a_value_that_one_seed_does_not_know_is_none(runs):
    """A mean over the other seeds would make a jump that no seed made."""
    add(runs, "a", {14: (0.2, 0.2, 0.2), 28: (None, None, None), 42: (0.4, 0.4, 0.4)})
    add(runs, "b", {14: (0.4, 0.4, 0.4), 28: (0.9, 0.9, 0.9), 42: (0.6, 0.6, 0.6)}, seed=2)
    found = leaderboard(runs.path)
    document = json.loads((runs.path / "leaderboard.json").read_text(encoding="utf-8"))
    (curve,) = curves(document).values()
    assert curve["dice"] == [pytest.approx(0.3), None, pytest.approx(0.5)]
    assert [len(line) for line in places(pictures(found)[ALL])] == [2]


def test_places_are_steps(runs):
    """Step 21 lies a third of the way from 14 to 35, whatever the epochs are."""
    add(runs, "a", {14: (0.1, 0.1, 0.1), 21: (0.2, 0.2, 0.2), 35: (0.3, 0.3, 0.3)})
    root = pictures(leaderboard(runs.path))[ALL]
    ((first, second, third),) = places(root)
    assert (first[0], third[0]) == (LEFT, WIDTH - RIGHT)
    assert second[0] == pytest.approx(LEFT + (WIDTH - LEFT - RIGHT) / 3, abs=0.06)
    assert HEIGHT - BOTTOM == first[1] > second[1] > third[1]
    assert "optimiser step" in words(root)


def test_rarest_is_the_mean_over_the_combinations_that_contain_it(runs, known):
    add(runs, "a", {14: (0.9, 0.1, 0.5), 28: (0.9, 0.3, 0.7)}, **known)
    found = leaderboard(runs.path)
    (curve,) = curves(found).values()
    assert curve["with_rarest"] == ["t2", "flair+t2"]
    assert curve["rarest"] == pytest.approx([0.3, 0.5])
    assert curve["dice"] == pytest.approx([0.5, 1.9 / 3])
    told = {name.rpartition("-")[2]: words(root) for name, root in pictures(found).items()}
    assert told.keys() == {"all.svg", "rarest.svg"}
    assert "over the 2 combinations with t2, the rarest modality" in told["rarest.svg"]
    assert "over all 3 combinations" in told["all.svg"]


def test_no_chart_of_a_rarest_modality_that_nobody_knows(runs):
    add(runs, "a", {14: (0.9, 0.1, 0.5)})
    found = leaderboard(runs.path)
    assert list(pictures(found)) == [ALL]
    assert curves(found)["joint"]["with_rarest"] == []
    assert "the rarest modality" not in words(pictures(found)[ALL])


def test_each_table_has_charts_of_its_own(runs):
    for table in ("mr2468", "even"):
        add(runs, f"joint-{table}", {14: (0.1, 0.1, 0.1), 28: (0.2, 0.2, 0.2)}, imbalance=table)
        add(runs, f"hga-{table}", {14: (0.3, 0.3, 0.3), 28: (0.4, 0.4, 0.4)}, imbalance=table, method="hga")
    found = pictures(leaderboard(runs.path))
    assert {re.sub(r".*-table-", "", name) for name in found} == {"mr2468-all.svg", "even-all.svg"}
    for name, root in found.items():
        assert len(places(root)) == 2
        assert ("mr2468" in words(root)) == ("mr2468" in name)


def test_curves_of_other_combinations_are_not_in_one_chart(runs):
    """A run that was validated with flair alone would look better than it is."""
    add(runs, "all", {14: (0.1, 0.1, 0.1), 28: (0.2, 0.2, 0.2)})
    run = add(runs, "one", {14: [0.8], 28: [0.9]}, method="hga", combinations=["flair"])
    text = run.config_file.read_text(encoding="utf-8")
    assert text.count('\ncombinations = "all"') == 1
    run.write_config(text.replace('\ncombinations = "all"', '\ncombinations = "flair"'))
    found = pictures(leaderboard(runs.path))
    assert [len(places(root)) for root in found.values()] == [1, 1]
    told = [words(root) for root in found.values()]
    assert sum("mean over flair" in one for one in told) == sum("over all 3 combinations" in one for one in told) == 1


def test_file_is_readable_on_its_own(runs):
    """Every look has a rule in the file, with a colour that needs no page, on white."""
    for number in range(10):
        add(runs, f"r{number}", {14: (0.1,) * 3, 28: (0.2 + number / 99,) * 3}, learning_rate=float(number + 1))
    root = pictures(leaderboard(runs.path))[ALL]
    style = root.find(f"{SVG}style").text
    assert "var(" not in style
    background = root.find(f"{SVG}rect")
    assert background.get("fill") == "#ffffff"
    assert (background.get("width"), background.get("height")) == tuple(root.get("viewBox").split()[2:])
    looks = {line.get("class").split()[0] for line in root.iter(f"{SVG}polyline")}
    assert all(re.search(rf"\.{look}{{stroke:#\w{{6}}", style) for look in looks)
    assert not [one for one in root.iter() if not one.tag.startswith(SVG) or "href" in one.attrib]


def test_ten_curves_differ_without_their_colours(runs):
    """In the shape of their marks or in being dashed, and the legend has the same."""
    for number in range(10):
        add(runs, f"r{number}", {14: (0.1,) * 3, 28: (0.2 + number / 99,) * 3}, learning_rate=float(number + 1))
    root = pictures(leaderboard(runs.path))[ALL]

    def looks(parent, line):
        found = [one for one in root.iter(f"{SVG}g") if (one.find(f"{SVG}{line}") is not None) and parent(one)]
        for group in found:
            (mark, *_) = [one for one in group if (one.get("class") or "").startswith("mark")]
            shape = {key: value for key, value in mark.attrib.items() if key in ("d", "r")}
            yield str(shape), "again" in group.find(f"{SVG}{line}").get("class")

    def is_curve(group):
        return group.find(f"{SVG}title") is not None

    def is_key(group):
        return len(group.findall(f"{SVG}line")) == 1 and group.find(f"{SVG}g") is not None

    curves, keys = list(looks(is_curve, "polyline")), list(looks(is_key, "line"))
    assert len(set(curves)) == 10
    assert keys == curves


def test_names_cannot_break_the_file(runs):
    add(runs, "a", {14: (0.1,) * 3, 28: (0.2,) * 3}, imbalance=EVIL)
    add(runs, "b", {14: (0.1,) * 3, 28: (0.3,) * 3}, imbalance="odd\u0001<&")
    found = leaderboard(runs.path)
    for path, root in pictures(found).items():
        assert re.fullmatch(r"[a-z0-9.-]+", path)
        assert not list(root.iter(f"{SVG}script")) + list(root.iter(f"{SVG}img"))
    Reader((runs.path / "leaderboard.html").read_text(encoding="utf-8"))


def test_files_are_listed_and_told(runs, hga, known):
    add(runs, "a", {14: (0.9, 0.1, 0.5), 28: (0.9, 0.3, 0.7)}, **known)
    files = hga("report", "--leaderboard", runs.path, "--json", "-o", runs.path / "mine.html").document["files"]
    assert sorted(files) == sorted(str(path) for path in runs.path.glob("mine*"))
    assert sum(path.endswith(".svg") for path in files) == 2
    out = hga("report", "--leaderboard", runs.path, "-o", runs.path / "mine.html").out
    written = re.sub(r"\s", "", out.partition("written:")[2])
    assert all(re.sub(r"\s", "", path) in written for path in files)


def test_a_file_of_somebody_else_is_not_replaced(runs, hga):
    add(runs, "a", {14: (0.1,) * 3, 28: (0.2,) * 3})
    (runs.path / ALL).write_text("mine")
    hga.refuses("report", "--leaderboard", runs.path, code=3, says=[f"{ALL}' is there already"])
    assert (runs.path / ALL).read_text() == "mine"
    assert not (runs.path / "leaderboard.html").exists()


def test_page_has_the_charts_and_says_who_has_none(runs, hga, known):
    add(runs, "a", {14: (0.9, 0.1, 0.5), 28: (0.9, 0.3, 0.7)}, **known)
    runs.add("never", scores(0.5, 0.5, 0.5), method="hga", **known)
    out = hga("report", "--leaderboard", runs.path).out
    assert "without curve: 1 of 2 entries, never validated" in out
    page = (runs.path / "leaderboard.html").read_text(encoding="utf-8")
    assert page.count('<figure class="chart">') == 2
    assert "mean over the 2 combinations with t2, the rarest modality</figcaption>" in page
    assert "so without curve: hga.</p>" in page
    Reader(page)


def test_nobody_was_validated(runs):
    runs.add("never", scores(0.5, 0.5, 0.5))
    found = leaderboard(runs.path)
    assert (pictures(found), curves(found)) == ({}, {"joint": None})


def test_of_many_entries_the_best_are_shown(runs):
    for number in range(12):
        add(runs, f"r{number}", {14: (0.1,) * 3, 28: (0.2,) * 3}, dice=0.3 + number / 50, learning_rate=number + 1.0)
    found = leaderboard(runs.path)
    told = words(pictures(found)[ALL])
    assert {int(rate) for rate in re.findall(r"learning_rate=(\d+)\.", told)} == set(range(3, 13))
    sentence = "Of 12 entries the 10 with the best Dice on the board are shown."
    assert sentence in told
    assert sentence in (runs.path / "leaderboard.html").read_text(encoding="utf-8")
    assert len([one for one in curves(found).values() if one]) == 12
