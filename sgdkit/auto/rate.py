"""`eta0="auto"`: the first rate.

Where the length of a step does not depend on the gradient's scale, the rate follows from the rows: in n steps that
touch it, a weight is to be able to move by ``size / r * sqrt(n)``, the size being that of the scores to be reached, and
r that of a row, ``r^2 = mean ||x||^4 / mean ||x||^2``: the mean of ``||x||^2`` where a row counts as much as it moves
its own score. (In a single batch, rows move the score of one another, and it is the mean.) AdaGrad's own denominator
sees to that at ``eta = size / r``. Averages of squared
gradients leave it to the schedule, which counts all steps: a feature that a share p of them touches needs a rate
``1 / sqrt(p)`` times as large.

How telling the rows are is not in that formula: where they are noise for the most part, a quarter of its rate is
better by points. So where a plan ends training, some multiples of it are tried on a sample, all as columns of one
pass. Taken is the one whose model predicts the second half of the sample best, each row before it is learnt from:
progressive validation (A. Blum, A. Kalai & J. Langford, "Beating the Hold-Out", COLT 1999), which holds nothing out.

The length of SGD's step has the gradient's scale. Where it is to fall to 0, and targets are classes, whose losses have
derivatives of a known size, the first rate is ``1 / (h r^2)``: a step moves the score of its own row by about its
derivative over the loss's `stiffness` h; or further, where steps are few.

Otherwise, and of data that are one batch, pilot runs choose it: all candidate rates train at once, as columns of one
pass over a sample of the rows. The one whose losses, each met before its row was learnt from, have the smallest sum
wins.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array, issparse

from sgdkit._kernels.arrays import N_MOMENTS, add_moments
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.scores import score_rows
from sgdkit.auto.sample import contents
from sgdkit.penalties import Penalty
from sgdkit.schedules import Constant
from sgdkit.training.problem import select
from sgdkit.training.trainer import Trainer

# The size of scores: of classes, in units of the losses; of numbers, in standard deviations of the target. Measured on
# 15 data sets, see docs/experiments.md.
SIZE_OF_LABELS, SIZE_OF_NUMBERS = 1.8, 0.3
# A rate that is to fall to 0 may be so many times as large.
OF_A_PLAN = 3.0
# Fewer planned steps than these are so much longer, up to so many times.
MANY_STEPS, MOST_TIMES = 100_000, 3.0
# The first steps, over which a schedule is compared with a falling metric, are an epoch, and no fewer than these.
FIRST_STEPS = 100
# Candidate rates, in multiples of the scale that the data suggest; of one batch, and of these around the formula.
CANDIDATES = 10.0 ** np.arange(-3, 2.01, 0.5)
CANDIDATES_OF_A_BATCH = 10.0 ** np.arange(-3, 2.01, 0.25)
CANDIDATES_AROUND = 10.0 ** np.arange(-1, 1.01, 0.25)
# A sample has rows at random, and those that have the largest norms of all: they are what makes a rate too large.
SAMPLE_ROWS, LARGEST_ROWS = 2000, 20
# A batch of fewer different rows, as chunks may be, does not tell what suits the next ones; nor does a chunk of fewer
# rows that are visited one by one.
FEWEST_ROWS, FEWEST_ROWS_OF_A_CHUNK = 40, 20
SAMPLE_BATCHES = 20
# Pilots of one batch make so many steps, and are compared after the first ones.
STEPS_OF_A_BATCH, FIRST_OF_A_BATCH = 30, 3
# Of a plan, multiples of the formula's rate are tried in so many steps, on no more than a share of the rows; fewer
# steps than the last number say nothing.
CANDIDATES_OF_A_PLAN = 2.0 ** np.arange(-2, 2)
STEPS_OF_A_TRIAL, SHARE_OF_A_TRIAL, FEWEST_STEPS = 4000, 1 / 3, 1000
# The best rate of a short run is too large for a long one.
SHARE_OF_THE_BEST = 0.7
# Floating-point numbers of state that a pilot may hold.
STATE_NUMBERS = 1 << 24


def rate_choice(settings):
    """What the `eta0` of an estimator stands for."""
    return ChosenRate() if settings.eta0 == "auto" else GivenRate(float(settings.eta0))


class GivenRate:
    """A first rate that the user gave."""

    chosen = False
    # How often a fit that overflows begins again, at a tenth of the rate.
    n_retreats = 0

    def __init__(self, rate):
        self.rate = rate

    def column_factors(self, problem, optimizer):
        """By what each column multiplies the rate; None for 1."""


class ChosenRate:
    """A first rate that is chosen here, or left to backtracking."""

    chosen = True
    rate = None
    n_retreats = 6

    def column_factors(self, problem, optimizer):
        """By what each column multiplies the rate: the size of its target over that of the largest.

        None where that makes no difference: for classes, for one output, and where steps have the gradient's scale.
        """
        targets = problem.targets
        if targets.signs or targets.n_columns == 1 or optimizer.scales_with_gradient:
            return None
        y, row_weights = problem.select(targets.values), problem.select(problem.weights_or_ones)
        spread = problem.loss.score_scale(y, row_weights)[targets.column]
        return np.where(spread > 0, spread, spread.max()) / spread.max() if spread.max() > 0 else None


def choose_rates(problem, optimizer, schedule, *, initial, fit_intercept, seed, of_few=None):
    """Return the first rate of each model; shape (n_models,).

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
    of_few : float, default=None
        Of a chunk of a stream, the rate if it has too few rows for pilots.
    """
    rate, factors = _by_formula(problem, optimizer, schedule), CANDIDATES_AROUND
    varied_batch = problem.single_batch and _has_many_rows(problem)
    generator = np.random.Generator(np.random.PCG64(seed))
    if rate is not None and not (varied_batch and _can_be_tried(problem, optimizer, schedule)):
        n_steps = _steps_of_a_trial(problem, optimizer, schedule)
        if n_steps >= FEWEST_STEPS:
            options = {"initial": initial, "fit_intercept": fit_intercept, "generator": generator}
            rate *= _tried(problem, optimizer, rate, n_steps, **options)
        return np.full(problem.n_models, rate)
    sample, initial = _sample(problem, _sampled_indices(problem, optimizer, generator), initial)
    if rate is None:
        rate = _rate_scale(sample, initial)
        factors = CANDIDATES_OF_A_BATCH if varied_batch else CANDIDATES
        if of_few is not None and _is_small_chunk(problem):
            # What suits these few rows best may be any number of times as large as what suits the next ones.
            return np.full(problem.n_models, min(rate, _rate_scale(sample, initial, 0), of_few))
    if problem.loss.homogeneous or sample.targets.constant:
        # A pilot would prefer the rate that moves least.
        return np.full(problem.n_models, rate * factors[len(factors) // 2])
    options = {"fit_intercept": fit_intercept, "seed": generator.integers(2**31)}
    losses = _pilot(sample, optimizer, schedule, rates=rate * factors, initial=initial, **options)
    best = rate * factors[np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=0)]
    return SHARE_OF_THE_BEST * best if optimizer.scales_with_gradient and not optimizer.full_batch else best


def steps_at_first_rate(problem):
    """How many steps of a stream SGD's first rate suits, before it has to fall.

    Pilots that visit row by row tell a rate for as many rows as they visit; those of a batch know nothing of what the
    next ones differ by, so it falls at once. That of a chunk that is too small for pilots is no longer than one row may
    ask for.
    """
    if _is_small_chunk(problem):
        return STEPS_OF_A_BATCH
    return 1 if problem.single_batch else -(-SAMPLE_ROWS // problem.batch_size)


def _by_formula(problem, optimizer, schedule):
    """The rate that follows from the rows; None where only pilots tell."""
    if optimizer.scales_with_gradient:
        # Derivatives of losses of classes are known beforehand, and with them how far a step goes.
        if not schedule.needs_end or not problem.targets.signs or problem.single_batch:
            return None
        longer = np.clip(MANY_STEPS / schedule.n_steps, 1, MOST_TIMES)
        return longer * (1 - optimizer.inertia) / (problem.loss.stiffness * _moved(problem))
    planned_classes = schedule.needs_end and problem.targets.signs
    size = problem.loss.score_size if planned_classes else _size(problem)
    rate = size / _row_size(problem) * (1 - optimizer.inertia)
    if optimizer.decays:
        return rate
    rate /= _falling(problem, schedule)
    return rate * OF_A_PLAN if schedule.needs_end else rate


def _steps_of_a_trial(problem, optimizer, schedule):
    """In how many steps to compare multiples of the formula's rate; 0 where that is not worth their time."""
    planned = optimizer.decays and schedule.needs_end
    # A loss with kinks may be lowest where all rows are taken for one class.
    if not (planned and problem.loss.smooth) or problem.targets.constant:
        return 0
    if problem.targets.signs and problem.targets.n_columns > problem.n_models:
        # Of many classes, each has too few of the rows.
        return 0
    return min(STEPS_OF_A_TRIAL, int(SHARE_OF_A_TRIAL * problem.steps_an_epoch))


def _tried(problem, optimizer, rate, n_steps, *, initial, fit_intercept, generator):
    """The multiple of a rate whose model predicts rows best, each before it is learnt from, once half are learnt.

    The first model stands for all, without its penalty, which has little to say while so few rows have been met: so
    the candidates of a search agree.
    """
    problem = problem.take([0])
    n_columns = problem.targets.n_columns
    initial = initial[:, :n_columns]
    rows = generator.choice(problem.indices, n_steps * problem.batch_size, replace=False)
    if problem.rows.mean_nonzeros * len(rows) < problem.rows.n_features:
        problem, initial = _sample(problem, rows, initial)
        rows = np.arange(len(rows))
    first, second = map(np.sort, np.array_split(rows, [len(rows) // 2]))
    trials = replace(problem.repeat(len(CANDIDATES_OF_A_PLAN)), penalty=Penalty(0.0, 0.0))
    factors = np.repeat(rate * CANDIDATES_OF_A_PLAN, n_columns)
    options = {"fit_intercept": fit_intercept, "seed": generator.integers(2**31)}
    trainer = Trainer(optimizer, Constant(1.0), trials, rate_factors=factors, **options)
    trainer.set_penalty(trials.penalty)
    trainer.load(np.tile(initial, len(CANDIDATES_OF_A_PLAN)))
    with np.errstate(over="ignore", invalid="ignore"):
        trainer.epoch(replace(trials, row_indices=first))
        losses = trainer.epoch(replace(trials, row_indices=second)).reshape(-1, n_columns).sum(axis=1)
    return CANDIDATES_OF_A_PLAN[np.argmin(np.where(np.isfinite(losses), losses, np.inf))]


def _can_be_tried(problem, optimizer, schedule):
    """Whether pilots are short, and the rate falls: else it has to suit the end of training, which they never see."""
    falls = optimizer.decays or np.diff(schedule.rates(np.array([1.0, 2.0])), axis=0).any()
    return problem.n_rows <= SAMPLE_ROWS and falls


def _sampled_indices(problem, optimizer, generator):
    """The rows to look at."""
    indices = problem.indices
    n_sample = max(SAMPLE_ROWS, SAMPLE_BATCHES * problem.batch_size)
    if len(indices) <= max(n_sample, problem.batch_size):
        return indices
    places = generator.choice(len(indices), n_sample, replace=False)
    if optimizer.scales_with_gradient:
        norms = problem.select(problem.rows.squared_norms())
        places = np.union1d(places, np.argpartition(norms, -LARGEST_ROWS)[-LARGEST_ROWS:])
    return indices[np.sort(places)]


def _has_many_rows(problem):
    """Whether there are as many different rows as it takes; equal ones are one row and its weight."""
    different = set()
    for content in contents(problem, problem.indices):
        different.add(content)
        if len(different) == FEWEST_ROWS:
            return True
    return False


def _is_small_chunk(problem):
    """Whether a chunk has too few rows for pilots that visit them in this way."""
    if problem.single_batch:
        return not _has_many_rows(problem)
    return problem.n_rows < FEWEST_ROWS_OF_A_CHUNK


def _pilot(sample, optimizer, schedule, *, rates, initial, **options):
    """The losses of pilot runs, of shape (n_rates, n_models)."""
    n_columns = sample.targets.n_columns
    n_at_once = max(1, STATE_NUMBERS // (5 * (sample.rows.n_features + 1) * n_columns))
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        # Candidates that do not fit into one pass meet the rows in the same order all the same.
        for begin in range(0, len(rates), n_at_once):
            part = rates[begin : begin + n_at_once]
            repeated = sample.repeat(len(part))
            rate_factors = np.repeat(part, n_columns)
            trainer = Trainer(optimizer, schedule.for_pilot(), repeated, rate_factors=rate_factors, **options)
            trainer.load(np.tile(initial, len(part)))
            losses.append(_losses(trainer, repeated).reshape(len(part), sample.n_models))
    return np.concatenate(losses)


def _falling(problem, schedule):
    """What the schedule comes to over the first steps, in terms of a metric that falls with the steps of a feature.

    Of the features, each non-zero counting once, it is the geometric mean of ``eta(T) * sqrt(p T)``.
    """
    n_steps = np.array([max(FIRST_STEPS, problem.n_rows / problem.batch_size)])
    share = 1.0 if problem.single_batch else _share_of_steps(problem)
    return float(schedule.rates(n_steps)[0] * np.sqrt(share * n_steps[0]))


def _share_of_steps(problem):
    """The share of the steps that touch a feature; the geometric mean over the non-zeros."""
    moments = np.zeros((problem.rows.n_features, N_MOMENTS))
    origin = np.zeros(problem.rows.n_features, problem.rows.dtype)
    indices = None if problem.row_indices is None else problem.row_indices.astype(np.int64, copy=False)
    add_moments(problem.rows, origin, indices, np.empty(0), moments)
    hits = moments[:, 0]
    hits = hits[hits > 0]
    if not len(hits):
        return 1.0
    absent = np.log1p(-np.minimum(hits / problem.n_rows, 1 - 1e-15))
    return np.exp(np.average(np.log(-np.expm1(problem.batch_size * absent)), weights=hits))


def _sample(problem, indices, initial):
    """The problem on some of its rows, and on the features that they have."""
    X, targets, penalty = problem.rows.merged(indices), problem.targets.take(indices), problem.penalty
    if issparse(X):
        # Several times as fast as `np.unique` and the selection of columns.
        occurs = np.zeros(X.shape[1], dtype=bool)
        occurs[X.indices] = True
        present, number = np.flatnonzero(occurs), np.cumsum(occurs, dtype=np.int32) - np.int32(1)
        X = csr_array((X.data, number[X.indices], X.indptr), shape=(X.shape[0], len(present)))
        initial = initial[np.append(present, len(initial) - 1)]
        penalty = penalty.of_features(present)
    parts = {"row_weights": select(problem.row_weights, indices), "row_indices": None, "subset": None}
    return replace(problem, rows=Rows(X), targets=targets, penalty=penalty, **parts), initial


def _squared_norms(problem):
    """``||x||^2`` of the rows that count, the intercept's 1 included, and their weights; None where all weigh 1."""
    norms = problem.select(problem.rows.squared_norms())
    norms += 1.0
    return norms, problem.select(problem.row_weights)


def _total(*factors):
    """The sum over rows of a product, which takes no room; None stands for ones."""
    factors = [factor for factor in factors if factor is not None]
    return np.einsum(",".join("i" * len(factors)) + "->", *factors)


def _mean_square(problem):
    """The weighted mean of ``||x||^2``."""
    norms, row_weights = _squared_norms(problem)
    return _total(norms, row_weights) / (len(norms) if row_weights is None else row_weights.sum())


def _moved(problem):
    """r^2 where a weight of a row, which multiplies its step, multiplies by how much it moves its own score too."""
    norms, row_weights = _squared_norms(problem)
    return _total(norms, norms, row_weights, row_weights) / _total(norms, row_weights)


def _row_size(problem):
    """r, the size of a row."""
    if problem.single_batch:
        return np.sqrt(_mean_square(problem))
    norms, row_weights = _squared_norms(problem)
    return np.sqrt(_total(norms, norms, row_weights) / _total(norms, row_weights))


def _size(problem):
    """The size of the scores to be reached."""
    if problem.targets.signs:
        return SIZE_OF_LABELS
    # A constant target has no spread; then its size must do.
    y, row_weights = problem.select(problem.targets.values), problem.select(problem.weights_or_ones)
    spread = problem.loss.score_scale(y, row_weights).max()
    return SIZE_OF_NUMBERS * (spread or problem.targets.size or 1.0)


def _rate_scale(problem, initial, distance=1):
    """The rate at which one step along a gradient changes a typical score by about what it lacks.

    That is ``s / (g r^2)``, with the size s, and g the root mean square of the loss's derivative at a distance of s
    from the beginning; at the beginning itself, it may be no more than rounding error.
    """
    X = problem.rows.X
    size = _size(problem) / (SIZE_OF_LABELS if problem.targets.signs else SIZE_OF_NUMBERS)
    scores = score_rows(X, initial[:-1]) + (initial[-1] + X.dtype.type(distance * size))
    derivative = np.empty_like(scores)
    problem.loss.total(scores, problem.targets, None, derivative)
    squares = np.square(derivative, dtype=np.float64).mean(axis=1)
    gradient = np.sqrt(np.average(squares, weights=problem.row_weights))
    return size / (max(gradient, np.finfo(np.float32).tiny) * _mean_square(problem))


def _losses(trainer, problem):
    """The mean loss that each model meets on its way, and the penalty that it ends with.

    Of a single batch, it is the mean objective of all steps but the first few.
    """
    trainer.set_penalty(problem.penalty)
    total = problem.total_weight
    if trainer.optimizer.full_batch or problem.single_batch:
        steps = (trainer.epoch(problem) / total + trainer.penalty() for _ in range(STEPS_OF_A_BATCH))
        objectives = [step.reshape(problem.n_models, -1).sum(axis=1) for step in steps]
        return np.mean(objectives[FIRST_OF_A_BATCH:], axis=0)
    n_epochs = -(-SAMPLE_ROWS // problem.n_rows)
    losses = sum(trainer.epoch(problem) for _ in range(n_epochs)) / n_epochs
    return (losses / total + trainer.penalty()).reshape(problem.n_models, -1).sum(axis=1)
