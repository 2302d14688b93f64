"""From a list of trainings to runs, one after another, each in processes of its own.

A run that fails, even one that is killed for want of memory, ends alone; the others follow.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from hga_cli.core.errors import SetupError
from hga_cli.core.orphans import FOLLOWS_STDIN
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.workflows.sweep_commands import Place, evaluate_words, resume_words, start_words
from hga_cli.workflows.sweep_outlook import OPEN, Prospect

Result = Literal["finished", "failed", "interrupted", "not started"]
INTERRUPTED = 130
ERROR = "error: "
"""How a program of ours begins to say what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run of a sweep ended."""

    result: Result
    code: int = 0
    """Exit code of the command that failed."""
    reason: str = ""
    seconds: float = 0.0


def carry_out(prospects: Sequence[Prospect], place: Place, progress: Progress | None = None) -> dict[str, Ending]:
    """Train and score every run that is open, in its order; Ctrl-C or SIGTERM ends it cleanly.

    The running training is told by the end of its stdin, saves what it has, and goes on in the next sweep. So it does
    where we are killed.

    Returns:
        name of the run -> how it ended; those that an interruption left have not started.
    """
    progress = progress or Silent()
    todo = [one for one in prospects if one.todo in OPEN]
    endings: dict[str, Ending] = {}
    with stage(progress, "sweep", len(todo)), _ended_by_either_signal():
        for one in todo:
            name = one.member.name
            if INTERRUPTED in (ending.code for ending in endings.values()):
                endings[name] = Ending(result="not started")
                continue
            progress.say(f"{one.todo} {name}")
            endings[name] = _carry_out(one, place, progress)
            progress.advance(f"{name}: {endings[name].result}")
    return endings


def exit_code(endings: dict[str, Ending]) -> int:
    """Return what the program ends with: 130 after an interruption, else the code of the first run that failed."""
    codes = [ending.code for ending in endings.values() if ending.code]
    return INTERRUPTED if INTERRUPTED in codes else next(iter(codes), 0)


def rows(prospects: Sequence[Prospect], endings: dict[str, Ending]) -> list[dict[str, Any]]:
    """Return for each run its settings that are usually varied, what was to be done, and how it ended."""
    return [_row(one, endings.get(one.member.name)) for one in prospects]


def _row(one: Prospect, ending: Ending | None) -> dict[str, Any]:
    config = one.member.config
    return {
        "run": one.member.name,
        "method": config.method.name,
        "balancer": config.optim.balancer,
        "backbone": config.network.backbone,
        "imbalance": config.data.imbalance,
        "seed": config.seed,
        "todo": one.todo,
        "reason": one.reason or (ending.reason if ending else ""),
        "result": ending.result if ending else None,
        "code": ending.code if ending else None,
        "seconds": ending.seconds if ending else None,
    }


def _carry_out(one: Prospect, place: Place, progress: Progress) -> Ending:
    """Run the commands of a run until one fails."""
    training = {"train": [start_words], "resume": [resume_words]}.get(one.todo, [])
    started = time.monotonic()
    for words in (*training, evaluate_words):
        try:
            code, reason = _run(words(one.member, place), progress)
        except KeyboardInterrupt:
            code, reason = INTERRUPTED, "interrupted; the same sweep goes on with it"
        seconds = time.monotonic() - started
        if code:
            result: Result = "interrupted" if code == INTERRUPTED else "failed"
            return Ending(result=result, code=code, reason=reason, seconds=seconds)
    return Ending(result="finished", seconds=seconds)


def _run(words: Sequence[str], progress: Progress) -> tuple[int, str]:
    """Run ``hga`` in a process of its own; return its exit code and what it said was wrong.

    The process has a session of its own: Ctrl-C reaches it through us only, as the end of its stdin; where we are
    killed, that ends too.

    Raises:
        KeyboardInterrupt: we were interrupted; the process has ended.
    """
    command = [sys.executable, "-m", "hga_cli", *words]
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        env={**os.environ, **FOLLOWS_STDIN},
    ) as process:
        try:
            _listen(process, said, progress)
        except KeyboardInterrupt:
            assert process.stdin is not None
            process.stdin.close()  # not a signal, which Python loses where it comes at a bad moment: this is told again
            _listen(process, said, progress)
            raise
        finally:
            if process.poll() is None:
                process.kill()
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return SetupError.exit_code, f"its process was ended from outside by {name}, perhaps for want of memory"
    return process.returncode, _reason(said)


def _listen(process: "subprocess.Popen[str]", said: list[str], progress: Progress) -> None:
    """Pass on what a process says, until it ends."""
    for line in process.stderr or ():
        said.append(line.rstrip())
        progress.say(f"  {said[-1]}")
    process.wait()


def _reason(said: Sequence[str]) -> str:
    """Return the last error that a program told, or else its last line."""
    errors = [line.removeprefix(ERROR) for line in said if line.startswith(ERROR)]
    return (errors or [line for line in said if line] or ["it said nothing"])[-1]


@contextmanager
def _ended_by_either_signal() -> Iterator[None]:
    """Let SIGTERM, which schedulers send, end a sweep as Ctrl-C does."""
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)
