"""Gradient descent: proximal, in a metric of the features, accelerated, with a rate that is found."""

from functools import cached_property
from typing import Any

import numpy as np

from sgdkit._kernels.backtracking import Tries
from sgdkit._typing import Array
from sgdkit.optimizers.base import Optimizer
from sgdkit.optimizers.full_gradients import REFRESH, FullGradientState, all_rows

# A rate grows by no more than the first at a time, the second in the first few steps, in which curvature changes most.
GROW, GROW_EARLY, EARLY_STEPS = 1.5, 2.5, 10


class GDState(FullGradientState):
    """Accelerated proximal gradient descent at work.

    Attributes
    ----------
    previous : ndarray of the shape of the weights
        The weights before the last step.
    n_accelerated : ndarray of float of shape (n_columns,)
        Steps since the momentum was last dropped; columns of one model drop it together.
    aim : ndarray of shape (n_columns,) or None
        The rates that the last step has found to be good.
    """

    aim = None

    def load(self, weights):
        super().load(weights)
        self.previous, self.n_accelerated = self.W, np.zeros(self.n_columns, self.W.dtype)

    def take(self, columns):
        other = super().take(columns)
        if self.previous is not self.W:
            other.previous = np.ascontiguousarray(self.previous[:, columns])
        other.aim = None if self.aim is None else self.aim[columns]
        other.n_accelerated = self.n_accelerated[columns]
        return other

    def epoch(self, problem, rate):
        """Take one step on all rows of a `Problem`, and return each column's sum of losses after it.

        `rate` is a number, or None to find it by backtracking.
        """
        if self._cached is None or self._cached.rows.problem is not problem:
            self._cached = Scores(all_rows(problem, self.fit_intercept), self)
        at = self._cached
        accelerates = self.optimizer.nesterov and problem.loss.smooth
        share = accelerates * self.n_accelerated / (self.n_accelerated + 3)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            step = self._step(at, share, rate)
            if rate is None and share.any():
                if at.losses is None:
                    at.losses, at.penalties = at.rows.total(at.current), self._penalties(self.W)
                before = at.rows.objectives(at.losses, at.penalties)
                risen = ~(at.rows.objectives(*step[2:4]) <= before)
                if risen.any():
                    self.n_accelerated = np.where(risen, 0, self.n_accelerated)
                    again = self._step(at, np.where(risen, 0, share), rate)
                    step = [np.where(risen, new, old) for new, old in zip(again, step, strict=True)]
        self.previous, at.previous = self.W, at.current
        self.W, at.current, at.losses, at.penalties, self.rate, self.aim = step
        at.n_steps += 1
        if at.n_steps % REFRESH == 0:
            # Both, for momentum takes their difference, and would multiply an error in it.
            at.current, at.previous = at.rows.of(self.W), at.rows.of(self.previous)
        self.n_accelerated = self.n_accelerated + 1
        if self._look_again() and rate is None:
            at.set_metric(at.current, self._penalty)
        self._count(at.rows)
        return at.losses

    def _step(self, at, share, rate):
        """A step from ``V = W + share * (W - previous)``.

        Returns the new weights, their scores, losses and penalties, the rates, and those to aim at next.
        """
        V, scores_V = self.W, at.current
        if share.any():
            V = V + share * (V - self.previous)
            scores_V = at.rows.combine(scores_V, at.previous, 1 + share, -share)
        losses, derivative = at.rows.differentiate(scores_V)
        gradient = at.rows.gradient(derivative)
        if not at.n_steps:
            at.rows.check(gradient)
        if rate is None:
            return self._backtrack(at, losses, gradient, V, scores_V)
        rates = self.rate_factors * self.W.dtype.type(rate)
        end = V - rates * gradient
        end[:-1] = self._penalty.prox(end[:-1], rates)
        return *at.after(end), self._penalties(end), self.rate, self.aim

    def _backtrack(self, at, losses, gradient, V, scores_V):
        """A step at rates that are low enough for the smooth part to lie below its quadratic model."""
        if self.rate is None:
            rates = np.ones(self.n_columns, self.W.dtype)
        else:
            early = self.n_rows_seen < EARLY_STEPS * at.rows.n_rows
            rates = np.minimum(self.aim, self.rate * self.W.dtype.type(GROW_EARLY if early else GROW))
        if at.metric is None:
            at.set_metric(self._scores_of_metric(at.rows, at.current), self._penalty)
        gradient[:-1] += self._penalty.curvature * V[:-1]
        # The first rate is looked for upwards as well.
        tries = Tries(rates, self.rate is None, at.rows.n_rows, at.rows.n_outputs)
        ahead = self._along(at, V, scores_V, gradient / at.metric)
        while True:
            end, end_scores, end_losses = ahead(rates)
            if not tries.adjust(V, end, gradient, at.metric, at.ridge, losses, end_losses):
                return end, end_scores, end_losses, self._penalties(end), rates, tries.aims

    def _along(self, at, V, scores_V, direction):
        """Return a function from rates to the weights after a step from V, their scores and losses.

        Without an l1 norm, scores are linear in the direction's, so any number of rates takes one product with them.
        """
        if self._penalty.selects:
            kinks = self._penalty.kinks

            def move(rates):
                end = V - rates * direction
                end[:-1] = kinks.prox(end[:-1], rates / at.metric[:-1])
                return at.after(end)

            return move
        slope = at.rows.of(direction)

        def ahead(rates):
            end = V - rates * direction
            end_scores = at.rows.combine(scores_V, slope, np.ones_like(rates), -rates)
            return end, end_scores, at.rows.total(end_scores)

        return ahead


class Scores:
    """The scores of the last two models on the rows of a problem: a model between them needs no product.

    Attributes
    ----------
    current, previous : ndarray of shape (n_rows, n_columns)
    losses, penalties : ndarray of shape (n_columns,) or None
        Of the last model; None before the first step.
    metric, ridge : ndarray of the shape of the weights, or None
        About the curvature of the objective in each weight, and the penalty's part of it; None where rates are given.
    """

    def __init__(self, rows, state):
        self.rows = rows
        self.n_steps = 0
        self.current = rows.of(state.W)
        self.previous = self.current if state.previous is state.W else rows.of(state.previous)
        self.losses = self.penalties = self.metric = self.ridge = None

    @cached_property
    def features(self):
        """The `Features`, which know how the objective is curved."""
        return self.rows.features()

    def set_metric(self, scores, penalty):
        """Find the metric at some scores."""
        shape = self.rows.problem.rows.n_features + 1, scores.shape[1]
        self.metric = np.broadcast_to(self.features.metric(scores, penalty), shape)
        self.ridge = np.zeros(shape, scores.dtype)
        self.ridge[:-1] = penalty.curvature

    def after(self, weights):
        """The weights themselves, their scores and losses."""
        scores = self.rows.of(weights)
        return weights, scores, self.rows.total(scores)


class GD(Optimizer):
    """Proximal gradient descent on all rows, with backtracking and acceleration.

    ``W <- prox(V - eta * D grad F(V))``, in the metric ``1 / D``, F being the mean loss and the l2 part of the penalty.
    With `eta0="auto"` and a smooth loss, ``1 / D_j`` is about the second derivative of F in the weight j, so that rare
    features move as readily as others; of a softmax, its mean over the classes. It is found anew after 1, 4, 16, ...
    steps, since losses are not curved alike everywhere. And eta is found by backtracking: it is lowered until F lies
    below its quadratic model [1]_. Before each step it is raised to nearly the largest rate at
    which that would have been true of the last step, but by no more than 1.5 (by 2.5 before the first ten). Where a
    rate is given, or the loss has kinks, D is 1, and the l2 norm is part of the proximal step. With
    `nesterov` and a smooth loss, V is W plus its last move times ``(k - 1) / (k + 2)`` in step k; with backtracking, k
    begins anew when the objective would rise [2]_. Else V is W. Columns with losses of their own have rates, and k, of
    their own.

    `batch_size` has no effect; an epoch is one step.

    Parameters
    ----------
    nesterov : bool, default=True
        Whether to accelerate, where the loss is smooth.

    References
    ----------
    .. [1] A. Beck & M. Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
       SIAM J. Imaging Sciences, 2009.
    .. [2] B. O'Donoghue & E. Candès, "Adaptive Restart for Accelerated Gradient Schemes", Found. Comput. Math., 2015.

    Examples
    --------
    >>> from sgdkit.optimizers import GD
    >>> GD(nesterov=False)
    GD(nesterov=False)
    """

    full_batch: bool = True
    scales_with_gradient: bool = True
    default_tol: float = 1e-5
    _parameter_constraints: dict = {"nesterov": ["boolean"]}

    def __init__(self, *, nesterov: bool = True) -> None:
        self.nesterov = nesterov

    def default_schedule(self, loss: Any) -> str:
        return "constant" if loss.smooth else "invscaling"

    def backtracks(self, loss: Any) -> bool:
        return loss.smooth

    def make_state(self, record: Array | None, shape: tuple[int, int], dtype: Any, **settings: Any) -> Any:
        return GDState(self, record, shape, dtype, **settings)
