"""Patience: when a value that should fall has not fallen for too long."""

import math

import numpy as np
import pytest

from sgdkit.training.course import Patience


def n_seen(patience, values):
    """How many values it takes until patience runs out; None if it does not."""
    for n, value in enumerate(values, start=1):
        patience.see(value)
        if patience.exhausted:
            return n
    return None


@pytest.mark.parametrize("n_iter_no_change", [1, 2, 5])
def test_patience_lasts_for_the_epochs_without_progress(n_iter_no_change):
    assert n_seen(Patience(1e-3, n_iter_no_change, relative=False), [1.0] * 20) == 1 + n_iter_no_change


def test_progress_renews_patience():
    assert n_seen(Patience(0.1, 2, relative=False), [1.0, 1.0, 0.5, 0.5, 0.2, 0.2, 0.2]) == 7


def test_progress_is_measured_from_the_best():
    """Not from the last: a value that rises and falls again is no progress."""
    assert n_seen(Patience(0.1, 3, relative=False), [1.0, 5.0, 3.0, 1.0]) == 4


def test_a_fall_within_the_tolerance_is_no_progress():
    assert n_seen(Patience(0.1, 2, relative=False), [1.0, 0.95, 0.9, 0.85]) == 3


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_a_relative_tolerance_is_a_share_of_the_best_value(factor):
    patience = Patience(0.1, 2, relative=True)
    # 0.41 is less than nine tenths of 0.46, though not less by a tenth of 1.
    assert n_seen(patience, [factor * value for value in [1.0, 0.5, 0.46, 0.41, 0.40, 0.42]]) == 6


def test_a_relative_tolerance_of_negative_values():
    assert n_seen(Patience(0.1, 2, relative=True), [-1.0, -1.05, -1.2, -1.25, -1.3]) == 5


def test_without_a_tolerance_patience_does_not_run_out():
    assert n_seen(Patience(None, 1, relative=True), [1.0] * 50) is None


def test_zero_tolerance_asks_for_any_fall():
    assert n_seen(Patience(0.0, 1, relative=False), [3.0, 2.0, 2.0 - 1e-12, 2.0 - 1e-12]) == 4


@pytest.mark.parametrize("tol", [None, 0.5])
def test_see_says_whether_the_value_is_the_lowest(tol):
    """The tolerance has no say in which epoch is the best."""
    patience = Patience(tol, 10, relative=False)
    seen = [patience.see(value) for value in [2.0, 1.9, 1.9, 2.5, 1.8]]
    assert seen == [True, True, False, False, True]
    assert patience.best == 1.8


def test_reset_renews_patience_and_keeps_the_best():
    patience = Patience(0.1, 2, relative=False)
    assert n_seen(patience, [1.0, 1.0, 1.0]) == 3
    patience.reset()
    assert not patience.exhausted
    assert n_seen(patience, [1.0, 1.0]) == 2
    assert patience.best == 1.0


def test_a_score_of_minus_infinity_is_not_the_best():
    """A first epoch without a finite value, such as a score that overflowed, does not end training by itself."""
    patience = Patience(1e-3, 2, relative=False)
    assert not patience.see(math.inf)
    assert patience.see(1.0)
    assert not patience.exhausted


def test_from_negligible_values_no_fall_is_progress():
    assert n_seen(Patience(0.1, 2, relative=True, negligible=1e-3), [0.5**n for n in range(40)]) == 11 + 2


def test_a_fall_that_nobody_knows_is_waited_for():
    """Else training would be over in the middle of epochs that are sure to come, whose weights nobody keeps."""
    patience = Patience(0.1, 5, relative=True, negligible=1e-3)
    for value in (0.0, 1.0):
        patience.see(value)
    assert patience.would_idle(1.0)
    assert not patience.would_idle(np.inf)
