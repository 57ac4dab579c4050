"""Rows that have few of the features, as hashed ones: fits leave the others out, and nobody is to notice."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.estimators import subset
from sgdkit.estimators.subset import on_subset
from sgdkit.model_selection import OnePassGridSearchCV, regularization_path
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests.pairs import all_pairs
from tests.problems import LOSSES, STOCHASTIC, has_kinks

N_FEATURES = 1 << 14


def hashed(n_rows=400, n_features=N_FEATURES, seed=0):
    """Rows of rare and frequent features in no order, with duplicates, and numbers that depend on them."""
    rng = np.random.default_rng(seed)
    words = np.floor(1000 ** rng.random((n_rows, 20))).astype(np.int64)
    features = np.random.default_rng(7).permutation(n_features)[words]
    weights = np.random.default_rng(1).standard_normal(n_features)
    begins = np.arange(0, n_rows * 20 + 1, 20)
    X = sparse.csr_array((rng.random(n_rows * 20), features.ravel(), begins), shape=(n_rows, n_features))
    return X, X @ weights + 0.1 * rng.standard_normal(n_rows)


X, Y = hashed()
OTHER, _ = hashed(n_features=N_FEATURES, seed=3)
# Features that no row of X has.
ELSEWHERE = sparse.csr_array(OTHER[:, np.random.default_rng(5).permutation(N_FEATURES)])


@pytest.fixture
def on_all(monkeypatch):
    """A function that does something on all features."""

    def act(do):
        with monkeypatch.context() as patch:
            patch.setattr(subset, "MANY_FEATURES", N_FEATURES + 1)
            return do()

    return act


def targets_of(cls):
    return np.digitize(Y, np.quantile(Y, [0.4, 0.7])) if cls is SGDClassifierPlus else np.exp(Y / 4)


def assert_same_model(one, other, rtol=1e-6):
    scale = np.abs(other.coef_).max()
    assert_allclose(one.coef_, other.coef_, rtol=rtol, atol=rtol * scale)
    assert_allclose(one.intercept_, other.intercept_, rtol=rtol, atol=rtol)
    assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol)
    assert one.t_ == other.t_
    assert_allclose(one.eta0_, other.eta0_, rtol=rtol)


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize(("cls", "loss"), LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("average", [False, 150])
@pytest.mark.parametrize("early_stopping", [False, True, "own", "scored"])
@pytest.mark.parametrize("n_rows", [100, 400])
def test_a_fit_is_the_one_on_all_features(
    optimizer, cls, loss, penalty, standardize, average, early_stopping, n_rows, on_all
):
    options = {"early_stopping": bool(early_stopping), "l1_ratio": 0.5, "average": average}
    if early_stopping == "scored":
        options["scoring"] = "accuracy" if cls is SGDClassifierPlus else "neg_mean_absolute_error"
    model = cls(loss, optimizer=optimizer, penalty=penalty, standardize=standardize, **options)
    model.set_params(random_state=0, max_iter=6, tol=None)
    x, y = X[:n_rows], targets_of(cls)[:n_rows]
    own = {"X_val": ELSEWHERE, "y_val": targets_of(cls)} if early_stopping == "own" else {}
    whole, few = on_all(lambda: clone(model).fit(x, y, **own)), clone(model).fit(x, y, **own)
    assert few._past.subset is not None
    assert whole._past.subset is None
    assert_same_model(few, whole)
    assert_allclose(few.validation_scores_ or [], whole.validation_scores_ or [], rtol=1e-6)


@all_pairs
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("penalty", ["l2", None])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("average", [False, 150])
@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start", "pickled", "copied", "edited"])
def test_a_model_goes_on_with_all_features(optimizer, penalty, standardize, average, go_on, on_all):
    """But for what full gradients remember of other rows."""
    options = {"penalty": penalty, "standardize": standardize, "average": average}
    model = SGDClassifierPlus(optimizer=optimizer, max_iter=4, tol=None, random_state=0, **options)
    y = targets_of(SGDClassifierPlus)

    def go_on_from(model):
        model = clone(model).fit(X, y)
        if go_on == "warm_start":
            return model.set_params(warm_start=True, max_iter=1).fit(ELSEWHERE, y)
        if go_on == "pickled":
            model = pickle.loads(pickle.dumps(model))
        if go_on == "copied":
            model = copy.copy(model)
        if go_on == "edited":
            model.coef_ *= 0.5
        return model.partial_fit(ELSEWHERE, y).partial_fit(X, y)

    few, whole = go_on_from(model), on_all(lambda: go_on_from(model))
    full = optimizer in OPTIMIZERS and OPTIMIZERS[optimizer].full_batch
    if full and go_on != "edited":
        assert np.corrcoef(few.coef_.ravel(), whole.coef_.ravel())[0, 1] > 0.9
    else:
        assert_same_model(few, whole)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
@pytest.mark.parametrize("around", ["nothing", "pipeline"])
def test_a_search_finds_what_grid_search_finds(around, scoring):
    y, model = targets_of(SGDClassifierPlus), SGDClassifierPlus(random_state=0, max_iter=5, tol=None)
    grid = {"alpha": [1e-4, 1e-2], "class_weight": [None, "balanced"]}
    if around == "pipeline":
        model = make_pipeline(MaxAbsScaler(), model)
        grid = {f"sgdclassifierplus__{name}": values for name, values in grid.items()}
    options = {"cv": 3, "scoring": scoring, "return_train_score": True}
    ours, theirs = (cls(model, grid, **options).fit(X, y) for cls in (OnePassGridSearchCV, GridSearchCV))
    for name in "mean_test_score", "mean_train_score":
        assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], rtol=1e-6)
    assert_array_equal(ours.predict_proba(ELSEWHERE), theirs.predict_proba(ELSEWHERE))


def test_a_path_has_the_models_of_fits():
    path = regularization_path(SGDRegressorPlus(random_state=0), X, Y, [0.01, 0.1])
    for alpha, coef in zip(path.alphas, path.coef_path, strict=True):
        assert_allclose(
            coef, SGDRegressorPlus(alpha=alpha, random_state=0).fit(X, Y).coef_, rtol=1e-6, atol=1e-9
        )


def test_features_are_called_by_their_own_numbers():
    feature, wrong = np.unique(X.indices)[7], X.copy()
    wrong.data[wrong.indices == feature] = 1e300
    with pytest.raises(ValueError, match=f"The values of feature {feature} are too large"):
        SGDRegressorPlus().fit(wrong, Y)
    with pytest.raises(ValueError, match=f"The values of feature {feature} are too large"):
        SGDRegressorPlus().partial_fit(X, Y).partial_fit(wrong, Y)


def test_a_feature_that_is_in_every_row_is_called_by_its_number():
    feature, constant = N_FEATURES - 1, (1e8 + np.arange(400) % 2 * 8)[:, np.newaxis]
    x = sparse.hstack([X[:, :feature], constant], format="csr").astype(np.float32)
    with pytest.warns(UserWarning, match=f"Feature {feature} varies by no more than rounding error"):
        SGDRegressorPlus().fit(x, Y)


def test_coefficients_are_made_once_and_then_the_users():
    model = SGDRegressorPlus(random_state=0).fit(X, Y)
    assert "coef_" not in vars(model)
    shared = copy.copy(model)
    assert "coef_" not in vars(model)
    before = model.predict(X)
    model.coef_[:] = 0
    assert_allclose(model.predict(X), model.intercept_[0])
    assert_array_equal(shared.predict(X), before)
    assert_array_equal(clone(model).fit(X, Y).coef_, shared.coef_)
    del shared.coef_
    assert not hasattr(shared, "coef_")


@pytest.mark.parametrize(("n_features", "n_values"), [(subset.MANY_FEATURES - 1, 5), (1 << 13, 1 << 13)])
def test_many_features_are_all_taken(n_features, n_values):
    indices = np.arange(n_values)
    rows = sparse.csr_array((np.ones(n_values), (np.zeros_like(indices), indices)), shape=(1, n_features))
    rows = subset.Rows(rows)
    assert on_subset(rows) == (None, rows)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_memory_is_that_of_a_few_copies_of_the_coefficients(optimizer):
    """A fit takes no more than 6 times as much, of which a feature without values has its coefficient alone."""
    x, y = hashed(2000, n_features=1 << 20)
    x, y = x.astype(np.float32), (y > 0).astype(int)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=2, tol=None)
    tracemalloc.start()
    try:
        coef = model.fit(x, y).coef_
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 6 * coef.nbytes
    assert len(pickle.dumps(model)) <= 1.5 * coef.nbytes
