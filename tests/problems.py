"""What tests share: data to fit, the entries of registries by what they say of themselves, values of parameters."""

import math
from numbers import Integral

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils._param_validation import Interval

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES

ESTIMATORS = [SGDClassifierPlus, SGDRegressorPlus]
# Every loss with its estimator.
LOSSES = [(SGDClassifierPlus, name) for name in CLASSIFIER_LOSSES]
LOSSES += [(SGDRegressorPlus, name) for name in REGRESSOR_LOSSES]
LOG_LINK = [name for name, loss in REGRESSOR_LOSSES.items() if loss.log_link]

FULL_BATCH = [name for name, optimizer in OPTIMIZERS.items() if optimizer.full_batch]
STOCHASTIC = [name for name in OPTIMIZERS if name not in FULL_BATCH]
# Those whose steps have a length of their own, whatever the gradient's scale.
ADAPTIVE = [name for name, optimizer in OPTIMIZERS.items() if not optimizer.scales_with_gradient]
# Their rates are found by pilot runs.
PILOTED = [name for name in STOCHASTIC if name not in ADAPTIVE]


def has_kinks(optimizer="auto", loss="log_loss", penalty="l2", l1_ratio=0.5, **others):
    """Whether an optimizer, a name, cannot minimise it, for what `all_pairs` is to leave out."""
    losses = {**CLASSIFIER_LOSSES, **REGRESSOR_LOSSES}
    selects = PENALTIES[penalty](1.0, l1_ratio).selects
    needs_smooth = optimizer in OPTIMIZERS and not OPTIMIZERS[optimizer].minimises_kinks
    return needs_smooth and bool(selects or not losses[loss].smooth)


def skip_kinks(optimizer, *objective, **options):
    """Skip a test of what the optimizer, a name, cannot minimise."""
    if has_kinks(optimizer, *objective, **options):
        pytest.skip(f"{optimizer} needs a smooth objective")


def first_of_each_kind(names):
    """One name for each kind of optimizer that others tell apart."""
    kinds = {}
    for name in names:
        optimizer = OPTIMIZERS[name]
        kinds.setdefault((optimizer.full_batch, optimizer.scales_with_gradient, optimizer.decays), name)
    return list(kinds.values())


def error_of(act):
    """The message of the ValueError that something ends in, or None."""
    try:
        act()
    except ValueError as error:
        return str(error)
    return None


# ------------------------------------------------------------------------------------------------ values of parameters


def interval(owner, parameter):
    """The interval that a number must lie in, or None."""
    constraints = owner._parameter_constraints[parameter]
    return next((constraint for constraint in constraints if isinstance(constraint, Interval)), None)


def inside(owner, parameter, share):
    """A valid value of a number: this share of the way through its interval, or of a unit where that has no end."""
    bounds = interval(owner, parameter)
    value = bounds.left + share * (1.0 if bounds.right is None else bounds.right - bounds.left)
    return math.ceil(value) if bounds.type is Integral else value


def outside(owner, parameter):
    """Values that a parameter must not have."""
    bounds = interval(owner, parameter)
    if bounds is None:
        return ["yes", 2]
    values = [bounds.left - 0.1, *[bounds.left] * (bounds.closed in ("right", "neither"))]
    if bounds.right is None:
        return values
    return [*values, bounds.right + 0.1, *[bounds.right] * (bounds.closed in ("left", "neither"))]


def other_value(owner, parameter):
    """A valid value that is far from the default."""
    default, bounds = owner().get_params()[parameter], interval(owner, parameter)
    if bounds is None:
        return not default
    values = (
        inside(owner, parameter, share) for share in ((0.1, 0.3) if bounds.right is None else (0.5, 0.3))
    )
    return next(value for value in values if value != default)


def changed(owner):
    """An optimizer with all parameters far from their defaults: it has as much state as it can have."""
    return owner(**{name: other_value(owner, name) for name in owner().get_params()})


def penalty_with_kinks(optimizer):
    """Options of an elastic net; of the l2 norm for an optimizer, or its name, that needs it, and ends too soon."""
    cls = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else type(optimizer)
    return {"penalty": "elasticnet"} if cls.minimises_kinks else {"penalty": "l2", "tol": None}


# The lengths of their steps are their own.
WITHOUT_RATES = [name for name, optimizer in OPTIMIZERS.items() if not optimizer.takes_rates]
WITH_RATES = [name for name in OPTIMIZERS if name not in WITHOUT_RATES]


def assert_resumed(resumed, expected, optimizer):
    """To the last bit; of scores that are summed up from step to step, but for rounding errors."""
    name = optimizer if isinstance(optimizer, str) else None
    if name in WITHOUT_RATES or not getattr(optimizer, "takes_rates", True):
        assert_allclose(resumed, expected, rtol=1e-6, atol=1e-9)
    else:
        np.testing.assert_array_equal(resumed, expected)


STATEFUL = [*map(changed, OPTIMIZERS.values()), *OPTIMIZERS]


# --------------------------------------------------------------------------------------------------- data of the world


def scaled(load):
    X, y = load(return_X_y=True)
    return scale(X), y


IRIS, CANCER, DIABETES = map(scaled, (load_iris, load_breast_cancer, load_diabetes))
LABELS = np.column_stack([IRIS[1] == 0, IRIS[1] == 1, IRIS[1] > 0]).astype(int)


# ------------------------------------------------------------------------------------------------- a small made problem

N_ROWS, N_FEATURES = 60, 8
KINDS = dict.fromkeys(("binary", "classes", "labels"), SGDClassifierPlus)
KINDS |= dict.fromkeys(("number", "numbers"), SGDRegressorPlus)


def make_X(seed=0, n_rows=N_ROWS):
    """Quarters, of which sums are exact, and many zeros."""
    rng = np.random.RandomState(seed)
    return rng.randint(-8, 9, (n_rows, N_FEATURES)) / 4.0 * (rng.rand(n_rows, N_FEATURES) < 0.4)


def make_y(X, kind):
    scores = X @ np.linspace(-1, 1, N_FEATURES * 3).reshape(N_FEATURES, 3)
    scores += np.random.RandomState(1).normal(size=scores.shape)
    return {
        "binary": scores[:, 0] > 0,
        "classes": scores.argmax(axis=1),
        "labels": (scores > 0).astype(int),
        "number": scores[:, 0],
        "numbers": scores,
    }[kind]


def make(kind, **options):
    return KINDS[kind](**{"random_state": 0, "max_iter": 4, "tol": None, **options})


def assert_same_model(a, b, rtol=0.0):
    for name in "coef_", "intercept_", "loss_curve_":
        assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol, err_msg=name)
    assert a.n_iter_ == b.n_iter_
    assert_allclose(a.eta0_, b.eta0_, rtol=rtol)


# ----------------------------------------------------------------------------------------------- features of all scales

MANY = 300
SHORT = {"random_state": 0, "max_iter": 5, "tol": None}
SCALED_KINDS = {"classes": SGDClassifierPlus, "labels": SGDClassifierPlus, "numbers": SGDRegressorPlus}


def make_features(n_rows=MANY, seed=0):
    """Features without zeros, far from 0; dense ones with zeros; sparse ones; a constant one, and one of zeros."""
    rng = np.random.default_rng(seed)
    full = rng.standard_normal((n_rows, 3)) * [1e-3, 1.0, 50.0] + [1.0, 5.0, -300.0]
    dense = rng.standard_normal((n_rows, 2)) * (rng.random((n_rows, 2)) < 0.7) * [0.4, 2.0]
    few = rng.random((n_rows, 6)) * (rng.random((n_rows, 6)) < 0.3) * [1.0, 2.0, 0.5, 3.0, 1.0, 0.3]
    return np.hstack([full, dense, few, np.full((n_rows, 1), 7.0), np.zeros((n_rows, 1))])


def make_targets(X, kind, seed=0):
    Z = StandardScaler().fit_transform(X)
    scores = Z @ np.random.default_rng(seed).standard_normal((Z.shape[1], 3))
    return {"classes": scores.argmax(axis=1), "labels": (scores[:, 0] > 0) * 1, "numbers": scores[:, 0]}[kind]
