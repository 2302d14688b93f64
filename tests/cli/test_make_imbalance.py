"""``hga make-imbalance``: tables at wanted rates, and refusals that write nothing."""

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
    available = {case: table.available_of(case, store.cases[case].modalities) for case in train}
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
    same = [len({table.available_of(case, MODALITIES) for case in visits}) == 1 for table in tables]
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
