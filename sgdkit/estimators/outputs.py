"""The targets of a regressor: numbers of one output or several."""

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d

from sgdkit._kernels.targets import Targets
from sgdkit.estimators.labels import make_loss, raise_missing
from sgdkit.losses import REGRESSOR_LOSSES

# How far from the best constant model training begins, in units of the size of scores. At the very minimum, an adaptive
# optimizer would take the rounding error of a gradient of 0 for a gradient.
OFF_THE_MINIMUM = 0.1


class Outputs:
    """What is known of the targets of a regression problem; the counterpart of `Labels`."""

    numeric, losses = True, REGRESSOR_LOSSES
    attributes: dict = {}

    @classmethod
    def learn(cls, y):
        return cls()

    @staticmethod
    def prepare(y, name="y"):
        """Return targets as a user gives them, objects as numbers; missing ones are an error, and sparse ones."""
        if sparse.issparse(y):
            raise TypeError(
                f"Sparse data was passed for {name}, but dense data is required. Use '.toarray()' to convert to a "
                "dense numpy array."
            )
        if y is None:
            return y
        array = np.asarray(y)
        if array.dtype.kind == "O":
            try:
                y = array = array.astype(np.float64)
            except TypeError:
                # That of the NA of pandas.
                raise_missing(name, "values")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise_missing(name, "values")
        return y

    @staticmethod
    def check(settings, y):
        """Return `y` in float64, of shape (n_rows,) or (n_rows, n_outputs), and in the domain of the loss."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.astype(np.float64, copy=False)
        lowest, included = make_loss(settings, REGRESSOR_LOSSES).minimum_target
        if y.min() < lowest or (y.min() == lowest and not included):
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {settings.loss!r}: they must be "
                f"{'>=' if included else '>'} {lowest:g}. Choose another loss, or remove those rows."
            )
        return y

    @staticmethod
    def check_size(y, dtype):
        """Raise if `y` is too large, or too small, for its squares to be summed in the dtype of training."""
        largest, limits = np.abs(y).max(), np.finfo(dtype)
        if largest > np.sqrt(limits.max / y.size):
            raise ValueError(
                f"The values of y are too large: their squares overflow in {dtype}. Divide them by a constant."
            )
        if 0 < largest < np.sqrt(limits.tiny):
            raise ValueError(
                f"The values of y are too small: their squares underflow in {dtype}. Multiply them by a constant."
            )

    def check_going_on(self, earlier):
        """A fit can go on from one to any other outputs."""

    def encode(self, y):
        """The targets of columns: one for each output."""
        outputs = y.reshape(len(y), -1)
        return Targets(outputs, np.arange(outputs.shape[1]))

    def count(self, settings, targets, sample_weight):
        return self

    def class_weights(self, settings):
        return None

    def make_loss(self, settings, targets):
        return make_loss(settings, self.losses)

    def first_intercept(self, data, loss):
        """The intercepts to begin with: near those of the best constant model."""
        y, row_weights = data.select(data.targets.values), data.select(data.weights_or_ones)
        return loss.initial_intercept(y, row_weights) + OFF_THE_MINIMUM * loss.score_scale(y, row_weights)

    def shape_coef(self, coef):
        """`coef_`, given the weights of shape (n_columns, n_features)."""
        return coef[0] if len(coef) == 1 else coef
