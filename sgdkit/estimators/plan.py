"""A plan is all that is chosen before training, as one value.

`make_plan` takes the parameters of an estimator, the rows, and what earlier fits have left; `fit`, `partial_fit` and
searches all make plans. Nothing here changes an estimator, so a plan that fails leaves nothing to be undone.

What "auto" stands for is chosen in `sgdkit.auto`, in this order: the scaling, which gives the problem; the optimizer,
and the number of epochs; the strength of the penalty; and, by `set_rates`, the first rate. A search makes the choices
that its candidates agree on once, and chooses the rates of all of them together.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from joblib import effective_n_jobs

from sgdkit.auto.epochs import NO_PLAN, epochs_to_settle, planned_epochs
from sgdkit.auto.optimizer import choose_optimizer, means_sgd
from sgdkit.auto.rate import choose_rates, rate_choice, steps_at_first_rate
from sgdkit.auto.reach import retract, temper
from sgdkit.auto.scaling import Scaling, choose_scaling
from sgdkit.auto.strength import alpha_of, choose_strength, in_units_of_targets, see_targets, units_of_targets
from sgdkit.estimators.columns import join_problems, join_weights
from sgdkit.estimators.data import Data, check_initial
from sgdkit.estimators.fitted import Past, fitted_weights
from sgdkit.estimators.labels import loss_number
from sgdkit.optimizers import Optimizer
from sgdkit.optimizers.full_gradients import gathered
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.schedules import SCHEDULES
from sgdkit.training.course import Course, Patience
from sgdkit.training.problem import Problem
from sgdkit.training.selection import truncated
from sgdkit.training.trainer import Trainer

# With batch_size="auto", data of up to so many rows are one batch; others, and chunks, are visited row by row.
ONE_BATCH_ROWS = 256
# A rate is left, as long as the spread of the targets so far is no more than so many times the one it was chosen for.
GROWN_UNIT = 4.0


@dataclass
class Plan:
    """What a fit is going to do.

    Attributes
    ----------
    settings : BaseSGDPlus
        The estimator, whose parameters are read and nothing else.
    data : Data
    past : Past or None
        What earlier fits have left, if this fit goes on from there.
    seen : ndarray of shape (2,)
        The number of rows so far, and the sum of their weights.
    scaling : Scaling
    problem : Problem
    optimizer : Optimizer
    n_epochs : int or None
        The planned epochs, over which the rate falls to 0; None trains until there is no progress.
    alpha : float, or ndarray of shape (n_columns,)
    penalty : Penalty
        That of the weights of features as the penalty sees them.
    targets_seen : ndarray of shape (3, n_outputs), or None
        The number, mean and variance of targets so far.
    spread, pull : float, or ndarray of shape (n_columns,)
        The `units_of_targets`.
    multiple : float or None
        The c of ``alpha = c / n``; None where alpha was given.
    coef : ndarray of shape (n_features, n_columns), or None
        The weights of the raw features to begin with; None stands for 0.
    intercept : ndarray of shape (n_columns,), or float
    given : bool
        Whether these are the user's, or those of an earlier fit.
    guess : ndarray of shape (n_features + 1, n_columns), or None
        Weights on the scale of training that full gradients begin with in the place of these, if "auto" chose them.
    rate : float or None
        The first rate; None leaves it to backtracking.
    rate_unit : float or None
        What the rate was chosen in proportion to; None of a rate that was not chosen here.
    n_level : int
        For how many steps of a stream the first rate suits, before it falls.
    rate_factors : ndarray of shape (n_columns,), or None
        By what each column multiplies the rate; None stands for 1.
    squared_gradients : ndarray of shape (n_features + 1, n_columns), or None
        What sums of squared gradients begin with, after full gradients.
    whole : bool
        Whether the rows are all there are to learn from, and not a chunk.
    retracted : bool
        Whether fitted weights did not reach the values of the chunk, and were halved.
    """

    settings: object
    data: Data
    past: Past | None
    seen: np.ndarray
    scaling: Scaling
    problem: Problem
    optimizer: Optimizer
    n_epochs: int | None = None
    alpha: float | np.ndarray = 0.0
    penalty: Penalty | None = None
    targets_seen: np.ndarray | None = None
    spread: float | np.ndarray = 1.0
    pull: float | np.ndarray = 1.0
    multiple: float | None = None
    coef: np.ndarray | None = None
    intercept: np.ndarray | float = 0.0
    given: bool = False
    guess: np.ndarray | None = None
    rate: float | None = None
    rate_unit: float | None = None
    n_level: int = 1
    rate_factors: np.ndarray | None = None
    squared_gradients: np.ndarray | None = None
    whole: bool = True
    retracted: bool = False

    @property
    def rate_choice(self):
        return rate_choice(self.settings)

    @property
    def units(self):
        """What the penalty multiplies the weights by that training sees: a number, or one for each feature."""
        if self.settings.standardize:
            return self.scaling.unit
        return 1.0 if self.scaling.factor is None else self.scaling.factor

    @cached_property
    def change(self):
        """What `Scaling.since` tells of the scaling of earlier fits; None where there is no change, or no such fit."""
        return None if self.past is None else self.scaling.since(self.past.scaling)

    @cached_property
    def resumed_trainer(self):
        """The trainer of the last fit, if its state is of use here."""
        trainer = None if self.past is None else self.past.trainer
        settings = self.optimizer, self.problem.rows.dtype, bool(self.settings.fit_intercept)
        if trainer is not None and trainer.matches(
            (*settings, int(self.settings.average)), self.problem.loss
        ):
            return trainer
        return None

    @cached_property
    def edited(self):
        """Whether the user has changed the fitted weights since the trainer left them."""
        if self.past.weights is not None:
            return False
        trained = self.past.scaling.to_raw(self.resumed_trainer.weights())
        return not (np.array_equal(self.coef, trained[:-1]) and np.array_equal(self.intercept, trained[-1]))

    def retract(self, weights):
        """Halve weights that do not reach the values of a chunk, and return whether there are any.

        They are those of features as training sees them. What the user has set stays as it is, and so does an average,
        which is not what steps go on from.
        """
        if self.whole or self.resumed_trainer is None or not self.past.scaling.learns:
            return False
        if self.edited or self.settings.average:
            return False
        options = {"curvature": self.pull / self.spread, "size": np.max(self.spread)}
        with np.errstate(over="ignore", invalid="ignore"):
            return retract(weights, self.problem, self._seen, **options)

    def _seen(self, features, scaling=None):
        """How many values of some features the rows before have had, and the sum of their squares, as scaled now."""
        shift = 0.0 if self.scaling.shift is None else self.scaling.shift[features].astype(np.float64)
        factor = 1.0 if self.scaling.factor is None else self.scaling.factor[features].astype(np.float64)
        return (scaling or self.past.scaling).seen(features, shift, factor)

    @property
    def rate_of_few(self):
        """SGD's rate at which the step of a row of usual size takes its score about to where it should be.

        It is ``s / (g r^2)``, where targets spread by s, the loss has a derivative of about g there, and r^2 is the
        mean of ``||x||^2`` of all rows so far, as they are scaled now, with the intercept's 1.
        """
        mean_square = 1.0
        if self.scaling.learns:
            mean_square += self._seen(slice(None), self.scaling)[1].sum() / self.scaling.n_rows
        spread, pull = units_of_targets(self.problem, self.targets_seen)
        pull = self.problem.loss.stiffness if self.problem.targets.signs else pull
        return float(np.max(spread / pull)) * (1 - self.optimizer.inertia) / mean_square

    def tempered(self, trainer):
        """The problem of a chunk, with smaller weights of rows that are too far out for the trainer that goes on.

        Losses that are no exponentials are not steep enough to need it, but where the squared gradients of numbers,
        which are of any size, are kept for good.
        """
        known = not self.whole and self.past.scaling.learns
        if not known or self.optimizer.full_batch or self.settings.average:
            return self.problem
        if not self.problem.loss.log_link and (self.problem.targets.signs or not self.optimizer.decays):
            return self.problem
        with np.errstate(over="ignore", invalid="ignore"):
            return temper(self.problem, trainer, self._seen)

    def first_weights(self):
        """The weights to begin with, on the scale of training; shape (n_features + 1, n_columns).

        Of a part, they may be those of its trainer, which nobody else has.
        """
        if self.guess is not None and self.optimizer.full_batch:
            return self.guess
        if self.past is not None and self.past.weights is not None:
            return self.scaling.to_scaled(self.past.weights)
        shape = self.problem.rows.n_features + 1, self.problem.targets.n_columns
        weights = np.zeros(shape, dtype=self.problem.rows.dtype)
        if self.coef is not None:
            weights[:-1] = self.coef
        weights[-1] = self.intercept
        return self.scaling.to_scaled(weights)

    def anew(self):
        """The plan that begins with no weights of the user's, nor of an earlier fit."""
        fresh = replace(self, past=None, given=False, guess=None)
        if self.given:
            fresh.coef, fresh.intercept = _first(fresh)
        return fresh

    def schedule(self, rate, first_step=1):
        """The schedule with a first rate; None if the rate is left to backtracking."""
        if rate is None:
            return None
        settings, name = self.settings, self.settings.learning_rate
        if name == "auto":
            name = self._default_schedule
        steps_an_epoch = 1 if self.optimizer.full_batch else self.problem.steps_an_epoch
        numbers = {"n_steps": (self.n_epochs or 0) * steps_an_epoch, "first_step": first_step}
        if settings.learning_rate == "auto":
            numbers["n_level"] = self.n_level
        return SCHEDULES[name](rate, power_t=settings.power_t, alpha=self.curvature, **numbers)

    @property
    def _default_schedule(self):
        if self.n_epochs:
            return "linear"
        return self.optimizer.schedule_for(
            self.problem.loss, stream=self.streams, elsewhere=self._is_elsewhere
        )

    @property
    def streams(self):
        """Whether other rows are to come, and only the first ones have told the rate."""
        return not self.whole and self.rate_choice.chosen

    @property
    def _is_elsewhere(self):
        """Whether a warm fit begins at the weights of another alpha, and has no noise for which rates should fall."""
        trainer = self.resumed_trainer if self.whole and self.problem.single_batch else None
        return (
            trainer is not None and trainer.schedule is not None and trainer.schedule.alpha != self.curvature
        )

    def keeps_rate(self, trainer):
        """Whether the rate that was chosen for a trainer of an earlier fit still suits this one."""
        if self.retracted or not self.scaling.is_about(self.past.scaling):
            return False
        return self.schedule(trainer.schedule.eta0).shape == trainer.schedule.shape

    def kept_rate(self, trainer):
        """The rate that was chosen for a trainer of an earlier fit, and the unit that it is in proportion to.

        If that of the targets so far is far larger, the rate is, too. A rate that was too large is left, since it takes
        another such one to bring weights back.
        """
        if trainer.schedule is None:
            return None, None
        rate, earlier, unit = trainer.schedule.eta0, trainer.rate_unit, self.unit_of_rates(self.targets_seen)
        if earlier is None or unit <= GROWN_UNIT * earlier:
            return rate, earlier
        return rate * (unit / earlier), unit

    def unit_of_rates(self, targets_seen):
        """What rates are in proportion to: the spread of targets; of SGD, over the loss's derivative there.

        With a log link, that is the inverse of a mean, which a single count may change by a large factor.
        """
        spread, pull = units_of_targets(self.problem, targets_seen)
        divides = self.optimizer.scales_with_gradient and not self.problem.loss.log_link
        return float(np.max(spread / pull if divides else spread))

    def new_trainer(self, seed):
        """A trainer at the first rate, with the weights to begin with."""
        settings = self.settings
        trainer = Trainer(
            self.optimizer,
            self.schedule(self.rate),
            self.problem,
            rate_factors=self.rate_factors,
            fit_intercept=settings.fit_intercept,
            average_from=int(settings.average),
            n_blocks=effective_n_jobs(settings.n_jobs),
            seed=seed,
        )
        trainer.rate_unit = self.rate_unit
        trainer.load(self.first_weights())
        if self.squared_gradients is not None:
            trainer.recall(self.squared_gradients)
        return trainer

    def resume(self, trainer):
        """Have the trainer of an earlier fit go on from the fitted weights, which the user may have edited."""
        changed = self.edited or self.retracted
        if self.change is not None:
            trainer.rescale(*self.change)
        trainer.rate_unit = self.rate_unit
        if self.rate is not None or trainer.schedule is not None:
            earlier = 1 if trainer.schedule is None else trainer.schedule.first_step
            schedule = self.schedule(self.rate, trainer.n_steps + 1 if self.whole else earlier)
            if schedule is None or trainer.schedule is None or schedule.settings != trainer.schedule.settings:
                trainer.follow(schedule, self.rate_factors)
        if changed:
            weights = np.append(self.coef, self.intercept[np.newaxis], axis=0)
            trainer.load(self.scaling.to_scaled(weights.astype(trainer.dtype, copy=False)))

    def gathered_squares(self):
        """What AdaGrad's sums would have been, had it trained in the place of full gradients that "auto" has chosen.

        Without them, it would go on in `partial_fit` as if it knew nothing.
        """
        if self.settings.optimizer != "auto" or not self.optimizer.full_batch:
            return None
        return gathered(self.problem, self.anew().first_weights(), self.settings.fit_intercept)

    @property
    def curvature(self):
        """What the penalty adds to the curvature of the objective at the least, by which "optimal" rates fall."""
        strength, units = self.penalty.l1 / self.spread + self.penalty.l2, self.units
        if np.ndim(units):
            # Those of features without values are of no weight.
            units = units[self.scaling.is_seen]
        return float(np.min(strength)) * float(np.min(units)) ** 2

    def truncate(self, course):
        """Set weights to 0 that an l1 penalty holds there, where training has come to its end; return whether.

        Weights that have been scored stay as they are, and an average has taken in others.
        """
        lifted = self.problem.penalty.selects and not self.optimizer.full_batch
        ended = course.score is None and (self.n_epochs or course.history.converged)
        if not (lifted and ended) or self.settings.average:
            return False
        course.history.coef = truncated(self.problem, course.history.coef, self.spread / self.pull)
        return True

    def course(self, score, *, history=None, keeps_last=True, **parameters):
        """The course of the model; `score` is that of `Course`, or None, and `parameters` replace those of settings."""
        settings = self.settings
        tol = parameters.get("tol", settings.tol)
        if tol == "auto":
            tol = None if self.n_epochs else self.optimizer.default_tol
        relative = score is None or settings.scoring == "loss"
        # Of a warm fit's first epoch, the loss is about that of the earlier weights, and the penalty that of others.
        n_ignored = int(score is None and self.past is not None)
        # Classes that are apart have no minimum without a penalty: the loss falls towards 0, and weights grow for ever.
        unbounded = (
            score is None and self.problem.targets.signs and not np.any(self.penalty.l1 + self.penalty.l2)
        )
        limits = {"n_ignored": n_ignored, "negligible": tol if unbounded and tol else -np.inf}
        patience = Patience(tol, settings.n_iter_no_change, relative=relative, **limits)
        max_iter = NO_PLAN if settings.max_iter == "auto" else settings.max_iter
        max_iter = parameters.get("max_iter", self.n_epochs or max_iter)
        chosen = settings.learning_rate == "auto" and not self.n_epochs and self.rate is not None
        settles = chosen and score is None and not settings.average
        options = {"n_settling": epochs_to_settle(self.problem) if settles else 0}
        # Steps on all rows are whole or not taken, so their weights are there when training is interrupted.
        options["keeps_last"] = keeps_last and not self.optimizer.full_batch
        options["noisy"] = not self.problem.single_batch
        options["scores_losses"] = settings.scoring == "loss"
        return Course(patience, max_iter, score=score, history=history, **options)


def make_plan(settings, data, past=None, *, seed, coef_init=None, intercept_init=None, whole=True, made=None):
    """Choose all that training needs but the first rate, which `set_rates` chooses.

    Parameters
    ----------
    settings : BaseSGDPlus
        The estimator. Its parameters are read, and with `past` its weights.
    data : Data
    past : Past, default=None
        What earlier fits have left, if this fit goes on from there.
    seed : int
        Of the samples that choices look at.
    coef_init, intercept_init : array-like, default=None
        Weights of the user's to begin with.
    whole : bool, default=True
        Whether the rows are all there are to learn from, and not a chunk.
    made : dict, default=None
        Choices that plans for the same rows share, which are made once.

    Returns
    -------
    plan : Plan
    """
    made = {} if made is None else made
    number = loss_number(settings, data.kind.losses)
    loss = _once(made, ("loss", number), lambda: data.kind.make_loss(settings, data.targets))
    base = _once(made, "base", lambda: _base(settings, data, past, loss, whole))
    result = replace(base, settings=settings, problem=replace(base.problem, loss=loss))
    result.spread, result.pull = units_of_targets(result.problem, base.targets_seen)
    result.n_epochs = planned_epochs(settings, result.problem, result.optimizer, whole=whole)
    first = _once(made, ("first", number), lambda: _first(result, coef_init, intercept_init))
    result.coef, result.intercept = first
    result.given = past is not None or coef_init is not None or intercept_init is not None
    key = "alpha", number, settings.alpha, settings.l1_ratio
    result.alpha, result.penalty, result.multiple, guess = _once(made, key, lambda: _strength(result, seed))
    if settings.optimizer == "auto" and not settings.early_stopping and not result.given:
        result.guess = guess
    result.problem.penalty = result.penalty.of_units(result.units)
    if past is not None and not whole:
        weights = result.first_weights()
        result.retracted = result.retract(weights)
        if result.retracted:
            raw = result.scaling.to_raw(weights)
            result.coef, result.intercept = raw[:-1], raw[-1]
    return result


def _once(made, key, make):
    """What has been made before, or is made now."""
    if key not in made:
        made[key] = make()
    return made[key]


def _base(settings, data, past, loss, whole):
    """A plan with its scaling, problem and optimizer."""
    seen = data.seen if whole or past is None else past.seen + data.seen
    scaling = choose_scaling(settings, data, None if past is None else past.scaling)
    if scaling.factor is not None:
        # They are to be changed anyway.
        data = data.alone()
    batch_size, n_rows = settings.batch_size, max(data.n_rows, 1)
    if batch_size == "auto":
        one_batch = whole and data.n_rows <= ONE_BATCH_ROWS and not means_sgd(settings)
        batch_size = n_rows if one_batch else 1
    n_seen, weight_seen = seen
    n_threads = effective_n_jobs(settings.n_jobs)
    problem = Problem(
        rows=scaling.apply(data.rows, n_threads=n_threads),
        targets=data.targets,
        loss=loss,
        penalty=Penalty(0.0, 0.0),
        row_weights=None if data.row_weights is None else data.row_weights * (n_seen / weight_seen),
        row_indices=data.row_indices,
        batch_size=min(int(batch_size), n_rows),
        n_threads=n_threads,
        subset=data.subset,
    )
    earlier = None if past is None or past.trainer is None else past.trainer.optimizer
    optimizer = choose_optimizer(settings, problem, whole=whole, earlier=earlier)
    base = Plan(settings, data, past, seen, scaling, problem, optimizer, whole=whole)
    base.targets_seen = see_targets(problem, None if whole or past is None else past.targets_seen)
    goes_on = not whole and past is not None and past.squared_gradients is not None
    if goes_on and optimizer.decays:
        ratio = 1.0 if base.change is None else np.append(base.change[0], 1.0)[:, np.newaxis]
        base.squared_gradients = past.squared_gradients * np.square(ratio)
    return base


def _first(plan, coef_init=None, intercept_init=None):
    """The raw weights and intercepts that a plan begins with."""
    shape = plan.problem.rows.n_features, plan.problem.targets.n_columns
    if plan.past is not None and plan.past.weights is not None:
        return plan.past.weights[:-1], plan.past.weights[-1]
    if plan.past is not None:
        return fitted_weights(plan.settings, shape)
    coef, intercept = None, 0.0
    if coef_init is not None:
        coef = check_initial("coef_init", coef_init, shape[::-1]).T
    if intercept_init is not None:
        intercept = check_initial("intercept_init", intercept_init, shape[1:])
    elif coef_init is None and plan.settings.fit_intercept:
        intercept = plan.data.kind.first_intercept(plan.data, plan.problem.loss)
    return coef, intercept


def _strength(plan, seed):
    """The strength of the penalty, the penalty itself, the latest c of ``c / n`` that was chosen, and a `guess`."""
    settings, guess = plan.settings, None
    multiple = None if plan.past is None else plan.past.multiple
    norms = PENALTIES[settings.penalty]
    if settings.alpha != "auto":
        alpha = float(settings.alpha)
        return alpha, norms(alpha, settings.l1_ratio), multiple, guess
    if plan.whole:
        multiple, guess = choose_strength(
            settings,
            plan.problem,
            plan.anew().first_weights(),
            spread=plan.spread,
            pull=plan.pull,
            units=plan.units,
            row_weight=max(plan.data.total_weight / plan.data.n_rows, 1.0),
            seed=seed,
        )
    alpha = alpha_of(multiple or 1.0, *(plan.data.seen if plan.whole else plan.seen))
    penalty = norms(alpha, settings.l1_ratio)
    scaled = in_units_of_targets(penalty, plan.spread, plan.pull)
    if np.all(scaled.l1 == penalty.l1) and np.all(scaled.l2 == penalty.l2):
        return alpha, penalty, multiple, guess
    return scaled.l1 + scaled.l2, scaled, multiple, guess


def set_rates(plans, *, seed):
    """Choose the first rates of plans whose problems differ in their penalties alone."""
    first = plans[0]
    factors = first.rate_choice.column_factors(first.problem, first.optimizer)
    for plan in plans:
        plan.rate, plan.rate_factors = plan.rate_choice.rate, factors
    trainer = first.resumed_trainer
    if not first.rate_choice.chosen:
        return
    if trainer is not None and (trainer.schedule is None or first.keeps_rate(trainer)):
        first.rate, first.rate_unit = first.kept_rate(trainer)
        first.rate_factors = trainer.rate_factors
        # A chunk of few rows may come between others.
        first.n_level = 1 if trainer.schedule is None else trainer.schedule.n_level
    elif not first.optimizer.backtracks(first.problem.loss):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _choose_rates(plans, seed if trainer is None else trainer.n_steps)
        if not all(np.isfinite(plan.rate) and plan.rate > 0 for plan in plans):
            raise ValueError(
                "There is no learning rate for rows of this size: the squares of features, or of targets, overflow or "
                "underflow. Scale them, for instance with sklearn.preprocessing.StandardScaler or MaxAbsScaler."
            )


def _choose_rates(plans, seed):
    """Choose first rates; plans share pilots as far as the schedule does not depend on the strength of the penalty."""
    problem, optimizer = join_problems(plans), plans[0].optimizer
    options = {"initial": join_weights(plans), "fit_intercept": plans[0].settings.fit_intercept, "seed": seed}
    if plans[0].streams and optimizer.scales_with_gradient:
        options["of_few"] = plans[0].rate_of_few
        plans[0].n_level = steps_at_first_rate(problem)
    rates = {}
    for number, plan in enumerate(plans):
        schedule = plan.schedule(1.0)
        by_alpha = not schedule.separable and not optimizer.scales_with_gradient
        key = schedule.shape, schedule.alpha if by_alpha else None
        if key not in rates:
            rates[key] = choose_rates(problem, optimizer, schedule, **options)
        plan.rate = float(rates[key][number])
        plan.rate_unit = plan.unit_of_rates(see_targets(plan.problem))
