"""Tables of slices: which slices there are, and that a patch is cut from exactly its slice."""

import numpy as np
import pytest
import torch
from _raw import BRATS, MODALITIES, SHAPE, label, prepared, write_raw

from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.settings import Augmentation, Data, Imbalance
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.loading import Patches
from hga_cli.data.patches import CaseReader
from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.sampling import CaseSampler, Draw
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split, save_table, update_index, write_case
from hga_cli.workflows.make_imbalance import make_imbalance
from hga_cli.workflows.plan import plan

NOTHING = Augmentation(rotation=0, scale=0, shift=0, flip=0)
CROPPED = range(2, 9)
"""Slices of the whole volume that the store holds."""
LABELLED = {"p1": [3, 4, 5, 6, 7], "p2": [4], "p3": []}


def ramp():
    """The value of a voxel says in which slice it lies; 0 outside."""
    image = np.zeros(SHAPE, np.int16)
    image[2:11, 1:13, 2:9] = 100 * np.arange(2, 9)
    return image


def arrays(case):
    """``p2`` is labelled in one slice only, ``p3`` nowhere."""
    classes = label()
    if case == "p2":
        classes[..., :4], classes[..., 5:] = 0, 0
    if case == "p3":
        classes[...] = 0
    return {**dict.fromkeys(MODALITIES, ramp()), "seg": classes}


def make_store(folder, *, spacing=None, cases=("p1", "p2", "p3")):
    for case in cases:
        write_case(folder / "store", prepared(write_raw(folder / "raw", case, arrays=arrays(case)), spacing), "x")
    update_index(
        folder / "store", BRATS, found=cases, examined=cases, skipped=[], preparation=Preparation(spacing=spacing)
    )
    save_split(folder / "store", Split(name="default", train=list(cases), val=[], test=[]))
    return Store(folder / "store")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("slices"))


class Always:
    """A sampler that always sees one slice."""

    default_iterations = 1

    def __init__(self, name):
        self.name = name

    def draw(self, step):
        return Draw(combination=("flair",), cases=(self.name,), ends_cycle=False)


def patches(store, name, *, patch=(5, 4), **settings):
    return Patches(store, Always(name), Data(patch=patch, **settings), NOTHING, seed=1, by_slice=True)


def slice_of(batch, store, case):
    """The slice of the whole volume that a patch comes from, by its values."""
    values = ramp()[ramp() > 0]
    found = batch.images["flair"].numpy() * values.std() + values.mean()
    return sorted(set(np.rint(found / 100).astype(int).ravel().tolist()))


def test_units_are_the_slices_with_labels(tmp_path):
    store = make_store(tmp_path)
    report = make_imbalance(store, Imbalance(rates="mr2468", unit="slice", rule="bernoulli"), None)
    names = [f"{case}_slice_{number}" for case, numbers in LABELLED.items() for number in numbers]
    table = Store(store.path).table("mr2468")
    assert table == report.table
    assert table.cases == sorted(names)
    assert table.by_slice
    assert len(set(table.available)) > 1


def test_index_counts_in_canonical_direction(tmp_path):
    """A file whose third axis runs downwards: slice 0 is the lowest."""
    turned = {role: array[..., ::-1] for role, array in arrays("p2").items()}
    affines = dict.fromkeys(turned, np.diag([1.0, 1, -1, 1]))
    write_case(tmp_path / "store", prepared(write_raw(tmp_path, "p2", arrays=turned, affines=affines)), "x")
    update_index(tmp_path / "store", BRATS, found=["p2"], examined=["p2"], skipped=[], preparation=Preparation())
    save_split(tmp_path / "store", Split(name="default", train=["p2"], val=[], test=[]))
    report = make_imbalance(Store(tmp_path / "store"), Imbalance(rates="mr0000", unit="slice"), None)
    assert report.table.cases == ["p2_slice_4"]


def test_no_label_at_all(tmp_path):
    with pytest.raises(DataError, match=r"no training case .* has a label") as caught:
        make_imbalance(make_store(tmp_path, cases=("p3",)), Imbalance(rates="mr2468", unit="slice"), None)
    assert "--unit case" in caught.value.hint


@pytest.mark.parametrize("number", CROPPED)
def test_patch_comes_from_its_slice(store, number):
    for step in range(5):
        batch = patches(store, f"p1_slice_{number}", patch=(9, 12))[step]
        assert slice_of(batch, store, "p1") == [number]
        assert batch.cases == (f"p1_slice_{number}",)
        np.testing.assert_array_equal(batch.label[0], store.label("p1")[..., number - 2])


def test_patches_lie_everywhere_in_their_slice(store):
    made = patches(store, "p1_slice_5", patch=(6, 8))
    assert len({made[step].label.numpy().tobytes() for step in range(60)}) > 12


@pytest.mark.parametrize("number", LABELLED["p1"])
def test_foreground_patches_hold_labels_of_their_slice(store, number):
    made = patches(store, f"p1_slice_{number}", patch=(1, 1), foreground=1.0)
    classes = {int(made[step].label) for step in range(60)}
    assert classes == {1, 2, 3}


@pytest.mark.parametrize("number", CROPPED)
def test_foreground_of_a_slice(store, number):
    reader = CaseReader(store, None)
    found = reader.foreground("p2", reader.level("p2", number))
    assert set(found) == ({1, 2, 3} if number == 4 else set())
    for index, voxels in found.items():
        assert set(voxels[:, 2]) == {number - 2}
        assert len(voxels) == (store.label("p2") == index).sum()
        assert (store.label("p2")[tuple(voxels.T)] == index).all()


def test_slice_without_labels_is_cut_anywhere(store):
    batch = patches(store, "p2_slice_6", foreground=1.0)[0]
    assert batch.label.max() == 0
    assert slice_of(batch, store, "p2") == [6]


@pytest.mark.parametrize("number", [0, 1, 9, 400])
def test_slice_that_was_cropped_away(store, number):
    with pytest.raises(DataError, match=f"slice {number} of case 'p1' is not in store .* 2 to 8") as caught:
        CaseReader(store, None).level("p1", number)
    assert "imbalance table" in caught.value.hint


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0, 3.5, 7.0])
def test_slice_on_another_grid_holds_its_middle(tmp_path, store, step):
    """Resampled while reading, or in the store already: the level whose extent covers the middle of the slice."""
    there = make_store(tmp_path, spacing=(1.0, 1.0, step), cases=("p1",))
    for reader in (CaseReader(store, (1.0, 1.0, step)), CaseReader(there, None)):
        depth = reader.shape("p1")[2]
        assert depth == round(7 / step)
        for number in CROPPED:
            level, middle = reader.level("p1", number), (number - 2 + 0.5) / 7
            assert level / depth <= middle < (level + 1) / depth


def planned(store, table, **changes):
    settings = {"network.dims": 2, "data.patch": [8, 8], "network.width": 2, **changes}
    return plan(
        store, resolve(flags={"method.name": "joint", "data.imbalance": table, **settings}), torch.device("cpu")
    )


def saved(store, name, rows, unit="slice"):
    table = ImbalanceTable(
        name=name,
        cases=list(rows),
        modalities=MODALITIES,
        available=[tuple(modality in has for modality in MODALITIES) for has in rows.values()],
        about={"unit": unit},
    )
    save_table(store.path, table)
    return Store(store.path)


def test_plan_of_slices(tmp_path):
    """Rows of other cases do not count, rows with nothing are left out, a case without rows is not seen."""
    rows = {"p1_slice_3": ("flair",), "p1_slice_4": (), "p2_slice_4": ("t1", "t2"), "z_slice_1": ("t1",)}
    made = planned(saved(make_store(tmp_path), "mine", rows), "mine")
    assert made.available == {"p1_slice_3": ("flair",), "p2_slice_4": ("t1", "t2")}
    assert (made.by_slice, made.left_out, made.cases) == (True, 1, ["p1", "p2"])
    assert isinstance(made.sampler, CaseSampler)
    seen = {name for step in range(4) for name in made.sampler.draw(step).cases}
    assert seen == set(made.available)


def test_slices_need_a_flat_network(tmp_path):
    store = saved(make_store(tmp_path), "mine", {"p1_slice_3": ("flair",)})
    with pytest.raises(ConfigError, match=r"'mine' is about slices, but network\.dims is 3") as caught:
        planned(store, "mine", **{"network.dims": 3, "data.patch": [8, 8, 8]})
    assert "network.dims=2" in caught.value.hint


def test_plan_finds_slices_that_were_cropped_away(tmp_path):
    store = saved(make_store(tmp_path), "mine", {"p1_slice_3": ("flair",), "p2_slice_9": ("flair",)})
    with pytest.raises(DataError, match="slice 9 of case 'p2'"):
        planned(store, "mine")


def test_table_that_leaves_nothing(tmp_path):
    rows = dict.fromkeys(["p1", "p2", "p3"], ())
    with pytest.raises(DataError, match="'mine' leaves no training case of split 'default' anything"):
        planned(saved(make_store(tmp_path), "mine", rows, "case"), "mine")


def test_cases_with_nothing_are_left_out(tmp_path):
    made = planned(saved(make_store(tmp_path), "mine", {"p1": ("t1",), "p2": (), "p3": MODALITIES}, "case"), "mine")
    assert made.available == {"p1": ("t1",), "p3": MODALITIES}
    assert (made.by_slice, made.left_out) == (False, 1)
