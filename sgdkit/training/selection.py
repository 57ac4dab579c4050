"""Exact zeros at the end of training by single rows, with an l1 penalty.

The noise of single rows lifts weights off 0 again and again, however small the rate. So where training ends, the
gradient of all rows is looked at once. A weight whose proximal step on all rows, in the metric of the features' mean
squares, would lead to 0 is set to 0; the others stay as they are. How long that step is, the objective decides: it is
the longest of a few that raises the objective by no more than a small share.
"""

import numpy as np

from sgdkit.optimizers.blocks import Block, blocks_of

# Lengths of the step, in units of the inverse of a feature's mean square; and the share that the objective may rise by.
LENGTHS = 4.0 ** np.arange(3, -5, -1)
MOST_RISE = 1e-4


def truncated(problem, weights, softness):
    """The weights of one model, with those set to 0 that the penalty holds there.

    Parameters
    ----------
    problem : Problem
    weights : ndarray of shape (n_features + 1, n_columns)
        The last row is the intercepts'.
    softness : float or ndarray of shape (n_columns,)
        About the inverse of the loss's second derivative.
    """
    rows = _Rows(problem)
    coef, penalty, result = weights[:-1], problem.penalty, weights.copy()
    objective, gradient = rows.look(weights)
    inverse = rows.inverse_squares() * softness
    threshold = inverse * penalty.l1 * (1.0 if penalty.units is None else penalty.units[:, np.newaxis])
    waiting = np.full(weights.shape[1], True)
    for length in LENGTHS:
        zero = np.abs(coef - length * inverse * gradient) <= length * threshold
        tried = weights.copy()
        tried[:-1][zero] = 0
        accepted = waiting & (rows.objective(tried) <= objective + MOST_RISE * np.abs(objective))
        result[:, accepted] = tried[:, accepted]
        waiting &= ~accepted
        if not waiting.any():
            break
    return result


class _Rows:
    """The rows that count, in blocks, since they may be on disk."""

    def __init__(self, problem):
        self.problem = problem
        self.blocks = blocks_of(problem.rows, problem)

    def objective(self, weights):
        """The objective of each column; of a coupled loss, that of the model in each of its columns."""
        return self._objective(self.blocks.total(Block.at, self.problem.loss, weights), weights)

    def look(self, weights):
        """The objective, and the gradient of the mean loss without the intercepts'."""
        losses, gradient = self.blocks.total(Block.slopes_at, self.problem.loss, weights)
        return self._objective(losses, weights), gradient[:-1] / self.blocks.n_rows

    def _objective(self, losses, weights):
        columns = losses / self.blocks.n_rows + self.problem.penalty.value(weights[:-1])
        return np.full_like(columns, columns.sum()) if self.problem.loss.coupled else columns

    def inverse_squares(self):
        """The inverse of the mean square of each feature, of shape (n_features, 1); 0 of those that no row has."""
        squares = self.problem.mean_squares[:, np.newaxis]
        return np.divide(1.0, squares, out=np.zeros(squares.shape), where=squares > 0)
