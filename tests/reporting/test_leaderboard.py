"""``hga report --leaderboard``: numbers that were computed by hand, and nothing mixed that cannot be compared."""

import csv
import json
import re
from io import StringIO

import pytest
import torch
from _evil import EVIL
from _runs import RULES, Runs, metrics, scores
from test_run_page import Reader

from hga_cli.core.config import resolve
from hga_cli.core.digest import digest
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine.model_file import model_digest, write_model
from hga_cli.workflows.leaderboard import leaderboard
from hga_cli.workflows.leaderboard_entry import ALL_REGIONS

JOINT = {"flair": 0.6, "t2": 0.2, "both": 0.7, "worse": 0.01, "hd95": 8.0}
"""Mean over combinations 0.5, less 0.01, 0.02, ... 0.05 for cases B to F: 0.475 over all."""


@pytest.fixture
def runs(tmp_path):
    """Two seeds of hga, one of joint."""
    made = Runs(tmp_path / "runs")
    made.add("joint-1", scores(**JOINT))
    made.add("hga-1", scores(0.9, 0.3, 0.9, hd95=4.0), method="hga")
    made.add("hga-2", scores(0.9, 0.5, 1.0, hd95=6.0), method="hga", seed=2)
    return made


def entries(runs, **more):
    (board,) = leaderboard(runs.path, **more)["boards"]
    return {entry["label"]: entry for entry in board["entries"]}


def test_numbers(runs):
    """hga: seeds reach 0.7 and 0.8; joint 0.475."""
    found = entries(runs)
    assert list(found) == ["hga", "joint"]
    hga = found["hga"]
    assert (hga["runs"], hga["seeds"]) == (["hga-1", "hga-2"], [1, 2])
    assert hga["dice"] == pytest.approx(0.75)
    assert hga["dice_sd"] == pytest.approx(0.1 / 2**0.5)
    assert hga["hd95"] == pytest.approx(5.0)
    assert hga["worst"] == {"combination": "t2", "dice": pytest.approx(0.4)}
    assert hga["combinations"] == pytest.approx({"flair": 0.9, "t2": 0.4, "flair+t2": 0.95})
    assert hga["regions"]["WT"]["dice"] == pytest.approx(0.8)
    assert hga["regions"]["ET"]["dice"] == pytest.approx(0.7)
    assert found["joint"]["dice"] == pytest.approx(0.475)
    assert found["joint"]["dice_sd"] != found["joint"]["dice_sd"]


def test_a_region_that_does_not_count_is_in_no_mean(tmp_path):
    """WT is 0.05 above the mean of both, ET as much below."""
    runs, rules = Runs(tmp_path / "runs"), {**RULES, "averaged": ["WT"]}
    runs.add("joint-1", scores(**JOINT), rules=rules)
    runs.add("hga-1", scores(0.9, 0.3, 0.9), method="hga", rules=rules)
    found = entries(runs)
    assert (found["hga"]["dice"], found["joint"]["dice"]) == (pytest.approx(0.75), pytest.approx(0.525))
    assert found["hga"]["regions"]["ET"]["dice"] == pytest.approx(0.65)
    assert found["hga"]["differences"][ALL_REGIONS]["dice"]["mean_difference"] == pytest.approx(0.225)


def test_paired_test(runs):
    """Six cases, all better, by 0.25 to 0.30: p is 2 / 2^6 whatever the sizes."""
    found = entries(runs)
    assert found["hga"]["baseline"] == "joint"
    test = found["hga"]["differences"][ALL_REGIONS]["dice"]
    assert test["n"] == 6
    assert test["mean_difference"] == pytest.approx(0.275)
    assert test["p_value"] == pytest.approx(2 / 2**6)
    assert test["effect_size"] == 1.0
    assert 0.25 <= test["low"] < 0.275 < test["high"] <= 0.30
    assert found["hga"]["differences"]["ET"]["dice"]["mean_difference"] == pytest.approx(0.275)
    assert found["hga"]["differences"]["ET"]["hd95"]["mean_difference"] == pytest.approx(-3)
    assert (found["joint"]["baseline"], found["joint"]["differences"]) == (None, {})


def test_pairs_are_cases_under_the_same_combination(tmp_path):
    """The baseline saw F with flair only: F counts with flair alone in both, 0.9 - 0.55 = 0.35 instead of 0.30."""
    runs = Runs(tmp_path)
    runs.add("joint", scores(**JOINT, lacks=[("F", "t2"), ("F", "flair+t2")]))
    runs.add("hga", scores(0.9, 0.4, 0.95), method="hga")
    test = entries(runs)["hga"]["differences"][ALL_REGIONS]["dice"]
    assert test["n"] == 6
    assert test["mean_difference"] == pytest.approx((0.25 + 0.26 + 0.27 + 0.28 + 0.29 + 0.35) / 6)


def test_unknown_scores_count_nowhere(tmp_path):
    """A convention that leaves ET of A out: A counts with WT alone."""
    runs = Runs(tmp_path)
    for name, dice in (("joint", 0.5), ("hga", 0.7)):
        rows = scores(dice, dice, dice)
        for row in rows:
            if (row["case"], row["region"]) == ("A", "ET"):
                row["dice"] = row["hd95"] = None
        runs.add(name, rows, method=name)
    test = entries(runs)["hga"]["differences"]
    assert (test["ET"]["dice"]["n"], test["WT"]["dice"]["n"], test[ALL_REGIONS]["dice"]["n"]) == (5, 6, 6)
    assert test[ALL_REGIONS]["dice"]["mean_difference"] == pytest.approx(0.2)


def test_rarest_modality_is_that_of_the_training_cases(tiny_folder, tmp_path):
    """Of the tiny training cases t2 is lacking most often; with it are t2 and flair+t2: 0.2 and 0.7."""
    store = Store(tiny_folder / "data" / "brats")
    available = {case: store.cases[case].modalities for case in store.split("default").train}
    missing = {name: sum(name not in has for has in available.values()) for name in store.modalities}
    assert [name for name in missing if missing[name] == max(missing.values())] == ["t2"]
    runs = Runs(tmp_path)
    runs.add("joint", scores(0.6, 0.2, 0.7), sources={"available": digest(available)}, store=store.path)
    assert entries(runs)["joint"]["rarest"] == {"modalities": ["t2"], "dice": pytest.approx(0.45)}


def test_store_that_is_gone_is_said(runs):
    found = leaderboard(runs.path)
    assert [one["run"] for one in found["left_out"]] == ["hga-1", "hga-2", "joint-1"]
    assert all("ranked without its rarest modality" in one["reason"] for one in found["left_out"])
    assert found["boards"][0]["entries"][0]["rarest"]["modalities"] == []


@pytest.mark.parametrize(
    "other",
    [{"split": "f" * 32}, {"rules": {**RULES, "name": "brats"}}, {"sources": {"cases": "other"}}],
    ids=["split", "convention", "data"],
)
def test_what_cannot_be_compared_is_not_mixed(runs, other):
    runs.add("elsewhere", scores(1.0, 1.0, 1.0), method="passion", **other)
    first, second = leaderboard(runs.path)["boards"]
    assert [one["runs"] for one in first["entries"]] == [["hga-1", "hga-2"], ["joint-1"]]
    (alone,) = second["entries"]
    assert (alone["runs"], alone["baseline"], alone["differences"]) == (["elsewhere"], None, {})
    assert first["title"] != second["title"]
    made = (runs.path / "leaderboard.html").read_text(encoding="utf-8")
    assert "2 tables: runs on other data" in made
    assert made.count("not compared: passion") == 1


def test_baseline_has_the_same_training_data_and_balancer_equal(runs):
    """Another table, or joint with another balancer, is no baseline."""
    runs.add("hga-rare", scores(0.8, 0.8, 0.8), method="hga", imbalance="rare", sources={"available": "rare"})
    runs.add("joint-pcgrad", scores(0.9, 0.9, 0.9), balancer="pcgrad")
    found = entries(runs)
    assert {label: entry["baseline"] for label, entry in found.items()} == {
        "hga equal none": "joint equal none",
        "joint equal none": None,
        "hga equal rare": None,
        "joint pcgrad none": "joint equal none",
    }


def test_nearest_baseline_is_taken_and_named(runs):
    """Two learning rates of joint: what differs is in the names, and each run has that of its own rate."""
    runs.add("joint-fast", scores(0.1, 0.1, 0.1), learning_rate=1.0)
    runs.add("hga-fast", scores(0.2, 0.2, 0.2), method="hga", learning_rate=1.0)
    found = entries(runs)
    assert found["hga optim.learning_rate=1.0"]["baseline"] == "joint optim.learning_rate=1.0"
    assert found["hga optim.learning_rate=0.0002"]["baseline"] == "joint optim.learning_rate=0.0002"
    assert [found[label]["baseline"] for label in found if label.startswith("joint")] == [None, None]


def test_runs_that_are_not_ranked_and_why(runs):
    runs.add("unscored", None)
    runs.add("again", scores(0.1, 0.1, 0.1))
    half = runs.add("half", scores(1, 1, 1), method="hga", seed=3)
    half.write_about({**half.about(), "status": "running"})
    (runs.add("damaged", None).path / "metrics.json").write_text("{")
    found = leaderboard(runs.path)
    reasons = {one["run"]: one["reason"] for one in found["left_out"] if "rarest" not in one["reason"]}
    assert reasons.keys() == {"unscored", "joint-1", "half", "damaged"}
    assert reasons["unscored"] == "it was not evaluated: hga evaluate RUN"
    assert "the same settings and seed as run 'again'" in reasons["joint-1"]
    assert "--resume --run RUN" in reasons["half"]
    made = (runs.path / "leaderboard.html").read_text(encoding="utf-8")
    for run in reasons:
        assert f"<td>1</td><td>{run}</td>" in made


def test_a_reason_is_told_once_with_its_runs(runs, hga):
    """The store of three runs is gone, two were not evaluated: two lines, and JSON still has five."""
    for name in ("first", "second"):
        runs.add(name, None, method="passion")
    found = hga("report", "--leaderboard", runs.path, "--json").document
    assert len(found["left_out"]) == 5
    lines = [line for line in hga("report", "--leaderboard", runs.path).out.splitlines() if "left out" in line]
    assert sorted(line.partition(":")[2].split(":")[0] for line in lines) == [" 2 runs", " 3 runs"]
    made = (runs.path / "leaderboard.html").read_text(encoding="utf-8")
    assert "hga evaluate RUN</th><td>2</td><td>first, second</td>" in made
    assert "<td>3</td><td>hga-1, hga-2, joint-1</td>" in made


def test_other_settings_than_those_of_the_baseline_are_told(runs, hga):
    """A method that trained for longer: not only the method is judged, and every output says so."""
    runs.add("passion", scores(0.9, 0.9, 0.9), method="passion", epochs=77)
    document = hga("report", "--leaderboard", runs.path, "--json").document
    found = {entry["label"]: entry["other_settings"] for entry in document["boards"][0]["entries"]}
    usual = resolve().optim.epochs
    assert found == {"passion": {"optim.epochs": [77, usual]}, "hga": {}, "joint": {}}
    told = f"optim.epochs 77 instead of {usual}"
    made = {ending: (runs.path / f"leaderboard.{ending}").read_text(encoding="utf-8") for ending in ("html", "csv")}
    assert f"<td>{told}</td>" in made["html"]
    rows = {(row["entry"], row["region"]): row["other_settings"] for row in csv.DictReader(StringIO(made["csv"]))}
    assert (rows["passion", ALL_REGIONS], rows["hga", ALL_REGIONS]) == (told, "")
    assert f"diff. is also of other settings: passion: {told}\n" in hga("report", "--leaderboard", runs.path).out


def test_scores_of_another_model_are_not_ranked(runs):
    """The run was trained on since it was evaluated."""
    run = RunFolder(runs.path / "hga-2")
    run.last.parent.mkdir()
    about = {"config": {"data": {}}, "description": {}, "spacing": None, "label_values": {}, "training": {"step": 1}}
    weights = {"w": torch.zeros(1)}
    write_model(run.last, weights, about)
    found = leaderboard(runs.path)
    (reason,) = [one["reason"] for one in found["left_out"] if one["run"] == "hga-2"]
    assert reason == "its scores are of another model than it has now: hga evaluate RUN"
    assert entries(runs)["hga"]["runs"] == ["hga-1"]
    document = metrics("hga-2", scores(0.9, 0.5, 1.0))
    document["origin"]["model"]["digest"] = model_digest(weights, about)
    (run.path / "metrics.json").write_text(json.dumps(document), encoding="utf-8")
    assert entries(runs)["hga"]["runs"] == ["hga-1", "hga-2"]


def test_files_say_the_same(runs, hga):
    document = hga("report", "--leaderboard", runs.path, "--json", "--set", "evaluation.latex=true").document
    files = {path.rpartition(".")[2]: path for path in document.pop("files")}
    read = {ending: (runs.path / f"leaderboard.{ending}").read_text(encoding="utf-8") for ending in files}
    assert json.loads(read["json"]) == document
    rows = list(csv.DictReader(StringIO(read["csv"])))
    assert [(row["entry"], row["region"]) for row in rows[:3]] == [("hga", ALL_REGIONS), ("hga", "WT"), ("hga", "ET")]
    assert (rows[0]["dice"], rows[0]["dice_sd"], rows[0]["p_value"]) == ("0.7500", "0.0707", "0.0312")
    assert {(row["convention"], row["hd95_definition"]) for row in rows} == {("hga", "pooled")}
    assert "Convention &#x27;hga&#x27;: Both empty: 1. HD95: pooled, mm." in read["html"]
    assert r"hga & 2 & 75.0 (7.1) & n/a & 40.0 & 5.0 & +27.5 & 0.031 \\" in read["tex"]
    assert re.search(r'>hga</th><td>1, 2</td><td style="[^"]*">75.0</td><td>7.1</td>', read["html"])


def test_latex_only_where_it_is_wanted(runs, hga):
    hga("report", "--leaderboard", runs.path, "-o", runs.path / "mine.html")
    assert sorted(path.name for path in runs.path.glob("mine.*")) == ["mine.csv", "mine.html", "mine.json"]


def test_people_see_a_table(runs, hga):
    out = hga("report", "--leaderboard", runs.path).out
    assert re.search(r"hga\s+│\s+2 │\s+75.0 │\s+7.1 │\s+- │\s+40.0 │\s+5.0 │\s+\+27.5 │ 0.031", out)
    assert "HD95 by convention 'hga': pooled, mm" in out
    assert "left out: 3 runs: ranked without its rarest modality" in out


def test_a_terminal_of_80_columns_has_room_for_names(tmp_path, hga):
    """Without a second seed no column says how seeds spread."""
    small = Runs(tmp_path / "runs")
    small.add("joint", scores(**JOINT))
    small.add("published", scores(**JOINT), method="hga-published", imbalance="mr2468")
    small.add("nash", scores(**JOINT), balancer="nashmtl", imbalance="mr2468")
    out = hga("report", "--leaderboard", small.path, env={"COLUMNS": "80"}).out
    for name in ("joint equal none", "hga-published equal mr2468", "joint nashmtl mr2468"):
        assert f"│ {name} " in out
    assert "seeds" not in out


def test_page_is_whole_and_runs_no_name(runs):
    runs.add("x", scores(0.1, 0.1, 0.1), imbalance=EVIL)
    leaderboard(runs.path)
    read = Reader((runs.path / "leaderboard.html").read_text(encoding="utf-8"))
    assert len(read.all("script")) == 1
    assert any(EVIL in word for word in read.words)
    assert not any(key in attributes for _, attributes in read.elements for key in ("src", "onerror"))


def test_page_of_ours_is_replaced_and_no_other(runs, hga):
    leaderboard(runs.path)
    leaderboard(runs.path)
    (runs.path / "other.csv").write_text("mine")
    words = ["report", "--leaderboard", runs.path, "-o", runs.path / "other.html"]
    hga.refuses(*words, code=3, says=["other.csv' is there already", "-o leaderboard.html"])
    assert (runs.path / "other.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "--leaderboard runs"),
        (["--leaderboard", ".", "my-run"], 2, "so RUN has no meaning"),
        (["--leaderboard", ".", "--device", "cpu"], 2, "so --device has no meaning"),
        (["--leaderboard", "absent"], 3, "no run in 'absent'"),
        (["--leaderboard", ".", "-o", "page.csv"], 2, "ends in .html"),
    ],
)
def test_refusals(hga, words, code, says):
    hga.refuses("report", *words, code=code, says=says)


def test_nothing_to_rank(tmp_path, hga):
    Runs(tmp_path).add("unscored", None)
    hga.refuses("report", "--leaderboard", tmp_path, code=3, says=["none of the 1 runs", "hga evaluate RUN"])
