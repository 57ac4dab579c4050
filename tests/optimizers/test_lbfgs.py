"""L-BFGS: its directions are those of `tests/reference.py`, its steps short enough and long enough."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from sklearn.base import clone
from sklearn.preprocessing import scale

from sgdkit import SGDClassifierPlus
from sgdkit._kernels.quasi_newton import Lengths, descend, parabola, remember
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.optimizers import LBFGS
from sgdkit.optimizers.blocks import Block
from sgdkit.optimizers.curvature import Axes, Features
from sgdkit.optimizers.full_gradients import AllRows, GramRows, all_rows
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.training.problem import Problem
from tests import reference
from tests.optimizers.setups import ALL_DTYPES, LOSSES, N_COLUMNS, N_ROWS, TOLERANCES, make_setup, strengths
from tests.optimizers.test_gd import make_problem, smooth_losses


def remembering(memory, shape, n_models, dtype=np.float64):
    """What `descend` is given of pairs, before there are any."""
    return *np.empty((2, memory, *shape), dtype), np.zeros((memory, n_models))


def remember_step(pairs, n_pairs, *step):
    place = n_pairs % len(pairs[0])
    remember(*(part[place] for part in pairs), *step)


@pytest.mark.parametrize("n_steps", [0, 1, 3, 9])
@pytest.mark.parametrize("memory", [1, 4])
@pytest.mark.parametrize("n_outputs", [1, 2])
@ALL_DTYPES
def test_directions_are_those_of_the_inverse_hessian(dtype, n_outputs, memory, n_steps):
    """Of several models, each of which is alone."""
    rng = np.random.default_rng(0)
    n_models, shape = 3, (13, 3 * n_outputs)

    def by_model(array):
        return array.reshape(13, n_models, n_outputs).swapaxes(0, 1).reshape(n_models, -1).astype(float)

    n = 13 * n_outputs
    hessians = [np.cov(rng.standard_normal((n, 3 * n))) for _ in range(n_models)]
    diagonals = np.stack([np.diag(hessian) for hessian in hessians])
    metric = diagonals.reshape(n_models, 13, n_outputs).swapaxes(0, 1).reshape(shape).astype(dtype)
    twins = [reference.LBFGS(m, memory) for m in by_model(metric)]
    pairs = remembering(memory, shape, n_models, dtype)
    for step in range(n_steps):
        ends = rng.standard_normal((2, *shape)).astype(dtype)
        gradients = np.empty_like(ends)
        for end, gradient in zip(ends, gradients, strict=True):
            products = np.stack([h @ w for h, w in zip(hessians, by_model(end), strict=True)])
            gradient[...] = products.reshape(n_models, 13, n_outputs).swapaxes(0, 1).reshape(shape)
        remember_step(pairs, step, *ends, *gradients)
        for twin, *pair in zip(
            twins, by_model(ends[1] - ends[0]), by_model(gradients[1] - gradients[0]), strict=True
        ):
            twin.pairs.append(pair)
    gradient = rng.standard_normal(shape).astype(dtype)
    direction, slopes = descend(*pairs, n_steps, gradient, lambda vectors: vectors / metric)
    expected = [twin.direction(g) for twin, g in zip(twins, by_model(gradient), strict=True)]
    tolerance = {np.float64: 1e-8, np.float32: 1e-2}[dtype]
    assert_allclose(by_model(direction), expected, rtol=tolerance, atol=tolerance)
    assert_allclose(slopes, (by_model(direction) * by_model(gradient)).sum(axis=1), rtol=1e-5)
    assert (slopes < 0).all()


def test_a_pair_without_curvature_is_not_remembered():
    pairs = remembering(5, (1, 2), 2)
    start, end, before = np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2))
    # The second model has a pair in each step; the first in the last one alone.
    for number, change in enumerate([-1.0, 0.0, np.nan, np.inf, 1.0]):
        remember_step(pairs, number, start, end, before, np.array([[change, 1.0]]))
    assert_allclose(pairs[2], np.column_stack([np.arange(5) == 4, np.ones(5)]))
    direction, _ = descend(*pairs, 5, np.ones((1, 2)), lambda vectors: vectors)
    assert_allclose(direction, -1)
    direction, _ = descend(*pairs, 4, np.ones((1, 2)), lambda vectors: vectors / 3)
    assert_allclose(direction, [[-1 / 3, -1]])


@ALL_DTYPES
def test_penalties_along_a_direction_are_parabolas(dtype):
    rng = np.random.default_rng(0)
    weights, direction = rng.standard_normal((2, 5, 3)).astype(dtype)
    penalty = Penalty(0.0, rng.uniform(1, 2, 3), rng.uniform(1, 2, 4))
    slopes, curvatures = parabola(weights, direction, np.broadcast_to(penalty.curvature, (4, 3)))
    for t in (0.5, 2.0):
        value = penalty.value(weights[:-1]) + t * slopes + t**2 * curvatures / 2
        assert_allclose(value, penalty.value((weights + dtype(t) * direction)[:-1]), rtol=1e-5)


CURVES = {
    "parabola": (lambda t, at: (t - at) ** 2, lambda t, at: 2 * (t - at)),
    "exponential": (lambda t, at: np.exp(t - at) - t, lambda t, at: np.exp(t - at) - 1),
    "logistic": (
        lambda t, at: np.logaddexp(0, 50 * (t - at)) - 5 * t,
        lambda t, at: 50 * expit(50 * (t - at)) - 5,
    ),
    "quartic": (lambda t, at: (t - at) ** 4, lambda t, at: 4 * (t - at) ** 3),
}


@pytest.mark.parametrize("left", [0.1, 0.5])
@pytest.mark.parametrize("at", [0.1, 0.9, 30.0, 500.0])
@pytest.mark.parametrize("curve", CURVES)
def test_lengths_come_near_to_the_minimum(curve, at, left):
    value, slope = CURVES[curve]
    # Of the objective, a parabola is the first column's penalty; the rest is halved between two columns of two rows.
    rise, bend = 0.2, 0.1
    penalty_slopes, penalty_curvatures = np.array([rise, 0.0]), np.array([bend, 0.0])
    with np.errstate(over="ignore"):
        begin = np.array([slope(0.0, at)]), np.full(2, value(0.0, at)), np.zeros(2)
        lengths = Lengths(*begin, penalty_slopes, penalty_curvatures, 2, np.array([left]), False)
        again, n_tries = True, 0
        while again:
            t = lengths.lengths[0]
            losses = np.full(2, value(t, at) - t * (rise + t * bend / 2))
            again = lengths.adjust(losses, np.full(2, slope(t, at) - rise - t * bend))
            n_tries += 1
    assert_allclose(lengths.lengths, t)
    assert_allclose(lengths.penalties, [t * (rise + t * bend / 2), 0])
    assert abs(slope(t, at) / slope(0.0, at)) <= left
    assert value(t, at) < value(0.0, at)
    assert n_tries <= 30


def test_lengths_stay_where_there_is_no_descent_and_shrink_where_all_overflows():
    slopes, nothing = np.array([0.0, np.nan, -1.0]), np.zeros(3)
    lengths = Lengths(slopes, np.ones(3), nothing, nothing, nothing, 1, np.full(3, 0.1), False)
    again = True
    while again:
        going = lengths.lengths.copy()
        assert_allclose(going[:2], 0)
        again = lengths.adjust(np.where(going > 0, np.inf, 1.0), np.where(going > 0, np.nan, -1.0))
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
    assert state.n_pairs == 1
    state.set_columns(Penalty(0.0, 0.5), np.ones(N_COLUMNS))
    assert state.n_pairs is None


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
    assert_allclose(few.mean_squares()[:-1], everything.mean_squares()[:-1], rtol=1e-4)


def test_correlated_features_need_few_steps(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 30))
    mixed = X @ np.diag(np.geomspace(1, 0.05, 30)) @ np.linalg.qr(rng.standard_normal((30, 30)))[0]
    y = X[:, ::7].sum(axis=1) + rng.logistic(size=2000) > 0
    model = SGDClassifierPlus(optimizer="lbfgs", alpha=1e-8, random_state=0)
    n_steps = [clone(model).fit(rows, y).n_iter_ for rows in (X, mixed)]
    monkeypatch.setattr(AllRows, "axes", lambda rows: None)
    assert 2 * n_steps[0] <= 2 * n_steps[1] < clone(model).fit(mixed, y).n_iter_


@pytest.mark.parametrize("kind", [Axes, Features])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", ["log_loss", "softmax", "poisson"])
def test_the_metric_is_how_the_objective_is_curved(loss, weighted, kind):
    """The diagonal of the Hessian along the directions, column by column; of a coupled loss, its mean.

    Along features, it is so where all rows curve the loss alike.
    """
    setup = make_smooth(loss)
    weights = setup.weights / setup.weights.mean() if weighted else None
    rows, penalty = AllRows(replace(make_problem(setup), row_weights=weights), True), Penalty(0.0, 0.1)
    W = np.random.default_rng(0).standard_normal((setup.dense.shape[1] + 1, setup.n_columns)) / 4
    W[:-1] *= kind is Axes
    axes = kind(rows, np.arange(N_ROWS))
    directions = axes.vectors.T if kind is Axes else np.eye(len(W))
    step, expected = 1e-4, np.empty_like(W)
    for k, direction in enumerate(directions):
        for c in range(setup.n_columns):
            move = np.zeros_like(W)
            move[:, c] = step * direction
            ends = [rows.total(rows.of(W + sign * move)).sum() for sign in (-1, 0, 1)]
            expected[k, c] = np.diff(ends, 2)[0] / step**2 / N_ROWS + 0.1 * np.square(direction[:-1]).sum()
    if rows.loss.coupled:
        expected = expected.mean(axis=1, keepdims=True)
    assert_allclose(axes.metric(rows.of(W), penalty), expected, rtol=0.02)


@pytest.mark.parametrize("kind", [Axes, Features])
def test_where_no_row_curves_the_loss_all_are_alike(kind):
    """As in the linear part of Huber's loss, far from all targets."""
    setup = make_smooth("huber")
    setup.t = setup.t + 1e3
    rows, W = AllRows(make_problem(setup), True), np.zeros((setup.dense.shape[1] + 1, setup.n_columns))
    axes = kind(rows, np.arange(N_ROWS))
    X = np.column_stack([setup.dense, np.ones(N_ROWS)]) @ (axes.vectors if kind is Axes else np.eye(len(W)))
    squares = (np.ones(N_ROWS) if kind is Axes else setup.weights) @ X**2 / N_ROWS
    assert_allclose(axes.metric(rows.of(W), Penalty(0.0, 0.0))[:-1, 0], squares[:-1], rtol=1e-6)


def skewed_table(rng):
    X = rng.lognormal(size=(3000, 8))
    X = scale(X + 3 * X[:, :1])
    return X, (X @ rng.normal(0, 10, (8, 4)) + rng.gumbel(size=(3000, 4))).argmax(axis=1)


def text(rng):
    topics, tilts = rng.integers(0, 4, 600), rng.lognormal(size=(4, 1500))
    counts = rng.poisson(np.minimum(10 / np.arange(1, 1501), 1.5) * tilts[topics])
    return sparse.csr_array(np.sqrt(counts / (counts.sum(axis=1, keepdims=True) + 1))), topics


@pytest.mark.parametrize("make_rows", [skewed_table, text])
def test_rows_at_borders_of_classes_curve_the_loss_in_the_end(monkeypatch, make_rows):
    """Where the metric knows it, training takes fewer steps than where all rows count alike."""
    X, y = make_rows(np.random.default_rng(0))
    model = SGDClassifierPlus(optimizer="lbfgs", alpha=1e-5, tol=1e-6, max_iter=500, random_state=0)
    n_iter = clone(model).fit(X, y).n_iter_
    monkeypatch.setattr(Block, "second_derivatives", lambda block, loss, scores: np.ones((len(scores), 1)))
    assert n_iter < 0.8 * clone(model).fit(X, y).n_iter_


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
