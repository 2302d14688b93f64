"""What can be a case id, and names as other systems write them."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from _raw import BRATS, image, label, look, touch, write, write_raw
from test_description import TREE

from hga_cli.core.errors import DataError
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.case_ids import LONGEST, composed, fault_of_id, printable
from hga_cli.data.raw.description import parse_description
from hga_cli.data.raw.draft import draft
from hga_cli.data.store import Store
from hga_cli.workflows.preprocess import preprocess

ONE, TWO = "M\u00fcller", "Mu\u0308ller"
"""The same name: as Linux and Windows write it, and as macOS does."""


def with_layout(**changes):
    return replace(BRATS, layout=replace(BRATS.layout, **changes))


def latin1(path):
    """Rename a file or folder as an older system would have called it: ``ue`` becomes one byte, no UTF-8 text."""
    odd = path.with_name(os.fsdecode(path.name.encode().replace(b"ue", b"\xfc")))
    return path.rename(odd)


def test_rule_for_cases_whose_groups_take_no_part_falls_back_on_the_name(tmp_path):
    touch(tmp_path, "p1/p1_t1.nii", "p1/p1_seg.nii", "p1_late/p1_late_t1.nii", "p1_late/p1_late_seg.nii")
    cases = look(tmp_path, with_layout(case="/(q[0-9])?[^/]*$")).cases
    assert [case.case for case in cases] == ["p1", "p1_late"]


def test_names_of_an_older_system_are_a_problem_among_the_others(tmp_path):
    """Case C06: they are shown with their bytes, can be printed, and are never prepared."""
    for case in ("p1", "p2"):
        write_raw(tmp_path, case, ["t1"])
    latin1(write(tmp_path / "p3" / "Mueller_t1.nii", image("x")))
    (tmp_path / "p1" / "p1_seg.nii").unlink()
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p2"]
    problems = {one.case: one for one in findings.problems if "UTF-8" in one.problem}
    assert list(problems) == [r"M\xfcller"]
    assert problems[r"M\xfcller"].problem.startswith(r"'M\xfcller_t1.nii' is no UTF-8 text; rename it")
    assert "p1" in {one.case for one in findings.problems}
    for one in findings.problems:
        assert f"{one.case} {one.file} {one.problem}".encode()


@pytest.mark.parametrize("options", [["--json"], ["--on-problem", "skip"], ["--dry-run"]], ids=" ".join)
def test_names_of_an_older_system_in_the_terminal(tmp_path, options):
    write_raw(tmp_path / "raw", "p1")
    latin1(write_raw(tmp_path / "raw", "Mueller"))
    words = [sys.executable, "-m", "hga_cli", "preprocess", str(tmp_path / "raw"), "-o", str(tmp_path / "store")]
    done = subprocess.run([*words, *options], capture_output=True, timeout=120, env={**os.environ, "COLUMNS": "500"})
    assert done.returncode == (0 if "skip" in options else 3), done.stderr
    said = done.stdout + done.stderr
    assert b"Traceback" not in said
    assert rb"M\xfcller' is no UTF-8 text" in said or rb"M\\xfcller' is no UTF-8 text" in said
    if "skip" in options:
        assert list(Store(tmp_path / "store").cases) == ["p1"]


def test_draft_refuses_names_of_an_older_system(tmp_path):
    write_raw(tmp_path, "p1")
    latin1(write_raw(tmp_path, "Mueller"))
    with pytest.raises(DataError, match=r"5 names below .* are no UTF-8 text, the first: .*M\\xfcller") as caught:
        draft(tmp_path)
    assert "convmv" in caught.value.hint


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("a/b", "its id holds '/'"),
        ("a\\b", r"its id holds '\\'"),
        ("x" * (LONGEST + 1), "its id has 231 bytes"),
        ("ü" * (LONGEST // 2 + 1), "its id has 232 bytes"),
        ("..", "'..' cannot be a case id"),
    ],
)
def test_ids_that_no_file_can_be_called_by(case, says):
    assert fault_of_id(case).startswith(says)
    assert "([^/]+)" in fault_of_id(case)


def test_longest_id_is_a_name_of_files(tmp_path):
    assert fault_of_id("x" * LONGEST) is None
    (tmp_path / f"{'x' * LONGEST}_disagreement.nii.gz").touch()


def test_id_of_several_folders_is_a_problem_that_names_it(tmp_path):
    """And does not hinder the others."""
    write_raw(tmp_path / "raw", "p1", ["t1"])
    write_raw(tmp_path / "raw" / "deep", "p2", ["t1"])
    write(tmp_path / "raw" / ("y" * 240) / "t1.nii", image("x"))
    write(tmp_path / "raw" / ("y" * 240) / "seg.nii", label())
    description, store = with_layout(case="/raw/(.+)/[^/]+$"), tmp_path / "store"
    problems = {one.case: one.problem for one in look(tmp_path / "raw", description).problems}
    assert {case[:7]: text.split(",")[0] for case, text in problems.items()} == {
        "deep/p2": "its id holds '/'",
        "y" * 7: "its id has 240 bytes",
    }
    report = preprocess(tmp_path / "raw", description, store, Preprocess(workers=1, on_problem="skip"))
    assert report.cases == report.written == list(Store(store).cases) == ["p1"]


@pytest.mark.parametrize("names", [(ONE, TWO), (TWO, ONE), (TWO, TWO)], ids=ascii)
def test_letters_that_macos_splits_are_one_case(tmp_path, names):
    touch(tmp_path, f"{names[0]}_t1.nii", f"{names[0]}_t2.nii", f"{names[1]}_seg.nii")
    findings = look(tmp_path)
    assert (findings.problems, [case.case for case in findings.cases]) == ([], [ONE])
    assert list(findings.cases[0].images) == ["t1", "t2"]


def test_folders_that_look_alike_are_one_id_twice(tmp_path):
    touch(tmp_path, *(f"{folder}/{role}.nii" for folder in (ONE, TWO) for role in ("t1", "seg")))
    findings = look(tmp_path)
    assert [one.case for one in findings.problems] == [ONE, ONE]
    assert findings.cases == []


def test_letters_that_macos_splits_in_a_description_and_beside_a_case(tmp_path):
    description = parse_description(
        TREE | {"modalities": ["t1"], "files": {"t1": ["t1"], "label": [f"{TWO}-seg"]}}, "toy"
    )
    touch(tmp_path, f"{TWO}_t1.nii", f"{TWO}_{ONE}-seg.nii", f"{TWO}_t1_Eq_1.nii", "p2_t1.nii", "p2_x.nii")
    findings = look(tmp_path, description)
    assert [(one.case, one.problem[:18]) for one in findings.problems] == [
        (ONE, "two files could be"),
        ("p2", "belongs to no moda"),
        ("p2", "has no label"),
    ]


def test_printable_and_composed():
    assert printable("a\udcfcb") == r"a\xfcb"
    assert printable("Größe 测试") == "Größe 测试"
    assert composed(TWO) == ONE != TWO
