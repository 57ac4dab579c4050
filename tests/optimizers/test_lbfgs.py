"""L-BFGS: its directions are those of `tests/reference.py`, its steps short enough and long enough."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone

from sgdkit import SGDClassifierPlus
from sgdkit._kernels.quasi_newton import Lengths, descend, remember
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.optimizers import LBFGS
from sgdkit.optimizers.full_gradients import AllRows, GramRows, all_rows
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.training.problem import Problem
from tests import reference
from tests.optimizers.setups import ALL_DTYPES, LOSSES, N_COLUMNS, N_ROWS, TOLERANCES, make_setup, strengths
from tests.optimizers.test_gd import make_problem, smooth_losses


@pytest.mark.parametrize("n_steps", [0, 1, 3, 9])
@pytest.mark.parametrize("memory", [1, 4])
@ALL_DTYPES
def test_directions_are_those_of_the_inverse_hessian(dtype, memory, n_steps):
    """Of several models, each of which is alone."""
    rng = np.random.default_rng(0)
    n_models, n = 3, 13
    hessians = [np.cov(rng.standard_normal((n, 3 * n))) for _ in range(n_models)]
    metric = np.stack([np.diag(hessian) for hessian in hessians]).astype(dtype)
    twins = [reference.LBFGS(m.astype(float), memory) for m in metric]
    moves, changes = np.empty((2, n_models, memory, n), dtype)
    remembered = moves, changes, np.empty((n_models, memory)), np.zeros(n_models, np.int64)
    for _ in range(n_steps):
        start, end = rng.standard_normal((2, n_models, n)).astype(dtype)
        gradients = [np.stack([h @ w for h, w in zip(hessians, at, strict=True)]) for at in (start, end)]
        remember(*remembered, start, end, *(g.astype(dtype) for g in gradients))
        for model, twin in enumerate(twins):
            twin.pairs.append((end[model] - start[model], gradients[1][model] - gradients[0][model]))
    gradient = rng.standard_normal((n_models, n)).astype(dtype)
    direction = np.empty_like(gradient)
    slopes = descend(*remembered, gradient, direction, lambda vectors: vectors / metric)
    expected = [twin.direction(g.astype(float)) for twin, g in zip(twins, gradient, strict=True)]
    tolerance = {np.float64: 1e-8, np.float32: 1e-2}[dtype]
    assert_allclose(direction, expected, rtol=tolerance, atol=tolerance)
    assert_allclose(slopes, (direction.astype(float) * gradient).sum(axis=1), rtol=1e-5)
    assert (slopes < 0).all()


def test_a_pair_without_curvature_is_not_remembered():
    moves, changes = np.empty((2, 1, 3, 2))
    remembered = moves, changes, np.empty((1, 3)), np.zeros(1, np.int64)
    start, end = np.zeros((1, 2)), np.ones((1, 2))
    for gradient in ([[-1.0, 0.0]], [[0.0, 0.0]], [[np.nan, 1.0]], [[np.inf, 1.0]]):
        remember(*remembered, start, end, np.zeros((1, 2)), np.array(gradient))
    assert remembered[3][0] == 0
    remember(*remembered, start, end, np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    assert remembered[3][0] == 1


CURVES = {
    "parabola": (lambda t, at: (t - at) ** 2, lambda t, at: 2 * (t - at)),
    "exponential": (lambda t, at: np.exp(t - at) - t, lambda t, at: np.exp(t - at) - 1),
    "logistic": (
        lambda t, at: np.logaddexp(0, 50 * (t - at)) - 5 * t,
        lambda t, at: 50 * expit(50 * (t - at)) - 5,
    ),
    "quartic": (lambda t, at: (t - at) ** 4, lambda t, at: 4 * (t - at) ** 3),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("at", [0.1, 0.9, 30.0, 500.0])
@pytest.mark.parametrize("curve", CURVES)
def test_lengths_come_near_to_the_minimum(curve, at, first):
    value, slope = CURVES[curve]
    with np.errstate(over="ignore"):
        lengths = Lengths(np.array([slope(0.0, at)]), np.array([value(0.0, at)]), np.array([first]), False)
        again, n_tries = True, 0
        while again:
            (t,) = lengths.lengths
            again = lengths.adjust(np.array([slope(t, at)]), np.array([value(t, at)]))
            n_tries += 1
    share = slope(t, at) / slope(0.0, at)
    assert -0.8 <= share <= (0.1 if first else 0.9)
    assert value(t, at) < value(0.0, at)
    assert n_tries <= 30


def test_lengths_stay_where_there_is_no_descent_and_shrink_where_all_overflows():
    lengths = Lengths(np.array([0.0, np.nan, -1.0]), np.ones(3), np.ones(3, bool), False)
    again = True
    while again:
        going = lengths.lengths
        assert_allclose(going[:2], 0)
        again = lengths.adjust(np.where(going > 0, np.nan, -1.0), np.where(going > 0, np.inf, 1.0))
    assert_allclose(lengths.lengths, 0)


def make_smooth(loss, dtype=np.float64, penalty="l2"):
    setup = make_setup(LBFGS(), loss=loss, dtype=dtype, **strengths(penalty, alpha=0.02))
    if loss == "softmax":
        setup.labels = np.arange(N_ROWS) % 2
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(2), 1.0, -1.0)
    elif loss in reference.OF_LOG_LINK:
        setup.t = np.random.default_rng(2).gamma(2.0, size=setup.t.shape)
    return setup


def gradient_norm(setup, problem, weights):
    w = weights.astype(np.float64)
    _, derivative = reference.evaluate(
        setup.loss, setup.dense @ w[:-1] + w[-1], setup.t, problem.loss.parameter, setup.n_columns
    )
    derivative *= setup.weights[:, np.newaxis]
    gradient = setup.dense.T @ derivative / len(setup.t) + setup.l2 * w[:-1]
    return max(np.abs(gradient).max(), np.abs(derivative.mean(axis=0)).max())


@ALL_DTYPES
@pytest.mark.parametrize("loss", smooth_losses())
def test_training_ends_where_the_gradient_is_nothing(loss, dtype):
    setup = make_smooth(loss, dtype)
    problem, state = make_problem(setup), setup.state()
    before = gradient_norm(setup, problem, state.W)
    for _ in range(60):
        state.epoch(problem, None)
    assert gradient_norm(setup, problem, state.W) <= before * {np.float64: 1e-7, np.float32: 1e-4}[dtype]
    assert_allclose(
        state.penalty(), setup.l2 / 2 * np.square(state.W[:-1], dtype=float).sum(axis=0), rtol=1e-5
    )


@pytest.mark.parametrize("loss", smooth_losses())
def test_objectives_never_rise(loss):
    setup = make_smooth(loss)
    problem, state, curve = make_problem(setup), setup.state(), []
    for _ in range(25):
        columns = state.epoch(problem, None) / N_ROWS + state.penalty()
        curve.append(columns.sum() if problem.loss.coupled else columns)
    assert (np.diff(curve, axis=0) <= 1e-13 * np.abs(curve[:-1])).all()


def test_a_column_does_not_depend_on_the_others():
    setup = make_setup(LBFGS(), **strengths("l2", np.geomspace(1e-4, 0.1, N_COLUMNS)))
    joint, problem = setup.state(), make_problem(setup)
    for _ in range(12):
        joint.epoch(problem, None)
    for c in range(N_COLUMNS):
        alone, part = setup.state().take([c]), replace(problem, n_models=N_COLUMNS).take([c])
        alone.set_columns(part.penalty, np.ones(1))
        for _ in range(12):
            alone.epoch(part, None)
        assert_allclose(alone.W[:, 0], joint.W[:, c], rtol=1e-6, atol=1e-9)


def test_a_state_is_taken_and_pickled_with_what_it_remembers():
    setup = make_smooth("log_loss")
    problem, state = make_problem(setup), setup.state()
    for _ in range(4):
        state.epoch(problem, None)
    taken, loaded = state.take(np.arange(N_COLUMNS)), pickle.loads(pickle.dumps(state))
    taken.set_columns(setup.penalty, np.ones(N_COLUMNS))
    fresh = setup.state()
    fresh.load(state.W)
    for _ in range(3):
        for other in (state, taken, loaded, fresh):
            other.epoch(problem, None)
    assert_allclose(loaded.W, state.W, rtol=1e-10)
    assert_allclose(taken.W, state.W, rtol=1e-10)
    assert np.abs(fresh.W - state.W).max() > 1e-6


def test_another_penalty_forgets_what_the_old_one_has_told():
    setup = make_smooth("log_loss")
    problem, state = make_problem(setup), setup.state()
    state.epoch(problem, None)
    state.set_columns(setup.penalty, np.ones(N_COLUMNS))
    assert state.moves is not None
    state.set_columns(Penalty(0.0, 0.5), np.ones(N_COLUMNS))
    assert state.moves is None


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@ALL_DTYPES
def test_few_rows_have_the_squared_errors_of_all(dtype, weighted, fit_intercept):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 4)).astype(dtype), rng.standard_normal((50, 2))
    X[:, 3] = X[:, 2]
    weights = rng.uniform(0.5, 2, 50) if weighted else None
    problem = Problem(
        Rows(X), Targets(y, [1, 0]), LOSSES["squared_error"](), Penalty(0, 0), weights, np.arange(3, 50), 1
    )
    few, everything = all_rows(problem, fit_intercept), AllRows(problem, fit_intercept)
    assert type(few) is GramRows
    W = rng.standard_normal((5, 2)).astype(dtype)
    W[-1] *= fit_intercept
    losses, derivatives = zip(*(rows.differentiate(rows.of(W)) for rows in (few, everything)), strict=True)
    gradients = [rows.gradient(d) for rows, d in zip((few, everything), derivatives, strict=True)]
    assert_allclose(losses[0], losses[1], rtol=10 * TOLERANCES[dtype]["rtol"])
    assert_allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-4 if dtype == np.float32 else 1e-10)
    assert_allclose(few.mean_squares(), everything.mean_squares(), rtol=1e-4)


def test_correlated_features_need_few_steps(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 30))
    mixed = X @ np.diag(np.geomspace(1, 0.05, 30)) @ np.linalg.qr(rng.standard_normal((30, 30)))[0]
    y = X[:, ::7].sum(axis=1) + rng.logistic(size=2000) > 0
    model = SGDClassifierPlus(optimizer="lbfgs", alpha=1e-8, random_state=0)
    n_steps = [clone(model).fit(rows, y).n_iter_ for rows in (X, mixed)]
    monkeypatch.setattr(AllRows, "axes", lambda rows: None)
    assert 2 * n_steps[0] <= 2 * n_steps[1] < clone(model).fit(mixed, y).n_iter_


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_what_has_kinks_is_an_error_that_names_others(loss, penalty):
    model = SGDClassifierPlus(loss, optimizer="lbfgs", penalty=penalty, l1_ratio=0.5, alpha=0.1)
    X, y = np.eye(4), [0, 1, 0, 1]
    if loss == "hinge" or penalty in ("l1", "elasticnet"):
        with pytest.raises(
            ValueError, match=r"LBFGS\(\) needs a smooth objective, and .* has kinks\..*'gd' or 'adagrad'"
        ):
            model.fit(X, y)
    else:
        model.fit(sparse.csr_array(X), y)
