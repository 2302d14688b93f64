"""The options of each command, frozen: scripts rely on them. A new knob is a setting first (design, section 7)."""

import typer

from hga_cli.cli.app import app

GENERAL = {"--config", "-c", "--set", "--quiet", "-q", "--verbose", "-v", "--json", "--debug"}
FROZEN = {
    "preprocess": {
        "raw_dir",
        *("--dataset", "--output", "-o", "--spacing", "--align", "--on-problem", "--workers", "--shard"),
        *("--dry-run", "--overwrite"),
        *("--data-dir",),
    },
    "split": {"--dataset", "--ratios", "--folds", "--from", "--name", "--seed", "--data-dir"},
    "make-imbalance": {
        *("--dataset", "--rates", "--rule", "--unit", "--names", "--published", "--output", "-o"),
        "--overwrite",
        *("--split", "--name", "--seed", "--data-dir"),
    },
    "train": {
        *("--dataset", "--split", "--imbalance", "--method", "--backbone", "--balancer", "--preset"),
        *("--gpu", "--device", "--epochs", "--iterations", "--seed", "--run", "--resume", "--overwrite", "--dry-run"),
        *("--data-dir", "--runs-dir"),
    },
    "evaluate": {
        "run_name",
        *("--dataset", "--split", "--combinations", "--convention", "--gpu", "--device", "--output", "-o"),
        *("--predictions", "--references", "--compare", "--shard"),
        *("--data-dir", "--runs-dir"),
    },
    "predict": {
        "inputs",
        *(
            "--output",
            "-o",
            "--run",
            "--model",
            "--image",
            "--modalities",
            "--align",
            "--gpu",
            "--device",
            "--overwrite",
            "--overlay",
            "--shard",
        ),
        *("--runs-dir",),
    },
    "report": {
        "run_names",
        *("--output", "-o", "--combination", "--dataset", "--gpu", "--device", "--leaderboard"),
        *("--data-dir", "--runs-dir"),
    },
    "sweep": {
        "file",
        *("--shard", "--dry-run", "--makefile", "--gpu", "--device"),
        *("--data-dir", "--runs-dir"),
    },
    "export": {"run_name", "target", "--overwrite", "--runs-dir"},
    "info": {"what", "name", "--describe", "--data-dir", "--runs-dir"},
}
ENVIRONMENT = {"--data-dir": "HGA_DATA", "--runs-dir": "HGA_RUNS"}


def parameters():
    """command -> its parameters."""
    commands = typer.main.get_command(app).commands
    return {name: command.params for name, command in commands.items()}


def spelling(parameter):
    return parameter.opts if parameter.param_type_name == "option" else [parameter.name]


def test_commands_and_their_options():
    found = {name: {word for one in params for word in spelling(one)} for name, params in parameters().items()}
    assert found == {name: words | GENERAL for name, words in FROZEN.items()}


def test_no_option_has_a_hidden_second_spelling():
    for params in parameters().values():
        for parameter in params:
            assert not parameter.secondary_opts, parameter.name
            assert not getattr(parameter, "hidden", False), parameter.name


def test_each_short_letter_means_one_thing():
    meanings = {}
    for params in parameters().values():
        for parameter in params:
            for word in spelling(parameter):
                if len(word) == 2 and word.startswith("-"):
                    meanings.setdefault(word, set()).add(parameter.opts[0])
    assert meanings == {"-c": {"--config"}, "-o": {"--output"}, "-q": {"--quiet"}, "-v": {"--verbose"}}


def test_environment():
    for params in parameters().values():
        for parameter in params:
            assert parameter.envvar == ENVIRONMENT.get(spelling(parameter)[0])


def test_each_option_is_explained():
    for name, params in parameters().items():
        for parameter in params:
            assert parameter.help, f"{name} {spelling(parameter)[0]}"
