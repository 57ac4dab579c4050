"""L-BFGS: full gradients that remember how the last ones have changed."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from sgdkit._kernels.quasi_newton import Lengths, descend, parabola, remember
from sgdkit._typing import Array
from sgdkit.optimizers.base import Optimizer
from sgdkit.optimizers.full_gradients import REFRESH, FullGradientState, all_rows

# The share of the slope that may be left at the end of a step; and of a first one, whose length nobody knows.
SHARE_LEFT, SHARE_LEFT_AT_FIRST = 0.5, 0.1
# Axes are of use where the largest unit of the penalty is no more than so many times the smallest one.
MOST_UNEVEN = 10.0


class LBFGSState(FullGradientState):
    """L-BFGS at work.

    Attributes
    ----------
    moves, changes : ndarray of shape (memory, n_features + 1, n_columns)
        The last changes of the weights, and of the gradient.
    products : ndarray of float64 of shape (memory, n_models)
        The inner products of the two.
    n_pairs : int, or None
        How many of these pairs there have been; None where nothing is remembered.
    """

    n_pairs = None
    # Where training takes place in the space that the rows span, `W` are coordinates there.
    _span = None

    def __getstate__(self):
        self.release()
        return super().__getstate__()

    def load(self, weights):
        self._span = None
        super().load(weights)
        self.n_pairs = self.expected_falls = None

    def weights(self):
        weights = super().weights()
        return weights if self._span is None else self._span.weights(weights)

    def release(self):
        if self._span is not None:
            span, self._span = self._span, None
            self.W = span.weights(self.W)
            self.total = None if self.total is None else span.weights(self.total)
            # Only those in the span are remembered.
            self.n_pairs = self.curved_at = None
            self.n_steps, self.next_look = 0, 1
        super().release()

    def take(self, columns):
        other = super().take(columns)
        other._span = self._span
        if self.n_pairs is not None:
            n_outputs = self.n_columns // self.products.shape[1]
            other.moves = np.ascontiguousarray(self.moves[:, :, columns])
            other.changes = np.ascontiguousarray(self.changes[:, :, columns])
            other.products = np.ascontiguousarray(self.products[:, columns[::n_outputs] // n_outputs])
            other.n_pairs = self.n_pairs
        return other

    def set_columns(self, penalty, rate_factors):
        if self.n_pairs is not None and not penalty.same_as(self._penalty):
            # What is remembered of the gradient has the old penalty's in it.
            self.n_pairs = None
        super().set_columns(penalty, rate_factors)

    def epoch(self, problem, rate):
        """Take one step, whose length is always found, and return each column's sum of losses after it."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._cached is None or self._cached.problem is not problem:
                self._cached = self._place(problem)
            at = self._cached
            if self.n_pairs is None:
                self._forget(at.n_models)
            if at.slopes is None:
                self._aim(at)
            start, gradient = self.W, at.gradient
            self.W, self.rate = at.step(start, ~self.products.any(axis=0))
            looks_again = self._look_again()
            if self.n_steps % REFRESH == 0:
                at.refresh(self.W)
            at.turn(self.W)
            if looks_again:
                at.curve(at.scores)
            place = self.n_pairs % len(self.moves)
            pair = self.moves[place], self.changes[place], self.products[place]
            remember(*pair, start, self.W, gradient, at.gradient)
            self.n_pairs += 1
            self._aim(at)
        self._count(at.rows)
        return at.losses

    def _place(self, problem):
        """Where training is on the rows of a problem, in the space that they span if that takes less time."""
        span = problem.span if self._penalty.units is None else None
        if self._span is not None and span is not self._span:
            self.release()
        fresh = self._span is None and not self.n_averaged and not self.W[:-1].any()
        if span is not None and fresh:
            self.load(span.coordinates(self.W[-1]))
            self._span = span
        seen = problem if self._span is None else replace(problem, rows=self._span.rows)
        return Position(problem, all_rows(seen, self.fit_intercept), self)

    def _forget(self, n_models):
        """Begin with nothing to remember."""
        self.moves, self.changes = np.empty((2, self.optimizer.memory, *self.W.shape), self.W.dtype)
        self.products, self.n_pairs = np.zeros((len(self.moves), n_models)), 0

    def _aim(self, at):
        """Choose the direction of the next step; where rounding errors have made it none of descent, begin anew."""
        pairs = self.moves, self.changes, self.products
        at.direction, at.slopes = descend(*pairs, self.n_pairs, at.gradient, at.solve)
        lost = ~(at.slopes < 0) & self.products.any(axis=0)
        if lost.any():
            self.products[:, lost] = 0
            at.direction, at.slopes = descend(*pairs, self.n_pairs, at.gradient, at.solve)
        self.expected_falls = -at.slopes / 2


class Position:
    """Where a state stands on the rows of a problem, and where it goes next.

    Attributes
    ----------
    problem : Problem
    rows : AllRows
        Those of the problem, or their coordinates.
    scores : ndarray of shape (n_rows, n_columns)
    losses, penalties : ndarray of float64 of shape (n_columns,)
    directions : Features
        Along which the metric is diagonal; or its subclass `Axes`.
    metric : ndarray that broadcasts against the weights
        It is found anew after 1, 4, 16, ... steps, since losses are not curved alike everywhere.
    gradient, direction : ndarray of the shape of the weights
    slopes : ndarray of float64 of shape (n_models,), or None
        Along the direction; None before it is chosen.
    """

    def __init__(self, problem, rows, state):
        self.problem, self.rows, self.penalty = problem, rows, state._penalty
        self.n_models = state.n_columns // rows.n_outputs
        self.direction = self.slopes = self.spare = None
        self.scores = rows.of(state.W)
        units = self.penalty.units
        # Where the penalty differs much between features, it ties weights to other axes than the rows do.
        axes = rows.axes() if units is None or units.max() <= MOST_UNEVEN * units.min() else None
        self.directions = rows.features() if axes is None else axes
        self.losses, self.derivative = rows.differentiate(self.scores)
        self.curve(state._scores_of_metric(rows, self.scores))
        shape = len(state.W) - 1, state.n_columns
        self.ridge = np.broadcast_to(np.asarray(self.penalty.curvature, np.float64), shape)
        self.penalties = state._penalties(state.W)
        self.turn(state.W)
        rows.check(self.gradient)

    def curve(self, scores):
        """Find the metric at some scores."""
        self.metric = self.directions.metric(scores, self.penalty)

    def turn(self, weights):
        """Find the gradient at the weights, given the derivatives of losses there."""
        self.gradient = self.rows.gradient(self.derivative)
        self.gradient[:-1] += self.penalty.curvature * weights[:-1]

    def refresh(self, weights):
        """Take the weights' own scores instead of those that were summed up from step to step."""
        self.scores, self.penalties = self.rows.of(weights), self.penalty.value(weights[:-1])
        self.losses, self.derivative = self.rows.differentiate(self.scores)

    def solve(self, vectors):
        """Divide arrays of the shape of the weights, of shape (n, n_features + 1, n_columns), by the metric."""
        return self.directions.divide(vectors, self.metric)

    def step(self, weights, first):
        """Go along the direction, and return the new weights and how far each column has gone.

        `first` tells the models that do not know yet how far to go.
        """
        rows = self.rows
        along, rows.tries = rows.of(self.direction), first.any()
        penalty_changes = parabola(weights, self.direction, self.ridge)
        begin = self.slopes, self.losses, self.penalties
        left = np.where(first, SHARE_LEFT_AT_FIRST, SHARE_LEFT)
        search = Lengths(*begin, *penalty_changes, rows.n_rows, left, weights.dtype == np.float32)
        ahead = np.empty_like(self.scores) if self.spare is None else self.spare
        trying = True
        while trying:
            self.losses, slopes = rows.along(self.scores, along, search.lengths, ahead, self.derivative)
            trying = search.adjust(self.losses, slopes)
        self.scores, self.spare, self.penalties = ahead, self.scores, search.penalties
        lengths = search.lengths.astype(weights.dtype)
        return weights + lengths * self.direction, lengths


class LBFGS(Optimizer):
    """Limited-memory BFGS on all rows, with a line search along the scores [1]_.

    ``W <- W - t H grad F(W)``, F being the objective, and H an estimate of its inverse Hessian from the last pairs of
    moves and of changes of the gradient, ``s_k = W_(k+1) - W_k`` and ``y_k = grad F(W_(k+1)) - grad F(W_k)``:

        H_k = (I - s y' / y's) H_(k-1) (I - y s' / y's) + s s' / y's

    It begins with the curvature of the objective in each weight alone, about the diagonal of the Hessian, times ``s'y``
    over ``y'y`` in this metric. So features may be as rare, and as different, as words are. Where features are few, it
    is the diagonal along the principal axes of the rows. After 1, 4, 16, ... steps it is found anew, since in the end
    only rows near the border of classes curve a loss.

    Scores are linear in t, so a search for the length t of a step takes no product with the rows. It ends where no more
    than half of the slope is left, and goes by slopes [2]_, which are known to more digits than the differences of
    objectives are; so float32 comes as near to the minimum as it can tell.

    It is for smooth losses, and for penalties without an l1 norm. `eta0`, `learning_rate` and `batch_size` have no
    effect; an epoch is one step. With a number for `tol`, training ends when the last step has lowered the objective,
    and the next one is expected to lower it, by no more than this share.

    Parameters
    ----------
    memory : int, default=10
        How many pairs are remembered. Each takes twice the room of the weights.

    References
    ----------
    .. [1] J. Nocedal & S. Wright, "Numerical Optimization", 2nd ed., 2006, chapter 7.
    .. [2] W. Hager & H. Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search",
       SIAM J. Optimization, 2005.

    Examples
    --------
    >>> from sgdkit.optimizers import LBFGS
    >>> LBFGS(memory=20)
    LBFGS(memory=20)
    """

    full_batch: bool = True
    scales_with_gradient: bool = True
    takes_rates: bool = False
    minimises_kinks: bool = False
    default_tol: float = 1e-4
    _parameter_constraints: dict = {"memory": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, *, memory: int = 10) -> None:
        self.memory = memory

    def backtracks(self, loss: Any) -> bool:
        return True

    def make_state(self, record: Array | None, shape: tuple[int, int], dtype: Any, **settings: Any) -> Any:
        return LBFGSState(self, record, shape, dtype, **settings)
