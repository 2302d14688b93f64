"""``hga split``: all cases, each in one part, subjects together; never another split under an old name."""

import pytest

from hga_cli.data.store import Store


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


@pytest.mark.parametrize("ratios", ["0.7,0.3", "0.7 0.1 0.2", "a,b,c", ""])
def test_ratios_that_cannot_be_read(hga, tiny, ratios):
    hga.refuses(*split(tiny, "--ratios", ratios), code=2, says="expected 3 numbers")


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
