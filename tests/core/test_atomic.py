import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from hga_cli.core.atomic import replacing, to_json, write_json, write_text


def test_success_replaces(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    write_text(path, "old")
    write_text(path, "Größe 测试")
    assert path.read_bytes() == "Größe 测试".encode()
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt], ids=lambda kind: kind.__name__)
def test_exception_leaves_the_old_file_and_no_temporary(tmp_path, kind):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(kind), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise kind
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"


def test_block_that_writes_nothing_fails_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text() == "old"


def test_several_writers_at_once_use_different_temporaries(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["a.nii.gz", "x.h5", "y" * 240 + ".nii.gz", "é" * 120 + ".h5"], ids=lambda name: name[-9:]
)
def test_temporary_is_hidden_and_keeps_the_suffixes(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(name[-7:])
        temporary.write_bytes(b"x")
    assert (tmp_path / name).read_bytes() == b"x"


def test_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from hga_cli.core.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, path], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -9
    assert path.read_text() == "old"


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    document = {"a": math.nan, "b": [1.5, (math.inf, {"c": -math.inf})], "d": "NaN", "e": 10**400, "f": None, "g": True}
    write_json(tmp_path / "a.json", document)

    def forbid(text):
        raise AssertionError(text)

    read = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=forbid)
    assert read == {"a": None, "b": [1.5, [None, {"c": None}]], "d": "NaN", "e": 10**400, "f": None, "g": True}


def test_text_is_readable():
    assert to_json({"case": "Größe 测试"}) == '{\n  "case": "Größe 测试"\n}'
