"""Imbalance tables as CSV files: two layouts, there and back, and cells that cannot be."""

from itertools import product

import pytest

from hga_cli.core.errors import DataError
from hga_cli.core.progress import Silent
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.raw.description import load_description
from hga_cli.data.table_files import read_table_file, write_table_file

BRATS = load_description("brats")
ODD = ["001", "1e5", "nan", "a,b", "x"]
TABLE = ImbalanceTable(
    name="mine",
    cases=[f"{name}{place}" for place, name in enumerate(ODD * 4)][:16],
    modalities=BRATS.modalities,
    available=list(product([True, False], repeat=4)),
)
HEAD = "data_name,mask_id,mask,pos_mask_ids"


class Warnings(Silent):
    def __init__(self):
        self.texts = []

    def warn(self, text):
        self.texts.append(text)


def read(path, text, progress=None):
    path.write_text(text)
    return read_table_file(path, BRATS, progress or Silent())


def test_own_layout(tmp_path):
    write_table_file(tmp_path / "mine.csv", TABLE, BRATS, published=False)
    lines = (tmp_path / "mine.csv").read_bytes().decode().split("\n")
    assert lines[:3] == ["case,flair,t1ce,t1,t2", "0010,1,1,1,1", "1e51,1,1,1,0"]
    assert '"a,b3",1,1,0,0' in lines
    assert lines[-2:] == ["00115,0,0,0,0", ""]


def test_published_layout(tmp_path):
    write_table_file(tmp_path / "mine.csv", TABLE, BRATS, published=True)
    lines = (tmp_path / "mine.csv").read_bytes().decode().split("\r\n")
    assert lines[0] == HEAD
    assert lines[1] == '0010,14,"[True, True, True, True]","[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]"'
    assert lines[2] == '1e51,10,"[True, True, True, False]","[1, 2, 3, 5, 6, 9, 10]"'
    assert lines[-2] == 'x14,0,"[False, False, False, True]",[0]'
    assert len(lines) == 1 + 15 + 1


@pytest.mark.parametrize("published", [False, True], ids=["own", "published"])
def test_there_and_back(tmp_path, published):
    """A row with nothing has no line in the published layout."""
    write_table_file(tmp_path / "mine.csv", TABLE, BRATS, published=published)
    table = read_table_file(tmp_path / "mine.csv", BRATS, Silent())
    assert list(table.rows().items()) == [item for item in TABLE.rows().items() if item[1] or not published]
    assert (table.name, table.modalities, table.about) == ("mine", BRATS.modalities, {"from": "mine.csv"})


def test_order_of_the_columns_does_not_matter(tmp_path):
    table = read(tmp_path / "t.csv", "t2,case,t1,flair,t1ce\n1,a,0,0,1\n")
    assert table.rows() == {"a": ("t1ce", "t2")}


def test_wrong_parts_are_told_and_the_mask_counts(tmp_path):
    told = Warnings()
    table = read(tmp_path / "t.csv", f'{HEAD}\na,4,"[False, True, False, True]","[0, 1]"\n', told)
    assert table.rows() == {"a": ("t1ce", "t2")}
    assert len(told.texts) == 1
    assert "line 2" in told.texts[0]


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("case,flair,t1\na,1,1\n", "has the columns case, flair, t1", "case,flair,t1ce,t1,t2"),
        ("case,flair,t1ce,t1,t2\na,1,1,1,1.0\n", "line 2: t2 is '1.0', expected 0 or 1", "1: the case may use"),
        ("case,flair,t1ce,t1,t2\na,1,1,1,\n", "line 2: t2 is '', expected 0 or 1", "1: the case may use"),
        ("case,flair,t1ce,t1,t2\na,1,1,1,1\na,1,1,1,1\n", "names a more than once", "one line for each"),
        (f'{HEAD}\na,3,"[False, False, False, True]",[0]\n', "mask_id 3 and mask t2 do not belong", "0 t2, 1 t1ce"),
        (f'{HEAD}\na,0,"[False, False, False, False]",[0]\n', "mask with nothing in it", "0 t2, 1 t1ce"),
        (f'{HEAD}\na,0,"[False, False, True]",[0]\n', "expected 4 times True or False", "flair, t1ce, t1, t2"),
        (f'{HEAD}\na,0,"[0, 0, 0, 1]",[0]\n', "expected 4 times True or False", "flair, t1ce, t1, t2"),
        (f"{HEAD}\na,0,True,[0]\n", "expected 4 times True or False", "flair, t1ce, t1, t2"),
        (f'{HEAD}\na,0,"[False, False, False, True",[0]\n', "cannot read mask", "[True, True, True, False]"),
        (f'{HEAD}\na,0,"[not True, False, False, True]",[0]\n', "cannot read mask", "[True, True, True, False]"),
        (f'{HEAD}\na,0,__import__("os").getcwd(),[0]\n', "cannot read mask", "[True, True, True, False]"),
        (f'{HEAD}\na,x,"[False, False, False, True]",[0]\n', "cannot read mask_id 'x'", "[True, True, True, False]"),
        (f'{HEAD}\na,0,"[False, False, False, True]",\n', "cannot read pos_mask_ids ''", "[True, True, True, False]"),
    ],
)
def test_table_that_cannot_be(tmp_path, text, says, hint):
    with pytest.raises(DataError) as caught:
        read(tmp_path / "t.csv", text)
    assert says in caught.value.message
    assert "t.csv" in caught.value.message
    assert hint in caught.value.hint
