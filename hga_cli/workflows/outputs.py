"""Where the outputs of predicted cases go, and what may be there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hga_cli.core.errors import Problem, ProblemsError, UsageError
from hga_cli.data.raw.discovery import RawCase
from hga_cli.engine.inference import TrainedModel
from hga_cli.imaging.volume import file_digest
from hga_cli.workflows.records import How, Result, changed_since, ingredients, read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The files that are written for one case."""

    folder: Path
    case: str
    extras: tuple[str, ...]

    @classmethod
    def of(cls, raw: RawCase, folder: Path, how: How) -> Self:
        """Return what is written for a case under these settings."""
        probabilities = ("probabilities",) if how.what.probabilities else ()
        uncertainty = ("entropy", "disagreement") if how.what.uncertainty else ()
        overlay = ("overlay",) if how.what.overlay else ()
        return cls(folder=folder, case=raw.case, extras=(*probabilities, *uncertainty, *overlay))

    @property
    def record(self) -> Path:
        """What the label map was made from."""
        return self.folder / f"{self.case}.json"

    @property
    def labels(self) -> Path:
        """The label map."""
        return self.folder / self.names["labels"]

    @property
    def names(self) -> dict[str, str]:
        """What -> name of its file."""
        ending = {"overlay": "png"}
        extras = {what: f"{self.case}_{what}.{ending.get(what, 'nii.gz')}" for what in self.extras}
        return {"labels": f"{self.case}.nii.gz", **extras}

    @property
    def targets(self) -> list[Path]:
        """All that is written, the label map first."""
        return [*(self.folder / name for name in self.names.values()), self.record]

    def remove(self) -> None:
        """Remove what is going to be written, and what an old record names as written with it."""
        record = read_record(self.record)
        named = [self.folder / name for name in record["outputs"].values()] if record else []
        for path in (*self.targets, *named):
            path.unlink(missing_ok=True)


def other_outputs(folder: Path) -> dict[str, str]:
    """Return name -> what it is (``entropy``) of all that records in a folder name beside their label maps."""
    records = [record for path in folder.glob("*.json") if (record := read_record(path))]
    named = [(what, name) for record in records for what, name in record["outputs"].items()]
    return {name: what for what, name in named if what != "labels"}


def require_own_places(cases: Sequence[RawCase], places: Sequence[Outputs]) -> None:
    """Refuse outputs that would overwrite a scan, or each other.

    Raises:
        UsageError: names the file.
    """
    scans = {path.resolve() for raw in cases for path in raw.images.values()}
    taken: dict[Path, str] = {}
    for files in places:
        for path in files.targets:
            if path.resolve() in scans:
                message = f"case '{files.case}': its output would overwrite the scan '{path}'"
                raise UsageError(message, hint="choose another folder: -o masks")
            if path in taken:
                message = f"cases '{taken[path]}' and '{files.case}' would both write '{path}'"
                raise UsageError(message, hint="predict them one after the other, into folders of their own")
            taken[path] = files.case


def finished_before(
    model: TrainedModel, cases: Sequence[RawCase], places: Sequence[Outputs], how: How
) -> dict[str, Result]:
    """Return the cases that were predicted before from the same model, scans and settings, with all outputs there.

    Raises:
        ProblemsError: something else is in the way; says of each file why.
    """
    finished = {}
    problems = []
    for raw, files in zip(cases, places, strict=True):
        record = read_record(files.record)
        ours = {files.record, *(files.folder / name for name in record["outputs"].values())} if record else set()
        foreign = [path for path in files.targets if path.exists() and path not in ours]
        if not foreign and (record is None or not files.labels.exists()):
            continue
        made_from = ingredients(model, {name: file_digest(path) for name, path in raw.images.items()}, how)
        if foreign or record is None:
            reasons = [f"no record '{files.record.name}' of 'hga predict' says what it was made from"]
        else:
            reasons = made_from.differences(record) + changed_since(record, files.labels)
        if reasons:
            text = f"is there already, and {'; '.join(reasons)}"
            problems.append(Problem(case=raw.case, file=str((foreign or [files.labels])[0]), problem=text))
        elif record is not None and all((files.folder / name).exists() for name in record["outputs"].values()):
            finished[raw.case] = Result.from_record(record, files.folder, made_from)
    if problems:
        message = f"{len(problems)} cases would replace files that were not made from the same; nothing was predicted"
        raise ProblemsError(message, problems, hint="replace them with --overwrite, or choose another folder: -o DIR")
    return finished
