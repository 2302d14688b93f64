"""``hga report``: a page for each run, whatever state it is in, and one that compares several."""

import json
import re
import shutil

import pytest

from hga_cli.data.store import Store


@pytest.fixture(scope="module")
def evaluated(hga, road, tmp_path_factory):
    """A folder of runs with one that was evaluated."""
    runs = tmp_path_factory.mktemp("evaluated") / "runs"
    road.copy_of_run(runs, "done")
    hga("evaluate", "done", "--runs-dir", runs, "--device", "cpu")
    return runs


@pytest.fixture
def runs(evaluated, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(evaluated, tmp_path / "runs")


@pytest.fixture
def report(hga, runs):
    def run(*words, code=0):
        return hga("report", *words, "--runs-dir", runs, "--device", "cpu", "--json", code=code)

    return run


def text(path):
    return path.read_text(encoding="utf-8")


def change(path, **values):
    """Change the top of a JSON file."""
    path.write_text(json.dumps({**json.loads(text(path)), **values}))


def test_page_of_an_evaluated_run(report, runs, road):
    (page,) = report("done").document["pages"]
    test = Store(road.store).split("default").test
    assert page["file"] == str(runs / "done" / "report.html")
    assert sorted(page["cases"]) == sorted(test)
    assert page["not_shown"] == []
    made = text(runs / "done" / "report.html")
    assert page["bytes"] == len(made.encode()) < 5_000_000
    for case in test:
        assert f"case: {case}, Dice" in made
    assert "not finished" not in made
    assert "Not shown" not in made
    assert "Not the Dice that was measured" not in made


def test_numbers_of_the_page_are_those_of_the_evaluation(report, runs):
    report("done")
    made, metrics = text(runs / "done" / "report.html"), json.loads(text(runs / "done" / "metrics.json"))
    start = made.index("<caption>Dice in %")
    found = made[start : made.index("</table>", start)]
    for name, row in metrics["combinations"].items():
        line = found[found.index(f'class="name">{name}<') :]
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", line[: line.index("</tr>")])
        assert cells == [*(f"{100 * one['dice']:.1f}" for one in row.values()), str(row["WT"]["n"])]


def test_realised_rates_are_those_of_the_table(report, runs, road):
    report("done")
    made, realised = text(runs / "done" / "report.html"), road.said["make-imbalance"].document["realised"]
    start = made.index("<caption>Missing rates")
    rows = re.findall(r">(\w+)</th><td>[^<]*</td><td>([^<]*)</td>", made[start:])
    assert dict(rows) == {name: f"{rate:.2f}" for name, rate in realised.items()}


def test_paper_tables(report, runs):
    report("done")
    made = text(runs / "done" / "report.html")
    assert r"\begin{tabular}" in made
    assert "run,combination,region,dice,hd95_mm,cases" in made


def test_chosen_combination(report, runs, road):
    (page,) = report("done", "--combination", "t2").document["pages"]
    store = Store(road.store)
    assert set(page["cases"]) <= {case for case in store.split("default").test if "t2" in store.cases[case].modalities}
    assert "predicted from t2, drawn on t2" in text(runs / "done" / "report.html")


def test_run_that_was_not_evaluated(report, runs):
    (runs / "done" / "metrics.json").unlink()
    (page,) = report("done").document["pages"]
    assert page["cases"] == []
    assert "was not evaluated" in page["not_shown"][0]
    assert "hga evaluate done" in text(runs / "done" / "report.html")


def test_run_that_was_killed(report, runs):
    """The second line of the journal is cut, there is no checkpoint, and nothing was scored."""
    (runs / "done" / "metrics.json").unlink()
    shutil.rmtree(runs / "done" / "checkpoints")
    change(runs / "done" / "run.json", status="running")
    journal = runs / "done" / "journal.jsonl"
    journal.write_text(text(journal)[:-40])
    report("done")
    made = text(runs / "done" / "report.html")
    assert "This training is not finished: 1 of 2 epochs." in made
    assert "hga train --resume --run done" in made


def test_store_is_gone(report, runs, tmp_path, road):
    change(runs / "done" / "run.json", store=str(tmp_path / "gone"))
    outcome = report("done")
    (page,) = outcome.document["pages"]
    assert page["cases"] == []
    assert "gone" in page["not_shown"][0]
    assert "gone" in outcome.err
    made = text(runs / "done" / "report.html")
    assert made.count("Not shown: ") == 2
    assert "<caption>Dice in %" in made
    assert report("done", "--dataset", road.store).document["pages"][0]["not_shown"] == []


@pytest.mark.parametrize(
    ("part", "says"), [("model", "has another model now"), ("split", "has another split 'default' now")]
)
def test_something_else_than_what_was_scored(report, runs, part, says):
    path = runs / "done" / "metrics.json"
    origin = json.loads(text(path))["origin"]
    origin[part]["digest"] = "0" * 32
    change(path, origin=origin)
    (page,) = report("done").document["pages"]
    assert page["cases"] == []
    assert says in page["not_shown"][0]
    assert "<img" not in text(runs / "done" / "report.html")


def test_scores_of_another_model_are_said_to_be_so_and_promise_nothing(report, runs):
    """On both pages; what to expect is then what validation measured, as ``hga predict`` says."""
    shutil.copytree(runs / "done", runs / "other")
    path = runs / "done" / "metrics.json"
    origin = json.loads(text(path))["origin"]
    change(path, origin={**origin, "model": {**origin["model"], "digest": "0" * 32}})
    report("done", "other")
    said = "The scores of run {} are of another model than it has now."
    made, other, both = (text(runs / name) for name in ("done/report.html", "other/report.html", "comparison.html"))
    assert [said.format("done") in page for page in (made, other, both)] == [True, False, True]
    assert said.format("other") not in both
    assert ["(mean in validation)" in page for page in (made, other)] == [True, False]


def test_rules_stand_beside_the_scores(report, runs):
    shutil.copytree(runs / "done", runs / "other")
    shutil.copytree(runs / "done", runs / "third")
    rules = json.loads(text(runs / "third" / "metrics.json"))["conventions"]
    change(runs / "third" / "metrics.json", conventions={**rules, "name": "mine", "hd95": "maximum, mm"})
    report("done", "other", "third")
    made = text(runs / "comparison.html")
    assert f"done, other: Convention &#x27;{rules['name']}&#x27;: " in made
    assert re.search(r"third: Convention &#x27;mine&#x27;: [^<]* HD95: maximum, mm\.</p>", made)
    lines = made[made.index("run,combination,region") :].splitlines()
    assert lines[0].endswith(",cases,convention,hd95_definition")
    assert {tuple(line.split(",")[-2:]) for line in lines if line.startswith("third,")} == {("mine", "maximum")}


def test_table_was_made_again(report, runs):
    about = json.loads(text(runs / "done" / "run.json"))
    change(runs / "done" / "run.json", sources={**about["sources"], "available": "0" * 32})
    (page,) = report("done").document["pages"]
    assert "another split 'default' or table" in page["not_shown"][0]
    assert "<caption>Missing rates" not in text(runs / "done" / "report.html")
    assert page["cases"]


def test_scores_that_the_model_does_not_reach(report, runs):
    path = runs / "done" / "metrics.json"
    rows = json.loads(text(path))["cases"]
    for row in rows:
        row["raw_dice"] = 0.123
    change(path, cases=rows)
    report("done")
    assert "Not the Dice that was measured: WT 0.123, now " in text(runs / "done" / "report.html")


def test_unknown_scores_are_dashes(report, runs):
    """JSON has null where a convention leaves all cases out."""
    path = runs / "done" / "metrics.json"
    document = json.loads(text(path))
    for row in (*document["combinations"].values(), document["mean"]):
        row["ET"].update(dice=None, hd95=None)
    for values in document["overall"]["ET"].values():
        values.update(dict.fromkeys(values))
    document["worst"]["ET"] = None
    path.write_text(json.dumps(document))
    report("done")
    made = text(runs / "done" / "report.html")
    assert "n/a" in made[made.index("tabular") :]
    assert ">nan<" not in made


def test_two_runs(report, runs, road):
    road.copy_of_run(runs, "other")
    shutil.copy(runs / "done" / "metrics.json", runs / "other" / "metrics.json")
    rows = json.loads(text(runs / "other" / "metrics.json"))["cases"]
    change(runs / "other" / "metrics.json", cases=[{**row, "dice": row["dice"] + 0.1} for row in rows])
    document = report("done", "other").document
    assert [page["run"] for page in document["pages"]] == ["done", "other"]
    assert document["comparison"]["runs"] == ["done", "other"]
    assert document["comparison"]["file"] == str(runs / "comparison.html")
    made = text(runs / "comparison.html")
    start = made.index("<caption>other - done")
    row = re.search(r">WT Dice %</th>(.*?)</tr>", made[start:]).group(1)
    cells = re.findall(r"<td>([^<]*)</td>", row)
    assert cells[3:5] == ["+10.0", "+10.0 to +10.0"]
    assert float(cells[1]) == pytest.approx(float(cells[2]) + 10, abs=0.11)
    assert (runs / "done" / "report.html").exists()
    assert (runs / "other" / "report.html").exists()


def test_comparison_where_it_is_wanted(report, runs, road, tmp_path):
    """The second run was not evaluated: its curves are there, and the page says what is missing."""
    road.copy_of_run(runs, "other")
    document = report("done", "other", "-o", tmp_path / "both.html").document
    assert document["comparison"]["file"] == str(tmp_path / "both.html")
    assert document["comparison"]["not_shown"] == ["other - done: run 'other' was not evaluated"]
    made = text(tmp_path / "both.html")
    assert "hga evaluate other" in made
    start = made.index('aria-label="Loss: done from')
    assert made[start : made.index("</svg>", start)].count("<polyline") == 2
    assert not (runs / "comparison.html").exists()


def test_other_rules_cannot_be_compared(report, runs):
    shutil.copytree(runs / "done", runs / "other")
    rules = json.loads(text(runs / "other" / "metrics.json"))["conventions"]
    change(runs / "other" / "metrics.json", conventions={**rules, "name": "brats"})
    (reason,) = report("done", "other").document["comparison"]["not_shown"]
    assert "scored by different rules" in reason


def test_settings_that_differ(report, runs):
    shutil.copytree(runs / "done", runs / "other")
    config = runs / "other" / "config.toml"
    config.write_text(re.sub(r"^seed = \d+", "seed = 7", text(config), count=1, flags=re.MULTILINE))
    report("done", "other")
    made = text(runs / "comparison.html")
    start = made.index("<caption>All others are the same")
    assert re.findall(r'<th scope="row">([^<]*)', made[start : made.index("</table>", start)]) == ["seed"]


def test_runs_of_the_same_name_are_told_apart(report, runs, road, tmp_path):
    other = road.copy_of_run(tmp_path / "elsewhere", "done")
    assert report("done", other).document["comparison"]["runs"] == [str(runs / "done"), str(other)]


def test_page_is_replaced_by_a_page(report, runs):
    report("done")
    before = text(runs / "done" / "report.html")
    report("done", "--combination", "flair")
    assert text(runs / "done" / "report.html") != before


def test_runs_in_words(hga, runs):
    out = hga("report", "done", "--runs-dir", runs, "--device", "cpu").out
    assert re.match(rf"written: {re.escape(str(runs / 'done' / 'report.html'))} \(\d+\.\d MB\)", out)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["dona"], 3, ["no run 'dona'", "did you mean 'done'?"]),
        (["done", "done"], 2, ["run 'done' is named twice"]),
        (["done", "-o", "page.txt"], 2, ["page.txt", ".html"]),
        (["done", "--combination", "flair+t3"], 2, ["no modality called 't3'", "known: flair, t1, t1ce, t2"]),
        (["done", "--set", "seed=1"], 2, ["change nothing here"]),
        (["done", "--device", "cuda:99"], 5, ["cuda:99"]),
    ],
    ids=["unknown run", "twice", "no page", "unknown modality", "settings", "device"],
)
def test_refusals(hga, runs, words, code, says):
    device = [] if "--device" in words else ["--device", "cpu"]
    hga.refuses("report", *words, *device, "--runs-dir", runs, code=code, says=says)
    assert not list(runs.rglob("*.html"))


def test_foreign_file_is_kept(hga, runs, tmp_path):
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    words = ["done", "-o", tmp_path / "mine.html", "--device", "cpu", "--runs-dir", runs]
    hga.refuses("report", *words, code=3, says=["is there already", "-o page.html"])
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.toml", None, "has no config.toml"),
        ("config.toml", "= 1", "is damaged"),
        ("metrics.json", "{", "is damaged"),
        (
            "metrics.json",
            '{"conventions": {}, "overall": {}, "mean": {}, "cases": []}',
            "does not say which model was scored",
        ),
        ("run.json", "[]", "is damaged"),
    ],
    ids=["no config", "config", "metrics", "scores of masks", "run"],
)
def test_damaged_runs(hga, runs, file, content, says):
    path = runs / "done" / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    hga.refuses("report", "done", "--runs-dir", runs, "--device", "cpu", code=3, says=says)
    assert not (runs / "done" / "report.html").exists()


def test_help(hga):
    out = hga("report", "--help", env={"COLUMNS": "100"}).out
    assert "Examples:" in out
    assert "hga report my-run" in out
