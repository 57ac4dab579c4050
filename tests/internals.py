"""What tests of behaviour know of the package's inside, so that a change of it is one edit here.

Tests of a part by itself (those of `kernels/`, `optimizers/`, `auto/`, `training/`) also import that part.
"""

import sys

import numpy as np

from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.penalties import Penalty
from sgdkit.training.course import Course
from sgdkit.training.problem import Problem
from sgdkit.training.trainer import Trainer


def scaling_of(model):
    """The `Scaling` of a fitted model."""
    return model._past.scaling


def trainer_of(model):
    """The `Trainer` of a fitted model."""
    return model._past.trainer


def state_of(trainer):
    """The optimizer's state of a trainer's first block of columns."""
    return trainer.states[0]


def make_problem(X, targets, loss, alpha=0.0, *, column=(1,)):
    """A problem whose columns are models of their own, with an l2 penalty; steps are rows."""
    return Problem(
        rows=Rows(X),
        targets=Targets(targets, list(column)),
        loss=loss,
        penalty=Penalty(0.0, alpha),
        row_weights=None,
        row_indices=None,
        batch_size=1,
        n_models=len(column),
    )


def make_trainer(problem, optimizer, schedule, rate_factors):
    """A trainer whose columns multiply the schedule's rates by factors of their own."""
    trainer = Trainer(optimizer, schedule, problem, rate_factors=np.array(rate_factors))
    trainer.set_penalty(problem.penalty)
    return trainer


def after_each_epoch(monkeypatch, act):
    """Call `act` after each epoch that a model has taken in, be there a call of the kernel for it or not."""
    see = Course.see

    def seen(course, *arguments, **options):
        see(course, *arguments, **options)
        act()

    monkeypatch.setattr(Course, "see", seen)


def replace_everywhere(monkeypatch, function, replacement):
    """Put another function in the place of one of the package's, wherever that has been imported."""
    for module in [module for name, module in sys.modules.items() if name.startswith("sgdkit")]:
        for name, value in list(vars(module).items()):
            if value is function:
                monkeypatch.setattr(module, name, replacement)
