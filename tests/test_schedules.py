"""Schedules against their formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sgdkit._kernels.rows import Rows, Targets
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import SGD
from sgdkit.penalties import Penalty
from sgdkit.schedules import SCHEDULES, Adaptive, InvScaling, Optimal
from sgdkit.training.problem import Problem
from sgdkit.training.trainer import Trainer

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


def make_trainer(schedule):
    """Two columns, of two models; the second multiplies all rates by 2."""
    problem = Problem(
        rows=Rows(np.ones((4, 3))),
        targets=Targets(np.zeros((4, 1)), [0, 0]),
        loss=REGRESSOR_LOSSES["squared_error"](),
        penalty=Penalty(0.0, ALPHA),
        weights=None,
        order=None,
        batch_size=1,
        n_models=2,
    )
    trainer = Trainer(SGD(), schedule, problem, scale=np.array([1.0, 2.0]))
    trainer.set_penalty(problem.penalty)
    return trainer


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if cls is not Adaptive])
def test_only_adaptive_lowers_its_rate(name):
    trainer = make_trainer(SCHEDULES[name](ETA0, POWER_T, ALPHA))
    assert not trainer.lower(np.array([0]))
    assert_array_equal(trainer.rates(1), [ETA0, 2 * ETA0])


def test_adaptive_divides_by_five_down_to_a_millionth():
    trainer = make_trainer(Adaptive(ETA0, POWER_T, ALPHA))
    # 5^-8 = 2.56e-6 and 5^-9 = 5.12e-7.
    for n_lowered in range(1, 9):
        assert trainer.lower(np.array([1]))
        assert_allclose(trainer.rates(2), [ETA0, 2 * ETA0 / 5**n_lowered], rtol=1e-14)
    assert not trainer.lower(np.array([1]))


def test_a_new_schedule_is_not_lowered():
    trainer = make_trainer(Adaptive(ETA0, POWER_T, ALPHA))
    trainer.lower(np.array([0, 1]))
    trainer.follow(Adaptive(ETA0, POWER_T, ALPHA))
    assert_array_equal(trainer.rates(2), [ETA0, ETA0])


def test_optimal_takes_columns():
    eta0, alpha, t = np.array([0.1, 0.2, 0.3]), np.array([1e-3, 1e-2, 1e-1]), np.arange(1.0, 5.0)
    rates = Optimal(eta0, POWER_T, alpha).rates(t)
    for c in range(3):
        assert_array_equal(rates[:, c], Optimal(eta0[c], POWER_T, alpha[c]).rates(t))
    assert_array_equal(Optimal(eta0, POWER_T, alpha).take([2, 0]).rates(t), rates[:, [2, 0]])


@ALL_SCHEDULES
def test_the_pilot_begins_at_one(name):
    """The columns of a pilot run multiply its rates by candidates for eta0."""
    pilot = SCHEDULES[name](ETA0, POWER_T, ALPHA).for_pilot()
    assert pilot.rates(np.ones(1))[0] == 1
