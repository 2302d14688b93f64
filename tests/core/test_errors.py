import pytest

from hga_cli.core.errors import (
    ConfigError,
    DataError,
    HgaError,
    Problem,
    ProblemsError,
    SetupError,
    UsageError,
    suggestion,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(HgaError, 1), (UsageError, 2), (DataError, 3), (ConfigError, 4), (SetupError, 5)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_exit_codes(kind, code):
    error = kind("what is wrong", hint="what repairs it")
    assert (error.exit_code, str(error), error.hint) == (code, "what is wrong", "what repairs it")
    assert isinstance(error, HgaError)


def test_many_problems_in_one_error():
    problems = [Problem(case="p1", file="a.nii", problem="damaged"), Problem(case="p2", file="b", problem="too small")]
    error = ProblemsError("2 problems", problems)
    assert error.exit_code == DataError.exit_code
    assert [problem.as_dict() for problem in error.problems] == [
        {"case": "p1", "file": "a.nii", "problem": "damaged"},
        {"case": "p2", "file": "b", "problem": "too small"},
    ]


def test_suggestion_names_the_nearest_and_all():
    assert suggestion("pcgrd", ["mgda", "pcgrad", "equal"]) == "did you mean 'pcgrad'? known: equal, mgda, pcgrad"


def test_nothing_near_is_not_suggested():
    assert suggestion("zzz", ["b", "a"]) == "known: a, b"
