"""The record beside a label map, ``<case>.json``: what it was made from, by which model, how, and what came out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.atomic import write_json
from hga_cli.core.combinations import combination_name
from hga_cli.core.errors import DataError
from hga_cli.core.settings import Prediction
from hga_cli.engine.inference import TrainedModel
from hga_cli.imaging.volume import integers, read_volume

FORMAT, VERSION = "hga-prediction", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How cases are predicted."""

    overlap: float = 0.5
    """Of neighbouring windows, a share of their size."""
    align: bool = False
    """Resample images on grids of their own onto that of the first one, instead of refusing the case."""
    what: Prediction = field(default_factory=Prediction)

    def as_tree(self) -> dict[str, Any]:
        """Return plain values."""
        return {"overlap": self.overlap, "align": self.align, **asdict(self.what)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """What decides about a label map: the same ingredients give the same one."""

    model: dict[str, Any]
    """``name`` of the run, ``digest``, and ``steps`` it was trained."""
    inputs: dict[str, str]
    """modality -> hash of its file."""
    settings: dict[str, Any]

    def differences(self, old: Mapping[str, Any]) -> list[str]:
        """Return in words what is other than in an old record."""
        said = []
        if old["model"]["digest"] != self.model["digest"]:
            before, now = (f"'{one['name']}' ({one['digest'][:8]})" for one in (old["model"], self.model))
            said.append(f"it was made by model {before}, not {now}")
        if old["inputs"].keys() != self.inputs.keys():
            before, now = (combination_name(tuple(one)) for one in (old["inputs"], self.inputs))
            said.append(f"it was made from {before}, not {now}")
        changed = [name for name, digest in self.inputs.items() if old["inputs"].get(name, digest) != digest]
        if changed:
            said.append(f"the file of {', '.join(changed)} was another")
        for key in sorted(old["settings"].keys() | self.settings.keys()):
            was, is_now = old["settings"].get(key), self.settings.get(key)
            if was != is_now:
                said.append(f"{key} was {was}, is {is_now}")
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One predicted case."""

    case: str
    modalities: dict[str, str]
    """modality -> file that was used; the combination the model saw."""
    made_from: Ingredients
    outputs: dict[str, str]
    """What (``labels``, ``probabilities``, ``entropy``, ``disagreement``, ``overlay``) -> name of its file."""
    output: Path
    """The label map."""
    voxels: str
    """Hash of its voxels: whoever changes them is noticed."""
    volumes_ml: dict[str, float]
    """region -> millilitres."""
    warnings: list[str]
    expected: dict[str, Any] | None
    """Dice measured for this combination, on what, and which absent modality would help most; None: unknown."""
    date: str
    hga: str
    """Version of the program."""
    skipped: bool = False
    """The same label map was there before; nothing was computed."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for ``--json`` and for the record."""
        tree = {one.name: getattr(self, one.name) for one in fields(self)}
        del tree["made_from"]
        return {
            **tree,
            "output": str(self.output),
            "combination": combination_name(tuple(self.modalities)),
            **asdict(self.made_from),
        }

    def write_record(self, path: Path) -> None:
        """Write the record of a case."""
        tree = self.as_dict()
        del tree["skipped"], tree["output"]
        write_json(path, {"format": FORMAT, "version": VERSION, **tree})

    @classmethod
    def from_record(cls, record: Mapping[str, Any], folder: Path, made_from: Ingredients) -> Self:
        """Return the result of an earlier prediction in ``folder``."""
        kept = ("case", "modalities", "outputs", "voxels", "volumes_ml", "warnings", "expected", "date", "hga")
        return cls(
            **{key: record[key] for key in kept},
            made_from=made_from,
            output=folder / record["outputs"]["labels"],
            skipped=True,
        )


def ingredients(model: TrainedModel, inputs: Mapping[str, str], how: How) -> Ingredients:
    """Return what decides about a label map; ``inputs`` is modality -> hash of its file."""
    return Ingredients(
        model={"name": model.name, "digest": model.digest, "steps": model.step},
        inputs=dict(inputs),
        settings=how.as_tree(),
    )


def changed_since(record: Mapping[str, Any], labels: Path) -> list[str]:
    """Return in words whether a label map is not any more what its record says."""
    try:
        found = voxel_digest(integers(read_volume(labels)))
    except DataError as error:
        return [error.message]
    return [] if found == record["voxels"] else ["somebody changed it since"]


def voxel_digest(labels: NDArray[np.integer[Any]]) -> str:
    """Return the hash of a label map (D, H, W), whatever integers it is stored as."""
    voxels = np.ascontiguousarray(labels.reshape(-1), "<i2")
    return hashlib.blake2b(voxels.tobytes(), digest_size=16).hexdigest()


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a JSON file; None where there is no such file, or it is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(found, dict) and found.get("format") == FORMAT and found.get("version") == VERSION
    return found if is_ours else None
