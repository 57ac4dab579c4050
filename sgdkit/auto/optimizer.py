"""`optimizer="auto"`: full gradients for dense features; else AdaGrad, or SGD for many classes and for given rates.

Where training is to have a few epochs at the most, many classes are not for full gradients.
"""

import numpy as np
from sklearn.base import clone

from sgdkit.auto.epochs import falls_to_an_end, has_plan
from sgdkit.auto.rate import rate_choice
from sgdkit.optimizers import GD, LBFGS, SGD, AdaGrad, as_optimizer
from sgdkit.optimizers.full_gradients import takes_gram
from sgdkit.penalties import PENALTIES

# Full gradients are for rows with at least this share of non-zeros.
DENSE_SHARE = 0.1
# Weights of rows are uneven if the mean of their squares is so many times the square of their mean.
UNEVEN = 3.0
# After so many epochs, rows one by one are no longer ahead of full gradients.
FEW_EPOCHS = 20


def choose_optimizer(settings, problem, *, whole=True, earlier=None):
    """The optimizer of a fit, as a new object.

    Parameters
    ----------
    settings : BaseSGDPlus
    problem : Problem
    whole : bool, default=True
        Whether the rows are all there are, and not a chunk.
    earlier : Optimizer, default=None
        That of the fit that a chunk goes on from.
    """
    if settings.optimizer != "auto":
        optimizer = as_optimizer(settings.optimizer)
        optimizer.check(problem.loss, selects=PENALTIES[settings.penalty](1.0, settings.l1_ratio).selects)
        return clone(optimizer) if optimizer is settings.optimizer else optimizer
    if means_sgd(settings):
        return SGD()
    if not whole and earlier is not None and not earlier.full_batch:
        return clone(earlier)
    # What only steps on few rows make use of.
    wanted = settings.average or settings.batch_size != "auto"
    wanted = wanted or settings.learning_rate != "auto"
    planned = has_plan(settings, problem, whole=whole)
    wanted = wanted or (planned and asks_for_few_epochs(settings) and needs_many_gradients(problem))
    if whole and not wanted and gains_from_full_gradients(problem):
        return full_gradients(settings.penalty, settings.l1_ratio)
    return for_few_epochs(problem) if planned else AdaGrad()


def means_sgd(settings):
    """Whether "auto" is SGD, row by row: where a rate or a schedule is given, as to scikit-learn's estimators."""
    if settings.optimizer != "auto":
        return False
    return not rate_choice(settings).chosen or not (
        settings.learning_rate == "auto" or falls_to_an_end(settings)
    )


def asks_for_few_epochs(settings):
    """Whether training is to have few epochs at the most."""
    return settings.max_iter != "auto" and settings.max_iter <= FEW_EPOCHS


def full_gradients(penalty, l1_ratio):
    """The optimizer that needs the fewest full gradients: L-BFGS, unless the penalty has kinks."""
    return GD() if PENALTIES[penalty](1.0, l1_ratio).selects else LBFGS()


def gains_from_full_gradients(problem):
    """Whether full gradients need the least time: where features are dense, and the loss is smooth."""
    return problem.loss.smooth and problem.density >= DENSE_SHARE


def needs_many_gradients(problem):
    """Whether few full gradients may be far from their end, as those of many classes or labels are."""
    return problem.targets.signs and problem.targets.n_columns > 1 and not takes_gram(problem)


def for_few_epochs(problem):
    """The optimizer for a planned number of steps: SGD for the columns of many classes, or labels; else AdaGrad.

    A rate of its own for each feature is what two classes and numbers gain by, where features are rare. What columns of
    many classes gain by it is no more than noise: each class has few rows. So the plain step is as good, in half of the
    time. Where the weights of rows are uneven, no rate of SGD suits them all, and AdaGrad's metric divides them out.
    """
    columns = problem.targets.signs and problem.targets.n_columns > 1
    row_weights = problem.select(problem.row_weights)
    even = row_weights is None or np.mean(np.square(row_weights)) <= UNEVEN * np.mean(row_weights) ** 2
    return SGD() if columns and even else AdaGrad()


def numbers_a_weight(optimizer, dtype):
    """How many numbers an optimizer holds for each weight of models that it trains together; "auto" at the most."""
    optimizer = AdaGrad() if optimizer == "auto" else as_optimizer(optimizer)
    # Full gradients train one model after the other.
    return 0 if optimizer.full_batch else optimizer.make_state(None, (0, 1), dtype).n_slots
