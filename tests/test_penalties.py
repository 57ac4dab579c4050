"""Penalties: value, proximal operator, and the names."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from sgdkit.penalties import PENALTIES, Penalty
from tests import reference

ALPHA, L1_RATIO = 0.7, 0.4
FORMULAS = {
    "l2": lambda w: ALPHA * (w**2).sum() / 2,
    "l1": lambda w: ALPHA * np.abs(w).sum(),
    "elasticnet": lambda w: ALPHA * (L1_RATIO * np.abs(w).sum() + (1 - L1_RATIO) * (w**2).sum() / 2),
    None: lambda w: 0.0,
}
ALL_PENALTIES = pytest.mark.parametrize("name", PENALTIES)


def test_every_penalty_has_a_formula():
    assert set(PENALTIES) == set(FORMULAS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@ALL_PENALTIES
def test_value_is_the_formula(name, dtype):
    w = np.random.default_rng(0).standard_normal((7, 3)).astype(dtype)
    value = PENALTIES[name](ALPHA, L1_RATIO).value(w)
    assert value.shape == (3,)
    # Summed in float64, whatever the weights.
    assert_allclose(value.sum(), FORMULAS[name](w.astype(np.float64)), rtol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 1.0, 5.0])
@ALL_PENALTIES
def test_prox_is_the_minimiser(name, rate):
    penalty = PENALTIES[name](ALPHA, L1_RATIO)
    for w in np.linspace(-3, 3, 13):

        def objective(v, w=w):
            return (v - w) ** 2 / (2 * rate) + FORMULAS[name](np.array([v]))

        best = minimize_scalar(objective, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
        # At a kink or a flat bottom the position is less certain than the value.
        reached = float(penalty.prox(np.array([[w]]), rate)[0, 0])
        assert objective(reached) <= best.fun + 1e-12
        assert reached == pytest.approx(best.x, abs=1e-5)


@ALL_PENALTIES
def test_units_are_those_of_the_weights(name):
    """The penalty of U W, and its proximal step, which is that of each feature with the strengths of its unit."""
    units, rates = np.array([0.01, 1.0, 3.0, 40.0, 0.5]), np.array([0.1, 0.5, 2.0])
    plain, w = PENALTIES[name](ALPHA, L1_RATIO), np.random.default_rng(0).standard_normal((5, 3))
    penalty = plain.of_units(units)
    assert_allclose(penalty.value(w), plain.value(units[:, np.newaxis] * w), rtol=1e-14)
    expected = [plain.of_units(unit).prox(w[[j]], rates) for j, unit in enumerate(units)]
    assert_allclose(penalty.prox(w, rates), np.vstack(expected), rtol=1e-14)
    assert plain.shrinks_alike == (not plain.selects)
    # No penalty has no units.
    assert penalty.shrinks_alike == (name is None)
    part = penalty.of_features([3, 1])
    assert_allclose(part.value(w[[3, 1]]), plain.value(units[[3, 1], np.newaxis] * w[[3, 1]]), rtol=1e-14)


@ALL_PENALTIES
def test_one_unit_for_all_is_a_strength(name):
    plain = PENALTIES[name](ALPHA, L1_RATIO)
    for units in (3.0, np.full(4, 3.0)):
        penalty = plain.of_units(units)
        assert penalty.units is None
        assert (penalty.l1, penalty.l2) == (3 * plain.l1, 9 * plain.l2)


@ALL_PENALTIES
def test_prox_takes_a_rate_for_each_column(name):
    penalty = PENALTIES[name](ALPHA, L1_RATIO)
    w, rates = np.random.default_rng(0).standard_normal((5, 3)), np.array([0.1, 0.5, 2.0])
    expected = [penalty.prox(w[:, [c]], rates[c]) for c in range(3)]
    assert_array_equal(penalty.prox(w, rates), np.hstack(expected))
    assert_allclose(penalty.prox(w, rates), reference.prox(w, 1.0, rates, penalty.l1, penalty.l2), rtol=1e-14)


def test_prox_leaves_its_weights_alone():
    w = np.ones((2, 2))
    Penalty(0.3, 0.2).prox(w, 1.0)
    assert_array_equal(w, 1)


def test_l1_sets_weights_to_zero_and_l2_does_not():
    w = np.array([[0.5], [-0.5], [2.0]])
    assert_array_equal(PENALTIES["l1"](1.0, 0.0).prox(w, 1.0), [[0], [0], [1]])
    assert np.all(PENALTIES["l2"](1.0, 0.0).prox(w, 1.0) != 0)


@pytest.mark.parametrize(("l1_ratio", "name"), [(0.0, "l2"), (1.0, "l1")])
def test_the_ends_of_the_elastic_net(l1_ratio, name):
    net, end = PENALTIES["elasticnet"](ALPHA, l1_ratio), PENALTIES[name](ALPHA, 0.5)
    assert (net.l1, net.l2) == (end.l1, end.l2)
