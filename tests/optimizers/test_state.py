"""The state of columns in training: its layout, its pickles, and what is put off until a coordinate is read."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit._kernels.state import State
from tests.optimizers.setups import (
    ADAPTIVE,
    ALL_DTYPES,
    ALL_OPTIMIZERS,
    ALL_VARIANTS,
    N_COLUMNS,
    N_FEATURES,
    N_ROWS,
    PRODUCTS,
    TOLERANCES,
    Setup,
    epoch_of,
    make_setup,
    signs,
    sparse_matrix,
    strengths,
)
from tests.pairs import all_pairs


def with_indices(X, dtype):
    """A CSR array whose indices keep the dtype that is asked for; the constructor chooses the smallest."""
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
    return X


def with_stored_zeros(X):
    """Every entry is stored, zero or not."""
    n, d = X.shape
    return sparse.csr_array((X.ravel(), np.tile(np.arange(d), n), np.arange(n + 1) * d), shape=X.shape)


def with_unsorted_duplicates(X):
    """Each entry is stored as two halves, in the reverse order."""
    csr = sparse.csr_array(X)
    entries = [
        np.repeat(np.arange(begin, end)[::-1], 2)
        for begin, end in zip(csr.indptr, csr.indptr[1:], strict=False)
    ]
    order = np.concatenate(entries)
    return sparse.csr_array((csr.data[order] / 2, csr.indices[order], csr.indptr * 2), shape=X.shape)


FORMATS = {
    "int32": lambda X: with_indices(X, np.int32),
    "int64": lambda X: with_indices(X, np.int64),
    "csr_matrix": sparse.csr_matrix,
    "stored zeros": with_stored_zeros,
    "unsorted duplicates": with_unsorted_duplicates,
    "fortran": np.asfortranarray,
    "view": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@all_pairs
@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@ALL_VARIANTS
def test_sparse_is_dense(optimizer, form, dtype, batch_size):
    """To the last bit, where rows are in order, because the same additions are then done in the same order."""
    setup = make_setup(optimizer, dtype, batch_size=batch_size, average_from=5, **strengths("elasticnet"))
    dense, other = setup.state(), setup.state()
    epochs = setup.epochs(2)
    for order, rates in epochs:
        setup.run(dense, order, rates)
        dense.flush()
    setup.X = form(setup.X)
    for order, rates in epochs:
        setup.run(other, order, rates)
        other.flush()
    if form is with_unsorted_duplicates:
        assert_allclose(other.record, dense.record, **TOLERANCES[dtype])
    else:
        assert_array_equal(other.record, dense.record)


@ALL_DTYPES
@ALL_VARIANTS
def test_a_pickled_state_goes_on_identically(optimizer, dtype):
    setup = make_setup(optimizer, dtype, average_from=3, **strengths("elasticnet"))
    ((order, rates),) = setup.epochs(1)
    whole, begun = setup.state(), setup.state()
    setup.run(whole, order, rates)
    setup.run(begun, order[:6], rates[:6])
    # In the middle of an epoch: with a clock that is not 0.
    loaded = pickle.loads(pickle.dumps(begun))
    loaded.set_columns(setup.penalty, np.ones(N_COLUMNS))
    setup.run(loaded, order[6:], rates[6:])
    for state in (whole, loaded):
        state.flush()
    assert_array_equal(loaded.record, whole.record)
    assert_array_equal(loaded.weights(), whole.weights())
    assert (loaded.n_rows_seen, loaded.n_averaged) == (whole.n_rows_seen, whole.n_averaged)


@ALL_OPTIMIZERS
def test_a_pickle_shares_nothing_with_its_original(optimizer):
    setup = make_setup(optimizer)
    state = setup.state()
    before = pickle.loads(pickle.dumps(state))
    setup.run(state, [0, 1], [0.1, 0.1])
    assert_array_equal(before.record, setup.state().record)


@ALL_OPTIMIZERS
def test_a_read_only_state_is_not_written_to(optimizer):
    """joblib hands large arrays to its workers as read-only memory maps; to write there is a crash."""
    setup = make_setup(optimizer)
    record = setup.state().record
    record.setflags(write=False)
    shape = N_FEATURES, N_COLUMNS
    assert optimizer.make_state(record, shape, record.dtype).record.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [1, 7, 16, 45])
@ALL_OPTIMIZERS
def test_records_begin_with_lines_of_cache(optimizer, n_columns, dtype):
    state = optimizer.make_state(None, (50, n_columns), dtype)
    state.record[...] = np.arange(state.record.size).reshape(state.record.shape)
    if state.n_shared:
        # The clock, as after a flush.
        state.record[:, state.n_slots * n_columns] = -1
    fewer = state.take(np.arange(n_columns // 2 + 1))
    assert_array_equal(fewer.slot(0), state.slot(0)[:, : n_columns // 2 + 1])
    for one in (state, fewer, pickle.loads(pickle.dumps(state))):
        step, width = one.record.strides[0], one.record.shape[1] * one.record.itemsize
        assert one.record.ctypes.data % 64 == 0
        assert step % 32 == 0 or width <= 128
        assert 3 * step <= 4 * width
    assert_array_equal(one.record, state.record)


@pytest.mark.parametrize("batch_size", [1, 2])
@ALL_VARIANTS
def test_an_untouched_coordinate_keeps_its_record(optimizer, batch_size):
    """Its moments, its weight, its number of steps; only `flush` lets it catch up."""
    setup = make_setup(optimizer, batch_size=batch_size, average_from=1, **strengths("elasticnet"))
    state = setup.state()
    setup.run(state, *setup.epochs(1)[0])
    state.flush()
    before = state.record.copy()
    weights = state.slot(0).copy()
    rows = np.array([2, 7])[:batch_size]
    touched = np.append((setup.X[rows] != 0).any(axis=0), True)
    assert 0 < touched[:-1].sum() < N_FEATURES
    setup.run(state, rows, [0.1])
    assert_array_equal(state.record[~touched], before[~touched])
    assert (state.record != before)[touched].any(axis=1).all()
    moments = [state.slot(number).copy() for number in range(1, state.n_slots - 1)]
    intercepts = state.slot(0)[-1].copy()
    state.flush()
    for number, slot in enumerate(moments, start=1):
        assert_array_equal(state.slot(number), slot)
    smaller = (np.abs(state.slot(0)) < np.abs(weights)) | (weights == 0)
    assert smaller[~touched].all()
    assert_array_equal(state.slot(0)[-1], intercepts)


@ALL_VARIANTS
def test_load_keeps_the_moments_and_drops_the_average(optimizer):
    setup = make_setup(optimizer, average_from=1)
    state = setup.state()
    setup.run(state, *setup.epochs(1)[0])
    state.flush()
    moments = [state.slot(number).copy() for number in range(1, state.n_slots - 1)]
    weights = np.arange(14.0).reshape(7, 2)
    state.load(weights)
    assert_array_equal(state.weights(), weights)
    for number, slot in enumerate(moments, start=1):
        assert_array_equal(state.slot(number), slot)
    setup.run(state, [0], [0.1])
    state.flush()
    first = state.slot(0).copy()
    setup.run(state, [1], [0.1])
    state.flush()
    assert_allclose(state.weights(), (first + state.slot(0)) / 2, rtol=1e-12)


@ALL_OPTIMIZERS
def test_a_new_state_must_name_its_slots(optimizer):
    with pytest.raises(NotImplementedError, match="_configure"):
        State(optimizer, None, (3, 1), np.float64)


@ADAPTIVE
def test_a_penalty_that_waits_takes_no_rates_a_column(optimizer):
    setup = make_setup(optimizer, l2=0.1)
    with pytest.raises(ValueError, match="rates of their own"):
        setup.run(setup.state(), np.arange(N_ROWS), np.full((N_ROWS, N_COLUMNS), 0.1))


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 2, 20])
def test_a_flush_turns_products_into_weights_once(optimizer, n_columns):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    state = setup.state()
    epoch_of(setup, state)
    products = state.slot(0).copy()
    state.flush()
    weights = state.weights().copy()
    assert np.abs(weights - products).max() > 0.01
    state.flush()
    assert_array_equal(state.weights(), weights)


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 2, 20])
def test_a_pickle_within_an_epoch_holds_weights(optimizer, n_columns):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    state = setup.state()
    epoch_of(setup, state)
    loaded = pickle.loads(pickle.dumps(state))
    state.flush()
    assert_array_equal(loaded.weights(), state.weights())


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 3])
def test_mini_batches_go_on_from_single_rows(optimizer, n_columns):
    """Rows of a mini-batch share features, so their weights are not stored as products."""
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    at_once, flushed = setup.state(), setup.state()
    for state in (at_once, flushed):
        for batch_size in (1, 4, 1):
            epoch_of(replace(setup, batch_size=batch_size), state)
            if state is flushed:
                state.flush()
        state.flush()
    assert_array_equal(at_once.weights(), flushed.weights())


@ADAPTIVE
def test_a_rate_of_zero_leaves_weights_alone(optimizer):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, 2)), l2=0.05)
    state = setup.state()
    epoch_of(setup, state)
    state.flush()
    weights = state.weights().copy()
    setup.run(state, np.arange(11), np.zeros(11))
    state.flush()
    assert_allclose(state.weights(), weights, rtol=1e-12)


@ADAPTIVE
@pytest.mark.parametrize("n_columns", [1, 2])
def test_weights_wait_for_the_first_gradient(optimizer, n_columns):
    """A feature that is met, but has no gradient, has no metric to be multiplied by."""
    X = sparse.csr_array(np.eye(3))
    # Both classes are beyond the hinge's margin.
    setup = Setup(optimizer, X, np.ones((3, n_columns)), loss="hinge", l2=0.05, fit_intercept=False)
    state = setup.state()
    state.load(np.full((4, n_columns), 2.0))
    for _ in range(2):
        setup.run(state, np.arange(3), np.full(3, 0.1))
        state.flush()
    assert_array_equal(state.weights()[:3], 2.0)


@pytest.mark.parametrize("n_columns", [1, 2, 20])
@pytest.mark.parametrize("strengths", [{"l1": 1e-3}, {"l2": 1e-3}, {"l1": 1e-3, "l2": 1e-3}], ids=str)
@ADAPTIVE
def test_a_second_moment_that_overflows_is_seen(optimizer, strengths, n_columns):
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (20, 3), dtype=np.float32)
    X *= np.float32(1e25)
    setup = Setup(optimizer, X, signs(rng, (20, n_columns)), **strengths)
    state = setup.state()
    for _ in range(2):
        epoch_of(setup, state)
        state.flush()
    assert not np.isfinite(state.penalty()).any()
