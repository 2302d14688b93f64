from itertools import permutations

import pytest

from hga_cli.alignment.frequency import frequency_weights


def test_cases_by_owners():
    """Four cases; three have flair, one has t2."""
    assert frequency_weights([("flair",), ("flair", "t2"), ("flair",), ("t1",)]) == pytest.approx(
        {"flair": 4 / 3, "t2": 4, "t1": 4}
    )


def test_complete_data_need_no_weights():
    assert frequency_weights([("flair", "t1", "t2")] * 5) == {"flair": 1, "t1": 1, "t2": 1}


def test_what_nobody_owns_has_no_weight():
    assert frequency_weights([("t1",)]).keys() == {"t1"}
    assert frequency_weights([]) == {}


def test_a_pass_weighs_all_modalities_alike():
    """The sum of omega over the cases that own a modality is N, in any order of the cases."""
    cases = [("flair", "t2"), ("flair",), ("t1ce", "t2"), ("flair", "t1ce", "t2")]
    for order in permutations(cases):
        omega = frequency_weights(order)
        for modality in ("flair", "t1ce", "t2"):
            assert sum(omega[modality] for case in order if modality in case) == pytest.approx(len(cases))
