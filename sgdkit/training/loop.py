"""Training: the loop over epochs. Read this first.

Minimise ``mean loss(y, XW + b) + alpha * penalty(W)``. A *column* is one linear model; one pass over the rows trains
all columns. A `Problem` says what is minimised, a `Trainer` holds what changes, a `Course` says how far the training of
a model has come, and `train` runs the epochs.

After each epoch there is one event, an `Epoch`. The courses see it first, and with them early stopping; then everybody
else who listens: reports, searches whose folds take turns, callbacks.

Training may pause at a `Rung`, for a search to compare models there, and to go on with some of them.
"""

import math
import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sgdkit.training.course import HOPELESS

# Models that are done leave the pass when no more than this share of its models goes on.
SHARE_GOING_ON = 0.75


@dataclass
class Epoch:
    """Training at the end of an epoch.

    Attributes
    ----------
    trainer : Trainer
    courses : list of Course
        Those of the models in the pass.
    columns : list of ndarray of int
        The columns of each model.
    objectives : list of float
        The objective of each model.
    ceiling : float or None
        What no sensible objective is above.
    ends : bool
        Whether it may be the last; else nobody needs its weights.
    seconds : float
        How long it took.
    pauses : bool
        Whether training pauses now.
    """

    trainer: object
    courses: list
    columns: list
    objectives: list
    ceiling: float | None
    ends: bool = False
    seconds: float = 0.0
    pauses: bool = False

    @cached_property
    def coef(self):
        """The weights, of shape (n_features + 1, n_columns); the intercepts come last."""
        return self.trainer.weights()


@dataclass
class Rung:
    """Where training pauses: after so many epochs. It is moved on while training pauses.

    Attributes
    ----------
    n_epochs : float
    """

    n_epochs: float = math.inf


class Listener:
    """Who is told that training begins, and then of each epoch: ``listener(epoch)``.

    Attributes
    ----------
    every_epoch : bool
        Whether each epoch is to be an event. Otherwise several short ones may be a single one.
    """

    every_epoch = True

    def begin(self, trainer, courses, columns):
        """Be told that training begins; the arguments are attributes of `Epoch`."""

    def go_on(self, trainer, courses, columns):
        """Be told that training goes on after a pause."""

    def __call__(self, epoch):
        raise NotImplementedError(f"{type(self).__name__} must define __call__(epoch)")


def train(trainer, problem, courses, *, shuffle=True, listeners=()):
    """Run epochs until the course of every model is over; models that are done leave the pass.

    Parameters
    ----------
    trainer : Trainer
    problem : Problem
    courses : list of Course
        One for each model. They are filled epoch by epoch, so they are of use after an interruption too. Where the
        weights overflow, or the objective rises beyond hope, the course has an error.
    shuffle : bool, default=True
    listeners : iterable of Listener, default=()
        They are called after each epoch, in this order.
    """
    # Without a rung there is no pause.
    next(training(trainer, problem, courses, Rung(), shuffle=shuffle, listeners=listeners), None)


def training(trainer, problem, courses, rung, *, shuffle=True, listeners=()):
    """What `train` does, as a generator that yields the latest `Epoch` at each `Rung`.

    Courses that are over when it is resumed leave the pass.
    """
    trainer.set_penalty(problem.penalty)
    # Where training has just begun, the first objective tells what a hopeless one is; at a minimum, it may be nothing.
    ceiling = None if trainer.n_steps else HOPELESS * problem.targets.size
    total_weight = problem.total_weight
    active = list(courses)
    columns = [problem.columns([model]) for model in range(len(active))]
    for listener in listeners:
        listener.begin(trainer, active, columns)
    watched = any(listener.every_epoch for listener in listeners) or any(course.score for course in courses)
    n_epochs = 0
    try:
        while True:
            begin = time.perf_counter()
            n_most = 1 if watched else min(course.n_sure for course in active if not course.over)
            n_most = min(n_most, rung.n_epochs - n_epochs)
            losses, penalties = trainer.epochs(problem, n_most, shuffle=shuffle)
            objectives = (losses / total_weight + penalties).reshape(len(losses), len(active), -1)
            *earlier, last = np.add.reduce(objectives, axis=2).tolist()
            for objective in earlier:
                follow(Epoch(trainer, active, columns, objective, ceiling))
            n_epochs += len(losses)
            seconds, pauses = time.perf_counter() - begin, n_epochs >= rung.n_epochs
            epoch = Epoch(trainer, active, columns, last, ceiling, True, seconds, pauses)
            for listener in (follow, *listeners):
                listener(epoch)
            going_on = _going_on(active)
            while going_on and n_epochs >= rung.n_epochs:
                yield epoch
                going_on = _going_on(active)
            if not going_on:
                return
            for listener in listeners if pauses else ():
                listener.go_on(trainer, active, columns)
            if len(going_on) <= SHARE_GOING_ON * len(active):
                trainer.keep(problem.columns(going_on))
                problem, active = problem.take(going_on), [active[model] for model in going_on]
                columns, total_weight = columns[: len(active)], problem.total_weight
                trainer.set_penalty(problem.penalty)
    finally:
        trainer.release()


def _going_on(courses):
    return [model for model, course in enumerate(courses) if not course.over]


def follow(epoch):
    """Tell the courses that are not over of an epoch."""
    for course, objective, columns in zip(epoch.courses, epoch.objectives, epoch.columns, strict=True):
        if not course.over:
            course.check(objective, epoch.trainer, columns, epoch.ceiling)
    live = _going_on(epoch.courses)
    scorers = [epoch.courses[model].score for model in live]
    scores = _scores(scorers, epoch, [epoch.columns[model] for model in live])
    for model, score in zip(live, scores, strict=True):
        epoch.courses[model].see(epoch.objectives[model], score, epoch=epoch, columns=epoch.columns[model])


def _scores(scorers, epoch, columns):
    """The validation score of each model, None if there is no such thing, or the error that its scorer raised."""
    scores = [None] * len(columns)
    for scorer in {*scorers} - {None}:
        models = [model for model, other in enumerate(scorers) if other is scorer]
        values = _scores_of(scorer, epoch.coef, [columns[model] for model in models])
        for model, score in zip(models, values, strict=True):
            scores[model] = score
    return scores


def _scores_of(scorer, coef, columns):
    """The scores of models that share a scorer, which takes all of them in one call."""
    # In one order, so that products with them are the same to the last bit for any number of blocks.
    joined = np.concatenate(columns)
    selected = coef if len(joined) == coef.shape[1] else coef[:, joined]
    try:
        return scorer(np.ascontiguousarray(selected)).tolist()
    except Exception as error:
        if len(columns) == 1:
            return [error]
    return [_scores_of(scorer, coef, [columns_of_model])[0] for columns_of_model in columns]


class Report(Listener):
    """Prints a line for each epoch of a single model."""

    def __call__(self, epoch):
        history, trainer = epoch.courses[0].history, epoch.trainer
        if not history.n_iter:
            return
        line = f"Epoch {history.n_iter}: objective {history.loss_curve[-1]:.6g}"
        if history.validation_scores:
            line += f", validation score {history.validation_scores[-1]:.6g}"
        print(f"{line}, rate {trainer.rates(trainer.n_steps).max():.3g}, {epoch.seconds:.2f} s", flush=True)
