"""Who trains, validates and tests."""

from hga_cli.core.settings import Split as Settings
from hga_cli.data.splits import Split, make_split
from hga_cli.data.store import Store, save_split


def split(store: Store, settings: Settings) -> tuple[Split, bool]:
    """Split the cases of a store by subject and keep the split in the store.

    Returns:
        The split, and whether it is new (False: the same one was there).

    Raises:
        DataError: the store is unfinished, a part would be empty, or another split has this name.
        UsageError: the ratios do not add up to 1.
    """
    store.require_complete()
    subjects = {case: entry.subject for case, entry in store.cases.items()}
    made = make_split(subjects, name=settings.name, ratios=settings.ratios, seed=settings.seed)
    return made, save_split(store.path, made)
