"""From a raw folder to a store. A second run does only what is missing or has changed."""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.settings import Preprocess
from hga_cli.data.description import LABEL, Description, as_tree
from hga_cli.data.discovery import Findings, RawCase, discover, require_clean
from hga_cli.data.prepare import Preparation, prepare
from hga_cli.data.store import Store, case_path, stored_fingerprint, update_index, write_case
from hga_cli.imaging.volume import file_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part ``index`` of ``count`` parts of the work, counted from 1."""

    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done."""

    store: Path
    cases: list[str]
    """All cases of the raw folder that are used."""
    written: list[str]
    unchanged: list[str]
    problems: list[Problem]
    warnings: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    case: str
    written: bool
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def preprocess(
    raw: Path,
    description: Description,
    store: Path,
    settings: Preprocess,
    *,
    shard: Shard | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Prepare every case of a raw folder and write the store.

    Args:
        raw: the folder to look through.
        description: what the data set is.
        store: folder of the store; made if needed.
        settings: spacing, processes, what a problem does.
        shard: only this part of the cases (other processes or machines do the others).
        overwrite: drop cases of the store that the raw folder does not have.
        progress: is told each case.

    Raises:
        ProblemsError: something is wrong and ``settings.on_problem`` is "stop". Problems that file names show stop
            before anything is written; those found inside files leave the sound cases in the store.
        DataError: the folder is absent or holds no case, or the store has cases that it does not have.
    """
    progress = progress or Silent()
    findings = discover(raw, description, need_label=True)
    if settings.on_problem == "stop":
        require_clean(findings, raw)
    if not overwrite:
        _require_same_cases(store, raw, findings)
    mine = findings.cases[shard.index - 1 :: shard.count] if shard else findings.cases
    done = list(_all(mine, description, store, settings, progress))
    bad = [problem for result in done for problem in result.problems]
    skipped = {problem.case for problem in bad} if settings.on_problem == "skip" else set()
    update_index(
        store,
        description,
        found=[case.case for case in findings.cases],
        examined=[case.case for case in mine],
        skipped=sorted(skipped),
        preparation=Preparation(spacing=settings.spacing),
    )
    if bad and settings.on_problem == "stop":
        message = f"{len({problem.case for problem in bad})} of {len(mine)} cases of '{raw}' cannot be used"
        raise ProblemsError(message, bad, hint="repair them and run again, or leave them out: --on-problem skip")
    return Report(
        store=store,
        cases=[case.case for case in findings.cases if case.case not in skipped],
        written=sorted(result.case for result in done if result.written),
        unchanged=sorted(result.case for result in done if not result.written and not result.problems),
        problems=[*findings.problems, *bad],
        warnings={result.case: list(result.warnings) for result in done if result.warnings},
    )


def _require_same_cases(store: Path, raw: Path, findings: Findings) -> None:
    if not (store / "store.h5").exists():
        return
    known = {case.case for case in findings.cases} | {problem.case for problem in findings.problems}
    lost = sorted(set(Store(store).cases) - known)
    if lost:
        message = f"store '{store}' has {len(lost)} cases that '{raw}' does not have: {', '.join(lost[:5])}"
        hint = "choose another store with -o, name the folder above both, or drop those cases with --overwrite"
        raise DataError(message, hint=hint)


def _all(
    cases: list[RawCase], description: Description, store: Path, settings: Preprocess, progress: Progress
) -> Iterator[_Done]:
    """Do the cases in as many processes as the settings say."""
    workers = min(settings.workers or os.cpu_count() or 1, max(1, len(cases)))
    progress.start("preprocess", len(cases))
    try:
        if workers == 1:
            for case in cases:
                yield _tell(_one(case, description, store, settings), progress)
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(_one, case, description, store, settings) for case in cases]
            for future in as_completed(waiting):
                yield _tell(future.result(), progress)
    finally:
        progress.finish()


def _tell(result: _Done, progress: Progress) -> _Done:
    for warning in result.warnings:
        progress.warn(f"{result.case}: {warning}")
    progress.advance(result.case)
    return result


def _one(raw: RawCase, description: Description, store: Path, settings: Preprocess) -> _Done:
    """Prepare and write one case, unless the store has it with the same sources and settings.

    Where the sources have changed and cannot be used any more, what the store had of them goes too.
    """
    try:
        fingerprint = _fingerprint(raw, description, settings)
        if stored_fingerprint(store, raw.case) == fingerprint:
            return _Done(case=raw.case, written=False, problems=(), warnings=())
        prepared = prepare(raw, description, settings.spacing)
    except ProblemsError as error:
        case_path(store, raw.case).unlink(missing_ok=True)
        return _Done(case=raw.case, written=False, problems=error.problems, warnings=())
    except OSError as error:
        problem = Problem(case=raw.case, file=str(error.filename), problem=f"cannot be read: {error.strerror}")
        return _Done(case=raw.case, written=False, problems=(problem,), warnings=())
    write_case(store, prepared, fingerprint)
    return _Done(case=raw.case, written=True, problems=(), warnings=tuple(prepared.warnings))


def _fingerprint(raw: RawCase, description: Description, settings: Preprocess) -> str:
    """Return a hash of the contents of the sources and of every setting that changes the result."""
    files = raw.images if raw.label is None else {**raw.images, LABEL: raw.label}
    content = {role: [path.name, file_digest(path)] for role, path in files.items()}
    everything = {
        "sources": content,
        "subject": raw.subject,
        "spacing": settings.spacing,
        "modalities": description.modalities,
        "labels": as_tree(description)["labels"],
    }
    return hashlib.blake2b(json.dumps(everything, sort_keys=True).encode(), digest_size=16).hexdigest()
