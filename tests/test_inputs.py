"""The form in which rows come changes no fit, and a fit changes nothing that it is given."""

import copy
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone, is_regressor

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests.pairs import all_pairs
from tests.problems import (
    FULL_BATCH,
    KINDS,
    LOSSES,
    N_FEATURES,
    N_ROWS,
    STATEFUL,
    assert_same_model,
    first_of_each_kind,
    make,
    make_X,
    make_y,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---------------------------------------------------------------------------------------- dense equals sparse


def wide(X):
    """With 64-bit indices, which SciPy narrows wherever it can."""
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def with_stored_zeros(X):
    """Every entry is stored, the zeros too."""
    n, m = X.shape
    indices, indptr = np.tile(np.arange(m, dtype=np.int32), n), np.arange(0, n * m + 1, m, dtype=np.int32)
    return sparse.csr_array((X.ravel().copy(), indices, indptr), shape=X.shape)


def unsorted(X):
    stored = sparse.csr_array(X)
    for begin, end in zip(stored.indptr[:-1], stored.indptr[1:], strict=True):
        stored.indices[begin:end] = stored.indices[begin:end][::-1].copy()
        stored.data[begin:end] = stored.data[begin:end][::-1].copy()
    return sparse.csr_array((stored.data, stored.indices, stored.indptr), shape=X.shape)


def with_duplicates(X):
    """Each value in two parts that stand apart: first its half (and what cancels out), then the rest."""
    stored = sparse.csr_array(X)
    pieces = [slice(begin, end) for begin, end in zip(stored.indptr[:-1], stored.indptr[1:], strict=True)]
    indices = np.concatenate([np.r_[stored.indices[p], stored.indices[p], 0, 0] for p in pieces])
    data = np.concatenate([np.r_[stored.data[p] / 2, stored.data[p] / 2, 1.0, -1.0] for p in pieces])
    indptr = np.append(0, np.cumsum([2 * (p.stop - p.start) + 2 for p in pieces]))
    return sparse.csr_array((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=X.shape)


FORMATS = {
    **{
        f"{f}_{kind}": getattr(sparse, f"{f}_{kind}")
        for f in ("csr", "csc", "coo")
        for kind in ("matrix", "array")
    },
    "csr_int64": lambda X: wide(sparse.csr_array(X)),
    "csc_int64": lambda X: wide(sparse.csc_array(X)),
    "stored_zeros": with_stored_zeros,
    "unsorted": unsorted,
    "duplicates": with_duplicates,
    "duplicates_int64": lambda X: wide(with_duplicates(X)),
    "fortran": np.asfortranarray,
}


def test_formats_are_what_they_say():
    X = make_X()
    for name, build in FORMATS.items():
        built = build(X)
        assert_array_equal(built.toarray() if sparse.issparse(built) else built, X, err_msg=name)
    assert FORMATS["csr_int64"](X).indices.dtype == FORMATS["duplicates_int64"](X).indptr.dtype == np.int64
    assert FORMATS["stored_zeros"](X).nnz == X.size
    assert not FORMATS["unsorted"](X).has_sorted_indices
    assert not FORMATS["duplicates"](X).has_canonical_format


@all_pairs
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("storage", FORMATS)
def test_dense_equals_every_sparse_format(storage, optimizer, batch_size):
    X = make_X()
    for kind in "binary", "classes", "numbers":
        penalty = "elasticnet" if OPTIMIZERS[optimizer].minimises_kinks else "l2"
        model = make(kind, optimizer=optimizer, batch_size=batch_size, penalty=penalty, alpha=0.01)
        dense, other = (
            clone(model).fit(X, make_y(X, kind)),
            clone(model).fit(FORMATS[storage](X), make_y(X, kind)),
        )
        assert_same_model(dense, other, rtol=1e-12)
        assert_array_equal(dense.coef_ == 0, other.coef_ == 0)
        assert_allclose(
            dense.predict(X).astype(float),
            other.predict(FORMATS[storage](X)).astype(float),
            rtol=1e-11,
            atol=1e-11,
        )


@all_pairs
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(("estimator", "loss"), LOSSES)
def test_dense_equals_sparse_for_every_loss_and_penalty(estimator, loss, penalty, batch_size):
    X = make_X()
    y = np.abs(make_y(X, "number")) + 1 if is_regressor(estimator()) else make_y(X, "classes")
    options = {"batch_size": batch_size, "average": 10, "random_state": 0, "max_iter": 4, "tol": None}
    model = estimator(loss, penalty=penalty, alpha=0.01, **options)
    assert_same_model(clone(model).fit(X, y), clone(model).fit(sparse.csr_array(X), y), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_dense_equals_sparse_in_early_stopping_and_partial_fit(kind):
    X = make_X()
    y, S = make_y(X, kind), sparse.csc_array(X)
    model = make(kind, early_stopping=True, validation_fraction=0.3, batch_size=1)
    dense, other = clone(model).fit(X, y), clone(model).fit(S, y)
    assert_same_model(dense, other, rtol=1e-12)
    assert_allclose(dense.validation_scores_, other.validation_scores_, rtol=1e-12)
    options = {"classes": np.unique(y)} if kind in ("binary", "classes") else {}
    model = make(kind, batch_size=1)
    dense, other = clone(model), clone(model)
    for chunk in np.array_split(np.arange(N_ROWS), 3):
        dense.partial_fit(X[chunk], y[chunk], **options)
        other.partial_fit(sparse.csr_array(S)[chunk], y[chunk], **options)
    assert_same_model(dense, other, rtol=1e-12)


# --------------------------------------------------------------------------------------- what stays as it was


def data_bytes(X):
    arrays = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,)
    return [np.asarray(a).tobytes() for a in arrays]


@pytest.mark.parametrize("storage", ["fortran", *[f for f in FORMATS if "coo" not in f and f != "fortran"]])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
def test_fit_changes_nothing_that_it_was_given(optimizer, storage):
    X, optimizer = FORMATS[storage](make_X()), copy.deepcopy(optimizer)
    y, weights = make_y(make_X(), "classes"), np.arange(N_ROWS) % 3.0
    before = data_bytes(X), y.copy(), weights.copy(), repr(optimizer)
    model = make("classes", optimizer=optimizer, batch_size=7, class_weight={0: 2.0})
    params = copy.deepcopy(model.get_params())
    model.fit(X, y, sample_weight=weights).partial_fit(X, y, sample_weight=weights)
    model.predict(X)
    assert data_bytes(X) == before[0]
    assert_array_equal(y, before[1])
    assert_array_equal(weights, before[2])
    assert repr(optimizer) == before[3]
    assert model.optimizer is optimizer
    assert model.get_params() == params
    if not isinstance(optimizer, str):
        assert set(vars(optimizer)) == set(optimizer.get_params())


def test_fit_changes_neither_the_validation_set_nor_the_initial_weights():
    X = make_X()
    y, X_val = make_y(X, "classes"), with_duplicates(X)
    coef, intercept = np.ones((3, N_FEATURES)), np.ones(3)
    before = data_bytes(X_val)
    model = make("classes", early_stopping=True, scoring="accuracy")
    model.fit(X, y, X_val=X_val, y_val=y, coef_init=coef, intercept_init=intercept)
    assert data_bytes(X_val) == before
    assert (coef == 1).all()
    assert (intercept == 1).all()


# ----------------------------------------------------------------------------------------- dtypes and layouts


@all_pairs
@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32_and_is_near_float64(kind, optimizer, to_input):
    X = make_X()
    y = make_y(X, kind)
    # A rate of one's own: pilots may choose another where two are as good.
    model = make(kind, optimizer=optimizer, eta0=0.05, batch_size=7, average=30, alpha=0.01)
    single, double = clone(model).fit(to_input(X.astype(np.float32)), y), clone(model).fit(to_input(X), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert double.coef_.dtype == double.intercept_.dtype == np.float64
    X32 = to_input(X.astype(np.float32))
    scores = single.decision_function(X32) if kind in ("binary", "classes", "labels") else single.predict(X32)
    assert scores.dtype == np.float32
    assert_allclose(single.coef_, double.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(single.intercept_, double.intercept_, rtol=1e-3, atol=1e-4)
    if kind in ("binary", "classes", "labels"):
        assert single.predict_proba(X32).dtype == np.float32
    going_on = clone(single).set_params(warm_start=True).fit(X32, y).partial_fit(X32, y)
    assert going_on.coef_.dtype == going_on.intercept_.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, bool, object])
def test_other_numbers_become_float64(dtype):
    X = np.abs(make_X()).astype(int).astype(dtype)
    y = make_y(make_X(), "classes")
    model = make("classes").fit(X, y)
    assert model.coef_.dtype == np.float64
    assert_same_model(model, make("classes").fit(X.astype(float), y))


def read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, path):
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode="r")


LAYOUTS = {
    "read_only": read_only,
    "memory_mapped": memory_mapped,
    "every_other_column": lambda X, path: np.repeat(X, 2, axis=1)[:, ::2],
    "every_other_row": lambda X, path: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X, path: X[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": lambda X, path: np.asfortranarray(X),
    "big_endian": lambda X, path: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X, path: X.tolist(),
    "unaligned": lambda X, path: np.frombuffer(b"?" + X.tobytes(), X.dtype, offset=1).reshape(X.shape),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_array_does_not_matter(layout, optimizer, tmp_path):
    X = make_X()
    changed = LAYOUTS[layout](X, tmp_path)
    assert_array_equal(np.asarray(changed), X)
    for kind in "classes", "number":
        y, weights = make_y(X, kind), 1.0 + np.arange(N_ROWS) % 2
        model = make(kind, optimizer=optimizer, batch_size=7)
        a = clone(model).fit(X, y, sample_weight=weights)
        b = clone(model).fit(changed, y, sample_weight=weights)
        # Full gradients are left to BLAS, whose order of additions follows the alignment.
        assert_same_model(a, b, rtol=1e-12 if optimizer in FULL_BATCH else 0.0)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"list", "big_endian"}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layout_of_sparse_parts_does_not_matter(layout, dtype, tmp_path):
    X = sparse.csr_array(make_X().astype(dtype))
    y = make_y(make_X(), "classes")
    parts = []
    for part in X.data, X.indices, X.indptr:
        (tmp_path / str(len(parts))).mkdir()
        parts.append(LAYOUTS[layout](part[:, np.newaxis], tmp_path / str(len(parts)))[:, 0])
    changed = sparse.csr_array(X.shape, dtype=dtype)
    changed.data, changed.indices, changed.indptr = parts
    model = make("classes", batch_size=7)
    assert_same_model(clone(model).fit(X, y), clone(model).fit(changed, y))


def test_the_layout_of_targets_and_weights_does_not_matter(tmp_path):
    X = make_X()
    for kind in "numbers", "labels":
        y, weights = make_y(X, kind), (1.0 + np.arange(N_ROWS) % 2)[:, np.newaxis]
        expected = make(kind).fit(X, y, sample_weight=weights[:, 0])
        for name in "read_only", "every_other_column", "every_other_row", "reversed", "fortran", "big_endian":
            change = LAYOUTS[name]
            model = make(kind).fit(X, change(y, tmp_path), sample_weight=change(weights, tmp_path)[:, 0])
            assert_same_model(model, expected)


# ------------------------------------------------------------------------------------------------------- room


COPIED = {
    "c": np.ascontiguousarray,
    "c_float32": lambda X: X.astype(np.float32),
    "fortran": np.asfortranarray,
    "fortran_float32": lambda X: np.asfortranarray(X, dtype=np.float32),
    "int64": lambda X: (1000 * X).astype(np.int64),
    "int32_fortran": lambda X: np.asfortranarray(1000 * X, dtype=np.int32),
    "bool": lambda X: X > 3,
    "float16": lambda X: X.astype(np.float16),
    "every_other_column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "frame": pd.DataFrame,
    "mixed_frame": lambda X: pd.DataFrame(X).astype(dict.fromkeys(range(0, X.shape[1], 2), np.int64)),
}
FITS = {
    "classes": lambda X, y: SGDClassifierPlus(random_state=0).fit(X, y > 0),
    "numbers": lambda X, y: SGDRegressorPlus(random_state=0).fit(X, y),
    "l1": lambda X, y: SGDRegressorPlus(penalty="l1", max_iter=3, random_state=0).fit(X, y),
    "sgd": lambda X, y: SGDClassifierPlus(optimizer="sgd", max_iter=1, random_state=0).fit(X, y > 0),
    "weights": lambda X, y: SGDRegressorPlus(random_state=0).fit(X, y, sample_weight=np.arange(len(y)) % 3),
    "early_stopping": lambda X, y: SGDRegressorPlus(early_stopping=True, random_state=0).fit(X, y),
    "partial_fit": lambda X, y: SGDRegressorPlus(random_state=0).partial_fit(X, y),
    "raw": lambda X, y: SGDRegressorPlus(standardize=False, max_iter=3, random_state=0).fit(X, y),
}


def peak_of(function, *arguments):
    """What a function returns, and the most bytes that it has asked for at a time."""
    tracemalloc.start()
    try:
        return function(*arguments), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# What a fit asks for besides rows: states, samples, stretches of rows.
FEW_BYTES = 4e6


def many_values(n_rows, n_features):
    """Rows so large that all else that a fit asks for is little, and targets."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features))
    y = X @ rng.normal(size=n_features)
    return X * np.arange(1, n_features + 1) + 3, y


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("layout", ["c", "fortran_float32"])
@pytest.mark.parametrize("shape", [(10_000, 300), (2_000, 1_000)])
def test_dense_rows_are_copied_once_at_the_most(shape, layout, name):
    """To convert them, to scale them, to hold some out, to choose alpha by some, or for all of these."""
    X, y = many_values(*shape)
    X = COPIED[layout](X)
    before = X.copy()
    model, peak = peak_of(FITS[name], X, y)
    assert peak < 1.05 * X.size * model.coef_.itemsize + FEW_BYTES
    assert_array_equal(X, before)


@pytest.mark.parametrize("name", ["classes", "early_stopping", "partial_fit"])
@pytest.mark.parametrize("layout", COPIED)
def test_no_layout_is_copied_twice(layout, name):
    X, y = many_values(20_000, 100)
    X = COPIED[layout](X)
    before = X.copy()
    model, peak = peak_of(FITS[name], X, y)
    assert peak < 1.05 * X.size * model.coef_.itemsize + FEW_BYTES
    assert_array_equal(X, before)
    same = FITS[name](np.array(X, dtype=model.coef_.dtype, order="C"), y)
    assert_same_model(model, same, rtol=1e-9)


@pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))
def test_few_features_leave_room_for_few_numbers_a_row(optimizer):
    X = np.random.default_rng(0).normal(size=(50_000, 40)) * np.arange(1, 41) + 3
    model = SGDRegressorPlus(optimizer=optimizer, max_iter=1, tol=None, random_state=0)
    _, peak = peak_of(model.fit, np.asfortranarray(X), X[:, 0])
    assert peak < 1.02 * X.nbytes + 100 * len(X)


SEARCHES = {
    "numbers": lambda: OnePassGridSearchCV(
        SGDRegressorPlus(max_iter=3, random_state=0), {"alpha": [0.1, 1.0]}, cv=3
    ),
    "classes": lambda: OnePassGridSearchCV(
        SGDClassifierPlus(max_iter=3, random_state=0), {"class_weight": [None, "balanced"]}, cv=3
    ),
    "early_stopping": lambda: OnePassGridSearchCV(
        SGDRegressorPlus(max_iter=3, early_stopping=True, random_state=0), {"alpha": [0.1, 1.0]}, cv=3
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("layout", ["c", "fortran_float32", "int64"])
def test_folds_of_a_search_are_copied_one_after_the_other(layout, name):
    X, y = many_values(6_000, 300)
    y = y > 0 if name == "classes" else y
    X = COPIED[layout](X)
    before = X.copy()
    search, peak = peak_of(SEARCHES[name]().fit, X, y)
    # The training rows as scaled, or converted, and the others.
    size = X.size * search.best_estimator_.coef_.itemsize
    assert peak < 1.15 * size + 0.5 * FEW_BYTES
    assert_array_equal(X, before)
    same = SEARCHES[name]().fit(np.array(X, dtype=search.best_estimator_.coef_.dtype, order="C"), y)
    assert_allclose(search.cv_results_["mean_test_score"], same.cv_results_["mean_test_score"], rtol=1e-9)


def test_a_scorer_that_is_a_function_sees_rows_as_they_came():
    X, y = many_values(300, 4)
    X, seen = COPIED["int64"](X), []

    def score(model, X, y):
        seen.append(X)
        return model.score(X, y)

    OnePassGridSearchCV(
        SGDRegressorPlus(max_iter=3, random_state=0), {"alpha": [0.1]}, scoring=score, cv=3
    ).fit(X, y)
    assert_array_equal(np.concatenate(seen), X, strict=True)
