"""Full gradients, which are what `tests/reference.py` says, and backtrack."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sgdkit._kernels.backtracking import Tries
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.optimizers import GD
from sgdkit.optimizers.full_gradients import AllRows
from sgdkit.optimizers.gd import GDState
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.training.problem import Problem
from tests import reference
from tests.optimizers.setups import (
    ALL_DTYPES,
    LOSSES,
    N_COLUMNS,
    N_FEATURES,
    N_ROWS,
    TOLERANCES,
    make_loss,
    make_setup,
    strengths,
)
from tests.pairs import all_pairs


def make_problem(setup, order=None):
    weights = None if setup.weights is None else setup.weights.astype(np.float64)
    loss = make_loss(setup.loss, setup.n_columns)
    return Problem(Rows(setup.X), setup.targets(), loss, setup.penalty, weights, order, 1)


@all_pairs
@pytest.mark.parametrize("some_rows", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error", "huber", "poisson", "softmax"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("several_units", [False, True])
def test_full_gradient_equals_the_reference(several_units, nesterov, loss, penalty, fit_intercept, some_rows):
    setup = make_setup(GD(nesterov=nesterov), loss=loss, fit_intercept=fit_intercept, **strengths(penalty))
    if loss == "softmax":
        setup.labels = np.arange(N_ROWS) % 2
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(2), 1.0, -1.0)
    elif loss == "poisson":
        setup.t = np.abs(setup.t)
    rows = np.array([1, 4, 5, 9]) if some_rows else np.arange(N_ROWS)
    problem = make_problem(setup, rows if some_rows else None)
    state = setup.state()
    twin = reference.GD((N_FEATURES + 1, N_COLUMNS), nesterov and problem.loss.smooth)
    setup.units = np.array([0.25, 1.0, 2.0, 0.0, 4.0, 0.5]) if several_units else None
    state.set_columns(setup.penalty, np.full(N_COLUMNS, setup.scale))
    units = setup.units[:, np.newaxis] if several_units else 1.0
    strengths_of = {"l1": setup.l1 * units, "l2": setup.l2 * units**2}
    kwargs = {**strengths_of, "p": problem.loss.parameter, "n_outputs": N_COLUMNS}
    for rate in np.geomspace(0.3, 0.1, 8):
        sums = state.epoch(problem, rate)
        at = setup.dense[rows], setup.t[rows], setup.weights[rows]
        twin.step(loss, *at, rate=rate, fit_intercept=fit_intercept, **kwargs)
        assert_allclose(state.weights(), twin.w, **TOLERANCES[np.float64])
    values, _ = reference.evaluate(loss, at[0] @ twin.w[:-1] + twin.w[-1], at[1], kwargs["p"], N_COLUMNS)
    expected = (at[2][:, np.newaxis] * values).sum(axis=0)
    assert_allclose(sums[: len(expected)], expected, rtol=1e-9)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("loss", ["log_loss", "softmax"])
def test_weights_for_each_column_are_rows_of_its_own(loss, penalty):
    rng = np.random.default_rng(0)
    X, labels, n_models, n_outputs = rng.standard_normal((60, 3)), np.arange(60) % 2, 3, 2
    kept = rng.random((60, n_models)) < 0.7
    single = Problem(
        Rows(X), Targets(labels, [0, 1]), make_loss(loss, n_outputs), Penalty(0, 0), None, None, 1
    )
    single.penalty = PENALTIES[penalty](0.01, None)
    weights = np.repeat(kept * (60 / kept.sum(axis=0)), n_outputs, axis=1)
    joint = GDState(GD(), None, (3, n_models * n_outputs), np.float64)
    problem = replace(single.repeat(n_models), row_weights=weights)
    joint.set_columns(problem.penalty, 1.0)
    for _ in range(100):
        joint.epoch(problem, None)
    assert_array_equal(problem.take([2, 0]).row_weights, weights[:, [4, 5, 0, 1]])
    assert_allclose(problem.total_weight, 60)
    for model, rows in enumerate(kept.T):
        alone = GDState(GD(), None, (3, n_outputs), np.float64)
        alone.set_columns(single.penalty, 1.0)
        part = replace(single, row_indices=np.flatnonzero(rows))
        for _ in range(100):
            alone.epoch(part, None)
        assert_allclose(joint.weights()[:, problem.columns([model])], alone.weights(), atol=1e-7)


@pytest.mark.parametrize("n_outputs", [1, 2])
@ALL_DTYPES
def test_rates_to_aim_at_equal_the_reference(dtype, n_outputs):
    """Of quadratics: the aim is a share of the largest good rate, wherever the step began, and however long it was."""
    rng = np.random.default_rng(0)
    start, gradient = rng.standard_normal((2, 5, 6)).astype(dtype)
    rates = np.repeat(np.geomspace(0.1, 10, 6 // n_outputs), n_outputs).astype(dtype)
    metric, ridge = rng.uniform(0.5, 2, (2, 5, 6)).astype(dtype)
    curvature = rng.uniform(0.5, 2, (5, 6))
    end = start - rates * gradient / metric
    move = (end - start).astype(np.float64)
    losses = rng.uniform(1, 2, 6)
    of_losses = gradient - ridge * start
    end_losses = losses + 7 * (of_losses * move + curvature * np.square(move) / 2).sum(axis=0)
    tries, tried = Tries(rates.copy(), False, 7, n_outputs), rates
    at = start, end, gradient, metric, ridge, losses, end_losses
    assert tries.adjust(*at)
    largest = reference.largest_rates(*at, n_rows=7, n_outputs=n_outputs)
    above = tried > largest
    assert 0 < above.sum() < 6
    lowest = np.where(above, 0.2 * tried, tried)
    assert (tries.aims <= 0.951 * np.maximum(largest, lowest / 0.95)).all()
    assert (tries.aims >= (1 - 1e-6) * np.maximum(0.949 * largest * 4 / 5, lowest)).all()
    assert_array_equal(tries.rates, np.where(above, tries.aims, tried))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("overflow", [np.nan, np.inf])
def test_a_step_that_overflows_is_tried_at_lower_rates(overflow, dtype):
    ends = np.zeros((3, 1), dtype), np.full((3, 1), np.inf, dtype)
    for end in ends:
        tries = Tries(np.ones(1, dtype), True, 10, 1)
        rates = []
        while tries.adjust(
            *(np.zeros((3, 1), dtype), end, np.ones((3, 1), dtype), np.ones((3, 1), dtype)),
            *(np.zeros((3, 1), dtype), np.ones(1), np.array([overflow])),
        ):
            rates.append(float(tries.rates[0]))
        assert 1 > rates[0] > rates[-1] > 0
        assert (np.diff(rates) < 0).all()


def test_the_first_rate_suits_features_of_any_size():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 1)), rng.standard_normal((50, 1))
    for size in [1e-5, 1.0, 1e5]:
        problem = Problem(
            Rows(X * size), Targets(y, [0]), make_loss("squared_error"), Penalty(0, 0), None, None, 1
        )
        state = GDState(GD(), None, (1, 1), np.float64, fit_intercept=False)
        state.set_columns(problem.penalty, 1.0)
        state.epoch(problem, None)
        # In the metric, which knows the features, the largest rate is 1.
        assert 0.4 <= state.rate[0] <= 1
        assert 0.75 <= state.aim[0] <= 1


def test_most_steps_are_tried_once(monkeypatch):
    setup, calls = make_setup(GD()), []
    for name in ("total", "differentiate"):
        method = getattr(AllRows, name)
        monkeypatch.setattr(
            AllRows, name, lambda *args, name=name, method=method: calls.append(name) or method(*args)
        )
    problem, state = make_problem(setup), setup.state()
    for _ in range(50):
        state.epoch(problem, None)
    # The gradient of a step is taken once.
    assert 0 < calls.count("total") < 1.8 * calls.count("differentiate")


def test_full_gradient_averages_its_steps():
    setup = make_setup(GD(), average_from=2 * N_ROWS)
    problem, state, steps = make_problem(setup), setup.state(), []
    for _ in range(5):
        state.epoch(problem, 0.3)
        steps.append(state.slot(0).copy())
        # The second step is the first that has seen so many rows.
        assert_allclose(state.weights(), np.mean(steps[1:] or steps, axis=0), rtol=1e-12)


def test_full_gradient_does_not_write_to_a_read_only_state():
    setup = make_setup(GD(), average_from=1)
    problem, whole, loaded = make_problem(setup), setup.state(), setup.state()
    whole.epoch(problem, 0.3)
    loaded.epoch(problem, 0.3)
    for array in (loaded.W, loaded.previous, loaded.total):
        array.setflags(write=False)
    for state in (whole, loaded):
        state.epoch(problem, 0.3)
    assert_array_equal(loaded.weights(), whole.weights())


def smooth_losses():
    return [name for name, cls in LOSSES.items() if cls.smooth]


def objectives(setup, n_steps, dtype=np.float64):
    """The objective of each column (of a coupled loss: of the model) before and after each step."""
    problem, state = make_problem(setup), setup.state()
    curve = []
    for k in range(n_steps + 1):
        if k:
            state.epoch(problem, None)
        w = state.W.astype(np.float64)
        values, _ = reference.evaluate(
            setup.loss, setup.dense @ w[:-1] + w[-1], setup.t, problem.loss.parameter, setup.n_columns
        )
        mean = (setup.weights[:, np.newaxis] * values).sum(axis=0) / len(setup.t)
        penalty = setup.l1 * np.abs(w[:-1]) + setup.l2 * w[:-1] ** 2 / 2
        penalty = penalty.sum() if setup.loss in reference.COUPLED_LOSSES else penalty.sum(axis=0)
        curve.append(mean + penalty)
    return np.array(curve)


@all_pairs
@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", smooth_losses())
@pytest.mark.parametrize("nesterov", [False, True])
def test_backtracking_never_lets_the_objective_rise(nesterov, loss, penalty, scale):
    """That of each column; of a coupled loss, that of the model."""
    setup = make_setup(GD(nesterov=nesterov), loss=loss, **strengths(penalty, alpha=0.02))
    setup.X *= scale
    if loss == "softmax":
        setup.labels = np.arange(N_ROWS) % 2
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(2), 1.0, -1.0)
    elif loss in reference.OF_LOG_LINK:
        setup.t = np.random.default_rng(2).gamma(2.0, size=setup.t.shape)
    curve = objectives(setup, 25)
    assert np.all(np.diff(curve, axis=0) <= 1e-13 * np.abs(curve[:-1]))
    assert np.all(curve[-1] < curve[0])


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_acceleration_comes_nearer_in_the_same_number_of_steps(loss):
    setups_ = [
        make_setup(GD(nesterov=nesterov), loss=loss, **strengths("l2", 1e-3)) for nesterov in (True, False)
    ]
    fast, plain = (objectives(setup, 40)[-1] for setup in setups_)
    assert np.all(fast < plain)


def test_momentum_and_rates_of_a_column_do_not_depend_on_the_others():
    setup = make_setup(GD(), **strengths("l2", np.geomspace(1e-4, 0.1, N_COLUMNS)))
    joint, dropped = setup.state(), np.zeros(N_COLUMNS, dtype=bool)
    problem = make_problem(setup)
    alone = [setup.state().take([c]) for c in range(N_COLUMNS)]
    parts = [replace(problem, n_models=N_COLUMNS).take([c]) for c in range(N_COLUMNS)]
    for state, part in zip(alone, parts, strict=True):
        state.set_columns(part.penalty, np.ones(1))
    for step in range(60):
        joint.epoch(problem, None)
        dropped |= joint.n_accelerated < step + 1
        for c, (state, part) in enumerate(zip(alone, parts, strict=True)):
            state.epoch(part, None)
            # Near the minimum the last bits may say whether an objective rises, whose roots weights differ by: at a
            # curvature of 1e-4 by 1e-6, whatever their own size.
            assert_allclose(state.W[:, 0], joint.W[:, c], atol=1e-6)
    assert dropped.all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_that_are_summed_up_from_step_to_step_do_not_drift(dtype):
    setup = make_setup(GD(), dtype=dtype)
    problem, state = make_problem(setup), setup.state()
    for _ in range(2500):
        state.epoch(problem, None)
    expected = problem.rows.X @ state.W[:-1] + state.W[-1]
    assert_allclose(
        state._cached.current, expected, rtol=500 * np.finfo(dtype).eps, atol=500 * np.finfo(dtype).eps
    )


def test_where_the_gradient_is_nothing_rates_stay_finite():
    setup = make_setup(GD(), loss="squared_error")
    setup.t = np.column_stack([np.zeros(N_ROWS), setup.t[:, 1]])
    problem, state = make_problem(setup), setup.state()
    for _ in range(2500):
        state.epoch(problem, None)
    assert np.isfinite(state.rate).all()
    assert np.isfinite(state.W).all()


def test_a_pickled_full_gradient_goes_on_identically():
    setup = make_setup(GD(nesterov=True), **strengths("elasticnet"))
    problem, state = make_problem(setup), setup.state()
    for _ in range(4):
        state.epoch(problem, None)
    loaded = pickle.loads(pickle.dumps(state))
    for _ in range(4):
        state.epoch(problem, None)
        loaded.epoch(problem, None)
    # The scores are computed anew, so the last bits may differ.
    assert_allclose(loaded.W, state.W, rtol=1e-10)
