"""Every loss: its value, its derivative, its extremes."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn._loss import HalfTweedieLoss

from sgdkit._kernels.targets import Targets
from sgdkit.losses import (
    CLASSIFIER_LOSSES,
    MULTINOMIAL,
    REGRESSOR_LOSSES,
    CrammerSinger,
    Softmax,
    weighted_quantile,
)
from tests import reference

POINTWISE = {**CLASSIFIER_LOSSES, **REGRESSOR_LOSSES}
COUPLED = {"softmax": Softmax, "crammer_singer": CrammerSinger}
LOSSES = {**POINTWISE, **COUPLED}
# The classes of a model of a coupled loss, and models side by side.
N_OUTPUTS, N_MODELS = 4, 2
ALL_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TOLERANCES = {np.float64: {"rtol": 1e-12, "atol": 1e-13}, np.float32: {"rtol": 2e-6, "atol": 2e-6}}


def cases():
    """Each loss with each value of its parameter."""
    for name, cls in LOSSES.items():
        for parameter in reference.PARAMETERS[cls.parameter_name]:
            setting = [] if cls.parameter_name is None else [f"{cls.parameter_name}={parameter}"]
            yield pytest.param(name, cls(parameter, N_OUTPUTS), id="-".join([name, *setting]))


ALL_CASES = pytest.mark.parametrize(("name", "loss"), list(cases()))
WITH_PARAMETER = [name for name, cls in LOSSES.items() if cls.parameter_name]


def targets_for(name, loss, n_rows, seed=0):
    """Targets of the loss's domain; in float32 values, so that both dtypes see the same."""
    rng = np.random.default_rng(seed)
    if loss.coupled:
        labels = rng.integers(0, N_OUTPUTS, (n_rows, N_MODELS, 1))
        return np.where(labels == np.arange(N_OUTPUTS), 1.0, -1.0).reshape(n_rows, -1)
    if name in CLASSIFIER_LOSSES and name not in REGRESSOR_LOSSES:
        return np.where(rng.random((n_rows, 3)) < 0.5, -1.0, 1.0)
    t = rng.gamma(1.0, size=(n_rows, 3)).astype(np.float32).astype(np.float64)
    if loss.minimum_target == (0.0, True):
        t[::4] = 0
    return t


def scores_for(t, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).normal(0, 2, t.shape).astype(np.float32).astype(dtype)


def evaluate(loss, scores, t):
    """The values and derivatives of single rows; of a coupled loss, a value a model."""
    scores, n = np.ascontiguousarray(scores), len(scores)
    columns = np.arange(t.shape[1])
    derivatives = np.empty_like(scores)
    values = np.empty(t.shape)
    for i in range(n):
        values[i] = loss.total(
            scores[i : i + 1], Targets(t[i : i + 1], columns), None, derivatives[i : i + 1]
        )
    if loss.coupled:
        assert_array_equal(values.reshape(n, -1, N_OUTPUTS)[:, :, 1:], 0)
        values = values[:, ::N_OUTPUTS]
    return values, derivatives


@ALL_DTYPES
@ALL_CASES
def test_values_and_derivatives_equal_the_reference(name, loss, dtype):
    t = targets_for(name, loss, 200)
    scores = scores_for(t, dtype=dtype)
    values, derivatives = evaluate(loss, scores, t)
    expected = reference.evaluate(name, scores.astype(np.float64), t, loss.parameter, N_OUTPUTS)
    assert derivatives.dtype == dtype
    assert_allclose(values, expected[0], **TOLERANCES[dtype])
    assert_allclose(derivatives, expected[1], **TOLERANCES[dtype])


@ALL_CASES
def test_derivative_is_that_of_the_value(name, loss):
    t = targets_for(name, loss, 200)
    scores, h = scores_for(t), 1e-6
    _, derivatives = evaluate(loss, scores, t)
    n_kinks = 0
    for c in range(t.shape[1]):
        step = h * (np.arange(t.shape[1]) == c)
        model = c // N_OUTPUTS if loss.coupled else c
        at = evaluate(loss, scores, t)[0][:, model]
        up, down = (evaluate(loss, scores + sign * step, t)[0][:, model] for sign in (1, -1))
        # The slopes on both sides differ at a kink only.
        kink = np.abs((up - at) - (at - down)) > 1e-2 * h
        n_kinks += kink.sum()
        assert_allclose(derivatives[~kink, c], ((up - down) / (2 * h))[~kink], rtol=1e-5, atol=1e-6)
    assert n_kinks <= 2


@ALL_CASES
def test_convex(name, loss):
    """Half-way between two scores the loss is at most half-way between their losses."""
    t = targets_for(name, loss, 200)
    a, b = scores_for(t, 1), scores_for(t, 2)
    (at_a, _), (at_b, _), (middle, _) = (evaluate(loss, s, t) for s in (a, b, (a + b) / 2))
    assert np.all(middle <= (at_a + at_b) / 2 + 1e-12)


@ALL_DTYPES
@ALL_CASES
def test_values_are_not_negative(name, loss, dtype):
    t = targets_for(name, loss, 300)
    values, _ = evaluate(loss, scores_for(t, dtype=dtype), t)
    # The deviances are differences of large numbers.
    least = -10 * np.finfo(dtype).eps if loss.log_link else 0
    assert values.min() >= least


@ALL_CASES
def test_a_perfect_score_is_the_minimum(name, loss):
    t = targets_for(name, loss, 50)
    perfect = np.log(np.maximum(t, 1e-300)) if loss.log_link else t
    if loss.probability in {"logistic", "softmax"}:
        # They come near 0 as the score grows.
        perfect = 40 * t
    values, derivatives = evaluate(loss, perfect, t)
    assert_allclose(values, 0, atol=1e-11)
    assert_allclose(derivatives, 0, atol=1e-11)


@ALL_DTYPES
@pytest.mark.parametrize("scale", [1e2, 1e4])
@pytest.mark.parametrize("name", sorted({*CLASSIFIER_LOSSES, *COUPLED}))
def test_large_scores_do_not_overflow(name, scale, dtype):
    loss = LOSSES[name](0.3, N_OUTPUTS)
    t = targets_for(name, loss, 60)
    if name in REGRESSOR_LOSSES:
        t = np.sign(t - 0.5)
    scores = (scale * np.sign(scores_for(t))).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, derivatives = evaluate(loss, scores, t)
    expected = reference.evaluate(name, scores.astype(np.float64), t, loss.parameter, N_OUTPUTS)
    assert np.isfinite(values).all()
    assert_allclose(values, expected[0], **TOLERANCES[dtype])
    assert_allclose(derivatives, expected[1], **TOLERANCES[dtype])


@ALL_DTYPES
@pytest.mark.parametrize("shift", [-4096.0, 512.0, 8192.0])
def test_softmax_depends_on_differences_of_scores_only(shift, dtype):
    """All numbers are whole, so nothing is lost in the scores themselves."""
    loss = Softmax(0.0, N_OUTPUTS)
    t = targets_for("softmax", loss, 50)
    scores = np.round(scores_for(t)).astype(dtype)
    values, derivatives = evaluate(loss, scores, t)
    shifted_values, shifted_derivatives = evaluate(loss, scores + dtype(shift), t)
    assert_array_equal(shifted_derivatives, derivatives)
    eps = np.finfo(dtype).eps
    assert_allclose(shifted_values, values, rtol=10 * eps, atol=10 * eps)


@ALL_DTYPES
@ALL_CASES
def test_total_is_the_weighted_sum(name, loss, dtype):
    t = targets_for(name, loss, 40)
    scores = scores_for(t, dtype=dtype)
    weights = np.random.default_rng(3).uniform(0, 2, 40) * (np.arange(40) % 3 > 0)
    values, derivatives = evaluate(loss, scores, t)
    columns = np.arange(t.shape[1])
    gradient = np.empty_like(scores)
    totals = {
        "plain": loss.total(scores, Targets(t, columns)),
        "weighted": loss.total(scores, Targets(t, columns), weights),
        "with gradient": loss.total(scores, Targets(t, columns), weights, gradient),
    }
    first = slice(None, None, N_OUTPUTS) if loss.coupled else slice(None)
    assert_allclose(totals["plain"][first], values.sum(axis=0), rtol=1e-12)
    assert_allclose(totals["weighted"][first], weights @ values, rtol=1e-12)
    assert_array_equal(totals["with gradient"], totals["weighted"])
    assert_allclose(gradient, weights[:, np.newaxis] * derivatives, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("weighted", [True, False])
@ALL_DTYPES
@ALL_CASES
def test_along_a_direction_of_scores(name, loss, dtype, weighted):
    """As if the scores had been moved first; of more rows than are evaluated at a time."""
    t = targets_for(name, loss, 300)
    scores, direction = scores_for(t, dtype=dtype), scores_for(t, seed=2, dtype=dtype)
    lengths, targets = np.linspace(-1, 2, t.shape[1]), Targets(t, np.arange(t.shape[1]))
    weights = np.random.default_rng(3).uniform(0, 2, 300) if weighted else None
    ahead, gradient, expected = np.empty((3, *scores.shape), dtype)
    totals, slopes = loss.along(scores, direction, lengths, targets, weights, ahead, gradient)
    assert_array_equal(ahead, scores + lengths.astype(dtype) * direction)
    assert_array_equal(totals, loss.total(ahead, targets, weights, expected))
    assert_array_equal(gradient, expected)
    assert_allclose(slopes, (gradient.astype(float) * direction).sum(axis=0), rtol=1e-9, atol=1e-9)


@ALL_CASES
def test_second_derivatives(name, loss):
    if not loss.smooth:
        pytest.skip("there are kinks")
    t = targets_for(name, loss, 40)
    scores, columns = scores_for(t) / 4, np.arange(t.shape[1])
    signs = bool((np.abs(t) == 1).all())
    # Where there is no formula, a difference over a part of the size of scores.
    size = 1 + np.abs(scores) if signs else np.ones_like(scores) if loss.log_link else np.abs(scores - t)
    steps = 0.1 * size.mean(axis=0)
    if loss.probability in ("logistic", "softmax"):
        steps[:] = 1e-5
    expected = np.empty_like(scores)
    for c, step in zip(columns, steps, strict=True):
        move = step * (columns == c)
        before, after = (evaluate(loss, end, t)[1] for end in (scores - move, scores + move))
        expected[:, c] = ((after - before) / (2 * step))[:, c]
    found = loss.second_derivatives(scores, Targets(t, columns, signs=signs))
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@ALL_CASES
def test_hessians_of_a_model(name, loss):
    if not (loss.coupled and loss.smooth):
        pytest.skip("its columns are independent, or there are kinks")
    t = targets_for(name, loss, 40)
    scores, columns, n_models = scores_for(t) / 4, np.arange(t.shape[1]), t.shape[1] // N_OUTPUTS
    found = loss.hessians(scores, Targets(t, columns, signs=True))
    assert found.shape == (40, n_models, N_OUTPUTS, N_OUTPUTS)
    for k in range(N_OUTPUTS):
        move = 1e-5 * (columns % N_OUTPUTS == k)
        before, after = (evaluate(loss, end, t)[1] for end in (scores - move, scores + move))
        expected = ((after - before) / 2e-5).reshape(40, n_models, N_OUTPUTS)
        assert_allclose(found[..., k], expected, rtol=1e-4, atol=1e-6)


@ALL_DTYPES
@ALL_CASES
def test_losses_of_each_row(name, loss, dtype):
    t = targets_for(name, loss, 300)
    scores = scores_for(t, dtype=dtype)
    found = loss.each(scores, Targets(t, np.arange(t.shape[1])))
    assert found.dtype == dtype
    assert_array_equal(found[:, :: N_OUTPUTS if loss.coupled else 1], evaluate(loss, scores, t)[0])


@ALL_DTYPES
@ALL_CASES
def test_weights_may_differ_between_columns(name, loss, dtype):
    """Of more models than one, and of more rows than are evaluated at a time."""
    t = np.tile(targets_for(name, loss, 300), 2)
    scores = scores_for(t, dtype=dtype)
    n_columns, n_models = t.shape[1], 2 if loss.coupled else t.shape[1]
    of_models = np.random.default_rng(3).integers(0, 3, (300, n_models)).astype(np.float64)
    weights, gradient = np.repeat(of_models, n_columns // n_models, axis=1), np.empty_like(scores)
    totals = loss.total(scores, Targets(t, np.arange(n_columns)), weights, gradient)
    for columns in np.arange(n_columns).reshape(n_models, -1):
        part, first = np.ascontiguousarray(scores[:, columns]), columns[0]
        part_gradient = np.empty_like(part)
        sums = loss.total(part, Targets(t, columns), np.ascontiguousarray(weights[:, first]), part_gradient)
        assert_allclose(totals[first], sums[0], rtol=1e-12)
        assert_array_equal(gradient[:, columns], part_gradient)


def test_labels_are_targets_of_one_against_the_rest():
    labels = np.array([2, 0, 1, 1])
    t = np.where(labels[:, np.newaxis] == np.array([1, 2]), 1.0, -1.0)
    scores, loss = scores_for(t), CLASSIFIER_LOSSES["log_loss"]()
    expected = loss.total(scores, Targets(t, [0, 1]))
    assert_array_equal(loss.total(scores, Targets(labels, [1, 2])), expected)


def test_coupled_losses_say_so():
    assert {name for name, cls in LOSSES.items() if cls.coupled} == set(COUPLED)
    assert set(MULTINOMIAL.values()) == set(COUPLED.values())


@pytest.mark.parametrize(("name", "loss"), [case for case in cases() if case.values[0] in REGRESSOR_LOSSES])
def test_initial_intercept_minimises_the_loss_of_a_constant_model(name, loss):
    """Of a loss with an epsilon, a minimiser lies at most epsilon away: beyond, the derivative's sign is known."""
    t = targets_for(name, loss, 30)
    weights = np.random.default_rng(1).integers(0, 4, 30).astype(np.float64)
    start = np.asarray(loss.initial_intercept(t, weights))
    assert start.shape == (t.shape[1],)
    near = loss.parameter if loss.parameter_name == "epsilon" else 0.0
    for c in range(t.shape[1]):

        def objective(s, c=c):
            values, _ = reference.evaluate(name, np.full(30, s), t[:, c], loss.parameter)
            return weights @ values / weights.sum()

        def lowest(begin, end, objective=objective):
            return minimize_scalar(
                objective, bounds=(begin, end), method="bounded", options={"xatol": 1e-9}
            ).fun

        reached = lowest(start[c] - near, start[c] + near) if near else objective(start[c])
        assert reached <= lowest(-10, 10) + 1e-8


@ALL_CASES
def test_initial_intercept_of_empty_counts_is_finite(name, loss):
    if not loss.coupled:
        assert np.isfinite(loss.initial_intercept(np.zeros((3, 1)), np.ones(3))).all()


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="np.quantile takes weights since NumPy 2"
)
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 1000),
    q=st.floats(0.01, 0.99),
    ties=st.booleans(),
    absent=st.sampled_from([0.0, 0.4]),
)
def test_weighted_quantile_is_that_of_numpy(n, seed, q, ties, absent):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, 2))
    values = np.round(values) if ties else values
    weights = rng.uniform(0.1, 2, n) * (rng.random(n) >= absent)
    weights[0] = 1.0
    expected = np.quantile(values, q, axis=0, method="inverted_cdf", weights=weights)
    assert_array_equal(weighted_quantile(values, weights, q), expected)


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.9])
def test_weights_of_a_quantile_are_repetition(q):
    rng = np.random.default_rng(0)
    values, weights = rng.standard_normal((20, 3)), rng.integers(0, 4, 20)
    repeated = np.repeat(values, weights, axis=0)
    expected = weighted_quantile(repeated, np.ones(len(repeated)), q)
    assert_array_equal(weighted_quantile(values, weights.astype(float), q), expected)


@pytest.mark.parametrize(("dtype", "lowest"), [(np.float32, -87.0), (np.float64, -700.0)])
def test_the_exponential_is_accurate_to_the_last_bits(dtype, lowest):
    """Of two classes whose scores differ by x, the less likely one has the probability exp(x) / (1 + exp(x))."""
    x = np.linspace(lowest, 0, 20001).astype(dtype)
    scores = np.column_stack([x, np.zeros_like(x)])
    gradient = np.empty_like(scores)
    Softmax(0.0, 2).total(scores, Targets(np.ones(len(x), dtype=np.int32), [0, 1]), None, gradient)
    exact = np.exp(x.astype(np.float64))
    assert_allclose(gradient[:, 0], exact / (1 + exact), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_a_row_of_weight_0_is_absent_even_where_its_loss_is_infinite(shape):
    weights = np.ones(shape)
    weights[1] = 0
    scores, targets = np.array([[0.5, 1.0], [1e4, 1e4], [-0.5, 2.0]]), Targets(np.ones((3, 2)), [0, 1])
    gradient = np.empty((3, 2))
    total = REGRESSOR_LOSSES["poisson"]().total(scores, targets, weights, gradient)
    others = REGRESSOR_LOSSES["poisson"]().total(scores[::2].copy(), Targets(np.ones((2, 2)), [0, 1]))
    assert_allclose(total, others)
    assert_array_equal(gradient[1], 0)


@pytest.mark.parametrize("name", WITH_PARAMETER)
def test_the_parameter_may_differ_between_columns(name):
    cls, rng = LOSSES[name], np.random.default_rng(0)
    first, second = reference.PARAMETERS[cls.parameter_name][:2]
    parameters = np.array([first, second, second])
    loss, gradient = cls(parameters), np.empty((9, 3))
    scores, targets = rng.normal(size=(9, 3)), Targets(targets_for(name, loss, 9), np.arange(3))
    sums = loss.total(scores, targets, None, gradient)
    for c, parameter in enumerate(parameters):
        derivatives = np.empty((9, 1))
        total = cls(parameter).total(scores[:, [c]], targets.with_columns([c]), None, derivatives)
        assert_array_equal(sums[[c]], total)
        assert_array_equal(gradient[:, [c]], derivatives)
    assert_array_equal(loss.take(np.array([2, 0])).parameter, [second, first])
    assert loss.take(np.array([1, 2])).parameter == second


@ALL_DTYPES
@pytest.mark.parametrize("power", reference.PARAMETERS["power"])
def test_the_tweedie_deviance_is_that_of_scikit_learn(power, dtype):
    loss, theirs = LOSSES["tweedie"](power), HalfTweedieLoss(power=power)
    t = targets_for("tweedie", loss, 200)[:, :1].copy()
    scores = scores_for(t, dtype=dtype)
    values, derivatives = evaluate(loss, scores, t)
    expected, gradient = theirs.loss_gradient(t[:, 0], scores[:, 0].astype(np.float64))
    assert_allclose(values[:, 0], expected + theirs.constant_to_optimal_zero(t[:, 0]), **TOLERANCES[dtype])
    assert_allclose(derivatives[:, 0], gradient, **TOLERANCES[dtype])


@pytest.mark.parametrize(("end", "near", "limit"), [(1.0, 1.0 + 1e-9, "poisson"), (2.0, 2.0 - 1e-9, "gamma")])
def test_the_ends_of_the_tweedie_deviance(end, near, limit):
    """They are Poisson's and Gamma's, and nothing is lost on the way there, where its terms become infinite."""
    t = targets_for("gamma", LOSSES["gamma"](), 200)
    scores = scores_for(t)
    expected = evaluate(LOSSES[limit](), scores, t)
    for power, rtol in (end, 1e-12), (near, 1e-7):
        values, derivatives = evaluate(LOSSES["tweedie"](power), scores, t)
        assert_allclose(values, expected[0], rtol=rtol, atol=1e-13)
        assert_allclose(derivatives, expected[1], rtol=rtol, atol=1e-7 if rtol > 1e-8 else 0)


@ALL_DTYPES
@pytest.mark.parametrize("power", reference.PARAMETERS["power"])
def test_a_deviance_of_extreme_targets_is_finite(power, dtype):
    tiny = 1e6 * np.finfo(dtype).tiny
    t, scores = np.array([[tiny, 1e30, 1.0]]), np.array([[20.0, -2.0, 60.0]], dtype=dtype)
    for array in evaluate(LOSSES["tweedie"](power), scores, t):
        assert np.isfinite(array).all()
