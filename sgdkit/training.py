"""Training: the epoch loop. Read this first.

Minimise ``mean loss(y, XW + b) + alpha * penalty(W)``. A *column* is one linear model; one pass over the rows trains
all columns. A `Problem` says what is minimised, a `Trainer` holds what changes, and `train` runs the epochs.

Invariants:
- A `Trainer` is all that a later fit needs to go on as if there had been no break; it can be pickled.
- Columns in different blocks never meet, so their results do not depend on the number of threads.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sgdkit._epoch import Pass
from sgdkit.order import run_length, shuffled
from sgdkit.rows import Rows

# Seconds of compiled work, roughly, between two looks at the keyboard; and rows, whose rates take room.
CHUNK_SECONDS = 0.2
SECONDS_A_VALUE = 1e-8
CHUNK_ROWS = 1 << 14


# Models that are done leave the pass when no more than this share of its models goes on.
FEWER = 0.75

# A rise of the objective by this factor since the first epoch is no noise.
HOPELESS = 1e3


class Diverged(ValueError):
    """The weights overflowed, or the objective is on its way there."""


@dataclass
class Problem:
    """What is minimised.

    Attributes
    ----------
    rows : Rows
    targets : Targets
    loss : Loss
    penalty : Penalty
    weights : ndarray of float64 of shape (n_rows,), or None
        With a mean of 1 over the rows that are visited. Full gradients also take weights of the rows for each column,
        of shape (n_rows, n_columns).
    order : ndarray of intp, or None
        The rows to visit (those of weight 0 are absent); None stands for all.
    batch_size : int
    n_models : int
        The columns of a model stand together, those of one model after those of another.
    class_weights : ndarray of float64 of shape (n_classes, n_columns), or None
        By which the weights of rows are multiplied in each column, where the targets are classes.
    column_weights : ndarray of float64 of shape (n_columns,), or None
        By which they are multiplied then, to have a mean of 1. Full gradients take neither.
    """

    rows: object
    targets: object
    loss: object
    penalty: object
    weights: np.ndarray | None
    order: np.ndarray | None
    batch_size: int
    n_models: int = 1
    class_weights: np.ndarray | None = None
    column_weights: np.ndarray | None = None

    @property
    def n_rows(self):
        return self.rows.n_rows if self.order is None else len(self.order)

    @property
    def one_batch(self):
        """Whether an epoch is one step."""
        return self.n_rows <= self.batch_size

    @property
    def total_weight(self):
        """The sum of the weights of rows, or of those in each column."""
        visited = slice(None) if self.order is None else self.order
        weights = None if self.weights is None else self.weights[visited]
        if self.class_weights is not None:
            totals = np.bincount(self.targets.values[visited], weights, len(self.class_weights))
            return (totals @ self.class_weights) * self.column_weights
        return self.n_rows if weights is None else weights.sum(axis=0)

    @cached_property
    def run_length(self):
        """How many neighbours are visited in a run."""
        values = self.targets.values
        return run_length(values if self.order is None else values[self.order])

    def on(self, rows):
        """The problem of some rows alone, copied."""
        weights = None if self.weights is None else self.weights[rows]
        copied = Rows(self.rows.X[rows])
        return replace(self, rows=copied, targets=self.targets.take(rows), weights=weights, order=None)

    def columns(self, models):
        """The numbers of the columns of some models."""
        n = self.targets.n_columns // self.n_models
        return (np.asarray(models)[:, np.newaxis] * n + np.arange(n)).ravel()

    def repeat(self, n_times):
        """The problem with all its models, which share their weights of rows, several times over."""
        column = np.tile(self.targets.column, n_times)
        parts = {"targets": self.targets.with_columns(column), "penalty": self.penalty.repeat(n_times)}
        return replace(self, n_models=self.n_models * n_times, **parts)

    def take(self, models):
        """The problem of some models."""
        columns = self.columns(models)
        parts = {
            "targets": self.targets.with_columns(self.targets.column[columns]),
            "loss": self.loss.take(columns),
            "penalty": self.penalty.take(columns),
            "weights": self.weights if np.ndim(self.weights) < 2 else _of_columns(self.weights, columns),
            "class_weights": _of_columns(self.class_weights, columns),
            "column_weights": _of_columns(self.column_weights, columns),
        }
        return replace(self, n_models=len(models), **parts)


def _of_columns(table, columns):
    """Some columns of an array that may be None."""
    return None if table is None else np.ascontiguousarray(table[..., columns])


class Trainer:
    """Columns in training: their state, and where the schedule and the shuffling stand.

    Parameters
    ----------
    optimizer : Optimizer
    schedule : Schedule
    problem : Problem
        It gives the shapes.
    scale : ndarray of shape (n_columns,), default=None
        By which each column multiplies the schedule's rates; None stands for 1.
    fit_intercept : bool
    average_from : int
        0 for no average.
    n_blocks : int
        How many threads share the columns.
    seed : int
        Of the shuffling.
    """

    def __init__(
        self,
        optimizer,
        schedule,
        problem,
        *,
        scale=None,
        fit_intercept=True,
        average_from=0,
        n_blocks=1,
        seed=0,
    ):
        self.optimizer = optimizer
        self.dtype = problem.rows.dtype
        self.fit_intercept = bool(fit_intercept)
        self.average_from = average_from
        self.generator = np.random.Generator(np.random.PCG64(seed))
        self.n_steps = 0
        self._passes = None
        column = problem.targets.column
        n_blocks = 1 if problem.loss.coupled or optimizer._full_batch else min(n_blocks, len(column))
        self.columns = np.array_split(np.arange(len(column)), n_blocks)
        self.follow(schedule, scale)
        self.updates = [
            optimizer._update(
                optimizer,
                None,
                (problem.rows.n_features, len(block)),
                problem.rows.dtype,
                fit_intercept=fit_intercept,
                average_from=average_from,
            )
            for block in self.columns
        ]

    def matches(self, settings, loss):
        """Whether the state is of use with (optimizer, dtype, fit_intercept, average_from), and with a loss."""
        mine = self.optimizer, self.dtype, self.fit_intercept, self.average_from
        backtracks = self.schedule is None
        return (
            mine == settings
            and (len(self.updates) == 1 or not loss.coupled)
            and (not backtracks or self.optimizer._backtracks(loss))
        )

    def __getstate__(self):
        return {**self.__dict__, "_passes": None}

    def release(self):
        """Let go of the data of a fit."""
        self._passes = None
        for update in self.updates:
            update.release()

    def follow(self, schedule, scale=None):
        """Take the rates of a schedule from now on, and forget how they have been lowered."""
        n_columns = sum(map(len, self.columns))
        self.schedule = schedule
        self.scale = np.ones(n_columns) if scale is None else scale
        self.lowered = np.ones(n_columns)

    def rates(self, n_steps):
        """The rate of each column in a step; of backtracking, what it has come to."""
        if self.schedule is None:
            return np.asarray(self.updates[0].rate, dtype=np.float64)
        rates = self.schedule.rates(np.array([max(n_steps, 1)], dtype=np.float64))[0]
        return rates * self.scale * (self.lowered if n_steps > 1 else 1.0)

    @property
    def first_rate(self):
        """`eta0`; of backtracking, the rate that it has come to."""
        return float(self.rates(1).max())

    def set_penalty(self, penalty):
        self._penalty = penalty
        for block, update in zip(self.columns, self.updates, strict=True):
            update.set_columns(penalty.take(block), (self.scale * self.lowered)[block])

    def lower(self, columns):
        """Lower the rate of some columns, if the schedule does so, and return whether training is to go on."""
        if self.schedule is None or not self.schedule.lowers:
            return False
        self.lowered[columns] /= 5
        self.set_penalty(self._penalty)
        return self.lowered[columns[0]] > 1e-6

    def keep(self, columns):
        """Go on with some of the columns alone, in a single block."""
        self.updates = [update.take(columns) for update in self.updates]
        self.columns = [np.arange(len(columns))]
        self.schedule = None if self.schedule is None else self.schedule.take(columns)
        self.scale, self.lowered = self.scale[columns], self.lowered[columns]
        self._passes = None

    def weights(self):
        """The weights that the user is to get, of shape (n_features + 1, n_columns); the intercepts come last."""
        if len(self.updates) == 1:
            return self.updates[0].weights()
        return np.concatenate([update.weights() for update in self.updates], axis=1)

    def load(self, weights):
        for block, update in zip(self.columns, self.updates, strict=True):
            update.load(weights if len(self.updates) == 1 else weights[:, block])

    def recall(self, squares):
        """Begin as if squared gradients had been met: AdaGrad's sums, of the shape of the weights."""
        for block, update in zip(self.columns, self.updates, strict=True):
            update.slot(1)[...] = np.sqrt(squares[:, block])

    def rescale(self, ratio, drift):
        """Go on with features whose gradients are `ratio` times what they were; see `Scaling.since`."""
        for update in self.updates:
            update.rescale(ratio, drift)

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        if len(self.updates) == 1:
            return self.updates[0].penalty()
        return np.concatenate([update.penalty() for update in self.updates])

    def epochs(self, problem, n_most, *, shuffle=True):
        """Pass over the rows up to `n_most` times, as often as is worth one call.

        Returns
        -------
        losses, penalties : ndarray of float64 of shape (n_epochs, n_columns)
            Each column's weighted sum of losses in each epoch, see `epoch`, and its penalty after it.
        """
        n_epochs = 1
        if not self.optimizer._full_batch:
            n_epochs = min(n_most, min(self._chunk_rows(problem), CHUNK_ROWS) // max(problem.n_rows, 1))
        if n_epochs < 2 or len(self.updates) > 1:
            return self.epoch(problem, shuffle=shuffle)[np.newaxis], self.penalty()[np.newaxis]
        orders = self._orders(problem, n_epochs, shuffle)
        rates = self._rates(n_epochs * -(-problem.n_rows // problem.batch_size))
        (one,) = self._passes_of(problem)
        problem.rows.check()
        return one.visit_epochs(orders, rates)

    def epoch(self, problem, *, shuffle=True):
        """Pass once over the rows, and return each column's weighted sum of losses.

        It is the sum of the losses as they were met, each before the step that its row was part of; of a full-gradient
        epoch, the sum after its one step.
        """
        if self.optimizer._full_batch:
            self.n_steps += 1
            steps = np.array([self.n_steps], dtype=np.float64)
            return self.updates[0].epoch(
                problem, None if self.schedule is None else self.schedule.rates(steps)[0]
            )
        if problem.order is not None or problem.batch_size > 1:
            # Before threads share them. Otherwise this pass looks at the rows on its way.
            problem.rows.check()
        passes = self._passes_of(problem)
        chunks = self._chunks(problem, self._orders(problem, 1, shuffle)[0])
        # A pool for one block would only cost time.
        with ThreadPoolExecutor(len(self.updates)) if len(self.updates) > 1 else nullcontext() as pool:
            sums = sum(self._visit(problem, chunk, passes, pool) for chunk in chunks)
        problem.rows.checked = True
        for update in self.updates:
            update.flush()
        return sums

    def _orders(self, problem, n_epochs, shuffle):
        """The rows to visit in each epoch, as 32-bit numbers where these do; in a single batch the order is no matter.

        They have the shape (n_epochs, n_rows).
        """
        dtype = np.int32 if problem.rows.n_rows < 2**31 else np.int64
        if shuffle and problem.n_rows > problem.batch_size:
            orders = shuffled(problem.n_rows, n_epochs, problem.run_length, self.generator, dtype)
        else:
            orders = np.tile(np.arange(problem.n_rows, dtype=dtype), (n_epochs, 1))
        return orders if problem.order is None else problem.order.astype(dtype, copy=False)[orders]

    def _passes_of(self, problem):
        """A `Pass` for each block of columns, kept from epoch to epoch."""
        if self._passes is None or self._passes[0] is not problem:
            blocks = zip(self.columns, self.updates, strict=True)
            self._passes = problem, [self._pass(problem, *block) for block in blocks]
        return self._passes[1]

    @staticmethod
    def _pass(problem, block, update):
        targets = problem.targets.with_columns(problem.targets.column[block])
        weights = {
            "weights": problem.weights,
            "class_weights": _of_columns(problem.class_weights, block),
            "column_weights": _of_columns(problem.column_weights, block),
        }
        loss, batch_size = problem.loss.take(block), problem.batch_size
        return Pass(problem.rows, targets, loss, update, batch_size=batch_size, **weights)

    def _chunk_rows(self, problem):
        """How many rows take a fraction of a second, and rates that take little room."""
        seconds_a_row = (problem.rows.mean_nonzeros + 20) * max(map(len, self.columns)) * SECONDS_A_VALUE
        return min(int(CHUNK_SECONDS / seconds_a_row), CHUNK_ROWS // np.size(self.schedule.eta0))

    def _chunks(self, problem, order):
        """Cut the order, between mini-batches, into pieces of a fraction of a second."""
        size = problem.batch_size * max(1, self._chunk_rows(problem) // problem.batch_size)
        if len(order) <= size:
            return [order]
        return (order[begin : begin + size] for begin in range(0, len(order), size))

    def _rates(self, n_steps):
        """The rates of the steps to come, which are counted as taken."""
        first = self.n_steps + 1
        self.n_steps += n_steps
        return self.schedule.rates(np.arange(first, first + n_steps, dtype=np.float64))

    def _visit(self, problem, chunk, passes, pool):
        rates = self._rates(-(-len(chunk) // problem.batch_size))
        if len(passes) == 1:
            return passes[0].visit(chunk, rates)
        return np.concatenate(list(pool.map(lambda one: one.visit(chunk, rates), passes)))


@dataclass
class History:
    """What happened epoch by epoch, and the weights to return: of the best epoch if there is a score, else the last."""

    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    best_iter: int = 0
    weights: np.ndarray | None = None
    converged: bool = False

    @property
    def n_iter(self):
        return len(self.loss_curve)

    def add(self, objective, validation_score):
        self.loss_curve.append(float(objective))
        if validation_score is not None:
            self.validation_scores.append(float(validation_score))

    def keep(self, weights):
        self.best_iter = self.n_iter
        if self.weights is None:
            self.weights = np.array(weights, order="C")
        else:
            np.copyto(self.weights, weights)


class Course:
    """The training of one model: what happened, and whether it is over.

    Parameters
    ----------
    patience : Patience
        With the training objective, or with minus the score.
    max_iter : int
    score : callable, default=None
        Takes the weights of some models, and returns an array of their validation scores; higher is better.
    history : History, default=None
        To be continued.
    keeps_last : bool, default=True
        Whether the weights of every epoch are kept in case it should be the last, or only those of the last itself.

    Attributes
    ----------
    error : Diverged or None
    over : bool
    first_rate : float
        `eta0`, or what backtracking has come to; of a course that is over.
    """

    def __init__(self, patience, max_iter, *, score=None, history=None, keeps_last=True):
        self.patience = patience
        self.max_iter = max_iter
        self.score = score
        self.history = History() if history is None else history
        self.keeps_last = keeps_last
        self.n_epochs = 0
        self.error = None
        self.over = False

    def check(self, objective, trainer, columns, ceiling):
        """Fail if an epoch has led nowhere; `ceiling`, if any, is what no sensible objective is above."""
        n_iter = self.history.n_iter + 1
        first = self.history.loss_curve[0] if self.history.n_iter else math.inf
        if not math.isfinite(objective):
            self.fail(Diverged(f"Floating-point overflow in epoch {n_iter}, {_remedy(trainer, columns)}"))
        elif ceiling is not None and objective > max(ceiling, HOPELESS * first):
            self.fail(
                Diverged(
                    f"The objective has risen from {first:.3g} to {objective:.3g} in epoch {n_iter}, "
                    f"{_remedy(trainer, columns)}"
                )
            )

    @property
    def n_sure(self):
        """So many epochs are sure to come, unless one fails."""
        return min(self.max_iter - self.n_epochs, self.patience.left)

    def see(self, objective, score, *, weights, columns, trainer):
        """Take in an epoch; `score` is a number, None, or why there is none.

        The weights are None in an epoch that cannot be the last.
        """
        if isinstance(score, Exception):
            self.fail(score)
            return
        if score is not None and not math.isfinite(score):
            self.fail(
                Diverged(
                    f"The validation score of epoch {self.history.n_iter + 1} is {score}, "
                    f"{_remedy(trainer, columns)} Or choose another scoring."
                )
            )
            return
        self.n_epochs += 1
        lowest = self.patience.see(objective if score is None else -score)
        self.history.add(objective, score)
        if self.patience.exhausted:
            if trainer.lower(columns):
                self.patience.reset()
            else:
                self.history.converged = self.over = True
        self.over = self.over or self.n_epochs == self.max_iter
        if self.over:
            self.first_rate = float(trainer.rates(1)[columns].max())
        if weights is not None and (lowest if score is not None else self.keeps_last or self.over):
            self.history.keep(weights if weights.shape[1] == len(columns) else weights[:, columns])

    def fail(self, error):
        self.error, self.over = error, True


def train(trainer, problem, courses, *, shuffle=True, report=None, pause=None):
    """Run epochs until the course of every model is over; models that are done leave the pass.

    Parameters
    ----------
    trainer : Trainer
    problem : Problem
    courses : list of Course
        One for each model. They are filled epoch by epoch, so they are of use after an interruption too. Where the
        weights overflow, or the objective rises beyond hope, the course has an error.
    shuffle : bool, default=True
    report : callable, default=None
        Called after each epoch with the courses of the pass, the trainer and the seconds that it took.
    pause : callable, default=None
        Called between epochs.
    """
    trainer.set_penalty(problem.penalty)
    # Where training has just begun, the first objective tells what a hopeless one is; at a minimum, it may be nothing.
    ceiling = None if trainer.n_steps else HOPELESS * problem.targets.size
    total_weight = problem.total_weight
    active = list(courses)
    watched = report is not None or any(course.score is not None for course in courses)
    columns = [problem.columns([model]) for model in range(len(active))]
    try:
        while True:
            begin = time.perf_counter()
            n_most = 1 if watched else min(course.n_sure for course in active if not course.over)
            losses, penalties = trainer.epochs(problem, n_most, shuffle=shuffle)
            objectives = (losses / total_weight + penalties).reshape(len(losses), len(active), -1)
            objectives, weights = np.add.reduce(objectives, axis=2).tolist(), trainer.weights()
            options = {"columns": columns, "trainer": trainer, "ceiling": ceiling}
            for epoch in objectives[:-1]:
                _take_in(active, epoch, None, **options)
            _take_in(active, objectives[-1], weights, **options)
            if report is not None:
                report(active, trainer, time.perf_counter() - begin)
            going_on = [model for model, course in enumerate(active) if not course.over]
            if not going_on:
                return
            if len(going_on) <= FEWER * len(active):
                trainer.keep(problem.columns(going_on))
                problem, active = problem.take(going_on), [active[model] for model in going_on]
                columns, total_weight = columns[: len(active)], problem.total_weight
                trainer.set_penalty(problem.penalty)
            if pause is not None:
                pause()
    finally:
        trainer.release()


def _take_in(courses, objectives, weights, *, columns, trainer, ceiling):
    """Tell the courses that go on of an epoch."""
    for course, objective, own in zip(courses, objectives, columns, strict=True):
        if not course.over:
            course.check(objective, trainer, own, ceiling)
    live = [model for model, course in enumerate(courses) if not course.over]
    scores = _scores([courses[model].score for model in live], weights, [columns[model] for model in live])
    for model, validation_score in zip(live, scores, strict=True):
        progress = objectives[model], validation_score
        courses[model].see(*progress, weights=weights, columns=columns[model], trainer=trainer)


def _scores(functions, weights, columns):
    """The validation score of each model, None if there is no such thing, or the error that its scorer raised."""
    scores = [None] * len(columns)
    for function in {*functions} - {None}:
        models = [model for model, own in enumerate(functions) if own is function]
        own = _scores_together(function, weights, [columns[model] for model in models])
        for model, score in zip(models, own, strict=True):
            scores[model] = score
    return scores


def _scores_together(function, weights, columns):
    """The scores of models that one function scores together."""
    # In one order, so that products with them are the same to the last bit for any number of blocks.
    together = np.concatenate(columns)
    some = weights if len(together) == weights.shape[1] else weights[:, together]
    try:
        return function(np.ascontiguousarray(some)).tolist()
    except Exception as error:
        if len(columns) == 1:
            return [error]
    return [_scores_together(function, weights, [own])[0] for own in columns]


def _remedy(trainer, columns):
    return (
        f"at the learning rate eta0={trainer.rates(1)[columns].max():.3g}. Scale the features (and the targets of a "
        "regression), for instance with sklearn.preprocessing.StandardScaler or MaxAbsScaler, or lower eta0."
    )


def report_epoch(courses, trainer, seconds):
    """Print a line for an epoch of a single model."""
    history = courses[0].history
    if not history.n_iter:
        return
    line = f"Epoch {history.n_iter}: objective {history.loss_curve[-1]:.6g}"
    if history.validation_scores:
        line += f", validation score {history.validation_scores[-1]:.6g}"
    print(f"{line}, rate {trainer.rates(trainer.n_steps).max():.3g}, {seconds:.2f} s", flush=True)
