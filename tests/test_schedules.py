"""Schedules against their formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import SGD
from sgdkit.schedules import SCHEDULES, Adaptive, InvScaling, Optimal
from tests.internals import make_problem, make_trainer
from tests.problems import IRIS

ETA0, POWER_T, ALPHA, N_STEPS = 0.3, 0.4, 1e-2, 2000
# As scikit-learn documents them; its "optimal" is `1 / (alpha (t0 + t - 1))`, and t0 is what eta(1) = eta0 asks for.
FORMULAS = {
    "constant": lambda t, n_steps: ETA0,
    "invscaling": lambda t, n_steps: ETA0 / t**POWER_T,
    "optimal": lambda t, n_steps: 1 / (ALPHA * (1 / (ALPHA * ETA0) + t - 1)),
    "adaptive": lambda t, n_steps: ETA0,
    "linear": lambda t, n_steps: ETA0 * max(1 - (t - 1) / n_steps, 0),
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
    assert_allclose(rates, [FORMULAS[name](step, N_STEPS) for step in t], rtol=1e-13)
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


def two_columns(schedule):
    """A trainer of two models, of which the second multiplies all rates by 2."""
    loss = REGRESSOR_LOSSES["squared_error"]()
    problem = make_problem(np.ones((4, 3)), np.zeros((4, 1)), loss, ALPHA, column=(0, 0))
    return make_trainer(problem, SGD(), schedule, [1.0, 2.0])


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if not cls.lowers])
def test_rates_are_lowered_where_the_schedule_says_so(name):
    trainer = two_columns(make(name))
    assert not trainer.lower(np.array([0]))
    assert_array_equal(trainer.rates(1), [ETA0, 2 * ETA0])


def test_adaptive_divides_by_five_down_to_a_millionth():
    trainer = two_columns(Adaptive(ETA0))
    # 5^-8 = 2.56e-6 and 5^-9 = 5.12e-7.
    for n_lowered in range(1, 9):
        assert trainer.lower(np.array([1]))
        assert_allclose(trainer.rates(2), [ETA0, 2 * ETA0 / 5**n_lowered], rtol=1e-14)
    assert not trainer.lower(np.array([1]))


def test_a_new_schedule_is_not_lowered():
    trainer = two_columns(Adaptive(ETA0))
    trainer.lower(np.array([0, 1]))
    trainer.follow(Adaptive(ETA0))
    assert_array_equal(trainer.rates(2), [ETA0, ETA0])


@pytest.mark.parametrize("columns", [False, True])
def test_the_first_rate_is_the_given_one_whatever_its_size(columns):
    eta0, alpha = (np.array([v, v]) if columns else v for v in (1e300, 1e10))
    with np.errstate(over="ignore"):
        rates = Optimal(eta0, alpha=alpha).rates(np.array([1.0, 2.0, 9.0]))
    first, *others = rates.max(axis=1) if columns else rates
    assert first == 1e300
    assert all(0 <= rate < 1e-8 for rate in others)


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


# ------------------------------------------------------------------------------------------------------ in a fit


@ALL_SCHEDULES
def test_schedules_by_what_a_step_moves(name):
    """With one feature, and rows of one kind, a step of SGD can be followed by hand."""
    X, y = np.ones((1, 1)), np.array([3.0])
    options = {"fit_intercept": False, "max_iter": 7, "tol": None}
    model = SGDRegressorPlus(optimizer="sgd", eta0=ETA0, alpha=ALPHA, power_t=POWER_T, **options)
    model.set_params(learning_rate=name).fit(X, y)
    w = 0.0
    for t in range(1, 8):
        rate = FORMULAS[name](t, 7)
        w = (w - rate * (w - 3.0)) / (1 + rate * ALPHA)
    assert_allclose(model.coef_, [w], rtol=1e-12)
    assert model.t_ == 8
    assert model.eta0_ == ETA0


def test_adaptive_lowers_its_rate_before_it_stops():
    options = {"optimizer": "sgd", "eta0": 0.5, "random_state": 0, "batch_size": 1, "n_iter_no_change": 2}
    constant = SGDClassifierPlus(learning_rate="constant", **options).fit(*IRIS)
    adaptive = SGDClassifierPlus(learning_rate="adaptive", **options).fit(*IRIS)
    assert adaptive.n_iter_ > constant.n_iter_ + 8
    assert adaptive.loss_curve_[-1] < constant.loss_curve_[-1]
