"""Every optimizer, run long, ends at the minimiser of ``mean loss + alpha * penalty``, which others find too.

The objective is written once more here, in NumPy, and computed for both from `coef_` and `intercept_`.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from scipy.optimize import minimize
from scipy.special import logsumexp, xlogy
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
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import scale
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.utils.fixes import parse_version

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.optimizers import GD, OPTIMIZERS

TOLERANCE = 5e-3
# What the reference may be from the minimum, so that a test against it means something.
REFERENCE_TOLERANCE = 1e-3

# ---------------------------------------------------------------------------------------------- the objective


def log_loss(s, t, parameter):
    return np.logaddexp(0, -t * s)


def hinge(s, t, parameter):
    return np.maximum(0, 1 - t * s)


def squared_hinge(s, t, parameter):
    return np.maximum(0, 1 - t * s) ** 2


def modified_huber(s, t, parameter):
    return np.where(t * s < -1, -4 * t * s, np.maximum(0, 1 - t * s) ** 2)


def softmax(s, codes, parameter):
    return logsumexp(s, axis=1) - s[np.arange(len(s)), codes]


def crammer_singer(s, codes, parameter):
    rows = np.arange(len(s))
    others = s.copy()
    others[rows, codes] = -np.inf
    return np.maximum(0, 1 + others.max(axis=1) - s[rows, codes])


def squared_error(s, t, parameter):
    return (s - t) ** 2 / 2


def absolute_error(s, t, parameter):
    return np.abs(s - t)


def huber(s, t, epsilon):
    r = np.abs(s - t)
    return np.where(r <= epsilon, r**2 / 2, epsilon * r - epsilon**2 / 2)


def epsilon_insensitive(s, t, epsilon):
    return np.maximum(0, np.abs(s - t) - epsilon)


def squared_epsilon_insensitive(s, t, epsilon):
    return np.maximum(0, np.abs(s - t) - epsilon) ** 2


def quantile(s, t, q):
    return np.maximum(q * (t - s), (q - 1) * (t - s))


def poisson(s, t, parameter):
    return np.exp(s) - t * s + xlogy(t, t) - t


def gamma(s, t, parameter):
    return t * np.exp(-s) + s - np.log(t) - 1


def tweedie(s, t, power):
    constant = t ** (2 - power) / ((1 - power) * (2 - power))
    return constant - t * np.exp((1 - power) * s) / (1 - power) + np.exp((2 - power) * s) / (2 - power)


def objective(problem, coef, intercept):
    """`mean loss + alpha * penalty` of weights in the shapes that the estimators have."""
    scores = problem.X @ np.asarray(coef).T + intercept
    if problem.targets.ndim == 1 and problem.loss not in (softmax, crammer_singer):
        scores = scores.reshape(len(problem.X))
    losses = problem.loss(scores, problem.targets, problem.parameter).reshape(len(problem.X), -1).sum(axis=1)
    l1, l2 = np.abs(coef).sum(), np.square(coef).sum() / 2
    share = {"l1": 1.0, "l2": 0.0, "elasticnet": problem.settings.get("l1_ratio")}[
        problem.settings["penalty"]
    ]
    return np.average(losses, weights=problem.weights) + problem.settings["alpha"] * (
        share * l1 + (1 - share) * l2
    )


# ---------------------------------------------------------------------------------------- problems and rivals

PROBLEMS = {}


def problem(estimator, loss, name=None):
    """Register a function that returns what to fit and `(coef, intercept)` of the reference."""

    def register(build):
        def built():
            found = {"parameter": None, "weights": None, "targets": None, **build()}
            found["targets"] = found["y"] if found["targets"] is None else found["targets"]
            return SimpleNamespace(estimator=estimator, loss=loss, name=built.name, **found)

        built.name = name or loss.__name__
        PROBLEMS[build.__name__] = built
        return build

    return register


def fitted(model, X, y, **options):
    model.fit(X, y, **options)
    return np.asarray(model.coef_), np.asarray(model.intercept_)


def by_scipy(X, targets, loss, parameter, alpha):
    """The minimiser with an l2 penalty of a loss that has a continuous derivative."""

    def value(w):
        return loss(X @ w[:-1] + w[-1], targets, parameter).mean() + alpha / 2 * (w[:-1] ** 2).sum()

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


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y, 2.0 * y - 1


def digits(n_classes=10):
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    return X[:400] / 16, y[:400]


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


def some_weights(n):
    return np.random.RandomState(0).choice([0.0, 0.5, 1.0, 3.0], n)


@problem(SGDClassifierPlus, log_loss)
def log_loss_l2():
    X, y, t = breast_cancer()
    rival = fitted(logistic(1e-2, len(y)), X, y)
    return {"X": X, "y": y, "targets": t, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDClassifierPlus, log_loss)
def log_loss_l1():
    X, y, t = breast_cancer()
    rival = fitted(logistic(1e-2, len(y), l1=True), X, y)
    return {"X": X, "y": y, "targets": t, "settings": {"penalty": "l1", "alpha": 1e-2}, "rival": rival}


@problem(SGDClassifierPlus, log_loss)
def log_loss_l2_weighted():
    X, y, t = breast_cancer()
    s = some_weights(len(y))
    rival = fitted(logistic(1e-2, s.sum()), X, y, sample_weight=s)
    settings = {"penalty": "l2", "alpha": 1e-2}
    return {"X": X, "y": y, "targets": t, "weights": s, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, log_loss)
def log_loss_ovr():
    X, y = digits(4)
    rival = OneVsRestClassifier(logistic(1e-2, len(y))).fit(X, y).estimators_
    rival = np.vstack([m.coef_ for m in rival]), np.concatenate([m.intercept_ for m in rival])
    settings = {"penalty": "l2", "alpha": 1e-2, "multi_class": "ovr"}
    return {"X": X, "y": y, "targets": 2.0 * np.eye(4)[y] - 1, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, softmax, "log_loss")
def softmax_l2():
    X, y = digits()
    rival = fitted(logistic(1e-2, len(y)), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDClassifierPlus, softmax, "log_loss")
def softmax_l1():
    X, y = digits(4)
    rival = fitted(logistic(1e-2, len(y), l1=True), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l1", "alpha": 1e-2}, "rival": rival}


@problem(SGDClassifierPlus, softmax, "log_loss")
def softmax_l2_weighted():
    X, y = digits(4)
    s = some_weights(len(y))
    rival = fitted(logistic(1e-2, s.sum()), X, y, sample_weight=s)
    return {"X": X, "y": y, "weights": s, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDClassifierPlus, hinge)
def hinge_l2():
    X, y, t = breast_cancer()
    # The intercept of LinearSVC is penalised, that of SVC is not.
    coef, intercept = fitted(SVC(kernel="linear", C=1 / (1e-2 * len(y)), tol=1e-6), X, y)
    settings = {"penalty": "l2", "alpha": 1e-2}
    return {"X": X, "y": y, "targets": t, "settings": settings, "rival": (coef, intercept)}


@problem(SGDClassifierPlus, crammer_singer, "hinge")
def crammer_singer_l2():
    X, y = digits(4)
    options = {"C": 1 / (1e-2 * len(y)), "fit_intercept": False, "tol": 1e-8, "max_iter": 10**6}
    rival = fitted(LinearSVC(multi_class="crammer_singer", **options), X, y)
    settings = {"penalty": "l2", "alpha": 1e-2, "multi_class": "multinomial", "fit_intercept": False}
    return {"X": X, "y": y, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, squared_hinge)
def squared_hinge_l2():
    X, y, t = breast_cancer()
    settings = {"penalty": "l2", "alpha": 1e-2}
    rival = by_scipy(X, t, squared_hinge, None, 1e-2)
    return {"X": X, "y": y, "targets": t, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, squared_hinge)
def squared_hinge_l1():
    X, y, t = breast_cancer()
    X = X[:, :10]
    # liblinear penalises the intercept, hence none.
    options = {"C": 1 / (1e-2 * len(y)), "fit_intercept": False, "tol": 1e-8, "max_iter": 10**6}
    rival = fitted(LinearSVC(penalty="l1", dual=False, **options), X, y)
    settings = {"penalty": "l1", "alpha": 1e-2, "fit_intercept": False}
    return {"X": X, "y": y, "targets": t, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, modified_huber)
def modified_huber_l2():
    X, y, t = breast_cancer()
    settings = {"penalty": "l2", "alpha": 1e-2}
    rival = by_scipy(X, t, modified_huber, None, 1e-2)
    return {"X": X, "y": y, "targets": t, "settings": settings, "rival": rival}


@problem(SGDClassifierPlus, squared_error)
def classifier_squared_error_l2():
    X, y, t = breast_cancer()
    settings = {"penalty": "l2", "alpha": 1e-1}
    rival = fitted(Ridge(alpha=1e-1 * len(y)), X, t)
    return {"X": X, "y": y, "targets": t, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l2():
    X, y = diabetes()
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l2_of_the_targets_as_they_are():
    X, y = load_diabetes(return_X_y=True)
    X = scale(X)
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l2_weighted():
    X, y = diabetes()
    s = some_weights(len(y))
    rival = fitted(Ridge(alpha=1e-2 * s.sum()), X, y, sample_weight=s)
    settings = {"penalty": "l2", "alpha": 1e-2}
    return {"X": X, "y": y, "weights": s, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l2_of_several_outputs():
    X, y = diabetes()
    y = np.column_stack([y, 3 * X[:, 2] - y])
    rival = fitted(Ridge(alpha=1e-2 * len(y)), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l1():
    X, y = diabetes()
    rival = fitted(Lasso(alpha=5e-2, tol=1e-8), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l1", "alpha": 5e-2}, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_l1_weighted():
    X, y = diabetes()
    s = some_weights(len(y))
    rival = fitted(Lasso(alpha=5e-2, tol=1e-8), X, y, sample_weight=s)
    settings = {"penalty": "l1", "alpha": 5e-2}
    return {"X": X, "y": y, "weights": s, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, squared_error)
def squared_error_elasticnet():
    X, y = diabetes()
    rival = fitted(ElasticNet(alpha=5e-2, l1_ratio=0.4, tol=1e-8), X, y)
    settings = {"penalty": "elasticnet", "alpha": 5e-2, "l1_ratio": 0.4}
    return {"X": X, "y": y, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, huber)
def huber_l2():
    X, y = diabetes()
    y = y + 8 * (np.arange(len(y)) % 20 == 0)
    # It minimises sum(scale + 2 / scale * huber(r, epsilon * scale)) + alpha ||w||^2, over the scale too.
    model = HuberRegressor(epsilon=1.35, alpha=10.0, max_iter=10_000, tol=1e-8).fit(X, y)
    settings = {"penalty": "l2", "alpha": 10.0 * model.scale_ / len(y), "epsilon": 1.35 * model.scale_}
    rival = model.coef_, model.intercept_
    return {"X": X, "y": y, "parameter": settings["epsilon"], "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, absolute_error)
def absolute_error_l1():
    X, y = diabetes()
    rival = fitted(QuantileRegressor(quantile=0.5, alpha=5e-2 / 2), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l1", "alpha": 5e-2}, "rival": rival}


@problem(SGDRegressorPlus, quantile)
def quantile_l1():
    X, y = diabetes()
    rival = fitted(QuantileRegressor(quantile=0.8, alpha=2e-2), X, y)
    settings = {"penalty": "l1", "alpha": 2e-2, "quantile": 0.8}
    return {"X": X, "y": y, "parameter": 0.8, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, quantile)
def quantile_l1_weighted():
    X, y = diabetes()
    s = some_weights(len(y))
    rival = fitted(QuantileRegressor(quantile=0.3, alpha=2e-2), X, y, sample_weight=s)
    settings = {"penalty": "l1", "alpha": 2e-2, "quantile": 0.3}
    return {"X": X, "y": y, "parameter": 0.3, "weights": s, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, epsilon_insensitive)
def epsilon_insensitive_l2():
    X, y = diabetes()
    coef, intercept = fitted(SVR(kernel="linear", C=1 / (5e-2 * len(y)), epsilon=0.2, tol=1e-6), X, y)
    settings = {"penalty": "l2", "alpha": 5e-2, "epsilon": 0.2}
    return {"X": X, "y": y, "parameter": 0.2, "settings": settings, "rival": (coef, intercept)}


@problem(SGDRegressorPlus, squared_epsilon_insensitive)
def squared_epsilon_insensitive_l2():
    X, y = diabetes()
    settings = {"penalty": "l2", "alpha": 1e-2, "epsilon": 0.2}
    rival = by_scipy(X, y, squared_epsilon_insensitive, 0.2, 1e-2)
    return {"X": X, "y": y, "parameter": 0.2, "settings": settings, "rival": rival}


@problem(SGDRegressorPlus, poisson)
def poisson_l2():
    X, _ = diabetes()
    y = np.random.RandomState(0).poisson(np.exp(0.7 + 0.5 * X[:, 2] - 0.3 * X[:, 8])).astype(float)
    rival = fitted(PoissonRegressor(alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDRegressorPlus, gamma)
def gamma_l2():
    X, _ = diabetes()
    y = load_diabetes().target
    rival = fitted(GammaRegressor(alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    return {"X": X, "y": y, "settings": {"penalty": "l2", "alpha": 1e-2}, "rival": rival}


@problem(SGDRegressorPlus, tweedie)
def tweedie_l2():
    X, _ = diabetes()
    rng = np.random.RandomState(0)
    # Claims, of which many rows have none.
    y = rng.poisson(np.exp(0.2 + 0.5 * X[:, 2])) * rng.gamma(2.0, size=len(X))
    rival = fitted(TweedieRegressor(power=1.3, link="log", alpha=1e-2, tol=1e-8, max_iter=1000), X, y)
    settings = {"penalty": "l2", "alpha": 1e-2, "power": 1.3}
    return {"X": X, "y": y, "parameter": 1.3, "settings": settings, "rival": rival}


# -------------------------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def solved():
    """Each problem is built, and solved by the reference, once."""
    return {}


def run_long(problem, optimizer, **options):
    smooth = (CLASSIFIER_LOSSES | REGRESSOR_LOSSES)[problem.name].smooth
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
    elif optimizer == "sgd":
        # With one metric for all, rare features come late.
        settings |= {"n_iter_no_change": 50}
    elif optimizer == "gd":
        optimizer = GD(nesterov=True)
    elif optimizer == "adagrad":
        # Its rates fall of themselves; to lower them twice is too much.
        settings |= {"learning_rate": "constant", "tol": None, "max_iter": 3000}
    settings |= options
    model = problem.estimator(
        problem.name,
        optimizer=optimizer,
        standardize=False,
        random_state=0,
        **settings,
        **problem.settings,
    )
    return model.fit(problem.X, problem.y, sample_weight=problem.weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_minimiser(name, optimizer, solved):
    if name not in solved:
        solved[name] = PROBLEMS[name]()
    problem = solved[name]
    lowest = objective(problem, *problem.rival)
    model = run_long(problem, optimizer)
    reached = objective(problem, model.coef_, model.intercept_)
    assert reached <= lowest * (1 + TOLERANCE)
    assert reached >= lowest * (1 - REFERENCE_TOLERANCE)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["squared_error_l1", "squared_error_elasticnet"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_l1_leaves_exact_zeros_where_coordinate_descent_does(name, optimizer):
    problem = PROBLEMS[name]()
    zeros = problem.rival[0] == 0
    assert zeros.any()
    # The noise of mini-batches lifts weights off zero again and again, hence all rows at once.
    model = run_long(problem, optimizer, batch_size=len(problem.X), learning_rate="constant", tol=None)
    np.testing.assert_array_equal(model.coef_ == 0, zeros)


def test_every_loss_but_the_perceptron_has_a_problem():
    """The objective of the perceptron is least, 0, where all weights are 0."""
    covered = {built.name for built in PROBLEMS.values()}
    assert covered == set(CLASSIFIER_LOSSES | REGRESSOR_LOSSES) - {"perceptron"}
