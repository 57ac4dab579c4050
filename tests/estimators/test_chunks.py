"""Chunks that touch few of the features: they are trained on those alone, and nobody is to notice."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto import part
from sgdkit.auto.part import GROWN
from sgdkit.estimators import touched
from sgdkit.training import trainer
from tests.internals import scaling_of, trainer_of
from tests.problems import STOCHASTIC

N_FEATURES, CHUNK, CLASSES = 1 << 13, 100, [0, 1, 2]


def hashed(n_rows=1000, dtype=np.float64, seed=0):
    """Rows of rare and frequent features, as texts are when they are hashed, and classes that depend on them."""
    rng = np.random.default_rng(seed)
    features = np.floor(N_FEATURES ** rng.random((n_rows, 20))).astype(np.int64) * 7919 % N_FEATURES
    X = sparse.csr_array((np.ones(n_rows * 20), features.ravel(), np.arange(0, n_rows * 20 + 1, 20)))
    X.resize(n_rows, N_FEATURES)
    X.sum_duplicates()
    scores = X @ np.random.default_rng(1).standard_normal((N_FEATURES, 3))
    return sparse.csr_array(X, dtype=dtype), scores.argmax(axis=1)


X, Y = hashed()


def stream(model, X=X, y=Y, between=lambda model: model, n_chunks=10):
    """Train chunk by chunk; between them, a model may be replaced."""
    for begin in range(0, n_chunks * CHUNK, CHUNK):
        part = slice(begin, begin + CHUNK)
        options = {"classes": CLASSES} if isinstance(model, SGDClassifierPlus) else {}
        model = between(model.partial_fit(X[part], y[part], **options))
    return model


def is_made(model):
    return "coef_" in vars(model)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def asked(model):
    assert model.coef_.any()
    return model


@pytest.mark.parametrize("between", [through_pickle, copy.deepcopy, copy.copy, asked])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_nothing_between_chunks_changes_a_bit(optimizer, penalty, between):
    model = SGDClassifierPlus(optimizer=optimizer, penalty=penalty, random_state=0)
    plain, other = stream(clone(model)), stream(clone(model), between=between)
    assert not is_made(plain)
    assert_array_equal(plain.coef_, other.coef_)
    assert_array_equal(plain.intercept_, other.intercept_)
    assert plain.loss_curve_ == other.loss_curve_
    assert plain.t_ == other.t_


@pytest.mark.parametrize(
    ("penalty", "dtype"),
    [("l2", np.float32), ("l1", np.float64), ("elasticnet", np.float64), (None, np.float32)],
)
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_chunks_on_their_features_are_chunks_on_all(optimizer, penalty, dtype, monkeypatch):
    """But for the penalty that features missed, which comes in one step: of l2, that is not quite that of many."""
    model = SGDClassifierPlus(optimizer=optimizer, penalty=penalty, alpha=1e-4, eta0=0.01, random_state=0)
    X, y = hashed(dtype=dtype)
    part, whole = clone(model), clone(model)
    for _ in range(3):
        stream(part, X, y)
    assert not is_made(part)
    monkeypatch.setattr(touched, "MANY_FEATURES", N_FEATURES + 1)
    for _ in range(3):
        stream(whole, X, y)
    assert is_made(whole)
    close = 1e-12 if penalty == "l1" else 1e-4
    assert_allclose(part.coef_, whole.coef_, rtol=0, atol=close * np.abs(whole.coef_).max())
    # The penalty of what waits is that of when it took its own last.
    assert_allclose(part.loss_curve_, whole.loss_curve_, rtol=5e-3)


@pytest.mark.parametrize("average", [False, 150])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_without_a_penalty_they_are_the_same(optimizer, average, monkeypatch):
    model = SGDRegressorPlus(optimizer=optimizer, alpha=0, eta0=0.01, standardize=False, average=average)
    part = stream(clone(model).set_params(random_state=0), y=X[:, [3]].toarray().ravel() + Y)
    monkeypatch.setattr(touched, "MANY_FEATURES", N_FEATURES + 1)
    whole = stream(clone(model).set_params(random_state=0), y=X[:, [3]].toarray().ravel() + Y)
    assert_allclose(part.coef_, whole.coef_, rtol=1e-9, atol=1e-12)
    assert_allclose(part.loss_curve_, whole.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_dense_rows_and_absent_ones_are_the_same(optimizer):
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    expected = stream(clone(model), n_chunks=4)
    dense = stream(clone(model), X.toarray(), n_chunks=4)
    assert_array_equal(dense.coef_, expected.coef_)
    absent = clone(model)
    for begin in range(0, 400, CHUNK):
        rows = np.repeat(np.arange(begin, begin + CHUNK), 2)
        weights, labels = np.tile([1.0, 0.0], CHUNK), np.where(np.arange(2 * CHUNK) % 2, 0, Y[rows])
        noise = X[rows][:, np.random.default_rng(begin).permutation(N_FEATURES)]
        mixed = sparse.csr_array(
            sparse.diags_array(weights) @ X[rows] + sparse.diags_array(1 - weights) @ noise
        )
        absent.partial_fit(mixed, labels, classes=CLASSES, sample_weight=weights)
    assert_allclose(absent.coef_, expected.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_unsorted_rows_with_zeros_and_duplicates_are_the_same(optimizer):
    """But for rounding: what rows show comes in another order."""
    expected = stream(SGDClassifierPlus(optimizer=optimizer, random_state=0), n_chunks=4)
    rng, n = np.random.default_rng(0), X.nnz
    rows = np.repeat(np.arange(len(Y)), np.diff(X.indptr))
    rows, features = (
        np.concatenate([rows, rows, rows]),
        np.concatenate([X.indices, X.indices, (X.indices + 1) % 99]),
    )
    values = np.concatenate([X.data - 0.25, np.full(n, 0.25), np.zeros(n)])
    order = rng.permutation(3 * n)
    order = order[np.argsort(rows[order], kind="stable")]
    mixed = sparse.csr_array((values[order], features[order].astype(np.int64), 3 * X.indptr), shape=X.shape)
    other = stream(SGDClassifierPlus(optimizer=optimizer, random_state=0), mixed, n_chunks=4)
    assert_allclose(other.coef_, expected.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_predictions_make_no_coefficients(optimizer):
    model = stream(SGDClassifierPlus(optimizer=optimizer, random_state=0))
    scores = model.decision_function(X[:100])
    assert not is_made(model)
    assert model.coef_.shape == (3, N_FEATURES)
    assert_allclose(model.decision_function(X[:100]), scores, rtol=1e-9, atol=1e-12)
    again = stream(clone(model))
    for _ in range(N_FEATURES // X[:100].nnz + 1):
        assert_array_equal(again.predict(X[:100]), model.predict(X[:100]))
    assert is_made(again)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_an_error_leaves_what_was_before_the_chunk(optimizer):
    model, other = (stream(SGDClassifierPlus(optimizer=optimizer, random_state=0)) for _ in range(2))
    bad = X[:CHUNK].copy()
    bad.data[-1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(bad, Y[:CHUNK])
    with pytest.raises(ValueError, match="overflow"):
        model.partial_fit(1e200 * X[:CHUNK], Y[:CHUNK])
    for model_ in model, other:
        model_.partial_fit(X[CHUNK : 2 * CHUNK], Y[CHUNK : 2 * CHUNK])
    assert_array_equal(model.coef_, other.coef_)
    assert model.loss_curve_ == other.loss_curve_


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_a_chunk_that_overflows_leaves_the_weights(optimizer):
    options = {"optimizer": optimizer, "standardize": False, "eta0": 0.01, "alpha": 0, "batch_size": 1}
    model = stream(SGDRegressorPlus(**options, random_state=0), y=Y)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="lower eta0"):
        model.set_params(eta0=1e300).partial_fit(X[:CHUNK], Y[:CHUNK])
    assert_array_equal(model.coef_, before.coef_)
    again = (m.set_params(eta0=0.01).partial_fit(X[:CHUNK], Y[:CHUNK]) for m in (model, before))
    assert_array_equal(*(m.coef_ for m in again))


@pytest.mark.parametrize("change", ["in place", "replaced", "sparse", "intercept"])
def test_coefficients_that_were_changed_are_gone_on_from(change):
    model = stream(SGDClassifierPlus(eta0=1e-12, random_state=0))
    if change == "in place":
        model.coef_ += 1.0
    elif change == "replaced":
        model.coef_ = np.ones_like(model.coef_)
    elif change == "sparse":
        model.coef_ *= X[:50].sum(axis=0) > 0
        model.sparsify()
    else:
        model.intercept_ = np.arange(3.0)
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    coef = coef.toarray() if sparse.issparse(coef) else coef
    stream(model, n_chunks=2)
    assert_allclose(model.coef_, coef, atol=1e-6)
    assert_allclose(model.intercept_, intercept, atol=1e-6)


def test_coefficients_that_were_returned_stay_as_they_are():
    model = stream(SGDClassifierPlus(random_state=0))
    coef, intercept = model.coef_, model.intercept_
    before = coef.copy(), intercept.copy()
    stream(model)
    assert_array_equal(coef, before[0])
    assert_array_equal(intercept, before[1])
    assert not np.array_equal(coef, model.coef_)


def test_who_looks_for_coefficients_finds_them():
    model = stream(SGDClassifierPlus(random_state=0))
    assert hasattr(model, "coef_")
    assert SelectFromModel(stream(clone(model)), prefit=True).transform(X).shape[0] == len(Y)
    assert not hasattr(clone(model), "coef_")
    with pytest.raises(AttributeError, match="no attribute 'coef'"):
        _ = model.coef
    dropped = stream(clone(model)).drop_training_state()
    assert_array_equal(dropped.coef_, model.coef_)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_a_fit_goes_on_from_chunks(optimizer):
    model = stream(SGDClassifierPlus(optimizer=optimizer, warm_start=True, eta0=1e-12, random_state=0))
    before = copy.deepcopy(model).coef_
    model.set_params(max_iter=1, tol=None).fit(X, Y)
    assert_allclose(model.coef_, before, atol=1e-6)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_chunks_go_on_from_a_fit(optimizer):
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=3, tol=None).fit(X, Y)
    accuracy = model.score(X, Y)
    assert stream(model, n_chunks=3).score(X, Y) > accuracy - 0.05


def test_a_change_of_the_penalty_is_one_for_all_features():
    model = stream(SGDClassifierPlus(alpha=1e-4, random_state=0))
    model.set_params(penalty="l1", alpha=0.1)
    assert (stream(model, n_chunks=5).coef_ == 0).mean() > (stream(clone(model)).coef_ == 0).mean() - 0.1


# --------------------------------------------------------------------------------------------------- the scale


def test_what_features_have_in_common_is_chosen_when_rows_have_doubled():
    model, chosen = SGDClassifierPlus(random_state=0), []
    stream(model, between=lambda model: chosen.append(scaling_of(model).chosen_at) or model)
    assert_array_equal(np.unique(chosen), CHUNK * GROWN ** np.arange(4))
    assert scaling_of(model).n_rows == len(Y)
    moments = np.zeros_like(scaling_of(model).moments)
    moments[:, 0], moments[:, 1] = (X != 0).sum(axis=0), (X != 0).sum(axis=0)
    assert_array_equal(scaling_of(model).moments[:, :2], moments[:, :2])


def test_a_feature_that_drifts_is_scaled_anew_at_once():
    model = stream(SGDClassifierPlus(optimizer="adagrad", random_state=0), n_chunks=9)
    chosen_at = scaling_of(model).chosen_at
    most = np.argmax(np.minimum(X[:-CHUNK].sum(axis=0), X[-CHUNK:].sum(axis=0)))
    scale, scores = scaling_of(model).scale.copy(), model.decision_function(X)
    chunk = X[-CHUNK:].copy()
    chunk.data[chunk.indices == most] *= 1e5
    model.set_params(eta0=1e-12).partial_fit(chunk, Y[-CHUNK:])
    assert scaling_of(model).chosen_at == chosen_at
    assert scaling_of(model).scale[most] > 100 * scale[most]
    assert_array_equal(np.delete(scaling_of(model).scale, most), np.delete(scale, most))
    # Its weight is made to reach so far; of rows without it, nothing has changed.
    others = X[:, [most]].toarray().ravel() == 0
    assert_allclose(model.decision_function(X)[others], scores[others], rtol=1e-6, atol=1e-6)


def test_a_feature_that_every_row_had_until_now():
    dense = sparse.csr_array(sparse.hstack([X[:, 1:], 5.0 + X[:, [5]].toarray()]))
    model = stream(SGDClassifierPlus(optimizer="adagrad", random_state=0), dense, n_chunks=5)
    assert scaling_of(model).mean[-1] > 4
    scores = model.decision_function(dense)
    model.set_params(eta0=1e-12)
    stream(model, X, n_chunks=1)
    assert scaling_of(model).mean[-1] == 0
    assert_allclose(model.decision_function(dense), scores, rtol=1e-6, atol=1e-6)


def test_a_stream_of_far_apart_units():
    units = 10.0 ** np.random.default_rng(0).uniform(-4, 4, N_FEATURES)
    model = SGDClassifierPlus(random_state=0)
    scaled = sparse.csr_array(X @ sparse.diags_array(units))
    plain, other = stream(clone(model)), stream(clone(model), scaled)
    assert not is_made(other)
    assert other.score(scaled, Y) > plain.score(X, Y) - 0.05


@pytest.mark.parametrize("batch_size", [1, 10, CHUNK])
def test_features_wait_for_the_penalty(batch_size):
    """What no chunk touches shrinks as if it had been there all the time."""
    model = SGDClassifierPlus(optimizer="sgd", penalty="l2", alpha=0.05, eta0=0.1, learning_rate="constant")
    model.set_params(batch_size=batch_size, standardize=False, random_state=0)
    stream(model, n_chunks=1)
    rare = np.flatnonzero((X[:CHUNK].sum(axis=0) > 0) & (X[CHUNK:500].sum(axis=0) == 0))
    before = model.coef_[:, rare].copy()
    for begin in range(CHUNK, 500, CHUNK):
        model.partial_fit(X[begin : begin + CHUNK], Y[begin : begin + CHUNK])
    n_steps = trainer_of(model).n_steps - CHUNK // batch_size
    assert_allclose(model.coef_[:, rare], before / (1 + 0.05 * 0.1) ** n_steps, rtol=1e-12)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_what_weights_are_multiplied_by_while_they_wait_is_no_matter(optimizer, penalty, monkeypatch):
    options = {"optimizer": optimizer, "penalty": penalty, "alpha": 1e-2, "eta0": 0.1}
    expected = stream(SGDClassifierPlus(**options, random_state=0))
    monkeypatch.setattr(trainer, "LARGEST_GROWTH", 1.0)
    model = stream(SGDClassifierPlus(**options, random_state=0))
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-14)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_the_penalty_of_the_objective_is_that_of_all_weights(optimizer, penalty):
    """Also of those that wait, as they were when they took theirs last."""
    options = {"optimizer": optimizer, "penalty": penalty, "alpha": 0.1, "eta0": 1e-3, "standardize": False}
    model = stream(SGDClassifierPlus(**options, random_state=0), n_chunks=9)
    rows, y = X[900:], Y[900:]
    before = model.coef_.copy()
    model.set_params(eta0=1e-12).partial_fit(rows, y)
    norm = np.abs(before).sum() if penalty == "l1" else np.square(before).sum() / 2
    losses = -np.log(model.predict_proba(rows)[np.arange(len(y)), y]).mean()
    assert_allclose(model.loss_curve_[-1], losses + 0.1 * norm, rtol=0.02)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_some_rows_of_a_chunk_tell_what_features_have_in_common(optimizer, monkeypatch):
    scaled = sparse.csr_array(sparse.diags_array(1 / np.sqrt(np.diff(X.indptr))) @ X)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    every = stream(clone(model), scaled)
    monkeypatch.setattr(part, "MOST_ROWS", CHUNK // 4)
    some = stream(clone(model), scaled)
    assert scaling_of(some).n_rows < scaling_of(every).n_rows
    assert scaling_of(some).total == scaling_of(every).total == len(Y)
    assert_allclose(scaling_of(some).shared, scaling_of(every).shared, rtol=0.02)
    assert abs(some.score(scaled, Y) - every.score(scaled, Y)) < 0.02


def test_values_far_from_the_common_scale_of_features_that_are_near_it_change_nothing():
    model = stream(SGDClassifierPlus(optimizer="adagrad", eta0=0.01, random_state=0), n_chunks=9)
    most = np.argmax(np.minimum(X[: 9 * CHUNK].sum(axis=0), X[9 * CHUNK :].sum(axis=0)))
    other, scale = copy.deepcopy(model), scaling_of(model).scale.copy()
    for factor, changed in (1e-3, False), (1e-300, False), (1e3, True):
        chunk, model = X[9 * CHUNK :].copy(), copy.deepcopy(other)
        chunk.data[np.flatnonzero(chunk.indices == most)[:1]] *= factor
        model.partial_fit(chunk, Y[9 * CHUNK :])
        assert (scaling_of(model).scale[most] != scale[most]) == changed
