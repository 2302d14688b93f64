"""What is to be done for each run of a sweep: everything is checked before the first training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from hga_cli.core.config import differences, dump, resolve
from hga_cli.core.digest import digest
from hga_cli.core.errors import ConfigError, DataError, HgaError
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.core.run_folder import FINISHED, RunFolder
from hga_cli.core.settings import Config
from hga_cli.core.sweep_plan import Member
from hga_cli.data.store import Store
from hga_cli.engine.model_file import model_digest, read_model
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.training import Scheme, Training
from hga_cli.workflows.compare import read_metrics
from hga_cli.workflows.evaluate import SAME_NUMBERS
from hga_cli.workflows.models import checkpoint_of
from hga_cli.workflows.plan import Plan, plan, scheme_of
from hga_cli.workflows.resume import FREE_ON_RESUME, SECTIONS_OF_TRAINING, SOURCES
from hga_cli.workflows.sweep_commands import Place

Todo = Literal["train", "resume", "evaluate", "nothing", "senseless", "in the way"]
OPEN: tuple[Todo, ...] = ("train", "resume", "evaluate")
FREE = {*FREE_ON_RESUME, *(f"evaluation.{name}" for name in SAME_NUMBERS)}
META = torch.device("meta")
SHOWN = 3
"""Settings that are named where a run has others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What is to be done for a run."""

    member: Member
    todo: Todo
    reason: str = ""
    """Why it is senseless, or what is in the way."""


def look_ahead(
    members: Sequence[Member],
    store: Store,
    place: Place,
    device: torch.device,
    *,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> list[Prospect]:
    """Return what is to be done for each run; nothing is written.

    A run is ``senseless`` where ``hga train`` would refuse it before its first step, and ``in the way`` where its
    folder holds a run with other settings or data.

    Args:
        members: the runs.
        store: of all of them.
        place: where they are.
        device: that is going to compute.
        ranks: how many processes train together.
        progress: is told each run.
    """
    refusals: dict[str, str] = {}
    found = []
    progress = progress or Silent()
    with stage(progress, "check", len(members)):
        for member in members:
            try:
                planned = plan(store, member.config, device, ranks)
                _require_tests(planned)
                refusal = _refusal(planned, refusals)
            except HgaError as error:
                refusal = _told(error)
            found.append(
                Prospect(member=member, todo="senseless", reason=refusal)
                if refusal
                else _state(member, planned, place.run(member.name))
            )
            progress.advance(member.name)
    return found


def require_startable(prospects: Sequence[Prospect], *, skip_senseless: bool) -> None:
    """Stop before the first training where a run cannot be what the sweep says.

    Raises:
        DataError: another run is in the way.
        ConfigError: a run makes no sense, and is not to be skipped.
    """
    hindered = [one.member.name for one in prospects if one.todo == "in the way"]
    if hindered:
        message = f"{len(hindered)} of {len(prospects)} runs are there already, with other settings or data"
        hint = 'move those folders elsewhere, or let names begin otherwise: name = "second" in the file'
        raise DataError(message, hint=hint)
    senseless = [one.member.name for one in prospects if one.todo == "senseless"]
    if senseless and not skip_senseless:
        message = f"{len(senseless)} of {len(prospects)} runs make no sense; nothing was started"
        raise ConfigError(
            message, hint='take them out of the lists, or leave them out: on_problem = "skip" in the file'
        )


def _require_tests(planned: Plan) -> None:
    split = planned.store.split(planned.config.data.split)
    if not split.test:
        message = f"split '{split.name}' has no test case, so the run could not be scored"
        raise DataError(message, hint="make one with test cases: hga split --ratios 0.7,0.1,0.2")


def _refusal(planned: Plan, known: dict[str, str]) -> str:
    """Return why network, balancer and objective do not fit each other; empty where they do.

    Seeds and tables change nothing of it.
    """
    tree = dump(planned.config)
    key = digest({name: tree[name] for name in ("network", "method", "optim")} | {"patch": tree["data"]["patch"]})
    if key not in known:
        try:
            _build(replace(scheme_of(planned), device=META, ranks=Ranks()))
            known[key] = ""
        except HgaError as error:
            known[key] = _told(error)
    return known[key]


def _build(scheme: Scheme) -> None:
    """Build all that a training has, on a device that has shapes and no memory.

    A network that computes with numbers while it is built (MONAI's SwinUNETR) is built on the CPU and moved there.
    """
    try:
        with META:
            Training(scheme)
    except RuntimeError:
        Training(scheme)


def _told(error: HgaError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _state(member: Member, planned: Plan, run: RunFolder) -> Prospect:
    """Return what is to be done for a run that makes sense."""
    if not (run.path / "run.json").exists():
        return Prospect(member=member, todo="train")
    try:
        about, old = run.about(), resolve(file=run.config_file)
    except HgaError as error:
        return Prospect(member=member, todo="in the way", reason=_told(error))
    changed = [
        f"{key} is {before!r}, wanted {now!r}"
        for key, before, now in differences(
            _compared(old, about.get("sources", {})), _compared(planned.config, planned.sources)
        )
        if key not in FREE
    ]
    if changed:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        return Prospect(member=member, todo="in the way", reason=f"{'; '.join(changed[:SHOWN])}{more}")
    if about["status"] != FINISHED:
        return Prospect(member=member, todo="resume" if run.last.exists() else "train")
    return Prospect(member=member, todo="nothing" if _is_scored(run, old) else "evaluate")


def _compared(config: Config, sources: dict[str, str]) -> dict[str, Any]:
    tree = dump(config)
    sections = {section: tree[section] for section in (*SECTIONS_OF_TRAINING, "evaluation")}
    return {**sections, "sources": {name: sources.get(name) for name in (*SOURCES, "cases")}}


def _is_scored(run: RunFolder, config: Config) -> bool:
    """Tell whether ``metrics.json`` is of the model that the run has now."""
    if not (run.path / "metrics.json").exists():
        return False
    try:
        origin = read_metrics(run.path).get("origin", {})
        model = model_digest(*read_model(checkpoint_of(run, config.evaluation.checkpoint)))
    except HgaError:
        return False  # 'hga evaluate' writes a damaged one again, and says what is wrong with a checkpoint
    return bool(origin.get("model", {}).get("digest") == model)
