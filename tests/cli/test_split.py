"""``hga split``: all cases, each in one part, subjects together; never another split under an old name."""

from dataclasses import replace

import pytest

from hga_cli.data.store import Store, index, reading


def split(tiny, *more):
    return ["split", "--dataset", "brats", *tiny.data, *more]


def test_document_has_each_case_once(hga, tiny):
    document = hga(*split(tiny, "--json")).document
    assert document["name"] == "default"
    assert sorted(document["train"] + document["val"] + document["test"]) == sorted(Store(tiny.store).cases)


def test_ratios_count_subjects(hga, tiny):
    document = hga(*split(tiny, "--name", "halves", "--ratios", "0.5,0.2,0.3", "--json")).document
    subjects = {part: {case[:10] for case in document[part]} for part in ("train", "val", "test")}
    assert {part: len(found) for part, found in subjects.items()} == {"train": 5, "val": 2, "test": 3}
    assert len(set.union(*subjects.values())) == 10


@pytest.mark.parametrize("seed", range(6))
def test_both_visits_of_a_subject_stay_together(hga, tiny, seed):
    document = hga(*split(tiny, "--name", f"seed-{seed}", "--seed", seed, "--json")).document
    visits = {"Tiny-00001-000", "Tiny-00001-001"}
    assert [visits & set(document[part]) for part in ("train", "val", "test")].count(visits) == 1


def test_seed_decides(hga, tiny):
    parts = {
        seed: hga(*split(tiny, "--name", f"seed-{seed}", "--seed", seed, "--json")).document["test"]
        for seed in range(8)
    }
    assert len({tuple(test) for test in parts.values()}) > 1


def test_part_without_share_is_empty(hga, tiny):
    document = hga(*split(tiny, "--name", "two", "--ratios", "0.8,0,0.2", "--json")).document
    assert document["val"] == []
    assert len(document["train"]) + len(document["test"]) == 11


def test_same_split_again_says_so(hga, tiny):
    before = tiny.index_bytes()
    outcome = hga(*split(tiny, "--json"))
    assert "the same split 'default' was there already" in outcome.err
    stored = Store(tiny.store).split("default")
    assert [outcome.document[part] for part in ("train", "val", "test")] == [stored.train, stored.val, stored.test]
    assert tiny.index_bytes() == before


def test_new_split_does_not_say_so(hga, tiny):
    assert "already" not in hga(*split(tiny, "--name", "new")).err


@pytest.mark.parametrize("more", [["--seed", 5], ["--ratios", "0.5,0.2,0.3"]], ids=["seed", "ratios"])
def test_another_split_of_the_same_name_is_refused(hga, tiny, more):
    before = tiny.index_bytes()
    hga.refuses(*split(tiny, *more), code=3, says=["already has another 'default'", "--name"])
    assert tiny.index_bytes() == before
    hga(*split(tiny, *more, "--name", "other"))
    assert set(Store(tiny.store).splits) == {"default", "other"}


@pytest.mark.parametrize(
    "ratios", ["20,80,0", "-0.2,1.2,0", "1.2,0,0", "0.7,0.2,0.2", "0.5,0.1,0.2", "0,0,0", "nan,0,1"]
)
def test_ratios_that_are_no_shares(hga, tiny, ratios):
    before = tiny.index_bytes()
    hga.refuses(*split(tiny, "--name", "new", f"--ratios={ratios}"), code=2, says="ratios")
    assert tiny.index_bytes() == before


@pytest.mark.parametrize("ratios", ["20,80,0", "0.7,0.2,0.2"])
def test_hint_tells_how_shares_are_written(hga, tiny, ratios):
    hga.refuses(*split(tiny, "--ratios", ratios), code=2, says="0.2 for 20 %")


@pytest.mark.parametrize("ratios", ["0.7,0.3", "0.7 0.1 0.2", "a,b,c", "", "20/80"])
def test_ratios_that_cannot_be_read(hga, tiny, ratios):
    says = ["expected 3 numbers", "for example --ratios 0.7,0.1,0.2"]
    hga.refuses(*split(tiny, "--ratios", ratios), code=2, says=says)


def test_too_few_subjects(hga, tmp_path, phantom):
    for case in ("A", "B"):
        phantom(tmp_path / "raw", case)
    hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
    hga.refuses("split", "--dataset", tmp_path / "store", code=3, says="2 subjects are too few")


def test_table_shows_numbers_of_subjects_and_cases(hga, tiny):
    out = hga(*split(tiny)).out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    stored = Store(tiny.store).split("default")
    assert {row[0]: int(row[3]) for row in rows} == {
        part: len(getattr(stored, part)) for part in ("train", "val", "test")
    }
    assert sum(int(row[2]) for row in rows) == 10


class TestFolds:
    """``--folds``: all of them, or none."""

    def test_each_case_is_tested_once(self, hga, tiny):
        document = hga(*split(tiny, "--folds", 5, "--json")).document
        assert [one["name"] for one in document["folds"]] == [f"fold-{number}" for number in range(1, 6)]
        assert sorted(case for one in document["folds"] for case in one["test"]) == sorted(Store(tiny.store).cases)
        store = Store(tiny.store)
        for one in document["folds"]:
            kept = store.split(one["name"])
            assert (kept.train, kept.val, kept.test) == (one["train"], one["val"], one["test"])
            assert len({case[:10] for case in kept.val}) == 1

    def test_without_validation(self, hga, tiny):
        words = ["--folds", 2, "--ratios", "0.8,0,0.2", "--name", "half", "--json"]
        document = hga(*split(tiny, *words)).document
        assert [one["val"] for one in document["folds"]] == [[], []]
        assert {"half-1", "half-2"} < set(Store(tiny.store).splits)

    def test_again_says_so(self, hga, tiny):
        hga(*split(tiny, "--folds", 3))
        before = tiny.index_bytes()
        assert "the same 3 splits were there already" in hga(*split(tiny, "--folds", 3)).err
        assert tiny.index_bytes() == before

    def test_all_or_none(self, hga, tiny):
        hga(*split(tiny, "--name", "fold-3", "--seed", 4))
        before = tiny.index_bytes()
        says = ["already has another 'fold-3'", "--name"]
        hga.refuses(*split(tiny, "--folds", 5), code=3, says=says)
        assert tiny.index_bytes() == before

    @pytest.mark.parametrize(("count", "code"), [(1, 2), (0, 2), (-3, 2), (11, 3)])
    def test_number_that_cannot_be(self, hga, tiny, count, code):
        before = tiny.index_bytes()
        hga.refuses(*split(tiny, f"--folds={count}"), code=code)
        assert tiny.index_bytes() == before

    def test_table(self, hga, tiny):
        out = hga(*split(tiny, "--folds", 5)).out
        store = Store(tiny.store)
        for number in range(1, 6):
            (line,) = (line for line in out.splitlines() if f"fold-{number}" in line)
            counts = [int(cell) for cell in line.split("│")[2:5]]
            assert counts == [len(store.split(f"fold-{number}").part(part)) for part in ("train", "val", "test")]


class TestLists:
    """``--from``: what others decided."""

    def test_table_in_any_order(self, hga, tiny):
        cases = sorted(Store(tiny.store).cases)
        rows = [
            f"HG_{case},{part}" for case, part in zip(cases, ["train"] * 6 + ["val"] * 2 + ["test"] * 3, strict=True)
        ]
        (tiny.top / "t.csv").write_text("\n".join(["data_name,split", *rows[::-1]]))
        document = hga(*split(tiny, "--from", tiny.top / "t.csv", "--name", "theirs", "--json")).document
        assert document == {"name": "theirs", "train": cases[:6], "val": cases[6:8], "test": cases[8:]}
        assert Store(tiny.store).split("theirs").about == {"from": "t.csv"}

    def test_cases_in_no_part_are_told(self, hga, tiny):
        (tiny.top / "train.txt").write_text("Tiny-00004-000\n")
        (tiny.top / "test.txt").write_text("Tiny-00005-000\n")
        told = hga(*split(tiny, "--from", tiny.top, "--name", "two")).err
        assert "warning: 9 cases of the store are in no part: Tiny-00001-000" in told

    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            (["Tiny-00001-000,train", "Tiny-00001-001,test"], "subject 'Tiny-00001' is in train ('Tiny-00001-000')"),
            (["Tiny-00002-000,train", "Tiny-00002-000,val"], "'Tiny-00002-000' in train and 'Tiny-00002-000' in val"),
            (["Tiny-00002-000,train", "Tiny-2-0,test"], "1 of 2 names are no cases of the store: Tiny-2-0"),
        ],
        ids=["subject", "case", "unknown"],
    )
    def test_lists_that_cannot_be(self, hga, tiny, rows, says):
        (tiny.top / "t.csv").write_text("\n".join(["case,part", *rows]))
        before = tiny.index_bytes()
        hga.refuses(*split(tiny, "--from", tiny.top / "t.csv", "--name", "new"), code=3, says=says)
        assert tiny.index_bytes() == before

    def test_subjects_of_the_table_count(self, hga, tiny):
        """The column may part what the rule joins, and join what the rule parts."""
        head, part = "case,part,subject", "Tiny-00001-000,train,a\nTiny-00001-001,test,b"
        (tiny.top / "t.csv").write_text(f"{head}\n{part}\n")
        assert hga(*split(tiny, "--from", tiny.top / "t.csv", "--name", "new", "--json")).document["train"]
        (tiny.top / "t.csv").write_text(f"{head}\nTiny-00002-000,train,a\nTiny-00003-000,test,a\n")
        hga.refuses(*split(tiny, "--from", tiny.top / "t.csv"), code=3, says="subject 'a' is in train")

    def test_shipped_split_of_another_data_set(self, hga, tiny):
        hga.refuses(*split(tiny, "--from", "brats2020"), code=3, says="369 of 369 names are no cases of the store")

    @pytest.mark.parametrize("more", [["--seed", 0], ["--ratios", "0.7,0.1,0.2"], ["--folds", 3]], ids=str)
    def test_drawn_and_listed_contradict(self, hga, tiny, more):
        says = "--ratios, --folds and --seed draw it"
        hga.refuses(*split(tiny, "--from", "brats2020", *more), code=2, says=says)

    def test_folds_from_settings_and_lists_contradict(self, hga, tiny):
        words = ["--from", "brats2020", "--set", "split.folds=3"]
        hga.refuses(*split(tiny, *words), code=2, says="lists (--from) say one split only")


class TestSubjects:
    """``split.subjects``: a table instead of the rule."""

    def table(self, tiny, subject_of):
        rows = [f"{case},{subject_of(case)}" for case in Store(tiny.store).cases]
        (tiny.top / "s.csv").write_text("\n".join(["case,subject", *rows]))
        return ["--set", f"split.subjects={tiny.top / 's.csv'}"]

    @pytest.mark.parametrize("seed", range(4))
    def test_they_stay_together(self, hga, tiny, seed):
        words = self.table(tiny, lambda case: int(case[5:10]) % 5)
        document = hga(*split(tiny, *words, "--seed", seed, "--name", "s", "--json")).document
        places = [{int(case[5:10]) % 5 for case in document[part]} for part in ("train", "val", "test")]
        assert sum(map(len, places)) == len(set.union(*places)) == 5
        out = hga(*split(tiny, *words, "--seed", seed, "--name", "s")).out
        counts = [int(line.split("│")[3]) for line in out.splitlines() if "│" in line]
        assert counts == list(map(len, places))

    def test_case_without_subject(self, hga, tiny):
        words = self.table(tiny, lambda case: "x")
        text = (tiny.top / "s.csv").read_text().splitlines()
        (tiny.top / "s.csv").write_text("\n".join(text[:-2]))
        hga.refuses(*split(tiny, *words), code=3, says="names no subject for 2 cases of the store")

    def test_two_tables_of_subjects(self, hga, tiny):
        words = self.table(tiny, lambda case: "x")
        (tiny.top / "t.csv").write_text("case,part,subject\nTiny-00002-000,train,a\nTiny-00003-000,test,b\n")
        hga.refuses(*split(tiny, "--from", tiny.top / "t.csv", *words), code=2, says="name subjects")


@pytest.fixture
def twins(hga, tiny, monkeypatch):
    """Two cases of the store hold the same image, as their digests say."""
    entries = index.read_entries

    def with_digests(text):
        found = entries(text)
        same = {"Tiny-00004-000": "one", "Tiny-00005-000": "one"}
        return {case: replace(entry, digests={"t1": same.get(case, case)}) for case, entry in found.items()}

    monkeypatch.setattr(reading, "read_entries", with_digests)
    return tiny


def test_same_image_in_two_parts(hga, twins):
    """Case T17: refused, unless the two are one subject."""
    (twins.top / "t.csv").write_text("case,part\nTiny-00004-000,train\nTiny-00005-000,test\n")
    says = ["the same image is in train ('Tiny-00004-000') and in test ('Tiny-00005-000')", "split.subjects=FILE.csv"]
    hga.refuses(*split(twins, "--from", twins.top / "t.csv", "--name", "new"), code=3, says=says)
    (twins.top / "t.csv").write_text("case,part\nTiny-00004-000,train\nTiny-00005-000,train\nTiny-00006-000,test\n")
    told = hga(*split(twins, "--from", twins.top / "t.csv", "--name", "new")).err
    assert "1 groups of cases hold the same image, for example Tiny-00004-000, Tiny-00005-000" in told


class TestSettings:
    """``-c``, ``--set`` and what is wrong with them."""

    def test_later_wins(self, hga, tiny):
        file = tiny.top / "settings.toml"
        file.write_text('[split]\nname = "file"\nseed = 3\n')
        base = split(tiny, "-c", file, "--json")
        assert hga(*base).document["name"] == "file"
        assert hga(*base, "--set", "split.name=assigned").document["name"] == "assigned"
        assert hga(*base, "--set", "split.name=assigned", "--name", "flag").document["name"] == "flag"
        assert Store(tiny.store).split("flag").about["seed"] == 3

    @pytest.mark.parametrize("text", ["split.seed", "=3", " = 3"])
    def test_assignment_that_is_none(self, hga, tiny, text):
        hga.refuses(*split(tiny, "--set", text), code=2, says=[text, "section.key=value"])

    def test_unknown_setting(self, hga, tiny):
        says = ["no setting called 'split.sedd'", "did you mean 'seed'?"]
        hga.refuses(*split(tiny, "--set", "split.sedd=3"), code=4, says=says)

    def test_unknown_section(self, hga, tiny):
        hga.refuses(*split(tiny, "--set", "splt.seed=3"), code=4, says="did you mean 'split'?")

    def test_unknown_setting_in_a_file(self, hga, tiny):
        file = tiny.top / "settings.toml"
        file.write_text("[split]\nratio = [0.7, 0.1, 0.2]\n")
        hga.refuses(*split(tiny, "-c", file), code=4, says="did you mean 'ratios'?")

    def test_value_of_another_kind(self, hga, tiny):
        hga.refuses(*split(tiny, "--set", "split.seed=often"), code=4, says=["split.seed", "integer", "'often'"])

    def test_assignments_are_never_evaluated(self, hga, tiny):
        hga.refuses(*split(tiny, "--set", "split.seed=1+1"), code=4, says="'1+1'")

    @pytest.mark.parametrize("content", [None, "split = ", "\x80"], ids=["absent", "no TOML", "no text"])
    def test_file_that_cannot_be_read(self, hga, tiny, content):
        file = tiny.top / "settings.toml"
        if content is not None:
            file.write_bytes(content.encode("latin-1"))
        hga.refuses(*split(tiny, "-c", file), code=4, says=str(file))

    @pytest.mark.parametrize("name", ["a/b", "", "..", "-x", "x" * 101])
    def test_name_that_is_none(self, hga, tiny, name):
        hga.refuses(*split(tiny, f"--name={name}"), code=2, says="split.name")

    def test_verbose_shows_the_settings(self, hga, tiny):
        assert "ratios=(0.7, 0.1, 0.2)" in hga(*split(tiny, "-v")).err
        assert "ratios=" not in hga(*split(tiny)).err
