"""Which of the shipped descriptions a raw folder fits, by the names of its files."""

from dataclasses import dataclass
from pathlib import Path

from hga_cli.core.catalog import shipped
from hga_cli.core.errors import DataError, HgaError
from hga_cli.data.raw.dataset_json import dataset_jsons
from hga_cli.data.raw.description import Description, load_description
from hga_cli.data.raw.discovery import DESCRIBE, discover


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    description: Description
    cases: int
    files: int
    problems: int


def recognise(raw: Path) -> Description:
    """Return the shipped description under which most cases of ``raw`` are found, or else most of its files without.

    Cases without problems count first; where all have some, they are for whoever reads the folder to tell.
    Descriptions that differ in labels only (brats, brats2024) cannot be told apart by names: the first by name counts,
    and values that could mean two things are refused later.

    Raises:
        DataError: no such folder; its ``dataset.json`` cannot be used; none fits, or several fit equally well.
    """
    if not raw.is_dir():
        message = f"no folder '{raw}'"
        raise DataError(message, hint="name the folder that holds the case folders")
    known = shipped("data/raw/descriptions")
    fits = [fit for name in known if (fit := _fit(name, raw))]
    names = ", ".join(known)
    if not fits:
        if dataset_jsons(raw):
            load_description("nnunet", raw)
        there = ", ".join(sorted(path.name for path in raw.iterdir())[:5]) or "nothing"
        message = f"'{raw}' fits none of the known data sets ({names}); it holds {there}"
        raise DataError(message, hint=f"name one with --dataset to see what it lacks, or describe it: {DESCRIBE}")
    best = max(fits, key=_rank)
    rivals = [fit for fit in fits if _rank(fit) == _rank(best) and not _same_names(fit, best)]
    if rivals:
        several = ", ".join(fit.description.name for fit in (best, *rivals))
        message = f"'{raw}' could be one of {several}"
        raise DataError(message, hint=f"choose with --dataset; or is it none of them? {DESCRIBE}")
    return best.description


def _fit(name: str, raw: Path) -> _Fit | None:
    try:
        description = load_description(name, raw)
        findings = discover(raw, description, need_label=True)
    except HgaError:
        return None
    if not findings.understood:
        return None
    return _Fit(
        description=description,
        cases=len(findings.cases),
        files=findings.understood,
        problems=len(findings.problems),
    )


def _rank(fit: _Fit) -> tuple[int, int, int]:
    return fit.cases, fit.files - fit.problems, fit.files


def _same_names(one: _Fit, other: _Fit) -> bool:
    ours, theirs = one.description, other.description
    return (ours.files, ours.layout) == (theirs.files, theirs.layout)
