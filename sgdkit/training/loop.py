"""Training: the epoch loop. Read this first.

Minimise ``mean loss(y, XW + b) + alpha * penalty(W)``. A *column* is one linear model; one pass over the rows trains
all columns. A `Problem` says what is minimised, a `Trainer` holds what changes, a `Course` watches one model, and
`train` runs the epochs.
"""

import time

import numpy as np

from sgdkit.training.course import HOPELESS

# Models that are done leave the pass when no more than this share of its models goes on.
FEWER = 0.75


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


def report_epoch(courses, trainer, seconds):
    """Print a line for an epoch of a single model."""
    history = courses[0].history
    if not history.n_iter:
        return
    line = f"Epoch {history.n_iter}: objective {history.loss_curve[-1]:.6g}"
    if history.validation_scores:
        line += f", validation score {history.validation_scores[-1]:.6g}"
    print(f"{line}, rate {trainer.rates(trainer.n_steps).max():.3g}, {seconds:.2f} s", flush=True)
