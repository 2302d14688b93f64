"""Who misses what: the published tables row by row, and the properties that hold for any number of modalities."""

import csv
import json
import math
from collections import Counter
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hga_cli.core.combinations import all_combinations
from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.settings import Imbalance
from hga_cli.data.description import load_description
from hga_cli.data.imbalance import ImbalanceTable, draw_presence, parse_rates, rates_name, realised_rates
from hga_cli.data.splits import Split
from hga_cli.workflows import make_imbalance as workflow

BRATS = load_description("brats")
DIGITS, PATTERNS, ORDER = BRATS.digits, BRATS.imbalance.patterns, BRATS.modalities
GOLDEN = json.loads((Path(__file__).parent / "golden_imbalance.json").read_text())
PUBLISHED = GOLDEN["published"]
TABLES = Path(__file__).parents[2].parent / "shared" / "splits"
NAMED_RATES = {"mr0050": "flair=0.5", "mr009p50": "flair=0.95", "mr009p90": "flair=0.99"}


def brats_names():
    """Names of BraTS 2020: HG for numbers up to 259 and from 336 on, else LG."""
    numbers = PUBLISHED["numbers"].split()
    return [f"{'HG' if not 259 < int(number) < 336 else 'LG'}_BraTS20_Training_{number}" for number in numbers]


def flags_of(digit):
    return tuple(bool(int(digit, 16) & bit) for bit in (8, 4, 2, 1))


def drawn(present, rates, *, patterns=PATTERNS, rule="expected", seed=1037):
    """Flags in the order of the digits, for units that are one case each."""
    return draw_presence([[case] for case in present], rates=rates, patterns=patterns, rule=rule, seed=seed)


def rows_in_order(flags):
    return [tuple(bool(row[DIGITS.index(name)]) for name in ORDER) for row in flags]


def toy(count):
    return tuple(f"m{place}" for place in range(count))


def test_published_table_of_brats_row_by_row():
    names = brats_names()
    assert names == sorted(names)
    assert len(names) == 219
    flags = drawn([ORDER] * len(names), parse_rates("mr2468", DIGITS))
    assert rows_in_order(flags) == [flags_of(digit) for digit in PUBLISHED["rows"]]


@pytest.mark.parametrize("golden", GOLDEN["generated"], ids=lambda golden: rates_name(golden["rates"], DIGITS))
def test_other_numbers_rates_and_seeds(golden):
    """Among them rates of 0.9, where 22 of 30 rows are drawn again, and only 12 names for 15 patterns."""
    rates = parse_rates(golden["rates"], DIGITS)
    flags = drawn([ORDER] * len(golden["rows"]), rates, seed=golden["seed"])
    assert rows_in_order(flags) == [flags_of(digit) for digit in golden["rows"]]


def shared_tables():
    files = sorted(TABLES.glob("brats20*/*_imb_split_*.csv"))
    absent = pytest.mark.skip(reason="the published tables are not at ../shared/splits")
    return files or [pytest.param(None, marks=absent)]


@pytest.mark.parametrize("file", shared_tables(), ids=lambda file: file.stem if file else "absent")
def test_all_published_tables_of_brats(file):
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    short = file.stem.rsplit("_", 1)[1]
    names = [row["data_name"] for row in rows]
    assert names == sorted(names)
    flags = drawn([ORDER] * len(names), parse_rates(NAMED_RATES.get(short, short), DIGITS))
    expected = [tuple(json.loads(row["mask"].lower())) for row in rows]
    assert rows_in_order(flags) == expected


def test_all_published_tables_are_there():
    if not TABLES.exists():
        pytest.skip("the published tables are not at ../shared/splits")
    assert len(shared_tables()) == 19


@pytest.mark.parametrize("count", range(2, 6))
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 0.95])
def test_any_number_of_modalities(count, rate):
    """Each pattern of presence fills at least its expected size; nobody is left with nothing."""
    modalities, total = toy(count), 400
    rates = {name: rate if place % 2 == 0 else rate / 2 for place, name in enumerate(modalities)}
    flags = drawn([modalities] * total, rates, patterns=())
    assert flags.shape == (total, count)
    assert flags.any(axis=1).all()
    found = Counter(tuple(row) for row in flags.tolist())
    for pattern in product([True, False], repeat=count):
        share = math.prod(
            1 - rates[name] if here else rates[name] for name, here in zip(modalities, pattern, strict=True)
        )
        if any(pattern):
            assert found[pattern] >= (max(1, int(total * share - 1e-9)) if share else 0)
        assert share or not found[pattern]


@pytest.mark.parametrize("count", range(2, 6))
def test_rate_of_zero_means_never_missing(count):
    """As in the published mr0050: not even one case, although every possible pattern occurs at least once."""
    modalities = toy(count)
    rates = dict.fromkeys(modalities, 0.0) | {"m0": 0.999}
    flags = drawn([modalities] * 50, rates, patterns=())
    assert flags[:, 1:].all()
    assert flags[:, 0].sum() in (1, 2)


@pytest.mark.parametrize("rule", ["expected", "bernoulli"])
@pytest.mark.parametrize("count", range(2, 6))
def test_realised_rates_are_near_the_wanted_ones(rule, count):
    """Low rates, so that hardly a row is drawn again."""
    modalities = toy(count)
    rates = {name: 0.1 + 0.05 * place for place, name in enumerate(modalities)}
    flags = drawn([modalities] * 2000, rates, patterns=(), rule=rule)
    np.testing.assert_allclose(1 - flags.mean(axis=0), list(rates.values()), atol=0.04)


def test_drawing_again_makes_rows_richer_where_rates_are_high():
    flags = drawn([toy(2)] * 2000, {"m0": 0.9, "m1": 0.9}, patterns=(), rule="bernoulli")
    assert flags.any(axis=1).all()
    assert 1 - flags.mean() == pytest.approx((0.9 - 0.81) / (1 - 0.81), abs=0.03)


def test_bernoulli_draws_each_modality_on_its_own():
    """As the published table of MSSEG: present where a uniform number of the legacy generator is above the rate."""
    modalities, total = toy(5), 1000
    rates = dict(zip(modalities, (0.9, 0.7, 0.5, 0.3, 0.1), strict=True))
    generator = np.random.RandomState(1048)
    expected = np.stack([generator.uniform(size=total) > rate for rate in rates.values()], axis=1)
    flags = drawn([modalities] * total, rates, patterns=(), rule="bernoulli", seed=1048)
    complete = expected.any(axis=1)
    np.testing.assert_array_equal(flags[complete], expected[complete])
    assert flags.any(axis=1).all()
    assert (~complete).sum() > 0


def test_seed_decides():
    rates = parse_rates("mr2468", DIGITS)
    first, again, other = (drawn([ORDER] * 50, rates, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("rule", ["expected", "bernoulli"])
def test_incomplete_case_always_keeps_something_it_has(rule):
    """A table hides; what a case truly lacks it cannot use, so rows are drawn again until something real is left."""
    rates = parse_rates("mr2468", DIGITS)
    present = [("t2",), ("flair",), ("flair", "t2"), ORDER] * 30
    flags = drawn(present, rates, rule=rule)
    for has, row in zip(present, flags, strict=True):
        assert set(has) & {name for name, flag in zip(DIGITS, row, strict=True) if flag}


def test_incomplete_cases_do_not_change_the_draw_of_earlier_ones():
    rates = parse_rates("mr2468", DIGITS)
    whole, part = drawn([ORDER] * 60, rates), drawn([ORDER] * 50 + [("t2",)] * 10, rates)
    np.testing.assert_array_equal(part[:50], whole[:50])


def test_unit_of_several_cases_leaves_something_in_each():
    rates = {"m0": 0.5, "m1": 0.5}
    visits = [[("m0",), ("m1",)], [("m0",), ("m0", "m1")]] * 20
    flags = draw_presence(visits, rates=rates, patterns=(), rule="bernoulli", seed=0)
    assert flags[::2].all()
    assert flags[1::2, 0].all()
    assert not flags[1::2, 1].all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mr2468", {"t1": 0.2, "t1ce": 0.4, "flair": 0.6, "t2": 0.8}),
        ("mr0000", dict.fromkeys(DIGITS, 0.0)),
        ("t1=0.2,t2=0.8", {"t1": 0.2, "t1ce": 0.0, "flair": 0.0, "t2": 0.8}),
        (" flair = 0.95 ", {"t1": 0.0, "t1ce": 0.0, "flair": 0.95, "t2": 0.0}),
        ({"t2": 0.25}, {"t1": 0.0, "t1ce": 0.0, "flair": 0.0, "t2": 0.25}),
    ],
    ids=str,
)
def test_rates_are_read(text, expected):
    rates = parse_rates(text, DIGITS)
    assert rates == expected
    assert list(rates) == list(DIGITS)


@pytest.mark.parametrize(
    ("rates", "message", "hint"),
    [
        ("t1=20", "missing rate of t1 is 20, expected 0 <= rate < 1", "0.2 for 20 %"),
        ("t1=1.0", "missing rate of t1 is 1,", "a modality nobody has is no modality"),
        ("t1=-0.1", "missing rate of t1 is -0.1", "0.2 for 20 %"),
        ("t1=nan", "missing rate of t1 is nan", "0.2 for 20 %"),
        ("t1=inf", "missing rate of t1 is inf", "0.2 for 20 %"),
        ({"t1": 100}, "missing rate of t1 is 100", "0.2 for 20 %"),
        ("mr246", "'mr246' has 3 digits, expected 4: t1, t1ce, flair, t2", "t1=0.5,t1ce=0.5"),
        ("mr24680", "has 5 digits, expected 4", "flair=0.5"),
        ("flairr=0.2", "no modality called 'flairr'", "did you mean 'flair'?"),
        ("t1", "cannot read the rate 't1'", "--rates"),
        ("t1=x", "cannot read the rate 't1=x'", "--rates"),
        ("t1=0.2,", "cannot read the rate ''", "--rates"),
        ("", "cannot read the rate ''", "--rates"),
        ("mr-2468", "cannot read the rate 'mr-2468'", "--rates"),
        ("mr24.8", "cannot read the rate 'mr24.8'", "--rates"),
    ],
    ids=str,
)
def test_rates_that_cannot_be_are_refused(rates, message, hint):
    """Case C04: percent, one, negative numbers, and a wrong number of digits."""
    with pytest.raises(UsageError) as caught:
        parse_rates(rates, DIGITS)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("rates", "name"), [("mr2468", "mr2468"), ("t1=0.5", "mr5000"), ("flair=0.95", "mr_t1-0_t1ce-0_flair-0.95_t2-0")]
)
def test_name_made_from_the_rates(rates, name):
    assert rates_name(parse_rates(rates, DIGITS), DIGITS) == name


TABLE = ImbalanceTable(
    name="mine",
    cases=["a", "b", "c"],
    modalities=ORDER,
    available=[(True,) * 4, (True, False, False, True), (False, True) * 2],
)


def test_table_can_only_hide():
    assert TABLE.available_of("a", ("flair", "t2")) == ("flair", "t2")
    assert TABLE.available_of("b", ORDER) == ("flair", "t2")
    assert TABLE.available_of("b", ("t1", "t2")) == ("t2",)


def test_case_that_is_not_in_the_table():
    with pytest.raises(DataError, match="imbalance table 'mine' has no case 'z'") as caught:
        TABLE.available_of("z", ORDER)
    assert "hga make-imbalance" in caught.value.hint


def test_realised_rates_count_what_is_truly_absent():
    present = {"a": ("flair", "t1ce"), "b": ORDER, "c": ORDER}
    assert realised_rates(TABLE, present) == pytest.approx({"flair": 1 / 3, "t1ce": 1 / 3, "t1": 1, "t2": 1 / 3})


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
