# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The target of every row for every column, as classes or as numbers."""

from functools import partial

import numpy as np


cdef class Targets:
    """The target of every row for every column.

    Parameters
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        One-dimensional: class indices; the target of column `c` is 1 where the class is `column[c]`, and -1
        elsewhere. Two-dimensional: the target of column `c` is `values[:, column[c]]`.
    column : array-like of int of shape (n_columns,)
        The class, or the output, that each column models.
    signs : bool, default=False
        Whether two-dimensional values are -1 or 1, the targets of a classification; the others are.
    """

    def __init__(self, values, column, *, signs=False):
        self.labels = values.ndim == 1
        self.signs = self.labels or signs
        self.n_rows = values.shape[0]
        self.n_outputs = 1 if self.labels else values.shape[1]
        self.values = np.ascontiguousarray(values, dtype=np.int32 if self.labels else np.float64)
        self.column = np.ascontiguousarray(column, dtype=np.int32)
        self.n_columns = self.column.shape[0]
        # The pointers stay valid: arrays and views of them belong to the object.
        self._column = self.column
        self.modelled = &self._column[0]
        if self.labels:
            self._codes = self.values
            self.codes = &self._codes[0]
        else:
            self._outputs = self.values
            self.outputs = &self._outputs[0, 0]

    def __reduce__(self):
        return partial(Targets, signs=self.signs), (self.values, self.column)

    @property
    def size(self):
        """The mean absolute target."""
        return 1.0 if self.labels else float(np.abs(self.values).mean())

    @property
    def constant(self):
        """Whether the targets are numbers, and all the same."""
        return not self.labels and bool((self.values == self.values[0]).all())

    def table(self):
        """The target of every row for every column, as an array of float64 of shape (n_rows, n_columns)."""
        if self.labels:
            return np.where(self.values[:, np.newaxis] == self.column, 1.0, -1.0)
        return self.values[:, self.column]

    def take(self, rows):
        """The targets of the given rows."""
        return Targets(self.values[rows], self.column, signs=self.signs)

    def with_columns(self, column):
        """The same rows with other columns."""
        return Targets(self.values, column, signs=self.signs)
