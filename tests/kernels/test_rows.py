"""The view of rows: what is shared, what is copied, and that a first pass looks as closely as `Rows.check`."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sgdkit import SGDClassifierPlus
from sgdkit._kernels.epoch import Pass
from sgdkit._kernels.rows import Irregular, Rows
from sgdkit._kernels.targets import Targets
from sgdkit.losses import LogLoss
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import Penalty
from sgdkit.training.order import RUN

N_ROWS, N_FEATURES = 300, 20
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def canonical(dtype=np.float64, indices=np.int32):
    rng = np.random.default_rng(0)
    shape = N_ROWS, N_FEATURES
    X = sparse.csr_array(np.where(rng.random(shape) < 0.3, 0.5 + rng.random(shape), 0.0).astype(dtype))
    X.indices, X.indptr = X.indices.astype(indices), X.indptr.astype(indices)
    return X


def targets():
    return np.random.default_rng(1).integers(0, 2, N_ROWS).astype(np.int32)


def rebuilt(X, row, indices, data):
    """`X` with another row, which is not looked at."""
    begin, end = X.indptr[row], X.indptr[row + 1]
    indptr = X.indptr.copy()
    indptr[row + 1 :] += len(indices) - (end - begin)
    other = sparse.csr_array(X.shape, dtype=X.dtype)
    other.data = np.concatenate([X.data[:begin], np.asarray(data, X.dtype), X.data[end:]])
    other.indices = np.concatenate([X.indices[:begin], np.asarray(indices, X.indices.dtype), X.indices[end:]])
    other.indptr = indptr
    return other


def row_of(X, row):
    part = slice(X.indptr[row], X.indptr[row + 1])
    return X.indices[part], X.data[part]


def reverse(X, row):
    indices, data = row_of(X, row)
    return rebuilt(X, row, indices[::-1], data[::-1])


def halve(X, row):
    indices, data = row_of(X, row)
    return rebuilt(X, row, np.repeat(indices, 2), np.repeat(data / 2, 2))


def store_zero(X, row):
    indices, data = row_of(X, row)
    absent = np.setdiff1d(np.arange(N_FEATURES), indices)[0]
    place = np.searchsorted(indices, absent)
    return rebuilt(X, row, np.insert(indices, place, absent), np.insert(data, place, -0.0))


def with_value(value):
    def change(X, row):
        other = X.copy()
        other.data[other.indptr[row + 1] - 1] = value
        return other

    return change


def with_index(place, index):
    def change(X, row):
        indices, data = row_of(X, row)
        indices = indices.copy()
        indices[place] = index
        return rebuilt(X, row, indices, data)

    return change


def with_bound(value):
    def change(X, row):
        other = X.copy()
        other.indptr[row + 1] = value
        return other

    return change


def with_bounds(places):
    def change(X, row):
        other = X.copy()
        other.indptr = other.indptr[places]
        return other

    return change


SAME = {"reversed": reverse, "in halves": halve, "a stored zero": store_zero}
WRONG = {
    "nan": (with_value(np.nan), "Input X contains NaN"),
    "infinity": (with_value(-np.inf), "Input X contains infinity"),
    "an index too large": (with_index(-1, N_FEATURES), "not a valid CSR matrix"),
    "an index far too large": (with_index(0, 2**31 - 2), "not a valid CSR matrix"),
    "an index below zero": (with_index(0, -1), "not a valid CSR matrix"),
    "a bound below zero": (with_bound(-5), "not a valid CSR matrix"),
    "a bound too large": (with_bound(10**6), "not a valid CSR matrix"),
    "too few bounds": (with_bounds(slice(-3)), "not a valid CSR matrix"),
    "too many bounds": (
        with_bounds(np.append(np.arange(N_ROWS + 1), [N_ROWS] * 2)),
        "not a valid CSR matrix",
    ),
}
# The first of all, some in the middle, and the last.
PLACES = pytest.mark.parametrize("row", [0, 2 * RUN - 1, 2 * RUN, N_ROWS - 1])
CHANGES = pytest.mark.parametrize("change", SAME.values(), ids=SAME)
MISTAKES = pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)


def model(**options):
    return SGDClassifierPlus(
        **{"eta0": 0.1, "alpha": 1e-3, "max_iter": 2, "tol": None, "random_state": 0, **options}
    )


# One epoch is what looks at rows on its way, or the moments of features, for `standardize`.
CASES = {
    "rows": {"batch_size": 1, "standardize": False, "max_iter": 1},
    "moments": {"batch_size": 1, "standardize": True, "max_iter": 1},
    "batches": {"batch_size": 7, "standardize": False, "max_iter": 1},
    "epochs": {"batch_size": 1, "standardize": False, "max_iter": 2},
}
FITS = {
    f"{optimizer}, {case}": {"optimizer": optimizer, **CASES[case]}
    for optimizer in OPTIMIZERS
    for case in CASES
}
ALL_FITS = pytest.mark.parametrize("options", FITS.values(), ids=FITS)


@PLACES
@CHANGES
@ALL_FITS
def test_a_first_pass_mends_what_is_not_canonical(options, change, row):
    X, y = canonical(), targets()
    other = change(X, row)
    before = pickle.dumps(other)
    expected, changed = model(**options).fit(X, y), model(**options).fit(other, y)
    if options["optimizer"] == "gd" and not options["standardize"]:
        # Products add up what is there, in the order in which it is.
        np.testing.assert_allclose(changed.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    else:
        assert_array_equal(changed.coef_, expected.coef_)
        assert changed.loss_curve_ == expected.loss_curve_
    assert pickle.dumps(other) == before


@PLACES
@MISTAKES
@ALL_FITS
def test_a_first_pass_sees_what_is_wrong(options, change, message, row):
    X, y = canonical(), targets()
    fitted = model(**options).fit(X, y)
    before = fitted.coef_.copy()
    for estimator in (model(**options), fitted):
        with pytest.raises(ValueError, match=message):
            estimator.fit(change(X, row), y)
    assert_array_equal(fitted.coef_, before)


@MISTAKES
@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True},
        {"warm_start": True},
        {"eta0": "auto", "standardize": False, "average": True},
        {"alpha": "auto"},
        {"optimizer": "auto", "eta0": "auto"},
        {"class_weight": {0: 0.0, 1: 1.0}},
    ],
    ids=str,
)
@DTYPES
def test_so_does_every_other_fit(dtype, options, change, message):
    wrong = change(canonical(dtype), 100)
    with pytest.raises(ValueError, match=message):
        model(**{"optimizer": "adagrad", "batch_size": 1, **options}).fit(wrong, np.arange(N_ROWS) % 3 % 2)
    with pytest.raises(ValueError, match=message):
        model(batch_size=1).partial_fit(wrong, targets(), classes=[0, 1])


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_share_one_look(n_jobs, batch_size):
    """Several rounds, since threads meet by chance."""
    X, y = canonical(), np.arange(N_ROWS) % 4
    options = {"batch_size": batch_size, "multi_class": "ovr", "standardize": False, "max_iter": 1}
    expected = model(optimizer="sgd", **options).fit(X, y)
    for _ in range(5):
        for change in SAME.values():
            threaded = model(optimizer="sgd", n_jobs=n_jobs, **options).fit(change(X, 150), y)
            assert_array_equal(threaded.coef_, expected.coef_)
        for change, message in WRONG.values():
            with pytest.raises(ValueError, match=message):
                model(optimizer="sgd", n_jobs=n_jobs, **options).fit(change(X, 150), y)


@pytest.mark.parametrize("fault", ["X", "weights", "validation"])
@ALL_FITS
def test_a_fit_that_fails_leaves_everything_as_it_was(options, fault):
    X, y = canonical(), targets()
    options = {**options, "early_stopping": fault == "validation"}
    fitted, other = (model(**options).fit(X, y) for _ in range(2))
    before = pickle.dumps(fitted)
    arguments = {
        "X": (with_value(np.nan)(X, 7), {}, "NaN"),
        "weights": (X, {"sample_weight": np.zeros(N_ROWS)}, "non-zero"),
        "validation": (X, {"X_val": X}, "y_val"),
    }
    wrong, parameters, message = arguments[fault]
    with pytest.raises(ValueError, match=message):
        fitted.fit(wrong, np.arange(N_ROWS) % 3 + 10, **parameters)
    assert pickle.dumps(fitted) == before
    if fault == "X":
        assert_array_equal(fitted.partial_fit(X, y).coef_, other.partial_fit(X, y).coef_)


def one_pass(X, order, check):
    rows, optimizer = Rows(X, check=check), OPTIMIZERS["sgd"]()
    update = optimizer.make_state(None, (N_FEATURES, 1), rows.dtype)
    update.set_columns(Penalty(0.0, 1e-3), np.ones(1))
    Pass(rows, Targets(targets(), [1]), LogLoss(), update).visit(order, np.full(len(order), 0.1))
    return update.record.copy(), rows


def in_runs():
    whole = N_ROWS // RUN * RUN
    runs = np.random.default_rng(0).permutation(np.arange(whole, dtype=np.int32).reshape(-1, RUN))
    return np.concatenate([runs.ravel(), np.arange(whole, N_ROWS, dtype=np.int32)])


ORDERS = {
    "as they stand": lambda: np.arange(N_ROWS, dtype=np.int32),
    "one by one": lambda: np.random.default_rng(0).permutation(N_ROWS).astype(np.int32),
    "in runs": in_runs,
    "in runs that are cut": lambda: np.roll(in_runs(), 5),
    "backwards": lambda: np.arange(N_ROWS, dtype=np.int32)[::-1].copy(),
}
ALL_ORDERS = pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS)


@ALL_ORDERS
@DTYPES
def test_looking_changes_nothing(dtype, make):
    expected, rows = one_pass(canonical(dtype), make(), check=True)
    record, unseen = one_pass(canonical(dtype), make(), check=False)
    assert rows.checked
    assert not unseen.checked
    assert_array_equal(record, expected)


@PLACES
@pytest.mark.parametrize("change", [*SAME.values(), *(change for change, _ in WRONG.values())][:-4])
@ALL_ORDERS
@DTYPES
def test_a_pass_in_any_order_sees_it(dtype, make, change, row):
    with pytest.raises(Irregular):
        one_pass(change(canonical(dtype), row), make(), check=False)


@CHANGES
def test_who_asks_for_the_matrix_gets_it_in_canonical_format(change):
    X = canonical()
    rows = Rows(change(X, 3), check=False)
    assert rows.X.has_canonical_format
    assert_array_equal(rows.X.toarray(), X.toarray())
    assert_array_equal(rows.X.data, X.data)
    assert rows.checked


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("indices", [np.int32, np.int64])
def test_what_is_canonical_is_shared(indices, check):
    X = canonical(indices=indices)
    rows = Rows(X, check=check)
    assert np.shares_memory(rows.X.data, X.data)
    assert np.shares_memory(rows.X.indices, X.indices)
    assert rows.X.indices.dtype == indices


@pytest.mark.parametrize("change", [*SAME.values(), lambda X, row: np.asfortranarray(X.toarray())])
def test_rows_leaves_its_matrix_alone(change):
    X = change(canonical(), 2)
    before = pickle.dumps(X)
    assert Rows(X).X.shape == X.shape
    assert pickle.dumps(X) == before


def test_no_rows_and_no_values():
    for shape in ((0, 3), (3, 4)):
        rows = Rows(sparse.csr_array(shape), check=False)
        rows.check()
        assert rows.X.nnz == 0


def test_too_many_features_are_refused():
    with pytest.raises(ValueError, match="FeatureHasher"):
        Rows(sparse.csr_array((1, 2**31 - 1)))
