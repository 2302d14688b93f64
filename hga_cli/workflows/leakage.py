"""Cases that a model was trained on are no test of it."""

from collections.abc import Sequence
from pathlib import Path

from hga_cli.core.digest import digest
from hga_cli.core.errors import DataError
from hga_cli.core.progress import Progress
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.splits import Split
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.model_file import read_model


def split_digest(split: Split) -> str:
    """Return the hash of who is in which part, as trainings record it."""
    return digest([split.train, split.val, split.test])


def require_new(
    cases: Sequence[str],
    model: TrainedModel,
    store: Store,
    *,
    run: RunFolder,
    checkpoint: Path,
    progress: Progress,
) -> None:
    """Make sure that no case, and no other case of its subject, was trained on.

    Args:
        cases: which are going to be scored as unseen.
        model: names the split it was trained with.
        store: where the cases are.
        run: knows its own store.
        checkpoint: of the model; it recorded the hash of the split.
        progress: is told where nobody can know: the store is another one and does not have the split of the training.

    Raises:
        DataError: names such cases; or the split of the store is not the one that the model was trained with.
    """
    recorded = read_model(checkpoint)[1]["sources"]["split"]
    name = model.config.data.split
    split = store.splits.get(name or "")
    if split is None or split_digest(split) != recorded:
        if store.path.resolve() == Path(run.about()["store"]).resolve():
            message = (
                f"split '{name}' of store '{store.path}' is not the one that run '{run.name}' was trained with, "
                "so nobody can say which cases are new to the model"
            )
            hint = f"make it again as it was, or train again; on purpose: '--split {name}/train' asks nothing"
            raise DataError(message, hint=hint)
        progress.say(f"store '{store.path}' was not trained on, as far as its splits say: all cases count as new")
        return
    trained = {store.cases[case].subject for case in split.train}
    seen = [case for case in cases if store.cases[case].subject in trained]
    if seen:
        shown = ", ".join(seen[:5]) + (" ..." if len(seen) > 5 else "")
        message = f"run '{run.name}' was trained on {len(seen)} of {len(cases)} cases, or on their subjects: {shown}"
        hint = "choose a part without them, for example --split test; '--split train' scores training cases on purpose"
        raise DataError(message, hint=hint)
