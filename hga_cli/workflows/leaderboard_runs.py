"""The runs of a folder that can be ranked, and why others cannot."""

from pathlib import Path
from typing import Any

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import DataError, HgaError
from hga_cli.core.run_folder import RunFolder
from hga_cli.reporting.facts import RunFacts
from hga_cli.reporting.presence import Presence
from hga_cli.workflows.leaderboard_entry import Scored
from hga_cli.workflows.report_material import facts_of
from hga_cli.workflows.stores import store_of

SHOWN = 5
"""Reasons that an error names."""


def gathered(runs_dir: Path) -> tuple[list[tuple[Scored, dict[str, Any]]], list[dict[str, str]]]:
    """Return (run, what it can be compared with) for all that are finished and scored, and why others are not.

    Raises:
        DataError: there is no run, or none that can be ranked.
    """
    names = sorted(file.parent.name for file in runs_dir.glob("*/run.json"))
    if not names:
        message = f"no run in '{runs_dir}'"
        raise DataError(message, hint="make some with 'hga sweep' or 'hga train', or name another folder")
    found, left_out = [], []
    for name in names:
        run = RunFolder(runs_dir / name)
        try:
            facts = facts_of(run)
            metrics = _metrics_of(facts)
            rarest = _rarest(facts, run)
        except HgaError as error:
            left_out.append({"run": name, "reason": error.message})
            continue
        if isinstance(rarest, HgaError):
            left_out.append({"run": name, "reason": f"ranked without its rarest modality: {rarest.message}"})
        sources = facts.about.get("sources", {})
        scored = Scored(
            name=name,
            config=facts.config,
            sources=sources,
            metrics=metrics,
            validations=facts.validations,
            rarest=() if isinstance(rarest, HgaError) else rarest,
        )
        found.append((scored, {"dataset": facts.about["store"], "cases": sources.get("cases")}))
    if not found:
        reasons = "; ".join(f"{one['run']}: {one['reason']}" for one in left_out[:SHOWN])
        message = f"none of the {len(names)} runs in '{runs_dir}' can be ranked: {reasons}"
        raise DataError(message, hint="hga evaluate RUN, for each of them")
    return found, left_out


def _metrics_of(facts: RunFacts) -> dict[str, Any]:
    """Return the scores of a run.

    Raises:
        DataError: it is not finished, or its model was not evaluated.
    """
    if not facts.is_finished:
        message = "the training is not finished: hga train --resume --run RUN"
        raise DataError(message)
    if facts.metrics is None:
        message = "it was not evaluated: hga evaluate RUN"
        raise DataError(message)
    if facts.is_outdated:
        message = "its scores are of another model than it has now: hga evaluate RUN"
        raise DataError(message)
    return dict(facts.metrics)


def _rarest(facts: RunFacts, run: RunFolder) -> Combination | HgaError:
    """Return the modalities that most training cases lack (none where all are equally rare), or why nobody knows."""
    try:
        presence = Presence.of(facts, store_of(None, Path(), run))
    except HgaError as error:
        return error
    rates = {name: presence.realised(name) for name in presence.modalities}
    rarest = tuple(name for name in presence.modalities if rates[name] == max(rates.values()))
    return rarest if len(rarest) < len(rates) else ()
