"""The contracts of the package, a test for each: what must not change a fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import get_scorer

from sgdkit import SGDClassifierPlus
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests.pairs import all_pairs
from tests.problems import (
    ADAPTIVE,
    FULL_BATCH,
    KINDS,
    N_ROWS,
    STATEFUL,
    assert_same_model,
    has_kinks,
    make,
    make_X,
    make_y,
    penalty_with_kinks,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ----------------------------------------------------------------------------------------- epochs in one call


@all_pairs
@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
@pytest.mark.parametrize("tol", [None, 1e-2, 10.0])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_the_same_one_by_one(kind, optimizer, batch_size, tol, learning_rate):
    """A fit that prints a line an epoch looks at each of them; others run as many in one call as are sure to come."""
    X = make_X()
    options = {"optimizer": optimizer, "batch_size": batch_size, "tol": tol, "max_iter": 33}
    options |= {"learning_rate": learning_rate, "eta0": 0.05, "n_iter_no_change": 3}
    together = make(kind, **options).fit(X, make_y(X, kind))
    one_by_one = make(kind, verbose=1, **options).fit(X, make_y(X, kind))
    assert_same_model(together, one_by_one)
    assert together.t_ == one_by_one.t_
    # The shuffling goes on from the same place.
    assert_same_model(*(model.partial_fit(X, make_y(X, kind)) for model in (together, one_by_one)))


# ------------------------------------------------------------------------------------- weights are repetition


@all_pairs
@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetition(kind, optimizer, to_input):
    X = make_X()
    y, weights = make_y(X, kind), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    # More epochs would let rounding grow where a sign or a root follows it.
    options = {"alpha": 0.01, "batch_size": 1000, "max_iter": 10, **penalty_with_kinks(optimizer)}
    model = make(kind, optimizer=optimizer, **options)
    a = clone(model).fit(to_input(X), y, sample_weight=weights)
    b = clone(model).fit(to_input(X[repeated]), y[repeated])
    assert_same_model(a, b, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_repetition_at_any_scale_of_the_targets(optimizer, scale):
    X = make_X()
    y, weights = scale * make_y(X, "number"), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    model = make("number", optimizer=optimizer, batch_size=1000, max_iter=10)
    a, b = clone(model).fit(X, y, sample_weight=weights), clone(model).fit(X[repeated], y[repeated])
    assert_allclose(a.coef_ / scale, b.coef_ / scale, rtol=0, atol=1e-9)
    assert_allclose(a.intercept_ / scale, b.intercept_ / scale, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetition_in_validation(kind):
    X, X_val = make_X(), make_X(seed=5)
    y, y_val, weights = make_y(X, kind), make_y(X_val, kind), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    model = make(kind, early_stopping=True, batch_size=1)
    a = clone(model).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    b = clone(model).fit(X, y, X_val=X_val[repeated], y_val=y_val[repeated])
    assert_same_model(a, b)
    assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-12)


@all_pairs
@pytest.mark.parametrize("scale", [1e-6, 0.5, 1e6])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_unit_of_weights_does_not_matter(optimizer, batch_size, scale):
    X = make_X()
    y, weights = make_y(X, "classes"), 1.0 + np.arange(N_ROWS) % 3
    model = make("classes", optimizer=optimizer, batch_size=batch_size, alpha=1e-3)
    a, b = (
        clone(model).fit(X, y, sample_weight=weights),
        clone(model).fit(X, y, sample_weight=scale * weights),
    )
    assert_same_model(a, b, rtol=1e-10)


@all_pairs
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_weight_row_is_an_absent_row(kind, optimizer, batch_size, early_stopping):
    X = make_X(n_rows=90)
    y, weights = make_y(X, kind), 1.0 + np.arange(90) % 2
    absent = np.arange(90) % 4 == 1
    # What is said of those rows is of no account.
    X_wild, y_wild = X.copy(), y.copy()
    X_wild[absent] = 1e3
    y_wild[absent] = y[0]
    model = make(kind, optimizer=optimizer, batch_size=batch_size, average=20)
    model.set_params(early_stopping=early_stopping, validation_fraction=0.3, max_iter=6)
    a = clone(model).fit(X_wild, y_wild, sample_weight=np.where(absent, 0.0, weights))
    b = clone(model).fit(X[~absent], y[~absent], sample_weight=weights[~absent])
    # NumPy adds and multiplies arrays of other lengths in another order.
    assert_same_model(a, b, rtol=1e-10)
    if early_stopping:
        assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-10)
        assert a.best_iter_ == b.best_iter_


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_weight_row_is_an_absent_row_in_partial_fit(kind):
    X = make_X()
    y, absent = make_y(X, kind), np.arange(N_ROWS) % 4 == 1
    options = {"classes": np.unique(y)} if kind in ("binary", "classes") else {}
    a, b = make(kind), make(kind)
    for _ in range(3):
        a.partial_fit(X, y, sample_weight=np.where(absent, 0.0, 1.0), **options)
        b.partial_fit(X[~absent], y[~absent], **options)
    assert_same_model(a, b, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_without_weight_changes_nothing(kind):
    X = make_X()
    model = make(kind).fit(X, make_y(X, kind))
    before = model.coef_.copy()
    model.partial_fit(X, make_y(X, kind), sample_weight=np.zeros(N_ROWS))
    assert_array_equal(model.coef_, before)


@pytest.mark.parametrize("class_weight", [{0: 2.0, 1: 0.5, 2: 1.0}, "balanced"])
@pytest.mark.parametrize("batch_size", [1, N_ROWS])
def test_class_weight_is_sample_weight(class_weight, batch_size):
    X = make_X()
    y, weights = make_y(X, "classes"), 1.0 + np.arange(N_ROWS) % 2
    totals = np.bincount(y, weights)
    of_class = np.array([2.0, 0.5, 1.0]) if isinstance(class_weight, dict) else totals.sum() / (3 * totals)
    model = make("classes", batch_size=batch_size)
    a = clone(model).set_params(class_weight=class_weight).fit(X, y, sample_weight=weights)
    b = clone(model).fit(X, y, sample_weight=weights * of_class[y])
    assert_same_model(a, b, rtol=1e-12)


# ------------------------------------------------------------------------------------- same seed, same result


@all_pairs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_a_column_alone_is_what_it_is_among_others_whatever_the_length_of_rows(
    optimizer, penalty, batch_size, dtype
):
    """Alone, features are worked on four at a time, and held in a buffer of a few hundred."""
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 256, 257, 513, 600]
    X = sparse.lil_array((2 * len(lengths), 600), dtype=dtype)
    for row, length in enumerate(np.repeat(lengths, 2)):
        X[row, rng.permutation(600)[:length]] = rng.normal(size=length)
    X, y = X.tocsr(), rng.integers(2, size=X.shape[0])
    model = SGDClassifierPlus(
        optimizer=optimizer, penalty=penalty, batch_size=batch_size, eta0=0.01, alpha=0.1, random_state=0
    ).set_params(standardize=False)
    alone, among = clone(model), clone(model)
    # A first call of short rows: the buffer has to grow.
    for rows in (slice(10), slice(None), slice(None)):
        alone.partial_fit(X[rows], y[rows], classes=[0, 1])
        among.partial_fit(X[rows], np.c_[y, y, 1 - y][rows], classes=[0, 1, 2])
    assert_array_equal(among.coef_[0], among.coef_[1])
    assert_array_equal(alone.coef_[0], among.coef_[0])
    assert_array_equal(alone.intercept_, among.intercept_[:1])
    assert alone.coef_.any()


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("average", [False, 30])
@pytest.mark.parametrize("penalty", [None, "l2", "elasticnet"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
def test_same_seed_same_result_for_any_n_jobs(kind, optimizer, batch_size, penalty, average):
    X = sparse.csr_array(make_X())
    y = make_y(X, kind)
    options = {"multi_class": "ovr"} if kind == "classes" else {}
    model = make(
        kind, optimizer=optimizer, batch_size=batch_size, average=average, penalty=penalty, **options
    )
    fits = [clone(model).set_params(n_jobs=n).fit(X, y) for n in (None, 2, 3)]
    for other in fits[1:]:
        assert_same_model(fits[0], other)
    another = clone(model).set_params(random_state=1).fit(X, y)
    assert np.array_equal(fits[0].coef_, another.coef_) == (optimizer in FULL_BATCH)


@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
def test_same_seed_same_result_for_any_n_jobs_in_early_stopping(kind):
    X = make_X()
    y = make_y(X, kind)
    options = {"multi_class": "ovr"} if kind == "classes" else {}
    model = make(kind, early_stopping=True, tol=1e-3, max_iter=50, batch_size=1, **options)
    one, three = (clone(model).set_params(n_jobs=n).fit(X, y) for n in (1, 3))
    assert_same_model(one, three)
    assert one.validation_scores_ == three.validation_scores_


def test_fit_forgets_the_fit_before():
    X = make_X()
    y = make_y(X, "classes")
    model = make("classes", batch_size=1)
    once, twice = clone(model).fit(X, y), clone(model).fit(X[::-1] * 3, y).fit(X, y)
    assert_same_model(once, twice)


# ------------------------------------------------------------------------- what is scored is what is returned


def mean_loss(model, X, y, weights):
    """Of softmax, and of squared errors summed over outputs."""
    if isinstance(model, SGDClassifierPlus):
        losses = -model.predict_log_proba(X)[np.arange(len(y)), y]
    else:
        losses = (model.predict(X) - y) ** 2 / 2
    return np.average(losses.reshape(len(y), -1).sum(axis=1), weights=weights)


@all_pairs
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("kind", "scoring"),
    [
        ("classes", "loss"),
        ("classes", "accuracy"),
        ("classes", "neg_log_loss"),
        ("numbers", "loss"),
        ("number", "r2"),
    ],
)
def test_what_is_scored_is_what_is_returned(kind, scoring, optimizer, average, weighted):
    X, X_val = make_X(), make_X(seed=5)
    y, y_val = make_y(X, kind), make_y(X_val, kind)
    weights = 1.0 + np.arange(N_ROWS) % 3 if weighted else None
    model = make(
        kind, optimizer=optimizer, batch_size=7, early_stopping=True, scoring=scoring, average=average
    )
    model.set_params(max_iter=12).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    assert model.n_iter_ == len(model.validation_scores_) == len(model.loss_curve_)
    assert model.validation_scores_[model.best_iter_ - 1] == max(model.validation_scores_)
    assert model.best_iter_ == 1 + np.argmax(model.validation_scores_)
    if scoring == "loss":
        score = -mean_loss(model, X_val, y_val, weights)
    else:
        score = get_scorer(scoring)(model, X_val, y_val, sample_weight=weights)
    assert_allclose(model.validation_scores_[model.best_iter_ - 1], score, rtol=1e-10)


def test_the_best_epoch_is_that_of_a_fit_which_ends_there():
    X, X_val = make_X(), make_X(seed=5)
    y, y_val = make_y(X, "classes"), make_y(X_val, "classes")
    model = make("classes", optimizer="sgd", learning_rate="constant", eta0=0.3, batch_size=1, max_iter=20)
    stopped = clone(model).set_params(early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val)
    assert 1 < stopped.best_iter_ < 20
    shorter = clone(model).set_params(max_iter=stopped.best_iter_).fit(X, y)
    assert_array_equal(stopped.coef_, shorter.coef_)
    assert_array_equal(stopped.intercept_, shorter.intercept_)
