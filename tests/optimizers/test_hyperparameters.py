"""Optimizers as objects: they clone, compare and print by their parameters, each of which does something."""

import numpy as np
import pytest
from sklearn.base import clone

from sgdkit import SGDClassifierPlus
from sgdkit.optimizers import OPTIMIZERS
from tests.problems import IRIS, other_value

# What a parameter is of no effect without.
REQUIRES = {("sgd", "nesterov"): {"momentum": 0.5}}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_clone_and_compare(name):
    cls = OPTIMIZERS[name]
    optimizer = cls()
    assert clone(optimizer) == optimizer == cls()
    assert clone(optimizer) is not optimizer
    assert repr(optimizer) == f"{cls.__name__}()"
    parameter = sorted(optimizer.get_params())[0]
    other = cls(**{parameter: other_value(cls, parameter)})
    assert other != optimizer
    assert clone(other) == other
    assert f"{parameter}=" in repr(other)
    assert optimizer != "adam"
    assert all(optimizer != another() for another in OPTIMIZERS.values() if another is not cls)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [(name, parameter) for name, cls in OPTIMIZERS.items() for parameter in cls().get_params()],
)
def test_every_parameter_of_an_optimizer_changes_the_path_and_works(name, parameter):
    options = {"batch_size": 7, "eta0": 0.05, "max_iter": 10, "tol": None, "random_state": 0}
    cls, required = OPTIMIZERS[name], REQUIRES.get((name, parameter), {})
    optimizer = cls(**{parameter: other_value(cls, parameter)}, **required)
    model = SGDClassifierPlus(optimizer=optimizer, **options).fit(*IRIS)
    without = SGDClassifierPlus(optimizer=cls(**required), **options).fit(*IRIS)
    assert not np.array_equal(model.coef_, without.coef_)
    assert model.score(*IRIS) > 0.8
