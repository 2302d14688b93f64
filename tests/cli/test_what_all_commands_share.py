"""What every command promises: one JSON document, quiet and debug, exit codes, errors without a traceback."""

import json
import os
import subprocess

import pytest

COMMANDS = ["preprocess", "split", "make-imbalance", "train", "evaluate", "predict", "export"]
KEYS = {
    "preprocess": {"cases", "written", "unchanged", "problems"},
    "split": {"name", "train", "val", "test"},
    "make-imbalance": {"name", "wanted", "realised", "combinations"},
    "train": {"run", "epochs", "best", "checkpoint"},
    "evaluate": {"conventions", "combinations", "mean", "cases"},
    "predict": {"results"},
    "export": {"run", "file", "digest", "expected"},
}


@pytest.fixture
def sound(tiny):
    """command -> arguments that succeed."""
    dataset = ["--dataset", "brats", *tiny.data]
    return {
        "preprocess": ["preprocess", tiny.top / "raw", *dataset, "--workers", 1],
        "split": ["split", *dataset, "--name", "another"],
        "make-imbalance": ["make-imbalance", *dataset, "--rates", "mr2468", "--rule", "bernoulli"],
        "train": tiny.training("--run", "new", "--epochs", 0),
        "evaluate": ["evaluate", *tiny.runs, "--device", "cpu"],
        "predict": [
            "predict",
            tiny.top / "raw" / "Tiny-00002-000",
            *tiny.runs,
            "--device",
            "cpu",
            "-o",
            tiny.top / "masks",
        ],
        "export": ["export", "start", tiny.top / "model.hga", *tiny.runs],
    }


@pytest.fixture
def wrong(tiny):
    """command -> arguments that are refused with exit code 3."""
    nowhere = ["--dataset", tiny.top / "nowhere"]
    return {
        "preprocess": ["preprocess", tiny.top / "nowhere"],
        "split": ["split", *nowhere],
        "make-imbalance": ["make-imbalance", *nowhere, "--rates", "mr2468"],
        "train": ["train", *nowhere, *tiny.runs],
        "evaluate": ["evaluate", "--runs-dir", tiny.top / "nowhere"],
        "predict": ["predict", tiny.top / "raw", "--runs-dir", tiny.top / "nowhere"],
        "export": ["export", "start", tiny.top / "model.hga", "--runs-dir", tiny.top / "nowhere"],
    }


@pytest.mark.parametrize("command", COMMANDS)
class TestEachCommand:
    """The same for all that make something."""

    def test_one_document_without_nan(self, hga, sound, command):
        def refuse(constant):
            raise AssertionError(constant)

        document = json.loads(hga(*sound[command], "--json").out, parse_constant=refuse)
        assert KEYS[command] <= set(document)

    def test_results_for_people_are_no_json(self, hga, sound, command):
        out = hga(*sound[command]).out
        assert out.strip()
        with pytest.raises(json.JSONDecodeError):
            json.loads(out)

    def test_quiet_leaves_results_only(self, hga, sound, command):
        outcome = hga(*sound[command], "--json", "-q")
        assert outcome.err == ""
        assert KEYS[command] <= set(outcome.document)

    def test_verbose_shows_settings(self, hga, sound, command):
        assert "settings: " in hga(*sound[command], "-v", "--json").err

    def test_error_is_text(self, hga, wrong, command):
        hga.refuses(*wrong[command], code=3, says="nowhere")

    def test_quiet_does_not_hide_an_error(self, hga, wrong, command):
        hga.refuses(*wrong[command], "-q", code=3, says="nowhere")

    def test_error_with_json_leaves_stdout_empty(self, hga, wrong, command):
        hga.refuses(*wrong[command], "--json", code=3, says="nowhere")

    def test_debug_shows_where_it_happened(self, hga, wrong, command):
        outcome = hga(*wrong[command], "--debug", code=3)
        assert "Traceback (most recent call last)" in outcome.err
        assert "DataError" in outcome.err
        assert "error: " in outcome.err

    def test_interrupt(self, hga, sound, command, monkeypatch):
        def press_ctrl_c(*_, **__):
            raise KeyboardInterrupt

        place = {"make-imbalance": "make_imbalance"}.get(command, command)
        monkeypatch.setattr(f"hga_cli.workflows.{place}.{place}", press_ctrl_c)
        outcome = hga(*sound[command], code=130)
        assert outcome.out == ""
        assert "interrupted" in outcome.err
        assert "Traceback" not in outcome.err

    def test_a_bug_is_not_hidden(self, hga, sound, command, monkeypatch):
        def bug(*_, **__):
            message = "a bug"
            raise ZeroDivisionError(message)

        place = {"make-imbalance": "make_imbalance"}.get(command, command)
        monkeypatch.setattr(f"hga_cli.workflows.{place}.{place}", bug)
        assert hga(*sound[command], code=1).out == ""

    def test_disk_that_is_full(self, hga, sound, command, monkeypatch):
        def full(*_, **__):
            raise OSError(28, os.strerror(28), "/data/some.h5")

        place = {"make-imbalance": "make_imbalance"}.get(command, command)
        monkeypatch.setattr(f"hga_cli.workflows.{place}.{place}", full)
        hga.refuses(*sound[command], code=3, says=["/data/some.h5", "No space left"])

    def test_unknown_setting(self, hga, sound, command):
        says = ["no setting called 'evaluation.overlapp'", "did you mean 'overlap'?"]
        hga.refuses(*sound[command], "--set", "evaluation.overlapp=0.5", code=4, says=says)

    def test_unreadable_assignment(self, hga, sound, command):
        hga.refuses(*sound[command], "--set", "evaluation.overlap", code=2, says="section.key=value")

    def test_settings_file(self, hga, sound, tiny, command):
        (tiny.top / "mine.toml").write_text("[evaluation]\noverlap = 0.25\n")
        told = hga(*sound[command], "-c", tiny.top / "mine.toml", "-v").err
        assert ("overlap=0.25" in told) == (command in ("train", "evaluate", "predict", "export"))
        (tiny.top / "mine.toml").write_text("[evaluation]\noverlap = 25\n")
        hga.refuses(*sound[command], "-c", tiny.top / "mine.toml", code=4, says="evaluation.overlap")

    def test_unknown_option(self, hga, sound, command):
        outcome = hga(*sound[command], "--no-such-option", code=2)
        assert outcome.out == ""
        assert "--no-such-option" in outcome.err


def test_mistyped_command(hga):
    outcome = hga("evalute", code=2)
    assert "evaluate" in outcome.err
    assert outcome.out == ""


def test_no_command_shows_the_help(hga):
    outcome = hga(code=2)
    assert all(command in outcome.out + outcome.err for command in COMMANDS)


@pytest.mark.parametrize("command", ["preprocess", "split", "make-imbalance", "predict", "export"])
def test_required_arguments(hga, command):
    assert hga(command, code=2).out == ""


def test_interrupt_of_a_whole_process(program_path, tiny):
    """Ctrl-C during training: exit code 130, a run that can be continued, no traceback."""
    words = tiny.training("--epochs", 100, "--run", "long")
    with subprocess.Popen(
        [str(word) for word in [program_path, *words]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("train 20/400"):
                break
        process.send_signal(2)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert json.loads((tiny.top / "runs" / "long" / "run.json").read_text())["status"] == "running"
    assert (tiny.top / "runs" / "long" / "checkpoints" / "last.safetensors").exists()
