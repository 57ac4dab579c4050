"""The units of features, targets and weights: predictions change as they should, or not at all.

Units are powers of two, which multiply floating-point numbers exactly, so that long fits cannot drift apart.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto.strength import CANDIDATES
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests.pairs import all_pairs
from tests.problems import LOG_LINK, LOSSES, has_kinks, skip_kinks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# About 1e-12, 1e-6, 1e6 and 1e12: also those of the four features together.
UNITS = 2.0 ** np.array([-40, -20, 20, 40])
TINY_AND_HUGE = UNITS[[0, -1]]
ALL_LOSSES = pytest.mark.parametrize(("estimator", "loss"), LOSSES)
ALL_OPTIMIZERS = pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
ALL_MODES = pytest.mark.parametrize("mode", ["fit", "partial_fit", "early stopping", "tol"])

RNG = np.random.default_rng(0)
# Rows enough to be visited one by one, unless a mode says otherwise.
X = RNG.standard_normal((300, 4)) + np.array([0.0, 3.0, 0.0, 0.0])
X[:, 2] *= RNG.random(300) < 0.5
SCORES = X @ [1.0, -0.5, 0.7, 0.0] + 1.0 + 0.3 * RNG.standard_normal(300)
POSITIVE = np.exp(0.3 * SCORES)


def targets(estimator, loss):
    if estimator is SGDClassifierPlus:
        return (SCORES.mean() < SCORES).astype(int)
    return POSITIVE if loss in LOG_LINK else SCORES


def fitted(estimator, loss, mode, X, y, *, sample_weight=None, unit=1.0, **options):
    """A model; what of its parameters is in units of the target is multiplied by `unit`."""
    options = {"random_state": 0, "max_iter": 3, "tol": None, **options}
    if mode == "early stopping":
        options |= {"early_stopping": True, "max_iter": 6, "tol": 1e-3}
    elif mode == "tol":
        options |= {"tol": 1e-2, "max_iter": 20}
    model = estimator(loss, epsilon=0.1 * unit, **options)
    if mode != "partial_fit":
        return model.fit(X, y, sample_weight=sample_weight)
    first = {"classes": [0, 1]} if estimator is SGDClassifierPlus else {}
    for part in np.array_split(np.arange(len(y)), 3):
        weights = None if sample_weight is None else sample_weight[part]
        model.partial_fit(X[part], y[part], sample_weight=weights, **first)
    return model


def scores(model, X):
    return model.decision_function(X) if isinstance(model, SGDClassifierPlus) else model.predict(X)


@all_pairs(unless=has_kinks)
@ALL_MODES
@ALL_OPTIMIZERS
@ALL_LOSSES
def test_features(estimator, loss, optimizer, mode):
    y, options = targets(estimator, loss), {"optimizer": optimizer}
    expected = scores(fitted(estimator, loss, mode, X, y, **options), X)
    for unit in (*TINY_AND_HUGE, UNITS):
        found = scores(fitted(estimator, loss, mode, X * unit, y, **options), X * unit)
        assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("penalty", [name for name in PENALTIES if name])
@ALL_MODES
@ALL_OPTIMIZERS
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_targets(loss, optimizer, mode, penalty):
    options = {"optimizer": optimizer, "penalty": penalty}
    y = targets(SGDRegressorPlus, loss)
    expected = fitted(SGDRegressorPlus, loss, mode, X, y, **options).predict(X)
    assert np.ptp(expected) > 0
    # Backtracking takes other first rates, by a hair, where losses of this form are tiny: its path is another one.
    for unit in TINY_AND_HUGE[loss == "tweedie" and optimizer in ("auto", "gd") :]:
        found = fitted(SGDRegressorPlus, loss, mode, X, unit * y, unit=unit, **options).predict(X)
        # With a log link, a unit is a sum in the score, which rounds.
        rtol = 1e-4 if loss in LOG_LINK else 1e-9
        assert_allclose(found / unit, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_targets_of_outputs_in_units_of_their_own(optimizer):
    skip_kinks(optimizer, "absolute_error")
    Y = np.column_stack([SCORES, X @ [0.0, 1.0, 1.0, 0.0]])
    units = np.array([UNITS[1], UNITS[2]])
    for loss, penalty in [("absolute_error", "l2"), ("absolute_error", "l1"), ("quantile", "elasticnet")]:
        options = {"optimizer": optimizer, "penalty": penalty, "batch_size": 1}
        expected = fitted(SGDRegressorPlus, loss, "fit", X, Y, **options)
        found = fitted(SGDRegressorPlus, loss, "fit", X, units * Y, **options)
        if not OPTIMIZERS[optimizer].scales_with_gradient:
            assert_allclose(found.predict(X) / units, expected.predict(X), rtol=1e-9, atol=1e-9)
        if penalty == "l2":
            assert_allclose(found.alpha_ * units, expected.alpha_, rtol=1e-9)


@all_pairs(unless=has_kinks)
@ALL_MODES
@ALL_OPTIMIZERS
@ALL_LOSSES
def test_weights(estimator, loss, optimizer, mode):
    y, weights = targets(estimator, loss), 0.5 * RNG.random(len(X))
    expected = scores(fitted(estimator, loss, mode, X, y, sample_weight=weights, optimizer=optimizer), X)
    for unit in TINY_AND_HUGE:
        # Weights that sum to more than the rows are repetitions, and weaken the penalty that "auto" chooses.
        alpha = "auto" if unit < 1 else 1 / len(X)
        options = {"optimizer": optimizer, "alpha": alpha}
        found = fitted(estimator, loss, mode, X, y, sample_weight=unit * weights, **options)
        if alpha != "auto":
            expected = scores(fitted(estimator, loss, mode, X, y, sample_weight=weights, **options), X)
        assert_allclose(scores(found, X), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_single_precision(loss, optimizer):
    skip_kinks(optimizer, loss)
    if (loss, optimizer) == ("poisson", "lbfgs"):
        pytest.xfail("the first steps differ where the mean is 1e-12 in float32")
    y = targets(SGDRegressorPlus, loss)
    expected = fitted(SGDRegressorPlus, loss, "fit", X.astype("f4"), y, optimizer=optimizer).predict(X)
    for unit in TINY_AND_HUGE:
        found = fitted(
            SGDRegressorPlus, loss, "fit", X.astype("f4"), y * unit, unit=unit, optimizer=optimizer
        )
        assert_allclose(found.predict(X) / unit, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_classifier_losses_have_no_unit():
    for loss in CLASSIFIER_LOSSES:
        model = fitted(SGDClassifierPlus, loss, "fit", X, targets(SGDClassifierPlus, loss), optimizer="sgd")
        assert np.isclose(model.alpha_ * len(X), CANDIDATES).any()
