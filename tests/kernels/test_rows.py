"""The view of rows: what is shared, what is seen in it, and that a first pass looks as closely as `Rows.check`."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit import SGDClassifierPlus
from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.epoch import Pass
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.losses import LogLoss
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import Penalty
from sgdkit.training.order import RUN
from tests.pairs import all_pairs
from tests.problems import FULL_BATCH

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


def halve_apart(X, row):
    indices, data = row_of(X, row)
    return rebuilt(X, row, np.append(indices, indices[::-1]), np.append(data / 2, data[::-1] / 2))


def insert(X, row, values):
    """Store values of a feature that is absent, the first where it belongs, the others at the end."""
    indices, data = row_of(X, row)
    absent = np.setdiff1d(np.arange(N_FEATURES), indices)[0]
    places = [np.searchsorted(indices, absent), *[len(indices)] * (len(values) - 1)]
    return rebuilt(X, row, np.insert(indices, places, absent), np.insert(data, places, values))


def store_zero(X, row):
    return insert(X, row, [-0.0])


def cancel(X, row):
    return insert(X, row, [1.0, -1.0])


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


def within_a_fall(index):
    """An index between others that are right, in a row that falls."""

    def change(X, row):
        indices, data = row_of(X, row)
        indices = np.insert(indices[::-1], len(indices) // 2, index)
        return rebuilt(X, row, indices, np.append(data, 1.0))

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


SAME = {
    "reversed": reverse,
    "in halves": halve,
    "in halves that stand apart": halve_apart,
    "a stored zero": store_zero,
    "what cancels out": cancel,
}
# Of these, each feature's first value stands where it would if the row were sorted: so all sums are the same.
IN_ORDER = halve, halve_apart, store_zero
WRONG = {
    "nan": (with_value(np.nan), "Input X contains NaN"),
    "infinity": (with_value(-np.inf), "Input X contains infinity"),
    "an index too large": (with_index(-1, N_FEATURES), "not a valid CSR matrix"),
    "an index far too large": (with_index(0, 2**31 - 2), "not a valid CSR matrix"),
    "an index below zero": (with_index(0, -1), "not a valid CSR matrix"),
    "an index too large, where they fall": (within_a_fall(N_FEATURES), "not a valid CSR matrix"),
    "an index below zero, where they fall": (within_a_fall(-1), "not a valid CSR matrix"),
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


@cache
def all_changed(change, *arguments):
    X = canonical(*arguments)
    for row in range(N_ROWS):
        X = change(X, row)
    return X


def of_all_rows(change):
    """`canonical` with all its rows changed."""
    return lambda *arguments: copy.deepcopy(all_changed(change, *arguments))


def assert_close(actual, expected, **options):
    assert_allclose(actual, expected, **{"rtol": 1e-9, "atol": 1e-12, **options})


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


@all_pairs
@PLACES
@CHANGES
@ALL_FITS
def test_rows_are_taken_as_they_stand(options, change, row):
    X, y = canonical(), targets()
    other = change(X, row)
    before = pickle.dumps(other)
    expected, changed = model(**options).fit(X, y), model(**options).fit(other, y)
    assert pickle.dumps(other) == before
    if change in IN_ORDER and options["optimizer"] not in FULL_BATCH:
        assert_array_equal(changed.coef_, expected.coef_)
        assert changed.loss_curve_ == expected.loss_curve_
    assert_close(changed.coef_, expected.coef_)
    assert_close(changed.loss_curve_, expected.loss_curve_)


@all_pairs
@pytest.mark.parametrize("indices", [np.int32, np.int64])
@CHANGES
@DTYPES
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_so_are_all(options, dtype, change, indices):
    y, options = targets(), {"optimizer": "adagrad", **options}
    expected = model(**options).fit(canonical(dtype), y)
    changed = model(**options).fit(of_all_rows(change)(dtype, indices), y)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {}
    assert_close(changed.coef_, expected.coef_, **tolerance)
    assert_array_equal(changed.coef_ == 0, expected.coef_ == 0)


CHOICES = {
    "auto": {},
    "auto of adagrad": {"optimizer": "adagrad"},
    "auto of sgd": {"optimizer": "sgd"},
    "rows that count": {"class_weight": {0: 1.0, 1: 0.0, 2: 2.0}},
    "held out": {"early_stopping": True, "batch_size": 8},
    "a batch": {"batch_size": N_ROWS},
    "standardized": {"standardize": True},
    "l1": {"penalty": "l1", "optimizer": "adam"},
}


@CHANGES
@pytest.mark.parametrize("options", CHOICES.values(), ids=CHOICES)
def test_choices_see_the_same_rows(options, change):
    """So does what goes on from a fit, in chunks or from its weights."""
    y = np.arange(N_ROWS) % 3
    options = {"random_state": 0, "max_iter": 3, "tol": None, **options}
    models = [SGDClassifierPlus(**options).fit(X, y) for X in (canonical(), of_all_rows(change)())]
    for _ in range(2):
        expected, changed = models
        assert changed.optimizer_ == expected.optimizer_
        assert_close(changed.eta0_, expected.eta0_)
        assert_close(changed.alpha_, expected.alpha_)
        assert_close(changed.coef_, expected.coef_, rtol=1e-7)
        for fitted, X in zip(models, (canonical(), of_all_rows(change)()), strict=True):
            for chunk in np.array_split(np.arange(N_ROWS), 3):
                if fitted.early_stopping:
                    fitted.set_params(warm_start=True).fit(X[chunk], y[chunk])
                else:
                    fitted.partial_fit(X[chunk], y[chunk])


@CHANGES
def test_so_do_searches(change):
    X, y = canonical(), targets()
    results = []
    for rows in X, of_all_rows(change)():
        before = pickle.dumps(rows)
        search = OnePassGridSearchCV(model(eta0="auto"), {"alpha": [1e-3, 1e-2]}, cv=3, n_jobs=2).fit(rows, y)
        assert pickle.dumps(rows) == before
        results.append(search)
    expected, changed = results
    assert_close(changed.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert_close(changed.best_estimator_.coef_, expected.best_estimator_.coef_)


@all_pairs
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


@all_pairs
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
            assert_close(threaded.coef_, expected.coef_)
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


@all_pairs
@PLACES
@CHANGES
@ALL_ORDERS
@DTYPES
def test_a_pass_in_any_order_sees_what_is_to_be_merged(dtype, make, change, row):
    expected, _ = one_pass(canonical(dtype), make(), check=True)
    record, _ = one_pass(change(canonical(dtype), row), make(), check=False)
    assert_close(record, expected, **({"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {}))


@all_pairs
@PLACES
@pytest.mark.parametrize("change", [change for change, _ in WRONG.values()][:-4])
@ALL_ORDERS
@DTYPES
def test_a_pass_in_any_order_sees_what_is_wrong(dtype, make, change, row):
    with pytest.raises(ValueError, match=r"NaN|infinity|valid CSR"):
        one_pass(change(canonical(dtype), row), make(), check=False)


@pytest.mark.parametrize("indices", [np.int32, np.int64])
@CHANGES
def test_who_asks_for_non_zeros_gets_each_once(change, indices):
    X, chosen = canonical(), np.random.default_rng(2).integers(0, N_ROWS, 50)
    rows = Rows(of_all_rows(change)(np.float64, indices), check=False)
    for merged, expected in (rows.merged(), X), (rows.merged(chosen), X[chosen]):
        assert_array_equal(merged.toarray(), expected.toarray())
        assert_array_equal(np.diff(merged.indptr), np.diff(expected.indptr))
    assert_array_equal(rows.counts(), np.diff(X.indptr))
    assert_allclose(rows.squared_norms(), Rows(X).squared_norms(), rtol=1e-14)
    assert_array_equal(rows.first(None), X[[0]].toarray()[0])


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("indices", [np.int32, np.int64])
@pytest.mark.parametrize("change", [lambda X, row: X, *SAME.values()])
def test_sparse_rows_are_shared(change, indices, check):
    X = change(canonical(indices=indices), 3)
    rows = Rows(X, check=check)
    assert np.shares_memory(rows.X.data, X.data)
    assert np.shares_memory(rows.X.indices, X.indices)
    assert rows.X.indices.dtype == indices


MIXED = pytest.mark.parametrize("dtypes", [(np.int32, np.int64), (np.int64, np.int32)], ids=["long", "short"])


def mixed(X, dtypes):
    """`X` with indices and indptr of types of their own."""
    other = X.copy()
    other.indices, other.indptr = X.indices.astype(dtypes[0]), X.indptr.astype(dtypes[1])
    return other


@MIXED
@CHANGES
def test_indices_and_indptr_may_be_of_different_types(change, dtypes):
    X = of_all_rows(change)(np.float64, np.int32)
    rows = Rows(mixed(X, dtypes), check=False)
    assert rows.X.indices.dtype == dtypes[0]
    assert rows.X.indptr.dtype == dtypes[1]
    expected, chosen = Rows(X), [5, 0, 5, N_ROWS - 1]
    assert_array_equal(rows.merged().toarray(), expected.merged().toarray())
    assert_array_equal(rows.merged(chosen).toarray(), expected.merged(chosen).toarray())
    assert_array_equal(rows.first(None), expected.first(None))
    model = SGDClassifierPlus(optimizer="adagrad", random_state=0)
    coef = model.fit(X, targets()).coef_.copy()
    assert_array_equal(model.fit(rows.X, targets()).coef_, coef)


@MIXED
def test_rows_are_taken_as_scipy_takes_them(dtypes):
    X = canonical()
    for form in X, mixed(X, dtypes), X.toarray():
        for key in (
            [3, 1, 3],
            np.array([0]),
            np.empty(0, int),
            slice(10, 20),
            slice(20, 10),
            slice(5, None, 7),
        ):
            taken = take_rows(form, key)
            assert_array_equal(taken.toarray() if sparse.issparse(taken) else taken, X.toarray()[key])
    assert np.shares_memory(take_rows(X, slice(3, 9)).data, X.data)
    assert np.shares_memory(take_rows(X, slice(3, 9)).indices, X.indices)


def in_all_forms():
    """Rows with and without zeros, and with all that keeps sparse ones from being shown as they stand."""
    full = 0.5 + np.random.default_rng(3).random((N_ROWS, N_FEATURES))
    yield pytest.param(full, id="full")
    yield pytest.param(canonical().toarray(), id="dense")
    yield pytest.param(canonical(indices=np.int64), id="wide")
    for name, change in {"canonical": lambda X, row: X, **SAME}.items():
        yield pytest.param(of_all_rows(change)(np.float64, np.int32), id=name)


@DTYPES
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("X", [*in_all_forms()])
def test_scaled_rows_show_what_a_scaled_copy_holds(X, shifted, dtype):
    """Values that their feature's shift takes to 0 are absent."""
    X = X.astype(dtype)
    dense = X.toarray() if sparse.issparse(X) else X
    factor = np.geomspace(1e-3, 1e3, N_FEATURES).astype(dtype)
    shift = np.where(np.arange(N_FEATURES) % 2, dense.max(axis=0) * shifted, 0).astype(dtype)
    if not sparse.issparse(X):
        shift[~dense.all(axis=0)] = 0
    rows = Rows(X).scaled(shift, factor)
    expected = np.where(dense != 0, (dense - shift) * factor, 0)

    def content(matrix):
        return matrix.toarray() if sparse.issparse(matrix) else matrix

    assert_array_equal(content(rows.X), expected)
    assert_array_equal(content(rows.take([7, 2])), expected[[7, 2]])
    assert_array_equal(content(rows.merged([7, 2])), expected[[7, 2]])
    assert_array_equal(rows.first(None), expected[0])
    assert_array_equal(rows.counts(), (expected != 0).sum(axis=1))
    assert_allclose(rows.squared_norms(), np.square(expected, dtype=float).sum(axis=1), rtol=1e-12)
    values = X.data if sparse.issparse(X) else X
    assert np.shares_memory(rows.stored.data if sparse.issparse(X) else rows.stored, values)


@pytest.mark.parametrize("n_features", [1, 40, 2**16, 2**31 - 2])
@pytest.mark.parametrize("n", [1, 2, 100, 30_000])
def test_duplicates_are_found_in_rows_of_any_length(n, n_features):
    """In rows that are looked at together, of which one has duplicates."""
    rng = np.random.default_rng(0)
    step = max(1, n_features // n)
    once = rng.permutation(min(n, n_features)) * step
    twice = rng.integers(0, n_features, n)
    indices = np.concatenate([once, twice, once]).astype(np.int32)
    bounds = np.cumsum([0, len(once), 0, len(twice), len(once)])
    X = sparse.csr_array((np.ones(len(indices)), indices, bounds), shape=(4, n_features))
    rows = Rows(X)
    assert_array_equal(rows.counts(), [len(once), 0, len(np.unique(twice)), len(once)])
    assert_array_equal(rows.squared_norms()[2], np.square(np.unique(twice, return_counts=True)[1]).sum())
    others = Rows(X[[0, 1, 3]])
    assert others.merged() is others.X


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


PREDICTIONS = ["decision_function", "predict", "predict_proba", "score"]


@all_pairs
@PLACES
@MISTAKES
@pytest.mark.parametrize("method", PREDICTIONS)
@pytest.mark.parametrize("sparsified", [False, True])
def test_predictions_for_faulty_rows_are_errors(sparsified, method, change, message, row):
    X, y = canonical(), targets()
    fitted = model().fit(X, y)
    fitted = fitted.sparsify() if sparsified else fitted
    faulty, arguments = change(X, row), [y] if method == "score" else []
    with pytest.raises(ValueError, match=message):
        getattr(fitted, method)(faulty, *arguments)


@PLACES
@MISTAKES
def test_faulty_rows_to_validate_on_are_errors(change, message, row):
    X, y = canonical(), targets()
    with pytest.raises(ValueError, match=message):
        model(early_stopping=True).fit(X, y, X_val=change(X, row), y_val=y)


@PLACES
@MISTAKES
def test_faulty_rows_in_a_search_are_errors(change, message, row):
    X, y = canonical(), targets()
    search = OnePassGridSearchCV(model(), {"alpha": [1e-3, 1e-2]}, cv=2).fit(X, y)
    faulty = change(X, row)
    with pytest.raises(ValueError, match=message):
        search.predict(faulty)
    with pytest.raises(ValueError, match=message):
        search.fit(faulty, y)


def with_slack(X, before, after, of_data):
    """Values and indices that no row has, before the first row and after the last; their numbers may differ."""
    other = sparse.csr_array(X.shape, dtype=X.dtype)
    other.data = np.concatenate([np.full(before, 7.0), X.data, np.full(of_data, 1e6)]).astype(X.dtype)
    other.indices = np.concatenate([np.full(before, -7), X.indices, np.full(after, 10**6)]).astype(np.int32)
    other.indptr = X.indptr + before
    return other


@pytest.mark.parametrize(
    ("before", "after", "of_data"), [(0, 5, 5), (0, 0, 9), (0, 9, 0), (3, 0, 0), (3, 2, 7)]
)
@ALL_FITS
def test_what_no_row_has_is_nobodys(options, before, after, of_data):
    X, y = canonical(), targets()
    slack = with_slack(X, before, after, of_data)
    given = pickle.dumps(slack)
    expected, fitted = model(**options).fit(X, y), model(**options).fit(slack, y)
    assert_array_equal(fitted.coef_, expected.coef_)
    assert_array_equal(fitted.predict(slack), expected.predict(X))
    assert_array_equal(fitted.partial_fit(slack, y).coef_, expected.partial_fit(X, y).coef_)
    assert pickle.dumps(slack) == given
