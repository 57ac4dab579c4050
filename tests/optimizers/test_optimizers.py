"""The registry of optimizers, from which all their tests come."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sgdkit.optimizers import OPTIMIZERS
from tests import reference

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
    doc = OPTIMIZERS[name].__doc__
    assert "<-" in doc
    for heading in ("Parameters", "References", "Examples"):
        assert f"    {heading}\n    {'-' * len(heading)}\n" in doc
    assert all(f"    {parameter} : " in doc for parameter in OPTIMIZERS[name]().get_params())


@EACH
def test_each_has_a_state_of_the_shape_asked_for(name):
    state = OPTIMIZERS[name]().make_state(None, (5, 3), np.float32, fit_intercept=False, average_from=7)
    assert state.weights().shape == (6, 3)
    assert state.weights().dtype == np.float32
    assert (state.fit_intercept, state.average_from) == (False, 7)
    assert_array_equal(state.take([0, 2]).weights(), state.weights()[:, [0, 2]])
