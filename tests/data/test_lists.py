"""Lists that people wrote: everything is text, names mean cases, and what a spreadsheet program did is told."""

from dataclasses import replace

import pytest

from hga_cli.core.errors import ConfigError, DataError
from hga_cli.data.lists import Roll, read_names, read_rows, some
from hga_cli.data.raw.description import load_description

ODD = ["001", "0123", "1", "no", "12:30", "1e5", "nan", "NA", "1.0", "TRUE", "a b"]
"""Ids that careless readers turn into something else (case C02)."""
BRATS, MSSEG = load_description("brats"), load_description("msseg")


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_names_stay_text(tmp_path, end, encoding):
    file = written(tmp_path / "names.txt", end.join(["", *ODD, "", "last"]), encoding)
    assert read_names(file) == [*ODD, "last"]


@pytest.mark.parametrize("mark", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_cells_stay_text(tmp_path, mark):
    lines = [f"case{mark}part", *(f"{name}{mark}train" for name in ODD), "", f"Müller{mark}test"]
    rows = read_rows(written(tmp_path / "table.csv", "\n".join(lines), "utf-8-sig"))
    assert [row.cell("case") for row in rows] == [*ODD, "Müller"]
    assert rows[0].cells == {"case": "001", "part": "train"}
    assert rows[-1].where.endswith(f"line {len(ODD) + 3}")


def test_two_columns_between_blanks(tmp_path):
    rows = read_rows(written(tmp_path / "table.txt", "case part\n001   train\n"))
    assert [row.cells for row in rows] == [{"case": "001", "part": "train"}]


def test_quoted_cells_hold_commas(tmp_path):
    rows = read_rows(written(tmp_path / "table.csv", 'case,mask\na,"[True, False]"\n'))
    assert rows[0].cell("mask") == "[True, False]"


def test_cell_is_found_by_any_of_its_names(tmp_path):
    (row,) = read_rows(written(tmp_path / "table.csv", "Data_Name,Split\na,val\n"))
    assert (row.cell("case", "data_name"), row.cell("part", "split")) == ("a", "val")
    with pytest.raises(DataError, match=r"line 2: nothing in column 'subject'; columns: Data_Name, Split"):
        row.cell("subject")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,part\na,train,x\n", "line 2: 3 cells, expected 2: case, part"),
        ("case,part\n", "table without rows"),
        ("", "table without rows"),
        ("case,case\na,b\n", "two columns have the same name"),
        ("case,part\n" + '"' + "x" * 140_000, "field larger"),
    ],
    ids=["cells", "header", "nothing", "columns", "quote"],
)
def test_table_that_is_none(tmp_path, text, says):
    with pytest.raises(DataError, match=says) as caught:
        read_rows(written(tmp_path / "table.csv", text))
    assert caught.value.hint


@pytest.mark.parametrize("read", [read_names, read_rows])
def test_file_that_is_none(tmp_path, read):
    with pytest.raises(DataError, match=r"no file '.*absent\.csv'"):
        read(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="is not UTF-8 text") as caught:
        read(written(tmp_path / "wide.csv", "case,part\na,train\n", "utf-16"))
    assert "CSV UTF-8" in caught.value.hint


def test_list_of_nothing(tmp_path):
    with pytest.raises(DataError, match="names nothing"):
        read_names(written(tmp_path / "names.txt", "\n \n"))


def test_names_mean_cases_on_both_sides():
    """A list may put the grade before the case, and so may a store made from arrays."""
    roll = Roll(BRATS, ["BraTS20_Training_002", "LG_BraTS20_Training_300"])
    assert roll.find("HG_BraTS20_Training_002") == ("BraTS20_Training_002", None)
    assert roll.find("BraTS20_Training_002") == ("BraTS20_Training_002", None)
    assert roll.find("LG_BraTS20_Training_300") == ("LG_BraTS20_Training_300", None)
    assert roll.find("BraTS20_Training_300") == ("LG_BraTS20_Training_300", None)
    assert roll.find("HG_BraTS20_Training_003") is None


def test_names_of_slices_mean_their_case():
    roll = Roll(MSSEG, ["Center_01_Patient_02"])
    assert roll.find("Center_01_Patient_02_slice_75") == ("Center_01_Patient_02", 75)
    assert roll.find("Center_01_Patient_02") == ("Center_01_Patient_02", None)
    assert roll.find("Center_01_Patient_03_slice_75") is None


def test_cases_that_are_slices_themselves():
    roll = Roll(MSSEG, ["c_slice_1", "c_slice_2"])
    assert roll.find("c_slice_2") == ("c_slice_2", None)
    assert roll.find("c_slice_3") is None


def test_name_of_two_cases():
    """Each is found by its own id; the common part of both names is not enough."""
    roll = Roll(BRATS, ["HG_a", "LG_a"])
    assert roll.find("HG_a") == ("HG_a", None)
    with pytest.raises(DataError, match="'a' may mean any of these cases: HG_a, LG_a"):
        roll.find("a")


def test_letters_that_macos_splits_are_found(tmp_path):
    """Case C06: a list that was written on macOS holds u and a diaeresis, the store one letter."""
    (name,) = read_names(written(tmp_path / "names.txt", "Mu\u0308ller\n"))
    assert name == "M\u00fcller"
    assert Roll(BRATS, ["M\u00fcller"]).find(name) == ("M\u00fcller", None)


@pytest.mark.parametrize(
    ("rule", "name", "meant"),
    [
        (r"^(?:(q.*)|p.*)$", "p1", ("p1", None)),
        (r"^(.+)_slice_(\d+)$", "p1_slice_007", ("p1", 7)),
        (r"^(.+?)(?:_slice_(\d+))?$", "p1", ("p1", None)),
    ],
)
def test_rule_for_names(rule, name, meant):
    """A group that takes no part is as no match: the name is the case."""
    assert replace(BRATS, list_name=rule).listed(name) == meant


@pytest.mark.parametrize("number", ["ab", "\u00b2", "-1", "1_0"])
def test_slice_that_is_no_number_is_refused_with_the_rule(number):
    with pytest.raises(ConfigError, match=f"'brats', list_name: '{number}' in 'p1:{number}' is no number") as caught:
        replace(BRATS, list_name="^(.+):(.+)$").listed(f"p1:{number}")
    assert r"(\d+)" in caught.value.hint


def test_odd_ids_are_found_as_they_are():
    roll = Roll(BRATS, ODD)
    assert roll.find_all(ODD, "list") == {name: (name, None) for name in ODD}


@pytest.mark.parametrize("spoiled", ["345", "345.0", "0345"])
def test_lost_zeros_are_recognised(spoiled):
    with pytest.raises(DataError, match=rf"list: 1 of 2 names are no cases of the store: {spoiled}") as caught:
        Roll(BRATS, ["00345", "00346"]).find_all(["00346", spoiled], "list")
    assert f"'{spoiled}' was '00345' before a spreadsheet program" in caught.value.hint


def test_unknown_names_are_counted_and_shown():
    with pytest.raises(DataError, match=r"7 of 8 names .*: x0, x1, x2, x3, x4 \.\.\.") as caught:
        Roll(BRATS, ["a"]).find_all(["a", *(f"x{number}" for number in range(7))], "list")
    assert "the store has 1 cases: a" in caught.value.hint


def test_some():
    assert some("cab") == "a, b, c"
    assert some(map(str, range(6))) == "0, 1, 2, 3, 4 ..."
