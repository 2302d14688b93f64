import numpy as np
import pytest

from hga_cli.metrics.interval import SubjectBootstrap


def names(count):
    return [f"s{number:03}" for number in range(count)]


def test_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(0.8, 0.1, (200, 1))
    low, high = SubjectBootstrap(names(200)).interval(values)
    error = values.std(ddof=1) / np.sqrt(200)
    assert [low, high] == pytest.approx([values.mean() - 1.96 * error, values.mean() + 1.96 * error], abs=error / 5)


def test_cases_of_a_subject_come_together():
    """Ten cases of each of five subjects are worth five observations, not fifty."""
    values = np.repeat(np.linspace(0, 1, 5), 10)[:, None]
    together = SubjectBootstrap(np.repeat(names(5), 10)).interval(values)
    apart = SubjectBootstrap(names(50)).interval(values)
    assert together == pytest.approx(SubjectBootstrap(names(5)).interval(np.linspace(0, 1, 5)[:, None]))
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_same_seed_same_interval_in_any_order():
    values, order = np.random.default_rng(2).random((30, 4)), np.random.default_rng(3).permutation(30)
    subjects = np.array(names(30))
    found = SubjectBootstrap(subjects).interval(values)
    assert SubjectBootstrap(subjects[order]).interval(values[order]) == pytest.approx(found)


def test_missing_values_are_left_out():
    values = np.random.default_rng(5).random((20, 2))
    holed = np.vstack([values, np.full((20, 2), np.nan)])
    low, high = SubjectBootstrap(names(40)).interval(holed)
    assert values.mean() - 0.5 < low < values.mean() < high < values.mean() + 0.5
    columns = np.column_stack([values[:, 0], np.full(20, np.nan)])
    first_only = SubjectBootstrap(names(20)).interval(values[:, :1])
    assert SubjectBootstrap(names(20)).interval(columns) == pytest.approx(first_only)


@pytest.mark.parametrize("subjects", [[], ["a"], ["a", "a"]])
def test_one_subject_says_nothing(subjects):
    assert np.isnan(SubjectBootstrap(subjects).interval(np.ones((len(subjects), 3)))).all()


def test_equal_values_have_no_width():
    assert SubjectBootstrap(names(6)).interval(np.full((6, 2), 0.25)) == (0.25, 0.25)
