"""What tests that train share."""

import pytest
from _training import one_thread


@pytest.fixture(autouse=True)
def slow_but_sure():
    with one_thread():
        yield
