"""Rows in blocks. Full gradients ask of rows for nothing but sums over them: ``total(function, *arguments)``.

Where blocks lie is nobody's business but theirs: here, in memory or on disk, threads share them.

Invariant: blocks, and the tree in which their sums are added up, depend on the rows alone. So any number of threads or
workers gives the same bits.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, singledispatch
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_array, issparse

from sgdkit._kernels.arrays import add_squares
from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.scores import score_rows

# A block has so many values, and so many times as many as there are features, which its sums have room for.
FEWEST_VALUES, VALUES_A_FEATURE = 1 << 20, 8
# A thread takes neighbouring blocks in so many runs.
RUNS = 4
# Values whose products, or squares, are summed at a time.
STRETCH = 1 << 17


class Block:
    """Some of the rows that count, as training sees them; and what is summed up of them.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    targets : Targets, or None before they are needed
    row_weights : ndarray of float64 of shape (n_rows,) or (n_rows, n_columns), or None
    """

    def __init__(self, X, targets=None, row_weights=None):
        self.X, self.targets, self.row_weights = X, targets, row_weights

    def __sizeof__(self):
        parts = [getattr(self.targets, "values", None), self.row_weights]
        parts += [self.X.data, self.X.indices, self.X.indptr] if issparse(self.X) else [self.X]
        return sum(part.nbytes for part in parts if part is not None)

    def scores(self, weights):
        """The scores of weights, of shape (n_features + 1, n_columns)."""
        if not weights[:-1].any():
            # As at the beginning of most fits.
            return np.tile(weights[-1], (self.X.shape[0], 1))
        scores = score_rows(self.X, weights[:-1])
        scores += weights[-1]
        return scores

    def losses(self, loss, scores, derivative=None):
        """The sum of losses of each column; their derivatives are written to the array that is given."""
        return loss.total(scores, self.targets, self.row_weights, derivative)

    def along(self, loss, lengths, *arrays):
        """Go along a direction of the scores: `Loss.along`, but for the targets and weights of rows."""
        scores, direction, ahead, derivative = arrays
        return loss.along(scores, direction, lengths, self.targets, self.row_weights, ahead, derivative)

    def gradient(self, derivative):
        """The sum of the gradients of losses with respect to the weights, given the derivatives."""
        gradient = np.empty((self.X.shape[1] + 1, derivative.shape[1]), derivative.dtype)
        # Of dense rows, BLAS takes up to twice as long for the product the other way about.
        gradient[:-1] = self._transpose @ derivative if issparse(self.X) else (derivative.T @ self.X).T
        gradient[-1] = np.add.reduce(derivative, axis=0)
        return gradient

    @cached_property
    def _transpose(self):
        """SciPy copies the values of its own where they are part of a larger array."""
        transpose = csc_array(self.X.shape[::-1], dtype=self.X.dtype)
        transpose.data, transpose.indices, transpose.indptr = self.X.data, self.X.indices, self.X.indptr
        return transpose

    @cached_property
    def _rows(self):
        return Rows(self.X)

    def __getstate__(self):
        return {"X": self.X, "targets": self.targets, "row_weights": self.row_weights}

    def at(self, loss, weights):
        """The sum of losses of each column at some weights."""
        return self.losses(loss, self.scores(weights))

    def slopes_at(self, loss, weights):
        """The same, and the sum of gradients."""
        return self._slopes(loss, self.scores(weights))

    def losses_between(self, loss, lengths, begin, end):
        """The sums of losses at some lengths on the way from some weights to others, and how they rise."""
        scores, direction = self._line(begin, end)
        return self.along(loss, lengths, scores, direction, np.empty_like(scores), np.empty_like(scores))

    def slopes_between(self, loss, lengths, begin, end):
        """The sums of losses there, and of gradients."""
        scores, direction = self._line(begin, end)
        return self._slopes(loss, scores + lengths.astype(scores.dtype) * direction)

    def _line(self, begin, end):
        """The scores of weights, and how they change on the way to others."""
        scores = self.scores(begin)
        return scores, self.scores(end) - scores

    def _slopes(self, loss, scores):
        derivative = np.empty_like(scores)
        return self.losses(loss, scores, derivative), self.gradient(derivative)

    def squares(self):
        """The sum of the squares of each feature, as much as rows weigh; of shape (n_features,)."""
        X, row_weights = self.X, self.row_weights
        if row_weights is None:
            row_weights = np.ones(X.shape[0], X.dtype)
        elif row_weights.ndim == 2:
            row_weights = row_weights.mean(axis=1)
        sums = np.zeros(X.shape[1])
        if issparse(X):
            add_squares(self._rows, row_weights.astype(np.float64, copy=False), sums)
            return sums
        n_rows = max(STRETCH // X.shape[1], 1)
        for begin in range(0, len(X), n_rows):
            part = slice(begin, begin + n_rows)
            sums += np.square(X[part], dtype=row_weights.dtype).T @ row_weights[part]
        return sums

    def second_derivatives(self, loss, scores):
        """Those of the loss of each row, as much as it weighs, with respect to its scores; of shape (n_rows, n_models).

        Columns that share a loss are taken together: theirs is the mean.
        """
        second = loss.second_derivatives(scores, self.targets, self.row_weights)
        if loss.coupled:
            n = loss.n_outputs
            second = second.reshape(len(second), -1, n) @ np.full(n, 1 / n, second.dtype)
        if self.row_weights is None:
            return second
        row_weights = self.row_weights.reshape(len(second), -1)
        if row_weights.shape[1] > 1 and loss.coupled:
            row_weights = row_weights[:, :: loss.n_outputs]
        return second * row_weights

    def products(self):
        """``A'A``, ``A'y`` and the squares of y, with rows A whose last feature is 1; in float64."""
        n_features, n_columns = self.X.shape[1] + 1, self.targets.n_columns
        gram, products = np.zeros((n_features, n_features)), np.zeros((n_features, n_columns))
        squares = np.zeros(n_columns)
        n_rows = max(STRETCH // n_features, n_features)
        for begin in range(0, self.X.shape[0], n_rows):
            part = slice(begin, begin + n_rows)
            A = with_ones(self.X[part])
            y = self.targets.take(part).table()
            if self.row_weights is not None:
                root = np.sqrt(self.row_weights[part, np.newaxis])
                A, y = A * root.astype(A.dtype), y * root
            gram += A.T @ A
            products += A.T @ y.astype(A.dtype)
            squares += np.square(y).sum(axis=0)
        return gram, products, squares


def with_ones(X):
    """Some rows as an array, and the intercept's feature."""
    X = X.toarray() if issparse(X) else X
    return np.column_stack([X, np.ones(len(X), X.dtype)])


def add(a, b):
    """The sum of two arrays, or of those of two tuples; the first are overwritten."""
    if isinstance(a, tuple):
        return tuple(map(add, a, b))
    a += b
    return a


def add_up(values):
    """The sum of arrays, or of tuples of them, in a tree: neighbours first, then their sums.

    No more sums are held at once than the tree is high.
    """
    held = []
    for value in values:
        height = 0
        while held and held[-1][0] == height:
            value, height = add(held.pop()[1], value), height + 1
        held.append((height, value))
    total = held.pop()[1]
    while held:
        total = add(held.pop()[1], total)
    return total


def places_of(rows, indices):
    """The blocks of rows that count, as slices of these; `indices` are theirs, or None, which stands for all."""
    stored, n_rows = rows.stored, rows.n_rows if indices is None else len(indices)
    size = max(FEWEST_VALUES, VALUES_A_FEATURE * rows.n_features)
    n_blocks = int(rows.mean_nonzeros * n_rows / size)
    if n_blocks < 2:
        return [slice(0, n_rows)]
    if issparse(stored):
        # Where each row ends; of all rows, that is there already.
        ends, first = stored.indptr[1:], int(stored.indptr[0])
        if indices is not None:
            ends, first = np.cumsum(np.diff(stored.indptr)[indices], dtype=np.int64), 0
        n_values = int(ends[-1]) - first
        inner = np.searchsorted(ends, [first + n_values * k // n_blocks for k in range(1, n_blocks)])
        ends = np.unique([0, *inner, n_rows]).tolist()
    else:
        ends = [n_rows * k // n_blocks for k in range(n_blocks + 1)]
    return [slice(begin, end) for begin, end in pairwise(ends)]


def map_of(n_threads, places):
    """`map` for what is done for each block, by as many threads as there is work for."""
    n_threads = min(n_threads, len(places))
    if n_threads < 2:
        return map
    pool = ThreadPoolExecutor(n_threads)

    def in_runs(function, values):
        """A block takes less than a millisecond, of which to hand it to a thread would be a part."""
        size = -(-len(values) // (RUNS * n_threads))
        runs = (values[k : k + size] for k in range(0, len(values), size))
        for run in pool.map(lambda run: [function(value) for value in run], runs):
            yield from run

    return in_runs


class Blocks:
    """The rows of a problem that count, in this process.

    Rows on disk are read whenever they are asked for, unless they are wanted as they lie there.

    Parameters
    ----------
    problem : Problem

    Attributes
    ----------
    n_rows : int
    here : bool
        Whether what there is for each row, as scores, has its place in this process.
    """

    here = True

    def __init__(self, problem):
        rows, indices = problem.rows, problem.row_indices
        self.rows, self.indices, self.n_rows = rows, indices, problem.n_rows
        self.targets = problem.targets if indices is None else problem.targets.take(indices)
        self.row_weights = problem.select(problem.row_weights)
        if rows.mapped and (rows.is_scaled or indices is not None):
            rows.check()
            self.X = None
        else:
            self.X = rows.with_valid_indices() if indices is None else rows.take(indices)
        self.places = places_of(rows, indices)
        # Blocks of rows in memory are views.
        self.blocks = []
        if self.X is not None and len(self.places) == 1:
            self.blocks = [Block(self.X, self.targets, self.row_weights)]
        elif self.X is not None:
            self.blocks = [self.take(place) for place in self.places]
        # Of small data, each call counts.
        self.one = len(self.blocks) == 1
        self._map = map_of(problem.n_threads, self.places)

    def take(self, places):
        """Some of the rows that count, as a block; those of a slice are not copied if they need no change."""
        if self.X is not None:
            X = take_rows(self.X, places)
        else:
            X = self.rows.take(places if self.indices is None else self.indices[places])
        row_weights = None if self.row_weights is None else self.row_weights[places]
        return Block(X, self.targets.take(places), row_weights)

    def each(self, function, *arrays):
        """Yield ``function(block, *parts)`` for each block, given the parts of arrays that are of its rows."""

        def call(number):
            place = self.places[number]
            block = self.blocks[number] if self.blocks else self.take(place)
            return function(block, *(array[place] for array in arrays))

        return self._map(call, range(len(self.places)))

    def summed(self, function, *arrays):
        """The sum of what `each` yields: of arrays, or of tuples of them."""
        return function(*self.blocks, *arrays) if self.one else add_up(self.each(function, *arrays))

    def joined(self, function, n_columns, *arrays):
        """What `each` yields, of so many columns, in one array."""
        if self.one:
            return function(*self.blocks, *arrays)
        rows = np.empty((self.n_rows, n_columns), self.rows.dtype)

        def write(block, part, *parts):
            part[...] = function(block, *parts)

        list(self.each(write, rows, *arrays))
        return rows

    def total(self, function, *arguments):
        """The sum of ``function(block, *arguments)`` over all blocks."""
        return self.summed(lambda block: function(block, *arguments))


@singledispatch
def blocks_of(rows, problem):
    """The rows of a problem that count, in blocks, wherever `rows`, those of the problem, are."""
    return Blocks(problem)
