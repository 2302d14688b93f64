"""The published tables are drawn again, byte by byte, and read."""

import csv
import hashlib
import json
from pathlib import Path

import pytest

from hga_cli.core.errors import ConfigError
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Imbalance
from hga_cli.data.imbalance import item_of
from hga_cli.data.listed_splits import read_lists
from hga_cli.data.raw.description import load_description, parse_description
from hga_cli.data.table_files import read_table_file, write_table_file
from hga_cli.workflows.make_imbalance import imbalance_of_names

GOLDEN = json.loads((Path(__file__).parent / "golden_published.json").read_text())
SHARED = Path(__file__).parents[2].parent / "shared" / "splits"
AS_MSSEG = Imbalance(rates="mr97531", rule="bernoulli", empty="drop", seed=1048)
BRATS, MSSEG, MYOPS = map(load_description, ("brats", "msseg", "myops"))
without_files = pytest.mark.skipif(not SHARED.exists(), reason="the published tables are not at ../shared/splits")


class Told(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def names_of(table):
    """What a published table was drawn for."""
    if table.startswith("Brats2020"):
        return read_lists("brats2020").parts["train"]
    if table.startswith("Brats2018"):
        return [f"Brats18_{place}_{one}_1" for place, some in GOLDEN["brats2018"].items() for one in some.split()]
    return [
        f"Center_{key[:2]}_Patient_{key[3:]}_slice_{number}"
        for key, runs in GOLDEN["msseg"].items()
        for first, last in (run.split("-") for run in runs.split())
        for number in range(int(first), int(last) + 1)
    ]


def drawn(folder, table):
    """The CSV file of a published table, drawn again from its names and its rates."""
    (folder / "names.txt").write_text("\n".join(names_of(table)))
    description, settings = (MSSEG, AS_MSSEG) if "MSSEG" in table else (BRATS, Imbalance(rates=table.split("_")[1]))
    report = imbalance_of_names(str(folder / "names.txt"), description, settings, store=None)
    write_table_file(folder / "table.csv", report.table, description, published=True)
    return folder / "table.csv", report


def columns(file, count):
    with file.open(newline="") as lines:
        return [row[:count] for row in csv.reader(lines)]


def test_twenty_tables():
    assert len(GOLDEN["hashes"]) == 20


@pytest.mark.parametrize("table", GOLDEN["hashes"])
def test_table_is_drawn_again(tmp_path, table):
    file, _ = drawn(tmp_path, table)
    data = file.read_bytes()
    if "MSSEG" in table:
        data = "\n".join(",".join(row) for row in columns(file, 3)).encode()
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == GOLDEN["hashes"][table]


@without_files
@pytest.mark.parametrize("table", [table for table in GOLDEN["hashes"] if "Brats" in table])
def test_table_of_brats_is_the_published_file(tmp_path, table):
    published = SHARED / table[:9].lower() / f"{table.replace('_', '_imb_split_')}.csv"
    assert drawn(tmp_path, table)[0].read_bytes() == published.read_bytes()


@without_files
def test_table_of_msseg_is_the_published_file_but_for_its_defect(tmp_path):
    file, report = drawn(tmp_path, "MSSEG2016_mr97531")
    published = SHARED / "msseg2016" / "MSSEG2016_imb_split_mr97531.csv"
    assert columns(file, 3) == columns(published, 3)
    ours, theirs = ([row[3] for row in columns(one, 4)] for one in (file, published))
    assert sum(left != right for left, right in zip(ours, theirs, strict=True)) == 647
    dropped = {name for name, has in report.table.rows().items() if not has}
    assert dropped == set((SHARED / "msseg2016" / "val.txt").read_text().split()[:20])


def test_table_of_msseg_in_numbers(tmp_path):
    _, report = drawn(tmp_path, "MSSEG2016_mr97531")
    owned = {"flair": 204, "t1": 555, "t2": 945, "dp": 1254, "gado": 1636}
    assert report.nothing == 20
    assert len(report.table.cases) == 1822
    assert report.realised == pytest.approx({name: 1 - count / 1802 for name, count in owned.items()})


@without_files
@pytest.mark.parametrize("digits", ["357", "375", "537", "573", "735", "753"])
def test_tables_of_myops_are_read(tmp_path, digits):
    """How they were drawn is not known. What they say is: rates by patient, and numbers of slices."""
    published, told = SHARED / "myops2020" / f"MyoPS2020_longtail_split_{digits}.csv", Told()
    table = read_table_file(published, MYOPS, told)
    assert told.warnings == []
    rows = table.rows()
    by_patient = {item_of(name)[0]: has for name, has in rows.items()}
    assert all(by_patient[item_of(name)[0]] == has for name, has in rows.items())
    owned = {"3": (64, 16), "5": (46, 11), "7": (26, 8)}
    for modality, digit in zip(MYOPS.modalities, digits, strict=True):
        counts = tuple(sum(modality in has for has in one.values()) for one in (rows, by_patient))
        assert counts == owned[digit]
    write_table_file(tmp_path / "again.csv", table, MYOPS, published=True)
    assert (tmp_path / "again.csv").read_bytes() == published.read_bytes()


@without_files
def test_defect_of_the_msseg_table_is_told():
    told = Told()
    table = read_table_file(SHARED / "msseg2016" / "MSSEG2016_imb_split_mr97531.csv", MSSEG, told)
    assert len(table.cases) == 1802
    assert len(told.warnings) == 1
    assert "pos_mask_ids do not follow from mask in 647 rows" in told.warnings[0]


def toy(count):
    """A description of M modalities, without published numbers."""
    modalities = [f"m{place}" for place in range(count)]
    return {
        "name": "toy",
        "modalities": modalities,
        "files": {name: [name] for name in (*modalities, "label")},
        "labels": [{"name": "core", "values": [1]}],
        "regions": [{"name": "core", "labels": ["core"]}],
    }


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_numbers_of_combinations_without_published_ones(count):
    """As for MSSEG: by size, from the last modality on; the same rule for any M."""
    modalities = tuple(f"m{place}" for place in range(count))
    numbered = parse_description(toy(count), "toy").numbered
    assert len(set(numbered)) == 2**count - 1
    assert numbered[0] == (modalities[-1],)
    assert numbered[count] == modalities[-2:]
    assert numbered[-1] == modalities
    assert [len(one) for one in numbered] == sorted(len(one) for one in numbered)


@pytest.mark.parametrize("ids", [["m0"], ["m0", "m1", "m0"], ["m0", "m1", "m1+m0"]], ids=str)
def test_numbers_that_leave_out_a_combination(ids):
    tree = {**toy(2), "imbalance": {"ids": ids}}
    with pytest.raises(ConfigError, match=r"imbalance\.ids must name each combination once"):
        parse_description(tree, "toy")


def test_numbers_of_the_published_tables():
    assert [BRATS.numbered[number] for number in (0, 4, 10)] == [("t2",), ("t1ce", "t2"), ("flair", "t1ce", "t1")]
    assert [MYOPS.numbered[number] for number in (2, 4, 6)] == [("C0",), ("C0", "DE"), ("C0", "DE", "T2")]
    assert [MSSEG.numbered[number] for number in (4, 9, 18)] == [("flair",), ("t2", "dp"), ("t1", "t2", "gado")]
    assert MSSEG.numbered[26] == ("flair", "t2", "dp", "gado")
