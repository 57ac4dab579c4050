"""Full gradients end at the minimum that others find: to many digits, on tables of any condition, in float32 too."""

import warnings

import numpy as np
import pytest
from scipy.linalg import hilbert
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.preprocessing import scale

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from tests import reference
from tests.pairs import all_pairs

ALPHA = 0.01
RNG = np.random.default_rng(0)
N_ROWS, N_FEATURES = 400, 12
MIXED = RNG.standard_normal((N_ROWS, N_FEATURES)) @ RNG.standard_normal((N_FEATURES, N_FEATURES))
SCORES = scale(MIXED @ RNG.standard_normal(N_FEATURES))
NUMBERS = SCORES + RNG.standard_normal(N_ROWS)
COUNTS = RNG.poisson(np.exp(SCORES)).astype(float)
CLASSES = (SCORES + RNG.logistic(size=N_ROWS) > 0) * 1
THREE = np.digitize(NUMBERS, [-0.7, 0.7])
# Loss, penalty, l1_ratio, targets, and a peer at the same objective.
EXACT = {"tol": 1e-10, "max_iter": 100_000}
PEERS = {
    "logistic": (
        "log_loss",
        0.0,
        CLASSES,
        LogisticRegression(C=1 / (ALPHA * N_ROWS), tol=1e-9, max_iter=10_000),
    ),
    "softmax": ("softmax", 0.0, THREE, LogisticRegression(C=1 / (ALPHA * N_ROWS), tol=1e-9, max_iter=10_000)),
    "ridge": ("squared_error", 0.0, NUMBERS, Ridge(ALPHA * N_ROWS)),
    "lasso": ("squared_error", 1.0, NUMBERS, Lasso(ALPHA, **EXACT)),
    "elastic net": ("squared_error", 0.5, NUMBERS, ElasticNet(ALPHA, l1_ratio=0.5, **EXACT)),
    "poisson": ("poisson", 0.0, COUNTS, PoissonRegressor(alpha=ALPHA, tol=1e-9, max_iter=10_000)),
}


def objective(loss, l1_ratio, X, y, model):
    coef = np.atleast_2d(model.coef_)
    t = np.eye(len(coef))[y] if loss == "softmax" else (2 * y - 1 if loss == "log_loss" else y)
    values, _ = reference.evaluate(loss, X @ coef.T + model.intercept_, t.reshape(len(y), -1), 0.0, len(coef))
    penalty = l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) * np.square(coef).sum() / 2
    return values.sum() / len(y) + ALPHA * penalty


def fit(loss, l1_ratio, X, y, **options):
    penalty = {"penalty": "elasticnet", "l1_ratio": l1_ratio, "alpha": ALPHA} | options
    if loss in ("log_loss", "softmax"):
        return SGDClassifierPlus("log_loss", **penalty).fit(X, y)
    return SGDRegressorPlus(loss, **penalty).fit(X, y)


@pytest.mark.parametrize(
    ("case", "optimizer"),
    [(case, name) for case in PEERS for name in ("lbfgs", "gd") if name == "gd" or not PEERS[case][1]],
)
def test_the_minimum_is_that_of_the_peer(case, optimizer):
    loss, l1_ratio, y, peer = PEERS[case]
    tol = 1e-8 if optimizer == "lbfgs" else 1e-11
    options = {"optimizer": optimizer, "standardize": False, "tol": tol, "max_iter": 10_000}
    model = fit(loss, l1_ratio, MIXED, y, **options)
    mine, its = (objective(loss, l1_ratio, MIXED, y, m) for m in (model, peer.fit(MIXED, y)))
    assert mine <= its * (1 + 1e-6)


@pytest.mark.parametrize("case", ["logistic", "ridge", "poisson"])
def test_float32_comes_as_near_as_it_can_tell(case):
    loss, l1_ratio, y, peer = PEERS[case]
    X = MIXED.astype(np.float32)
    model = fit(loss, l1_ratio, X, y, optimizer="lbfgs", standardize=False, tol=1e-7)
    assert model.coef_.dtype == np.float32
    mine, its = (
        objective(loss, l1_ratio, X.astype(float), y, m) for m in (model, peer.fit(X.astype(float), y))
    )
    assert mine <= its * (1 + 1e-5)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_units_and_offsets_of_features_change_nothing(offset, unit):
    model = fit("log_loss", 0.0, MIXED, CLASSES, tol=1e-10)
    moved = fit("log_loss", 0.0, unit * (MIXED + offset), CLASSES, tol=1e-10)
    assert moved.n_iter_ == pytest.approx(model.n_iter_, abs=3)
    np.testing.assert_allclose(
        moved.decision_function(unit * (MIXED + offset)), model.decision_function(MIXED), atol=1e-4
    )


ILL_CONDITIONED = {
    "Hilbert": np.tile(hilbert(12), (20, 1)) + 0.0,
    "duplicates": np.repeat(MIXED[:240, :4], 3, axis=1),
    "powers": np.vander(np.linspace(-1, 1, 240), 14),
    "tiny and huge": MIXED[:240] * np.geomspace(1e-8, 1e8, N_FEATURES),
}
SMOOTH = [(SGDClassifierPlus, name) for name, cls in CLASSIFIER_LOSSES.items() if cls.smooth]
SMOOTH += [(SGDRegressorPlus, name) for name, cls in REGRESSOR_LOSSES.items() if cls.smooth]


@all_pairs
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("optimizer", ["lbfgs", "gd"])
@pytest.mark.parametrize(("estimator", "loss"), SMOOTH)
@pytest.mark.parametrize("table", ILL_CONDITIONED)
def test_ill_conditioned_tables_end_with_a_finite_model(table, estimator, loss, optimizer, standardize):
    X = ILL_CONDITIONED[table]
    y = np.arange(240) % 3 if estimator is SGDClassifierPlus else 1.0 + np.arange(240) % 3
    model = estimator(loss, optimizer=optimizer, standardize=standardize, alpha=1e-9, max_iter=200, tol=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.loss_curve_[-1] <= model.loss_curve_[0] * (1 + 1e-13)


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge"])
def test_training_ends_soon_after_the_minimum_is_reached(loss):
    exact = SGDClassifierPlus(loss, alpha=ALPHA, tol=1e-12).fit(MIXED, CLASSES)
    default = SGDClassifierPlus(loss, alpha=ALPHA).fit(MIXED, CLASSES)
    curve, lowest = np.array(default.loss_curve_), exact.loss_curve_[-1]
    assert curve[-1] <= lowest * (1 + 1e-3)
    assert len(curve) <= np.argmax(curve <= lowest * (1 + 1e-4)) + 3
