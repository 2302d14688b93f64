"""From a raw folder to a store. A second run does only what is missing or has changed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from hga_cli.core.digest import digest
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.core.processes import in_processes, usable_cores
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.core.settings import Preprocess
from hga_cli.data.lists import some
from hga_cli.data.raw.case_ids import fault_of_id
from hga_cli.data.raw.consistency import (
    doubtful_conventions,
    mixed_conventions,
    same_images,
    same_modalities,
    unused_labels,
    visits_apart,
)
from hga_cli.data.raw.description import LABEL, Description
from hga_cli.data.raw.discovery import Findings, RawCase, discover, require_clean
from hga_cli.data.raw.prepare import Preparation, PreparedCase, prepare
from hga_cli.data.raw.room import no_room, warn_of_little_room
from hga_cli.data.store import (
    Store,
    case_path,
    meaning_of,
    stored_fingerprint,
    stored_label_values,
    update_index,
    write_case,
)
from hga_cli.imaging.volume import file_digest

ALGORITHM = 3
"""Counts up when the same sources and settings give other arrays, so that old stores are done again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part ``index`` of ``count`` parts of the work, counted from 1."""

    index: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a dry run says of a case."""

    modalities: tuple[str, ...]
    shape: tuple[int, ...]
    """Of the files, in voxels."""
    spacing: tuple[float, ...]
    """Of the files, in mm along R, A, S."""
    label_voxels: dict[str, int]
    is_new: bool
    """The store does not have it, or not from these sources and settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done; after a dry run, what would be."""

    store: Path
    cases: list[str]
    """All cases of the raw folder that are used."""
    written: list[str]
    unchanged: list[str]
    problems: list[Problem]
    skipped: list[str]
    """Cases with problems that are left out because that was asked for; the store does not have them any more."""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    """Only after a dry run: what each case is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is the same for all cases; goes to the worker processes."""

    description: Description
    store: Path
    how: Preparation
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    case: str
    written: bool = False
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    label_values: dict[str, int] = field(default_factory=dict)
    seen: Seen | None = None
    stop: DataError | None = None
    """The store cannot be written: nothing else will go better."""


def preprocess(
    raw: Path,
    description: Description,
    store: Path,
    settings: Preprocess,
    *,
    shard: Shard | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Prepare every case of a raw folder and write the store.

    Args:
        raw: the folder to look through.
        description: what the data set is.
        store: folder of the store; made if needed.
        settings: spacing, clipping, alignment, processes, what a problem does.
        shard: only this part of the cases (other processes or machines do the others).
        overwrite: drop cases of the store that the raw folder does not have.
        dry_run: read and check everything, write nothing; problems are in the report and raise no error.
        progress: is told each case.

    Raises:
        ProblemsError: something is wrong and ``settings.on_problem`` is "stop". Problems that file names show stop
            before anything is written; those found inside files leave the sound cases in the store.
        DataError: the folder is absent or holds no case, the store has cases that it does not have, is a file or
            cannot be written, or labels follow two conventions or one that cannot be told.
        SetupError: a worker process died.
    """
    progress = progress or Silent()
    _require_folder(store)
    findings = discover(raw, description, need_label=True)
    _tell_names(findings, description, progress)
    if settings.on_problem == "stop" and not dry_run:
        require_clean(findings, raw)
    lost = _lost_cases(store, findings)
    if lost and not overwrite:
        message = f"store '{store}' has {len(lost)} cases that '{raw}' does not have: {', '.join(lost[:5])}"
        hint = "choose another store with -o, name the folder above both, or drop those cases with --overwrite"
        raise DataError(message, hint=hint)
    mine = findings.cases[shard.index - 1 :: shard.count] if shard else findings.cases
    if shard and not mine:
        progress.say(f"shard {shard.index}/{shard.count} has nothing to do: there are {len(findings.cases)} cases")
    how = Preparation(spacing=settings.spacing, clip=settings.clip, align=settings.align)
    job = _Job(description=description, store=store, how=how, dry_run=dry_run)
    if not dry_run:
        warn_of_little_room(store, [case for case in mine if not case_path(store, case.case).exists()], progress)
    done = list(_all(mine, job, settings.workers, progress))
    bad = [problem for result in done for problem in result.problems]
    named = sorted({problem.case for problem in findings.problems})
    skipped = {*named, *(problem.case for problem in bad)} if settings.on_problem == "skip" else set()
    values = _label_values(done, findings, store)
    mixed = [] if settings.mixed_conventions else mixed_conventions(values, description)
    if not (dry_run or settings.mixed_conventions):
        _require_one_convention(raw, doubtful_conventions(bad), mixed)
    unused = unused_labels(values, description)
    if unused and {case.case for case in findings.cases} <= {*values, *(result.case for result in done)}:
        progress.warn(f"no case has {', '.join(unused)}: is '{description.name}' the right --dataset?")
    if not dry_run:
        update_index(
            store,
            description,
            found=[case.case for case in findings.cases],
            examined=[*named, *(case.case for case in mine)],
            skipped=sorted(skipped),
            preparation=how,
        )
        for case in (one for one in (*lost, *named) if fault_of_id(one) is None):
            case_path(store, case).unlink(missing_ok=True)
        _tell_copies(Store(store), progress)
    if bad and settings.on_problem == "stop" and not dry_run:
        message = f"{len({problem.case for problem in bad})} of {len(mine)} cases of '{raw}' cannot be used"
        raise ProblemsError(message, bad, hint="repair them and run again, or leave them out: --on-problem skip")
    return _report(store, findings, done, [*findings.problems, *bad, *mixed], skipped)


def _report(
    store: Path, findings: Findings, done: Sequence[_Done], problems: list[Problem], skipped: set[str]
) -> Report:
    return Report(
        store=store,
        cases=[case.case for case in findings.cases if case.case not in skipped],
        written=sorted(result.case for result in done if result.written),
        unchanged=sorted(result.case for result in done if not result.written and not result.problems),
        problems=problems,
        skipped=sorted(skipped),
        warnings={result.case: list(result.warnings) for result in done if result.warnings},
        seen={result.case: result.seen for result in sorted(done, key=lambda one: one.case) if result.seen},
    )


def _require_folder(store: Path) -> None:
    """Refuse a store that is a file, or that would lie below one."""
    there = next(path for path in (store, *store.absolute().parents) if path.exists())
    if not there.is_dir():
        message = f"the store '{store}' cannot be made: '{there}' is a file, expected a folder"
        raise DataError(message, hint="name a folder with -o, or give that file another name")


def _require_one_convention(raw: Path, doubtful: list[Problem], mixed: list[Problem]) -> None:
    if doubtful:
        message = f"which convention the labels of '{raw}' follow cannot be told; no index was written"
        hint = "name the data set with --dataset, or say in a description of your own which value means what"
        raise ProblemsError(message, doubtful, hint=hint)
    if mixed:
        message = f"'{raw}' follows two conventions of labels; no index was written"
        raise ProblemsError(message, mixed, hint="where both mean the same: --set preprocess.mixed_conventions=true")


def _tell_copies(store: Store, progress: Progress) -> None:
    """Tell which cases, and which modalities of a case, are the same image."""
    for cases in same_images(store.cases):
        progress.warn(f"the same image is in the cases {', '.join(cases)}: is it one patient under two names?")
    for modalities, ids in same_modalities(store.cases).items():
        text = f"{' and '.join(modalities)} are the same image in {len(ids)} cases ({some(ids)})"
        progress.warn(f"{text}: is one a copy of the other?")


def _tell_names(findings: Findings, description: Description, progress: Progress) -> None:
    """Tell what names of files alone show: files of no case, visits that count as patients."""
    if text := visits_apart({case.case: case.subject for case in findings.cases}, description):
        progress.warn(text)
    if findings.left:
        shown = ", ".join(f"'{path}'" for path in findings.left[:3]) + (" ..." if len(findings.left) > 3 else "")
        progress.warn(f"{len(findings.left)} files belong to no case and are passed over: {shown}")


def _lost_cases(store: Path, findings: Findings) -> list[str]:
    """Return the cases of the store that the raw folder does not have, not even as a problem."""
    if not (store / "store.h5").exists():
        return []
    known = {case.case for case in findings.cases} | {problem.case for problem in findings.problems}
    return sorted(set(Store(store).cases) - known)


def _label_values(done: Sequence[_Done], findings: Findings, store: Path) -> dict[str, dict[str, int]]:
    """Return the label values of all cases that are known, also of those that other shards have done."""
    found = {result.case: result.label_values for result in done if not result.problems}
    mine = {result.case for result in done}
    others = {case.case: stored_label_values(store, case.case) for case in findings.cases if case.case not in mine}
    return found | {case: values for case, values in others.items() if values is not None}


def _all(cases: list[RawCase], job: _Job, workers: int | None, progress: Progress) -> Iterator[_Done]:
    """Do the cases in as many processes as the settings say."""
    workers = min(workers or usable_cores(), max(1, len(cases)))
    with stage(progress, "examine" if job.dry_run else "preprocess", len(cases)):
        for result in in_processes(partial(_one, job), cases, workers):
            for warning in result.warnings:
                progress.warn(f"{result.case}: {warning}")
            if result.stop is not None:
                raise result.stop
            progress.advance(result.case)
            yield result


def _one(job: _Job, raw: RawCase) -> _Done:
    """Prepare and write one case, unless the store has it with the same sources and settings.

    Where the sources have changed and cannot be used any more, what the store had of them goes too.
    """
    try:
        fingerprint = _fingerprint(raw, job)
        is_new = stored_fingerprint(job.store, raw.case) != fingerprint
        if not is_new and not job.dry_run:
            return _Done(case=raw.case, label_values=stored_label_values(job.store, raw.case) or {})
        prepared = prepare(raw, job.description, job.how)
    except ProblemsError as error:
        if not job.dry_run:
            case_path(job.store, raw.case).unlink(missing_ok=True)
        return _Done(case=raw.case, problems=error.problems)
    except OSError as error:
        problem = Problem(case=raw.case, file=str(error.filename), problem=f"cannot be read: {error.strerror}")
        return _Done(case=raw.case, problems=(problem,))
    done = _Done(
        case=raw.case,
        written=is_new,
        warnings=tuple(prepared.warnings),
        label_values=prepared.label_values,
        seen=_seen(prepared, is_new=is_new) if job.dry_run else None,
    )
    if job.dry_run:
        return done
    try:
        write_case(job.store, prepared, fingerprint, job.description)
    except OSError as error:
        return _Done(case=raw.case, stop=no_room(job.store, raw, error))
    return done


def _seen(case: PreparedCase, *, is_new: bool) -> Seen:
    return Seen(
        modalities=tuple(case.images),
        shape=case.trail.shape,
        spacing=case.trail.original_spacing,
        label_voxels=case.label_voxels,
        is_new=is_new,
    )


def _fingerprint(raw: RawCase, job: _Job) -> str:
    """Return a hash of the contents of the sources and of every setting that changes the result."""
    files = raw.images if raw.label is None else {**raw.images, LABEL: raw.label}
    digests = {path: file_digest(path) for path in set(files.values())}
    everything = {
        "algorithm": ALGORITHM,
        "sources": {role: [path.name, digests[path]] for role, path in files.items()},
        "subject": raw.subject,
        "preparation": asdict(job.how),
        **meaning_of(job.description),
    }
    return digest(everything)
