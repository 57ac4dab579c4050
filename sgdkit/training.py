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
from dataclasses import dataclass, field

import numpy as np

from sgdkit._epoch import Pass, shuffle_stretch

# Seconds of compiled work, roughly, between two looks at the keyboard; and rows, whose rates take room.
CHUNK_SECONDS = 0.2
SECONDS_A_VALUE = 1e-8
CHUNK_ROWS = 1 << 14


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
        With a mean of 1 over the rows that are visited.
    order : ndarray of intp, or None
        The rows to visit (those of weight 0 are absent); None stands for all.
    batch_size : int
    """

    rows: object
    targets: object
    loss: object
    penalty: object
    weights: np.ndarray | None
    order: np.ndarray | None
    batch_size: int

    @property
    def n_rows(self):
        return self.rows.n_rows if self.order is None else len(self.order)

    @property
    def total_weight(self):
        if self.weights is None:
            return self.n_rows
        return self.weights.sum() if self.order is None else self.weights[self.order].sum()


class Trainer:
    """Columns in training: their state, and where the schedule and the shuffling stand.

    Parameters
    ----------
    optimizer : Optimizer
    schedule : Schedule
    problem : Problem
        It gives the shapes.
    fit_intercept : bool
    average_from : int
        0 for no average.
    n_blocks : int
        How many threads share the columns.
    seed : int
        Of the shuffling.
    """

    def __init__(
        self, optimizer, schedule, problem, *, fit_intercept=True, average_from=0, n_blocks=1, seed=0
    ):
        self.schedule = schedule
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

    @property
    def rate(self):
        """The rate of the last step; of backtracking, its largest."""
        if self.schedule is None:
            return float(self.updates[0].rate.max())
        return float(self.schedule.rates(np.array([max(self.n_steps, 1)], dtype=np.float64))[0])

    @property
    def first_rate(self):
        """`eta0`; of backtracking, the rate that it has come to."""
        return self.rate if self.schedule is None else float(self.schedule.eta0)

    def set_columns(self, penalty, scale=None):
        """Set the penalty, and the factor of each column's rate."""
        for block, update in zip(self.columns, self.updates, strict=True):
            update.set_columns(penalty, np.ones(len(block)) if scale is None else scale[block])

    def weights(self):
        """The weights that the user is to get, of shape (n_features + 1, n_columns); the intercepts come last."""
        if len(self.updates) == 1:
            return self.updates[0].weights()
        return np.concatenate([update.weights() for update in self.updates], axis=1)

    def load(self, weights):
        for block, update in zip(self.columns, self.updates, strict=True):
            update.load(weights if len(self.updates) == 1 else weights[:, block])

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        if len(self.updates) == 1:
            return self.updates[0].penalty()
        return np.concatenate([update.penalty() for update in self.updates])

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
        if self._passes is None or self._passes[0] is not problem:
            self._passes = (
                problem,
                [self._pass(problem, *block) for block in zip(self.columns, self.updates, strict=True)],
            )
        order = self._order(problem, shuffle)
        chunks = self._chunks(problem, order)
        # A pool for one block would only cost time.
        with ThreadPoolExecutor(len(self.updates)) if len(self.updates) > 1 else nullcontext() as pool:
            sums = sum(self._visit(problem, chunk, pool) for chunk in chunks)
        for update in self.updates:
            update.flush()
        return sums

    def _order(self, problem, shuffle):
        """The rows to visit, as 32-bit numbers where these do; the order in a single batch does not matter."""
        short = problem.rows.n_rows < 2**31
        dtype = np.int32 if short else np.int64
        everything = problem.order is None
        order = np.arange(problem.rows.n_rows, dtype=dtype) if everything else problem.order.astype(dtype)
        if not shuffle or len(order) <= problem.batch_size:
            return order
        if not short:
            self.generator.shuffle(order)
            return order
        # Several times as fast as NumPy's; a stretch at a time, to take little room.
        for end in range(len(order), 0, -CHUNK_ROWS):
            randoms = self.generator.bit_generator.random_raw(min(end, CHUNK_ROWS))
            shuffle_stretch(order, randoms, end - 1)
        return order

    @staticmethod
    def _pass(problem, block, update):
        targets = problem.targets.with_columns(problem.targets.column[block])
        options = {"weights": problem.weights, "batch_size": problem.batch_size}
        return Pass(problem.rows, targets, problem.loss, update, **options)

    def _chunks(self, problem, order):
        """Cut the order, between mini-batches, into pieces of a fraction of a second."""
        seconds_a_row = (problem.rows.mean_nonzeros + 20) * max(map(len, self.columns)) * SECONDS_A_VALUE
        size = min(int(CHUNK_SECONDS / seconds_a_row), CHUNK_ROWS)
        size = problem.batch_size * max(1, size // problem.batch_size)
        if len(order) <= size:
            return [order]
        return (order[begin : begin + size] for begin in range(0, len(order), size))

    def _visit(self, problem, chunk, pool):
        n_steps = -(-len(chunk) // problem.batch_size)
        rates = self.schedule.rates(np.arange(self.n_steps + 1, self.n_steps + n_steps + 1, dtype=np.float64))
        self.n_steps += n_steps
        passes = self._passes[1]
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


def train(trainer, problem, history, *, max_iter, patience, score=None, shuffle=True, verbose=0):
    """Run epochs until patience runs out or `max_iter` is reached.

    Parameters
    ----------
    trainer : Trainer
    problem : Problem
    history : History
        It is filled epoch by epoch, so it is of use after an interruption too.
    max_iter : int
    patience : Patience
        Of the training objective, or of minus the score.
    score : callable, default=None
        Takes weights and returns their validation score; higher is better.
    shuffle : bool, default=True
    verbose : int, default=0
        Whether to print a line for each epoch.

    Raises
    ------
    Diverged
        If a loss or a weight is not finite.
    """
    trainer.set_columns(problem.penalty)
    # Where training has just begun, the first objective tells what a hopeless one is; at a minimum, it may be nothing.
    ceiling = None if trainer.n_steps else HOPELESS * problem.targets.size
    total_weight = problem.total_weight
    try:
        for _ in range(max_iter):
            begin = time.perf_counter()
            losses = trainer.epoch(problem, shuffle=shuffle)
            objective = float(np.add.reduce(losses / total_weight + trainer.penalty()))
            weights = trainer.weights()
            # In one order, so that products with them are the same to the last bit for any number of blocks.
            validation_score = None if score is None else score(np.ascontiguousarray(weights))
            _check_progress(trainer, history, objective, validation_score, ceiling=ceiling)
            lowest = patience.see(objective if score is None else -validation_score)
            history.add(objective, validation_score)
            if lowest or score is None:
                history.keep(weights)
            if verbose:
                _report(trainer, history, time.perf_counter() - begin)
            if patience.exhausted:
                if trainer.schedule is None or not trainer.schedule.lower():
                    history.converged = True
                    return
                patience.reset()
    finally:
        trainer.release()


def _check_progress(trainer, history, objective, validation_score, *, ceiling):
    """Raise `Diverged` if the epoch has led nowhere."""
    n_iter = history.n_iter + 1
    if not math.isfinite(objective):
        raise Diverged(f"Floating-point overflow in epoch {n_iter}, {_remedy(trainer)}")
    if validation_score is not None and not math.isfinite(validation_score):
        raise Diverged(
            f"The validation score of epoch {n_iter} is {validation_score}, {_remedy(trainer)} "
            "Or choose another scoring."
        )
    if ceiling is not None and history.n_iter and objective > max(ceiling, HOPELESS * history.loss_curve[0]):
        raise Diverged(
            f"The objective has risen from {history.loss_curve[0]:.3g} to {objective:.3g} in epoch {n_iter}, "
            f"{_remedy(trainer)}"
        )


def _remedy(trainer):
    return (
        f"at the learning rate eta0={trainer.first_rate:.3g}. Scale the features (and the targets of a regression), "
        "for instance with sklearn.preprocessing.StandardScaler or MaxAbsScaler, or lower eta0."
    )


def _report(trainer, history, seconds):
    line = f"Epoch {history.n_iter}: objective {history.loss_curve[-1]:.6g}"
    if history.validation_scores:
        line += f", validation score {history.validation_scores[-1]:.6g}"
    print(f"{line}, rate {trainer.rate:.3g}, {seconds:.2f} s", flush=True)
