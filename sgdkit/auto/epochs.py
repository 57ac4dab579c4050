"""`max_iter="auto"`: how many epochs a fit is planned to have.

A rate that falls in a straight line to 0 over a few epochs ends nearer to the minimum than many epochs at a constant
rate, whose last weights are noise around it [1]_. So where rows are visited one by one, and nobody asks for more, the
end is planned: few epochs, more of them only where rows are so few that these would be few steps.

The end is also known where `max_iter` is a number and `tol` is None; then a plan needs no more than many steps.

Otherwise an epoch is one of as many as it takes: `tol` is a number, a validation set says when to stop, an average
makes up for the noise, a rate or a schedule is given, or steps are of so many rows that there is little noise. Where
`tol` decides, and no schedule is given, the rate falls in a straight line to 0 once training stands still, over as many
epochs as it took until then: what stands still is at the level of the noise, or has overshot, and not at the minimum.
The same again follows where the end is above what was passed on the way; and in a single batch, which has no noise, as
long as it gains anything.

.. [1] A. Defazio, A. Cutkosky, H. Mehta & K. Mishchenko, "Optimal Linear Decay Learning Rate Schedules and Further
   Refinements", 2023.
"""

import math

import numpy as np

from sgdkit.auto.rate import rate_choice
from sgdkit.schedules import SCHEDULES

# Planned epochs, and the steps that decide between them. The metric of optimizers that decay needs no more than the
# fewest. Measured on 12 data sets, see docs/experiments.md.
FEWEST_EPOCHS, MOST_EPOCHS = 4, 8
STEPS, FEWEST_STEPS = 200_000, 20_000
# An epoch of fewer steps is too much like a full gradient for a plan.
STEPS_AN_EPOCH = 100
# Steps of such epochs, for the end of which there is a plan where it is known.
STEPS_TO_AN_END = 1000
# The fewest epochs over which the rate falls once training stands still: where they are few steps, and where many.
MOST_TO_SETTLE, FEWEST_TO_SETTLE = 40, 10
# The most epochs of a fit that goes on until it makes no progress.
NO_PLAN = 1000


def has_plan(settings, problem, *, whole=True):
    """Whether nothing stands against a planned end, should rows be visited one by one.

    Parameters
    ----------
    settings : BaseSGDPlus
    problem : Problem
    whole : bool, default=True
        Whether the rows are all there are to learn from, and not a chunk.
    """
    return may_have_plan(settings, whole=whole) and problem.steps_an_epoch >= STEPS_AN_EPOCH


def may_have_plan(settings, *, whole=True):
    """Whether nothing in the settings stands against a planned end."""
    goes_on = settings.early_stopping or settings.average or settings.tol not in ("auto", None)
    falls = falls_to_an_end(settings) or (settings.learning_rate == "auto" and rate_choice(settings).chosen)
    return whole and falls and not goes_on


def planned_epochs(settings, problem, optimizer, *, whole=True):
    """The number of epochs over which the rate is to fall to 0; None where training goes on until it has converged."""
    given = settings.max_iter != "auto"
    if given and falls_to_an_end(settings):
        return settings.max_iter
    if optimizer.full_batch or not (
        has_plan(settings, problem, whole=whole) or _has_known_end(settings, problem, whole)
    ):
        if falls_to_an_end(settings):
            raise ValueError(
                f"learning_rate={settings.learning_rate!r} falls until the last epoch, and max_iter='auto' plans one "
                "only where rows are visited one by one, with tol='auto' or None, early_stopping=False and "
                "average=False. Pass a number for max_iter, or another learning_rate."
            )
        return None
    if optimizer.scales_with_gradient and not problem.targets.signs and not falls_to_an_end(settings):
        # Only pilots tell a rate for numbers. On few rows they cannot tell one for features that are rare.
        return None
    n_epochs = epochs_of(problem.steps_an_epoch, optimizer)
    if given:
        return settings.max_iter if settings.tol is None else min(settings.max_iter, n_epochs)
    return n_epochs


def _has_known_end(settings, problem, whole):
    """Whether training has so many epochs, and no fewer, that a falling rate is worth its while with any steps."""
    if settings.max_iter == "auto" or settings.tol is not None or not may_have_plan(settings, whole=whole):
        return False
    return settings.max_iter * problem.steps_an_epoch >= STEPS_TO_AN_END


def falls_to_an_end(settings):
    """Whether the schedule that is given falls until the last epoch."""
    return settings.learning_rate != "auto" and SCHEDULES[settings.learning_rate].needs_end


def epochs_of(steps_an_epoch, optimizer):
    """How many epochs are as good as more."""
    n_epochs = (
        FEWEST_EPOCHS if optimizer.decays else min(max(STEPS // steps_an_epoch, FEWEST_EPOCHS), MOST_EPOCHS)
    )
    return max(n_epochs, math.ceil(FEWEST_STEPS / steps_an_epoch))


def epochs_to_settle(problem):
    """Over how many epochs, at the least, the rate is to fall to 0 once training stands still."""
    return int(np.clip(FEWEST_STEPS / problem.steps_an_epoch, FEWEST_TO_SETTLE, MOST_TO_SETTLE))
