"""`score_rows`, and the scores that predictions stand on."""

import numpy as np
import pytest
from scipy import sparse

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.scores import score_rows


def random_rows(dtype, index_dtype, n_rows=40, n_features=60, density=0.3):
    X = sparse.random_array(
        (n_rows, n_features), density=density, format="csr", dtype=dtype, rng=np.random.default_rng(0)
    )
    X.data -= dtype(0.5)
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    return X


@pytest.mark.parametrize("n_columns", [1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 20, 26, 31, 45, 64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_the_product(dtype, index_dtype, n_columns):
    X = random_rows(dtype, index_dtype)
    W = np.random.default_rng(1).standard_normal((60, n_columns)).astype(dtype)
    scores = score_rows(X, W)
    assert scores.dtype == dtype
    assert scores.flags.c_contiguous
    exact = X.toarray().astype(np.float64) @ W.astype(np.float64)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=50 * np.finfo(dtype).eps)
    # A column's score does not depend on the columns beside it.
    np.testing.assert_array_equal(scores[:, :1], score_rows(X, np.asfortranarray(W)[:, :1]))


@pytest.mark.parametrize("dtypes", [(np.int32, np.int64), (np.int64, np.int32)], ids=["long", "short"])
def test_indices_and_indptr_of_different_types(dtypes):
    X, W = random_rows(np.float64, np.int32), np.random.default_rng(1).standard_normal((60, 3))
    other = random_rows(np.float64, np.int32)
    other.indices, other.indptr = X.indices.astype(dtypes[0]), X.indptr.astype(dtypes[1])
    np.testing.assert_array_equal(score_rows(other, W), score_rows(X, W))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5)])
def test_rows_without_values_have_scores_of_zero(shape):
    scores = score_rows(sparse.csr_array(shape), np.ones((shape[1], 2)))
    np.testing.assert_array_equal(scores, np.zeros((shape[0], 2)))


@pytest.mark.parametrize(
    "convert",
    [sparse.csc_array, lambda X: X.toarray(), lambda X: X.astype(np.float32), sparse.csr_matrix],
    ids=["csc", "dense", "mixed", "csr_matrix"],
)
def test_other_matrices_are_multiplied_too(convert):
    X = random_rows(np.float64, np.int32)
    W = np.random.default_rng(1).standard_normal((60, 3))
    np.testing.assert_allclose(score_rows(convert(X), W), X.toarray() @ W, atol=1e-5)


def test_rows_whose_arrays_are_not_contiguous():
    X, W = random_rows(np.float64, np.int32), np.ones((60, 2))
    apart = X.copy()
    for name in ("data", "indices", "indptr"):
        values = np.zeros(2 * len(getattr(X, name)), getattr(X, name).dtype)
        values[::2] = getattr(X, name)
        setattr(apart, name, values[::2])
    np.testing.assert_array_equal(score_rows(apart, W), score_rows(X, W))


def test_weights_of_other_features_are_an_error():
    X = random_rows(np.float64, np.int32)
    model = SGDClassifierPlus(random_state=0).fit(X, np.arange(40) % 2)
    model.coef_ = model.coef_[:, :10].copy()
    with pytest.raises(ValueError, match="dimension"):
        model.decision_function(X)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("model", [SGDClassifierPlus(), SGDRegressorPlus()], ids=["classifier", "regressor"])
@pytest.mark.parametrize("sparsify", [False, True])
def test_rows_that_are_not_finite_are_refused(model, value, sparsify):
    X = random_rows(np.float64, np.int32)
    model = model.set_params(penalty="l1", alpha=0.1, random_state=0).fit(X, np.arange(40) % 2)
    bad = X.toarray()
    # One whose weight is zero counts too.
    feature = int(np.flatnonzero(np.ravel(model.coef_) == 0)[0])
    bad[3, feature] = value
    if sparsify:
        model.sparsify()
    for rows in (bad, sparse.csr_array(bad)):
        with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
            model.predict(rows)


def test_scores_that_overflow_are_returned():
    X = sparse.csr_array(np.array([[1e200], [1.0]]))
    model = SGDClassifierPlus(random_state=0).fit(np.array([[0.0], [1.0]]), [0, 1])
    model.coef_ = np.array([[1e200]])
    assert model.decision_function(X)[0] == np.inf
