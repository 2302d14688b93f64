"""Who trains, validates and tests."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.settings import Split as Settings
from hga_cli.data.listed_splits import lost_zeros, read_lists, read_subjects, split_of, subjects_in
from hga_cli.data.lists import Roll, some
from hga_cli.data.raw.consistency import same_images, visits_apart
from hga_cli.data.splits import Split, check_split, make_folds, make_split, torn_subject
from hga_cli.data.store import Store, save_split


def split(store: Store, settings: Settings, progress: Progress | None = None) -> tuple[Split, bool]:
    """Split the cases of a store by subject, or as lists say, and keep the split in the store.

    Returns:
        The split, and whether it is new (False: the same one was there).

    Raises:
        DataError: the store is unfinished, lists do not fit it, a part would be empty, a subject or an image would be
            in two parts, or another split has this name.
        UsageError: the ratios do not add up to 1, or subjects are named twice.
    """
    store.require_complete()
    progress, name = progress or Silent(), settings.name or "default"
    subjects = subjects_of(store, settings)
    if settings.source is None:
        made = make_split(subjects, name=name, ratios=settings.ratios, seed=settings.seed)
    else:
        lists = read_lists(settings.source)
        made, absent = split_of(lists, Roll(store.description, store.cases), name)
        if absent:
            progress.warn(f"{len(absent)} cases of '{lists.source}' are not in the store: {some(absent)}")
        if again := lists.repeated:
            text = f"'{lists.source}' names {len(again)} cases more than once, in the same part: {some(again)}"
            progress.warn(text + lost_zeros(again))
    made = _remembering(made, subjects, store)
    _check([made], store, subjects, progress)
    _tell_subjects([made], store, subjects, settings, progress)
    return made, save_split(store.path, made)


def folds(store: Store, settings: Settings, progress: Progress | None = None) -> tuple[list[Split], bool]:
    """Make ``settings.folds`` splits whose test parts are disjoint, and keep all of them or none.

    Returns:
        The splits, and whether any is new.

    Raises:
        DataError: as ``split``; all are written or none.
        UsageError: as ``split``, or lists are given: they are one split.
    """
    if settings.folds is None or settings.source is not None:
        message = "folds are drawn: their number is needed, and lists (--from) say one split only"
        raise UsageError(message, hint="either --folds 5, or --from FILE for each fold with a name of its own")
    store.require_complete()
    progress, subjects, name = progress or Silent(), subjects_of(store, settings), settings.name or "fold"
    made = make_folds(subjects, name=name, ratios=settings.ratios, folds=settings.folds, seed=settings.seed)
    made = [_remembering(one, subjects, store) for one in made]
    _check(made, store, subjects, progress)
    _tell_subjects(made, store, subjects, settings, progress)
    return made, save_split(store.path, *made)


def subjects_of(store: Store, settings: Settings) -> dict[str, str]:
    """Return case -> subject: by the rule of the data set, a table of subjects, or the lists of a split.

    Raises:
        DataError: a table cannot be read, or does not fit the store.
        UsageError: two tables name subjects.
    """
    by_rule = _by_rule(store)
    roll = Roll(store.description, store.cases)
    listed = read_lists(settings.source).subjects if settings.source else {}
    if settings.subjects is None:
        return by_rule | subjects_in(listed, roll, str(settings.source))
    if listed:
        message = f"both '{settings.subjects}' and the list of cases name subjects"
        raise UsageError(message, hint="leave out split.subjects, or the column subject")
    named = subjects_in(read_subjects(Path(settings.subjects)), roll, settings.subjects)
    if without := set(by_rule) - set(named):
        message = f"'{settings.subjects}' names no subject for {len(without)} cases of the store: {some(without)}"
        raise DataError(message, hint="give each case a line: case,subject")
    return named


def unusable_splits(store: Store) -> dict[str, str]:
    """Return why splits of a store cannot be used any more: name of the split -> cases that are gone, or a leak."""
    found = {}
    for name in store.splits:
        try:
            check_again(store.split(name), store)
        except DataError as error:
            found[name] = error.message
    return found


def check_again(kept: Split, store: Store) -> None:
    """Make sure that a kept split is without a leak in the store as it is now; subjects are those it remembers.

    Raises:
        DataError: as ``check_split``.
    """
    check_split(kept, _by_rule(store) | kept.about.get("subjects", {}), same_images(store.cases))


def _by_rule(store: Store) -> dict[str, str]:
    """Return case -> subject as the description of the data set has it."""
    return {case: entry.subject for case, entry in store.cases.items()}


def _remembering(made: Split, subjects: dict[str, str], store: Store) -> Split:
    """Keep the subjects that a table named otherwise than the rule does: a training checks the split again."""
    other = {case: name for case, name in subjects.items() if name != store.cases[case].subject}
    return replace(made, about={**made.about, "subjects": other}) if other else made


def _check(made: Sequence[Split], store: Store, subjects: dict[str, str], progress: Progress) -> None:
    """Refuse leaks, and tell what looks odd."""
    twins = same_images(store.cases)
    for one in made:
        check_split(one, subjects, twins)
    if twins:
        progress.warn(f"{len(twins)} groups of cases hold the same image, for example {some(twins[0])}")
    if outside := set(store.cases) - set(made[0].part_of):
        progress.warn(f"{len(outside)} cases of the store are in no part: {some(outside)}")


def _tell_subjects(
    made: Sequence[Split], store: Store, subjects: dict[str, str], settings: Settings, progress: Progress
) -> None:
    """Tell whose subjects count where a table and the rule of the data set differ, and whether visits are apart."""
    by_rule, inside = _by_rule(store), made[0].part_of
    if subjects == by_rule:
        if text := visits_apart(subjects, store.description):
            progress.warn(text)
        return
    ours, theirs = (len({of[case] for case in inside}) for of in (subjects, by_rule))
    table = settings.subjects or settings.source
    progress.say(f"subjects are those of '{table}': {ours}; by the rule of the data set there would be {theirs}")
    if torn := [f"split '{one.name}': {text}" for one in made if (text := torn_subject(one, by_rule))]:
        progress.warn(f"by the rule of the data set, which '{table}' overrides, a patient would be torn; {torn[0]}")
