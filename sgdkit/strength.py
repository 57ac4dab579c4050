"""`alpha="auto"`: the strength of the penalty.

It is ``c / n``, n being the sum of the rows' weights; ``c = 1`` is the default of `LogisticRegression` and `Ridge`.
Models of all candidates for c are fitted to a part of the rows, as columns of the same passes, and predict the others.
Taken is the c nearest to 1 whose loss there is within two standard errors of the smallest; a model whose training has
not come to its end is no candidate, since stopping early is a penalty too. Of many rows a sample takes part, and
because few rows favour larger and larger c in noise, and smaller ones in text of many classes, it may only choose
between 1 and 3.

Invariants:
- The choice depends on the rows, their weights and the seed; not on the optimizer or the rate.
- Of data that are one batch, rows are divided by what they hold, so that a weight is a repetition here too.
"""

from dataclasses import replace

import numpy as np

from sgdkit.optimizers import suited_to
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.rates import choose_rates, contents
from sgdkit.schedules import Constant
from sgdkit.training import Trainer

# The nearer to 1, the earlier.
CANDIDATES = np.array([1.0, 10.0, 0.1, 0.01])
CANDIDATES_OF_A_SAMPLE = np.array([1.0, 3.0])
STANDARD_ERRORS = 2.0
# So many rows take part, and fewer distinct ones say nothing.
MOST_ROWS, FEWEST_ROWS = 5000, 40
# A part of so many is held out; each part in turn where rows are few, else the first.
N_PARTS, ROWS_FOR_ALL_PARTS = 4, 1000
# Held-out rows fall into so many groups, between which losses differ by the error.
N_GROUPS = 5
# Of the objective, what it fell by in the last quarter of the epochs: less is the end of training, and where it is more
# when there are no epochs left, training has not come to its end.
SETTLED, STILL_FALLING = 0.01, 0.1
# Visits of rows, and bounds of the number of epochs.
VISITS, FEWEST_EPOCHS, MOST_EPOCHS = 15_000, 8, 60
# Where an epoch is one step, so many make a stage, and there is another stage while the best model needs it.
STEPS_OF_A_STAGE, MOST_STAGES = 20, 12


def choose_strength(problem, initial, *, penalty, l1_ratio, unit, row_weight, fit_intercept, seed):
    """Return c, one of the candidates.

    Parameters
    ----------
    problem : Problem
        Of a single model.
    initial : ndarray of shape (n_features + 1, n_columns)
        The weights to begin with.
    penalty : str
        A key of `PENALTIES`.
    l1_ratio : float
    unit : float
        That of the weights in the penalty.
    row_weight : float
        The mean of the rows' weights, which those of a problem are divided by.
    fit_intercept : bool
    seed : int
        Of the rows that take part, and of their division.
    """
    if penalty is None or problem.loss.homogeneous or problem.targets.constant:
        return 1.0
    visited = np.arange(problem.rows.n_rows) if problem.order is None else problem.order
    generator = np.random.Generator(np.random.PCG64(seed))
    candidates = CANDIDATES
    if len(visited) > MOST_ROWS:
        candidates = CANDIDATES_OF_A_SAMPLE
        visited = visited[np.sort(generator.choice(len(visited), MOST_ROWS, replace=False))]
    place = (_place_by_content if problem.one_batch else _place_at_random)(problem, visited, generator)
    if len(np.unique(place)) < FEWEST_ROWS:
        return 1.0
    options = {"fit_intercept": fit_intercept, "seed": seed}
    sums, masses, unfinished = [], [], np.zeros(len(candidates), dtype=bool)
    for part in range(N_PARTS if len(visited) <= ROWS_FOR_ALL_PARTS else 1):
        out = place % N_PARTS == part
        kept = visited[~out]
        mass = len(kept) if problem.weights is None else problem.weights[kept].sum()
        strengths = [PENALTIES[penalty](c / (mass * row_weight), l1_ratio).of_units(unit) for c in candidates]
        groups = [visited[out & (place // N_PARTS % N_GROUPS == group)] for group in range(N_GROUPS)]
        for weights, falling in _stages(problem, kept, initial, strengths, **options):
            losses = np.array([_losses(problem, rows, weights) for rows in groups])
            if not falling[np.argmin(losses.sum(axis=0))]:
                break
        unfinished |= falling
        sums.append(losses)
        masses += [len(rows) if problem.weights is None else problem.weights[rows].sum() for rows in groups]
    return float(candidates[_nearest(np.concatenate(sums), np.array(masses), unfinished)])


def _place_at_random(problem, rows, generator):
    """A place for each row, in random order; class by class."""
    order = generator.permutation(len(rows))
    if problem.targets.labels:
        order = order[np.argsort(problem.targets.values[rows[order]], kind="stable")]
    place = np.empty(len(rows), dtype=np.intp)
    place[order] = np.arange(len(rows))
    return place


def _place_by_content(problem, rows, _):
    """A place for each row, the same for equal rows, by what they hold; class by class."""
    held = list(contents(problem, rows))
    places = {key: place for place, key in enumerate(sorted(set(held)))}
    return np.array([places[key] for key in held])


def _stages(problem, rows, initial, strengths, *, fit_intercept, seed):
    """Fit models of each strength of the penalty to some rows; yield their weights, and which need more epochs."""
    weights = problem.weights
    if weights is not None:
        weights = weights * (len(rows) / weights[rows].sum())
    part = replace(problem, order=rows, weights=weights)
    together = part.repeat(len(strengths))
    columns = ([getattr(s, norm) for s in strengths] for norm in ("l1", "l2"))
    together.penalty = Penalty(*(np.repeat(values, problem.targets.n_columns) for values in columns))
    optimizer, options = suited_to(part), {"fit_intercept": fit_intercept, "seed": seed}
    schedule = None
    if not optimizer._backtracks(part.loss):
        rate = choose_rates(part, optimizer, Constant(1.0, 0.0, 0.0), initial=initial, **options)[0]
        schedule = Constant(float(rate), 0.0, 0.0)
    trainer = Trainer(optimizer, schedule, together, **options)
    trainer.load(np.tile(initial, len(strengths)))
    trainer.set_penalty(together.penalty)
    one_batch = optimizer._full_batch or len(rows) <= problem.batch_size
    n_epochs = int(np.clip(VISITS / len(rows), FEWEST_EPOCHS, MOST_EPOCHS))
    objectives = []
    for _ in range(MOST_STAGES if one_batch else 1):
        for _ in range(STEPS_OF_A_STAGE if one_batch else n_epochs):
            losses = trainer.epoch(together)
            columns = losses / together.total_weight + trainer.penalty()
            objectives.append(columns.reshape(len(strengths), -1).sum(axis=1))
            earlier, last = objectives[-1 - len(objectives) // 4], objectives[-1]
            fall = (earlier - last) / np.maximum(np.abs(last), np.finfo(float).tiny)
            if len(objectives) >= FEWEST_EPOCHS and (fall < SETTLED).all():
                break
        yield trainer.weights(), fall > STILL_FALLING


def _losses(problem, rows, weights):
    """The weighted sum of the losses of some rows, for each candidate."""
    scores = np.ascontiguousarray(problem.rows.X[rows] @ weights[:-1] + weights[-1])
    targets = problem.targets.take(rows)
    n_models = scores.shape[1] // targets.n_columns
    targets = targets.with_columns(np.tile(targets.column, n_models))
    own = None if problem.weights is None else problem.weights[rows]
    return problem.loss.total(scores, targets, own).reshape(n_models, -1).sum(axis=1)


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
