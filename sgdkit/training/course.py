"""The course of a model's training: what happened epoch by epoch, and when it is over."""

import math
from dataclasses import dataclass, field

import numpy as np

# A rise of the objective by this factor since the first epoch is no noise.
HOPELESS = 1e3
# An objective that falls by this share in an epoch is far from its end.
FAR_FROM_ITS_END = 0.01


class Diverged(ValueError):
    """The weights overflowed, or the objective is on its way there."""


class Patience:
    """Watches a value that should fall, and says when it has not fallen enough for some epochs in a row.

    An epoch counts as progress if its value is below ``best - tol * scale``, where the scale is the absolute value of
    the best (a relative tolerance, the same for targets of any size), or 1 (an absolute one).

    Parameters
    ----------
    tol : float or None
        None never runs out of patience.
    n_iter_no_change : int
    relative : bool
    n_ignored : int, default=0
        Values that come before there is a first one to go by.
    negligible : float, default=-inf
        From values below this, no fall is progress: it may go on for ever.

    Attributes
    ----------
    best : float
        The lowest value so far.
    exhausted : bool
    """

    def __init__(self, tol, n_iter_no_change, *, relative, n_ignored=0, negligible=-np.inf):
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.relative = relative
        self.n_ignored = n_ignored
        self.negligible = negligible
        self.best = np.inf
        self.reset()

    def reset(self):
        self.n_idle = 0

    @property
    def exhausted(self):
        return self.tol is not None and self.n_idle >= self.n_iter_no_change

    def is_progress(self, before, after, n_epochs=1):
        """Whether a fall from one value to another, in so many epochs, is more than `tol` takes for nothing."""
        if self.tol is None:
            return False
        least = self.tol * max(n_epochs / self.n_iter_no_change, 1)
        return after < before - least * (abs(before) if self.relative else 1.0)

    def would_idle(self, fall):
        """Whether a fall by so much would be no progress; one that nobody knows is infinite, and would be."""
        if self.tol is None or np.isinf(fall):
            return False
        scale = abs(self.best) if self.relative else 1.0
        return fall <= self.tol * scale or self.best < self.negligible

    @property
    def left(self):
        """After how many more epochs it may be exhausted."""
        return np.inf if self.tol is None else self.n_iter_no_change - self.n_idle

    def see(self, value):
        """Take in the value of an epoch, and return whether it is the lowest so far."""
        if self.n_ignored:
            self.n_ignored -= 1
            return True
        enough = (
            self.best == np.inf
            or self.tol is None
            or (self.best >= self.negligible and self.is_progress(self.best, value))
        )
        self.n_idle = 0 if enough else self.n_idle + 1
        lowest = value < self.best
        self.best = min(value, self.best)
        return lowest


@dataclass
class History:
    """What happened epoch by epoch, and the weights to return: of the best epoch if there is a score, else the last.

    Attributes
    ----------
    loss_curve, validation_scores : list of float
    best_iter : int
    coef : ndarray of shape (n_features + 1, n_columns), or None
        On the scale of training; the intercepts come last.
    converged : bool
    """

    loss_curve: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    best_iter: int = 0
    coef: np.ndarray | None = None
    converged: bool = False

    @property
    def n_iter(self):
        return len(self.loss_curve)

    def add(self, objective, validation_score):
        self.loss_curve.append(float(objective))
        if validation_score is not None:
            self.validation_scores.append(float(validation_score))

    def keep(self, coef):
        self.best_iter = self.n_iter
        if self.coef is None:
            self.coef = np.array(coef, order="C")
        else:
            np.copyto(self.coef, coef)


class Course:
    """The training of one model: what happened, and whether it is over.

    Parameters
    ----------
    patience : Patience
        With the training objective, or with minus the score.
    max_iter : int
    n_settling : int, default=0
        Once patience is exhausted, the rate falls to 0 over as many epochs as there were, and no fewer than these; with
        0, training ends.
    noisy : bool, default=True
        Whether epochs differ by their order of rows, so that falling rates lower the objective at any time.
    score : callable, default=None
        Takes the weights of some models, and returns an array of their validation scores; higher is better.
    scores_losses : bool, default=False
        Whether a score is minus a loss like that of the training rows.
    history : History, default=None
        To be continued.
    keeps_last : bool or None, default=True
        Whether the weights of every epoch are kept in case it should be the last, or only those of the last itself;
        with None, none are.

    Attributes
    ----------
    error : Diverged or None
    over : bool
    first_rate : float
        `eta0`, or what backtracking has come to; of a course that is over.
    """

    def __init__(
        self,
        patience,
        max_iter,
        *,
        n_settling=0,
        noisy=True,
        score=None,
        scores_losses=False,
        history=None,
        keeps_last=True,
    ):
        self.patience = patience
        self.max_iter = max_iter
        # The epochs that the rate takes to fall to 0; and of these those that are left, None before.
        self.n_settling, self.n_left = n_settling, None
        self.noisy, self.best_before = noisy, math.inf
        self.score, self.scores_losses = score, scores_losses
        self.lowest_objective = math.inf
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
        if self.n_left is not None:
            return 1
        return min(self.max_iter - self.n_epochs, self.patience.left)

    def see(self, objective, score, *, epoch, columns):
        """Take in an `Epoch`; `score` is a number, None, or the error of the scorer."""
        trainer = epoch.trainer
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
        if score is not None and self.scores_losses and self._underfits(objective, -score):
            self.patience.reset()
        self.history.add(objective, score)
        if self.n_left is not None:
            self._settle(trainer, columns, objective)
        elif (
            score is None
            and self.patience.n_idle
            and self.patience.would_idle(trainer.expected_fall(columns))
        ):
            self.history.converged = self.over = True
        elif self.patience.exhausted:
            self._stand_still(trainer, columns)
        self.over = self.over or self.n_epochs == self.max_iter
        if self.over:
            self._note_rate(columns, trainer)
        if not epoch.ends or self.keeps_last is None:
            return
        if lowest if score is not None else self.keeps_last or self.over:
            self._keep(epoch.coef, columns)

    def _underfits(self, objective, held_out_loss):
        """Whether an epoch has learnt much, and nothing by heart: held-out rows are better off than those of training.

        Then a rise of their loss, which may be that of few rows, does not last.
        """
        share = max(self.patience.tol or 0, FAR_FROM_ITS_END)
        falls = objective < (1 - share) * self.lowest_objective
        self.lowest_objective = min(objective, self.lowest_objective)
        return falls and held_out_loss < objective

    def stop(self, *, epoch, columns):
        """Be over after the `Epoch` that was taken in last, because somebody who watches says so."""
        self.history.converged = self.over = True
        self._note_rate(columns, epoch.trainer)
        if self.score is None:
            self._keep(epoch.coef, columns)

    def _note_rate(self, columns, trainer):
        self.first_rate = float(trainer.rates(1)[columns].max())

    def _keep(self, coef, columns):
        self.history.keep(coef if coef.shape[1] == len(columns) else coef[:, columns])

    def _stand_still(self, trainer, columns):
        """Go on at lower rates, or end."""
        n_most = self.max_iter - self.n_epochs
        if self.n_settling and n_most:
            self.n_settling = self.n_left = min(max(self.n_epochs, self.n_settling), n_most)
            self.best_before = self.patience.best
            self._lower(trainer, columns)
        elif trainer.lower(columns):
            self.patience.reset()
        else:
            self.history.converged = self.over = True

    def _settle(self, trainer, columns, objective):
        """Let the rate fall by one part of as many as there are epochs; then end, or begin anew.

        What stood still may have overshot: then the end is above what was passed on the way. Without noise, an end that
        is lower says that what stood still was not at the minimum.
        """
        if self.n_left:
            self._lower(trainer, columns)
            return
        missed = self.patience.is_progress(objective, self.patience.best)
        gained = not self.noisy and self.patience.is_progress(self.best_before, objective, self.n_settling)
        if (missed or gained) and self.n_epochs < self.max_iter:
            self._stand_still(trainer, columns)
        else:
            self.history.converged = self.over = True

    def _lower(self, trainer, columns):
        trainer.lower_to(columns, self.n_left / (self.n_settling + 1))
        self.n_left -= 1

    def fail(self, error):
        self.error, self.over = error, True


def _remedy(trainer, columns):
    return (
        f"at the learning rate eta0={trainer.rates(1)[columns].max():.3g}. Scale the features (and the targets of a "
        "regression), for instance with sklearn.preprocessing.StandardScaler or MaxAbsScaler, or lower eta0."
    )
