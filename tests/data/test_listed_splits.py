"""Splits that others made: folders, tables, and the shipped ones."""

import tomllib
from pathlib import Path

import pytest

from hga_cli.core.catalog import shipped
from hga_cli.core.errors import DataError
from hga_cli.data.listed_splits import read_lists, read_subjects, split_of, subjects_in
from hga_cli.data.lists import Roll, read_names
from hga_cli.data.raw.description import load_description
from hga_cli.data.splits import PARTS

BRATS, MSSEG = load_description("brats"), load_description("msseg")
PUBLISHED = Path(__file__).parents[2].parent / "shared" / "splits"
ODD = ["001", "0123", "1", "no", "12:30", "1e5", "nan"]


def folder(path, **parts):
    path.mkdir()
    for part, names in parts.items():
        (path / f"{part}.txt").write_text("\n".join(names) + "\n")
    return path


def table(path, text):
    path.write_text(text)
    return str(path)


def split_from(source, cases, description=BRATS):
    return split_of(read_lists(str(source)), Roll(description, cases), "mine")


def parts_of(split):
    return tuple(split.part(part) for part in PARTS)


@pytest.mark.parametrize("pointed", ["", "train.txt", "val.txt", "test.txt"])
def test_folder_of_lists_and_any_of_its_files(tmp_path, pointed):
    lists = folder(tmp_path / "lists", train=["b", "a"], val=["c"], test=["d"])
    split, absent = split_from(lists / pointed, "abcd")
    assert parts_of(split) == (["a", "b"], ["c"], ["d"])
    assert (absent, split.name, split.about) == ([], "mine", {"from": "lists"})


def test_folder_without_validation(tmp_path):
    split, _ = split_from(folder(tmp_path / "lists", train=["a"], test=["b"]), "abc")
    assert parts_of(split) == (["a"], [], ["b"])


def test_validation_may_be_an_empty_file_and_nothing_else_may(tmp_path):
    lists = folder(tmp_path / "lists", train=["a"], val=[], test=["b"])
    assert parts_of(split_from(lists, "abc")[0]) == (["a"], [], ["b"])
    (lists / "test.txt").write_text("\n")
    with pytest.raises(DataError, match=r"test\.txt' names nothing"):
        read_lists(str(lists))


@pytest.mark.parametrize("part", ["train", "test"])
def test_folder_without_a_part_it_needs(tmp_path, part):
    others = {"train", "test"} - {part}
    with pytest.raises(DataError, match=rf"has no {part}\.txt") as caught:
        read_lists(str(folder(tmp_path / "lists", **{key: ["a"] for key in others})))
    assert "train.txt, test.txt and perhaps val.txt" in caught.value.hint


@pytest.mark.parametrize("head", ["case,part", "data_name,split", "Case,Fold"])
def test_table_with_spellings(tmp_path, head):
    rows = ["a,train", "b,Training", "c,val", "d,valid", "e,validation", "f,test", "g,TESTING"]
    split, _ = split_from(table(tmp_path / "t.csv", "\n".join([head, *rows])), "abcdefg")
    assert parts_of(split) == (["a", "b"], ["c", "d", "e"], ["f", "g"])


@pytest.mark.parametrize("mark", ["\t", " ", ";"], ids=["tab", "blank", "semicolon"])
def test_table_in_a_text_file(tmp_path, mark):
    split, _ = split_from(table(tmp_path / "t.txt", f"case{mark}part\na{mark}train\nb{mark}test\n"), "ab")
    assert parts_of(split) == (["a"], [], ["b"])


def test_odd_ids_are_seven_cases(tmp_path):
    """Case C02."""
    rows = [f"{name},{part}" for name, part in zip(ODD, ["train"] * 4 + ["val"] + ["test"] * 2, strict=True)]
    split, _ = split_from(table(tmp_path / "t.csv", "case,part\n" + "\n".join(rows)), ODD)
    assert parts_of(split) == (sorted(ODD[:4]), [ODD[4]], sorted(ODD[5:]))


def test_table_that_lost_zeros(tmp_path):
    """Case C02: saved again by a program that takes ids for numbers."""
    with pytest.raises(DataError, match=r"t\.csv: 2 of 2 names are no cases of the store: 123, 45") as caught:
        split_from(table(tmp_path / "t.csv", "case,part\n123,train\n45,test\n"), ["0123", "00045"])
    assert "spreadsheet" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,part\na,trian\n", r"line 2: no part called 'trian'"),
        ("case,part\na,\n", r"line 2: nothing in column 'part'"),
        ("case,part\n,train\n", r"line 2: nothing in column 'case'"),
        ("name,part\na,train\n", r"nothing in column 'case'; columns: name, part"),
        ("case,part\na,test\n", "names no training case"),
        ("case,part,subject\na,train,x\na,train,y\n", r"line 3: 'a' has two subjects, 'x' and 'y'"),
    ],
)
def test_table_that_cannot_be(tmp_path, text, says):
    with pytest.raises(DataError, match=says) as caught:
        read_lists(table(tmp_path / "t.csv", text))
    assert caught.value.hint


def test_nothing_of_that_name():
    with pytest.raises(DataError, match="no list of cases 'brats2021'") as caught:
        read_lists("brats2021")
    assert "did you mean 'brats2020'?" in caught.value.hint


def test_slices_mean_their_case(tmp_path):
    lists = folder(tmp_path / "lists", train=["c1_slice_3", "c1_slice_4"], test=["c2_slice_0"])
    assert parts_of(split_from(lists, ["c1", "c2"], MSSEG)[0]) == (["c1"], [], ["c2"])


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (["a", "b"], ["b", "c"], "1 cases are in two parts, for example 'b' in train and 'b' in test"),
        (["HG_a", "b"], ["LG_a", "c"], "'HG_a' in train and 'LG_a' in test"),
    ],
    ids=["same name", "same case"],
)
def test_case_in_two_parts(tmp_path, train, test, says):
    with pytest.raises(DataError, match=says) as caught:
        split_from(folder(tmp_path / "lists", train=train, test=test), "abc")
    assert "belong to one part" in caught.value.hint


def test_name_twice_in_one_part_is_one_case(tmp_path):
    split, _ = split_from(folder(tmp_path / "lists", train=["a", "a"], test=["b"]), "ab")
    assert split.train == ["a"]


def test_subjects_of_a_table(tmp_path):
    lists = read_lists(table(tmp_path / "t.csv", "case,part,Subject\nHG_a,train,p1\nb,test,p2\n"))
    assert subjects_in(lists.subjects, Roll(BRATS, "ab"), "t") == {"a": "p1", "b": "p2"}
    assert read_subjects(tmp_path / "t.csv") == {"HG_a": "p1", "b": "p2"}


def test_two_names_of_a_case_with_two_subjects():
    with pytest.raises(DataError, match="case 'c' has two subjects, 'p1' and 'p2'"):
        subjects_in({"c_slice_1": "p1", "c_slice_2": "p2"}, Roll(MSSEG, ["c"]), "t")


@pytest.mark.parametrize("name", shipped("presets/splits"))
def test_shipped_split_says_what_it_is(name):
    tree = tomllib.loads(shipped("presets/splits")[name].read_text(encoding="utf-8"))
    assert set(tree) == {"summary", "source", *PARTS}
    assert "https://github.com/Jun-Jie-Shi/HGA" in tree["source"]
    assert "Apache-2.0" in tree["source"]
    names = [one for part in PARTS for one in tree[part]]
    assert len(set(names)) == len(names)
    assert all(tree[part] == sorted(tree[part]) for part in PARTS)


@pytest.mark.parametrize(
    ("name", "counts"), [("brats2020", (219, 50, 100)), ("myops", (20, 0, 5)), ("msseg", (31, 1, 11))]
)
def test_sizes_of_shipped_splits(name, counts):
    assert tuple(len(read_lists(name).parts[part]) for part in PARTS) == counts


def test_shipped_split_of_brats_has_every_case():
    names = [name for part in read_lists("brats2020").parts.values() for name in part]
    assert sorted(BRATS.listed(name)[0] for name in names) == [f"BraTS20_Training_{n:03}" for n in range(1, 370)]
    for name in names:
        assert name.startswith("LG_" if 259 < int(name[-3:]) < 336 else "HG_")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published lists are not at ../shared/splits")
@pytest.mark.parametrize(("name", "place"), [("brats2020", "brats2020"), ("myops", "myops2020")])
def test_shipped_split_is_the_published_one(name, place):
    description = load_description("brats" if name == "brats2020" else name)
    published = read_lists(str(PUBLISHED / place))
    cases = {description.listed(one)[0] for part in PARTS for one in published.parts[part]}
    ours, absent = split_from(name, cases, description)
    assert absent == []
    assert parts_of(ours) == parts_of(split_from(PUBLISHED / place, cases, description)[0])


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published lists are not at ../shared/splits")
def test_published_lists_of_msseg_leak_and_the_shipped_split_does_not():
    files = {part: PUBLISHED / "msseg2016" / f"{part}.txt" for part in PARTS}
    lists = {part: {one.rpartition("_slice_")[0] for one in read_names(file)} for part, file in files.items()}
    with pytest.raises(DataError, match="15 cases are in two parts"):
        split_from(PUBLISHED / "msseg2016", set.union(*lists.values()), MSSEG)
    ours, _ = split_from("msseg", set.union(*lists.values()), MSSEG)
    assert set(ours.train) == lists["train"]
    assert set(ours.val) == lists["val"] - lists["train"] == {"Center_18_Patient_05"}
    assert set(ours.test) == lists["test"]


def test_shipped_split_of_a_store_with_fewer_cases():
    cases = [f"BraTS20_Training_{number:03}" for number in (1, 2, 3, 5)]
    split, absent = split_from("brats2020", [*cases, "mine"])
    assert parts_of(split) == (cases[1:3], cases[3:], cases[:1])
    assert len(absent) == 365
    with pytest.raises(DataError, match="none of the 50 val cases of 'brats2020' is in the store"):
        split_from("brats2020", cases[:3])


def test_shipped_split_of_another_data_set():
    with pytest.raises(DataError, match="brats2020: 369 of 369 names are no cases of the store"):
        split_from("brats2020", ["mine"])
