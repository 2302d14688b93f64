"""What is inside a store or a run. Nothing is changed, and no image is read."""

import json
import tomllib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from hga_cli.core.combinations import Combination, combination_name, in_order
from hga_cli.core.errors import DataError, UsageError, suggestion
from hga_cli.core.names import KINDS, kinds_of
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.imbalance import ImbalanceTable, item_of
from hga_cli.data.splits import PARTS
from hga_cli.data.store import CaseEntry, Store, case_path
from hga_cli.data.store.files import CASE, INDEX, reading

Document = dict[str, Any]


def find(what: str, data_dir: Path, runs_dir: Path) -> Store | RunFolder:
    """Return the store or run that a word means: a folder, or a name below ``data_dir`` or ``runs_dir``.

    Raises:
        UsageError: it is nothing of all that, or a store and a run.
        DataError: the store cannot be read.
    """
    stores = [path for path in (Path(what), data_dir / what) if (path / "store.h5").exists()][:1]
    runs = [path for path in (Path(what), runs_dir / what) if (path / "run.json").exists()][:1]
    if stores and runs and stores != runs:
        message = f"'{what}' is a store and a run"
        raise UsageError(message, hint=f"name the folder: hga info {stores[0]}, or hga info {runs[0]}")
    if stores:
        return Store(stores[0])
    if runs:
        return RunFolder(runs[0])
    raise _unknown(what, data_dir, runs_dir)


def overview(data_dir: Path, runs_dir: Path) -> Document:
    """Return what can be asked: stores with cases and modalities, runs with their status, kinds of names."""
    stores = {path.name: _store_in_short(path) for path in _folders(data_dir, "store.h5")}
    runs = {path.name: _run_in_short(path) for path in _folders(runs_dir, "run.json")}
    return {"stores": stores, "runs": runs, "names": list(KINDS)}


def describe_store(store: Store) -> Document:
    """Return everything the index of a store says, with sizes on disk and the warnings of its cases."""
    description, entries = store.description, store.cases
    found = Counter(entry.modalities for entry in entries.values())
    sizes = {case: _bytes(case_path(store.path, case)) for case in entries}
    warnings, damaged = _case_files(store)
    return {
        "store": str(store.path),
        "name": description.name,
        "title": description.title,
        "modalities": list(store.modalities),
        "labels": {label.name: list(label.values) for label in description.labels},
        "regions": {region.name: list(region.labels) for region in description.regions},
        "subjects": len({entry.subject for entry in entries.values()}),
        "resampled_to": store.spacing,
        "shapes": _extent([entry.shape for entry in entries.values()]),
        "spacings": _extent([entry.spacing for entry in entries.values()]),
        "combinations": _counts(found, store.modalities),
        "missing_rates": _missing_rates(list(entries.values()), store.modalities),
        "voxels": {label.name: _voxels(label.name, list(entries.values())) for label in description.labels},
        "bytes": sum(size or 0 for size in sizes.values()),
        "splits": {name: {part: split.part(part) for part in PARTS} for name, split in store.splits.items()},
        "tables": {name: _describe_table(table, store) for name, table in store.tables.items()},
        "expected": store.expected,
        "missing_cases": sorted(set(store.expected) - set(entries)),
        "skipped": _skipped(store),
        "damaged": damaged,
        "warnings": warnings,
        "cases": {case: _describe_case(entry, sizes[case]) for case, entry in sorted(entries.items())},
    }


def describe_run(run: RunFolder) -> Document:
    """Return what a run is, how far it is, and the means of ``metrics.json``, if it is there.

    Raises:
        DataError: ``run.json``, ``config.toml`` or ``metrics.json`` cannot be read.
    """
    about, config = run.about(), _config(run)
    metrics = run.path / "metrics.json"
    data, network, optim = (config.get(section, {}) for section in ("data", "network", "optim"))
    return {
        "run": run.name,
        "path": str(run.path),
        "status": about["status"],
        "changed": about.get("changed"),
        "method": config.get("method", {}).get("name"),
        "backbone": network.get("backbone"),
        "balancer": optim.get("balancer"),
        "split": data.get("split"),
        "imbalance": data.get("imbalance"),
        "epochs": optim.get("epochs"),
        "epochs_done": _epochs_done(run),
        "seed": config.get("seed"),
        "store": about.get("store"),
        "device": about.get("device"),
        "checkpoint": str(run.last) if run.last.exists() else None,
        "best": str(run.best) if run.best.exists() else None,
        "versions": about.get("versions", {}),
        "metrics": _read_json(metrics).get("mean") if metrics.exists() else None,
    }


def _unknown(what: str, data_dir: Path, runs_dir: Path) -> UsageError:
    """Return the error for a word that is no store, no run and no kind, with the likeliest thing to ask instead."""
    message = f"'{what}' is no store in '{data_dir}', no run in '{runs_dir}', and no kind of names"
    kinds = kinds_of(what)
    if kinds:
        return UsageError(message, hint=" or ".join(f"hga info {kind} {what}" for kind in kinds))
    if Path(what).is_dir():
        return UsageError(message, hint=f"if it is a raw folder: hga info --describe {what} > mine.toml")
    known = [path.name for path in (*_folders(data_dir, "store.h5"), *_folders(runs_dir, "run.json"))]
    return UsageError(message, hint=suggestion(what, [*known, *KINDS, "settings"]))


def _folders(above: Path, file: str) -> list[Path]:
    return sorted(path.parent for path in above.glob(f"*/{file}"))


def _store_in_short(path: Path) -> Document:
    try:
        store = Store(path)
    except DataError as error:
        return {"error": error.message}
    return {"title": store.description.title, "cases": len(store.cases), "modalities": list(store.modalities)}


def _run_in_short(path: Path) -> Document:
    try:
        about = describe_run(RunFolder(path))
    except DataError as error:
        return {"error": error.message}
    return {key: about[key] for key in ("status", "method", "backbone", "epochs", "epochs_done", "store")}


def _counts(found: Counter[Combination], modalities: Combination) -> dict[str, int]:
    """Return how many have exactly each combination that occurs, the largest first (the name of none at all is "")."""
    order = sorted(found, key=lambda one: (-len(one), [modalities.index(name) for name in one]))
    return {combination_name(one): found[one] for one in order}


def _missing_rates(entries: Sequence[CaseEntry], modalities: Combination) -> dict[str, float]:
    """Return the share of cases that lack each modality."""
    total = max(1, len(entries))
    return {name: sum(name not in entry.modalities for entry in entries) / total for name in modalities}


def _extent(triples: Sequence[tuple[float, ...]]) -> Document:
    """Return minimum, median and maximum along each axis."""
    axes = list(zip(*triples, strict=True))
    return {name: [of(axis) for axis in axes] for name, of in (("minimum", min), ("median", median), ("maximum", max))}


def _known_voxels(entry: CaseEntry) -> dict[str, int] | None:
    """Return the voxels of each class; None where an older store does not say."""
    return None if entry.label_values and not entry.label_voxels else entry.label_voxels


def _voxels(label: str, entries: Sequence[CaseEntry]) -> Document:
    """Return in how many cases a class occurs, and minimum, median and maximum of its voxels there (None: unknown)."""
    found = [voxels[label] for entry in entries if label in (voxels := _known_voxels(entry) or {})]
    cases = sum(label in entry.label_values for entry in entries)
    if not found:
        return {"cases": cases, "minimum": None, "median": None, "maximum": None}
    return {"cases": cases, "minimum": min(found), "median": median(found), "maximum": max(found)}


def _describe_case(entry: CaseEntry, size: int | None) -> Document:
    return {
        "subject": entry.subject,
        "modalities": list(entry.modalities),
        "shape": list(entry.shape),
        "spacing": list(entry.spacing),
        "label_voxels": _known_voxels(entry),
        "bytes": size,
    }


def _describe_table(table: ImbalanceTable, store: Store) -> Document:
    """Return wanted and realised rates, truly absent modalities included, and how many rows have each combination."""
    available = []
    for name, row in table.rows().items():
        case = item_of(name)[0] if table.by_slice else name
        has = store.cases[case].modalities if case in store.cases else table.modalities
        available.append(in_order(set(row) & set(has), store.modalities))
    total = max(1, len(available))
    return {
        "unit": table.about.get("unit"),
        "split": table.about.get("split"),
        "rows": len(available),
        "wanted": table.about.get("rates"),
        "realised": {name: sum(name not in one for one in available) / total for name in table.modalities},
        "combinations": _counts(Counter(available), store.modalities),
    }


def _skipped(store: Store) -> list[str]:
    with reading(store.path / "store.h5", INDEX) as file:
        skipped: list[str] = json.loads(file.attrs["skipped"])
        return skipped


def _case_files(store: Store) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the warnings of cases that have some, and what is wrong with files that cannot be read."""
    warnings, damaged = {}, {}
    for case in sorted(store.cases):
        try:
            with reading(case_path(store.path, case), CASE) as file:
                told = json.loads(file.attrs["warnings"])
        except DataError as error:
            damaged[case] = error.message
            continue
        if told:
            warnings[case] = told
    return warnings, damaged


def _bytes(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _config(run: RunFolder) -> Document:
    """Read ``config.toml``; empty where a run was stopped before it was written."""
    try:
        return tomllib.loads(run.config_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"'{run.config_file}' is damaged: {error}"
        raise DataError(message, hint="move that run elsewhere") from None


def _epochs_done(run: RunFolder) -> int:
    """Return how many epochs the journal tells of; a line that a kill cut off does not count."""
    journal = run.path / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    epochs = set()
    for line in lines:
        with suppress(json.JSONDecodeError):
            epochs.add(json.loads(line)["epoch"])
    return len(epochs)


def _read_json(path: Path) -> Document:
    try:
        document: Document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"'{path}' is damaged: {error}"
        raise DataError(message, hint="make it again with 'hga evaluate'") from None
    return document
