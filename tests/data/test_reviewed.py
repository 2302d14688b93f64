"""Silent wrong results that a review found once, kept from coming back."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from _raw import BRATS, label, write, write_raw
from test_description import TREE

from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.progress import Silent
from hga_cli.core.settings import Preprocess
from hga_cli.core.settings import Split as SplitSettings
from hga_cli.data.raw.description import load_description, parse_description
from hga_cli.data.raw.discovery import group
from hga_cli.data.store import Store
from hga_cli.imaging.normalise import foreground_statistics
from hga_cli.workflows.plan import plan
from hga_cli.workflows.preprocess import Shard, preprocess
from hga_cli.workflows.split import split


def test_the_longest_ending_counts(tmp_path):
    """Case G13: post-contrast t1 is not native t1 of a case called x_post, whichever is declared first."""
    files = {"t1": ["t1"], "post": ["post_t1"], "label": ["seg"]}
    description = parse_description(TREE | {"modalities": ["t1", "post"], "files": files}, "toy")
    names = [tmp_path / name for name in ("x_post_t1.nii", "x_t1.nii", "y_post_t1.nii")]
    cases = group(names, description, need_label=False).cases
    assert {case.case: list(case.images) for case in cases} == {"x": ["t1", "post"], "y": ["post"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": {"a": ["t1"], "b": ["T1"], "label": ["seg"]}}, "an ending stands for two modalities"),
        ({"labels": [{"name": "x", "values": [1]}, {"name": "x", "values": [2]}]}, "two labels have the same name"),
        ({"regions": [{"name": "X", "labels": ["x"]}, {"name": "X", "labels": ["y"]}]}, "two regions have the same"),
    ],
)
def test_nothing_has_the_name_of_another(change, words):
    with pytest.raises(ConfigError, match=words):
        parse_description(TREE | change, "toy")


@pytest.mark.parametrize("names", [("left lung", "left-lung"), ("肿瘤", "水肿")])
def test_labels_that_become_equal_stay_apart(tmp_path, names):
    labels = {"background": 0, names[0]: 1, names[1]: 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    description = load_description("nnunet", tmp_path)
    assert [entry.name for entry in description.labels] == ["value-1", "value-2"]
    assert [region.classes for region in description.scored_regions()] == [(1,), (2,)]


def test_subject_rule_without_a_word_falls_back_on_the_id():
    description = parse_description(TREE | {"subject": "^(q.*)|p.*"}, "toy")
    assert (description.subject_of("q7"), description.subject_of("p7")) == ("q7", "p7")


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_deviation_that_is_no_number_counts_as_absent(scale):
    image = np.random.default_rng(0).random((4, 5, 6)) * scale
    with np.errstate(all="ignore"):
        assert foreground_statistics(image) is None


def test_a_split_is_checked_again_before_a_training(tmp_path):
    """Case T17: four cases become one patient after they were split."""
    for number in range(1, 7):
        write_raw(tmp_path / "raw", f"p{number}")
    store = tmp_path / "store"
    preprocess(tmp_path / "raw", BRATS, store, Preprocess(workers=1))
    split(Store(store), SplitSettings(ratios=(0.5, 0.25, 0.25)))
    config = resolve(flags={"data.patch": [16, 16, 16], "optim.epochs": 1, "method.name": "joint"})
    device = torch.device("cpu")
    assert plan(Store(store), config, device).available
    one = replace(BRATS, subject="^(p)")
    preprocess(tmp_path / "raw", one, store, Preprocess(workers=1))
    with pytest.raises(DataError, match="subject 'p' is in"):
        plan(Store(store), config, device)


def test_subjects_of_a_table_are_remembered_for_that(tmp_path):
    """The rule makes one patient of all; a table says otherwise, and a training believes it."""
    for number in range(1, 7):
        write_raw(tmp_path / "raw", f"p{number}")
    store, table = tmp_path / "store", tmp_path / "subjects.csv"
    preprocess(tmp_path / "raw", replace(BRATS, subject="^(p)"), store, Preprocess(workers=1))
    table.write_text("case,subject\n" + "".join(f"p{number},s{number}\n" for number in range(1, 7)))
    split(Store(store), SplitSettings(ratios=(0.5, 0.25, 0.25), subjects=str(table)))
    config = resolve(flags={"data.patch": [16, 16, 16], "optim.epochs": 1, "method.name": "joint"})
    assert plan(Store(store), config, torch.device("cpu")).available


@pytest.fixture
def half_done(tmp_path):
    """A store of four cases, and the raw folder."""
    for number in range(1, 5):
        write_raw(tmp_path / "raw", f"p{number}")
    preprocess(tmp_path / "raw", BRATS, tmp_path / "store", Preprocess(workers=1))
    return tmp_path / "raw", tmp_path / "store"


def test_one_shard_with_other_settings_leaves_a_store_unfinished(half_done):
    """Case D03: cases of two voxel sizes are never one store."""
    raw, store = half_done
    coarse = Preprocess(workers=1, spacing=(2, 2, 2))
    preprocess(raw, BRATS, store, coarse, shard=Shard(index=1, count=2))
    assert list(Store(store).cases) == ["p1", "p3"]
    with pytest.raises(DataError, match=r"not finished: 2 of 4 cases lack \(p2, p4\)"):
        Store(store).require_complete()
    preprocess(raw, BRATS, store, coarse, shard=Shard(index=2, count=2))
    Store(store).require_complete()
    assert {entry.spacing for entry in Store(store).cases.values()} == {Store(store).cases["p1"].spacing}


def test_a_kill_in_a_second_run_leaves_a_store_unfinished(half_done):
    """Cases D03 and T13: the index is of the first run, some case files of the second."""
    raw, store = half_done

    class Killed(Silent):
        def advance(self, note=""):
            if note == "p2":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess(raw, BRATS, store, Preprocess(workers=1, spacing=(2, 2, 2)), progress=Killed())
    with pytest.raises(DataError, match=r"2 cases were written again or lost \(p1, p2\)") as caught:
        Store(store).require_complete()
    assert "hga preprocess" in caught.value.hint
    preprocess(raw, BRATS, store, Preprocess(workers=1, spacing=(2, 2, 2)))
    Store(store).require_complete()


def test_a_convention_that_is_refused_leaves_a_store_unfinished(half_done):
    """Case L05: the case that was written again is not used under the old index."""
    raw, store = half_done
    write(raw / "p2" / "p2_seg.nii", label((1, 2, 3)))
    with pytest.raises(DataError, match="two conventions"):
        preprocess(raw, BRATS, store, Preprocess(workers=1))
    with pytest.raises(DataError, match=r"1 cases were written again or lost \(p2\)"):
        Store(store).require_complete()
