"""What scikit-learn brings."""

import numpy as np
from sklearn import datasets
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.data.split import Problem


def bundled(name, kind="classification"):
    """A table with features as they come."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Problem(X, y.astype(float) if kind == "regression" else y, kind=kind)


def iris():
    """150 rows of 4 standardised features, with 3 classes."""
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def digits(dtype=np.float64):
    """1,797 rows of 64 features, with 10 classes."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y
