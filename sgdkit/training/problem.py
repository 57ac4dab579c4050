"""What is minimised: a `Problem`."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sgdkit._kernels.rows import Rows
from sgdkit.training.order import run_length


@dataclass
class Problem:
    """What is minimised.

    Attributes
    ----------
    rows : Rows
    targets : Targets
    loss : Loss
    penalty : Penalty
    weights : ndarray of float64 of shape (n_rows,), or None
        With a mean of 1 over the rows that are visited. Full gradients also take weights of the rows for each column,
        of shape (n_rows, n_columns).
    order : ndarray of intp, or None
        The rows to visit (those of weight 0 are absent); None stands for all.
    batch_size : int
    n_models : int
        The columns of a model stand together, those of one model after those of another.
    class_weights : ndarray of float64 of shape (n_classes, n_columns), or None
        By which the weights of rows are multiplied in each column, where the targets are classes.
    column_weights : ndarray of float64 of shape (n_columns,), or None
        By which they are multiplied then, to have a mean of 1. Full gradients take neither.
    """

    rows: object
    targets: object
    loss: object
    penalty: object
    weights: np.ndarray | None
    order: np.ndarray | None
    batch_size: int
    n_models: int = 1
    class_weights: np.ndarray | None = None
    column_weights: np.ndarray | None = None

    @property
    def n_rows(self):
        return self.rows.n_rows if self.order is None else len(self.order)

    @property
    def one_batch(self):
        """Whether an epoch is one step."""
        return self.n_rows <= self.batch_size

    @property
    def total_weight(self):
        """The sum of the weights of rows, or of those in each column."""
        visited = slice(None) if self.order is None else self.order
        weights = None if self.weights is None else self.weights[visited]
        if self.class_weights is not None:
            totals = np.bincount(self.targets.values[visited], weights, len(self.class_weights))
            return (totals @ self.class_weights) * self.column_weights
        return self.n_rows if weights is None else weights.sum(axis=0)

    @cached_property
    def run_length(self):
        """How many neighbours are visited in a run."""
        values = self.targets.values
        return run_length(values if self.order is None else values[self.order])

    def on(self, rows):
        """The problem of some rows alone, copied."""
        weights = None if self.weights is None else self.weights[rows]
        copied = Rows(self.rows.X[rows])
        return replace(self, rows=copied, targets=self.targets.take(rows), weights=weights, order=None)

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
        parts = {
            "targets": self.targets.with_columns(self.targets.column[columns]),
            "loss": self.loss.take(columns),
            "penalty": self.penalty.take(columns),
            "weights": self.weights if np.ndim(self.weights) < 2 else of_columns(self.weights, columns),
            "class_weights": of_columns(self.class_weights, columns),
            "column_weights": of_columns(self.column_weights, columns),
        }
        return replace(self, n_models=len(models), **parts)


def of_columns(table, columns):
    """Some columns of an array that may be None."""
    return None if table is None else np.ascontiguousarray(table[..., columns])
