"""What an outer update needs of samplers and epochs, and which samplers have an order, is said by themselves."""

from itertools import product
from typing import ClassVar

import pytest
from _training import make_store, planned, settings

from hga_cli.alignment.outer_update import OuterUpdate
from hga_cli.alignment.requirements import require_sampler
from hga_cli.core.catalog import OUTER_UPDATES, SAMPLERS, shipped
from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError
from hga_cli.core.registry import Entry

MODALITIES = ("flair", "t1ce", "t2")
AVAILABLE = {f"c{number}": MODALITIES[: 1 + number % 3] for number in range(9)} | {"full": MODALITIES}
ORDERED = [name for name in SAMPLERS.entries if SAMPLERS.load(name).has_order]


class Third(OuterUpdate):
    """Of somebody's own."""

    samplers: ClassVar[tuple[str, ...]] = ("dropout", "case")
    steps: ClassVar[int] = 3


@pytest.fixture
def third(monkeypatch):
    entry = Entry(name="third", target=f"{__name__}:Third", summary="", source="")
    monkeypatch.setitem(OUTER_UPDATES.entries, "third", entry)


def chosen(name, **changes):
    flags = {f"method.{key.replace('__', '.')}": value for key, value in changes.items()}
    return resolve(flags={"method.name": name, **flags}).method


@pytest.mark.parametrize(("outer", "sampler"), [("meta", "case"), ("interpolation", "dropout"), ("meta", "cycle")])
def test_an_outer_update_without_its_cycles_is_refused(tmp_path, outer, sampler):
    config = settings("joint", method__outer__kind=outer, method__sampler__kind=sampler)
    with pytest.raises(ConfigError, match=f"outer.kind {outer} needs sampler.kind .*, found {sampler}") as caught:
        planned(make_store(tmp_path / "store"), config)
    assert "method.outer.kind=none" in caught.value.hint


def test_a_new_outer_update_says_which_samplers_it_needs(third):
    require_sampler(chosen("joint", outer__kind="third"))
    with pytest.raises(ConfigError, match=r"third needs sampler\.kind dropout or case, found cycle") as caught:
        require_sampler(chosen("cycle", outer__kind="third"))
    assert caught.value.hint.startswith("--set method.sampler.kind=dropout")


def test_a_new_outer_update_says_how_many_steps_belong_together(third, tmp_path):
    store = make_store(tmp_path / "store")
    with pytest.raises(ConfigError, match="third makes steps by 3, and an epoch has 7") as caught:
        planned(store, settings("joint", method__outer__kind="third", optim__iterations=7))
    assert caught.value.hint == "--set optim.iterations=9"
    planned(store, settings("joint", method__outer__kind="third", optim__iterations=9))


@pytest.mark.parametrize("name", SAMPLERS.entries)
def test_samplers_with_an_order_follow_it(name):
    fixed, drawn = (
        SAMPLERS.load(name)(AVAILABLE, MODALITIES, batch=2, order=order, seed=7) for order in ("fixed", "random")
    )
    alike = [fixed.draw(step) for step in range(40)] == [drawn.draw(step) for step in range(40)]
    assert alike == (name not in ORDERED)


@pytest.mark.parametrize("name", [name for name in SAMPLERS.entries if name not in ORDERED])
def test_an_order_is_refused_where_there_is_none(name):
    """Each way of the hint repairs it."""
    method = {"outer__kind": "none", "sampler__kind": name, "sampler__order": "group_fixed_order"}
    with pytest.raises(ConfigError, match=f"kind {name} has no order.*ascending_then_random, found group") as caught:
        require_sampler(chosen("joint", **method))
    assert caught.value.hint == (
        "--set method.sampler.order=ascending_then_random; or --set method.sampler.kind=cycle, which has an order"
    )
    for repair in ({"sampler__order": "ascending_then_random"}, {"sampler__kind": "cycle"}):
        require_sampler(chosen("joint", **method | repair))


def test_shipped_methods_combine_with_all_samplers():
    """None asks for an order that another sampler would refuse."""
    for method, sampler in product(shipped("presets/methods"), SAMPLERS.entries):
        require_sampler(chosen(method, sampler__kind=sampler, outer__kind="none"))
