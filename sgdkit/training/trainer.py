"""Columns in training: a `Trainer` holds all that changes.

Invariants:
- A `Trainer` is all that a later fit needs to go on as if there had been no break; it can be pickled.
- Columns in different blocks never meet, so their results do not depend on the number of threads.
"""

from copy import copy

import numpy as np

from sgdkit.disk.maps import check_unchanged
from sgdkit.training.passes import Passes
from sgdkit.training.room import Room
from sgdkit.training.stop import check_stop
from sgdkit.training.waiting import LARGEST_GROWTH, Waiting


class Trainer:
    """Columns in training: their state, and where the schedule and the shuffling stand.

    Parameters
    ----------
    optimizer : Optimizer
    schedule : Schedule
    problem : Problem
        It gives the shapes.
    rate_factors : ndarray of shape (n_columns,), default=None
        By which each column multiplies the schedule's rates; None stands for 1.
    fit_intercept : bool
    average_from : int
        0 for no average.
    n_blocks : int
        How many threads share the columns.
    seed : int
        Of the shuffling.
    """

    # What features that no row touches wait for; None where none does.
    waiting = None
    # Of a part: the penalty of all other features before, and how many times as strong it has become.
    elsewhere, pace = None, 1.0
    # The penalty after the latest epoch, as long as nobody has changed the weights.
    value = None
    # The sum of the rates of the steps, and memory for parts.
    travelled, _room = 0.0, None
    # What the first rate was in proportion to when it was chosen; None where nobody knows.
    rate_unit = None

    def __init__(
        self,
        optimizer,
        schedule,
        problem,
        *,
        rate_factors=None,
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
        n_blocks = 1 if problem.loss.coupled or optimizer.full_batch else min(n_blocks, len(column))
        self.columns = np.array_split(np.arange(len(column)), n_blocks)
        self.follow(schedule, rate_factors)
        self.states = [
            optimizer.make_state(
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
            and (len(self.states) == 1 or not loss.coupled)
            and (not backtracks or self.optimizer.backtracks(loss))
        )

    def __getstate__(self):
        return {**self.__dict__, "_passes": None, "_room": None}

    def release(self):
        """Let go of the data of a fit, and of what belongs to its end."""
        self._passes = None
        for state in self.states:
            state.release()
        if self.schedule is not None and not self.schedule.lowers:
            # For the end of a fit; a later one begins at the rate that the schedule has come to.
            self.lowered = np.ones_like(self.lowered)

    def follow(self, schedule, rate_factors=None):
        """Take the rates of a schedule from now on, and forget how they have been lowered."""
        self.schedule = schedule
        self.rate_factors = np.ones(self.n_columns) if rate_factors is None else rate_factors
        self.lowered = np.ones(self.n_columns)

    def rates(self, n_steps):
        """The rate of each column in a step; of backtracking, what it has come to."""
        if self.schedule is None:
            return np.asarray(self.states[0].rate, dtype=np.float64)
        step = max(n_steps, self.schedule.first_step)
        rates = self.schedule.rates(np.array([step], dtype=np.float64))[0]
        return rates * self.rate_factors * (self.lowered if n_steps > 1 else 1.0)

    @property
    def first_rate(self):
        """`eta0`; of backtracking, the rate that it has come to."""
        return float(self.rates(1).max())

    def expected_fall(self, columns):
        """By how much the objective of a model is expected to fall in the next epoch; infinite where nobody knows."""
        falls = self.states[0].expected_falls if self.optimizer.full_batch else None
        if falls is None:
            return np.inf
        n_outputs = self.n_columns // len(falls)
        return float(falls[columns[::n_outputs] // n_outputs].sum())

    def set_penalty(self, penalty):
        self._penalty = penalty
        for block, state in zip(self.columns, self.states, strict=True):
            state.set_columns(penalty.take(block), self.factors[block])

    def lower(self, columns):
        """Lower the rate of some columns, if the schedule does so, and return whether training is to go on."""
        if self.schedule is None or not self.schedule.lowers:
            return False
        self.lower_to(columns, self.lowered[columns] / 5)
        return self.lowered[columns[0]] > 1e-6

    def lower_to(self, columns, share):
        """Take a share of the schedule's rates for some columns from now on."""
        self.lowered[columns] = share
        self.set_penalty(self._penalty)

    def keep(self, columns):
        """Go on with some of the columns alone, in a single block."""
        self.states = [state.take(columns) for state in self.states]
        self.columns = [np.arange(len(columns))]
        self.schedule = None if self.schedule is None else self.schedule.take(columns)
        self.rate_factors, self.lowered = self.rate_factors[columns], self.lowered[columns]
        self._passes = None

    def weights(self):
        """The weights that the user is to get, of shape (n_features + 1, n_columns); the intercepts come last."""
        if len(self.states) == 1:
            return self.states[0].weights()
        return np.concatenate([state.weights() for state in self.states], axis=1)

    def load(self, weights):
        self.value = None
        for block, state in zip(self.columns, self.states, strict=True):
            state.load(weights if len(self.states) == 1 else weights[:, block])

    def recall(self, squares):
        """Begin as if squared gradients had been met: AdaGrad's sums, of the shape of the weights."""
        for block, state in zip(self.columns, self.states, strict=True):
            state.slot(1)[...] = np.sqrt(squares[:, block])

    def rescale(self, ratio, drift):
        """Go on with features whose gradients are `ratio` times what they were; see `Scaling.since`."""
        for state in self.states:
            state.rescale(ratio, drift)

    def inverse_metric(self):
        """The inverse of the metric, of shape (n_features + 1, n_columns); 0 where there is none yet."""
        return np.concatenate([state.inverse_metric() for state in self.states], axis=1)

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        if len(self.states) == 1:
            penalty = self.states[0].penalty()
        else:
            penalty = np.concatenate([state.penalty() for state in self.states])
        if self.elsewhere is None:
            return penalty
        return penalty + self.pace * self.elsewhere * np.exp(-2 * self.log_growth)

    @property
    def log_growth(self):
        """The logarithm of what weights have shrunk by since the penalty was set, where all do alike; else 0."""
        return np.concatenate([state.log_growth for state in self.states])

    @property
    def n_columns(self):
        return sum(map(len, self.columns))

    @property
    def factors(self):
        """By what each column multiplies the schedule's rates by now."""
        return self.rate_factors * self.lowered

    @property
    def room(self):
        """Memory for parts, one at a time."""
        if self._room is None:
            self._room = Room()
        return self._room

    def of_features(self, features, room=None):
        """A trainer of some features and the intercepts, brought up to date; until `take_in`, nothing here changes.

        It shares the generator. If there is a `room`, its state is there.
        """
        room = Room() if room is None else room
        if self.waiting is None:
            self.set_penalty(self._penalty)
            self.waiting = Waiting(self._penalty, self.factors, self.penalty())
        part = copy(self)
        part.waiting, part.pace, part.travelled, part.value = None, 1.0, 0.0, None
        part.lowered = self.lowered.copy()
        part.states = [state.of_features(features, room.array) for state in self.states]
        part._catch_up(self.waiting)
        return part

    def spread(self, subset):
        """A trainer of all features that goes on from where this one of a `Subset` is."""
        whole = copy(self)
        whole._passes = whole._room = None
        whole.states = [state.spread(subset) for state in self.states]
        whole.set_penalty(self._penalty.spread(subset))
        return whole

    def take_in(self, part, features):
        """Take over what a trainer of some features has come to; its `pace` is to be that of its penalty."""
        for name in "schedule", "rate_factors", "rate_unit", "lowered", "n_steps":
            setattr(self, name, getattr(part, name))
        waiting = self.waiting
        waiting.penalty, waiting.factors = part._penalty, part.factors
        waiting.value = part.penalty() if part.value is None else part.value
        waiting.go_on(part.pace, part.travelled, part.log_growth)
        too_large = (waiting.growth > LARGEST_GROWTH).any()
        for block, mine, its in zip(self.columns, self.states, part.states, strict=True):
            if too_large:
                mine.shrink(waiting.growth[block])
            else:
                its.shrink(1 / waiting.growth[block])
            its.wait(waiting.time)
            mine.take_in(its, features)
        if too_large:
            waiting.growth = np.ones_like(waiting.growth)

    def settle(self):
        """Have all features take the penalty that they wait for."""
        if self.waiting is not None:
            self._catch_up(self.waiting)
            for state in self.states:
                state.wait(0.0)
            self.waiting = self.elsewhere = None

    def _catch_up(self, waiting):
        """Take the penalty that has been missed, and note what is left of it for others."""
        blocks = [*zip(self.columns, self.states, strict=True)]
        for block, state in blocks:
            state.set_columns(waiting.penalty.take(block), waiting.factors[block])
            state.shrink(waiting.growth[block])
        self.elsewhere = None
        self.elsewhere = waiting.value - self.penalty()
        for _, state in blocks:
            state.take_missed(waiting.time, waiting.speed)

    def epochs(self, problem, n_most, *, shuffle=True):
        """Pass over the rows up to `n_most` times, as often as is worth one call.

        Returns
        -------
        losses, penalties : ndarray of float64 of shape (n_epochs, n_columns)
            Each column's weighted sum of losses in each epoch, see `epoch`, and its penalty after it; of a single
            batch, the penalty of the weights that met the losses.
        """
        if self.optimizer.full_batch or not problem.single_batch:
            return self._epochs(problem, n_most, shuffle)
        before = self.penalty()
        losses, penalties = self._epochs(problem, n_most, shuffle)
        met = np.concatenate([before[np.newaxis], penalties[:-1]])
        # What is not finite tells of weights that have overflowed in the last step.
        return losses, np.where(np.isfinite(penalties), met, penalties)

    def _epochs(self, problem, n_most, shuffle):
        n_epochs = 1
        if not self.optimizer.full_batch:
            n_epochs = min(n_most, self._passes_over(problem).n_together(self.schedule))
        if n_epochs < 2:
            losses = self.epoch(problem, shuffle=shuffle)
            self.value = self.penalty()
            return losses[np.newaxis], self.value[np.newaxis]
        passes = self._passes_over(problem)
        orders = passes.orders(n_epochs, self.generator if shuffle else None)
        rates = self._rates(n_epochs * problem.steps_an_epoch)
        problem.rows.check()
        check_stop()
        results = passes.visit_epochs(orders, rates)
        check_unchanged(problem.rows.stored)
        return results

    def epoch(self, problem, *, shuffle=True):
        """Pass once over the rows, and return each column's weighted sum of losses.

        It is the sum of the losses as they were met, each before the step that its row was part of; of a full-gradient
        epoch, the sum after its one step.
        """
        if self.optimizer.full_batch:
            check_stop()
            self.n_steps += 1
            steps = np.array([self.n_steps], dtype=np.float64)
            rate = None if self.schedule is None else self.schedule.rates(steps)[0]
            sums = self.states[0].epoch(problem, rate)
            check_unchanged(problem.rows.stored)
            return sums
        if problem.row_indices is not None or problem.batch_size > 1 or len(self.states) > 1:
            # Before threads share them. Otherwise this pass looks at the rows on its way.
            problem.rows.check()
        passes = self._passes_over(problem)
        pieces = passes.pieces(self.generator if shuffle else None, self.schedule)
        with passes.threads() as pool:
            sums = sum(self._visit(passes, piece, pool) for piece in pieces)
        check_unchanged(problem.rows.stored)
        problem.rows.checked = True
        for state in self.states:
            state.flush()
        return sums

    def _passes_over(self, problem):
        """The `Passes` over the rows of a problem, kept from epoch to epoch."""
        if self._passes is None or self._passes.problem is not problem:
            self._passes = Passes(problem, self.columns, self.states)
        return self._passes

    def _visit(self, passes, piece, pool):
        check_stop()
        return passes.visit(piece, self._rates(-(-len(piece) // passes.problem.batch_size)), pool)

    def _rates(self, n_steps):
        """The rates of the steps to come, which are counted as taken."""
        first = self.n_steps + 1
        self.n_steps += n_steps
        rates = self.schedule.rates(np.arange(first, first + n_steps, dtype=np.float64))
        self.travelled += float(rates.sum())
        return rates
