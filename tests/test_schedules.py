"""Schedules against their formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sgdkit.schedules import SCHEDULES, Adaptive, Constant, InvScaling, Optimal

ETA0, POWER_T, ALPHA = 0.3, 0.4, 1e-2
# As scikit-learn documents them; its "optimal" is `1 / (alpha (t0 + t - 1))`, and t0 is what eta(1) = eta0 asks for.
FORMULAS = {
    "constant": lambda t: ETA0,
    "invscaling": lambda t: ETA0 / t**POWER_T,
    "optimal": lambda t: 1 / (ALPHA * (1 / (ALPHA * ETA0) + t - 1)),
    "adaptive": lambda t: ETA0,
}
ALL_SCHEDULES = pytest.mark.parametrize("name", SCHEDULES)


def test_every_schedule_has_a_formula():
    assert set(SCHEDULES) == set(FORMULAS)


@ALL_SCHEDULES
def test_rates_are_the_formula(name):
    schedule = SCHEDULES[name](ETA0, POWER_T, ALPHA)
    t = np.array([1, 2, 3, 10, 1000, 10**9], dtype=np.float64)
    rates = schedule.rates(t)
    assert rates.dtype == np.float64
    assert_allclose(rates, [FORMULAS[name](step) for step in t], rtol=1e-13)
    assert rates[0] == ETA0


@ALL_SCHEDULES
def test_rates_do_not_depend_on_how_the_steps_are_cut(name):
    schedule = SCHEDULES[name](ETA0, POWER_T, ALPHA)
    t = np.arange(1, 21, dtype=np.float64)
    assert_array_equal(np.concatenate([schedule.rates(t[:7]), schedule.rates(t[7:])]), schedule.rates(t))


def test_optimal_without_a_penalty_is_constant():
    assert_array_equal(Optimal(ETA0, POWER_T, 0.0).rates(np.arange(1.0, 5.0)), ETA0)


def test_invscaling_at_power_zero_is_constant():
    assert_array_equal(InvScaling(ETA0, 0.0, ALPHA).rates(np.arange(1.0, 5.0)), ETA0)


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if cls is not Adaptive])
def test_only_adaptive_lowers_its_rate(name):
    schedule = SCHEDULES[name](ETA0, POWER_T, ALPHA)
    assert not schedule.lower()
    assert schedule.rates(np.ones(1))[0] == ETA0


def test_adaptive_divides_by_five_down_to_a_millionth():
    schedule, t = Adaptive(ETA0, POWER_T, ALPHA), np.ones(3)
    # 5^-8 = 2.56e-6 and 5^-9 = 5.12e-7.
    for n_lowered in range(1, 9):
        assert schedule.lower()
        assert_allclose(schedule.rates(t), ETA0 / 5**n_lowered, rtol=1e-14)
    assert not schedule.lower()


def test_settings_leave_the_state_out():
    schedule = Adaptive(ETA0, POWER_T, ALPHA)
    schedule.lower()
    assert schedule.settings == Adaptive(ETA0, POWER_T, ALPHA).settings
    assert schedule.settings != Constant(ETA0, POWER_T, ALPHA).settings


@ALL_SCHEDULES
def test_the_pilot_begins_at_one(name):
    """The columns of a pilot run multiply its rates by candidates for eta0."""
    pilot = SCHEDULES[name](ETA0, POWER_T, ALPHA).for_pilot()
    assert pilot.rates(np.ones(1))[0] == 1
