"""`alpha="auto"`: the strength of the penalty.

It is ``c / n``, n being the sum of the rows' weights, and no less than their number; ``c = 1`` is the default of
`LogisticRegression` and `Ridge`. Where rows are visited one by one, that is all: on real texts, one-hot rows and
ratings, other values of c gain next to nothing, and to tell which would take longer than the fit.

That is for targets with a spread of 1. A unit of the targets multiplies the loss by a power of it, and the norms of the
weights by others; so l1 is multiplied by the derivative that the loss has at a distance of the spread (its `pull`), and
l2 by that over the spread, which is 1 for squared errors.

For dense rows, few enough to be trained by full gradients, it is a choice. Models of all candidates for c predict rows
that they were not fitted to: small models each row, from a fit to all (`leaving_out.py`); others a part of the rows,
from fits to the rest, as columns of the same passes. Taken is the c nearest to 1 whose loss there is within two
standard errors of the smallest; a model whose training has not come to its end is no candidate, since stopping early
is a penalty too. Of many rows a sample takes part, and because few rows favour larger and larger c in noise, and
smaller ones in text of many classes, it may only choose between 1 and 3. Full gradients begin with the weights of the
model with this c, or the mean of those of its models.

Invariants:
- The unit of the targets changes no prediction (but with Huber's and the insensitive losses, whose epsilon is in it).
- The choice depends on the rows, their weights and the seed; not on the optimizer or the rate.
- Of data that are one batch, rows are held out by what they hold, so that a weight is a repetition here too.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from sgdkit._kernels.rows import Rows
from sgdkit._kernels.scores import score_rows
from sgdkit.auto.leaving_out import LeavingOut, may_leave_out
from sgdkit.auto.optimizer import full_gradients, gains_from_full_gradients
from sgdkit.auto.rate import choose_rates
from sgdkit.auto.sample import contents, in_front
from sgdkit.optimizers import AdaGrad
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import Constant
from sgdkit.training.loop import SHARE_GOING_ON
from sgdkit.training.trainer import Trainer

# The nearer to 1, the earlier.
CANDIDATES = np.array([1.0, 10.0, 0.1, 0.01])
CANDIDATES_OF_A_SAMPLE = np.array([1.0, 3.0])
STANDARD_ERRORS = 2.0
# So many rows take part, and fewer distinct ones say nothing.
MOST_ROWS, FEWEST_ROWS = 5000, 40
# A part of so many is held out; each part in turn where rows are few, else the first.
N_PARTS, ROWS_FOR_ALL_PARTS = 4, 1000
# Full gradients train the models of all parts together, where one of them has no more scores than this.
FEW_SCORES = 1000
# Held-out rows fall into so many groups, between which losses differ by the error.
N_GROUPS = 5
# Of the objective, what it fell by in the last quarter of the steps: less is the end of training, and where it is more
# when there are no steps left, training has not come to its end.
SETTLED, STILL_FALLING = 0.003, 0.1
# So many steps at the least; so many make a stage, and there is another stage while the best model needs it.
FEWEST_STEPS, STEPS_OF_A_STAGE, MOST_STAGES = 8, 16, 15
# Between these sizes of the largest value, squares of all that tell are float32.
SMALLEST_SIZE, LARGEST_SIZE = 1e-6, 1e6
# More values than these are not copied to it: 2 MB.
MOST_COPIED = 1 << 19
# First weights are better than none, as long as what few rows have taught of many features has so little noise: a
# parameter has a part of noise for each row that it was fitted to, less those that all rows have, too.
MOST_NOISE = 0.1
# So many steps of Newton's at the most.
MOST_STEPS = 20


def alpha_of(multiple, n_rows, total_weight):
    """``alpha = c / n``: n is the sum of the weights of rows, or their number where they cannot be repetitions."""
    return multiple / max(float(total_weight), float(n_rows))


def see_targets(problem, earlier=None):
    """The number, mean and variance of all targets so far, of shape (3, n_outputs); None of classes."""
    if problem.targets.signs:
        return None
    y, row_weights = problem.select(problem.targets.values), problem.select(problem.weights_or_ones)
    mean = np.average(y, axis=0, weights=row_weights)
    variance = np.average(np.square(y - mean), axis=0, weights=row_weights)
    if earlier is None or earlier.shape[1:] != mean.shape:
        return np.array([np.full_like(mean, len(y)), mean, variance])
    n_earlier, mean_earlier, variance_earlier = earlier
    share, drift = len(y) / (n_earlier + len(y)), mean - mean_earlier
    variance = variance_earlier + share * (variance - variance_earlier) + share * (1 - share) * drift**2
    return np.array([n_earlier + len(y), mean_earlier + share * drift, variance])


def units_of_targets(problem, seen):
    """The spread of each column's targets, and the `pull` of the loss; 1 and 1 of classes.

    With a log link, the spread is that of scores, 1. Of targets that have been the same so far it is their size.
    """
    if seen is None:
        return 1.0, 1.0
    _, mean, variance = seen[:, problem.targets.column]
    spread = np.ones_like(mean) if problem.loss.log_link else np.sqrt(variance)
    spread = np.where(spread > 0, spread, problem.targets.size or 1.0)
    pull = problem.loss.pull(spread, np.where(mean > 0, mean, 1.0))
    pull = np.maximum(pull, np.finfo(np.float64).tiny)
    return _one_if_equal(spread), _one_if_equal(pull)


def _one_if_equal(values):
    return float(values[0]) if (values == values[0]).all() else values


def in_units_of_targets(penalty, spread, pull):
    """The penalty that is about as strong as one of weights for targets of a spread of 1."""
    return penalty.times(pull, pull / spread)


def choose_strength(settings, problem, initial, *, spread, pull, units, row_weight, seed):
    """Return c, one of the candidates, and weights near those of the model with this c; None where there are none.

    Parameters
    ----------
    settings : BaseSGDPlus
    problem : Problem
        Of a single model.
    initial : ndarray of shape (n_features + 1, n_columns)
        The weights to begin with.
    spread, pull : float or ndarray of shape (n_columns,)
        The `units_of_targets`.
    units : float or ndarray of shape (n_features,)
        What the penalty multiplies the weights by.
    row_weight : float
        The mean of the rows' weights, which those of a problem are divided by; no less than 1.
    seed : int
        Of the rows that take part, and of their division.
    """
    penalty, l1_ratio = settings.penalty, settings.l1_ratio
    by_full_gradients = gains_from_full_gradients(problem)
    if penalty is None or problem.loss.homogeneous or problem.targets.constant:
        return 1.0, None
    if not by_full_gradients and not problem.single_batch:
        return 1.0, None
    indices = problem.indices
    generator = np.random.Generator(np.random.PCG64(seed))
    values = CANDIDATES
    if len(indices) > MOST_ROWS:
        values = CANDIDATES_OF_A_SAMPLE
        indices = indices[np.sort(generator.choice(len(indices), MOST_ROWS, replace=False))]
    place = (_place_by_content if problem.single_batch else _place_at_random)(problem, indices, generator)
    if len(np.unique(place)) < FEWEST_ROWS:
        return 1.0, None
    optimizer = full_gradients(penalty, l1_ratio) if by_full_gradients else AdaGrad()
    candidates = Candidates(values, PENALTIES[penalty], l1_ratio, spread, pull, units, row_weight)
    # Rows elsewhere are brought here.
    some = problem.rows.mapped or len(indices) < problem.rows.n_rows
    with in_front(problem, indices) if some else nullcontext(problem) as sample:
        if np.ndim(units) == 0 and not optimizer.minimises_kinks:
            sample, initial = _in_span(sample, initial)
        if not optimizer.minimises_kinks and may_leave_out(sample):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                number, weights = _by_leaving_out(sample, place, candidates, initial, settings.fit_intercept)
        else:
            options = {"fit_intercept": settings.fit_intercept, "seed": seed}
            number, weights = _by_parts(sample, place, candidates, optimizer, initial, **options)
    unseen = 1 / sample.n_rows - 1 / problem.n_rows
    if sample.rows.n_features < problem.rows.n_features or unseen * sample.rows.n_features > MOST_NOISE:
        weights = None
    return float(values[number]), None if weights is None else weights.astype(problem.rows.dtype, copy=False)


@dataclass
class Candidates:
    """Candidates for c, and what makes penalties of them: see `choose_strength`.

    Attributes
    ----------
    values : ndarray of shape (n_candidates,)
    norms : callable
        One of `PENALTIES`.
    """

    values: np.ndarray
    norms: Callable
    l1_ratio: float | None
    spread: float | np.ndarray
    pull: float | np.ndarray
    units: float | np.ndarray
    row_weight: float

    def penalty(self, masses, n_columns):
        """That of all candidates for some models of so many columns, whose rows' weights have these sums."""
        alphas = self.values / (np.reshape(masses, (-1, 1)) * self.row_weight)
        strengths = self.norms(alphas.repeat(n_columns), self.l1_ratio)
        of_targets = (np.tile(v, alphas.size) if np.ndim(v) else v for v in (self.spread, self.pull))
        return in_units_of_targets(strengths, *of_targets).of_units(self.units)


def _by_leaving_out(sample, place, candidates, initial, fit_intercept):
    """The number of the candidate that tells of each row what the others do; and the weights of its model."""
    weights, n_candidates = sample.weights_or_ones, len(candidates.values)
    _, first, copies = np.unique(place, return_index=True, return_inverse=True)
    masses = np.zeros(len(place))
    masses[first] = np.bincount(copies, weights)
    models, first_weights = sample.repeat(n_candidates), np.tile(initial, n_candidates)
    strengths = candidates.penalty(weights.sum(), sample.targets.n_columns)
    told = LeavingOut(models, masses, strengths, first_weights, fit_intercept)
    for n_left in reversed(range(MOST_STEPS)):
        told.step()
        if n_left and told.unfinished[0]:
            continue
        sums = masses[first, np.newaxis] * told.losses()[first]
        if not told.unfinished[np.argmin(sums.sum(axis=0))]:
            break
    chosen = _nearest(sums, masses[first], told.unfinished)
    return chosen, told.weights.reshape(len(initial), n_candidates, -1)[:, chosen]


def _by_parts(sample, place, candidates, optimizer, initial, **options):
    """The number of the candidate that tells of rows held out, part by part; and the mean of its models' weights."""
    sample, initial = _in_float32(sample, initial)
    runs = _runs(sample, initial, place, optimizer, candidates, **options)
    losses, masses, unfinished, fitted = zip(*runs, strict=True)
    chosen = _nearest(np.concatenate(losses), np.concatenate(masses), np.any(unfinished, axis=0))
    return chosen, np.mean(fitted, axis=0)[:, chosen]


def _runs(sample, initial, place, optimizer, candidates, **options):
    """Fit models of all candidates to all rows but a part, for one part after the other, or for all parts together.

    Parameters
    ----------
    sample : Problem
    initial : ndarray of shape (n_features + 1, n_columns)
    place : ndarray of intp
        By which rows are divided.
    optimizer : Optimizer
    candidates : Candidates
    **options : dict
        Of the trainer.

    Yields
    ------
    losses, masses : ndarray of shape (n, n_candidates), (n,)
        Of groups of the rows held out: the sums of losses, and of weights.
    unfinished : ndarray of bool of shape (n_candidates,)
    weights : ndarray of shape (n_features + 1, n_candidates, n_columns)
    """
    n_candidates, n_columns = len(candidates.values), sample.targets.n_columns
    outs = place % N_PARTS == np.arange(N_PARTS if len(place) <= ROWS_FOR_ALL_PARTS else 1)[:, np.newaxis]
    groups = place // N_PARTS % N_GROUPS == np.arange(N_GROUPS)[:, np.newaxis]
    if optimizer.full_batch and sample.n_rows * n_columns <= FEW_SCORES:
        runs = [(nullcontext(sample), outs, groups)]
    else:
        orders = np.argsort(outs, axis=1, kind="stable")
        pairs = zip(outs, orders, strict=True)
        runs = [(in_front(sample, order), out[np.newaxis, order], groups[:, order]) for out, order in pairs]
    for rows, parts, groups_of_rows in runs:
        with rows as problem:
            kept, out = problem.weights_or_ones * ~parts, problem.weights_or_ones * parts
            stages = _stages(
                _models(problem, kept, n_candidates),
                candidates.penalty(kept.sum(axis=1), n_columns),
                optimizer,
                initial,
                **options,
            )
            losses, falling, weights = _held_out(problem, out, groups_of_rows, stages)
        weights = weights.reshape(len(initial), len(parts), n_candidates, -1).mean(axis=1)
        masses = (groups_of_rows @ out.T).ravel()
        yield losses.reshape(-1, n_candidates), masses, falling.any(axis=0), weights


def _in_span(problem, initial):
    """The problem and its first weights in the space that rows span, where that has far fewer dimensions."""
    if initial[:-1].any() or problem.span is None:
        return problem, initial
    return replace(problem, rows=problem.span.rows), problem.span.coordinates(initial[-1])


def _in_float32(problem, initial):
    """The problem and its first weights in single precision, if that tells classes apart as well: a step takes half."""
    X = None if problem.rows.mapped else problem.rows.X
    if not (problem.targets.signs and isinstance(X, np.ndarray)) or problem.single_batch:
        return problem, initial
    if X.size > MOST_COPIED or not SMALLEST_SIZE < max(X.max(), -X.min()) < LARGEST_SIZE:
        return problem, initial
    single = np.float32
    rows = Rows(X.astype(single, copy=False), owned=problem.rows.owned or X.dtype != single)
    return replace(problem, rows=rows), initial.astype(single, copy=False)


def _place_at_random(problem, indices, generator):
    """A place for each row, in random order; class by class."""
    order = generator.permutation(len(indices))
    if problem.targets.labels:
        order = order[np.argsort(problem.targets.values[indices[order]], kind="stable")]
    place = np.empty(len(indices), dtype=np.intp)
    place[order] = np.arange(len(indices))
    return place


def _place_by_content(problem, indices, _):
    """A place for each row, the same for equal rows, by what they hold; class by class."""
    # Rows elsewhere have no X here.
    X, targets = None if problem.rows.mapped else problem.rows.X, problem.targets.values[indices]
    if isinstance(X, np.ndarray) and X.all():
        # Where all rows have the same features, the bytes of the rest sort in the same order.
        parts = targets.reshape(len(targets), -1), X[indices].astype(np.float32)
        held = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)
        return np.unique(held.view(f"V{held.shape[1]}").ravel(), return_inverse=True)[1]
    held = list(contents(problem, indices))
    places = {key: place for place, key in enumerate(sorted(set(held)))}
    return np.array([places[key] for key in held])


def _models(problem, kept, n_candidates):
    """The problem of a model for each part and candidate, given the weights of the rows that each part is fitted to."""
    models = problem.repeat(len(kept) * n_candidates)
    if len(kept) > 1:
        kept = kept * (problem.n_rows / kept.sum(axis=1, keepdims=True))
        models.row_weights = kept.T.repeat(n_candidates * problem.targets.n_columns, axis=1)
        return models
    # They come first.
    rows = slice(0, np.count_nonzero(kept))
    models.rows, models.targets = Rows(problem.rows.take(rows)), models.targets.take(rows)
    if problem.row_weights is not None:
        models.row_weights = kept[0, rows] * (rows.stop / kept.sum())
    return models


def _stages(models, strengths, optimizer, initial, *, fit_intercept, seed):
    """Fit models with penalties of some strengths; yield their weights, and which need more steps.

    Those that have settled leave after a stage.
    """
    options, schedule = {"fit_intercept": fit_intercept, "seed": seed}, None
    if not optimizer.backtracks(models.loss):
        rates = choose_rates(models.take([0]), optimizer, Constant(1.0), initial=initial, **options)
        schedule = Constant(float(rates[0]))
    trainer = Trainer(optimizer, schedule, models, **options)
    weights = np.tile(initial, models.n_models)
    trainer.load(weights)
    numbers, objectives, falls = np.arange(models.n_models), [], np.empty(models.n_models)
    everything, models.penalty = models, strengths
    for _ in range(MOST_STAGES):
        trainer.set_penalty(models.penalty)
        falls[numbers] = fall = _stage(trainer, models, objectives)
        weights[:, everything.columns(numbers)] = trainer.weights()
        yield weights, falls > STILL_FALLING
        stay = np.flatnonzero(fall >= SETTLED)
        if not len(stay):
            return
        if len(stay) <= SHARE_GOING_ON * len(fall):
            trainer.keep(models.columns(stay))
            models, numbers, objectives = models.take(stay), numbers[stay], [o[stay] for o in objectives]


def _stage(trainer, models, objectives):
    """Make some steps, or until all models have settled; append their objectives, and return how they fall."""
    for _ in range(STEPS_OF_A_STAGE):
        columns = trainer.epoch(models) / models.total_weight + trainer.penalty()
        objectives.append(columns.reshape(models.n_models, -1).sum(axis=1))
        earlier, last = objectives[-1 - len(objectives) // 4], objectives[-1]
        fall = (earlier - last) / np.maximum(np.abs(last), np.finfo(float).tiny)
        if len(objectives) >= FEWEST_STEPS and (fall < SETTLED).all():
            break
    return fall


def _held_out(problem, out, groups, stages):
    """The losses of the rows held out in each group, part and candidate, once no part's best needs more steps.

    Also returns which candidates of each part do, and the weights.
    """
    is_out = out.any(axis=0)
    # Where some rows are held out by no part, these come first.
    problem = _rows_from(problem, np.argmax(is_out))
    groups, out = (values[:, is_out] for values in (groups, out))
    for weights, falling in stages:
        scores = score_rows(problem.rows.X, weights[:-1]) + weights[-1]
        losses = np.array([_losses(problem, scores, np.flatnonzero(group), out) for group in groups])
        falling = falling.reshape(losses.shape[1:])
        best = np.argmin(losses.sum(axis=0), axis=1)
        if not falling[np.arange(len(best)), best].any():
            break
    return losses, falling, weights


def _rows_from(problem, first):
    """The problem of the rows from one on, which are not copied."""
    rows = slice(first, problem.rows.n_rows)
    return replace(problem, rows=Rows(problem.rows.take(rows)), targets=problem.targets.take(rows), _known={})


def _losses(problem, scores, indices, shares):
    """The sum of the losses of some rows, weighted by their shares in each part; for each part and candidate."""
    scores, shares = scores[indices], shares[:, indices]
    n_parts, n_columns, n_models = len(shares), scores.shape[1], scores.shape[1] // problem.targets.n_columns
    targets = problem.targets.take(indices)
    targets = targets.with_columns(np.tile(targets.column, n_models))
    losses = problem.loss.total(scores, targets, shares.T.repeat(n_columns // n_parts, axis=1))
    return losses.reshape(n_parts, n_models // n_parts, -1).sum(axis=2)


def _nearest(sums, masses, unfinished):
    """The number of the first candidate whose mean loss is not clearly above the lowest one of those that count."""
    sums, masses = sums[masses > 0], masses[masses > 0, np.newaxis]
    means = sums.sum(axis=0) / masses.sum()
    counts = np.isfinite(means) & ~unfinished
    counts[0] = True
    best = int(np.argmin(np.where(counts, means, np.inf)))
    gains = (sums - sums[:, [best]]) / masses
    gain = means - means[best]
    errors = np.sqrt((masses**2 * (gains - gain) ** 2).sum(axis=0)) / masses.sum()
    return int(np.argmax(counts & ~(gain > STANDARD_ERRORS * errors)))
