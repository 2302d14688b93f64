"""Scores of finished cases, one small file each: an interrupted evaluation continues, and shards come together."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hga_cli.core.atomic import write_json
from hga_cli.core.digest import digest
from hga_cli.data.store import Store
from hga_cli.data.store.case_file import stored_fingerprint
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.scoring import Row, Scoring
from hga_cli.metrics.calibration import Reliability
from hga_cli.metrics.score import RegionScore

FOLDER = ".hga-scores"
"""Where they are kept, beside the results to be: a name that nobody else gives a folder."""
ALGORITHM = 1
"""Counts up when the same model and settings give other scores, so that old ones are not used."""
MAY_LACK = ("dice", "hd95")
"""Scores that are NaN where a side is empty; JSON has null for it."""


class KeptScores:
    """The folder of the scores of one model under one set of settings.

    Args:
        folder: where such folders lie.
        model: what is scored.
        store: where the cases are.
        how: combinations and scores. Other ones, or another model, have another folder.
    """

    def __init__(self, folder: Path, model: TrainedModel, store: Store, how: Scoring) -> None:
        regions = [asdict(region) for region in store.description.scored_regions()]
        key = [ALGORITHM, model.digest, how.combinations, how.overlap, how.definition, how.tolerance, regions]
        self.path = folder / digest([*key, sorted(how.extras)])
        self._store = store

    def read(self, case: str) -> list[Row] | None:
        """Return the scores of a case; None where there are none, or damaged ones, or it was prepared anew since."""
        try:
            tree = json.loads(self._file(case).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if tree["fingerprint"] != stored_fingerprint(self._store.path, case):
            return None
        return [_from_tree(case, row) for row in tree["rows"]]

    def write(self, case: str, rows: list[Row]) -> None:
        """Keep the scores of a case."""
        tree = {
            "fingerprint": stored_fingerprint(self._store.path, case),
            "rows": [_as_tree(row) for row in rows],
        }
        write_json(self._file(case), tree)

    def _file(self, case: str) -> Path:
        return self.path / f"{case}.json"


def forget(folder: Path) -> None:
    """Remove all kept scores below ``folder``, and nothing else: the evaluation is finished, its files are written."""
    ours = [path for path in folder.glob("*") if re.fullmatch("[0-9a-f]{32}", path.name)]
    for path in (one for kept in ours for one in kept.glob("*.json")):
        path.unlink(missing_ok=True)
    for empty in (*ours, folder):
        with suppress(OSError):  # absent, or holds what is not ours
            empty.rmdir()


def _as_tree(row: Row) -> dict[str, Any]:
    reliabilities = {"reliability": row.reliability, "reliability_labelled": row.reliability_labelled}
    return {
        "combination": row.combination,
        "score": asdict(row.score),
        **{name: one.as_tree() for name, one in reliabilities.items() if one is not None},
    }


def _from_tree(case: str, tree: Mapping[str, Any]) -> Row:
    score = tree["score"]
    numbers = {name: _number(score[name]) for name in MAY_LACK}
    extras = {name: _number(value) for name, value in score["extras"].items()}
    names = ("reliability", "reliability_labelled")
    return Row(
        case=case,
        combination=tuple(tree["combination"]),
        score=RegionScore(**{**score, **numbers, "extras": extras}),
        **{name: Reliability.from_tree(tree[name]) for name in names if name in tree},
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
