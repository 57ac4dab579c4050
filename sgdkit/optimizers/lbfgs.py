"""L-BFGS: full gradients that remember how the last ones have changed."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from sgdkit._kernels.quasi_newton import Lengths, descend, remember
from sgdkit._typing import Array
from sgdkit.optimizers.base import Optimizer
from sgdkit.optimizers.full_gradients import REFRESH, FullGradientState, all_rows

# The largest unit of a penalty over the smallest one, up to which features have axes.
MOST_UNEVEN = 10.0


class LBFGSState(FullGradientState):
    """L-BFGS at work.

    Attributes
    ----------
    moves, changes : ndarray of shape (n_models, memory, n), or None
        The last changes of the weights of each model, and of its gradient; None before the first step.
    products : ndarray of float64 of shape (n_models, memory)
        Of the two.
    counts : ndarray of int64 of shape (n_models,)
        How many pairs each model has had.
    """

    # Where training takes place in the space that the rows span, `W` are coordinates there.
    _span = None

    def __getstate__(self):
        self.release()
        return super().__getstate__()

    def load(self, weights):
        self._span = None
        super().load(weights)
        self.moves = self.changes = self.products = self.counts = self.expected_falls = None

    def weights(self):
        weights = super().weights()
        return weights if self._span is None else self._span.weights(weights)

    def release(self):
        if self._span is not None:
            span, self._span = self._span, None
            self.W = span.weights(self.W)
            self.total = None if self.total is None else span.weights(self.total)
            # Only those in the span are remembered.
            self.moves = None
        super().release()

    def take(self, columns):
        other = super().take(columns)
        other._span = self._span
        if self.moves is not None:
            models = columns[:: self.n_columns // len(self.counts)] // (self.n_columns // len(self.counts))
            for name in ("moves", "changes", "products", "counts"):
                setattr(other, name, getattr(self, name)[models])
        return other

    def set_columns(self, penalty, rate_factors):
        if self.moves is not None and not penalty.same_as(self._penalty):
            # What is remembered of the gradient has the old penalty's in it.
            self.moves = None
        super().set_columns(penalty, rate_factors)

    def epoch(self, problem, rate):
        """Take one step, whose length is always found, and return each column's sum of losses after it."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self._cached is None or self._cached.problem is not problem:
                self._cached = self._place(problem)
            at = self._cached
            if self.moves is None:
                self._forget(at.n_models)
            if at.slopes is None:
                self._aim(at)
            start, gradient = at.by_model(self.W), at.gradient
            self.W, self.rate = at.step(self.W, self.counts == 0)
            remember(
                *(self.moves, self.changes, self.products, self.counts),
                *(start, at.by_model(self.W), gradient, at.gradient),
            )
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
        shape = n_models, self.optimizer.memory, self.W.size // n_models
        self.moves, self.changes = np.empty((2, *shape), self.W.dtype)
        self.products, self.counts = np.empty(shape[:2]), np.zeros(n_models, np.int64)

    def _aim(self, at):
        """Choose the direction of the next step; where rounding errors have made it none of descent, begin anew."""
        at.direction = np.empty_like(at.gradient)
        remembered = self.moves, self.changes, self.products, self.counts
        at.slopes = descend(*remembered, at.gradient, at.direction, at.solve)
        lost = ~(at.slopes < 0) & (self.counts > 0)
        if lost.any():
            self.counts[lost] = 0
            at.slopes = descend(*remembered, at.gradient, at.direction, at.solve)
        self.expected_falls = -at.slopes / 2


class Position:
    """Where a state stands on the rows of a problem, and where it goes next.

    Vectors are those of models, all weights of one after the other; see `by_model`.

    Attributes
    ----------
    problem : Problem
    rows : AllRows
        Those of the problem, or their coordinates.
    scores : ndarray of shape (n_rows, n_columns)
    losses, penalties : ndarray of float64 of shape (n_columns,)
    axes : ndarray of shape (n_features + 1, n_features + 1), or None
        Those that the metric is one of; see `AllRows.axes`.
    metric : ndarray of shape (n_models, n), or that of the weights where there are axes
    gradient, direction : ndarray of shape (n_models, n)
    slopes : ndarray of float64 of shape (n_models,), or None
        Along the direction; None before it is chosen.
    """

    def __init__(self, problem, rows, state):
        self.problem, self.rows, self.penalty = problem, rows, state._penalty
        self.n_models = state.n_columns // rows.n_outputs
        self.n_steps, self.direction, self.slopes = 0, None, None
        self.scores = rows.of(state.W)
        units = self.penalty.units
        # Where the penalty differs much between features, it ties weights to other axes than the rows do.
        axes = rows.axes() if units is None or units.max() <= MOST_UNEVEN * units.min() else None
        self.metric = rows.metric(state._curvature(rows, self.scores), self.penalty, axes)
        if axes is None:
            self.axes, self.metric = None, self.by_model(self.metric)
        else:
            self.axes = axes[0]
        self.losses, derivative = rows.differentiate(self.scores)
        self.penalties = state._penalties(state.W)
        self.gradient = self.by_model(self._gradient(derivative, state.W))
        rows.check(self.gradient)

    def by_model(self, array):
        """An array of the shape of the weights, (n_features + 1, n_columns), as one of shape (n_models, n)."""
        if self.n_models == 1:
            return array.reshape(1, -1)
        models = array.reshape(len(array), self.n_models, -1).transpose(1, 0, 2)
        return np.ascontiguousarray(models).reshape(self.n_models, -1)

    def by_column(self, vectors):
        """The inverse of `by_model`."""
        columns = vectors.reshape(self.n_models, -1, self.rows.n_outputs).transpose(1, 0, 2)
        return np.ascontiguousarray(columns).reshape(-1, self.n_models * self.rows.n_outputs)

    def solve(self, vectors):
        """Divide vectors by the metric, which may be one of axes."""
        if self.axes is None:
            return vectors / self.metric
        along = self.axes.T @ self.by_column(vectors)
        return self.by_model(self.axes @ (along / self.metric))

    def of_models(self, values):
        """The sums over the columns of each model."""
        return values if self.rows.n_outputs == 1 else values.reshape(self.n_models, -1).sum(axis=1)

    def _gradient(self, derivative, weights):
        gradient = self.rows.gradient(derivative)
        gradient[:-1] += self.penalty.curvature * weights[:-1]
        return gradient

    def step(self, weights, first):
        """Go along the direction, and return the new weights and how far each column has gone.

        `first` tells the models that do not know yet how far to go.
        """
        rows, scores, n_rows = self.rows, self.scores, self.rows.n_rows
        direction = self.by_column(self.direction)
        along = rows.of(direction)
        # The penalty is a parabola of the length.
        bend = self.penalty.curvature * direction[:-1]
        linear = self.of_models((bend * weights[:-1]).sum(axis=0, dtype=np.float64))
        square = self.of_models((bend * direction[:-1]).sum(axis=0, dtype=np.float64))
        penalties = self.of_models(self.penalties)
        objectives = self.of_models(self.losses) / n_rows + penalties
        search = Lengths(self.slopes, objectives, first, weights.dtype == np.float32)
        ones = np.ones(scores.shape[1], scores.dtype)
        trying = True
        while trying:
            length = search.lengths
            of_columns = length.astype(scores.dtype).repeat(rows.n_outputs)
            self.scores = rows.combine(scores, along, ones, of_columns)
            self.losses, derivative = rows.differentiate(self.scores)
            slopes = self.of_models(rows.slopes(derivative, along)) / n_rows + linear + length * square
            objectives = (
                self.of_models(self.losses) / n_rows + penalties + length * (linear + length * square / 2)
            )
            trying = search.adjust(slopes, objectives)
        weights = weights + of_columns * direction
        self.n_steps += 1
        if self.n_steps % REFRESH == 0:
            self.scores = rows.of(weights)
            self.losses, derivative = rows.differentiate(self.scores)
        self.penalties = self.penalty.value(weights[:-1])
        self.gradient = self.by_model(self._gradient(derivative, weights))
        return weights, of_columns


class LBFGS(Optimizer):
    """Limited-memory BFGS on all rows, with a line search along the scores [1]_.

    ``W <- W - t H grad F(W)``, F being the objective, and H an estimate of its inverse Hessian from the last pairs of
    moves and of changes of the gradient, ``s_k = W_(k+1) - W_k`` and ``y_k = grad F(W_(k+1)) - grad F(W_k)``:

        H_k = (I - s y' / y's) H_(k-1) (I - y s' / y's) + s s' / y's

    It begins with the diagonal metric ``1 / (c mean(x_j^2) + alpha)`` of each feature j, with the loss's mean second
    derivative c, times ``s'y`` over ``y'y`` in this metric. So features may be as rare, and as different, as words are.

    Scores are linear in t, so a search for the length t of a step takes no product with the rows. It ends where the
    slope of the objective has fallen enough, and not risen too far above 0 [2]_. Slopes are known to more digits than
    the differences of objectives are, so float32 comes as near to the minimum as it can tell.

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
