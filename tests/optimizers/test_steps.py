"""The compiled loop and its optimizers are what `tests/reference.py` says, step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.penalties import PENALTIES
from tests import reference
from tests.optimizers.setups import (
    ALL_DTYPES,
    ALL_OPTIMIZERS,
    ALL_VARIANTS,
    CONSTANT_METRICS,
    LOSSES,
    N_COLUMNS,
    N_ROWS,
    TOLERANCES,
    VARIANTS,
    Setup,
    assert_same_state,
    assert_same_training,
    make_setup,
    signs,
    sparse_matrix,
    strengths,
)
from tests.pairs import all_pairs


# How the weights are stored depends on all three: the average, the batches, the penalty.
@pytest.mark.parametrize("average_from", [0, 1, N_ROWS + 4])
@pytest.mark.parametrize("batch_size", [1, 3, N_ROWS])
@all_pairs
@pytest.mark.parametrize("fit_intercept", [True, False])
@ALL_DTYPES
@pytest.mark.parametrize("penalty", PENALTIES)
@ALL_VARIANTS
def test_optimizers_equal_the_reference(optimizer, penalty, dtype, batch_size, fit_intercept, average_from):
    kwargs = {"batch_size": batch_size, "fit_intercept": fit_intercept, "average_from": average_from}
    assert_same_training(make_setup(optimizer, dtype, **strengths(penalty), **kwargs))


@pytest.mark.parametrize("average_from", [0, N_ROWS + 4])
@pytest.mark.parametrize("batch_size", [1, 3])
@all_pairs
@pytest.mark.parametrize("n_columns", [1, 2, 5])
@ALL_DTYPES
@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@ALL_VARIANTS
def test_units_of_the_penalty_equal_the_reference(
    optimizer, penalty, dtype, n_columns, batch_size, average_from
):
    units = np.array([0.25, 1.0, 2.0, 0.0, 4.0, 0.5])
    kwargs = {"batch_size": batch_size, "average_from": average_from, "units": units, **strengths(penalty)}
    setup = make_setup(optimizer, dtype, **kwargs)
    setup.t = signs(np.random.default_rng(1), (N_ROWS, n_columns))
    state, model = assert_same_training(setup)
    values = setup.penalty.value(model.w[:-1])
    assert_allclose(state.penalty(), values, **TOLERANCES[dtype])


@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@ALL_VARIANTS
def test_every_single_step_equals_the_reference(optimizer, dtype, batch_size):
    kwargs = {"batch_size": batch_size, "average_from": 4}
    setup = make_setup(optimizer, dtype, **strengths("elasticnet"), **kwargs)
    model = setup.model()
    ((order, rates),) = setup.epochs(1)
    weights = setup.weights
    for k, rate in enumerate(rates, start=1):
        state = setup.state()
        setup.run(state, order[: k * batch_size], rates[:k])
        rows = order[(k - 1) * batch_size : k * batch_size]
        model.step(setup.dense[rows], setup.t[rows], weights[rows], rate)
        assert_same_state(state, model, **TOLERANCES[dtype])


@all_pairs
@ALL_OPTIMIZERS
@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_equal_the_reference(loss, dtype, batch_size, optimizer):
    setup = make_setup(
        optimizer, dtype, loss=loss, batch_size=batch_size, **strengths("elasticnet", alpha=0.01)
    )
    rng = np.random.default_rng(3)
    if loss in reference.COUPLED_LOSSES:
        setup.labels = rng.integers(0, 3, N_ROWS)
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    elif loss in REGRESSOR_LOSSES:
        setup.t = rng.gamma(2.0, size=(N_ROWS, N_COLUMNS)).astype(np.float32).astype(np.float64)
    # Rates at which no loss with a log link overflows.
    setup.scale = 0.1
    assert_same_training(setup)


@ALL_VARIANTS
def test_labels_are_one_against_the_rest(optimizer):
    labels = np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 0, 2])
    setup = make_setup(optimizer, labels=labels)
    setup.t = np.where(labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    assert_same_training(setup)


@all_pairs
@pytest.mark.parametrize("loss", ["log_loss", "softmax"])
@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@ALL_VARIANTS
def test_class_weights_of_a_column_equal_the_reference(optimizer, dtype, batch_size, loss):
    setup = make_setup(optimizer, dtype, loss=loss, batch_size=batch_size, labels=np.arange(N_ROWS) % 3)
    setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    # The columns of a coupled loss are those of one model.
    rng, of_columns = np.random.default_rng(4), 1 if loss in reference.COUPLED_LOSSES else 3
    drawn = np.repeat(rng.uniform(0.5, 2, (4, of_columns)), 3 // of_columns, axis=1)
    setup.class_weights, setup.column_weights = drawn[:3], drawn[3]
    assert_same_training(setup)


@st.composite
def setups(draw):
    """Shapes, sparsity, penalties, rates a column, and an order without the rows of weight 0."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d, m = draw(st.integers(1, 15)), draw(st.integers(1, 12)), draw(st.integers(1, 9))
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < draw(st.floats(0, 1)))
    if draw(st.booleans()):
        X = sparse.csr_array(X)
    weights = rng.uniform(0.1, 3, n) * (rng.random(n) < draw(st.sampled_from([1.0, 0.6])))
    per_column = draw(st.booleans())
    alpha = rng.uniform(0, 0.3, m) if per_column else draw(st.sampled_from([0.0, 1e-3, 0.3]))
    penalty = PENALTIES[draw(st.sampled_from(list(PENALTIES)))](alpha, 0.4)
    setup = Setup(
        draw(st.sampled_from(list(VARIANTS.values()))),
        X,
        signs(rng, (n, m)),
        loss=draw(st.sampled_from(["log_loss", "hinge", "squared_hinge", "squared_error", "huber"])),
        l1=penalty.l1,
        l2=penalty.l2,
        fit_intercept=draw(st.booleans()),
        average_from=draw(st.integers(0, 2 * n + 2)),
        batch_size=draw(st.integers(1, n + 2)),
        weights=weights,
        scale=rng.uniform(0.3, 2, m) if per_column else 1.0,
    )
    return setup, np.flatnonzero(weights)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(drawn=setups(), n_epochs=st.integers(1, 4))
def test_any_problem_equals_the_reference(drawn, n_epochs):
    setup, order = drawn
    state, model = setup.state(), setup.model()
    for order_of_epoch, rates in setup.epochs(n_epochs, order=order):
        setup.run(state, order_of_epoch, rates)
        state.flush()
        model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(order_of_epoch, rates))
    assert_same_state(state, model, **TOLERANCES[np.float64])


@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_VARIANTS
def test_columns_do_not_meet(optimizer, batch_size):
    """Several columns in one pass, with penalties and rates of their own, equal each column alone."""
    rng = np.random.default_rng(5)
    m = 9
    columns = {"l1": rng.uniform(0, 0.05, m), "l2": rng.uniform(0, 0.5, m), "scale": rng.uniform(0.5, 1.5, m)}
    setup = make_setup(optimizer, batch_size=batch_size, average_from=N_ROWS, **columns)
    setup.t = signs(rng, (N_ROWS, m))
    joint, _ = assert_same_training(setup)
    for c in range(m):
        column = {name: values[c] for name, values in columns.items()}
        alone = make_setup(optimizer, batch_size=batch_size, average_from=N_ROWS, **column)
        alone.t = setup.t[:, [c]]
        state, _ = assert_same_training(alone)
        assert_allclose(joint.weights()[:, [c]], state.weights(), rtol=1e-11, atol=1e-13)


@all_pairs
@pytest.mark.parametrize(
    "n_columns", [1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 20, 24, 25, 31, 32, 33, 45, 48, 49, 57, 100]
)
@ALL_DTYPES
@ALL_VARIANTS
def test_any_number_of_columns(optimizer, dtype, n_columns):
    """Columns are worked on as vectors of several, the last of which may share columns with the one before."""
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (10, 9), dtype=dtype)
    assert_same_training(Setup(optimizer, X, signs(rng, (10, n_columns)), l2=0.05), n_epochs=2)


@pytest.mark.parametrize("n_nonzeros", range(1, 12))
@ALL_VARIANTS
def test_any_number_of_features_in_a_row(optimizer, n_nonzeros):
    """Four features of a single column are worked on at a time; what is left over is not."""
    rng = np.random.default_rng(0)
    X = np.zeros((15, 12))
    for row in X:
        row[rng.permutation(12)[:n_nonzeros]] = rng.standard_normal(n_nonzeros)
    assert_same_training(Setup(optimizer, X, signs(rng, (15, 1)), l2=0.05), n_epochs=2)


@all_pairs
@pytest.mark.parametrize("alpha", [0.0, 0.05])
@ALL_DTYPES
@ALL_OPTIMIZERS
def test_rows_of_all_lengths_next_to_one_another(optimizer, dtype, alpha):
    """Records of a row to come are asked for while a row is read, if they are not all near anyway."""
    rng = np.random.default_rng(0)
    n_nonzeros, n_features, n_columns = np.array([3, 0, 17, 1, 40, 0, 0, 5]), 12_000, 12
    X = np.zeros((len(n_nonzeros), n_features), dtype)
    for row, n in zip(X, n_nonzeros, strict=True):
        row[rng.permutation(n_features)[:n]] = rng.standard_normal(n)
    setup = Setup(optimizer, sparse.csr_array(X), signs(rng, (len(X), n_columns)), l2=alpha)
    assert setup.state().record.nbytes > 1 << 19
    assert_same_training(setup, n_epochs=3)


@ALL_DTYPES
@CONSTANT_METRICS
def test_growth_is_taken_back_before_it_overflows(optimizer, dtype):
    """A penalty that shrinks weights by 11 a step fills float32 within 20 steps, and float64 within 200."""
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (400, 4), dtype=dtype)
    setup = Setup(optimizer, X, signs(rng, (400, 2)), l2=np.array([50.0, 1e-3]), batch_size=1)
    state, model = setup.state(), setup.model()
    rates = np.full(400, 0.2)
    setup.run(state, np.arange(400), rates)
    model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(np.arange(400), rates))
    state.flush()
    assert_allclose(state.weights(), model.w, **TOLERANCES[dtype])


@ALL_DTYPES
@pytest.mark.parametrize("l2", [0.0, np.array([0.1, 0.2])], ids=["no penalty", "l2"])
@CONSTANT_METRICS
def test_columns_with_rates_of_their_own(optimizer, l2, dtype):
    setup = make_setup(optimizer, dtype, l2=l2)
    rng = np.random.default_rng(0)
    order, rates = rng.permutation(N_ROWS), rng.uniform(0.02, 0.2, (N_ROWS, N_COLUMNS))
    joint = setup.state()
    setup.run(joint, order, rates)
    joint.flush()
    for c in range(N_COLUMNS):
        column = Setup(
            optimizer, setup.X, setup.t[:, [c]], l2=l2 if np.ndim(l2) == 0 else l2[c], weights=setup.weights
        )
        alone = column.state()
        column.run(alone, order, np.ascontiguousarray(rates[:, c]))
        alone.flush()
        assert_array_equal(joint.weights()[:, [c]], alone.weights())


@pytest.mark.parametrize("n_columns", [1, 2, 20])
@ALL_VARIANTS
def test_a_metric_that_is_forgotten(optimizer, n_columns):
    """Where the hinge's margin is met, gradients are 0, and so is then a second moment without a memory."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.array([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))
    t = np.tile([[-1.0], [1.0], [1.0], [1.0]], n_columns) * rng.choice([-1.0, 1.0], n_columns)
    assert_same_training(Setup(optimizer, X, t, loss="hinge", l2=1e-9), n_epochs=8)


@all_pairs
@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
@ALL_DTYPES
@ALL_VARIANTS
def test_l1_gives_exact_zeros(optimizer, dtype, l1_ratio):
    """Of features without a bearing on the target the weights are 0, that of the one with a bearing is not."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5)).astype(dtype)
    penalty = strengths("elasticnet", alpha=0.2, l1_ratio=l1_ratio)
    setup = Setup(optimizer, X, np.sign(X[:, :1]), loss="log_loss", batch_size=60, **penalty)
    state = setup.state()
    for _ in range(150):
        setup.run(state, np.arange(60), [0.05])
        state.flush()
    assert_array_equal(state.slot(0)[1:5], 0)
    assert state.slot(0)[0, 0] > 0.01
