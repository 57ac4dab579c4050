"""Schedules against their formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import SGD
from sgdkit.penalties import Penalty
from sgdkit.schedules import SCHEDULES, Adaptive, InvScaling, Optimal
from sgdkit.training.problem import Problem
from sgdkit.training.trainer import Trainer

ETA0, POWER_T, ALPHA, N_STEPS = 0.3, 0.4, 1e-2, 2000
# As scikit-learn documents them; its "optimal" is `1 / (alpha (t0 + t - 1))`, and t0 is what eta(1) = eta0 asks for.
FORMULAS = {
    "constant": lambda t: ETA0,
    "invscaling": lambda t: ETA0 / t**POWER_T,
    "optimal": lambda t: 1 / (ALPHA * (1 / (ALPHA * ETA0) + t - 1)),
    "adaptive": lambda t: ETA0,
    "linear": lambda t: ETA0 * max(1 - (t - 1) / N_STEPS, 0),
}
ALL_SCHEDULES = pytest.mark.parametrize("name", SCHEDULES)


def make(name):
    return SCHEDULES[name](ETA0, power_t=POWER_T, alpha=ALPHA, n_steps=N_STEPS)


def test_every_schedule_has_a_formula():
    assert set(SCHEDULES) == set(FORMULAS)


@ALL_SCHEDULES
def test_rates_are_the_formula(name):
    schedule = make(name)
    t = np.array([1, 2, 3, 10, 1000, 10**9], dtype=np.float64)
    rates = schedule.rates(t)
    assert rates.dtype == np.float64
    assert_allclose(rates, [FORMULAS[name](step) for step in t], rtol=1e-13)
    assert rates[0] == ETA0


@ALL_SCHEDULES
def test_rates_do_not_depend_on_how_the_steps_are_cut(name):
    schedule = make(name)
    t = np.arange(1, 21, dtype=np.float64)
    assert_array_equal(np.concatenate([schedule.rates(t[:7]), schedule.rates(t[7:])]), schedule.rates(t))


def test_optimal_without_a_penalty_is_constant():
    assert_array_equal(Optimal(ETA0).rates(np.arange(1.0, 5.0)), ETA0)


def test_invscaling_at_power_zero_is_constant():
    assert_array_equal(InvScaling(ETA0, power_t=0.0).rates(np.arange(1.0, 5.0)), ETA0)


def make_trainer(schedule):
    """Two columns, of two models; the second multiplies all rates by 2."""
    problem = Problem(
        rows=Rows(np.ones((4, 3))),
        targets=Targets(np.zeros((4, 1)), [0, 0]),
        loss=REGRESSOR_LOSSES["squared_error"](),
        penalty=Penalty(0.0, ALPHA),
        row_weights=None,
        row_indices=None,
        batch_size=1,
        n_models=2,
    )
    trainer = Trainer(SGD(), schedule, problem, rate_factors=np.array([1.0, 2.0]))
    trainer.set_penalty(problem.penalty)
    return trainer


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if not cls.lowers])
def test_rates_are_lowered_where_the_schedule_says_so(name):
    trainer = make_trainer(make(name))
    assert not trainer.lower(np.array([0]))
    assert_array_equal(trainer.rates(1), [ETA0, 2 * ETA0])


def test_adaptive_divides_by_five_down_to_a_millionth():
    trainer = make_trainer(Adaptive(ETA0))
    # 5^-8 = 2.56e-6 and 5^-9 = 5.12e-7.
    for n_lowered in range(1, 9):
        assert trainer.lower(np.array([1]))
        assert_allclose(trainer.rates(2), [ETA0, 2 * ETA0 / 5**n_lowered], rtol=1e-14)
    assert not trainer.lower(np.array([1]))


def test_a_new_schedule_is_not_lowered():
    trainer = make_trainer(Adaptive(ETA0))
    trainer.lower(np.array([0, 1]))
    trainer.follow(Adaptive(ETA0))
    assert_array_equal(trainer.rates(2), [ETA0, ETA0])


def test_optimal_takes_columns():
    eta0, alpha, t = np.array([0.1, 0.2, 0.3]), np.array([1e-3, 1e-2, 1e-1]), np.arange(1.0, 5.0)
    rates = Optimal(eta0, alpha=alpha).rates(t)
    for c in range(3):
        assert_array_equal(rates[:, c], Optimal(eta0[c], alpha=alpha[c]).rates(t))
    assert_array_equal(Optimal(eta0, alpha=alpha).take([2, 0]).rates(t), rates[:, [2, 0]])


def test_linear_falls_to_nothing_after_the_planned_steps_and_begins_anew_where_training_goes_on():
    rates = make("linear").rates(np.arange(1.0, N_STEPS + 2))
    assert_allclose(rates, np.linspace(ETA0, 0, N_STEPS + 1), atol=1e-15)
    later = SCHEDULES["linear"](ETA0, n_steps=N_STEPS, first_step=N_STEPS + 1)
    assert_array_equal(later.rates(np.arange(N_STEPS + 1.0, 2 * N_STEPS + 2)), rates)


@ALL_SCHEDULES
def test_the_pilot_begins_at_one(name):
    """The columns of a pilot run multiply its rates by candidates for eta0."""
    pilot = make(name).for_pilot()
    assert pilot.rates(np.ones(1))[0] == 1
