"""``hga info``: what is in a store or a run, what can be chosen by name. Nothing is changed, nothing heavy loaded."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from hga_cli.core import backbones, catalog
from hga_cli.core.catalog import shipped
from hga_cli.core.config import resolve
from hga_cli.core.names import KINDS, SHIPPED, TABLES, listed
from hga_cli.data.raw.description import load_description

OLD_STORE = Path(__file__).parents[1] / "data" / "store_v1"
FILES = [(kind, name) for kind, folder in SHIPPED.items() for name in shipped(folder)]


def info(tiny, *words):
    return ["info", *words, *tiny.data, *tiny.runs]


class TestStore:
    """Who misses what, sizes, splits, tables, completeness."""

    def test_who_misses_what(self, hga, tiny):
        document = hga(*info(tiny, "brats", "--json")).document
        assert document["combinations"] == {"flair+t1ce+t1+t2": 9, "flair+t1ce+t1": 1, "flair+t1ce": 1}
        assert next(iter(document["combinations"])) == "flair+t1ce+t1+t2"
        assert document["missing_rates"] == {"flair": 0, "t1ce": 0, "t1": 1 / 11, "t2": 2 / 11}
        assert document["modalities"] == ["flair", "t1ce", "t1", "t2"]
        assert document["subjects"] == 10

    def test_picture(self, hga, tiny):
        out = hga(*info(tiny, "brats")).out
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "●" in line]
        assert rows == [
            ["●●●●", "flair+t1ce+t1+t2", "9"],
            ["●●●○", "flair+t1ce+t1", "1"],
            ["●●○○", "flair+t1ce", "1"],
        ]

    def test_each_case(self, hga, tiny):
        document = hga(*info(tiny, "brats", "--json")).document
        assert len(document["cases"]) == 11
        case = document["cases"]["Tiny-00003-000"]
        assert case["subject"] == "Tiny-00003"
        assert case["modalities"] == ["flair", "t1ce"]
        assert case["spacing"] == [1, 1, 1]
        assert case["bytes"] == (tiny.store / "cases" / "Tiny-00003-000.h5").stat().st_size
        assert document["bytes"] == sum(one["bytes"] for one in document["cases"].values())
        values = np.asarray(nibabel.load(tiny.top / "raw/Tiny-00003-000/Tiny-00003-000_seg.nii.gz").dataobj)
        names = {"necrosis": 1, "oedema": 2, "enhancing": 4}
        assert case["label_voxels"] == {name: int((values == value).sum()) for name, value in names.items()}

    def test_voxels_of_each_label(self, hga, tiny):
        document = hga(*info(tiny, "brats", "--json")).document
        for name, one in document["voxels"].items():
            found = [case["label_voxels"][name] for case in document["cases"].values()]
            assert one == {
                "cases": 11,
                "minimum": min(found),
                "median": np.median(found),
                "maximum": max(found),
            }

    def test_shapes(self, hga, tiny):
        document = hga(*info(tiny, "brats", "--json")).document
        shapes = np.array([case["shape"] for case in document["cases"].values()])
        assert document["shapes"]["minimum"] == shapes.min(0).tolist()
        assert document["shapes"]["median"] == np.median(shapes, 0).tolist()
        assert document["shapes"]["maximum"] == shapes.max(0).tolist()

    def test_verbose_has_one_line_for_each_case(self, hga, tiny):
        lines = hga(*info(tiny, "brats", "-v")).out.splitlines()
        found = [line.split()[:2] for line in lines if line.startswith("Tiny-")]
        assert len(found) == 11
        assert ["Tiny-00002-000", "●●●○"] in found
        assert not any(line.startswith("Tiny-") for line in hga(*info(tiny, "brats")).out.splitlines())

    def test_splits_and_tables(self, hga, tiny):
        split = hga("split", "--dataset", "brats", "--name", "halves", "--ratios", "0.5,0,0.5", *tiny.data, "--json")
        words = ["make-imbalance", "--dataset", "brats", "--split", "halves", "--rates", "t1=0.5,t2=0.5"]
        table = hga(*words, "--rule", "bernoulli", "--name", "mine", *tiny.data, "--json").document
        document = hga(*info(tiny, "brats", "--json")).document
        assert set(document["splits"]) == {"default", "halves"}
        assert {"name": "halves", **document["splits"]["halves"]} == split.document
        found = document["tables"]["mine"]
        assert (found["split"], found["rows"]) == ("halves", len(split.document["train"]))
        assert {key: found["wanted"][key] for key in ("t1", "t2", "flair")} == {"t1": 0.5, "t2": 0.5, "flair": 0}
        assert found["realised"] == pytest.approx(table["realised"])
        assert found["combinations"] == {key: count for key, count in table["combinations"].items() if count}

    def test_table_of_what_is_truly_absent(self, hga, tiny):
        """A table that hides nothing still has the rates of the training cases themselves."""
        words = ["--rates", "t1=0", "--rule", "bernoulli", "--name", "nothing"]
        hga("make-imbalance", "--dataset", "brats", *words, *tiny.data)
        document = hga(*info(tiny, "brats", "--json")).document
        cases = [document["cases"][case]["modalities"] for case in document["splits"]["default"]["train"]]
        for name, rate in document["tables"]["nothing"]["realised"].items():
            assert rate == pytest.approx(sum(name not in has for has in cases) / len(cases))

    def test_cases_that_lack(self, hga, tiny):
        raw, store = tiny.top / "raw", tiny.top / "half"
        hga("preprocess", raw, "--dataset", "brats", "-o", store, "--workers", 1, "--shard", "1/2")
        document = hga("info", store, "--json").document
        assert len(document["missing_cases"]) == 5
        assert sorted(document["missing_cases"] + list(document["cases"])) == sorted(document["expected"])
        out = hga("info", store).out
        assert "5 cases lack" in out
        assert "complete: all" not in out
        assert "complete: all 11 expected" in hga(*info(tiny, "brats")).out

    def test_cases_that_were_left_out(self, hga, tiny):
        label = tiny.top / "raw" / "Tiny-00004-000" / "Tiny-00004-000_seg.nii.gz"
        image = nibabel.load(label)
        nibabel.save(nibabel.Nifti1Image(np.full(image.shape, 9, np.uint8), image.affine), label)
        hga("preprocess", tiny.top / "raw", "--dataset", "brats", "-o", tiny.top / "new", "--on-problem", "skip")
        assert hga("info", tiny.top / "new", "--json").document["skipped"] == ["Tiny-00004-000"]
        assert "1 cases were left out: Tiny-00004-000" in hga("info", tiny.top / "new").out

    def test_damaged_case_is_named(self, hga, tiny):
        (tiny.store / "cases" / "Tiny-00005-000.h5").write_bytes(b"nothing")
        assert list(hga(*info(tiny, "brats", "--json")).document["damaged"]) == ["Tiny-00005-000"]
        assert "damaged: " in hga(*info(tiny, "brats")).out

    def test_case_file_that_is_gone(self, hga, tiny):
        (tiny.store / "cases" / "Tiny-00005-000.h5").unlink()
        document = hga(*info(tiny, "brats", "--json")).document
        assert document["cases"]["Tiny-00005-000"]["bytes"] is None
        assert list(document["damaged"]) == ["Tiny-00005-000"]

    def test_older_store_says_unknown(self, hga):
        document = hga("info", OLD_STORE, "--json").document
        assert {case["label_voxels"] for case in document["cases"].values()} == {None}
        assert [one["cases"] for one in document["voxels"].values()] == [2, 1]
        out = hga("info", OLD_STORE, "-v").out
        assert out.count("label voxels unknown") == 2

    def test_nothing_is_changed(self, hga, tiny):
        before = {path: path.read_bytes() for path in tiny.top.rglob("*") if path.is_file()}
        for word in ("brats", "start"):
            hga(*info(tiny, word))
        assert {path: path.read_bytes() for path in tiny.top.rglob("*") if path.is_file()} == before

    def test_damaged_index(self, hga, tiny):
        (tiny.store / "store.h5").write_bytes(b"nothing")
        hga.refuses(*info(tiny, "brats"), code=3, says="store.h5")
        assert "error" in hga(*info(tiny, "--json")).document["stores"]["brats"]


class TestRun:
    """What a run is and how far it is."""

    def test_of_a_run(self, hga, tiny):
        document = hga(*info(tiny, "start", "--json")).document
        assert (document["run"], document["status"], document["method"]) == ("start", "finished", "hga")
        assert (document["backbone"], document["epochs"], document["epochs_done"]) == ("unet", 0, 0)
        assert document["store"] == str(tiny.store)
        assert document["checkpoint"] == str(tiny.top / "runs" / "start" / "checkpoints" / "last.safetensors")
        assert document["metrics"] is None
        assert "not evaluated yet" in hga(*info(tiny, "start")).out

    def test_epochs_are_counted(self, hga, tiny):
        hga(*tiny.training("--run", "two", "--epochs", 2))
        assert hga(*info(tiny, "two", "--json")).document["epochs_done"] == 2
        with (tiny.top / "runs" / "two" / "journal.jsonl").open("a") as journal:
            journal.write('{"epoch": 2, "st')
        document = hga(*info(tiny, "two", "--json")).document
        assert (document["epochs"], document["epochs_done"]) == (2, 2)

    def test_mean_scores(self, hga, tiny):
        run = tiny.top / "runs" / "start"
        (run / "metrics.json").write_text(json.dumps({"mean": {"WT": {"dice": 0.8125, "hd95": None}}}))
        assert hga(*info(tiny, run, "--json")).document["metrics"] == {"WT": {"dice": 0.8125, "hd95": None}}
        row = next(line for line in hga(*info(tiny, run)).out.splitlines() if "WT" in line)
        assert [cell.strip() for cell in row.split("│")[1:-1]] == ["WT", "81.2", "-"]

    @pytest.mark.parametrize("file", ["run.json", "config.toml", "metrics.json"])
    def test_damaged(self, hga, tiny, file):
        (tiny.top / "runs" / "start" / file).write_text("{[")
        hga.refuses(*info(tiny, "start"), code=3, says=[file, "damaged"])


class TestNames:
    """Tables of names, and the files behind them."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_lists(self, hga, kind):
        found = hga("info", kind, "--json").document[kind]
        assert found
        assert [one["name"] for one in found] == sorted(one["name"] for one in found)
        out = hga("info", kind).out
        for one in found:
            assert one["summary"].strip()
            assert one["name"] in out

    def test_every_table_of_the_catalog_is_a_kind(self):
        names = {**vars(backbones), **vars(catalog)}
        tables = [value for value in names.values() if isinstance(value, catalog.Registry)]
        assert {table.kind for table in tables} == {table.kind for table in TABLES.values()}

    @pytest.mark.parametrize(("kind", "name"), FILES)
    def test_file_comes_as_it_is(self, hga, kind, name):
        text = shipped(SHIPPED[kind])[name].read_text(encoding="utf-8")
        assert hga("info", kind, name).out == text
        assert hga("info", kind, name, "--json").document == {"kind": kind, "name": name, "text": text}

    @pytest.mark.parametrize("name", shipped("presets/methods"))
    def test_method_in_a_file_is_the_method(self, hga, tiny, name):
        file = tiny.top / "mine.toml"
        file.write_text(hga("info", "methods", name).out, encoding="utf-8")
        assert resolve(file=file) == resolve(flags={"method.name": name})
        hga(*tiny.training("--run", "mine", "--epochs", 0, "--set", "data.patch=[32,32,32]"), "-c", file)
        assert hga(*info(tiny, "mine", "--json")).document["method"] == name

    @pytest.mark.parametrize("name", shipped("presets/recipes"))
    def test_preset_in_a_file_is_the_preset(self, hga, tmp_path, name):
        (tmp_path / "mine.toml").write_text(hga("info", "presets", name).out, encoding="utf-8")
        assert resolve(file=tmp_path / "mine.toml") == resolve(recipe=name)

    def test_dataset_in_a_file_is_the_dataset(self, hga, tmp_path):
        (tmp_path / "mine.toml").write_text(hga("info", "datasets", "brats").out, encoding="utf-8")
        assert load_description(str(tmp_path / "mine.toml")) == load_description("brats")

    def test_entry_of_the_catalog(self, hga):
        out = hga("info", "terms", "fused").out
        assert "segmentation loss of the fused prediction" in out
        assert "hga_cli.alignment.supervision" in out

    @pytest.mark.parametrize("kind", ["methods", "terms"])
    def test_mistyped_name(self, hga, kind):
        nearest = listed(kind)[0].name
        hga.refuses("info", kind, f"{nearest}x", code=2, says=[f"{nearest}x", f"did you mean '{nearest}'?"])

    def test_folder_without_files(self, hga, monkeypatch):
        monkeypatch.setitem(SHIPPED, "splits", "presets/no-such-folder")
        assert hga("info", "splits", "--json").document == {"splits": []}
        assert "there are no splits" in hga("info", "splits").out
        hga.refuses("info", "splits", "x", code=2, says="there are no splits")


class TestSettings:
    """What presets, files and assignments add up to."""

    def test_of_a_file_and_assignments(self, hga, tmp_path):
        (tmp_path / "a.toml").write_text("[optim]\nepochs = 7\n")
        words = ["info", "settings", "-c", tmp_path / "a.toml", "--set", "seed=3"]
        assert tomllib.loads(hga(*words).out) == hga(*words, "--json").document
        document = hga(*words, "--json").document
        assert (document["optim"]["epochs"], document["seed"]) == (7, 3)

    def test_wrong_setting(self, hga):
        hga.refuses("info", "settings", "--set", "optim.epoch=3", code=4, says="did you mean 'epochs'?")

    def test_settings_elsewhere_are_refused(self, hga):
        hga.refuses("info", "methods", "--set", "seed=3", code=2, says="hga info settings")


class TestWords:
    """What a word means, and what it does not."""

    def test_overview(self, hga, tiny):
        document = hga(*info(tiny, "--json")).document
        assert document["stores"]["brats"]["cases"] == 11
        assert document["runs"]["start"]["status"] == "finished"
        assert set(KINDS) <= set(document["names"])
        out = hga(*info(tiny)).out
        assert "brats" in out
        assert "start" in out

    def test_overview_of_nothing_says_what_to_do(self, hga, tmp_path):
        out = hga("info", "--data-dir", tmp_path, "--runs-dir", tmp_path / "no").out
        assert "hga preprocess" in out
        assert "hga train" in out

    def test_mistyped_store(self, hga, tiny):
        hga.refuses(*info(tiny, "bratss"), code=2, says=["'bratss' is no store", "did you mean 'brats'?"])

    def test_name_without_its_kind(self, hga, tiny):
        hga.refuses(*info(tiny, "joint"), code=2, says="hint: hga info methods joint")

    def test_raw_folder(self, hga, tiny):
        hga.refuses(*info(tiny, tiny.top / "raw"), code=2, says="hga info --describe")

    def test_store_and_run_of_one_name(self, hga, tiny):
        shutil.copytree(tiny.top / "runs" / "start", tiny.top / "runs" / "brats")
        hga.refuses(*info(tiny, "brats"), code=2, says=["a store and a run", str(tiny.store)])
        assert hga(*info(tiny, tiny.store, "--json")).document["subjects"] == 10

    def test_contradictions(self, hga, tiny):
        hga.refuses(*info(tiny, "brats", "--describe", tiny.top / "raw"), code=2, says="--describe")
        hga.refuses(*info(tiny, "brats", "flair"), code=2, says="'flair'")


class TestDescribe:
    """A first description of raw data, on stdout and nothing else there."""

    def test_output_is_a_file_that_preprocess_reads(self, hga, tiny):
        raw, file = tiny.top / "raw", tiny.top / "mine.toml"
        outcome = hga("info", "--describe", raw)
        file.write_text(outcome.out, encoding="utf-8")
        assert str(raw) in outcome.err
        hga("preprocess", raw, "--dataset", file, "-o", tiny.top / "mine", "--workers", 1)
        ours, theirs = (hga("info", store, "--json").document for store in (tiny.top / "mine", tiny.store))
        for key in ("modalities", "combinations", "expected", "subjects"):
            assert ours[key] == theirs[key]

    def test_document(self, hga, tiny):
        document = hga("info", "--describe", tiny.top / "raw", "--json").document
        assert document == {"toml": hga("info", "--describe", tiny.top / "raw").out, "hints": []}

    def test_gap_is_a_warning(self, hga, tmp_path, phantom):
        phantom(tmp_path / "raw", "A", label=False)
        outcome = hga("info", "--describe", tmp_path / "raw", "-q")
        assert "warning: " in outcome.err
        assert "GAP" in outcome.out
        assert tomllib.loads(outcome.out)["files"]["label"] == ["seg"]

    def test_nothing_to_describe(self, hga, tmp_path):
        (tmp_path / "a.dcm").write_text("x")
        hga.refuses("info", "--describe", tmp_path, code=3, says=["no NIfTI file", "1 x .dcm"])


def modules_after(*words):
    """What a fresh interpreter has loaded after ``hga info``."""
    code = "import sys; from hga_cli.cli.app import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    command = [sys.executable, "-c", code, "info", *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["methods"], ["methods", "hga"], ["datasets"], ["backbones", "unet"]])
def test_names_load_nothing_heavy(words):
    loaded = modules_after(*words)
    assert "hga_cli.core.names" in loaded
    assert not loaded & {"torch", "numpy", "h5py", "scipy", "pandas", "monai", "nibabel", "hga_cli.data"}


def test_stores_load_no_torch(tiny):
    loaded = modules_after("brats", *tiny.data)
    assert "h5py" in loaded
    assert "torch" not in loaded
