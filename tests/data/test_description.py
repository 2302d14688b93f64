import tomllib

import pytest

from hga_cli.core.catalog import shipped
from hga_cli.core.errors import ConfigError, UsageError
from hga_cli.data.raw.description import as_tree, load_description, parse_description

BY_DATASET_JSON = ("msd", "nnunet")
TREE = {
    "name": "toy",
    "modalities": ["a", "b"],
    "files": {"a": ["a"], "b": ["b"], "label": ["seg"]},
    "labels": [{"name": "x", "values": [1]}, {"name": "y", "values": [2, 3]}],
    "regions": [{"name": "X", "labels": ["x"]}, {"name": "XY", "labels": ["y", "x"], "minimum_voxels": 9}],
}


def test_classes_regions_and_digits():
    toy = parse_description(TREE, "toy")
    assert (toy.classes, toy.digits, toy.subject_of("p1_v2")) == (3, ("a", "b"), "p1_v2")
    assert [(region.name, region.classes, region.minimum_voxels) for region in toy.scored_regions()] == [
        ("X", (1,), 0),
        ("XY", (2, 1), 9),
    ]


@pytest.mark.parametrize("name", [name for name in shipped("data/raw/descriptions") if name not in BY_DATASET_JSON])
def test_every_shipped_description_parses_and_is_read_back(name):
    description = load_description(name)
    assert description.name == name
    assert description.title
    assert description.scored_regions()
    assert parse_description(as_tree(description), "again") == description


def test_brats():
    brats = load_description("brats")
    assert brats.modalities == ("flair", "t1ce", "t1", "t2")
    assert brats.digits == ("t1", "t1ce", "flair", "t2")
    assert {region.name: region.classes for region in brats.scored_regions()} == {
        "WT": (1, 2, 3),
        "TC": (1, 3),
        "ET": (3,),
        "ETpp": (3,),
    }
    assert len(set(brats.imbalance.patterns)) == 15


@pytest.mark.parametrize(
    ("case", "subject"),
    [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("Phantom-00002-001", "Phantom-00002"),
        ("BraTS2021_00006", "BraTS2021_00006"),
        ("HG_BraTS20_Training_002", "HG_BraTS20_Training_002"),
        ("001", "001"),
    ],
)
def test_subjects_of_brats(case, subject):
    assert load_description("brats").subject_of(case) == subject


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modalities": ["a", "a"]}, "a modality is named twice"),
        ({"modalities": []}, "modalities"),
        ({"modalities": ["a", "label"]}, "a modality cannot be called channels, fused, label"),
        ({"modalities": ["a", "b+c"]}, "modalities.1"),
        ({"files": {"a": ["a"], "label": ["seg"]}}, "one entry per modality and one for label"),
        ({"files": {"a": ["a"], "b": [], "label": ["seg"]}}, "files.b"),
        ({"labels": [{"name": "x", "values": [1]}, {"name": "y", "values": [1]}]}, "a label value is used twice"),
        ({"labels": [{"name": "x", "values": [0]}, {"name": "y", "values": [1]}]}, "0 (background)"),
        ({"regions": [{"name": "X", "labels": ["z"]}]}, "a region names an unknown label"),
        ({"regions": []}, "regions"),
        ({"subject": "^p"}, "subject needs a group in parentheses"),
        ({"subject": "^(p"}, "subject is no regular expression"),
        ({"imbalance": {"digits": ["a"]}}, "imbalance.digits must name each modality once"),
        ({"colour": "red"}, "colour"),
        ({"name": "../x"}, "name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_named(change, words):
    with pytest.raises(ConfigError, match=r"data set description 'mine\.toml'") as caught:
        parse_description(TREE | change, "mine.toml")
    assert words in caught.value.message


def test_missing_key_is_named():
    with pytest.raises(ConfigError, match="labels"):
        parse_description({key: value for key, value in TREE.items() if key != "labels"}, "mine.toml")


def test_description_of_the_user(tmp_path):
    file = tmp_path / "Größe.toml"
    file.write_text(shipped("data/raw/descriptions")["brats"].read_text(encoding="utf-8"), encoding="utf-8")
    assert load_description(str(file)) == load_description("brats")


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="no data set called 'brast'") as caught:
        load_description("brast")
    assert "did you mean 'brats'?" in caught.value.hint


@pytest.mark.parametrize("content", [None, "name = brats"], ids=["absent", "not TOML"])
def test_file_that_cannot_be_used(tmp_path, content):
    file = tmp_path / "mine.toml"
    if content:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        load_description(str(file))


def test_shipped_files_are_toml_with_a_comment():
    for file in shipped("data/raw/descriptions").values():
        text = file.read_text(encoding="utf-8")
        assert text.startswith("#")
        assert tomllib.loads(text)["name"]
