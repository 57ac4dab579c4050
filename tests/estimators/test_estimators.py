"""What the parameters and methods of the estimators do."""

import copy
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logsumexp, softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_pinball_loss
from sklearn.preprocessing import scale

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, MULTINOMIAL, REGRESSOR_LOSSES
from sgdkit.optimizers import GD, OPTIMIZERS, SGD, AdaGrad, Adam, RMSProp
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from sgdkit.training.course import Course

ignore_max_iter = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)
IRIS = scale(IRIS[0]), IRIS[1]
CANCER = load_breast_cancer(return_X_y=True)
CANCER = scale(CANCER[0]), CANCER[1]
DIABETES = load_diabetes(return_X_y=True)
DIABETES = scale(DIABETES[0]), DIABETES[1]
LABELS = np.column_stack([IRIS[1] == 0, IRIS[1] == 1, IRIS[1] > 0]).astype(int)


# ----------------------------------------------------------------------------------------- learning something


@pytest.mark.parametrize("batch_size", ["auto", 1, 16])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@ignore_max_iter
def test_classifier_beats_the_dummy(loss, optimizer, batch_size):
    for X, y in IRIS, CANCER:
        model = SGDClassifierPlus(
            loss, optimizer=optimizer, batch_size=batch_size, max_iter=100, random_state=0
        )
        # A small epsilon makes Huber's loss the absolute error, whose answer is the median: "not this class".
        model.set_params(epsilon=1.0 if loss == "huber" else 0.1)
        dummy = DummyClassifier().fit(X, y).score(X, y)
        # Regressed on codes of the classes, the middle one of three hides behind the others.
        assert model.fit(X, y).score(X, y) > dummy + 0.5 * (1 - dummy)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@ignore_max_iter
def test_classifier_learns_several_labels(loss, optimizer):
    model = SGDClassifierPlus(loss, optimizer=optimizer, max_iter=100, random_state=0).fit(IRIS[0], LABELS)
    assert model.coef_.shape == (3, 4)
    predicted = model.predict(IRIS[0])
    assert predicted.dtype == LABELS.dtype
    assert (predicted == LABELS).mean() > 0.8


@pytest.mark.parametrize("batch_size", ["auto", 1, 16])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
@ignore_max_iter
def test_regressor_beats_the_dummy(loss, optimizer, batch_size):
    X, y = DIABETES
    model = SGDRegressorPlus(loss, optimizer=optimizer, batch_size=batch_size, epsilon=10.0, max_iter=200)
    model.set_params(random_state=0, alpha=1e-6).fit(X, y)
    assert DummyRegressor().fit(X, y).score(X, y) == 0
    # Least squares reach 0.518.
    assert model.score(X, y) > 0.4


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@ignore_max_iter
def test_quantiles(q, optimizer):
    X, y = DIABETES
    model = SGDRegressorPlus(
        "quantile", quantile=q, optimizer=optimizer, alpha=1e-6, max_iter=500, random_state=0
    )
    below = (y <= model.fit(X, y).predict(X)).mean()
    assert abs(below - q) < 0.06
    constant = mean_pinball_loss(y, np.full_like(y, np.quantile(y, q)), alpha=q)
    assert mean_pinball_loss(y, model.predict(X), alpha=q) < 0.9 * constant


@pytest.mark.parametrize("loss", [name for name, loss in REGRESSOR_LOSSES.items() if loss.log_link])
def test_a_log_link_predicts_by_the_exponential(loss):
    X, y = DIABETES
    model = SGDRegressorPlus(loss, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), np.exp(X @ model.coef_ + model.intercept_))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_penalties(optimizer, penalty):
    X, y = CANCER
    options = {"optimizer": optimizer, "penalty": penalty, "random_state": 0, "l1_ratio": 0.5}
    weak, strong = (SGDClassifierPlus(alpha=alpha, **options).fit(X, y) for alpha in (1e-4, 0.1))
    if penalty is None:
        # With no penalty there is nothing for alpha to weigh, but the schedule that takes its name from it.
        assert weak.score(X, y) > 0.97
        if optimizer != "sgd":
            assert_array_equal(weak.coef_, strong.coef_)
        return
    assert np.abs(strong.coef_).sum() < np.abs(weak.coef_).sum()
    if penalty != "l2" and optimizer == "gd":
        assert (strong.coef_ == 0).sum() > 10


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_elasticnet_of_one_and_of_zero_are_l1_and_l2(optimizer):
    options = {"optimizer": optimizer, "alpha": 0.01, "random_state": 0}
    for ratio, name in (1.0, "l1"), (0.0, "l2"):
        a = SGDClassifierPlus(penalty="elasticnet", l1_ratio=ratio, **options).fit(*IRIS)
        assert_array_equal(a.coef_, SGDClassifierPlus(penalty=name, **options).fit(*IRIS).coef_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_intercept(optimizer):
    for model in SGDClassifierPlus(fit_intercept=False), SGDRegressorPlus(fit_intercept=False):
        model.set_params(optimizer=optimizer, random_state=0).fit(*IRIS)
        assert_array_equal(model.intercept_, 0)
        model.partial_fit(*IRIS)
        assert_array_equal(model.intercept_, 0)


def test_shapes():
    assert SGDClassifierPlus().fit(*CANCER).coef_.shape == (1, 30)
    assert SGDClassifierPlus().fit(*CANCER).intercept_.shape == (1,)
    assert SGDClassifierPlus().fit(*CANCER).decision_function(CANCER[0]).shape == (569,)
    assert SGDClassifierPlus().fit(*IRIS).coef_.shape == (3, 4)
    assert SGDClassifierPlus().fit(*IRIS).decision_function(IRIS[0]).shape == (150, 3)
    assert SGDRegressorPlus().fit(*DIABETES).coef_.shape == (10,)
    assert SGDRegressorPlus().fit(*DIABETES).intercept_.shape == (1,)
    several = SGDRegressorPlus().fit(DIABETES[0], DIABETES[0][:, :3])
    assert several.coef_.shape == (3, 10)
    assert several.intercept_.shape == (3,)


def test_sparse_label_indicators():
    a, b = (SGDClassifierPlus(random_state=0).fit(IRIS[0], y) for y in (LABELS, sparse.csr_array(LABELS)))
    assert_array_equal(a.coef_, b.coef_)


# ---------------------------------------------------------------------------------------------- probabilities

PROBABILISTIC = [name for name, loss in CLASSIFIER_LOSSES.items() if loss.probability is not None]


def test_which_losses_have_probabilities():
    assert PROBABILISTIC == ["log_loss", "modified_huber"]


@pytest.mark.parametrize("loss", sorted(set(CLASSIFIER_LOSSES) - set(PROBABILISTIC)))
def test_no_probabilities(loss):
    model = SGDClassifierPlus(loss).fit(*CANCER)
    for name in "predict_proba", "predict_log_proba":
        assert not hasattr(model, name)
        # The reason is given by the error, or by its cause.
        with pytest.raises(AttributeError, match=name) as caught:
            getattr(model, name)
        assert f"not available for loss='{loss}'" in str(caught.value.__cause__)


def modified_huber(scores):
    return (np.clip(scores, -1, 1) + 1) / 2


def expected_probabilities(model, scores, kind):
    estimate = expit if model.loss == "log_loss" else modified_huber
    if kind == "labels":
        return estimate(scores)
    if kind == "binary":
        return np.column_stack([1 - estimate(scores), estimate(scores)])
    if model.loss == "log_loss" and model.multi_class != "ovr":
        return softmax(scores, axis=1)
    p = estimate(scores)
    p[p.sum(axis=1) == 0] = 1
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("kind", ["binary", "classes", "labels"])
@pytest.mark.parametrize("loss", PROBABILISTIC)
def test_probabilities_equal_their_formulas(loss, kind, multi_class):
    X, y = {"binary": CANCER, "classes": IRIS, "labels": (IRIS[0], LABELS)}[kind]
    model = SGDClassifierPlus(loss, multi_class=multi_class, random_state=0).fit(X, y)
    scores, p = model.decision_function(X), model.predict_proba(X)
    assert_allclose(p, expected_probabilities(model, scores, kind), rtol=1e-10, atol=1e-14)
    assert ((p >= 0) & (p <= 1)).all()
    with np.errstate(divide="ignore"):
        assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-7, atol=1e-12)
    if kind == "labels":
        assert_array_equal(p > 0.5, model.predict(X).astype(bool))
        return
    assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    certain = np.sort(p, axis=1)[:, -1] > np.sort(p, axis=1)[:, -2] + 1e-9
    assert_array_equal(model.classes_[p.argmax(axis=1)][certain], model.predict(X)[certain])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("kind", ["binary", "classes", "labels"])
def test_log_probabilities_are_finite_at_extreme_scores(kind, multi_class, dtype):
    X, y = {"binary": CANCER, "classes": IRIS, "labels": (IRIS[0], LABELS)}[kind]
    X = X.astype(dtype)
    model = SGDClassifierPlus(multi_class=multi_class, random_state=0).fit(X, y)
    model.coef_ *= dtype(1e5)
    scores, log_p = model.decision_function(X).astype(float), model.predict_log_proba(X)
    assert np.abs(scores).max() > 1e4
    assert np.isfinite(log_p).all()
    assert log_p.min() < -1e4
    assert np.isfinite(model.predict_proba(X)).all()
    if kind == "classes":
        assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        if multi_class == "auto":
            expected = scores - logsumexp(scores, axis=1, keepdims=True)
            assert_allclose(log_p, expected, rtol=1e-4, atol=1e-2)
        else:
            # A row whom no class wants: the least bad one gets what there is.
            none = (scores < 0).all(axis=1)
            assert_array_equal(log_p[none].argmax(axis=1), scores[none].argmax(axis=1))


def test_probabilities_of_modified_huber_where_no_class_has_any():
    model = SGDClassifierPlus("modified_huber", random_state=0).fit(*IRIS)
    model.intercept_ -= 100
    assert_allclose(model.predict_proba(IRIS[0]), 1 / 3)


def test_softmax_probabilities_are_calibrated():
    X, y = IRIS
    model = SGDClassifierPlus(optimizer="gd", alpha=1e-2, tol=1e-7, random_state=0).fit(X, y)
    # At the minimiser the mean probability of each class is its share, as no penalty holds the intercept.
    assert_allclose(model.predict_proba(X).mean(axis=0), np.bincount(y) / len(y), rtol=1e-3)


# ------------------------------------------------------------------------------------------------ multi_class


@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_multi_class(loss):
    fits = {}
    for multi_class in "auto", "ovr", "multinomial":
        epsilon = 1.0 if loss == "huber" else 0.1
        model = SGDClassifierPlus(loss, multi_class=multi_class, epsilon=epsilon, random_state=0)
        if multi_class == "multinomial" and CLASSIFIER_LOSSES[loss] not in MULTINOMIAL:
            continue
        fits[multi_class] = model.fit(*IRIS)
        # The accuracy of the minimiser of "epsilon_insensitive" is 0.69.
        assert model.score(*IRIS) > 0.68
    same = "multinomial" if loss == "log_loss" else "ovr"
    assert_array_equal(fits["auto"].coef_, fits[same].coef_)
    if "multinomial" in fits:
        assert not np.allclose(fits["multinomial"].coef_, fits["ovr"].coef_, rtol=0.01)


@pytest.mark.parametrize("multi_class", ["auto", "ovr", "multinomial"])
def test_two_classes_are_one_column(multi_class):
    model = SGDClassifierPlus(multi_class=multi_class, random_state=0).fit(*CANCER)
    assert_array_equal(model.coef_, SGDClassifierPlus(random_state=0).fit(*CANCER).coef_)


@pytest.mark.parametrize("names", [["no", "yes", "perhaps"], [-3, 10, 7], [2.0, -1.0, 1e9]])
def test_labels_of_any_kind(names):
    y = np.array(names)[IRIS[1]]
    model = SGDClassifierPlus(random_state=0).fit(IRIS[0], y)
    assert_array_equal(model.classes_, np.unique(y))
    assert (model.predict(IRIS[0]) == y).mean() > 0.9
    chunked = SGDClassifierPlus(random_state=0)
    for _ in range(20):
        chunked.partial_fit(IRIS[0], y, classes=names)
    assert (chunked.predict(IRIS[0]) == y).mean() > 0.9


# ----------------------------------------------------------------------------------------------- class_weight


def test_balanced_class_weight():
    X, y = CANCER
    X, y = np.r_[X[y == 1], X[y == 0][:20]], np.r_[y[y == 1], y[y == 0][:20]]
    recall = {}
    for class_weight in None, "balanced", {0: 50.0}:
        model = SGDClassifierPlus(class_weight=class_weight, alpha=0.1, optimizer="gd").fit(X, y)
        recall[str(class_weight)] = (model.predict(X[y == 0]) == 0).mean()
    assert recall["None"] < recall["balanced"]
    assert recall["None"] < recall["{0: 50.0}"]


def test_class_weight_by_name():
    words = np.array(["a", "b", "c"])[IRIS[1]]
    model = SGDClassifierPlus(class_weight={"a": 2.0, "c": 0.5}, random_state=0).fit(IRIS[0], words)
    weighted = SGDClassifierPlus(random_state=0)
    weighted.fit(IRIS[0], words, sample_weight=np.array([2.0, 1.0, 0.5])[IRIS[1]])
    assert_allclose(model.coef_, weighted.coef_, rtol=1e-12)


def test_balanced_in_partial_fit_by_running_counts():
    X, y = IRIS
    rng = np.random.RandomState(0)
    order, s = rng.permutation(150), rng.rand(150)
    chunks = np.array_split(order, 5)
    model = SGDClassifierPlus(class_weight="balanced", eta0=0.1, random_state=0, batch_size=1)
    by_hand = SGDClassifierPlus(eta0=0.1, random_state=0, batch_size=1)
    totals, seen, weight_seen = np.zeros(3), 0, 0.0
    for chunk in chunks:
        model.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2], sample_weight=s[chunk])
        totals += np.bincount(y[chunk], s[chunk], minlength=3)
        weights = (totals.sum() / (3 * totals))[y[chunk]] * s[chunk]
        by_hand.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2], sample_weight=weights)
        seen, weight_seen = seen + len(chunk), weight_seen + weights.sum()
    assert_allclose(model.coef_, by_hand.coef_, rtol=1e-10)


def test_balanced_in_partial_fit_before_a_class_is_seen():
    model = SGDClassifierPlus(class_weight="balanced", random_state=0)
    for label in 0, 1, 2, 0, 1, 2:
        rows = IRIS[1] == label
        model.partial_fit(IRIS[0][rows], IRIS[1][rows], classes=[0, 1, 2])
        assert np.isfinite(model.coef_).all()


# -------------------------------------------------------------------------------------- schedules and batches


def rate_after(schedule, steps, eta0=0.5, alpha=0.1, power_t=0.3):
    return {
        "constant": eta0,
        "invscaling": eta0 / steps**power_t,
        "optimal": 1 / (alpha * (1 / (alpha * eta0) + steps - 1)),
        "adaptive": eta0,
    }[schedule]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_by_what_a_step_moves(schedule):
    """With one feature, and rows of one kind, a step of SGD can be followed by hand."""
    X, y = np.ones((1, 1)), np.array([3.0])
    model = SGDRegressorPlus(optimizer="sgd", learning_rate=schedule, eta0=0.5, alpha=0.1, power_t=0.3)
    model.set_params(fit_intercept=False, max_iter=7, tol=None).fit(X, y)
    w = 0.0
    for t in range(1, 8):
        rate = rate_after(schedule, t)
        w = (w - rate * (w - 3.0)) / (1 + rate * 0.1)
    assert_allclose(model.coef_, [w], rtol=1e-12)
    assert model.t_ == 8
    assert model.eta0_ == 0.5


def test_adaptive_lowers_its_rate_before_it_stops():
    options = {"optimizer": "sgd", "eta0": 0.5, "random_state": 0, "batch_size": 1, "n_iter_no_change": 2}
    constant = SGDClassifierPlus(learning_rate="constant", **options).fit(*IRIS)
    adaptive = SGDClassifierPlus(learning_rate="adaptive", **options).fit(*IRIS)
    assert adaptive.n_iter_ > constant.n_iter_ + 8
    assert adaptive.loss_curve_[-1] < constant.loss_curve_[-1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_that_was_used_is_published(optimizer):
    auto = SGDClassifierPlus(optimizer=optimizer, random_state=0).fit(*IRIS)
    assert auto.eta0_ > 0
    given = SGDClassifierPlus(optimizer=optimizer, eta0=0.0625, random_state=0).fit(*IRIS)
    assert given.eta0_ == 0.0625
    if optimizer != "gd":
        again = SGDClassifierPlus(optimizer=optimizer, eta0=auto.eta0_, random_state=0).fit(*IRIS)
        assert_array_equal(again.coef_, auto.coef_)


@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"gd"}))
def test_steps_are_mini_batches(optimizer):
    for batch_size, steps in (1, 150), (7, 22), (150, 1), (1000, 1), ("auto", 1):
        model = SGDClassifierPlus(optimizer=optimizer, batch_size=batch_size, max_iter=2, tol=None).fit(*IRIS)
        assert model.t_ == 2 * steps + 1


def test_one_batch_is_deterministic():
    fits = [
        SGDClassifierPlus(optimizer="adam", random_state=seed, eta0=0.1).fit(*IRIS).coef_ for seed in (0, 1)
    ]
    assert_array_equal(*fits)


def test_shuffle():
    options = {"batch_size": 1, "eta0": 0.1, "max_iter": 3, "tol": None}
    a, b = (SGDClassifierPlus(shuffle=False, random_state=seed, **options).fit(*IRIS) for seed in (0, 1))
    assert_array_equal(a.coef_, b.coef_)
    c, d = (SGDClassifierPlus(shuffle=True, random_state=seed, **options).fit(*IRIS) for seed in (0, 1))
    assert not np.array_equal(c.coef_, d.coef_)
    assert not np.array_equal(a.coef_, c.coef_)


def test_random_state_of_numpy():
    a = SGDClassifierPlus(batch_size=1, random_state=np.random.RandomState(3)).fit(*IRIS)
    b = SGDClassifierPlus(batch_size=1, random_state=3).fit(*IRIS)
    assert_array_equal(a.coef_, b.coef_)


# ---------------------------------------------------------------------------------------------------- average


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("average", [True, 1, 31, 100])
@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"gd"}))
def test_average_is_the_mean_of_the_weights_after_each_step(optimizer, average, penalty, schedule):
    """With as many epochs as steps: rows are one batch, so each epoch is one step."""
    X, y = IRIS
    options = {
        "optimizer": optimizer,
        "penalty": penalty,
        "alpha": 0.05,
        "batch_size": 30,
        "eta0": 0.05,
        "tol": None,
    }
    options |= {"learning_rate": schedule, "max_iter": 1}
    parts = [slice(k, k + 30) for k in range(0, 150, 30)]
    plain, averaged = SGDClassifierPlus(**options), SGDClassifierPlus(average=average, **options)
    kept = []
    for k, rows in enumerate(parts):
        plain.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        averaged.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        if 30 * (k + 1) >= average:
            kept.append((plain.coef_.copy(), plain.intercept_.copy()))
        expected = [np.mean(part, axis=0) for part in zip(*kept, strict=True)] or [
            plain.coef_,
            plain.intercept_,
        ]
        assert_allclose(averaged.coef_, expected[0], rtol=1e-10, atol=1e-13)
        assert_allclose(averaged.intercept_, expected[1], rtol=1e-10, atol=1e-13)


def test_average_smooths():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(400, 5))
    y = X @ np.arange(5.0) + 3 * rng.normal(size=400)
    best = np.linalg.lstsq(np.column_stack([X, np.ones(400)]), y)[0][:-1]
    options = {
        "optimizer": "sgd",
        "learning_rate": "constant",
        "eta0": 0.05,
        "batch_size": 1,
        "penalty": None,
    }
    options |= {"max_iter": 20, "tol": None, "random_state": 0}
    plain, averaged = (SGDRegressorPlus(average=a, **options).fit(X, y) for a in (False, 2000))
    assert np.linalg.norm(averaged.coef_ - best) < 0.5 * np.linalg.norm(plain.coef_ - best)


# --------------------------------------------------------------------------------------------- stopping early


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scoring", ["loss", "accuracy", "f1", "neg_log_loss", lambda m, X, y: -m.coef_.size])
def test_early_stopping_on_a_fraction(optimizer, scoring):
    model = SGDClassifierPlus(optimizer=optimizer, early_stopping=True, scoring=scoring, random_state=0)
    model.set_params(validation_fraction=0.25, n_iter_no_change=3, max_iter=200).fit(*CANCER)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ < 200
    assert 1 <= model.best_iter_ <= model.n_iter_
    assert all(isinstance(float(v), float) and np.isfinite(v) for v in model.validation_scores_)
    if callable(scoring):
        # Nothing gets better: the first epoch, and as many more as patience lasts.
        assert (model.n_iter_, model.best_iter_) == (4, 1)
    else:
        assert model.score(*CANCER) > 0.9


def test_the_held_out_fraction_is_stratified():
    X, y = CANCER
    rare = np.flatnonzero(y == 0)[20:]
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    seen = []

    def score(model, X, y):
        seen.append((len(y), (y == 0).sum()))
        return 0.0

    SGDClassifierPlus(early_stopping=True, validation_fraction=0.2, scoring=score, random_state=0).fit(X, y)
    assert set(seen) == {(76, 4)}


def test_the_held_out_fraction_is_not_trained_on():
    """Rows that are held out say something else, and the score must fall while the objective falls."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(200, 100)), rng.randint(0, 2, 200)
    model = SGDClassifierPlus(early_stopping=True, optimizer="gd", alpha=0, max_iter=60, random_state=0).fit(
        X, y
    )
    assert model.loss_curve_[-1] < 0.5
    assert model.validation_scores_[-1] < max(model.validation_scores_)


@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_early_stopping_on_the_users_own_rows(estimator):
    X, y = IRIS
    val = np.arange(150) % 3 == 0
    model = estimator(early_stopping=True, random_state=0).fit(X[~val], y[~val], X_val=X[val], y_val=y[val])
    # All other rows are trained on: the same path without early stopping.
    options = {"optimizer": model.optimizer_, "max_iter": model.best_iter_, "tol": None, "random_state": 0}
    plain = estimator(**options).fit(X[~val], y[~val])
    assert_array_equal(model.coef_, plain.coef_)
    half = estimator(early_stopping=True, random_state=0, max_iter=4, tol=None)
    weights = np.r_[np.ones(25), np.zeros(25)]
    a = clone(half).fit(X[~val], y[~val], X_val=X[val], y_val=y[val], sample_weight_val=weights)
    b = clone(half).fit(X[~val], y[~val], X_val=X[val][:25], y_val=y[val][:25])
    assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-12)


def test_a_regressor_stops_early():
    for scoring in "loss", "r2", "neg_mean_absolute_error":
        model = SGDRegressorPlus(early_stopping=True, scoring=scoring, random_state=0).fit(*DIABETES)
        assert model.n_iter_ < 1000
        assert model.score(*DIABETES) > 0.4


@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_patience(estimator):
    scores = iter([1.0, 2.0, 2.0005, 2.0009, 3.0, 2.5, 2.5, 3.0005, 9.0])
    model = estimator(early_stopping=True, tol=1e-3, n_iter_no_change=3, scoring=lambda *_: next(scores))
    # One more score is asked for before the fit, to see whether it can be had.
    scores = iter([0.0, *scores])
    model.fit(*IRIS)
    assert model.n_iter_ == 8
    assert model.best_iter_ == 8
    assert model.validation_scores_ == [1.0, 2.0, 2.0005, 2.0009, 3.0, 2.5, 2.5, 3.0005]


def test_a_stop_by_tol_does_not_depend_on_the_unit_of_the_targets():
    X, y = DIABETES
    fits = [
        SGDRegressorPlus(alpha=0.0, penalty=None, optimizer="gd").fit(X, c * y)
        for c in (1.0, 2.0**20, 2.0**-20)
    ]
    assert len({model.n_iter_ for model in fits}) == 1
    assert 5 < fits[0].n_iter_ < 1000


def test_a_smaller_tol_goes_on_longer_and_lower():
    fits = [SGDClassifierPlus(tol=tol, optimizer="gd").fit(*CANCER) for tol in (1e-2, 1e-3, 1e-5)]
    assert fits[0].n_iter_ < fits[1].n_iter_ < fits[2].n_iter_
    assert fits[0].loss_curve_[-1] > fits[1].loss_curve_[-1] > fits[2].loss_curve_[-1]


def test_convergence_warning():
    with pytest.warns(ConvergenceWarning, match=r"Maximum number of iterations \(3\)"):
        model = SGDClassifierPlus(max_iter=3).fit(*CANCER)
    assert model.n_iter_ == 3


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_no_convergence_warning():
    assert SGDClassifierPlus(max_iter=3, tol=None).fit(*CANCER).n_iter_ == 3
    assert SGDClassifierPlus().fit(*CANCER).n_iter_ < 1000
    assert SGDClassifierPlus().partial_fit(*CANCER, classes=[0, 1]).partial_fit(*CANCER).n_iter_ == 2


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_loss_curve_is_the_objective(optimizer):
    X, y = IRIS
    model = SGDClassifierPlus(optimizer=optimizer, alpha=0.1, max_iter=400, tol=None, batch_size=150).fit(
        X, y
    )
    objective = -model.predict_log_proba(X)[np.arange(150), y].mean() + 0.05 * (model.coef_**2).sum()
    assert_allclose(model.loss_curve_[-1], objective, rtol=1e-2)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if optimizer == "gd":
        assert_allclose(model.loss_curve_[-1], objective, rtol=1e-12)
        assert (np.diff(model.loss_curve_) <= 1e-15).all()


def test_without_early_stopping_there_are_no_scores():
    assert SGDClassifierPlus().fit(*IRIS).validation_scores_ is None


# ------------------------------------------------------------------------------------ beginning, and going on


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_initial_weights(optimizer):
    coef, intercept = np.arange(12.0).reshape(3, 4), np.array([1.0, 0.0, -1.0])
    model = SGDClassifierPlus(optimizer=optimizer, eta0=1e-12, max_iter=1, tol=None, batch_size=150)
    model.fit(*IRIS, coef_init=coef, intercept_init=intercept)
    assert_allclose(model.coef_, coef, atol=1e-9)
    assert_allclose(model.intercept_, intercept, atol=1e-9)
    model = SGDRegressorPlus(optimizer=optimizer, eta0=1e-12, max_iter=1, tol=None, batch_size=150)
    model.fit(*IRIS, coef_init=coef[:1], intercept_init=2.0)
    assert_allclose(model.coef_, coef[0], atol=1e-9)
    assert_allclose(model.intercept_, 2.0, atol=1e-9)


def test_initial_weights_are_stronger_than_warm_start():
    model = SGDClassifierPlus(warm_start=True, optimizer="gd", max_iter=3, tol=None).fit(*IRIS)
    zeros = {"coef_init": np.zeros((3, 4)), "intercept_init": np.zeros(3)}
    anew = clone(model).fit(*IRIS)
    assert_array_equal(model.fit(*IRIS, **zeros).coef_, anew.coef_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sparse_coef", [False, True])
def test_weights_that_the_user_has_set_are_gone_on_from(optimizer, sparse_coef):
    """As in federated learning: the weights come from elsewhere, the rest of the state stays."""
    options = {"optimizer": optimizer, "batch_size": 150, "warm_start": True, "max_iter": 1, "tol": None}
    given = np.arange(12.0).reshape(3, 4), np.array([1.0, 0.0, -1.0])
    for go_on in "fit", "partial_fit":
        model = SGDClassifierPlus(eta0=1e-12, **options).fit(*IRIS)
        model.coef_ = sparse.csr_array(given[0]) if sparse_coef else given[0].copy()
        model.intercept_ = given[1].copy()
        getattr(model, go_on)(*IRIS)
        coef = model.coef_.toarray() if sparse.issparse(model.coef_) else model.coef_
        assert_allclose(coef, given[0], atol=1e-9)
        assert_allclose(model.intercept_, given[1], atol=1e-9)


@pytest.mark.parametrize("average", [False, True])
def test_weights_changed_in_place_are_gone_on_from(average):
    model = SGDRegressorPlus(eta0=1e-12, batch_size=150, average=average).fit(*IRIS)
    model.coef_ += 1.0
    expected = model.coef_.copy()
    assert_allclose(model.partial_fit(*IRIS).coef_, expected, atol=1e-9)


def test_weights_may_be_averaged_between_models():
    X, y = CANCER
    halves = [
        SGDClassifierPlus(random_state=seed).partial_fit(X[seed::2], y[seed::2], classes=[0, 1])
        for seed in (0, 1)
    ]
    for _ in range(10):
        coef, intercept = (np.mean([getattr(m, a) for m in halves], axis=0) for a in ("coef_", "intercept_"))
        for seed, model in enumerate(halves):
            model.coef_, model.intercept_ = coef.copy(), intercept.copy()
            model.partial_fit(X[seed::2], y[seed::2])
    assert min(model.score(X, y) for model in halves) > 0.95


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("size", [1, 7, 50])
def test_partial_fit_of_chunks_of_any_size(optimizer, size):
    X, y = CANCER
    order = np.random.RandomState(0).permutation(len(y))
    model = SGDClassifierPlus(optimizer=optimizer, eta0=0.05, random_state=0)
    for _ in range(2):
        for begin in range(0, len(y), size):
            rows = order[begin : begin + size]
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
    # Gradient descent takes but one step a chunk.
    assert model.score(X, y) > 0.9
    regressor = SGDRegressorPlus(optimizer=optimizer, eta0=0.01, random_state=0)
    for begin in range(0, 442, size):
        regressor.partial_fit(DIABETES[0][begin : begin + size], DIABETES[1][begin : begin + size] / 100)
    assert np.isfinite(regressor.coef_).all()


def test_partial_fit_of_one_class_at_a_time():
    model = SGDClassifierPlus(optimizer="sgd", random_state=0, eta0=0.1)
    for _ in range(20):
        for label in 0, 1, 2:
            model.partial_fit(IRIS[0][IRIS[1] == label], IRIS[1][IRIS[1] == label], classes=[0, 1, 2])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert model.coef_.shape == (3, 4)


def test_a_new_fit_after_partial_fit_begins_anew():
    model = SGDClassifierPlus(random_state=0).partial_fit(*CANCER, classes=[0, 1]).fit(*IRIS)
    assert_array_equal(model.coef_, SGDClassifierPlus(random_state=0).fit(*IRIS).coef_)
    assert_array_equal(model.classes_, [0, 1, 2])


@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_going_on_with_another_optimizer_begins_with_the_weights(estimator):
    model = estimator(optimizer="sgd", warm_start=True, random_state=0).fit(*IRIS)
    before = model.coef_.copy()
    model.set_params(optimizer="adam", eta0=1e-9, max_iter=1, tol=None, batch_size=150).fit(*IRIS)
    assert_allclose(model.coef_, before, atol=1e-6)


# ------------------------------------------------------------------------------------------ sparsify, densify


@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_sparsify_and_densify(estimator):
    X, y = IRIS
    model = estimator(penalty="l1", alpha=0.1, optimizer="gd", random_state=0).fit(X, y)
    dense, predicted = model.coef_.copy(), model.predict(X)
    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    assert_allclose(model.predict(X), predicted, rtol=1e-12)
    assert_allclose(model.predict(sparse.csr_array(X)), predicted, rtol=1e-12)
    going_on = copy.deepcopy(model).partial_fit(X, y)
    assert model.densify() is model
    assert_array_equal(np.ravel(model.coef_), np.ravel(dense))
    assert_allclose(going_on.coef_, model.partial_fit(X, y).coef_, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- verbose

NUMBER = r"-?[\d.]+(e[-+]\d+)?"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_verbose_prints_one_line_an_epoch(optimizer, capsys):
    model = SGDClassifierPlus(optimizer=optimizer, verbose=1, max_iter=4, tol=None, random_state=0)
    model.fit(*IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for n, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"Epoch {n}: objective {NUMBER}, rate {NUMBER}, {NUMBER} s", line)
    assert f"{model.loss_curve_[2]:.6g}" in lines[2]
    model.set_params(early_stopping=True).fit(*IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert f"validation score {model.validation_scores_[2]:.6g}" in lines[2]


def test_silent_by_default(capfd):
    SGDClassifierPlus().fit(*IRIS)
    assert capfd.readouterr() == ("", "")


# ----------------------------------------------------------------------------------------------------- Ctrl-C


class InterruptsAtTheThirdEpoch:
    def __init__(self):
        self.n_calls = 0

    def __call__(self, model, X, y):
        self.n_calls += 1
        # The first call is the trial before the fit.
        if self.n_calls == 4:
            raise KeyboardInterrupt
        return float(self.n_calls)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_an_interruption_leaves_the_last_finished_epoch(estimator, optimizer):
    X, y = IRIS
    model = estimator(optimizer=optimizer, early_stopping=True, scoring=InterruptsAtTheThirdEpoch(), tol=None)
    model.set_params(random_state=0, warm_start=True, batch_size=7, max_iter=10)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, X_val=X, y_val=y)
    plain = estimator(optimizer=optimizer, random_state=0, batch_size=7, max_iter=2, tol=None).fit(X, y)
    assert_array_equal(model.coef_, plain.coef_)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert model.best_iter_ == 2
    assert len(model.validation_scores_) == 2
    assert model.n_iter_ == len(model.loss_curve_) == 2
    later = model.set_params(scoring="loss").fit(X, y, X_val=X, y_val=y)
    assert later.n_iter_ == 10
    assert later.score(X, y) > 0.7


def test_an_interruption_between_epochs_of_one_call(monkeypatch):
    """What is known of the model is what the epoch left of which the weights are."""
    see, n_seen = Course.see, []

    def interrupted(course, *arguments, **options):
        see(course, *arguments, **options)
        n_seen.append(course)
        if len(n_seen) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Course, "see", interrupted)
    options = {"optimizer": "sgd", "batch_size": 7, "max_iter": 30, "n_iter_no_change": 5, "random_state": 0}
    model = SGDClassifierPlus(tol=0.0, alpha=1e-3, eta0=0.1, **options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*IRIS)
    assert model.n_iter_ == model.best_iter_ == len(model.loss_curve_) == 5
    plain = clone(model).set_params(max_iter=5, tol=None)
    monkeypatch.undo()
    assert_array_equal(model.coef_, plain.fit(*IRIS).coef_)


@pytest.mark.parametrize("n_calls", [1, 2])
def test_an_interruption_before_the_first_epoch_ends_leaves_no_model(n_calls):
    """In the trial of the scorer, and in the score of the first epoch."""
    calls = []

    def interrupts(model, X, y):
        calls.append(model)
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        return 0.0

    model = SGDClassifierPlus(early_stopping=True, scoring=interrupts, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*IRIS)
    assert not hasattr(model, "coef_")
    assert model.set_params(scoring="loss").fit(*IRIS).score(*IRIS) > 0.9


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to one child needs a console of its own there")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_is_heard(n_jobs):
    script = f"""
        import signal
        import numpy as np
        from sgdkit import SGDRegressorPlus
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20000, 50)), rng.normal(size=(20000, 2))
        options = dict(batch_size=1, max_iter=10**9, tol=None, eta0=0.01)
        model = SGDRegressorPlus(verbose=1, n_jobs={n_jobs}, **options)
        try:
            model.fit(X, y)
        except KeyboardInterrupt:
            assert np.isfinite(model.predict(X)).all()
            assert model.n_iter_ == len(model.loss_curve_) >= 3
            assert np.isfinite(model.partial_fit(X, y).coef_).all()
            print("interrupted", flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        # The fit is well under way after three lines.
        for _ in range(3):
            assert child.stdout.readline().startswith("Epoch")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0, err
    assert out.splitlines()[-1] == "interrupted"


# ------------------------------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_clone_and_compare(name):
    cls = OPTIMIZERS[name]
    optimizer = cls()
    assert clone(optimizer) == optimizer == cls()
    assert clone(optimizer) is not optimizer
    assert repr(optimizer) == f"{cls.__name__}()"
    parameter = sorted(optimizer.get_params())[0]
    other = cls(**{parameter: {False: True, True: False}.get(getattr(optimizer, parameter), 0.25)})
    assert other != optimizer
    assert clone(other) == other
    assert f"{parameter}=" in repr(other)
    assert optimizer != "adam"
    assert all(optimizer != another() for another in OPTIMIZERS.values() if another is not cls)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_stands_for_the_defaults(name):
    a, b = (SGDClassifierPlus(optimizer=o, random_state=0).fit(*IRIS) for o in (name, OPTIMIZERS[name]()))
    assert_array_equal(a.coef_, b.coef_)


@pytest.mark.parametrize(
    "optimizer",
    [
        GD(nesterov=False),
        SGD(momentum=0.5),
        SGD(momentum=0.5, nesterov=True),
        AdaGrad(initial_accumulator_value=1.0),
        AdaGrad(epsilon=0.1),
        Adam(beta_1=0.5),
        Adam(beta_2=0.5),
        Adam(epsilon=0.1),
        Adam(amsgrad=True),
        RMSProp(rho=0.5),
        RMSProp(momentum=0.5),
        RMSProp(centered=True),
        RMSProp(epsilon=0.1),
    ],
    ids=str,
)
def test_every_parameter_of_an_optimizer_changes_the_path_and_works(optimizer):
    options = {"batch_size": 7, "eta0": 0.05, "max_iter": 10, "tol": None, "random_state": 0}
    model = SGDClassifierPlus(optimizer=optimizer, **options).fit(*IRIS)
    without = OPTIMIZERS[type(optimizer).__name__.lower()]()
    if optimizer == SGD(momentum=0.5, nesterov=True):
        without = SGD(momentum=0.5)
    assert not np.array_equal(model.coef_, SGDClassifierPlus(optimizer=without, **options).fit(*IRIS).coef_)
    assert model.score(*IRIS) > 0.8


DENSE = load_breast_cancer(return_X_y=True)
RARE = (DENSE[0] > np.quantile(DENSE[0], 0.95, axis=0)).astype(float), DENSE[1]


@pytest.mark.parametrize("as_rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_auto_takes_full_gradients_where_features_are_dense_and_the_loss_is_smooth(as_rows):
    def chosen(data, **options):
        model = SGDClassifierPlus(max_iter=1, tol=None, alpha=1e-3, **options)
        return model.fit(as_rows(data[0]), data[1]).optimizer_

    assert chosen(DENSE) == GD()
    assert chosen(RARE) == AdaGrad()
    assert chosen(DENSE, loss="hinge") == AdaGrad()
    for name, value in (
        {"eta0": 0.1, "batch_size": 8, "learning_rate": "constant", "early_stopping": True, "average": True}
    ).items():
        assert chosen(DENSE, **{name: value}) == AdaGrad()
    assert chosen(DENSE, optimizer="adam") == Adam()
    # Rows of weight 0 are absent.
    many_empty = np.vstack([DENSE[0], np.zeros((9 * len(DENSE[0]) + 100, 30))])
    y, weights = np.tile(DENSE[1], 11)[: len(many_empty)], np.arange(len(many_empty)) < len(DENSE[0])
    model = SGDClassifierPlus(max_iter=1, tol=None, alpha=1e-3)
    assert model.fit(as_rows(many_empty), y).optimizer_ == AdaGrad()
    assert model.fit(as_rows(many_empty), y, sample_weight=weights).optimizer_ == GD()


def test_auto_goes_on_in_chunks_with_adagrad_and_warm_with_what_it_took():
    model = SGDClassifierPlus(warm_start=True, random_state=0).fit(*DENSE)
    n_steps = model.t_
    model.fit(*DENSE)
    assert model.optimizer_ == GD()
    assert model.t_ > n_steps
    before = log_loss(DENSE[1], model.predict_proba(DENSE[0]))
    model.partial_fit(*DENSE)
    assert model.optimizer_ == AdaGrad()
    assert model.t_ == 1 + len(DENSE[1])
    assert log_loss(DENSE[1], model.predict_proba(DENSE[0])) < 1.5 * before


@pytest.mark.parametrize("n_rows", [1, 30])
def test_a_chunk_after_a_fit_changes_little(n_rows):
    model = SGDClassifierPlus(random_state=0).fit(*DENSE)
    before = log_loss(DENSE[1], model.predict_proba(DENSE[0]))
    loaded = pickle.loads(pickle.dumps(model))
    for own in model, loaded:
        own.partial_fit(DENSE[0][:n_rows], DENSE[1][:n_rows])
    assert_array_equal(loaded.coef_, model.coef_)
    assert log_loss(DENSE[1], model.predict_proba(DENSE[0])) < 1.05 * before


def test_a_constant_output_among_others_is_no_hindrance():
    X = DENSE[0].astype(np.float32)
    model = SGDRegressorPlus().fit(X, np.column_stack([np.zeros(len(X)), X[:, 0]]))
    assert model.optimizer_ == GD()
    assert_allclose(model.coef_[0], 0, atol=1e-6)


@pytest.mark.parametrize(("name", "tol"), [("gd", 1e-5), ("adagrad", 1e-3), ("auto", 1e-5)])
def test_auto_of_tol_is_that_of_the_optimizer(name, tol):
    model = SGDClassifierPlus(optimizer=name, alpha=1e-3, random_state=0).fit(*DENSE)
    same = clone(model).set_params(tol=tol).fit(*DENSE)
    assert_array_equal(model.coef_, same.coef_)
    assert model.n_iter_ == same.n_iter_ < model.max_iter


def test_parameters_of_an_optimizer_are_parameters_of_the_estimator():
    model = SGDClassifierPlus(optimizer=Adam(beta_2=0.9))
    assert model.get_params()["optimizer__beta_2"] == 0.9
    model.set_params(optimizer__beta_2=0.5, alpha=0.1)
    assert model.optimizer == Adam(beta_2=0.5)
    copied = clone(model)
    assert copied.optimizer == model.optimizer
    assert copied.optimizer is not model.optimizer
    assert repr(model) == "SGDClassifierPlus(alpha=0.1, optimizer=Adam(beta_2=0.5))"
    with pytest.raises(ValueError, match="Invalid parameter 'momentum' for estimator Adam"):
        model.set_params(optimizer__momentum=0.5)
    assert re.sub(r"\s+", " ", str(SGDRegressorPlus(optimizer=SGD(momentum=0.9)))) == (
        "SGDRegressorPlus(optimizer=SGD(momentum=0.9))"
    )


def test_a_parameter_set_between_fits_counts_in_the_next():
    model = SGDClassifierPlus(
        optimizer=Adam(), warm_start=True, random_state=0, batch_size=7, max_iter=3, tol=None
    )
    other = copy.deepcopy(model.fit(*IRIS))
    model.set_params(optimizer__beta_1=0.1).fit(*IRIS)
    assert not np.array_equal(model.coef_, other.fit(*IRIS).coef_)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("place", ["low", "high", "far apart"])
def test_classes_are_the_distinct_labels_of_any_whole_numbers(dtype, place):
    bounds = np.iinfo(dtype)
    labels = {
        "low": [bounds.min, bounds.min + 3],
        "high": [bounds.max - 1, bounds.max],
        "far apart": [bounds.min, bounds.max],
    }[place]
    y = np.tile(np.array(labels, dtype=dtype), 10)
    model = SGDClassifierPlus(max_iter=2, tol=None).fit(np.arange(20.0)[:, np.newaxis], y)
    assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == y.dtype
    assert set(model.predict(np.ones((2, 1)))) <= set(y)
