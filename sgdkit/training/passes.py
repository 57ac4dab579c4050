"""Passes over the rows of a problem: which come next, in pieces of a fraction of a second, and in which threads."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from sgdkit._kernels.epoch import Pass
from sgdkit.training.order import BLOCK, cut, in_order, in_runs, shuffled
from sgdkit.training.problem import of_columns

# Seconds of compiled work, roughly, between two looks at the keyboard; and rows, whose rates take room.
PIECE_SECONDS = 0.2
SECONDS_A_VALUE = 1e-8
PIECE_ROWS = 1 << 14
# Rows of a block that are read ahead, with all between them, are no more than so many times as many.
FARTHEST = 4


class Passes:
    """The passes of blocks of columns, which are trained by a thread each, over the rows of a problem.

    Parameters
    ----------
    problem : Problem
    blocks : list of ndarray of int
        The columns of each block.
    states : list of State
        That of each block.
    """

    def __init__(self, problem, blocks, states):
        self.problem = problem
        self._n_columns = max(map(len, blocks))
        self._passes = [self._pass(*block) for block in zip(blocks, states, strict=True)]

    def _pass(self, block, state):
        problem = self.problem
        targets = problem.targets.with_columns(problem.targets.column[block])
        weights = {
            "row_weights": problem.row_weights,
            "class_weights": of_columns(problem.class_weights, block),
            "column_weights": of_columns(problem.column_weights, block),
        }
        loss, batch_size = problem.loss.take(block), problem.batch_size
        return Pass(problem.rows, targets, loss, state, batch_size=batch_size, **weights)

    def threads(self):
        """A pool of a thread for each block, to be entered; None for one block, where it would only cost time."""
        n_blocks = len(self._passes)
        return ThreadPoolExecutor(n_blocks) if n_blocks > 1 else nullcontext()

    def visit(self, piece, rates, pool):
        """Visit the rows of a piece, and return each column's weighted sum of losses."""
        if pool is None:
            return self._passes[0].visit(piece, rates)
        return np.concatenate(list(pool.map(lambda block: block.visit(piece, rates), self._passes)))

    def visit_epochs(self, orders, rates):
        """The same for several epochs of one block, and the penalty after each."""
        (only_pass,) = self._passes
        return only_pass.visit_epochs(orders, rates)

    def n_together(self, schedule):
        """How many epochs may be one call, which is not to take longer than a piece."""
        if len(self._passes) > 1:
            return 1
        return self._piece_rows(schedule) // max(self.problem.n_rows, 1)

    def _piece_rows(self, schedule):
        """How many rows take a fraction of a second, and rates that take little room."""
        seconds_a_row = (self.problem.rows.mean_nonzeros + 20) * self._n_columns * SECONDS_A_VALUE
        return min(int(PIECE_SECONDS / seconds_a_row), PIECE_ROWS // np.size(schedule.eta0))

    def pieces(self, generator, schedule):
        """The order of an epoch, cut between mini-batches; without a generator, the rows as they stand."""
        batch_size = self.problem.batch_size
        return cut(self._order(generator), batch_size * max(1, self._piece_rows(schedule) // batch_size))

    def _order(self, generator):
        """Yield the rows to visit in an epoch; in a single batch the order is no matter."""
        n_rows, dtype = self.problem.n_rows, self._dtype
        if generator is None or self.problem.single_batch:
            places = in_order(n_rows, dtype)
        elif self.problem.run_length == 1:
            places = shuffled(n_rows, 1, generator, dtype)
        else:
            places = in_runs(n_rows, generator, self._fetch, dtype)
        return map(self._that_count, places)

    def orders(self, n_epochs, generator):
        """The rows to visit in some epochs of few rows, of shape (n_epochs, n_rows)."""
        n_rows, dtype = self.problem.n_rows, self._dtype
        if generator is None or self.problem.single_batch:
            return self._that_count(np.tile(np.arange(n_rows, dtype=dtype), (n_epochs, 1)))
        return self._that_count(shuffled(n_rows, n_epochs, generator, dtype))

    @property
    def _dtype(self):
        """That of the numbers of rows: 32 bits where these do."""
        return np.int32 if self.problem.rows.n_rows < 2**31 - BLOCK else np.int64

    def _that_count(self, places):
        """The rows at some places among those that count."""
        indices = self.problem.row_indices
        return places if indices is None else indices[places].astype(places.dtype, copy=False)

    def _fetch(self, begin, end):
        """Have rows read ahead that are neighbours among those that count, if they are about neighbours among all."""
        indices = self.problem.row_indices
        if indices is not None:
            begin, end = indices[begin], indices[end - 1] + 1
        if 0 < end - begin <= FARTHEST * BLOCK:
            self.problem.rows.fetch(begin, end)
