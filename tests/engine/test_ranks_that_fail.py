"""Where one of several processes fails, all end soon, with its exit code, and one of them says why."""

import json
import time
from pathlib import Path

import pytest
from _together import together
from _training import make_store, settings

from hga_cli.core.config import to_toml
from hga_cli.core.errors import UsageError
from hga_cli.core.run_folder import FINISHED
from hga_cli.engine.ranks import is_rank, start_ranks

SCRIPT = Path(__file__).parent / "_failing.py"
LONG = {"optim__epochs": 1, "optim__iterations": 4, "data__batch": 2, "data__patch": [8, 8, 8]}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Arguments of a training of both ranks: a batch has a case for each."""
    top = tmp_path_factory.mktemp("failing")
    make_store(top / "store", {f"case-{number}": ("flair", "t2") for number in range(4)})
    (top / "c.toml").write_text(to_toml(settings("joint", **LONG)))
    given = {"--dataset": top / "store", "-c": top / "c.toml", "--device": "cpu", "--runs-dir": top / "runs"}
    return ["train", *(str(word) for pair in given.items() for word in pair)]


def errors(outcomes):
    """All error messages of all ranks."""
    assert not any("Traceback" in err for _, _, err in outcomes)
    return [line for _, _, err in outcomes for line in err.splitlines() if line.startswith("error: ")]


def test_an_error_of_one_is_the_end_of_all(words):
    outcomes = together(SCRIPT, "error", *words, "--run", "error")
    assert [code for code, *_ in outcomes] == [3, 3]
    assert errors(outcomes) == ["error: the disk of this machine is gone"]
    assert "hint: buy another" in outcomes[1][2]


def test_the_first_one_is_missed_at_once():
    (_, _, text), (code, _, said) = together(Path(__file__).parent / "_leaving.py")
    assert "the disk of this machine is gone" in text
    assert (code, said) == (3, "")


def test_a_loss_that_is_no_number_names_the_cases_of_its_rank(words):
    outcomes = together(SCRIPT, "nan", *words, "--run", "nan")
    assert [code for code, *_ in outcomes] == [4, 4]
    (message,) = errors(outcomes)
    where, _, cases = message.rpartition(", cases ")
    assert where.endswith("not finite at epoch 0, step 2, combination flair+t2")
    assert cases == spoilt_case()


def spoilt_case():
    """The second case of step 2, which the second rank has."""
    from hga_cli.data.sampling import CaseSampler

    available = {f"case-{number}": ("flair", "t2") for number in range(4)}
    sampler = CaseSampler(available, ("flair", "t1ce", "t2"), batch=2, order="", seed=settings("joint").seed)
    return sampler.draw(2).cases[1]


def test_a_killed_rank_is_missed(words):
    began = time.monotonic()
    (code, _, text), (killed, *_) = together(SCRIPT, "kill", *words, "--run", "kill")
    assert (code, killed) == (5, -9)
    assert errors([(code, "", text)])[0].startswith("error: another process of this command has ended")
    assert "goes on with --resume" in text
    assert time.monotonic() - began < 90  # and not LONGEST_WAIT


def test_wrong_usage_is_said_once(words):
    outcomes = together(SCRIPT, "none", *words, "--method", "jiont")
    assert [code for code, *_ in outcomes] == [2, 2]
    assert errors(outcomes) == ["error: no method called 'jiont'"]


def test_a_run_that_exists_ends_all(words, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").touch()
    outcomes = together(SCRIPT, "none", *words, "--run", "a", "--runs-dir", str(tmp_path))
    assert [code for code, *_ in outcomes] == [3, 3]
    assert errors(outcomes) == [f"error: run 'a' exists in '{tmp_path}'"]


def test_a_run_is_replaced_where_all_ranks_can_begin(words, tmp_path):
    old = tmp_path / "a" / "run.json"
    old.parent.mkdir()
    old.write_text(json.dumps({"status": FINISHED, "changed": "2026-01-01", "store": "s"}))
    outcomes = together(SCRIPT, "begin", *words, "--run", "a", "--overwrite", "--runs-dir", str(tmp_path))
    assert [code for code, *_ in outcomes] == [3, 3]
    assert errors(outcomes) == ["error: this device has no room"]
    assert json.loads(old.read_text())["status"] == FINISHED
    assert [path.name for path in old.parent.iterdir() if path.name != ".lock"] == ["run.json"]


def test_a_dry_run_of_several_prints_one_document(words):
    (code, out, _), (other, nothing, _) = together(SCRIPT, "none", *words, "--dry-run", "--json")
    assert (code, other, nothing) == (0, 0, "")
    (trial,) = json.loads(out)["trials"]
    assert trial["cases"] == 1  # of two: its part of the batch


def test_the_launcher_ends_with_the_code_of_the_error(words, capfd):
    assert start_ranks(2, [*words, "--split", "no"]) == 3
    text = capfd.readouterr().err
    assert text.count("error: store ") == 1
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is '2', so this process is one of several, but RANK, MASTER_ADDR, MASTER_PORT",
        ),
        ({"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK is '2'"),
    ],
    ids=["half set", "no number", "not among them"],
)
def test_an_environment_that_makes_no_sense(hga, tiny, monkeypatch, environment, says):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=says):
        is_rank()
    hga.refuses(*tiny.training("--run", "a"), code=2, says=[says, "unset WORLD_SIZE"])


def test_alone_is_no_rank(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not is_rank()
