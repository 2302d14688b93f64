"""What a review found on the way from a raw folder to a split: nothing wrong may look right."""

from dataclasses import replace

import numpy as np
import pytest
from _raw import BRATS, MODALITIES, image, label, write, write_raw
from test_preprocess_checks import Ears

from hga_cli.cli.info_parts import store_parts
from hga_cli.core.errors import DataError, ProblemsError
from hga_cli.core.settings import Preprocess
from hga_cli.core.settings import Split as SplitSettings
from hga_cli.data.raw.consistency import same_images, visits_apart
from hga_cli.data.store import Store
from hga_cli.data.store.identity import image_digest
from hga_cli.workflows.info import describe_store
from hga_cli.workflows.preprocess import Shard, preprocess
from hga_cli.workflows.split import folds, split, unusable_splits


def run(raw, store, *, description=BRATS, shard=None, dry_run=False, **settings):
    """Preprocess, and return what was warned of and said."""
    ears = Ears()
    part = shard and Shard(index=shard[0], count=shard[1])
    made = Preprocess(workers=1, **settings)
    preprocess(raw, description, store, made, shard=part, dry_run=dry_run, progress=ears)
    return ears


def cases(raw, *names):
    for name in names:
        write_raw(raw, name, ["t1"])
    return raw


def splitting(store, tmp_path, rows, **settings):
    """Split as a table says, and return what was told."""
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    ears = Ears()
    split(Store(store), SplitSettings(source=str(tmp_path / "table.csv"), **settings), ears)
    return ears


class TestSameImage:
    """Case T17: under two names, in another crop box, of another type."""

    @pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
    def test_type_and_crop_do_not_matter(self, dtype):
        scan = image("scan")
        wider = np.pad(scan, ((0, 3), (2, 0), (1, 1))).astype(dtype)
        assert image_digest(scan) == image_digest(wider)
        assert image_digest((scan * np.float32(1.7)).astype(np.float32)) == image_digest(
            scan * np.float64(np.float32(1.7))
        )

    @pytest.mark.parametrize("scale", [1, 1e-3, 1e-30, 40, 1e200], ids=str)
    def test_other_images_are_others(self, scale):
        scan = image("scan") * scale
        changed = scan.copy()
        changed[5, 5, 5] += scale
        digests = [image_digest(one) for one in (scan, changed, scan[::-1], scan.T, 2 * scan, -scan)]
        assert len(set(digests)) == 6

    def test_nothing_but_zeros_has_a_digest(self):
        assert image_digest(np.zeros((2, 3, 4))) == image_digest(np.zeros((5, 3, 4), np.int16))

    @pytest.mark.parametrize("kind", ["bytes", "float32"])
    def test_copy_in_a_case_with_another_crop_is_found_and_refused(self, tmp_path, kind):
        raw, store = cases(tmp_path / "raw", "a", "b", "c"), tmp_path / "store"
        t1, wide = image("a t1"), np.zeros_like(image("x"))
        wide[0, 0, 0], wide[-1, -1, -1] = 5, 9
        write(raw / "b" / "b_t1.nii", t1.astype(np.float32) if kind == "float32" else t1)
        write(raw / "b" / "b_t2.nii", wide)
        ears = run(raw, store)
        shapes = {case: entry.shape for case, entry in Store(store).cases.items()}
        assert (shapes["a"], shapes["b"]) == ((9, 12, 7), (12, 14, 10))
        assert ears.warned == ["the same image is in the cases a, b: is it one patient under two names?"]
        with pytest.raises(DataError, match=r"the same image is in train \('a'\) and in test \('b'\)"):
            splitting(store, tmp_path, ["case,part", "a,train", "b,test", "c,test"])
        assert splitting(store, tmp_path, ["case,part", "a,train", "b,train", "c,test"]).warned

    def test_copy_of_a_file_is_found_where_cases_are_resampled(self, tmp_path):
        """Resampled values depend on the crop box; the hash of the file does not."""
        raw = cases(tmp_path / "raw", "a", "b")
        write(raw / "b" / "b_t1.nii", image("a t1"))
        write(raw / "b" / "b_t2.nii", np.arange(12 * 14 * 10, dtype=np.int16).reshape(12, 14, 10) + 1)
        run(raw, tmp_path / "store", spacing=(1.5, 1.5, 1.5))
        entries = Store(tmp_path / "store").cases
        assert entries["a"].digests["t1"] != entries["b"].digests["t1"]
        assert same_images(entries) == [("a", "b")]

    def test_copy_as_another_modality_of_another_case_is_found(self, tmp_path):
        raw = cases(tmp_path / "raw", "a", "b")
        write(raw / "b" / "b_t2.nii", image("a t1").astype(np.float32))
        run(raw, tmp_path / "store")
        assert same_images(Store(tmp_path / "store").cases) == [("a", "b")]

    def test_copy_as_another_modality_of_the_same_case_is_said(self, tmp_path):
        """Cases P05 and D09: t1ce is a copy of t1."""
        raw = cases(tmp_path / "raw", "a", "b", "c")
        for case in "ac":
            write(raw / case / f"{case}_t1ce.nii", image(f"{case} t1").astype(np.float32))
        ears = run(raw, tmp_path / "store")
        assert ears.warned == ["t1ce and t1 are the same image in 2 cases (a, c): is one a copy of the other?"]


def test_one_shard_under_a_changed_description_leaves_a_store_unfinished(tmp_path):
    """Case D03: class 1 of one case would be class 2 of another."""
    raw, store = cases(tmp_path / "raw", "a", "b"), tmp_path / "store"
    run(raw, store)
    for change in (
        {"labels": BRATS.labels[::-1]},
        {"modalities": BRATS.modalities[::-1], "imbalance": replace(BRATS.imbalance, ids=())},
        {"layout": replace(BRATS.layout, ignore=("*x",))},
    ):
        changed = replace(BRATS, **change)
        run(raw, store, description=changed, shard=(1, 2))
        assert list(Store(store).cases) == ["a"]
        with pytest.raises(DataError, match=r"not finished: 1 of 2 cases lack \(b\)"):
            Store(store).require_complete()
        run(raw, store, description=changed, shard=(2, 2))
        Store(store).require_complete()
        run(raw, store)
    both = [np.unique(Store(store).label(case)).tolist() for case in "ab"]
    assert both == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("on_problem", ["skip", "stop"])
def test_a_label_of_two_conventions_blocks_the_whole_data_set(tmp_path, on_problem):
    """Cases L05 and L09: x holds 1 to 4, so the 4 of y is a cavity; skipping x does not make it enhancing tumour."""
    raw, store = cases(tmp_path / "raw", "y"), tmp_path / "store"
    values = np.zeros_like(label())
    for value in (1, 2, 3, 4):
        values[2 + value, 4:8, 3:8] = value
    write_raw(raw, "x", ["t1"], arrays={"seg": values})
    with pytest.raises(ProblemsError, match=r"which convention the labels of .* cannot be told") as caught:
        run(raw, store, on_problem=on_problem)
    (problem,) = caught.value.problems
    assert problem.case == "x"
    assert problem.problem.startswith("both 3 and 4 could mean 'enhancing'; the convention cannot be guessed")
    assert "--dataset brats2024" in problem.problem
    assert not (store / "store.h5").exists()
    run(raw, store, on_problem="skip", mixed_conventions=True)
    assert list(Store(store).cases) == ["y"]


def test_an_empty_shard_says_nothing_of_labels(tmp_path):
    raw, store = cases(tmp_path / "raw", "a", "b"), tmp_path / "store"
    ears = run(raw, store, shard=(9, 9))
    assert (ears.warned, ears.said) == ([], ["shard 9/9 has nothing to do: there are 2 cases"])


def test_only_who_knows_all_cases_says_that_no_case_has_a_label(tmp_path):
    raw, store = tmp_path / "raw", tmp_path / "store"
    for case in "ab":
        write_raw(raw, case, ["t1"], arrays={"seg": label((1, 2))})
    assert run(raw, store, shard=(1, 2)).warned == []
    assert run(raw, store, shard=(2, 2)).warned == ["no case has enhancing: is 'brats' the right --dataset?"]


@pytest.mark.parametrize("inside", ["", "store"], ids=["itself", "above"])
@pytest.mark.parametrize("dry_run", [False, True], ids=["run", "dry run"])
def test_a_file_cannot_be_a_store(tmp_path, inside, dry_run):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cannot be made: '.*/file' is a file, expected a folder") as caught:
        run(cases(tmp_path / "raw", "a"), tmp_path / "file" / inside, dry_run=dry_run)
    assert "-o" in caught.value.hint
    assert (tmp_path / "file").read_text() == "mine"


class TestTables:
    """What lists say twice, and whose subjects count."""

    @pytest.fixture
    def store(self, tmp_path):
        run(cases(tmp_path / "raw", "001", "1", "p_1", "p_2"), tmp_path / "store", description=self.by_patient())
        return tmp_path / "store"

    def by_patient(self):
        return replace(BRATS, subject="^(p)_")

    def test_a_repeated_line_is_said(self, store, tmp_path):
        rows = ["case,part", "1,train", "p_1,test", "p_2,test", "p_2,test", "001,train"]
        told = splitting(store, tmp_path, rows).warned
        assert told == [f"'{tmp_path / 'table.csv'}' names 1 cases more than once, in the same part: p_2"]

    def test_an_id_that_became_another_one_is_visible(self, store, tmp_path):
        """Case C02: a spreadsheet program turned 001 into 1, beside a real 1."""
        told = splitting(store, tmp_path, ["case,part", "1,train", "1,train", "p_1,test", "p_2,test"]).warned
        assert len(told) == 2
        assert told[0].endswith(
            "same part: 1; or was one of them '001' before a spreadsheet program took it for a number?"
        )
        assert told[1] == "1 cases of the store are in no part: 001"

    def test_lines_that_disagree_are_refused(self, store, tmp_path):
        with pytest.raises(DataError, match="'1' in train and '1' in test") as caught:
            splitting(store, tmp_path, ["case,part", "1,train", "1,test"])
        assert "was one of them '001'" in caught.value.hint

    def test_subjects_of_a_table_are_said(self, store, tmp_path):
        rows = ["case,part,subject", "001,train,a", "1,train,a", "p_1,test,b", "p_2,test,b"]
        ears = splitting(store, tmp_path, rows)
        table = tmp_path / "table.csv"
        assert ears.said == [f"subjects are those of '{table}': 2; by the rule of the data set there would be 3"]
        assert ears.warned == []

    def test_a_leak_between_table_and_rule_is_a_warning(self, store, tmp_path):
        rows = ["case,part,subject", "001,train,a", "1,train,b", "p_1,train,c", "p_2,test,d"]
        (told,) = splitting(store, tmp_path, rows).warned
        assert "which '" in told
        assert told.endswith("split 'default': subject 'p' is in train ('p_1') and in test ('p_2')")

    def test_the_same_subjects_are_not_worth_a_word(self, store, tmp_path):
        rows = ["case,part,subject", "001,train,001", "1,train,1", "p_1,test,p", "p_2,test,p"]
        ears = splitting(store, tmp_path, rows)
        assert (ears.said, ears.warned) == ([], [])

    def test_folds_say_it_too(self, store, tmp_path):
        (tmp_path / "s.csv").write_text("case,subject\n001,a\n1,b\np_1,c\np_2,d\n")
        ears = Ears()
        made, _ = folds(
            Store(store), SplitSettings(folds=2, ratios=(0.5, 0, 0.5), subjects=str(tmp_path / "s.csv")), ears
        )
        torn = [one for one in made if ("p_1" in one.train) != ("p_2" in one.train)]
        assert len(ears.said) == 1
        assert len(ears.warned) == bool(torn)


class TestInfo:
    """A stored split that cannot be used is not hidden behind "complete"."""

    @pytest.fixture
    def store(self, tmp_path):
        run(cases(tmp_path / "raw", "p_1", "p_2", "q"), tmp_path / "store")
        splitting(tmp_path / "store", tmp_path, ["case,part", "p_1,train", "p_2,test", "q,test"])
        return tmp_path / "store"

    def lines(self, store):
        document = {**describe_store(Store(store)), "unusable_splits": unusable_splits(Store(store))}
        parts = [part for part in store_parts(document, verbose=False) if isinstance(part, str)]
        return [part for part in parts if "complete" in part or "used" in part]

    def test_sound(self, store):
        assert self.lines(store) == ["complete: all 3 expected cases are there"]

    def test_case_that_is_gone(self, store, tmp_path):
        (tmp_path / "raw" / "p_2" / "p_2_seg.nii").unlink()
        run(tmp_path / "raw", store, on_problem="skip")
        first, second = self.lines(store)
        assert first == "complete: all 2 expected cases are there; but splits cannot be used: default"
        assert second.startswith("cannot be used: split 'default' of store")
        assert "names cases that are not in the store: p_2 (make another" in second

    def test_torn_under_new_subjects(self, store, tmp_path):
        run(tmp_path / "raw", store, description=replace(BRATS, subject="^(p)_"))
        says = "split 'default': subject 'p' is in train ('p_1') and in test ('p_2')"
        assert unusable_splits(Store(store)) == {"default": says}
        assert f"cannot be used: {says} (make another: hga split --name NAME)" in self.lines(store)


class TestVisits:
    """Ids such as pat01_v1, pat01_v2 under a description that makes a patient of each."""

    @pytest.mark.parametrize(
        "ends",
        [("_v1", "_v2"), ("-V01", "-V02"), ("_ses-1", "_ses-2"), (".baseline", ".followup2"), ("_tp1", "_week-12")],
    )
    def test_they_are_named_with_the_rule_that_joins_them(self, ends):
        ids = [f"pat0{number}{end}" for number in (1, 2) for end in ends]
        text = visits_apart({case: case for case in ids}, BRATS)
        assert text.startswith(f"{', '.join(sorted(ids[:2]))} look like visits of one patient")
        assert 'base = "brats" and subject = ' in text
        mended = replace(BRATS, subject=text.rpartition("subject = '")[2].removesuffix("'"))
        assert {case: mended.subject_of(case) for case in ids} == {case: case[:5] for case in ids}
        assert visits_apart({case: mended.subject_of(case) for case in ids}, mended) is None

    @pytest.mark.parametrize(
        "ids",
        [
            ["BraTS20_Training_001", "BraTS20_Training_002"],
            ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"],
            ["mine_scan1", "mine_scan2", "mine_scan3"],
            ["a_v1", "b_v1", "c_v1"],
            ["001", "1", "v1", "v2"],
        ],
        ids=lambda ids: ids[0],
    )
    def test_other_ids_are_no_visits(self, ids):
        assert visits_apart({case: case for case in ids}, BRATS) is None

    def test_both_commands_say_it_once(self, tmp_path):
        raw, store = cases(tmp_path / "raw", "pat01_v1", "pat01_v2", "pat02_v1", "pat03_v1"), tmp_path / "store"
        ears = Ears()
        said = run(raw, store).warned
        split(Store(store), SplitSettings(), ears)
        assert ears.warned == said
        assert len(said) == 1
        assert said[0].startswith("pat01_v1, pat01_v2 look like visits of one patient")


def test_sound_data_are_nothing_to_warn_of(tmp_path):
    for case in ("a", "b", "c"):
        write_raw(tmp_path / "raw", case, MODALITIES)
    ears = run(tmp_path / "raw", tmp_path / "store")
    split(Store(tmp_path / "store"), SplitSettings(), ears)
    assert (ears.warned, ears.said) == ([], [])
