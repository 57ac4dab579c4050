"""Going on after something went wrong, changed, or had nothing to teach: the model stays what it was."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.optimizers import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 5))
W = RNG.standard_normal((5, 3))
CLASSES = (X @ W).argmax(axis=1)
NUMBERS = X @ W[:, 0]


def test_from_blocks_of_columns_to_a_coupled_loss():
    model = SGDClassifierPlus("hinge", n_jobs=3, warm_start=True, optimizer="sgd", random_state=0)
    model.fit(X, CLASSES).set_params(loss="log_loss").fit(X, CLASSES)
    assert model.loss_curve_[-1] >= 0
    assert model.score(X, CLASSES) > 0.95


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "rmsprop", "sgd"])
def test_a_lower_rate_helps_after_an_overflow(optimizer):
    options = {"standardize": False, "alpha": 1e-4, "batch_size": 1, "random_state": 0}
    model = SGDRegressorPlus(optimizer=optimizer, warm_start=True, eta0=0.01, **options)
    model.fit(X, NUMBERS)
    with pytest.raises(ValueError, match="lower eta0"):
        model.set_params(eta0=1e300).fit(X, NUMBERS)
    assert model.set_params(eta0=0.01).fit(X, NUMBERS).score(X, NUMBERS) > 0.9


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_without_a_feature(optimizer):
    """A chunk of texts without a known word, for one."""
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=2, tol=None)
    model.fit(sparse.csr_matrix((600, 5)), CLASSES)
    dense = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=2, tol=None).fit(0 * X, CLASSES)
    assert_allclose(model.intercept_, dense.intercept_)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    model.partial_fit(sparse.csr_array((3, 5)), [0, 1, 2], classes=[0, 1, 2])
    for _ in range(30):
        model.partial_fit(X, CLASSES)
    assert model.score(X, CLASSES) > 0.8


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "rmsprop"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_first_chunk_of_one_row(optimizer, size):
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0).partial_fit(X[:1], size * NUMBERS[:1])
    for _ in range(50):
        model.partial_fit(X, size * NUMBERS)
    assert model.score(X, size * NUMBERS) > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam", "rmsprop", "gd"])
def test_beginning_at_the_minimum_stays_there(optimizer):
    model = SGDRegressorPlus(optimizer=optimizer, penalty=None, random_state=0)
    model.fit(X, X[:, 0], coef_init=[1, 0, 0, 0, 0], intercept_init=[0])
    assert model.score(X, X[:, 0]) > 0.999


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "rmsprop"])
def test_given_weights_outlast_a_penalty_that_has_no_metric_yet(optimizer):
    sparse_X = sparse.random(3000, 2000, 0.005, format="csr", random_state=0)
    weights = np.random.default_rng(0).standard_normal(2000)
    model = SGDRegressorPlus(optimizer=optimizer, max_iter=1, tol=None, eta0=1e-6, random_state=0)
    model.fit(sparse_X, sparse_X @ weights, coef_init=weights, intercept_init=[0.0])
    assert np.abs(model.coef_).sum() > 0.8 * np.abs(weights).sum()


def test_a_first_chunk_without_an_event():
    counts = np.random.default_rng(0).poisson(np.exp(NUMBERS / 3))
    model = SGDRegressorPlus("poisson", random_state=0).partial_fit(X[counts == 0][:5], np.zeros(5))
    for _ in range(20):
        model.partial_fit(X, counts)
    assert model.loss_curve_[-1] < 0.7 * SGDRegressorPlus("poisson").fit(0 * X, counts).loss_curve_[-1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_intercept_that_is_not_fitted_is_an_offset(optimizer):
    options = {"optimizer": optimizer, "fit_intercept": False, "random_state": 0, "alpha": 1e-6, "tol": 1e-5}
    model = SGDRegressorPlus(**options).fit(X, NUMBERS + 10, intercept_init=[10.0])
    assert_array_equal(model.intercept_, 10.0)
    assert model.score(X, NUMBERS + 10) > 0.99


@pytest.mark.parametrize("index", [-1, 5, 10**8])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_indices_outside_of_the_matrix(index, dtype):
    broken = sparse.csr_matrix(X)
    broken.indices, broken.indptr = broken.indices.astype(dtype), broken.indptr.astype(dtype)
    broken.indices[4] = index
    with pytest.raises(ValueError, match="ind"):
        SGDClassifierPlus(eta0=0.1).fit(broken, CLASSES)


def test_an_error_leaves_the_counts_of_partial_fit():
    model = SGDRegressorPlus(random_state=0).partial_fit(X, NUMBERS)
    with pytest.raises(ValueError, match="2"):
        model.partial_fit(X, np.column_stack([NUMBERS, NUMBERS]), sample_weight=np.full(600, 100.0))
    other = SGDRegressorPlus(random_state=0).partial_fit(X, NUMBERS)
    weights = np.linspace(0.5, 2, 600)
    model.partial_fit(X, NUMBERS, sample_weight=weights)
    assert_array_equal(model.coef_, other.partial_fit(X, NUMBERS, sample_weight=weights).coef_)


@pytest.mark.parametrize("indicator", [2 * (X @ W > 0) - 1, (X @ W > 0) + 1])
def test_an_indicator_of_other_numbers(indicator):
    with pytest.raises(ValueError, match="0 and 1"):
        SGDClassifierPlus().fit(X, indicator)


def test_a_score_that_is_not_finite():
    model = SGDRegressorPlus(early_stopping=True, scoring=lambda estimator, X, y: -np.inf, eta0=0.1)
    with pytest.raises(ValueError, match="score of epoch 1 is -inf"):
        model.fit(X, NUMBERS)


def test_a_scorer_that_takes_no_weights():
    options = {"early_stopping": True, "random_state": 0}
    weights = np.ones(600)
    model = SGDClassifierPlus(scoring=lambda estimator, X, y: estimator.score(X, y), **options)
    assert model.fit(X, CLASSES, sample_weight=weights).score(X, CLASSES) > 0.9
    model = SGDRegressorPlus(scoring="neg_max_error", **options).fit(X, NUMBERS, sample_weight=weights)
    assert model.score(X, NUMBERS) > 0.9


def test_a_model_does_not_keep_the_data():
    model = SGDClassifierPlus(optimizer="gd").fit(X, CLASSES)
    assert model._trainer.states[0]._cached is None
