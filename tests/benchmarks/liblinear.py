"""liblinear as an estimator, called by its own package liblinear-official.

Rows become liblinear's nodes by a few calls of NumPy, where the package goes through them one by one.
"""

import ctypes

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from tests.benchmarks.timing import Missing

NODE = np.dtype([("index", np.int32), ("value", np.float64)], align=True)
LAST = -1  # the index of the node that ends a row
BIAS = 1.0


class _Liblinear(BaseEstimator):
    """A model with an intercept, which is penalised with the weights, as liblinear's is.

    Parameters
    ----------
    options : str
        Those of liblinear's command line.
    """

    def __init__(self, options=""):
        self.options = options

    def _train(self, X, y):
        """The weights, one column a class, with the intercept as the last row; and the classes in their order."""
        try:
            from liblinear import liblinear, liblinearutil
        except ImportError as error:
            raise Missing(f"liblinear-official: not installed ({error})") from error
        nodes, starts = _nodes(X)
        addresses = starts * NODE.itemsize + nodes.ctypes.data
        y = np.ascontiguousarray(y, dtype=np.float64)
        problem = liblinear.problem.__new__(liblinear.problem)
        problem.l, problem.n, problem.bias = len(y), X.shape[1] + 1, BIAS
        problem.y = _pointer(y, ctypes.c_double)
        problem.x = _pointer(addresses, ctypes.POINTER(liblinear.feature_node))
        model = liblinearutil.train(problem, f"{self.options} -B {BIAS} -q")
        n_columns = 1 if model.nr_class <= 2 and "-s 4" not in self.options else model.nr_class
        shape = (X.shape[1] + 1, n_columns)
        weights = np.ctypeslib.as_array(model.w, (shape[0] * shape[1],)).reshape(shape).copy()
        return weights, model.label[: model.nr_class] if model.label else None

    def decision_function(self, X):
        return X @ self.weights_[:-1] + self.weights_[-1]


class LiblinearClassifier(ClassifierMixin, _Liblinear):
    def fit(self, X, y):
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.weights_, order = self._train(X, codes)
        self.order_ = self.classes_[order]
        return self

    def predict(self, X):
        scores = self.decision_function(X)
        # One column is the score of the first class.
        return self.order_[scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] <= 0).astype(int)]


class LiblinearRegressor(RegressorMixin, _Liblinear):
    def fit(self, X, y):
        self.weights_, _ = self._train(X, y)
        return self

    def predict(self, X):
        return self.decision_function(X)[:, 0]


def _nodes(X):
    """The nodes of all rows one after another, each row with one for the intercept and one that ends it; and where
    rows begin."""
    X = sparse.csr_matrix(X)
    n_rows, n_features = X.shape
    added = 2 * np.arange(n_rows + 1)
    bounds = X.indptr + added
    places = np.arange(X.nnz) + np.repeat(added[:-1], np.diff(X.indptr))
    nodes = np.empty(bounds[-1], dtype=NODE)
    nodes["index"][places] = X.indices + 1
    nodes["value"][places] = X.data
    nodes["index"][bounds[1:] - 2] = n_features + 1
    nodes["value"][bounds[1:] - 2] = BIAS
    nodes["index"][bounds[1:] - 1] = LAST
    return nodes, bounds[:-1].astype(np.uint64)


def _pointer(array, kind):
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))
