"""``hga evaluate``: the table, the document, the files, and which run, cases and combinations are meant."""

import csv
import json
import shutil
from importlib.resources import files

import numpy as np
import pytest

from hga_cli.core.combinations import all_combinations, combination_name
from hga_cli.core.run_folder import FINISHED, RUNNING, RunFolder
from hga_cli.data.store import Store

MODALITIES = ("flair", "t1ce", "t1", "t2")
ALL = [combination_name(combination) for combination in all_combinations(MODALITIES)]
REGIONS = ["WT", "TC", "ET", "ETpp"]


def on_cpu(runs_dir, *more):
    return ["evaluate", "--runs-dir", runs_dir, "--device", "cpu", *more]


def lines_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def nothing_found(monkeypatch):
    """A model that predicts background everywhere."""

    def background(model, images, backgrounds, combinations, *, overlap):
        shape = next(iter(images.values())).shape
        probabilities = np.zeros((model.description.classes, *shape), np.float32)
        probabilities[0] = 1
        return dict.fromkeys(combinations, probabilities).items()

    monkeypatch.setattr("hga_cli.engine.scoring.each_combination", background)


@pytest.fixture(scope="module")
def scored(hga, road, tmp_path_factory):
    """The road's run, scored on its test cases into a folder of its own."""
    folder = tmp_path_factory.mktemp("scored")
    return folder, hga(*on_cpu(road.runs_dir, "-o", folder, "--json"))


class TestDocument:
    """What ``--json`` and ``metrics.json`` hold."""

    def test_all_combinations_and_regions(self, scored):
        document = scored[1].document
        assert list(document["combinations"]) == ALL
        for rows in document["combinations"].values():
            assert list(rows) == REGIONS
            for row in rows.values():
                assert {"dice", "hd95", "n", "misses", "false_alarms"} <= set(row)
        assert {region: set(row) for region, row in document["mean"].items()} == {
            region: {"dice", "hd95"} for region in REGIONS
        }

    def test_rows_of_cases(self, road, scored):
        rows = scored[1].document["cases"]
        store = Store(road.store)
        wanted = {
            (case, combination_name(combination), region)
            for case in store.split("default").test
            for combination in all_combinations(store.cases[case].modalities)
            for region in REGIONS
        }
        assert {(row["case"], row["combination"], row["region"]) for row in rows} == wanted
        assert len(rows) == len(wanted)
        assert all(0 <= row["dice"] <= 1 for row in rows)

    def test_means_are_means_of_cases(self, scored):
        document = scored[1].document
        for name, regions in document["combinations"].items():
            for region, row in regions.items():
                mine = [one for one in document["cases"] if (one["combination"], one["region"]) == (name, region)]
                assert row["n"] == len(mine)
                for key in ("dice", "hd95"):
                    assert row[key] == pytest.approx(np.mean([one[key] for one in mine]))
        for region in REGIONS:
            dice = [row[region]["dice"] for row in document["combinations"].values()]
            assert document["mean"][region]["dice"] == pytest.approx(np.mean(dice))
            assert document["combinations"][document["worst"][region]][region]["dice"] == min(dice)

    def test_conventions_are_named(self, scored):
        conventions = scored[1].document["conventions"]
        assert conventions["name"] == "hga"
        assert conventions["hd95"] == "pooled, mm"
        assert conventions["regions"]["ETpp"] == 500
        assert "One empty" in conventions["empty"]

    def test_file_is_the_document(self, scored):
        written = json.loads((scored[0] / "metrics.json").read_text())
        assert written == {"run": "road", "split": "test", **scored[1].document}

    def test_table_of_cases(self, scored):
        rows, lines = scored[1].document["cases"], lines_of(scored[0] / "metrics.csv")
        assert "hd95_mm" in lines[0]
        assert "hd95" not in lines[0]
        assert len(lines) == len(rows)
        for row, line in zip(rows, lines, strict=True):
            assert (line["case"], line["combination"], line["region"]) == (
                row["case"],
                row["combination"],
                row["region"],
            )
            assert float(line["dice"]) == row["dice"]
            assert float(line["hd95_mm"]) == row["hd95"]
            assert line["convention"] == "hga"


def test_table_shows_dots_and_numbers(hga, road, tmp_path):
    outcome = hga(*on_cpu(road.runs_dir, "-o", tmp_path))
    document = json.loads((tmp_path / "metrics.json").read_text())
    rows = {line.split()[1]: line.split() for line in outcome.out.splitlines() if line.strip()[:1] in ("●", "○")}
    assert list(rows) == ALL
    for name, row in rows.items():
        assert row[0] == "".join("●" if modality in name.split("+") else "○" for modality in MODALITIES)
        assert row[2:6] == [f"{document['combinations'][name][region]['dice'] * 100:.1f}" for region in REGIONS]
        assert row[6:10] == [f"{document['combinations'][name][region]['hd95']:.1f}" for region in REGIONS]
        assert row[10] == str(document["combinations"][name]["WT"]["n"])
    (mean,) = [line.split() for line in outcome.out.splitlines() if line.split()[:1] == ["mean"]]
    assert mean[1:5] == [f"{document['mean'][region]['dice'] * 100:.1f}" for region in REGIONS]
    for text in ["dots: flair t1ce t1 t2", "Convention 'hga'", "HD95 (pooled, mm)", str(tmp_path / "metrics.json")]:
        assert text in outcome.out


class TestCombinations:
    """``--combinations``."""

    def test_chosen_ones(self, hga, road, tmp_path, scored):
        arguments = ["--combinations", "t2+flair, flair", "-o", tmp_path, "--json"]
        document = hga(*on_cpu(road.runs_dir, *arguments)).document
        assert list(document["combinations"]) == ["flair+t2", "flair"]
        for name, row in document["combinations"].items():
            assert row == scored[1].document["combinations"][name]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("flair+t3", "no modality called 't3'"),
            ("flair+t1cee", "did you mean 't1ce'?"),
            ("flair+flair", "names a modality twice"),
            ("flair,", "no modality called ''"),
            ("", "no modality called ''"),
        ],
    )
    def test_unknown_ones(self, hga, road, tmp_path, text, says):
        hga.refuses(*on_cpu(road.runs_dir, f"--combinations={text}", "-o", tmp_path), code=2, says=says)
        assert list(tmp_path.iterdir()) == []


class TestConvention:
    """``--convention``: what a missed structure costs."""

    @pytest.mark.parametrize(("name", "hd95"), [("hga", 1.0), ("brats", 373.12866), ("exclude", None)])
    def test_of_a_missed_structure(self, hga, road, tmp_path, nothing_found, name, hd95):
        arguments = ["--convention", name, "--combinations", "flair", "-o", tmp_path, "--json"]
        document = hga(*on_cpu(road.runs_dir, *arguments)).document
        assert document["conventions"]["name"] == name
        row = document["combinations"]["flair"]["WT"]
        assert (row["dice"], row["hd95"], row["misses"], row["false_alarms"]) == (0.0, hd95, row["n"], 0)
        assert {line["hd95_mm"] for line in lines_of(tmp_path / "metrics.csv") if line["region"] == "WT"} == {
            "" if hd95 is None else str(hd95)
        }

    def test_diagonal_is_that_of_the_file(self, hga, road, tmp_path, nothing_found):
        arguments = ["--convention", "diagonal", "--combinations", "flair", "-o", tmp_path, "--json"]
        document = hga(*on_cpu(road.runs_dir, *arguments)).document
        store = Store(road.store)
        for row in document["cases"]:
            trail = store.trail(row["case"])
            diagonal = np.linalg.norm(np.array(trail.original_spacing) * store.reference(row["case"]).shape)
            assert row["hd95"] == pytest.approx(diagonal)

    def test_missing_number_in_the_table(self, hga, road, tmp_path, nothing_found):
        arguments = ["--convention", "exclude", "--combinations", "flair", "-o", tmp_path]
        (row,) = [line for line in hga(*on_cpu(road.runs_dir, *arguments)).out.splitlines() if "●" in line]
        assert row.split()[2:] == ["0.0", "0.0", "0.0", "0.0", "-", "-", "-", "-", "2"]

    def test_from_settings(self, hga, road, tmp_path):
        arguments = ["--set", "evaluation.convention=brats", "--combinations", "flair", "-o", tmp_path, "--json"]
        assert hga(*on_cpu(road.runs_dir, *arguments)).document["conventions"]["name"] == "brats"

    def test_mistyped(self, hga, road, tmp_path):
        says = ["no scoring convention called 'brast'", "did you mean 'brats'?"]
        hga.refuses(*on_cpu(road.runs_dir, "--convention", "brast", "-o", tmp_path), code=4, says=says)


class TestRun:
    """Which run is meant, and where its metrics go."""

    def test_latest_finished_one(self, hga, road, tmp_path):
        for name, changed, status in (
            ("newest", "2030-01-03", RUNNING),
            ("newer", "2030-01-02", FINISHED),
            ("old", "2030-01-01", FINISHED),
        ):
            run = RunFolder(road.copy_of_run(tmp_path / "runs", name))
            run.write_about({**run.about(), "changed": changed, "status": status})
        outcome = hga(*on_cpu(tmp_path / "runs", "--combinations", "flair"))
        assert "run newer, 2 cases of 'test', on cpu" in outcome.err
        assert [path.parts[-4] for path in tmp_path.glob("runs/*/evaluations/*/metrics.json")] == ["newer"]

    def test_other_questions_leave_the_usual_answer_alone(self, hga, road, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        hga(*on_cpu(tmp_path / "runs"))
        usual = (run / "metrics.json").read_bytes()
        hga(*on_cpu(tmp_path / "runs", "--combinations", "flair+t2,flair", "--split", "default/val"))
        assert (run / "metrics.json").read_bytes() == usual
        assert [path.name for path in (run / "evaluations").iterdir()] == ["default_val-flair+t2_flair"]

    def test_unfinished_one_has_to_be_named(self, hga, road, tmp_path):
        run = RunFolder(road.copy_of_run(tmp_path / "runs"))
        run.write_about({**run.about(), "status": RUNNING})
        hga.refuses(*on_cpu(tmp_path / "runs"), code=3, says="no finished run")
        assert "run road," in hga(*on_cpu(tmp_path / "runs", "road", "--combinations", "flair")).err

    def test_by_folder(self, hga, road, tmp_path):
        run = road.copy_of_run(tmp_path / "elsewhere")
        assert "run road," in hga(*on_cpu(tmp_path / "none", run, "--combinations", "flair")).err
        assert (run / "evaluations" / "test-flair" / "metrics.json").exists()

    def test_output_leaves_the_run_alone(self, road, scored):
        assert sorted(path.name for path in scored[0].iterdir()) == ["metrics.csv", "metrics.json"]
        assert not (road.run / "metrics.json").exists()

    def test_no_folder_of_runs(self, hga, tmp_path):
        hga.refuses(*on_cpu(tmp_path / "absent"), code=3, says=["no finished run", "hga train"])

    def test_mistyped(self, hga, road):
        hga.refuses(*on_cpu(road.runs_dir, "raod"), code=3, says=["no run 'raod'", "did you mean 'road'?"])

    @pytest.mark.parametrize("size", [None, 0, 1000], ids=["absent", "empty", "cut"])
    def test_damaged_checkpoint(self, hga, road, tmp_path, size):
        run = RunFolder(road.copy_of_run(tmp_path / "runs"))
        content = run.last.read_bytes()
        run.last.unlink()
        if size is not None:
            run.last.write_bytes(content[:size])
        hga.refuses(*on_cpu(tmp_path / "runs"), code=4, says=str(run.last))
        assert not (run.path / "metrics.json").exists()


class TestCases:
    """``--split`` and ``--dataset``."""

    @pytest.mark.parametrize("text", ["val", "default/val"])
    def test_part(self, hga, road, tmp_path, text):
        arguments = ["--split", text, "--combinations", "flair", "-o", tmp_path, "--json"]
        document = hga(*on_cpu(road.runs_dir, *arguments)).document
        assert {row["case"] for row in document["cases"]} == set(Store(road.store).split("default").val)

    def test_part_of_another_split(self, hga, road, tmp_path):
        data = shutil.copytree(road.data_dir, tmp_path / "data")
        hga("split", "--dataset", "brats", "--name", "other", "--seed", 5, "--data-dir", data)
        arguments = ["--split", "other/test", "--combinations", "flair", "-o", tmp_path, "--json"]
        document = hga(*on_cpu(road.runs_dir, "--dataset", "brats", "--data-dir", data, *arguments)).document
        assert {row["case"] for row in document["cases"]} == set(Store(data / "brats").split("other").test)

    def test_unknown_part(self, hga, road):
        hga.refuses(*on_cpu(road.runs_dir, "--split", "tset"), code=2, says="did you mean 'test'?")

    def test_unknown_split(self, hga, road):
        hga.refuses(*on_cpu(road.runs_dir, "--split", "other/test"), code=3, says="no split 'other'")

    def test_empty_part(self, hga, tiny):
        hga("split", "--dataset", "brats", "--name", "none", "--ratios", "1,0,0", *tiny.data)
        arguments = on_cpu(tiny.top / "runs", "--split", "none/test")
        hga.refuses(*arguments, code=3, says=["no case to evaluate", "hga split"])

    def test_absent_store(self, hga, road, tmp_path):
        arguments = ["--dataset", "absent", "--data-dir", tmp_path]
        hga.refuses(*on_cpu(road.runs_dir, *arguments), code=3, says="no store at")

    def test_store_that_was_moved(self, hga, tiny):
        tiny.store.rename(tiny.top / "moved")
        hga.refuses(*on_cpu(tiny.top / "runs"), code=3, says=["no store at", "--dataset"])
        outcome = hga(*on_cpu(tiny.top / "runs", "--dataset", tiny.top / "moved", "--combinations", "flair", "--json"))
        assert outcome.document["cases"]

    def test_store_of_another_kind(self, hga, road, tmp_path, phantom):
        phantom(tmp_path / "raw", "A")
        shipped = files("hga_cli").joinpath("data/raw/descriptions/brats.toml").read_text()
        (tmp_path / "other.toml").write_text(shipped.replace("enhancing", "active"))
        arguments = ["--dataset", tmp_path / "other.toml", "-o", tmp_path / "store", "--workers", 1]
        hga("preprocess", tmp_path / "raw", *arguments)
        hga("split", "--dataset", tmp_path / "store", "--ratios", "0,0,1")
        says = ["has other modalities or labels than the model", "same description"]
        hga.refuses(*on_cpu(road.runs_dir, "--dataset", tmp_path / "store"), code=3, says=says)
