"""Rows as training and validation see them, and the checks of what a user passes to `fit`."""

import itertools
import warnings
from dataclasses import dataclass, replace
from inspect import signature

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_X_y,
    validate_data,
)

from sgdkit._kernels.arrays import move_rows
from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.disk.maps import check_unchanged
from sgdkit.estimators.labels import Labels
from sgdkit.estimators.outputs import Outputs
from sgdkit.estimators.structure import check_here, check_structure
from sgdkit.estimators.subset import Subset, on_subset
from sgdkit.training.problem import select

ALL_ZERO = (
    "Sample weights must contain at least one non-zero number; sample_weight, times class_weight, is all 0."
)
# Weights whose mean is so far from 1 leave no room for the squares that they multiply.
LARGEST_WEIGHT = 1e100
# Values of a frame that are converted at a time.
STRETCH = 1 << 17
# scikit-learn 1.9 checks this by itself, which partial_fit has no use for.
_ALLOW_ZERO_WEIGHTS = {
    name: True for name in signature(_check_sample_weight).parameters if name == "allow_all_zero_weights"
}


@dataclass
class Data:
    """Validated rows.

    Attributes
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    y : ndarray
        As the user gave it, for scorers.
    targets : Targets
    kind : Labels or Outputs
        What is known of the targets, these included.
    sample_weight : ndarray of shape (n_rows,) or None
        As the user gave it, for scorers.
    class_weights : ndarray of shape (n_classes,) or None
    row_weights : ndarray of shape (n_rows,) or None
        The weights in the objective: `sample_weight` times the weight of the class.
    row_indices : ndarray of intp, or None
        The rows that count: by default those of positive weight. None if that is all.
    rows : Rows
        The loop's view of X.
    subset : Subset or None
        The features of `rows`, where these are few among those of X.
    """

    X: object
    y: np.ndarray
    targets: Targets
    kind: object
    sample_weight: np.ndarray | None = None
    class_weights: np.ndarray | None = None
    row_weights: np.ndarray | None = None
    row_indices: np.ndarray | None = None
    rows: Rows | None = None
    subset: Subset | None = None

    def __post_init__(self):
        if self.row_indices is None and self.row_weights is not None and not (self.row_weights > 0).all():
            self.row_indices = np.flatnonzero(self.row_weights > 0)

    @property
    def n_rows(self):
        """The number of rows that count."""
        return self.targets.n_rows if self.row_indices is None else len(self.row_indices)

    @property
    def total_weight(self):
        return self.n_rows if self.row_weights is None else self.select(self.row_weights).sum()

    @property
    def seen(self):
        """The number of rows that count, and the sum of their weights."""
        return np.array([self.n_rows, self.total_weight], dtype=np.float64)

    @property
    def weights_or_ones(self):
        """The weights of all rows, as an array."""
        return np.ones(self.targets.n_rows) if self.row_weights is None else self.row_weights

    def select(self, values):
        """The values of the rows that count, of an array for all rows."""
        return select(values, self.row_indices)

    def take(self, indices, X=None):
        """The rows at some indices, copied; unless they are an array `X` already."""
        return replace(
            self,
            X=take_rows(self.X, indices) if X is None else X,
            y=self.y[indices],
            targets=self.targets.take(indices),
            sample_weight=select(self.sample_weight, indices),
            row_weights=select(self.row_weights, indices),
            row_indices=None,
            rows=None,
            subset=None,
        )

    def on_subset(self):
        """The same rows for training on the features that they have alone, where these are few."""
        subset, rows = on_subset(self.rows)
        return replace(self, rows=rows, subset=subset)

    def alone(self):
        """The rows that count as all that there are, if they are dense ones in memory: there are no gaps, then."""
        if self.row_indices is None or self.rows.mapped or not isinstance(self.X, np.ndarray):
            return self
        taken = self._moved([self.row_indices])[0] if self.rows.owned else self.take(self.row_indices)
        return replace(taken, rows=Rows(taken.X, owned=True))

    def split(self, fraction, seed):
        """Hold out a share of the rows; the others are not copied. Of a class, one row at the least is kept.

        Of dense rows that are nobody else's, neither are: they move apart.
        """
        indices = np.arange(self.targets.n_rows) if self.row_indices is None else self.row_indices
        options, alone = {"test_size": fraction, "random_state": seed}, np.empty(0, dtype=np.intp)
        places = np.arange(len(indices))
        if self.targets.labels:
            places, alone, options["stratify"] = _strata(self.targets.values[indices])
        try:
            kept, held_out = train_test_split(places, **options)
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={fraction} cannot be held out of {len(indices)} rows: {error} "
                "Change validation_fraction, add rows, pass X_val and y_val, or set early_stopping=False."
            ) from error
        kept, held_out = indices[np.sort(np.append(kept, alone))], indices[np.sort(held_out)]
        if self.rows.owned:
            kept, held_out = self._moved([kept, held_out])
            return replace(kept, rows=Rows(kept.X, owned=True)), held_out
        return replace(self, row_indices=kept), self.take(held_out)

    def _moved(self, parts):
        """The rows at some indices, part after part, where X begins; its others come behind them."""
        others = np.ones(len(self.X), dtype=bool)
        others[np.concatenate(parts)] = False
        move_rows(self.X, np.concatenate([*parts, np.flatnonzero(others)]))
        ends = np.cumsum([0, *map(len, parts)])
        places = itertools.starmap(slice, itertools.pairwise(ends))
        return [self.take(part, self.X[place]) for part, place in zip(parts, places, strict=True)]


def _strata(classes):
    """The rows that can be divided, those that are the only one of their class, and the classes of the former."""
    single = np.bincount(classes)[classes] == 1
    if single.any():
        warnings.warn(
            f"{single.sum()} of the classes in y have a single row, which cannot be held out for early stopping: it "
            "stays among the training rows.",
            UserWarning,
            stacklevel=5,
        )
    places = np.flatnonzero(~single)
    return places, np.flatnonzero(single), classes[places]


def targets_kind(settings):
    """The class that knows the targets of an estimator."""
    return Labels if is_classifier(settings) else Outputs


def encode(settings, kind, X, y, sample_weight, *, rows=None, counts=True):
    """Rows as `Data`: targets are encoded, and rows are weighted by their classes.

    `counts` says whether the rows are training rows, which balanced weights of classes depend on.
    """
    targets = kind.encode(y)
    kind = kind.count(settings, targets, sample_weight) if counts else kind
    class_weights, row_weights = kind.class_weights(settings), sample_weight
    with np.errstate(over="ignore"):
        if class_weights is not None:
            row_weights = class_weights[targets.values] * (1.0 if sample_weight is None else sample_weight)
        _check_total(row_weights, "sample_weight" if counts else "sample_weight_val")
    weights = {"sample_weight": sample_weight, "class_weights": class_weights, "row_weights": row_weights}
    return Data(X, y, targets, kind, **weights, rows=rows)


def _check_total(row_weights, name):
    """Raise if weights are too large, or too small, to be summed and multiplied."""
    total = 0.0 if row_weights is None else row_weights.sum()
    if total and not 1 / LARGEST_WEIGHT <= total / len(row_weights) <= LARGEST_WEIGHT:
        raise ValueError(
            f"The mean of {name}, times class_weight, is {total / len(row_weights):.3g}, which is out of the range of "
            f"{1 / LARGEST_WEIGHT:.0e} to {LARGEST_WEIGHT:.0e}. Multiply all weights by one number, so that their mean "
            "is about 1."
        )


def check_rows(estimator, X, y, *, reset, dtype=(np.float64, np.float32)):
    """Return X as an array or CSR of float32 or float64, and y; features are noted if `reset`."""
    check_here(X, y)
    check_unchanged(X, y)
    dtype = list(dtype)
    options = {"accept_sparse": "csr", "dtype": dtype, "order": "C", "multi_output": True}
    # Of sparse rows to fit to, `Rows` sees whether they are finite, in its own look at them.
    options["ensure_all_finite"] = not (reset and sparse.issparse(X))
    kind = targets_kind(estimator)
    options["y_numeric"] = kind.numeric
    check_conversion(X, dtype)
    y = kind.prepare(y)
    if is_frame_of_numbers(X):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        X, y = check_X_y(_converted(X, dtype), y, estimator=estimator, **options)
    else:
        X, y = validate_data(estimator, X, y, reset=reset, **options)
    y = kind.check(estimator, y)
    kind.check_size(y, X.dtype)
    return X, y


def chunk_dtype(past):
    """The dtypes that a chunk may have: that of the trainer that goes on."""
    trainer = None if past is None else past.trainer
    return (np.float64, np.float32) if trainer is None else (trainer.dtype,)


def check_conversion(X, dtypes):
    """Raise if `X` is sparse, has to be converted, and must not be; `dtypes` are those that it may have."""
    if sparse.issparse(X) and (X.format != "csr" or X.dtype not in dtypes):
        check_structure(X)


def is_frame_of_numbers(X):
    """Whether X is a frame of pandas, of NumPy's numbers alone."""
    if not hasattr(X, "iloc") or getattr(X, "ndim", 0) != 2 or not X.size:
        return False
    return all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in X.dtypes)


def _converted(frame, dtypes):
    """A frame of numbers as an array of one of some dtypes; a part after the other, to take no room besides it."""
    common = np.result_type(*frame.dtypes)
    X = np.empty(frame.shape, common if common in dtypes else dtypes[0])
    n_rows = max(STRETCH // X.shape[1], 1)
    for begin in range(0, len(X), n_rows):
        X[begin : begin + n_rows] = frame.iloc[begin : begin + n_rows].to_numpy(X.dtype)
    return X


def rows_as(X, rows, dtype):
    """Some rows of an array, C-contiguous and of a dtype; a part after the other, to take no room besides them."""
    converted = np.empty((len(rows), X.shape[1]), dtype)
    n_rows = max(STRETCH // X.shape[1], 1)
    for begin in range(0, len(rows), n_rows):
        converted[begin : begin + n_rows] = X[rows[begin : begin + n_rows]]
    return converted


def is_copy(X, given):
    """Whether validated rows are a copy of what was given."""
    if is_frame_of_numbers(given):
        return True
    return isinstance(given, np.ndarray) and isinstance(X, np.ndarray) and not np.may_share_memory(X, given)


def check_weights(sample_weight, X, name="sample_weight"):
    """Return float64 weights, or None; negative ones are an error."""
    if sample_weight is None:
        return None
    sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, **_ALLOW_ZERO_WEIGHTS)
    if sample_weight.min(initial=0) < 0:
        raise ValueError(
            f"Negative values in data passed to `{name}`. Weights must be non-negative; "
            "a weight of 0 leaves a row out."
        )
    return sample_weight


def check_validation(estimator, data, X_val, y_val, sample_weight_val):
    """The validation set that the user gave as `Data`, or None; `data` are the training rows."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is not None and y_val is None:
        raise ValueError("X_val is provided, but y_val was not provided.")
    if X_val is None:
        given = "sample_weight_val" if y_val is None else "y_val"
        raise ValueError(f"{given} is provided, but X_val was not provided.")
    if not estimator.early_stopping:
        raise ValueError(
            "X_val and y_val are passed to fit while at the same time early_stopping is False. "
            "When passing X_val and y_val to fit, early_stopping should be set to True."
        )
    options = {"accept_sparse": "csr", "dtype": data.X.dtype, "order": "C", "reset": False}
    check_conversion(X_val, [data.X.dtype])
    X_val = Rows(validate_data(estimator, X_val, **options)).X
    sample_weight_val = check_weights(sample_weight_val, X_val, "sample_weight_val")
    if sample_weight_val is not None and not sample_weight_val.any():
        raise ValueError(ALL_ZERO.replace("sample_weight", "sample_weight_val"))
    y_val = _check_y(data.kind.prepare(y_val, "y_val"), multi_output=True, y_numeric=data.kind.numeric)
    y_val = data.kind.check(estimator, y_val)
    check_consistent_length(X_val, y_val)
    return encode(estimator, data.kind, X_val, y_val, sample_weight_val, counts=False)


def check_initial(name, value, shape):
    """An initial value that the user gave, as an array of the given shape."""
    value = np.asarray(value, dtype=np.float64)
    if value.size != np.prod(shape) or value.ndim > 2 or (value.ndim == 2 and value.shape != shape):
        raise ValueError(
            f"Provided {name} does not match dataset: expected shape {shape}, got {value.shape}."
        )
    if not np.isfinite(value).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return value.reshape(shape)
