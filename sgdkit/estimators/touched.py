"""A chunk of rows on the features that it touches, where they are few: training then costs what its values do."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sgdkit._kernels.arrays import number_features
from sgdkit._kernels.rows import Rows
from sgdkit.estimators.plan import set_rates
from sgdkit.estimators.subset import FEW, MANY_FEATURES
from sgdkit.training.loop import Report, train


def touched(data, *, also, room):
    """The features that rows touch, and the rows on these alone.

    Parameters
    ----------
    data : Data
    also : ndarray of int32
        Features that are touched by the absence of a value.
    room : Room

    Returns
    -------
    features : ndarray of int32 of shape (n_touched,), or None
        None where there are so few features, or so many of them are touched, that all may be looked at.
    part : Data, or None
        The rows that count; their features are numbered in the order of `features`.
    """
    if data.rows.n_features < MANY_FEATURES:
        return None, None
    X, rows = data.rows.merged(data.row_indices), data.rows
    if not sparse.issparse(X):
        n_most = data.rows.n_features // FEW
        if np.count_nonzero(X[:1]) > n_most or np.count_nonzero(X.any(axis=0)) > n_most:
            return None, None
        X = sparse.csr_array(X)
    if X is not rows.stored:
        rows = Rows(X)
    features, numbers = on_touched(X, also, room)
    if features is None:
        return None, None
    part = data if data.row_indices is None else data.take(data.row_indices)
    rows = rows.renumbered(numbers, len(features))
    return features, replace(part, X=rows.stored, rows=rows)


def on_touched(X, also, room):
    """The features that sparse rows touch, and the number of each value's among them; None where they are many."""
    n_features = X.shape[1]
    indices = np.append(X.indices, also.astype(X.indices.dtype)) if len(also) else X.indices
    numbers = room.array("numbers", len(indices), np.int32)
    features = number_features(indices, room.bits(n_features), n_features // FEW, numbers)
    return features, numbers[: len(X.indices)]


def train_touched(plan, past, new_course):
    """Make one epoch by a plan for the features that a chunk touches, and return its course.

    It is None where all features have to take part. Then, and where training fails, nothing of the past has changed.

    Parameters
    ----------
    plan : Plan
        Its past is a part of the next argument.
    past : Past
    new_course : callable
        It makes the `Course`, once rates are set.
    """
    if not past.is_whole_of(plan):
        return None
    settings, trainer = plan.settings, plan.resumed_trainer
    generator = trainer.generator.bit_generator
    before = generator.state
    try:
        set_rates([plan], seed=None)
        plan.resume(trainer)
        trainer.pace = past.trainer.waiting.pace(plan.problem.penalty, trainer.factors)
        if trainer.pace is None:
            return None
        course, listeners = new_course(), [Report()] if settings.verbose else []
        train(trainer, plan.tempered(trainer), [course], shuffle=settings.shuffle, listeners=listeners)
        if course.error is not None and plan.rate_choice.n_retreats:
            # All features are to try, and to begin again at a lower rate.
            generator.state = before
            return None
        if course.error is not None:
            raise course.error
        weights = trainer.weights()
        if plan.retract(weights):
            trainer.load(weights)
        # An error, if they are too large.
        plan.scaling.to_raw(weights)
    except BaseException:
        generator.state = before
        raise
    return course
