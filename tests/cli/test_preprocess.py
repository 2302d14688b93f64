"""``hga preprocess``: what it writes, what it refuses, and what it says."""

import shutil

import nibabel
import numpy as np
import pytest

from hga_cli.data.store import Store

CASES = ["A-1", "B-2", "C-3"]


@pytest.fixture
def raw(tmp_path, phantom):
    for case in CASES:
        phantom(tmp_path / "raw", case)
    return tmp_path / "raw"


def run(raw, store, *more):
    return ["preprocess", raw, "-o", store, "--workers", 1, *more]


def break_two(raw):
    """Cut a file of A-1 in half, and give a label of C-3 that brats does not know."""
    image = raw / "A-1" / "A-1_t1ce.nii.gz"
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    replace(raw / "C-3" / "C-3_seg.nii.gz", lambda labels: np.where(labels == 4, 9, labels))


def replace(path, change):
    old = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(old.dataobj)), old.affine, old.header), path)


def content(store):
    """Everything a training reads from a store."""
    opened = Store(store)
    return {
        case: (entry, opened.images(case, entry.modalities).tobytes(), opened.label(case).tobytes())
        for case, entry in opened.cases.items()
    }


def test_document_lists_every_case(hga, raw, tmp_path):
    outcome = hga(*run(raw, tmp_path / "store", "--json"))
    assert outcome.document == {
        "store": str(tmp_path / "store"),
        "cases": CASES,
        "written": CASES,
        "unchanged": [],
        "problems": [],
        "skipped": [],
        "warnings": {},
    }
    assert list(Store(tmp_path / "store").cases) == CASES


def test_default_store_is_named_after_the_data_set(hga, raw, tmp_path):
    hga("preprocess", raw, "--workers", 1, "--data-dir", tmp_path / "stores")
    assert list(Store(tmp_path / "stores" / "brats").cases) == CASES


def test_folder_of_stores_comes_from_the_environment(hga, raw, tmp_path):
    hga("preprocess", raw, "--workers", 1, env={"HGA_DATA": str(tmp_path / "elsewhere")})
    assert (tmp_path / "elsewhere" / "brats" / "store.h5").exists()


def test_second_run_writes_nothing(hga, raw, tmp_path):
    hga(*run(raw, tmp_path / "store"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "cases").iterdir()}
    document = hga(*run(raw, tmp_path / "store", "--json")).document
    assert (document["written"], document["unchanged"]) == ([], CASES)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "store" / "cases").iterdir()}


def test_corrected_label_is_taken_up(hga, raw, tmp_path):
    hga(*run(raw, tmp_path / "store"))
    replace(raw / "B-2" / "B-2_seg.nii.gz", lambda labels: np.where(labels == 1, 2, labels))
    assert hga(*run(raw, tmp_path / "store", "--json")).document["written"] == ["B-2"]
    assert set(np.unique(Store(tmp_path / "store").label("B-2"))) == {0, 2, 3}


def test_another_spacing_redoes_every_case(hga, raw, tmp_path):
    hga(*run(raw, tmp_path / "store"))
    assert hga(*run(raw, tmp_path / "store", "--spacing", "2,2,2", "--json")).document["written"] == CASES
    for entry in Store(tmp_path / "store").cases.values():
        assert entry.spacing == pytest.approx((2, 2, 2), rel=0.1)


def test_several_processes_write_the_same_store(hga, raw, tmp_path):
    hga(*run(raw, tmp_path / "one"))
    hga("preprocess", raw, "-o", tmp_path / "two", "--workers", 2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_all_problems_come_in_one_table_and_sound_cases_stay(hga, raw, tmp_path):
    break_two(raw)
    text = hga.refuses(*run(raw, tmp_path / "store"), code=3, says=["2 of 3 cases", "--on-problem skip"])
    rows = [line for line in text.splitlines() if "│" in line]
    assert len(rows) == 2
    assert "A-1_t1ce.nii.gz" in rows[0]
    assert "not a whole NIfTI file" in rows[0]
    assert "C-3_seg.nii.gz" in rows[1]
    assert "9" in rows[1]
    assert list(Store(tmp_path / "store").cases) == ["B-2"]


def test_problems_as_document(hga, raw, tmp_path):
    break_two(raw)
    outcome = hga(*run(raw, tmp_path / "store", "--json"), code=3)
    assert [problem["case"] for problem in outcome.document["problems"]] == ["A-1", "C-3"]
    for problem in outcome.document["problems"]:
        assert set(problem) == {"case", "file", "problem"}
        assert problem["case"] in problem["file"]
    assert "error: " in outcome.err


def test_store_with_a_broken_case_is_not_finished(hga, raw, tmp_path):
    break_two(raw)
    hga(*run(raw, tmp_path / "store"), code=3)
    hga.refuses("split", "--dataset", tmp_path / "store", code=3, says=["not finished", "A-1, C-3"])


def test_skip_leaves_the_broken_cases_out(hga, raw, tmp_path):
    break_two(raw)
    document = hga(*run(raw, tmp_path / "store", "--on-problem", "skip", "--json")).document
    assert document["cases"] == document["written"] == ["B-2"]
    assert [problem["case"] for problem in document["problems"]] == ["A-1", "C-3"]
    Store(tmp_path / "store").require_complete()
    assert "A-1_t1ce.nii.gz" in hga(*run(raw, tmp_path / "store", "--on-problem", "skip")).out


def test_skip_forgets_cases_that_names_show_to_be_wrong(hga, raw, tmp_path):
    """They were sound in an earlier run: neither the index nor the folder of the store keeps them."""
    store = tmp_path / "store"
    hga(*run(raw, store))
    (raw / "A-1" / "A-1_seg.nii.gz").unlink()
    replace(raw / "C-3" / "C-3_seg.nii.gz", lambda labels: np.where(labels == 4, 9, labels))
    outcome = hga(*run(raw, store, "--on-problem", "skip", "--json"))
    assert outcome.document["skipped"] == ["A-1", "C-3"]
    assert (outcome.document["cases"], outcome.document["unchanged"]) == (["B-2"], ["B-2"])
    assert [path.name for path in (store / "cases").iterdir()] == ["B-2.h5"]
    assert list(Store(store).cases) == ["B-2"]
    Store(store).require_complete()
    rows = hga(*run(raw, store, "--on-problem", "skip", "--shard", "1/2")).out.splitlines()
    assert [row.split()[3] for row in rows if "skipped" in row] == ["1"]  # that of names; C-3 is in the other shard


def test_repaired_cases_join_the_store(hga, raw, tmp_path, phantom):
    break_two(raw)
    hga(*run(raw, tmp_path / "store"), code=3)
    shutil.rmtree(raw)
    for case in CASES:
        phantom(raw, case)
    document = hga(*run(raw, tmp_path / "store", "--json")).document
    assert (document["written"], document["unchanged"]) == (["A-1", "C-3"], ["B-2"])


def test_problems_of_names_stop_before_anything_is_written(hga, raw, tmp_path):
    shutil.copy(raw / "A-1" / "A-1_flair.nii.gz", raw / "A-1" / "A-1-t2f.nii.gz")
    (raw / "B-2" / "B-2_seg.nii.gz").unlink()
    says = ["2 problems, nothing was written", "2 files for flair, expected one", "has no label"]
    hga.refuses(*run(raw, tmp_path / "store"), code=3, says=says)
    assert not (tmp_path / "store").exists()


def test_constant_image_is_absent_and_that_is_said(hga, raw, tmp_path):
    replace(raw / "A-1" / "A-1_t1.nii.gz", np.zeros_like)
    outcome = hga(*run(raw, tmp_path / "store", "--json"))
    (said,) = outcome.document["warnings"]["A-1"]
    assert "constant" in said
    assert f"warning: A-1: {said}" in outcome.err
    assert Store(tmp_path / "store").cases["A-1"].modalities == ("flair", "t1ce", "t2")


def test_shards_add_up(hga, raw, tmp_path):
    assert hga(*run(raw, tmp_path / "store", "--shard", "1/2", "--json")).document["written"] == ["A-1", "C-3"]
    hga.refuses("split", "--dataset", tmp_path / "store", code=3, says=["1 of 3 cases", "B-2"])
    assert hga(*run(raw, tmp_path / "store", "--shard", "2/2", "--json")).document["written"] == ["B-2"]
    hga(*run(raw, tmp_path / "whole"))
    assert content(tmp_path / "store") == content(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1/0", "2", "a/b", "1/2/3", "-1/2", "", "1/²", "²/3", "\u0661/2"])
def test_shard_that_is_none(hga, raw, tmp_path, shard):
    hga.refuses(*run(raw, tmp_path / "store", f"--shard={shard}"), code=2, says=["--shard", "--shard 1/4"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("spacing", ["1,1", "1,1,1,1", "a,b,c", "", "0,1,1", "-1,1,1", "nan,1,1", "inf,1,1"])
def test_spacing_that_is_none(hga, raw, tmp_path, spacing):
    hga.refuses(*run(raw, tmp_path / "store", f"--spacing={spacing}"), code=2, says="spacing")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("option", [["--on-problem", "maybe"], ["--workers", "0"], ["--workers", "two"], ["--nope"]])
def test_option_that_typer_refuses(hga, raw, tmp_path, option):
    outcome = hga("preprocess", raw, "-o", tmp_path / "store", *option, code=2)
    assert outcome.out == ""
    assert option[0] in outcome.err
    assert not (tmp_path / "store").exists()


class TestNothingToFind:
    """No case is an error that says what was looked for and what is there; each situation has its own text."""

    def test_no_folder(self, hga, tmp_path):
        hga.refuses(*run(tmp_path / "absent", tmp_path / "store"), code=3, says=f"no folder '{tmp_path / 'absent'}'")

    def test_empty_folder(self, hga, tmp_path):
        (tmp_path / "empty").mkdir()
        says = ["fits none of the known data sets (brats, ", "it holds nothing", "hga info --describe"]
        hga.refuses(*run(tmp_path / "empty", tmp_path / "store"), code=3, says=says)
        says = ["holds no case of 'brats'", "*flair.nii.gz", "it is empty"]
        hga.refuses(*run(tmp_path / "empty", tmp_path / "store", "--dataset", "brats"), code=3, says=says)

    def test_other_files_only(self, hga, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "brain.mgz").touch()
        hga.refuses(*run(tmp_path / "other", tmp_path / "store"), code=3, says="it holds brain.mgz")

    def test_a_file_is_no_folder(self, hga, raw, tmp_path):
        file = raw / "A-1" / "A-1_t1.nii.gz"
        hga.refuses(*run(file, tmp_path / "store"), code=3, says=f"no folder '{file}'")


class TestDryRun:
    """Everything is read and checked, nothing is written."""

    def test_table_of_cases_and_of_problems(self, hga, raw, tmp_path):
        break_two(raw)
        outcome = hga(*run(raw, tmp_path / "store", "--dry-run"), code=3)
        assert not (tmp_path / "store").exists()
        line = next(line for line in outcome.out.splitlines() if "B-2" in line)
        for text in ("●●●●", "12x14x10", "1 1 1", "new"):
            assert text in line
        assert "A-1_t1ce.nii.gz" in outcome.out
        assert "C-3_seg.nii.gz" in outcome.out

    def test_sound_folder(self, hga, raw, tmp_path):
        document = hga(*run(raw, tmp_path / "store", "--dry-run", "--json")).document
        assert (document["written"], document["problems"]) == (CASES, [])
        assert document["seen"]["A-1"]["modalities"] == ["flair", "t1ce", "t1", "t2"]
        assert document["seen"]["A-1"]["shape"] == [12, 14, 10]
        assert document["seen"]["A-1"]["new"] is True
        hga(*run(raw, tmp_path / "store"))
        document = hga(*run(raw, tmp_path / "store", "--dry-run", "--json")).document
        assert (document["written"], document["unchanged"]) == ([], CASES)


class TestGrids:
    """Modalities on grids of their own are refused with the distance, or brought together."""

    @pytest.fixture
    def apart(self, raw, volume, affine):
        there = affine(shape=(12, 14, 10))
        there[0, 3] += 2
        volume(raw / "A-1" / "A-1_t1.nii.gz", np.full((12, 14, 10), 90, "i2") + np.arange(10, dtype="i2"), there)
        return raw

    def test_refused(self, hga, apart, tmp_path):
        says = ["t1 lies up to 2 mm away from flair ('A-1_flair.nii.gz'); --align would resample it"]
        hga.refuses(*run(apart, tmp_path / "store"), code=3, says=says)

    def test_aligned(self, hga, apart, tmp_path):
        outcome = hga(*run(apart, tmp_path / "store", "--align"))
        assert "A-1: t1: resampled onto the grid of 'A-1_seg.nii.gz'" in outcome.err
        assert Store(tmp_path / "store").preparation.align


class TestDescription:
    """``--dataset`` is a name or a file; without it, the names of the files decide, and that is said."""

    def test_recognised(self, hga, raw, tmp_path):
        assert f"'{raw}' is recognised as brats" in hga(*run(raw, tmp_path / "store")).err
        assert "recognised" not in hga(*run(raw, tmp_path / "store", "--dataset", "brats")).err

    OWN = """
        name = "own"
        modalities = ["flair", "t2"]
        [files]
        flair = ["flair"]
        t2 = ["t2"]
        label = ["seg"]
        [[labels]]
        name = "lesion"
        values = [1]
        [[regions]]
        name = "lesion"
        labels = ["lesion"]
    """

    def test_own_file(self, hga, tmp_path, phantom):
        phantom(tmp_path / "raw", "X", modalities=("flair", "t2"))
        label = tmp_path / "raw" / "X" / "X_seg.nii.gz"
        replace(label, lambda labels: (labels > 0).astype(np.uint8))
        (tmp_path / "own.toml").write_text(self.OWN)
        arguments = ["--dataset", tmp_path / "own.toml", "--data-dir", tmp_path / "data"]
        hga("preprocess", tmp_path / "raw", "--workers", 1, *arguments)
        store = Store(tmp_path / "data" / "own")
        assert store.modalities == store.cases["X"].modalities == ("flair", "t2")

    def test_mistyped_name(self, hga, raw, tmp_path):
        hga.refuses(*run(raw, tmp_path / "store", "--dataset", "brast"), code=2, says="did you mean 'brats'?")

    def test_absent_file(self, hga, raw, tmp_path):
        hga.refuses(*run(raw, tmp_path / "store", "--dataset", "absent.toml"), code=4, says="absent.toml")

    def test_inconsistent_file(self, hga, raw, tmp_path):
        (tmp_path / "own.toml").write_text(self.OWN.replace('labels = ["lesion"]', 'labels = ["tumour"]'))
        says = ["own.toml", "a region names an unknown label"]
        hga.refuses(*run(raw, tmp_path / "store", "--dataset", tmp_path / "own.toml"), code=4, says=says)


def test_store_never_loses_cases_silently(hga, raw, tmp_path):
    hga(*run(raw, tmp_path / "store"))
    shutil.rmtree(raw / "B-2")
    hga.refuses(*run(raw, tmp_path / "store"), code=3, says=["B-2", "--overwrite"])
    assert list(Store(tmp_path / "store").cases) == CASES
    assert hga(*run(raw, tmp_path / "store", "--overwrite", "--json")).document["cases"] == ["A-1", "C-3"]
    assert list(Store(tmp_path / "store").cases) == ["A-1", "C-3"]


def test_output_that_is_a_file(hga, raw, tmp_path):
    (tmp_path / "taken").write_text("mine")
    hga.refuses(*run(raw, tmp_path / "taken"), code=3, says=str(tmp_path / "taken"))
    assert (tmp_path / "taken").read_text() == "mine"


def test_settings_from_file_assignment_and_flag(hga, raw, tmp_path):
    """Later wins: file, ``--set``, flag."""
    (tmp_path / "settings.toml").write_text("[preprocess]\nspacing = [3, 3, 3]\n")

    def spacing_of(name, *more):
        hga(*run(raw, tmp_path / name, *more))
        return Store(tmp_path / name).spacing

    file, assignment = ["-c", tmp_path / "settings.toml"], ["--set", "preprocess.spacing=[2, 2, 2]"]
    assert spacing_of("none") is None
    assert spacing_of("file", *file) == (3, 3, 3)
    assert spacing_of("set", *file, *assignment) == (2, 2, 2)
    assert spacing_of("flag", *file, *assignment, "--spacing", "4,4,4") == (4, 4, 4)
