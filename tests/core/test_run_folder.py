import json
import subprocess
import sys
from pathlib import Path

import pytest

from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.run_folder import FINISHED, RUNNING, RunFolder, find_run, fresh_name, new_run


def made(runs, name, status=FINISHED, changed="2026-01-01T00:00:00"):
    run = new_run(runs, name, overwrite=False)
    run.write_about({"status": status, "changed": changed, "store": "s"})
    (run.path / "checkpoints").mkdir()
    run.last.write_bytes(b"weights")
    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_new_run_makes_an_empty_folder(tmp_path):
    run = new_run(tmp_path / "runs", "brats-hga-1", overwrite=False)
    assert run.path == tmp_path / "runs" / "brats-hga-1"
    assert list(run.path.iterdir()) == []
    assert new_run(tmp_path / "runs", "brats-hga-1", overwrite=False).name == "brats-hga-1"


def test_existing_run_is_refused_and_stays(tmp_path):
    made(tmp_path, "a")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="run 'a' exists") as caught:
        new_run(tmp_path, "a", overwrite=False)
    assert all(word in caught.value.hint for word in ("--resume", "--overwrite", "--run"))
    assert contents(tmp_path) == before


def test_overwrite_empties_a_run_and_no_other(tmp_path):
    made(tmp_path, "a")
    made(tmp_path, "b")
    before = contents(tmp_path / "b")
    assert list(new_run(tmp_path, "a", overwrite=True).path.iterdir()) == []
    assert contents(tmp_path / "b") == before


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years of work"},
        {"run.json": "not json", "thesis.tex": "x"},
        {"run.json": "[1, 2]", "thesis.tex": "x"},
        {"run.json": '{"name": "of another program"}', "thesis.tex": "x"},
        {"deep/run.json": '{"status": "finished"}'},
    ],
    ids=["no run.json", "not JSON", "a list", "of another program", "a folder of runs"],
)
def test_overwrite_refuses_foreign_folders_and_leaves_them_intact(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"run\.json"):
        new_run(tmp_path, "mine", overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_file_with_the_name_of_a_run_is_refused(tmp_path, overwrite):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(DataError):
        new_run(tmp_path, "a", overwrite=overwrite)
    assert (tmp_path / "a").read_text() == "mine"


def test_overwrite_refuses_a_run_that_still_trains(tmp_path):
    run = made(tmp_path, "a", RUNNING)
    with run.lock(), pytest.raises(DataError, match="another process is training"):
        new_run(tmp_path, "a", overwrite=True)
    assert run.last.exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "/tmp/x", "", ".", "..", ".hidden", "-x", "a b", "a\n", "x" * 101])
def test_only_plain_names(tmp_path, name):
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="cannot be the name of a run"):
        new_run(tmp_path / "runs", name, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["runs"]


@pytest.mark.parametrize("name", ["a", "1", "brats-hga_2.5+x", "Größe", "x" * 100])
def test_plain_names_are_kept(tmp_path, name):
    assert new_run(tmp_path, name, overwrite=False).path == tmp_path / name


def test_latest_finished_run_is_found(tmp_path):
    made(tmp_path, "z-first", changed="2026-01-01T00:00:00")
    made(tmp_path, "b-second", changed="2026-01-02T00:00:00")
    made(tmp_path, "a-third", RUNNING, changed="2026-01-03T00:00:00")
    (tmp_path / "no-run").mkdir()
    assert find_run(tmp_path, None, finished=True).name == "b-second"
    assert find_run(tmp_path, None, finished=False).name == "a-third"


def test_run_by_name_or_folder(tmp_path, monkeypatch):
    made(tmp_path / "runs", "a", RUNNING)
    assert find_run(tmp_path / "runs", "a", finished=True).path == tmp_path / "runs" / "a"
    assert find_run(tmp_path / "elsewhere", str(tmp_path / "runs" / "a"), finished=False).name == "a"
    monkeypatch.chdir(tmp_path / "runs")
    assert find_run(tmp_path / "elsewhere", "a", finished=False).about()["status"] == RUNNING


def test_unknown_run_gets_a_suggestion(tmp_path):
    made(tmp_path, "brats-hga")
    with pytest.raises(DataError, match="no run 'brats-hg'") as caught:
        find_run(tmp_path, "brats-hg", finished=False)
    assert "did you mean 'brats-hga'?" in caught.value.hint


def test_no_run_at_all(tmp_path):
    made(tmp_path, "a", RUNNING)
    with pytest.raises(DataError, match="no finished run in"):
        find_run(tmp_path, None, finished=True)
    with pytest.raises(DataError, match="no run in"):
        find_run(tmp_path / "nowhere", None, finished=False)
    with pytest.raises(UsageError):
        find_run(tmp_path / "runs", "../b", finished=False)


NO_DATE = '{"status": "finished", "store": "s"}'


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", NO_DATE, NO_DATE.replace("}", ', "changed": 3}')])
def test_damaged_run_json_names_the_file(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match=r"run\.json' is damaged"):
        RunFolder(tmp_path).about()


def test_about_and_config_are_read_back(tmp_path):
    run = made(tmp_path, "a")
    about = {"status": RUNNING, "changed": "x", "store": "/data/Größe 测试", "best": None}
    run.write_about(about)
    run.write_config('a = "é"\n')
    assert run.about() == about
    assert run.config_file.read_text(encoding="utf-8") == 'a = "é"\n'


def test_log_appends_lines_with_the_time(tmp_path):
    run = RunFolder(tmp_path)
    run.log("first")
    run.log("zweite Größe")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["first", "zweite Größe"]


@pytest.mark.parametrize(
    "cut_off",
    ["", '{"epoch": 4, "los', '{"epoch": 4, "losses": {"loss": 1.0}', '{"epoch": 1, "losses": {"loss": 1.0}', "{}x"],
)
def test_journal_is_rewound_to_an_epoch(tmp_path, cut_off):
    """Lines of the epoch and later go, and so does one that a kill cut off, wherever that was."""
    run = RunFolder(tmp_path)
    for epoch in range(5):
        run.journal({"epoch": epoch, "losses": {"loss": float("nan") if epoch == 1 else 0.5}})
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(cut_off)
    run.rewind_journal(3)
    run.journal({"epoch": 3, "losses": {}})
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]


def test_rewinding_without_a_journal_makes_none(tmp_path):
    RunFolder(tmp_path).rewind_journal(0)
    assert list(tmp_path.iterdir()) == []


def test_lock_is_held_by_one(tmp_path):
    run = RunFolder(tmp_path)
    lock = run.lock()
    with pytest.raises(DataError, match="another process is training"):
        RunFolder(tmp_path).lock()
    lock.release()
    RunFolder(tmp_path).lock().release()


def test_lock_of_another_process_is_respected_and_freed_by_its_death(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from hga_cli.core.run_folder import RunFolder\n"
        "lock = RunFolder(Path(sys.argv[1])).lock(); print('held', flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=root, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="another process is training"):
            RunFolder(tmp_path).lock()
        holder.kill()
    RunFolder(tmp_path).lock().release()


def test_fresh_names_are_not_used_yet(tmp_path):
    names = []
    for _ in range(4):
        name = fresh_name(tmp_path, "brats_2020-hga")
        assert name.startswith("brats_2020-hga-")
        assert not (tmp_path / name).exists()
        made(tmp_path, name)
        names.append(name)
    assert len(set(names)) == 4
