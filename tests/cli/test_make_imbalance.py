"""``hga make-imbalance``: tables at wanted rates, and refusals that write nothing."""

import csv
import json

import pytest

from hga_cli.core.combinations import all_combinations, combination_name
from hga_cli.data.store import Store

MODALITIES = ("flair", "t1ce", "t1", "t2")


def make(tiny, *more):
    return ["make-imbalance", "--dataset", "brats", *tiny.data, *more]


def test_digits_are_tenths_in_the_order_of_the_description(hga, tiny):
    document = hga(*make(tiny, "--rates", "mr2468", "--json")).document
    assert document["name"] == "mr2468"
    assert document["wanted"] == {"flair": 0.6, "t1ce": 0.4, "t1": 0.2, "t2": 0.8}


def test_counts_and_realised_rates_say_the_same(hga, tiny):
    document = hga(*make(tiny, "--rates", "mr2468", "--json")).document
    counts, train = document["combinations"], Store(tiny.store).split("default").train
    assert list(counts) == [combination_name(one) for one in all_combinations(MODALITIES)]
    assert sum(counts.values()) == len(train)
    for modality in MODALITIES:
        lacking = sum(count for name, count in counts.items() if modality not in name.split("+"))
        assert document["realised"][modality] == pytest.approx(lacking / len(train))


def test_table_hides_and_never_gives_back(hga, tiny):
    hga(*make(tiny, "--rates", "mr2468"))
    store = Store(tiny.store)
    table, train = store.table("mr2468"), store.split("default").train
    assert sorted(table.cases) == sorted(train)
    available = table.available_of({case: store.cases[case].modalities for case in train})
    assert all(has and set(has) <= set(store.cases[case].modalities) for case, has in available.items())
    assert any(set(has) < set(store.cases[case].modalities) for case, has in available.items())


def test_rate_zero_hides_nothing(hga, tiny):
    document = hga(*make(tiny, "--rates", "mr0000", "--json")).document
    store = Store(tiny.store)
    train = store.split("default").train
    for modality in MODALITIES:
        lacking = sum(modality not in store.cases[case].modalities for case in train)
        assert document["realised"][modality] == pytest.approx(lacking / len(train))


def test_named_rates_are_the_short_form(hga, tiny):
    hga(*make(tiny, "--rates", "mr2468"))
    before = tiny.index_bytes()
    outcome = hga(*make(tiny, "--rates", "t1=0.2, t1ce=0.4, flair=0.6, t2=0.8", "--json"))
    assert outcome.document["name"] == "mr2468"
    assert "the same table 'mr2468' was there already" in outcome.err
    assert tiny.index_bytes() == before


def test_modalities_that_are_not_named_miss_nothing(hga, tiny):
    document = hga(*make(tiny, "--rates", "t1ce=0.25", "--json")).document
    assert document["wanted"] == {"flair": 0, "t1ce": 0.25, "t1": 0, "t2": 0}


def test_rates_from_settings(hga, tiny):
    assert hga(*make(tiny, "--set", "imbalance.rates={ t1 = 0.5 }", "--json")).document["wanted"]["t1"] == 0.5


@pytest.mark.parametrize("unit", ["subject", "case"])
def test_unit(hga, tiny, unit):
    arguments = ["--rates", "mr5555", "--rule", "bernoulli", "--unit", unit]
    for seed in range(6):
        hga(*make(tiny, *arguments, "--name", f"seed-{seed}", "--seed", seed))
    visits = ("Tiny-00001-000", "Tiny-00001-001")
    tables = [table for table in Store(tiny.store).tables.values() if visits[0] in table.cases]
    assert len(tables) == 6
    same = [len({table.rows()[case] for case in visits}) == 1 for table in tables]
    assert all(same) if unit == "subject" else not all(same)


def test_another_table_of_the_same_name_is_refused(hga, tiny):
    hga(*make(tiny, "--rates", "mr2468"))
    before = tiny.index_bytes()
    says = ["already has another 'mr2468'", "--name"]
    hga.refuses(*make(tiny, "--rates", "mr8642", "--name", "mr2468"), code=3, says=says)
    hga.refuses(*make(tiny, "--rates", "mr2468", "--seed", 3), code=3, says=says)
    assert tiny.index_bytes() == before


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        ("20", "cannot read the rate '20'"),
        ("t1=20", "0.2 for 20 %"),
        ("t1=100", "expected 0 <= rate < 1"),
        ("t1=1.0", "expected 0 <= rate < 1"),
        ("t1=-0.2", "expected 0 <= rate < 1"),
        ("t1=nan", "expected 0 <= rate < 1"),
        ("t1", "cannot read the rate 't1'"),
        ("t1=often", "cannot read the rate 't1=often'"),
        ("t1ec=0.2", "did you mean 't1ce'?"),
        ("mr24", "2 digits, expected 4"),
        ("mr24680", "5 digits, expected 4"),
        ("mr009p5", "3 digits, expected 4"),
        ("100", "0.2 for 20 %"),
        ("1.0", "0.2 for 20 %"),
        ("mrabcd", "cannot read the rate 'mrabcd'"),
        ("", "cannot read the rate ''"),
    ],
)
def test_rates_that_are_none(hga, tiny, rates, says):
    before = tiny.index_bytes()
    hga.refuses(*make(tiny, f"--rates={rates}"), code=2, says=says)
    assert tiny.index_bytes() == before


def test_no_rates(hga, tiny):
    hga.refuses(*make(tiny), code=2, says=["no missing rates given", "--rates mr2468"])


def test_rule_that_is_none(hga, tiny):
    assert "--rule" in hga(*make(tiny, "--rates", "mr2468", "--rule", "dice"), code=2).err


def test_no_split(hga, tmp_path, phantom):
    phantom(tmp_path / "raw", "A")
    hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
    arguments = ["make-imbalance", "--dataset", tmp_path / "store", "--rates", "mr2468"]
    hga.refuses(*arguments, code=3, says=["has no split", "hga split"])


def test_one_of_several_splits_has_to_be_named(hga, tiny):
    hga("split", "--dataset", "brats", "--name", "other", "--seed", 2, *tiny.data)
    hga.refuses(*make(tiny, "--rates", "mr2468"), code=3, says=["several splits", "choose one of: default, other"])
    hga(*make(tiny, "--rates", "mr2468", "--split", "other"))
    assert Store(tiny.store).table("mr2468").about["split"] == "other"


def test_mistyped_split(hga, tiny):
    hga.refuses(*make(tiny, "--rates", "mr2468", "--split", "defalt"), code=3, says="did you mean 'default'?")


def test_table_shows_dots_and_rates(hga, tiny):
    outcome = hga(*make(tiny, "--rates", "mr2468", "--json"))
    out = hga(*make(tiny, "--rates", "mr2468")).out
    for name, count in outcome.document["combinations"].items():
        picture = "".join("●" if modality in name.split("+") else "○" for modality in MODALITIES)
        rows = [line for line in out.splitlines() if picture in line]
        assert len(rows) == (count > 0)
        assert all(name in row and f" {count} " in row for row in rows)
    for modality, rate in outcome.document["realised"].items():
        assert any(f" {modality} " in line and f"{rate:.2f}" in line for line in out.splitlines())


def test_meaning_of_the_digits_is_told(hga, tiny):
    told = hga(*make(tiny, "--rates", "mr009p50")).err
    assert "mr009p50: t1 0, t1ce 0, flair 0.95, t2 0" in told
    assert Store(tiny.store).table("mr009p50").about["rates"]["flair"] == 0.95


def test_bound_is_told(hga, tiny):
    outcome = hga(*make(tiny, "--rates", "mr9999", "--rule", "bernoulli", "--json"))
    assert outcome.document["bound"] == {"mean": pytest.approx(0.9), "most": 0.75}
    assert "warning: the wanted rates have mean 0.90; 0.75 is the most" in outcome.err


def test_few_units_are_told(hga, tiny):
    assert "units for 15 patterns of presence" in hga(*make(tiny, "--rates", "mr2468")).err
    quiet = hga(*make(tiny, "--rates", "mr2468", "--rule", "bernoulli", "--name", "drawn"))
    assert "warning" not in quiet.err


def test_combinations_nobody_has_are_counted(hga, tiny):
    counts = hga(*make(tiny, "--rates", "mr2468", "--json")).document["combinations"]
    nobody = sum(not count for count in counts.values())
    assert f"{nobody} of 15 combinations nobody has" in hga(*make(tiny, "--rates", "mr2468")).out


def test_units_that_keep_nothing(hga, tiny):
    """They are a row with nothing; training leaves them out and says how many."""
    words = ["--rates", "mr9999", "--rule", "bernoulli", "--set", "imbalance.empty=drop", "--name", "sparse"]
    nothing = hga(*make(tiny, *words, "--json")).document["nothing"]
    train = Store(tiny.store).split("default").train
    assert 0 < nothing < len(train)
    assert f"{nothing} cases have nothing available" in hga(*make(tiny, *words)).out
    told = hga(*tiny.training("--imbalance", "sparse", "--epochs", 0, "--run", "sparse")).err
    assert f"{len(train) - nothing} training cases" in told
    assert f"{nothing} have nothing available and are left out" in told


class TestFiles:
    """``-o``, ``--names`` and ``--published``."""

    def test_csv_beside_the_store(self, hga, tiny, tmp_path):
        outcome = hga(*make(tiny, "--rates", "mr2468", "-o", tmp_path / "new" / "t.csv"))
        assert f"table written to '{tmp_path / 'new' / 't.csv'}'" in outcome.err
        with (tmp_path / "new" / "t.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        table = Store(tiny.store).table("mr2468")
        assert {row["case"]: tuple(row[name] == "1" for name in MODALITIES) for row in rows} == dict(
            zip(table.cases, table.available, strict=True)
        )

    def test_another_file_is_replaced_only_if_asked_for(self, hga, tiny, tmp_path):
        """And the store is left alone, or the next call would find its table there."""
        before, file = tiny.index_bytes(), tmp_path / "thesis.csv"
        file.write_text("years of work\n")
        words = make(tiny, "--rates", "mr2468", "-o", file)
        hga.refuses(*words, code=3, says=[f"'{file}' is there already", "--overwrite"])
        assert file.read_text() == "years of work\n"
        assert tiny.index_bytes() == before
        hga(*words, "--overwrite")
        assert file.read_text().startswith("case,flair,t1ce,t1,t2\n")
        hga(*words)  # the same table again
        hga.refuses(*words, "--published", code=3, says="is there already")

    @pytest.mark.parametrize("folder", [".", "new"])
    def test_folder_instead_of_a_file(self, hga, tiny, tmp_path, monkeypatch, folder):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "new").mkdir()
        says = [f"'{folder}' is a folder, expected the name of a CSV file", "mr2468.csv"]
        hga.refuses(*make(tiny, "--rates", "mr2468", "-o", folder), code=2, says=says)

    @pytest.mark.parametrize("published", [[], ["--published"]], ids=["own", "published"])
    def test_csv_is_read_back(self, hga, tiny, tmp_path, published):
        hga(*make(tiny, "--rates", "mr2468", *published, "-o", tmp_path / "t.csv"))
        hga(*make(tiny, "--names", tmp_path / "t.csv", *published, "--name", "again"))
        store = Store(tiny.store)
        assert store.table("again").rows() == store.table("mr2468").rows()
        assert store.table("again").about == {"from": "t.csv", "unit": "case"}

    def test_published_table_without_a_store(self, hga, tmp_path):
        """A shipped description and a shipped list are enough; no store is made."""
        arguments = ["make-imbalance", "--dataset", "brats", "--names", "brats2020", "--rates", "mr2468"]
        hga(*arguments, "--published", "-o", tmp_path / "t.csv", "--data-dir", tmp_path / "data", "--json")
        lines = (tmp_path / "t.csv").read_bytes().split(b"\r\n")
        assert lines[1] == b'HG_BraTS20_Training_002,10,"[True, True, True, False]","[1, 2, 3, 5, 6, 9, 10]"'
        assert len(lines) == 221
        assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]

    def test_names_into_the_store(self, hga, tiny, tmp_path):
        before = tiny.index_bytes()
        (tmp_path / "n.txt").write_text("HG_Tiny-00005-000\nTiny-00004-000\n")
        hga(*make(tiny, "--names", tmp_path / "n.txt", "--rates", "mr0000", "-o", tmp_path / "t.csv"))
        assert tiny.index_bytes() == before
        assert (tmp_path / "t.csv").read_text().startswith("case,flair,t1ce,t1,t2\nHG_Tiny-00005-000,1,1,1,1\n")
        hga(*make(tiny, "--names", tmp_path / "n.txt", "--rates", "mr0000", "--name", "two"))
        assert Store(tiny.store).table("two").cases == ["Tiny-00004-000", "Tiny-00005-000"]

    def test_names_of_another_data_set(self, hga, tiny):
        before = tiny.index_bytes()
        hga.refuses(
            *make(tiny, "--names", "brats2020", "--rates", "mr2468"),
            code=3,
            says="brats2020: 219 of 219 names are no cases",
        )
        assert tiny.index_bytes() == before

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (["--names", "n.txt", "--unit", "case", "--rates", "mr2468"], "and so does --unit"),
            (["--names", "n.txt", "--split", "default", "--rates", "mr2468"], "and so does --split"),
            (["--names", "t.csv", "--rates", "mr2468"], "--rates is for drawing one"),
            (["--names", "t.csv", "--seed", "0"], "--seed is for drawing one"),
            (["--rates", "mr2468", "--published"], "add -o FILE.csv"),
            (["--names", "n.txt", "--rates", "mr2468", "--published"], "add -o FILE.csv"),
            (["--names", "n.txt"], "no missing rates given"),
        ],
    )
    def test_options_that_contradict(self, hga, tiny, tmp_path, monkeypatch, more, says):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "n.txt").write_text("Tiny-00004-000\n")
        before = tiny.index_bytes()
        hga.refuses(*make(tiny, *more), code=2, says=says)
        assert tiny.index_bytes() == before

    def test_refused_table_writes_no_file(self, hga, tiny, tmp_path):
        hga.refuses(*make(tiny, "--rates", "t1=20", "-o", tmp_path / "t.csv"), code=2, says="0.2 for 20 %")
        hga(*make(tiny, "--rates", "mr2468"))
        words = ["--rates", "mr8642", "--name", "mr2468", "-o", tmp_path / "t.csv"]
        hga.refuses(*make(tiny, *words), code=3, says="already has another")
        assert not (tmp_path / "t.csv").exists()

    @pytest.mark.parametrize("dataset", ["bratz", "absent.toml"])
    def test_data_set_that_is_none(self, hga, tmp_path, dataset):
        words = ["--dataset", dataset, "--names", "brats2020", "--rates", "mr2468", "-o", tmp_path / "t.csv"]
        told = hga("make-imbalance", *words, "--data-dir", tmp_path, code=3 if dataset == "bratz" else 4).err
        assert dataset in told


def test_slices_are_trained_on(hga, tiny):
    """From a table of slices to a 2D network; the journal has the losses of its epoch."""
    made = hga(*make(tiny, "--rates", "mr2468", "--unit", "slice", "--name", "flat", "--json"))
    assert "axial slices with labels" in made.err
    table = Store(tiny.store).table("flat")
    assert table.by_slice
    assert sum(made.document["combinations"].values()) == len(table.cases)
    flat = ["--set", "network.dims=2", "--set", "data.patch=[16,16]"]
    arguments = tiny.training("--imbalance", "flat", "--epochs", 1, "--run", "flat")
    hga.refuses(*arguments, code=4, says=["is about slices", "network.dims=2"])
    told = hga(*arguments, *flat).err
    assert f"{len(table.cases)} slices of {len(Store(tiny.store).split('default').train)} training cases" in told
    lines = (tiny.top / "runs" / "flat" / "journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["epoch"] for line in lines} == {0}
