"""The registry of optimizers, from which all their tests come."""

import pickle
from inspect import cleandoc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sgdkit import SGDClassifierPlus
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from tests import reference
from tests.optimizers.setups import (
    COMPILED,
    N_COLUMNS,
    N_FEATURES,
    N_ROWS,
    epoch_of,
    make_setup,
    signs,
    strengths,
)

EACH = pytest.mark.parametrize("name", OPTIMIZERS)


@EACH
def test_each_has_a_twin_in_the_reference(name):
    """Which says what its slots are, and with which hyper-parameters to compare it."""
    twin = reference.OPTIMIZERS[name]
    assert twin.variants[""] == {}
    assert all(OPTIMIZERS[name](**parameters) for parameters in twin.variants.values())


def test_the_reference_has_no_other():
    assert list(reference.OPTIMIZERS) == list(OPTIMIZERS)


@EACH
def test_each_is_parameters_alone(name):
    optimizer = OPTIMIZERS[name]()
    for copy in (clone(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert copy == optimizer
        assert copy.get_params() == optimizer.get_params()
    assert repr(optimizer) == f"{type(optimizer).__name__}()"
    assert set(optimizer._parameter_constraints) == set(optimizer.get_params())


@EACH
def test_each_docstring_is_whole(name):
    """Equation, parameters, source, example."""
    doc = cleandoc(OPTIMIZERS[name].__doc__)
    assert "<-" in doc
    for heading in ("Parameters", "References", "Examples"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in doc
    assert all(f"\n{parameter} : " in doc for parameter in OPTIMIZERS[name]().get_params())


@EACH
def test_each_has_a_state_of_the_shape_asked_for(name):
    state = OPTIMIZERS[name]().make_state(None, (5, 3), np.float32, fit_intercept=False, average_from=7)
    assert state.weights().shape == (6, 3)
    assert state.weights().dtype == np.float32
    assert (state.fit_intercept, state.average_from) == (False, 7)
    assert_array_equal(state.take([0, 2]).weights(), state.weights()[:, [0, 2]])


def stream(n_chunks=30):
    """Chunks of sparse rows, of which three features of 40 have a bearing on the class."""
    rng = np.random.default_rng(0)
    for _ in range(n_chunks):
        X = rng.standard_normal((50, 40)) * (rng.random((50, 40)) < 0.3)
        yield X, (X[:, :3].sum(axis=1) + 0.1 * rng.standard_normal(50) > 0).astype(int)


@pytest.mark.parametrize("standardize", [False, True])
def test_ftrl_gives_exact_zeros_on_a_stream(standardize):
    model = SGDClassifierPlus(
        optimizer="ftrl", penalty="l1", alpha=0.05, eta0=0.5, standardize=standardize, random_state=0
    )
    for X, y in stream():
        model.partial_fit(X, y, classes=[0, 1])
    assert (model.coef_[0, :3] > 0).all()
    assert np.count_nonzero(model.coef_[0, 3:]) <= 2
    others = {}
    for name in COMPILED:
        other = clone(model).set_params(optimizer=name)
        for X, y in stream(10):
            other.partial_fit(X, y, classes=[0, 1])
        others[name] = np.count_nonzero(other.coef_)
    assert others["ftrl"] == min(others.values())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("units", [None, np.linspace(0.5, 2, N_FEATURES)])
@pytest.mark.parametrize("n_columns", [1, 3])
def test_ftrl_goes_on_from_given_weights(penalty, units, n_columns):
    """Its sums follow from them, so that steps without a gradient leave them alone, but for the penalty's part."""
    setup = make_setup(OPTIMIZERS["ftrl"](), units=units, **strengths(penalty))
    setup.t = signs(np.random.default_rng(1), (N_ROWS, n_columns))
    state, weights = setup.state(), np.random.default_rng(0).standard_normal((N_FEATURES + 1, n_columns))
    weights[1] = 0
    epoch_of(setup, state)
    state.flush()
    state.load(weights)
    for copy in (pickle.loads(pickle.dumps(state)), state.take(np.arange(n_columns)), state):
        assert_array_equal(copy.weights(), weights)
        copy.set_columns(setup.penalty, np.ones(n_columns))
        # Records are read at a rate that changes nothing but the clock.
        setup.run(copy, np.arange(N_ROWS), np.full(N_ROWS, 1e-13))
        copy.flush()
        assert_allclose(copy.weights(), weights, rtol=1e-10, atol=1e-11)


def test_ftrl_takes_the_sum_of_rates_along():
    setup = make_setup(OPTIMIZERS["ftrl"](), **strengths("elasticnet"))
    state = setup.state()
    for seed in range(3):
        epoch_of(setup, state, seed)
        state.flush()
    copies = pickle.loads(pickle.dumps(state)), state.take(np.arange(N_COLUMNS)), state
    for copy in copies:
        copy.set_columns(setup.penalty, np.ones(N_COLUMNS))
        epoch_of(setup, copy, 3)
        copy.flush()
    for copy in copies[:2]:
        assert_array_equal(copy.record, state.record)
