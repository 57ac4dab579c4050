"""The scale of features and targets does not matter: what is minimised with `standardize` and without, and how."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto.strength import CANDIDATES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import GD, OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests import reference
from tests.internals import scaling_of
from tests.pairs import all_pairs
from tests.problems import (
    ADAPTIVE,
    FULL_BATCH,
    MANY,
    SCALED_KINDS,
    SHORT,
    STOCHASTIC,
    has_kinks,
    make_features,
    make_targets,
    skip_kinks,
)

# ------------------------------------------------------------------------------------------ what is minimised


def by_hand(X):
    """The same features, shifted and scaled before the fit; the scale of the penalty; and how to undo them."""
    shift, scale, unit = reference.scales(X)
    factor = unit / scale
    return (X - shift) * factor, unit, factor, shift


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", SCALED_KINDS)
def test_a_fit_is_that_of_features_scaled_by_hand(kind, optimizer, penalty, container):
    """With the penalty of their weights in units of the common scale."""
    X = make_features()
    X[:, 3:11] /= reference.scales(X)[2]  # so that l1 and l2 keep their proportion
    y = make_targets(X, kind)
    Z, unit, factor, shift = by_hand(X)
    assert_allclose(unit, 1)
    options = {"optimizer": optimizer, "penalty": penalty, "alpha": 1e-2, **SHORT}
    ours = SCALED_KINDS[kind](**options).fit(container(X), y)
    hand = SCALED_KINDS[kind](standardize=False, **options).fit(Z, y)
    coef = hand.coef_ * factor
    assert_allclose(ours.coef_, coef, rtol=1e-6, atol=1e-9)
    assert_allclose(ours.intercept_, hand.intercept_ - np.atleast_2d(coef) @ shift, rtol=1e-6)
    assert_allclose(ours.loss_curve_, hand.loss_curve_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_the_penalty_is_that_of_the_weights_of_standardised_features(penalty):
    X = make_features()
    y = make_targets(X, "labels")
    model = SGDClassifierPlus(optimizer="gd", penalty=penalty, alpha=0.1, random_state=0).fit(X, y)
    v = model.coef_ * reference.scales(X)[1]
    size = {"l2": (v**2).sum() / 2, "l1": np.abs(v).sum()}[penalty]
    losses = np.logaddexp(0, -(2 * y - 1) * model.decision_function(X))
    assert_allclose(model.loss_curve_[-1], losses.mean() + 0.1 * size, rtol=1e-9)


def test_the_default_is_that_of_logistic_regression_and_ridge_on_standardised_features():
    settings = {"optimizer": GD(nesterov=True), "tol": 1e-13, "max_iter": 10_000}
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, (X != 0).all(axis=0)]
    ours = SGDClassifierPlus(**settings).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    assert ours.alpha_ == 1 / len(y)
    rival = LogisticRegression(tol=1e-8, max_iter=1000).fit(Z, y)
    assert_allclose(ours.predict_proba(X), rival.predict_proba(Z), atol=1e-4)
    X, y = load_diabetes(return_X_y=True)
    ours = SGDRegressorPlus(**settings).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    assert_allclose(ours.predict(X), Ridge().fit(Z, y).predict(Z), rtol=1e-4)


def test_auto_alpha_is_one_over_the_weight_of_the_rows():
    X = make_features()
    y, weights = make_targets(X, "labels"), np.arange(MANY) % 3
    model = SGDClassifierPlus(**SHORT).fit(X, y, sample_weight=weights)
    assert np.isclose(model.alpha_ * weights.sum(), CANDIDATES).any()
    assert SGDClassifierPlus(**SHORT).fit(X[:30], y[:30]).alpha_ == 1 / 30
    assert SGDClassifierPlus(alpha=0.3, **SHORT).fit(X, y).alpha_ == 0.3
    stopped = SGDClassifierPlus(early_stopping=True, validation_fraction=0.2, **SHORT).fit(X, y)
    assert np.isclose(stopped.alpha_ * 240, CANDIDATES).any()
    model = SGDClassifierPlus(random_state=0)
    for seen in 1, 2, 3:
        model.partial_fit(X, y, classes=[0, 1])
        assert model.alpha_ == 1 / (seen * MANY)


# -------------------------------------------------------------------------------------- scale is of no matter


@all_pairs
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", SCALED_KINDS)
def test_powers_of_two_change_no_prediction(kind, optimizer, average):
    """They are exact, so predictions are the same to the last bit."""
    X = make_features()[:, :5]
    y, powers = make_targets(X, kind), 2.0 ** np.array([10, -10, 3, -7, 0])
    model = SCALED_KINDS[kind](optimizer=optimizer, average=average, **SHORT)
    once, again = clone(model).fit(X, y), clone(model).fit(X * powers, y)
    assert_array_equal(again.coef_ * powers, once.coef_)
    assert_array_equal(again.intercept_, once.intercept_)
    assert again.eta0_ == once.eta0_


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "diabetes"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_scores_on_badly_scaled_features(optimizer, name):
    load = {"breast_cancer": load_breast_cancer, "digits": load_digits, "diabetes": load_diabetes}[name]
    X, y = load(return_X_y=True)
    wild = X * 10 ** np.random.default_rng(0).uniform(-3, 3, X.shape[1])
    estimator = SGDRegressorPlus if name == "diabetes" else SGDClassifierPlus
    model = estimator(optimizer=optimizer, random_state=0)
    assert abs(clone(model).fit(X, y).score(X, y) - clone(model).fit(wild, y).score(wild, y)) < 0.01


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.05, 100, 1e6])
def test_one_feature_with_zeros_does_not_set_the_scale_of_all(scale, optimizer):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 4))
    X[rng.random(1000) < 0.7, 0] = 0
    target = X @ [1, 0.5, 0, 1] + 1
    X[:, 0] *= scale
    assert SGDRegressorPlus(optimizer=optimizer, random_state=0).fit(X, target).score(X, target) > 0.99
    assert (
        SGDClassifierPlus(optimizer=optimizer, random_state=0).fit(X, target > 2).score(X, target > 2) > 0.97
    )


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1e2, 1e4])
def test_a_common_scale_far_from_that_of_the_intercept_does_not_matter(scale):
    X, y = load_digits(return_X_y=True)
    X = X / 10
    model = SGDClassifierPlus(alpha=1e-3, random_state=0)
    once, again = (clone(model).fit(c * X[::2], y[::2]).score(c * X[1::2], y[1::2]) for c in (1, scale))
    assert abs(once - again) < 0.01


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_scale_of_targets_does_not_matter(optimizer, scale):
    X, y = load_diabetes(return_X_y=True)
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0)
    once, again = clone(model).fit(X, y), clone(model).fit(X, scale * y)
    assert_allclose(again.score(X, scale * y), once.score(X, y), atol=5e-4)
    # Epsilons are of the unit of gradients.
    assert_allclose(again.coef_, scale * once.coef_, rtol=0.02, atol=0.01 * scale * np.abs(once.coef_).max())


@pytest.mark.parametrize("scale", [1e152, 1e158, 1e200])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_values_whose_squares_overflow_are_an_error(container, scale):
    X = container(make_features() * scale)
    with pytest.raises(ValueError, match=r"feature \d are too large: their squares overflow"):
        SGDRegressorPlus().fit(X, np.arange(MANY))


def test_values_too_small_for_single_precision_are_an_error():
    X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    X[:, 0] *= np.float32(1e-40)
    with pytest.raises(ValueError, match="feature 0 are too small"):
        SGDRegressorPlus().fit(X, X[:, 1])


# ----------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_partial_fit_learns_the_scale(optimizer, container):
    """Also where the first rows give a wrong idea of it, and a feature comes later."""
    X = make_features(3000)
    X = X[np.argsort(np.abs(X[:, 1] - 5) > 0.1, kind="stable")]
    X[:600, 4] = 0
    y = make_targets(X, "labels")
    assert X[:200, 1].std() < X[:, 1].std() / 10
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    for _ in range(10 if optimizer in FULL_BATCH else 2):
        for chunk in np.array_split(np.arange(3000), 10):
            model.partial_fit(container(X[chunk]), y[chunk], classes=[0, 1])
    assert model.score(container(X[600:]), y[600:]) > 0.9


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_common_unit_stays_what_it_was(optimizer):
    """Rates were chosen for it."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 3))
    y = X.sum(axis=1)
    X[:300, 0] = 0
    X[300:, 0] *= 1e6
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0).partial_fit(X[:300], y[:300])
    for _ in range(30):
        model.partial_fit(X[300:], y[300:])
    assert model.score(X[300:], y[300:]) > 0.9


@pytest.mark.parametrize("n_rows", [1, 10])
def test_sgd_row_by_row(n_rows):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 4))
    y = X @ [1, 0.5, 0, 1] + 1 + 0.1 * rng.standard_normal(600)
    for seed in range(2):
        model = SGDRegressorPlus(optimizer="sgd", random_state=seed)
        for begin in range(0, 600, n_rows):
            model.partial_fit(X[begin : begin + n_rows], y[begin : begin + n_rows])
        assert model.score(X, y) > 0.8


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_partial_fit_lowers_a_rate_of_its_own_choice_that_overflows(optimizer):
    X = make_features()[:, :5]
    y = make_targets(X, "numbers")
    model = SGDRegressorPlus(optimizer=optimizer, standardize=False, batch_size=1, random_state=0)
    model.partial_fit(X, y)
    before = model.eta0_
    model.partial_fit(1e2 * X, y)
    assert np.isfinite(model.coef_).all()
    assert optimizer in ADAPTIVE or model.eta0_ < before


@pytest.mark.parametrize("bad", ["values", "targets"])
def test_a_chunk_that_fails_leaves_the_model_as_it_was(bad):
    X = make_features()
    y = make_targets(X, "numbers")
    options = {"optimizer": "sgd", "learning_rate": "constant", "shuffle": False}
    model = SGDRegressorPlus(eta0=0.1, **options).partial_fit(X, y)
    other = clone(model).partial_fit(X, y)
    with pytest.raises(ValueError, match=r"too large|eta0"):
        model.partial_fit(X * 1e200 if bad == "values" else X, y * 1e300 if bad == "targets" else y)
    assert model.alpha_ == other.alpha_
    assert_array_equal(model.coef_, other.coef_)
    # What it has counted and measured shows in what comes next; its steps are not counted on.
    for again in model, other:
        again.partial_fit(X[:100], y[:100])
    assert model.alpha_ == other.alpha_
    assert_allclose(model.coef_, other.coef_, rtol=1e-12)


# ----------------------------------------------------------------- the penalty of the weights of raw features


def badly_scaled(load, seed=0):
    X, y = load(return_X_y=True)
    return X * 10.0 ** np.random.default_rng(seed).uniform(-3, 3, X.shape[1]), y


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_raw_weights_are_penalised_and_their_scales_do_not_hurt(optimizer, container):
    """The minimum is that of `LogisticRegression`, which finds it by second derivatives."""
    X, y = badly_scaled(load_breast_cancer)
    alpha, t = 1 / len(y), 2 * y - 1
    rival = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10, max_iter=500).fit(X, y)

    def objective(model):
        losses = np.logaddexp(0, -t * model.decision_function(X))
        return losses.mean() + alpha / 2 * (model.coef_**2).sum()

    options, allowance, rtol = {"n_iter_no_change": 25, "max_iter": 2000, "random_state": 0}, 1.05, 0.05
    if optimizer in FULL_BATCH:
        # What is reported is what is minimised; of rows visited one after another, about so.
        options, allowance, rtol = {**options, "tol": 1e-7}, 1.001, 1e-6
    elif OPTIMIZERS[optimizer].decays:
        # Its steps grow short by themselves.
        options, allowance = {**options, "tol": 0.0, "batch_size": 32, "learning_rate": "constant"}, 1.1
    else:
        options = {**options, "tol": 0.0, "batch_size": 32, "learning_rate": "adaptive"}
    model = SGDClassifierPlus(optimizer=optimizer, standardize=False, alpha=alpha, **options)
    model.fit(container(X), y)
    # What is left of a distance comes of how features go together.
    assert objective(model) <= allowance * objective(rival)
    assert_allclose(model.loss_curve_[-1], objective(model), rtol=rtol)


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
def test_raw_weights_are_selected(penalty):
    X, y = badly_scaled(load_diabetes)
    y = (y - y.mean()) / y.std()
    options = {"penalty": penalty, "alpha": 1e-3, "l1_ratio": 0.5, "standardize": False}
    model = SGDRegressorPlus(optimizer="gd", tol=1e-12, max_iter=20_000, **options).fit(X, y)
    l1_ratio = 1.0 if penalty == "l1" else 0.5
    rival = ElasticNet(alpha=1e-3, l1_ratio=l1_ratio, tol=1e-10, max_iter=100_000).fit(X, y)
    assert_allclose(model.coef_, rival.coef_, rtol=1e-3, atol=1e-6 * np.abs(rival.coef_).max())
    assert_array_equal(model.coef_ == 0, rival.coef_ == 0)


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_units_of_any_size_leave_weights_finite(penalty, optimizer, dtype):
    X = sparse.csr_array((make_features()[:, 5:11] > 0).astype(dtype) * dtype(1e-20))
    y = make_targets(make_features(), "numbers")
    for factors in (np.ones(6), 10.0 ** np.array([0, 0, 0, 5, 10, 20])):
        Z = sparse.csr_array((X @ sparse.diags_array(factors)).astype(dtype))
        model = SGDRegressorPlus(optimizer=optimizer, penalty=penalty, standardize=False, alpha=1e-3, **SHORT)
        model.fit(Z, y)
        assert np.isfinite(model.predict(Z)).all()
        assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_averages_of_raw_weights(optimizer):
    """An average does not see the proximal part of a step until the next one, so it is no use where that is large."""
    X, y = make_features()[:, :3] - [1.0, 5.0, -300.0], make_targets(make_features(), "numbers")
    options = {"optimizer": optimizer, "standardize": False, "alpha": 1e-2, "random_state": 0, "max_iter": 50}
    plain, averaged = (SGDRegressorPlus(average=a, tol=None, **options).fit(X, y) for a in (False, True))
    assert scaling_of(averaged).factor is None
    # The penalty leaves next to nothing of the feature of scale 1e-3.
    assert np.abs(averaged.coef_[0]) < 1 + 10 * np.abs(plain.coef_[0])


def test_going_on_with_full_gradients_at_a_rate_of_their_own():
    X = make_features()
    y = make_targets(X, "numbers")
    options = {"optimizer": "gd", "standardize": False, "warm_start": True}
    model = SGDRegressorPlus(eta0=1e-6, max_iter=3, tol=None, **options).fit(X, y)
    model.set_params(eta0="auto", max_iter=1000, tol="auto").fit(X, y)
    assert model.score(X, y) > 0.9


# --------------------------------------------------------------------------------------------------- searches


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_a_search_over_raw_weights(optimizer, penalty):
    skip_kinks(optimizer, penalty=penalty)
    X, y = badly_scaled(load_breast_cancer)
    model = SGDClassifierPlus(optimizer=optimizer, standardize=False, penalty=penalty, **SHORT)
    folds = [(np.arange(300), np.arange(300, 569))]
    search = OnePassGridSearchCV(model, {"alpha": [1e-3, 1e-2, 0.1]}, cv=folds, scoring="neg_log_loss")
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    for alpha, score in zip([1e-3, 1e-2, 0.1], scores, strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[:300], y[:300])
        assert_allclose(score, -log_loss(y[300:], alone.predict_proba(X[300:])), rtol=1e-9)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_a_search_scales_each_fold_by_its_training_rows(container):
    X = make_features()
    y = make_targets(X, "classes")
    X, model = container(X), SGDClassifierPlus(optimizer="sgd", **SHORT)
    folds = [(np.arange(200), np.arange(200, 300)), (np.arange(100, 300), np.arange(100))]
    search = OnePassGridSearchCV(model, {"alpha": ["auto", 0.1], "standardize": [True, False]}, cv=folds)
    results = search.fit(X, y).cv_results_
    for k, parameters in enumerate(results["params"]):
        for fold, (train, test) in enumerate(folds):
            alone = clone(model).set_params(**parameters).fit(X[train], y[train])
            assert results[f"split{fold}_test_score"][k] == pytest.approx(alone.score(X[test], y[test]))
    assert search.best_estimator_.alpha_ in {0.1, *(CANDIDATES / MANY)}


@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_a_search_over_outputs_of_different_scales(optimizer):
    X = make_features()
    y = make_targets(X, "numbers")
    Y, model = np.column_stack([y, 1e3 * y]), SGDRegressorPlus(optimizer=optimizer, batch_size=1, **SHORT)
    folds = [(np.arange(200), np.arange(200, 300))]
    search = OnePassGridSearchCV(model, {"alpha": [1e-2, 1e-4]}, cv=folds, refit=False).fit(X, Y)
    for score, alpha in zip(search.cv_results_["mean_test_score"], [1e-2, 1e-4], strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[:200], Y[:200])
        assert score == pytest.approx(alone.score(X[200:], Y[200:]), rel=1e-9)
