"""Every optimizer, run long, ends at the minimiser of ``mean loss + alpha * penalty``, which others find too.

The objective is that of `tests/reference.py`, and computed for both from `coef_` and `intercept_`.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
)
from sklearn.metrics import log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import scale
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.utils.fixes import parse_version

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from tests import reference
from tests.problems import skip_kinks

TOLERANCE = 5e-3
# What the reference may be from the minimum, so that a test against it means something.
REFERENCE_TOLERANCE = 1e-3

PROBLEMS = {}


def problem(estimator, loss, name=None):
    """Register a function that returns what is `given`; `loss` is that of the reference, `name` the estimator's."""

    def register(build):
        PROBLEMS[build.__name__] = name or loss, lambda: build() | {"estimator": estimator, "loss": loss}
        return build

    return register


def given(X, y, rival, *, targets=None, weights=None, **settings):
    """What to fit, by which settings, and `(coef, intercept)` of the rival."""
    targets = y if targets is None else targets
    return {"X": X, "y": y, "rival": rival, "targets": targets, "weights": weights, "settings": settings}


def solve(name):
    """A problem, and its objective at the rival's minimiser."""
    registered, build = PROBLEMS[name]
    found = SimpleNamespace(name=registered, **build())
    return found, objective(found, *found.rival)


def objective(problem, coef, intercept):
    """`mean loss + alpha * penalty` of weights in the shapes that the estimators have."""
    settings, targets = problem.settings, problem.targets
    scores = problem.X @ np.asarray(coef).T + intercept
    if problem.loss in reference.COUPLED_LOSSES:
        targets = np.eye(scores.shape[1])[targets]
    parameter = settings.get((CLASSIFIER_LOSSES | REGRESSOR_LOSSES)[problem.name].parameter_name, 0.0)
    scores, targets = scores.reshape(len(scores), -1), targets.reshape(len(scores), -1)
    losses, _ = reference.evaluate(problem.loss, scores, targets, parameter, scores.shape[1])
    share = {"l1": 1.0, "l2": 0.0}.get(settings["penalty"], settings.get("l1_ratio"))
    penalty = share * np.abs(coef).sum() + (1 - share) * np.square(coef).sum() / 2
    return np.average(losses.sum(axis=1), weights=problem.weights) + settings["alpha"] * penalty


def fitted(model, X, y, **options):
    model.fit(X, y, **options)
    return np.asarray(model.coef_), np.asarray(model.intercept_)


def by_scipy(X, targets, loss, alpha, parameter=0.0):
    """The minimiser with an l2 penalty of a loss that has a continuous derivative."""

    def value(w):
        losses, _ = reference.evaluate(loss, X @ w[:-1] + w[-1], targets, parameter)
        return losses.mean() + alpha / 2 * (w[:-1] ** 2).sum()

    found = minimize(value, np.zeros(X.shape[1] + 1), method="L-BFGS-B", options={"maxfun": 10**6})
    return found.x[:-1], found.x[-1]


def logistic(alpha, total_weight, l1=False):
    options = {"C": 1 / (alpha * total_weight), "max_iter": 10_000, "tol": 1e-5}
    if not l1:
        return LogisticRegression(**options | {"tol": 1e-8})
    # The parameter `penalty` is on its way out.
    recent = parse_version(sklearn.__version__) >= parse_version("1.8")
    return LogisticRegression(
        solver="saga", **options, **({"l1_ratio": 1.0} if recent else {"penalty": "l1"})
    )


def all_digits():
    return load_digits(return_X_y=True)


def raw_diabetes():
    return load_diabetes(return_X_y=True)


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X[::3, :15]), y[::3], 2.0 * y[::3] - 1


def digits(n_classes=10):
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    return X[:400, 1::4] / 16, y[:400]


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


def random_weights(n):
    return np.random.RandomState(0).choice([0.0, 0.5, 1.0, 3.0], n)


@problem(SGDClassifierPlus, "log_loss")
def log_loss_l2():
    X, y, t = breast_cancer()
    rival = fitted(logistic(1e-2, len(y)), X, y)
    return given(X, y, rival, targets=t, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "log_loss")
def log_loss_l1():
    X, y, t = breast_cancer()
    rival = fitted(logistic(1e-2, len(y), l1=True), X, y)
    return given(X, y, rival, targets=t, penalty="l1", alpha=1e-2)


@problem(SGDClassifierPlus, "log_loss")
def log_loss_l2_weighted():
    X, y, t = breast_cancer()
    s = random_weights(len(y))
    rival = fitted(logistic(1e-2, s.sum()), X, y, sample_weight=s)
    return given(X, y, rival, targets=t, weights=s, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "log_loss")
def log_loss_ovr():
    X, y = digits(4)
    rival = OneVsRestClassifier(logistic(1e-2, len(y))).fit(X, y).estimators_
    rival = np.vstack([m.coef_ for m in rival]), np.concatenate([m.intercept_ for m in rival])
    return given(X, y, rival, targets=2.0 * np.eye(4)[y] - 1, penalty="l2", alpha=1e-2, multi_class="ovr")


@problem(SGDClassifierPlus, "softmax", "log_loss")
def softmax_l2():
    X, y = digits()
    rival = fitted(logistic(1e-2, len(y)), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "softmax", "log_loss")
def softmax_l1():
    X, y = digits(4)
    rival = fitted(logistic(1e-2, len(y), l1=True), X, y)
    return given(X, y, rival, penalty="l1", alpha=1e-2)


@problem(SGDClassifierPlus, "softmax", "log_loss")
def softmax_l2_weighted():
    X, y = digits(4)
    s = random_weights(len(y))
    rival = fitted(logistic(1e-2, s.sum()), X, y, sample_weight=s)
    return given(X, y, rival, weights=s, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "hinge")
def hinge_l2():
    X, y, t = breast_cancer()
    # The intercept of LinearSVC is penalised, that of SVC is not.
    coef, intercept = fitted(SVC(kernel="linear", C=1 / (1e-2 * len(y)), tol=1e-6), X, y)
    return given(X, y, (coef, intercept), targets=t, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "crammer_singer", "hinge")
def crammer_singer_l2():
    X, y = digits(4)
    options = {"C": 1 / (1e-2 * len(y)), "fit_intercept": False, "tol": 1e-8, "max_iter": 10**6}
    rival = fitted(LinearSVC(multi_class="crammer_singer", **options), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2, multi_class="multinomial", fit_intercept=False)


@problem(SGDClassifierPlus, "squared_hinge")
def squared_hinge_l2():
    X, y, t = breast_cancer()
    rival = by_scipy(X, t, "squared_hinge", 1e-2)
    return given(X, y, rival, targets=t, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "squared_hinge")
def squared_hinge_l1():
    X, y, t = breast_cancer()
    X = X[:, :10]
    # liblinear penalises the intercept, hence none.
    options = {"C": 1 / (1e-2 * len(y)), "fit_intercept": False, "tol": 1e-8, "max_iter": 10**6}
    rival = fitted(LinearSVC(penalty="l1", dual=False, **options), X, y)
    return given(X, y, rival, targets=t, penalty="l1", alpha=1e-2, fit_intercept=False)


@problem(SGDClassifierPlus, "modified_huber")
def modified_huber_l2():
    X, y, t = breast_cancer()
    rival = by_scipy(X, t, "modified_huber", 1e-2)
    return given(X, y, rival, targets=t, penalty="l2", alpha=1e-2)


@problem(SGDClassifierPlus, "squared_error")
def classifier_squared_error_l2():
    X, y, t = breast_cancer()
    rival = fitted(Ridge(alpha=1e-1 * len(y)), X, t)
    return given(X, y, rival, targets=t, penalty="l2", alpha=1e-1)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l2():
    X, y = diabetes()
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l2_of_the_targets_as_they_are():
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l2_weighted():
    X, y = diabetes()
    s = random_weights(len(y))
    rival = fitted(Ridge(alpha=1e-2 * s.sum()), X, y, sample_weight=s)
    return given(X, y, rival, weights=s, penalty="l2", alpha=1e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l2_of_several_outputs():
    X, y = diabetes()
    y = np.column_stack([y, 3 * X[:, 2] - y])
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l1():
    X, y = diabetes()
    rival = fitted(Lasso(alpha=5e-2, tol=1e-8), X, y)
    return given(X, y, rival, penalty="l1", alpha=5e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_l1_weighted():
    X, y = diabetes()
    s = random_weights(len(y))
    rival = fitted(Lasso(alpha=5e-2, tol=1e-8), X, y, sample_weight=s)
    return given(X, y, rival, weights=s, penalty="l1", alpha=5e-2)


@problem(SGDRegressorPlus, "squared_error")
def squared_error_elasticnet():
    X, y = diabetes()
    rival = fitted(ElasticNet(alpha=5e-2, l1_ratio=0.4, tol=1e-8), X, y)
    return given(X, y, rival, penalty="elasticnet", alpha=5e-2, l1_ratio=0.4)


@problem(SGDRegressorPlus, "huber")
def huber_l2():
    X, y = diabetes()
    y = y + 8 * (np.arange(len(y)) % 20 == 0)
    # It minimises sum(scale + 2 / scale * huber(r, epsilon * scale)) + alpha ||w||^2, over the scale too.
    model = HuberRegressor(epsilon=1.35, alpha=10.0, max_iter=10_000, tol=1e-8).fit(X, y)
    return given(
        X,
        y,
        (model.coef_, model.intercept_),
        penalty="l2",
        alpha=10.0 * model.scale_ / len(y),
        epsilon=1.35 * model.scale_,
    )


@problem(SGDRegressorPlus, "absolute_error")
def absolute_error_l1():
    X, y = diabetes()
    rival = fitted(QuantileRegressor(quantile=0.5, alpha=5e-2 / 2), X, y)
    return given(X, y, rival, penalty="l1", alpha=5e-2)


@problem(SGDRegressorPlus, "quantile")
def quantile_l1():
    X, y = diabetes()
    rival = fitted(QuantileRegressor(quantile=0.8, alpha=2e-2), X, y)
    return given(X, y, rival, penalty="l1", alpha=2e-2, quantile=0.8)


@problem(SGDRegressorPlus, "quantile")
def quantile_l1_weighted():
    X, y = diabetes()
    s = random_weights(len(y))
    rival = fitted(QuantileRegressor(quantile=0.3, alpha=2e-2), X, y, sample_weight=s)
    return given(X, y, rival, weights=s, penalty="l1", alpha=2e-2, quantile=0.3)


@problem(SGDRegressorPlus, "epsilon_insensitive")
def epsilon_insensitive_l2():
    X, y = diabetes()
    coef, intercept = fitted(SVR(kernel="linear", C=1 / (5e-2 * len(y)), epsilon=0.2, tol=1e-6), X, y)
    return given(X, y, (coef, intercept), penalty="l2", alpha=5e-2, epsilon=0.2)


@problem(SGDRegressorPlus, "squared_epsilon_insensitive")
def squared_epsilon_insensitive_l2():
    X, y = diabetes()
    rival = by_scipy(X, y, "squared_epsilon_insensitive", 1e-2, 0.2)
    return given(X, y, rival, penalty="l2", alpha=1e-2, epsilon=0.2)


@problem(SGDRegressorPlus, "poisson")
def poisson_l2():
    X, _ = diabetes()
    y = np.random.RandomState(0).poisson(np.exp(0.7 + 0.5 * X[:, 2] - 0.3 * X[:, 8])).astype(float)
    rival = fitted(PoissonRegressor(alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


@problem(SGDRegressorPlus, "tweedie")
def tweedie_l2():
    X, _ = diabetes()
    rng = np.random.RandomState(0)
    # Claims, of which many rows have none.
    y = rng.poisson(np.exp(0.2 + 0.5 * X[:, 2])) * rng.gamma(2.0, size=len(X))
    rival = fitted(TweedieRegressor(power=1.3, link="log", alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2, power=1.3)


@problem(SGDRegressorPlus, "gamma")
def gamma_l2():
    X, _ = diabetes()
    y = load_diabetes().target
    rival = fitted(GammaRegressor(alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    return given(X, y, rival, penalty="l2", alpha=1e-2)


# -------------------------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def solved():
    """Each problem is built, and solved by the reference, once."""
    return {}


def run_long(problem, name, **options):
    optimizer, smooth = OPTIMIZERS[name](), (CLASSIFIER_LOSSES | REGRESSOR_LOSSES)[problem.name].smooth
    # Lower the rate by 5 wherever the objective has found its level: the noise of mini-batches goes with it.
    settings = {
        "batch_size": 32,
        "learning_rate": "adaptive",
        "tol": 0.0,
        "n_iter_no_change": 25,
        "max_iter": 2000,
    }
    if not smooth:
        # Steps of a constant size level off often, and far from the minimum.
        settings |= {"n_iter_no_change": 100, "max_iter": 8000}
    elif optimizer.decays:
        # Its steps grow short by themselves; to lower the rates as well is too much.
        settings |= {"learning_rate": "constant", "tol": None, "max_iter": 3000}
    elif optimizer.scales_with_gradient and not optimizer.full_batch:
        # With one metric for all, rare features come late.
        settings |= {"n_iter_no_change": 50}
    settings |= options
    model = problem.estimator(
        problem.name, optimizer=optimizer, standardize=False, random_state=0, **settings, **problem.settings
    )
    return model.fit(problem.X, problem.y, sample_weight=problem.weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_minimiser(name, optimizer, solved):
    if name not in solved:
        solved[name] = solve(name)
    problem, lowest = solved[name]
    skip_kinks(optimizer, problem.name, problem.settings["penalty"], problem.settings.get("l1_ratio"))
    model = run_long(problem, optimizer)
    reached = objective(problem, model.coef_, model.intercept_)
    assert reached <= lowest * (1 + TOLERANCE)
    assert reached >= lowest * (1 - REFERENCE_TOLERANCE)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["squared_error_l1", "squared_error_elasticnet"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_l1_leaves_exact_zeros_where_coordinate_descent_does(name, optimizer):
    skip_kinks(optimizer, penalty="l1")
    problem, _ = solve(name)
    zeros = problem.rival[0] == 0
    assert zeros.any()
    # The noise of mini-batches lifts weights off zero again and again, hence all rows at once.
    model = run_long(problem, optimizer, batch_size=len(problem.X), learning_rate="constant", tol=None)
    np.testing.assert_array_equal(model.coef_ == 0, zeros)


@cache
def lowest_by_full_gradients(estimator, load, **options):
    X, y, *_ = load()
    return min(estimator(optimizer="gd", **options).fit(X, y).loss_curve_)


# On single rows, RMSProp's metric depends on the row at hand, and so does where it ends.
@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "rmsprop"])
@pytest.mark.parametrize("load", [all_digits, raw_diabetes])
def test_tol_ends_at_the_minimiser(load, optimizer):
    """Row by row, at rates and for as many epochs as are chosen."""
    X, y = load()
    estimator = SGDRegressorPlus if load is raw_diabetes else SGDClassifierPlus
    lowest = lowest_by_full_gradients(estimator, load, alpha=1e-2, tol=1e-9, max_iter=10_000)
    model = estimator(optimizer=optimizer, alpha=1e-2, tol=1e-4, random_state=0).fit(X, y)
    there = {"coef_init": model.coef_, "intercept_init": model.intercept_}
    still = estimator(optimizer="gd", alpha=1e-2, eta0=1e-30, max_iter=1, tol=None).fit(X, y, **there)
    assert still.loss_curve_[-1] <= lowest * (1 + TOLERANCE)


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
@pytest.mark.parametrize("optimizer", [name for name, cls in OPTIMIZERS.items() if not cls.full_batch])
def test_l1_gives_exact_zeros_row_by_row(optimizer, loss):
    """What is selected is about what full gradients select, and nowhere near all."""
    X, y, t = breast_cancer()
    alpha, options = 0.05, {"penalty": "l1", "random_state": 0, "batch_size": 1}
    model = SGDClassifierPlus(loss, optimizer=optimizer, alpha=alpha, **options).fit(X, y)
    assert 2 <= np.count_nonzero(model.coef_) <= 12
    # It costs next to nothing.
    losses, _ = reference.evaluate(loss, model.decision_function(X), t)
    exact = {"loss": loss, "alpha": alpha, "penalty": "l1", "tol": 1e-6, "max_iter": 5000}
    lowest = lowest_by_full_gradients(SGDClassifierPlus, breast_cancer, **exact)
    assert losses.mean() + alpha * np.abs(model.coef_ * X.std(axis=0)).sum() <= 1.01 * lowest


def test_a_search_selects_as_a_fit_does():
    X, y, _ = breast_cancer()
    model = SGDClassifierPlus(penalty="l1", optimizer="adam", batch_size=1, random_state=0)
    folds = [(np.arange(130), np.arange(130, len(y)))]
    search = OnePassGridSearchCV(
        model, {"alpha": [0.01, 0.05]}, cv=folds, scoring="neg_log_loss", refit=False
    )
    for alpha, score in zip([0.01, 0.05], search.fit(X, y).cv_results_["mean_test_score"], strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[:130], y[:130])
        assert score == pytest.approx(-log_loss(y[130:], alone.predict_proba(X[130:])), rel=1e-9)


def test_every_loss_but_the_perceptron_has_a_problem():
    """The objective of the perceptron is least, 0, where all weights are 0."""
    covered = {name for name, _ in PROBLEMS.values()}
    assert covered == set(CLASSIFIER_LOSSES | REGRESSOR_LOSSES) - {"perceptron"}
