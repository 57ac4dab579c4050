"""What is minimised: a `Problem`."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sgdkit._kernels.rows import Rows
from sgdkit.optimizers.blocks import Block, blocks_of, map_of, places_of
from sgdkit.training.order import run_length
from sgdkit.training.span import span_of


@dataclass
class Problem:
    """The mean loss of some rows plus a penalty, for one model or several.

    Attributes
    ----------
    rows : Rows
    targets : Targets
    loss : Loss
    penalty : Penalty
    row_weights : ndarray of float64 of shape (n_rows,), or None
        With a mean of 1 over the rows that count; None stands for 1. Full gradients also take weights of the rows for
        each column, of shape (n_rows, n_columns).
    row_indices : ndarray of intp, or None
        The rows that count, since a row of weight 0 is absent; None stands for all.
    batch_size : int
    n_models : int
        The columns of a model stand next to each other.
    class_weights : ndarray of float64 of shape (n_classes, n_columns), or None
        What multiplies the weights of rows in each column, where the targets are classes.
    column_weights : ndarray of float64 of shape (n_columns,), or None
        What multiplies them then, so that their mean is 1. Full gradients take neither.
    n_threads : int
        How many share the rows of full gradients; nothing else depends on it.
    subset : Subset, or None
        Which features there are, where these are few among all.
    """

    rows: object
    targets: object
    loss: object
    penalty: object
    row_weights: np.ndarray | None
    row_indices: np.ndarray | None
    batch_size: int
    n_models: int = 1
    class_weights: np.ndarray | None = None
    column_weights: np.ndarray | None = None
    n_threads: int = 1
    subset: object = None
    # What has been found out about rows, which problems of the same rows share.
    _known: dict = field(default_factory=dict, repr=False)

    @property
    def n_rows(self):
        """The number of rows that count."""
        return self.rows.n_rows if self.row_indices is None else len(self.row_indices)

    @property
    def indices(self):
        """The rows that count, as an array."""
        return np.arange(self.rows.n_rows) if self.row_indices is None else self.row_indices

    def select(self, values):
        """The values of the rows that count, of an array for all rows; None stays None."""
        return select(values, self.row_indices)

    @property
    def weights_or_ones(self):
        """The weights of all rows, as an array."""
        return np.ones(self.rows.n_rows) if self.row_weights is None else self.row_weights

    @property
    def steps_an_epoch(self):
        return -(-self.n_rows // self.batch_size)

    @property
    def single_batch(self):
        """Whether an epoch is one step."""
        return self.n_rows <= self.batch_size

    @property
    def total_weight(self):
        """The sum of the weights of rows, or of those in each column."""
        row_weights = self.select(self.row_weights)
        if self.class_weights is not None:
            totals = np.bincount(self.select(self.targets.values), row_weights, len(self.class_weights))
            return (totals @ self.class_weights) * self.column_weights
        return self.n_rows if row_weights is None else row_weights.sum(axis=0)

    @property
    def density(self):
        """The share of the values that are not 0, in rows as much as they count."""
        return self._find("density", self._density, self.rows, self.row_weights, self.row_indices)

    def _density(self):
        if self.rows.full:
            return 1.0
        # Of rows on disk, X may be a copy.
        X = None if self.rows.mapped else self.rows.X
        if isinstance(X, np.ndarray) and self.row_weights is None and self.row_indices is None:
            places = places_of(self.rows, None)
            counts = map_of(self.n_threads, places)(lambda place: np.count_nonzero(X[place]), places)
            return sum(counts) / X.size
        weights = None if np.ndim(self.row_weights) == 2 else self.select(self.row_weights)
        n_features = (self.rows if self.subset is None else self.subset).n_features
        return float(np.average(self.select(self.rows.counts()), weights=weights)) / n_features

    @property
    def largest(self):
        """The largest absolute value of the rows that count."""
        return self.rows.sizes(self.row_indices)[1]

    @property
    def span(self):
        """The `Span` of the rows, or None where training in it would not take less time."""
        return self._find("span", lambda: span_of(self.rows), self.rows)

    @property
    def mean_squares(self):
        """Those of the features, as much as rows weigh; of shape (n_features,)."""
        return self._find("squares", self._mean_squares, self.rows, self.row_weights, self.row_indices)

    def _mean_squares(self):
        return blocks_of(self.rows, self).total(Block.squares) / self.n_rows

    def _find(self, name, find, *parts):
        """What depends on some parts of the problem alone, and has been found out before, or is now."""
        key = name, *map(id, parts)
        if key not in self._known:
            # With its parts, whose ids are theirs as long as they live.
            self._known[key] = find(), parts
        return self._known[key][0]

    @cached_property
    def run_length(self):
        """How many neighbours are visited in a run."""
        return run_length(self.select(self.targets.values))

    def on(self, row_indices):
        """The problem of some rows alone, copied."""
        row_weights = select(self.row_weights, row_indices)
        rows = Rows(self.rows.take(row_indices), owned=True)
        parts = {"rows": rows, "targets": self.targets.take(row_indices), "row_weights": row_weights}
        return replace(self, **parts, row_indices=None, _known={})

    def columns(self, models):
        """The numbers of the columns of some models."""
        n = self.targets.n_columns // self.n_models
        return (np.asarray(models)[:, np.newaxis] * n + np.arange(n)).ravel()

    def repeat(self, n_times):
        """The problem with all its models, which share their weights of rows, several times over."""
        column = np.tile(self.targets.column, n_times)
        parts = {"targets": self.targets.with_columns(column), "penalty": self.penalty.repeat(n_times)}
        return replace(self, n_models=self.n_models * n_times, **parts)

    def take(self, models):
        """The problem of some models."""
        columns = self.columns(models)
        by_column = np.ndim(self.row_weights) == 2
        parts = {
            "targets": self.targets.with_columns(self.targets.column[columns]),
            "loss": self.loss.take(columns),
            "penalty": self.penalty.take(columns),
            "row_weights": of_columns(self.row_weights, columns) if by_column else self.row_weights,
            "class_weights": of_columns(self.class_weights, columns),
            "column_weights": of_columns(self.column_weights, columns),
        }
        return replace(self, n_models=len(models), **parts)


def select(values, indices):
    """The values at some indices, None standing for all of them; None stays None."""
    return values if values is None or indices is None else values[indices]


def of_columns(table, columns):
    """Some columns of an array that may be None."""
    return None if table is None else np.ascontiguousarray(table[..., columns])
