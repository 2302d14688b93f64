"""A store of three cases."""

from dataclasses import replace

import numpy as np
import pytest
from _raw import prepared, write_raw
from _stores import index

from hga_cli.data.raw.prepare import Preparation
from hga_cli.data.store import Store, write_case


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Integer images; float images without t1; a case resampled to 2 mm."""
    raw = tmp_path_factory.mktemp("raw")
    floats = {
        role: np.random.default_rng(place).normal(10, 300, (12, 14, 10)).astype(np.float32) * (0.01 if place else 1)
        for place, role in enumerate(["flair", "t1ce", "t2"])
    }
    return {
        "p1": prepared(write_raw(raw, "p1")),
        "p2": prepared(write_raw(raw, "p2", ["flair", "t1ce", "t2"], arrays=floats)),
        "p3": replace(prepared(write_raw(raw, "p3"), (2.0, 2.0, 1.0)), preparation=Preparation()),
    }


@pytest.fixture
def path(tmp_path, cases):
    """The folder of a store of those cases."""
    for name, case in cases.items():
        write_case(tmp_path / "store", case, f"fingerprint of {name}")
    index(tmp_path / "store", list(cases))
    return tmp_path / "store"


@pytest.fixture
def store(path):
    return Store(path)
