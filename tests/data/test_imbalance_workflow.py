"""Tables for a split, for names, and from files: what is drawn together, what is told, what is kept."""

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hga_cli.core.combinations import all_combinations
from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Imbalance
from hga_cli.data.listed_splits import read_lists
from hga_cli.data.raw.description import load_description
from hga_cli.data.splits import Split
from hga_cli.workflows import make_imbalance as workflow

BRATS, MSSEG = load_description("brats"), load_description("msseg")
ORDER = BRATS.modalities
PUBLISHED = json.loads((Path(__file__).parent / "golden_imbalance.json").read_text())["published"]


class Told(Silent):
    def __init__(self):
        self.said, self.warnings = [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warnings.append(text)


def brats_names():
    return read_lists("brats2020").parts["train"]


def flags_of(digit):
    return tuple(bool(int(digit, 16) & bit) for bit in (8, 4, 2, 1))


def store_of(present, subjects=None, *, train=None, description=BRATS):
    """Stands for a store: case -> what it has."""
    cases = {
        case: SimpleNamespace(subject=(subjects or {}).get(case, case), modalities=has) for case, has in present.items()
    }
    split = Split(name="default", train=train or sorted(present), val=[], test=[])
    return SimpleNamespace(
        path=Path("store"),
        description=description,
        modalities=description.modalities,
        cases=cases,
        split=lambda name: split,
    )


@pytest.fixture
def saved(monkeypatch):
    """Tables that the workflow wants to keep."""
    kept = []
    monkeypatch.setattr(workflow, "save_table", lambda path, table: kept.append(table) or True)
    return kept


def test_workflow_reproduces_the_published_table_from_the_names(saved):
    """Names in any order; columns in the order of the data set, not of the digits."""
    names = brats_names()
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    store = store_of(dict.fromkeys(shuffled, ORDER), train=shuffled)
    report = workflow.make_imbalance(store, Imbalance(rates="mr2468"), None)
    (table,) = saved
    assert report.table is table
    assert (table.name, table.cases, table.modalities) == ("mr2468", names, ORDER)
    assert table.available == [flags_of(digit) for digit in PUBLISHED["rows"]]
    assert report.wanted == {"flair": 0.6, "t1ce": 0.4, "t1": 0.2, "t2": 0.8}
    owned = {"flair": 90, "t1ce": 135, "t1": 184, "t2": 43}
    assert report.realised == pytest.approx({name: 1 - count / 219 for name, count in owned.items()})
    counts = {"+".join(combination): count for combination, count in report.counts.items()}
    assert list(report.counts) == all_combinations(ORDER)
    assert sum(counts.values()) == 219
    assert (counts["flair"], counts["t1"], counts["t1ce+t1"], counts["flair+t1ce+t1+t2"]) == (6, 38, 53, 9)
    assert table.about == {
        "rates": {"t1": 0.2, "t1ce": 0.4, "flair": 0.6, "t2": 0.8},
        "rule": "expected",
        "unit": "subject",
        "empty": "redraw",
        "seed": 1037,
        "split": "default",
    }


def test_workflow_draws_subjects_or_cases(saved):
    subjects = {f"s{subject:02}-{visit}": f"s{subject:02}" for subject in range(30) for visit in range(3)}
    store = store_of(dict.fromkeys(subjects, ORDER), subjects)
    for unit in ("subject", "case"):
        workflow.make_imbalance(store, Imbalance(rates="mr5555", unit=unit), None)
    together = [
        len({row for case, row in zip(saved[0].cases, saved[0].available, strict=True) if case[:3] == name[:3]})
        for name in subjects
    ]
    assert set(together) == {1}
    assert len(set(saved[0].available)) > 5
    apart = {(case[:3], row) for case, row in zip(saved[1].cases, saved[1].available, strict=True)}
    assert len(apart) > 40


def test_workflow_takes_training_cases_only(saved):
    store = store_of(dict.fromkeys("abcdef", ORDER), train=["a", "c"])
    workflow.make_imbalance(store, Imbalance(rates="mr2468", name="mine"), None)
    assert (saved[0].name, saved[0].cases) == ("mine", ["a", "c"])


def test_workflow_reports_what_incomplete_cases_have_left(saved):
    present = {f"c{number:02}": ("flair", "t1") if number % 3 else ("t2",) for number in range(60)}
    report = workflow.make_imbalance(store_of(present), Imbalance(rates="mr2468"), None)
    counts = {"+".join(combination): count for combination, count in report.counts.items() if count}
    assert set(counts) == {"flair", "t1", "flair+t1", "t2"}
    assert counts["t2"] == 20
    assert report.realised["t1ce"] == 1
    assert report.realised["t2"] == pytest.approx(40 / 60)


def test_workflow_without_rates(saved):
    with pytest.raises(UsageError, match="no missing rates given") as caught:
        workflow.make_imbalance(store_of({"a": ORDER}), Imbalance(), None)
    assert "mr2468" in caught.value.hint
    assert saved == []


@pytest.mark.parametrize("order", list(permutations(range(4)))[1::5], ids=str)
def test_order_of_the_modalities_does_not_decide_who_misses_what(saved, order):
    """The digits do: with the same digits, another order only moves columns."""
    names = [f"c{number:03}" for number in range(80)]
    turned = replace(
        BRATS, modalities=tuple(ORDER[place] for place in order), imbalance=replace(BRATS.imbalance, ids=())
    )
    for description in (BRATS, turned):
        has = dict.fromkeys(names, description.modalities)
        workflow.make_imbalance(store_of(has, description=description), Imbalance(rates="mr2468"), None)
    first, second = ({name: set(has) for name, has in table.rows().items()} for table in saved)
    assert first == second
    assert saved[1].modalities == turned.modalities


@pytest.mark.parametrize("rule", ["expected", "bernoulli"])
@pytest.mark.parametrize("empty", ["redraw", "drop"])
def test_truly_absent_stays_absent(saved, rule, empty):
    generator = np.random.default_rng(0)
    some = all_combinations(ORDER)
    present = {f"c{number:03}": some[int(generator.integers(15))] for number in range(100)}
    report = workflow.make_imbalance(store_of(present), Imbalance(rates="mr5555", rule=rule, empty=empty), None)
    rows = saved[0].rows()
    assert all(set(has) <= set(present[case]) for case, has in rows.items())
    assert report.nothing == sum(not has for has in rows.values())
    assert (report.nothing > 0) == (empty == "drop")
    assert sum(report.counts.values()) + report.nothing == 100


def test_bernoulli_reaches_the_rates(saved):
    names = dict.fromkeys((f"c{number:04}" for number in range(4000)), ORDER)
    settings = Imbalance(rates={"t1": 0.1, "t1ce": 0.2, "flair": 0.3, "t2": 0.4}, rule="bernoulli")
    report = workflow.make_imbalance(store_of(names), settings, None)
    assert report.realised == pytest.approx(report.wanted, abs=0.025)


def told_by(names, settings, description=BRATS):
    told = Told()
    store = store_of(dict.fromkeys(names, description.modalities), description=description)
    report = workflow.make_imbalance(store, settings, None, told)
    return report, told


def test_meaning_of_the_digits_is_said(saved):
    _, told = told_by(brats_names(), Imbalance(rates="mr2468"))
    assert told.said == ["mr2468: t1 0.2, t1ce 0.4, flair 0.6, t2 0.8"]
    assert told.warnings == []


@pytest.mark.parametrize(("rates", "warns"), [("mr6789", False), ("mr7788", False), ("mr7789", True), ("mr9999", True)])
def test_rates_beyond_the_bound_are_told(saved, rates, warns):
    """At most (M - 1) / M can be missing on average, for each case keeps one."""
    report, told = told_by(brats_names(), Imbalance(rates=rates, rule="bernoulli"))
    assert report.bound == {"mean": pytest.approx(sum(map(int, rates[2:])) / 40), "most": 0.75}
    assert len(told.warnings) == warns
    if warns:
        assert f"mean {report.bound['mean']:.2f}; 0.75 is the most that 4 modalities allow" in told.warnings[0]
        assert sum(report.realised.values()) / 4 <= 0.75


@pytest.mark.parametrize(
    ("count", "rates", "rule", "warns"),
    [
        (10, "mr5555", "expected", True),
        (10, "mr5555", "bernoulli", False),
        (16, "mr5555", "expected", False),
        (20, "mr1379", "expected", True),
        (219, "mr1379", "expected", False),
        (3, "mr0050", "expected", False),
        (1, "mr0050", "expected", True),
    ],
)
def test_too_few_units_for_the_patterns_are_told(saved, count, rates, rule, warns):
    _, told = told_by([f"c{number:03}" for number in range(count)], Imbalance(rates=rates, rule=rule))
    assert len(told.warnings) == warns
    if warns:
        assert f"{count} units for " in told.warnings[0]
        assert "--rule bernoulli" in told.warnings[0]


def listed(path, names):
    path.write_text("\n".join(names) + "\n")
    return str(path)


def named(source, settings, store=None, description=BRATS, told=None):
    return workflow.imbalance_of_names(source, description, settings, told, store=store)


def test_names_are_units_and_need_no_store(tmp_path, saved):
    report = named(listed(tmp_path / "n.txt", brats_names()[::-1]), Imbalance(rates="mr2468"))
    assert report.table.cases == brats_names()
    assert report.table.available == [flags_of(digit) for digit in PUBLISHED["rows"]]
    assert report.table.about["names"] == "n.txt"
    assert named("brats2020", Imbalance(rates="mr2468")).table.available == report.table.available
    assert saved == []


def test_names_are_drawn_as_published_and_kept_under_the_ids_of_the_store(saved):
    """HG_ and LG_ sort otherwise than the numbers of the cases: the rows belong to the names."""
    cases = [BRATS.listed(name)[0] for name in brats_names()]
    named("brats2020", Imbalance(rates="mr2468", name="mine"), store_of(dict.fromkeys(cases, ORDER)))
    (table,) = saved
    assert (table.name, table.cases, table.about["unit"]) == ("mine", sorted(cases), "case")
    expected = dict(zip(cases, (flags_of(digit) for digit in PUBLISHED["rows"]), strict=True))
    assert dict(zip(table.cases, table.available, strict=True)) == expected


def test_names_of_slices_are_kept_as_slices(tmp_path, saved):
    store = store_of({"c1": ("flair", "t1"), "c2": MSSEG.modalities}, description=MSSEG)
    source = listed(tmp_path / "n.txt", [f"c{case}_slice_{number}" for case in (1, 2) for number in (9, 10)])
    named(source, Imbalance(rates="mr00000"), store, MSSEG)
    assert saved[0].by_slice
    rows = saved[0].rows()
    assert list(rows) == ["c1_slice_10", "c1_slice_9", "c2_slice_10", "c2_slice_9"]
    assert rows["c1_slice_9"] == ("flair", "t1")
    assert rows["c2_slice_10"] == MSSEG.modalities


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["c1", "zz"], "1 of 2 names are no cases of the store: zz"),
        (["c1", "c2_slice_4"], "names whole cases and slices"),
        (["c1", "c1"], "repeats c1"),
    ],
)
def test_names_that_do_not_fit(tmp_path, saved, names, says):
    store = store_of(dict.fromkeys(["c1", "c2"], MSSEG.modalities), description=MSSEG)
    with pytest.raises(DataError, match=says) as caught:
        named(listed(tmp_path / "n.txt", names), Imbalance(rates="mr12345"), store, MSSEG)
    assert caught.value.hint
    assert saved == []


def test_two_names_of_one_case(tmp_path, saved):
    with pytest.raises(DataError, match="several names for one case"):
        named(listed(tmp_path / "n.txt", ["HG_a", "a"]), Imbalance(rates="mr0000"), store_of({"a": ORDER}))


def test_names_without_rates_and_a_table_with_rates(tmp_path):
    with pytest.raises(UsageError, match="no missing rates given"):
        named(listed(tmp_path / "n.txt", ["a"]), Imbalance())
    with pytest.raises(UsageError, match="says who misses what; rates are given too") as caught:
        named(listed(tmp_path / "t.csv", ["case,flair,t1ce,t1,t2", "a,1,1,0,0"]), Imbalance(rates="mr2468"))
    assert "leave out the rates" in caught.value.hint


def test_table_is_kept_under_its_own_name(tmp_path, saved):
    store = store_of({"a": ("flair", "t1"), "b": ORDER})
    source = listed(tmp_path / "mine.csv", ["case,flair,t1ce,t1,t2", "HG_b,1,0,0,1", "a,1,1,0,0"])
    report = named(source, Imbalance(), store)
    (table,) = saved
    assert (table.name, table.about) == ("mine", {"from": "mine.csv", "unit": "case"})
    assert table.rows() == {"a": ("flair",), "b": ("flair", "t2")}
    assert report.wanted == {}
    assert report.bound["mean"] is None
    assert Counter(report.counts)[("flair", "t2")] == 1
