"""`eta0="auto"`: the first rate, chosen by short pilot runs.

All candidate rates train at once, as columns of one pass over a sample of the rows. The one whose losses, each met
before its row was learnt from, have the smallest sum wins.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import issparse

from sgdkit.rows import Rows
from sgdkit.training import Trainer

# Candidate rates, in multiples of the scale that the data suggest.
CANDIDATES = 10.0 ** np.arange(-3, 2.01, 0.5)
SAMPLE_ROWS = 2000
SAMPLE_BATCHES = 20
FULL_BATCH_EPOCHS = 30
# Floating-point numbers of state that a pilot may hold.
STATE_NUMBERS = 1 << 24


def choose_rates(problem, optimizer, schedule, *, initial, fit_intercept, seed):
    """Return, for each model, the candidate of the lowest loss in a pilot run; shape (n_models,).

    Parameters
    ----------
    problem : Problem
    optimizer : Optimizer
    schedule : Schedule
        With a first rate of 1.
    initial : ndarray of shape (n_features + 1, n_columns)
        The weights that training is going to begin with.
    fit_intercept : bool
    seed : int
        Of the sample, and of its shuffling.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    visited = np.arange(problem.rows.n_rows) if problem.order is None else problem.order
    n_sample = max(SAMPLE_ROWS, SAMPLE_BATCHES * problem.batch_size)
    if len(visited) > max(n_sample, problem.batch_size):
        visited = visited[np.sort(generator.choice(len(visited), n_sample, replace=False))]
    sample, initial = _sample(problem, visited, initial)
    rates = CANDIDATES * rate_scale(sample, optimizer, initial)
    if problem.loss.homogeneous or sample.targets.constant:
        # A pilot would prefer the rate that moves least.
        return np.full(problem.n_models, rates[len(rates) // 2])
    n_columns = sample.targets.n_columns
    n_together = max(1, STATE_NUMBERS // (5 * (sample.rows.n_features + 1) * n_columns))
    # Candidates that cannot be trained together meet the rows in the same order all the same.
    options = {"fit_intercept": fit_intercept, "seed": generator.integers(2**31)}
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, len(rates), n_together):
            together = rates[begin : begin + n_together]
            repeated = sample.repeat(len(together))
            scale = np.repeat(together, n_columns)
            trainer = Trainer(optimizer, schedule.for_pilot(), repeated, scale=scale, **options)
            trainer.load(np.tile(initial, len(together)))
            losses.append(_losses(trainer, repeated).reshape(len(together), problem.n_models))
    losses = np.concatenate(losses)
    return rates[np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=0)]


def _sample(problem, rows, initial):
    """The problem on some of its rows, and on the features that they have."""
    X, targets = problem.rows.X[rows], problem.targets.take(rows)
    if issparse(X):
        present = np.unique(X.indices)
        X, initial = X[:, present], initial[np.append(present, len(initial) - 1)]
    weights = None if problem.weights is None else problem.weights[rows]
    return replace(problem, rows=Rows(X), targets=targets, weights=weights, order=None), initial


def rate_scale(problem, optimizer, initial):
    """The rate at which one step changes a typical score by about what it lacks.

    With r the root mean square of ``||x||``, s the size of the scores to be reached, and g the root mean square of the
    loss's derivative at a distance of s from the beginning: s / r if a step does not depend on the gradient's scale,
    else s / (g r^2).
    """
    X, targets, weights = problem.rows.X, problem.targets, problem.weights
    weights = np.ones(problem.n_rows) if weights is None else weights
    values = X.multiply(X) if issparse(X) else X * X
    mean_square = 1.0 + np.average(np.asarray(values.sum(axis=1, dtype=np.float64)).ravel(), weights=weights)
    size = 1.0
    if not targets.labels:
        # A constant target has no spread; then its size must do.
        size = problem.loss.score_scale(targets.values, weights).mean() or targets.size or 1.0
    if not optimizer._scales_with_gradient:
        return size / np.sqrt(mean_square)
    # Not at the beginning itself, where the derivative may be no more than rounding error.
    scores = np.ascontiguousarray(X @ initial[:-1] + (initial[-1] + X.dtype.type(size)))
    derivative = np.empty_like(scores)
    problem.loss.total(scores, targets, None, derivative)
    gradient = np.sqrt(np.average(np.square(derivative, dtype=np.float64).mean(axis=1), weights=weights))
    return size / (max(gradient, np.finfo(np.float32).tiny) * mean_square)


def _losses(trainer, problem):
    """The mean loss that each model meets on its way, and the penalty that it ends with."""
    trainer.set_penalty(problem.penalty)
    one_batch = trainer.optimizer._full_batch or problem.n_rows <= problem.batch_size
    n_epochs = FULL_BATCH_EPOCHS if one_batch else -(-SAMPLE_ROWS // problem.n_rows)
    sums = sum(trainer.epoch(problem) for _ in range(n_epochs)) / n_epochs
    objectives = sums / problem.total_weight + trainer.penalty()
    return objectives.reshape(problem.n_models, -1).sum(axis=1)
