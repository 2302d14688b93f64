"""The index of a store: list of cases, splits, imbalance tables. One writer at a time; readers are never disturbed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from filelock import FileLock

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import DataError
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.raw.description import Description, as_tree, parse_description
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.splits import Split
from hga_cli.data.store.case_file import case_path, meaning_of, read_digests, read_sources, read_trail
from hga_cli.data.store.files import (
    CASE,
    INDEX,
    VERSION,
    open_checked,
    read_texts,
    reading,
    tuples,
    write_texts,
    writing,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseEntry:
    """One line of the index."""

    subject: str
    modalities: Combination
    shape: tuple[int, ...]
    """D, H, W of the store, voxels."""
    spacing: tuple[float, ...]
    """mm along D, H, W."""
    label_values: dict[str, int]
    """Which value the label file holds for each class found in it."""
    label_voxels: dict[str, int] = field(default_factory=dict)
    """Voxels of each class in the label file (empty in older stores)."""
    fingerprint: str = ""
    """Of the case file that was listed (empty in older stores): another one in the file means it was written again."""
    digests: dict[str, str] = field(default_factory=dict)
    """Hash of each image (empty in older stores): equal ones are the same image, whatever it is called."""
    sources: dict[str, str] = field(default_factory=dict)
    """Hash of the file of each modality (empty in older stores)."""


def update_index(
    store: Path,
    description: Description,
    *,
    found: Sequence[str],
    examined: Sequence[str],
    skipped: Sequence[str],
    preparation: Preparation,
) -> None:
    """Rebuild the list of cases from the case files; splits and tables stay.

    A case that was prepared in another way, or under a description with other modalities, labels or layout, is not
    listed: the store is unfinished until it is done again. Of older case files, which do not say what they were made
    under, those count that were examined, or listed under the same description.

    Args:
        store: folder of the store; made if needed.
        description: what the data set is.
        found: every usable case of the raw folder.
        examined: those this process looked into (other shards look into the others).
        skipped: those of them that are left out on purpose.
        preparation: how cases were prepared.
    """

    def change(file: h5py.File) -> None:
        elsewhere = set(json.loads(file.attrs.get("skipped", "[]"))) - set(examined)
        left_out = sorted(elsewhere | set(skipped))
        expected = sorted(set(found) - set(left_out))
        there = [case for case in expected if case_path(store, case).exists()]
        trusted = {*examined, *_listed_alike(file, description)}
        entries = {}
        for case in there:
            with reading(case_path(store, case), CASE) as one:
                if _is_alike(one, description, preparation, trusted=case in trusted):
                    entries[case] = asdict(_entry(one))
        file.attrs["description"] = json.dumps(as_tree(description))
        file.attrs["preparation"] = json.dumps(asdict(preparation))
        file.attrs["expected"] = json.dumps(expected)
        file.attrs["skipped"] = json.dumps(left_out)
        file.attrs["cases"] = json.dumps(entries)
        if "links" in file:
            del file["links"]
        links = file.create_group("links")
        for case in entries:
            links[case] = h5py.ExternalLink(f"cases/{case}.h5", "/")

    store.mkdir(parents=True, exist_ok=True)
    with _one_writer(store):
        _change(store, change)


def save_split(store: Path, *splits: Split) -> bool:
    """Write splits into the index, all or none; return False if the same ones are there already.

    Raises:
        DataError: another split has the name of one.
    """
    return _save(store, "splits", splits, read_split, _write_split)


def save_table(store: Path, table: ImbalanceTable) -> bool:
    """Write an imbalance table into the index; return False if the same one is there already.

    Raises:
        DataError: another table has this name.
    """
    return _save(store, "imbalance", [table], read_table, _write_table)


def read_entries(text: str) -> dict[str, CaseEntry]:
    """Read the list of cases."""
    return {
        case: CaseEntry(**{key: tuples(value) for key, value in tree.items()})
        for case, tree in json.loads(text).items()
    }


def read_preparation(attributes: Any) -> Preparation:
    """Read how cases were prepared (older stores say the spacing only)."""
    if "preparation" not in attributes:
        return Preparation(spacing=tuples(json.loads(attributes["spacing"])))
    return Preparation(**{key: tuples(value) for key, value in json.loads(attributes["preparation"]).items()})


def read_split(name: str, group: Any) -> Split:
    """Read one split."""
    train, val, test = (read_texts(group, part) for part in ("train", "val", "test"))
    return Split(name=name, train=train, val=val, test=test, about=json.loads(group.attrs["about"]))


def read_table(name: str, group: Any) -> ImbalanceTable:
    """Read one imbalance table."""
    return ImbalanceTable(
        name=name,
        cases=read_texts(group, "cases"),
        modalities=tuple(read_texts(group, "modalities")),
        available=[tuple(bool(flag) for flag in row) for row in group["available"][()]],
        about=json.loads(group.attrs["about"]),
    )


def _write_split(group: Any, split: Split) -> None:
    for part, cases in (("train", split.train), ("val", split.val), ("test", split.test)):
        write_texts(group, part, cases)
    group.attrs["about"] = json.dumps(split.about)


def _write_table(group: Any, table: ImbalanceTable) -> None:
    write_texts(group, "cases", table.cases)
    write_texts(group, "modalities", list(table.modalities))
    group.create_dataset("available", data=np.array(table.available, dtype=bool))
    group.attrs["about"] = json.dumps(table.about)


def _save(
    store: Path,
    kind: str,
    items: Sequence[Any],
    read: Callable[[str, Any], Any],
    write: Callable[[Any, Any], None],
) -> bool:
    """Write those items that are not there yet, all in one go; return whether there were any."""
    open_checked(store / "store.h5", INDEX).close()
    with _one_writer(store):
        with open_checked(store / "store.h5", INDEX) as file:
            old = {item.name: read(item.name, file[kind][item.name]) for item in items if item.name in file[kind]}
        new = [item for item in items if item.name not in old]
        if changed := [item.name for item in items if item.name in old and old[item.name] != item]:
            message = f"store '{store}' already has another '{changed[0]}' under {kind}"
            raise DataError(message, hint="runs may depend on it; choose another name with --name")
        if new:
            _change(store, lambda file: _write_all(file[kind], new, write))
    return bool(new)


def _write_all(group: Any, items: Sequence[Any], write: Callable[[Any, Any], None]) -> None:
    for item in items:
        write(group.create_group(item.name), item)


def _one_writer(store: Path) -> FileLock:
    return FileLock(store / ".store.lock")


def _change(store: Path, change: Callable[[h5py.File], None]) -> None:
    """Copy the index, change the copy, rename it. The caller holds the lock."""
    path = store / "store.h5"
    with writing(path) as file:
        if path.exists():
            with open_checked(path, INDEX) as old:
                for kind in ("splits", "imbalance", "links"):
                    if kind in old:
                        old.copy(kind, file, expand_external=False)
                file.attrs.update(dict(old.attrs))
        file.attrs.update(format=INDEX, version=VERSION)
        for group in ("splits", "imbalance"):
            file.require_group(group)
        change(file)


def _listed_alike(index: h5py.File, description: Description) -> list[str]:
    """Return the cases that the index lists under a description that takes files for the same."""
    if "description" not in index.attrs:
        return []
    before = parse_description(json.loads(index.attrs["description"]), index.filename)
    return list(json.loads(index.attrs["cases"])) if meaning_of(before) == meaning_of(description) else []


def _is_alike(case: Any, description: Description, preparation: Preparation, *, trusted: bool) -> bool:
    """Tell whether a case file was made in this way; what an older one does not say is as ``trusted`` as it is."""
    if "preparation" in case.attrs and read_preparation(case.attrs) != preparation:
        return False
    return json.loads(case.attrs["meaning"]) == meaning_of(description) if "meaning" in case.attrs else trusted


def _entry(case: Any) -> CaseEntry:
    """Return the line of a case file."""
    trail = read_trail(case)
    return CaseEntry(
        subject=str(case.attrs["subject"]),
        modalities=tuple(json.loads(case.attrs["modalities"])),
        shape=trail.grid,
        spacing=trail.spacing,
        label_values=json.loads(case.attrs["label_values"]),
        label_voxels=json.loads(case.attrs.get("label_voxels", "{}")),
        fingerprint=str(case.attrs["fingerprint"]),
        digests=read_digests(case),
        sources=read_sources(case),
    )
