"""Candidates of a search: which of them share passes over the rows of a fold, and those passes.

Candidates that differ in nothing but what each column may have for itself (`alpha`, `l1_ratio`, `eta0`, the weights of
classes, the loss's number, and when training stops) form a group, and are columns of one `Trainer`. Groups have passes
of their own. A fold is the indices of its rows, not a copy of them.

Each candidate of a group has a plan, the one that the estimator alone would make. Plans that agree in their rows, their
optimizer and their clock are joined; a plan that comes to visit other rows (a class has no weight), or to scale them by
other weights, has passes of its own.

Invariant: a model is the one that the estimator alone would fit to the rows of the fold.
"""

import copy
from dataclasses import dataclass, field, replace

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.auto.optimizer import asks_for_few_epochs
from sgdkit.auto.rate import rate_choice
from sgdkit.estimators.base import BaseSGDPlus, draw_seeds, warn_of_max_iter
from sgdkit.estimators.callbacks import FitTasks
from sgdkit.estimators.columns import join_problems, join_schedules, join_weights
from sgdkit.estimators.data import ALL_ZERO, check_validation, encode, targets_kind
from sgdkit.estimators.fitted import publish
from sgdkit.estimators.labels import make_loss
from sgdkit.estimators.plan import Plan, make_plan, set_rates
from sgdkit.estimators.scoring import validation_scorer
from sgdkit.training.course import Course, Diverged
from sgdkit.training.loop import train
from sgdkit.training.trainer import Trainer

# What each column of a pass may have for itself, with any loss.
OF_A_COLUMN = ("alpha", "l1_ratio", "eta0", "max_iter", "tol", "n_iter_no_change")


def column_parameters(candidate):
    """The parameters in which a candidate may differ from those that share its passes, as a dictionary."""
    parameters = candidate.get_params(deep=False)
    names = *OF_A_COLUMN, "class_weight", _loss_parameter_name(candidate)
    return {name: parameters[name] for name in names if name in parameters}


def _loss_parameter_name(candidate):
    return targets_kind(candidate).losses[candidate.loss].parameter_name


def sharing_key(candidate, number):
    """What candidates that share passes have in common."""
    of_columns = column_parameters(candidate)
    parameters = {
        name: value for name, value in candidate.get_params(deep=False).items() if name not in of_columns
    }
    # A rate that is chosen is not one that is given; an end that is planned, not one that progress decides; few epochs
    # are not many; without an l1 norm, the penalty may take another way; and targets may be valid for one number of the
    # loss alone.
    has_no_l1 = candidate.penalty == "elasticnet" and candidate.l1_ratio == 0
    domain = make_loss(candidate, targets_kind(candidate).losses).minimum_target
    ends = candidate.tol in ("auto", None), asks_for_few_epochs(candidate)
    return hashed((parameters, rate_choice(candidate).chosen, ends, has_no_l1, domain), number)


def hashed(value, number):
    """What is the same for equal values; of one that cannot be hashed, the number of its candidate."""
    try:
        return joblib.hash(value)
    except Exception:
        return number


@dataclass
class Group:
    """Candidates that share their passes.

    Attributes
    ----------
    estimator : BaseSGDPlus
        One of them, not fitted.
    numbers : list of int
        The places of the candidates in the search.
    parameters : list of dict
        The `column_parameters` of each candidate.
    """

    estimator: BaseSGDPlus
    numbers: list = field(default_factory=list)
    parameters: list = field(default_factory=list)

    def split(self, n_at_most):
        """The same candidates in groups of at most so many."""
        for begin in range(0, len(self.numbers), n_at_most):
            part = slice(begin, begin + n_at_most)
            yield Group(clone(self.estimator), self.numbers[part], self.parameters[part])


@dataclass
class Fold:
    """Rows to train on and rows to score, as the final estimator is to see them.

    Attributes
    ----------
    X : ndarray or CSR
        Validated. The training rows are some of its rows.
    rows : Rows
    y : ndarray
        Of all rows of X.
    sample_weight : ndarray or None
    train : ndarray of int
    validation : tuple, or None
        The rows, targets and weights of the user's own validation set.
    given : dict
        The training rows as the user gave them, for callbacks; see `call_arguments`.
    """

    X: object
    rows: Rows
    y: np.ndarray
    sample_weight: np.ndarray | None
    train: np.ndarray
    validation: tuple | None = None
    given: dict = field(default_factory=dict)

    def data(self, settings):
        """The training rows as `Data`: all rows of X, of which some count."""
        train, n_rows = self.train, _num_samples(self.X)
        kind = targets_kind(settings).learn(self.y[train])
        sample_weight = None if self.sample_weight is None else self.sample_weight[train]
        data = encode(settings, kind, None, self.y[train], sample_weight)
        if not data.n_rows:
            raise ValueError(ALL_ZERO)

        def spread(values):
            if values is None:
                return None
            whole = np.zeros((n_rows, *values.shape[1:]), dtype=values.dtype)
            whole[train] = values
            return whole

        row_indices = train if data.row_indices is None else train[data.row_indices]
        return replace(
            data,
            X=self.X,
            y=self.y,
            targets=Targets(spread(data.targets.values), data.targets.column, signs=data.targets.signs),
            sample_weight=self.sample_weight,
            row_weights=spread(data.row_weights),
            row_indices=row_indices,
            rows=self.rows,
        )


@dataclass
class Candidate:
    """A candidate on its way to a model.

    Attributes
    ----------
    place : int
        In its group.
    parameters : dict
        Its `column_parameters`.
    model : BaseSGDPlus
        The estimator that is to become the model.
    plan : Plan
    score : callable, or None
        That of its `Course`.
    course : Course
    tasks : FitTasks, or None
        Those of the estimator's callbacks.
    error : Exception, or None
        Why there is no model.
    """

    place: int
    parameters: dict
    model: BaseSGDPlus | None = None
    plan: Plan | None = None
    score: object = None
    course: Course | None = None
    tasks: FitTasks | None = None
    error: Exception | None = None

    @property
    def may_retreat(self):
        """Whether it has failed at a rate of our own choice."""
        chosen = self.plan.rate_choice.chosen and self.plan.rate is not None
        return chosen and isinstance(self.course.error, Diverged)

    @property
    def unfinished(self):
        course = self.course
        return course.error is None and course.patience.tol is not None and not course.history.converged

    def publish(self):
        """Make the estimator a fitted model, and let go of what it was trained with."""
        self.error = self.course.error
        if self.error is None:
            self.plan.truncate(self.course)
            publish(self.model, self.plan, self.course.history, self.course.first_rate)
            if self.tasks is not None:
                self.tasks.end()
        self.plan = self.score = self.course = self.tasks = None


def _equal_in(candidates, name):
    """Candidates in lists of those that have the same value of a parameter."""
    parts = {}
    for candidate in candidates:
        parts.setdefault(hashed(candidate.parameters.get(name), candidate.place), []).append(candidate)
    return parts.values()


def fit_group(group, fold, *, listeners=(), tasks_of=lambda number, model, plan: None):
    """Fit the candidates of a group to the training rows of a fold.

    `listeners` are those of `train`; `tasks_of` says what the callbacks of a candidate's model are told by, if any.

    Returns
    -------
    results : list of (BaseSGDPlus or None, Exception or None)
        For each candidate, the fitted model, or why there is none.
    """
    # What the loss asks of targets, it asks of those to train on.
    targets_kind(group.estimator).check(group.estimator, fold.y[fold.train])
    seeds, shared, waiting = draw_seeds(group.estimator.random_state), {}, []
    options = {"seed": seeds[2], "listeners": listeners}
    everyone = [Candidate(place, parameters) for place, parameters in enumerate(group.parameters)]
    for candidates in _equal_in(everyone, "class_weight"):
        try:
            candidates = _plan(candidates, group.estimator, fold, seeds=seeds, shared=shared)
        except Exception as error:
            for candidate in candidates:
                candidate.error = error
            continue
        for candidate in candidates:
            candidate.tasks = tasks_of(group.numbers[candidate.place], candidate.model, candidate.plan)
        if not candidates:
            continue
        if candidates[0].plan.problem.rows is fold.rows:
            waiting += candidates
        else:
            # Scaled rows are a copy, which is not to be kept any longer.
            _train(candidates, **options)
    _train(waiting, **options)
    return [(None if c.error is not None else c.model, c.error) for c in everyone]


def _plan(candidates, estimator, fold, *, seeds, shared):
    """Make the plans of candidates of the same class weights; return those that have one.

    `shared` holds the indices of the rows to visit, and the rows held out, for candidates that have the same.
    """
    settings = copy.copy(estimator).set_params(**candidates[0].parameters)
    data, validation = fold.data(settings), None
    whole = data.row_indices.tobytes()
    if fold.validation is not None:
        validation = check_validation(settings, data, *fold.validation)
        validation.X = shared.setdefault("given", validation.X)
    elif settings.early_stopping:
        data, validation = data.split(settings.validation_fraction, seeds[0])
        validation.X = shared.setdefault(("held out", whole), validation.X)
    data.row_indices = shared.setdefault(whole, data.row_indices)
    made = {}
    for candidate in candidates:
        candidate.model = copy.copy(estimator).set_params(**candidate.parameters)
        try:
            candidate.plan = make_plan(candidate.model, data, seed=seeds[1], made=made)
        except Exception as error:
            candidate.error = error
    candidates = [candidate for candidate in candidates if candidate.error is None]
    for equal in _equal_in(candidates, _loss_parameter_name(settings)):
        for candidate in equal if validation is not None else []:
            # Their mean losses come from one product; another scorer may look at what was chosen for a candidate.
            shares = settings.scoring == "loss" and candidate is not equal[0]
            candidate.score = equal[0].score if shares else validation_scorer(candidate.plan, validation)
        set_rates([candidate.plan for candidate in equal], seed=seeds[1])
    return candidates


def _clock(candidate):
    """What is the same for candidates that can be trained together.

    The columns of a penalty that waits share a clock, so they need the same rates, times a factor. Full gradients have
    nothing to share but two products, and would all try as many rates and make as many steps as the slowest.
    """
    plan = candidate.plan
    if plan.optimizer.full_batch:
        return None, candidate.place
    waits = plan.settings.average or not plan.optimizer.scales_with_gradient
    waits = waits or not plan.problem.penalty.shrinks_alike
    schedule = plan.schedule(plan.rate)
    common = id(plan.problem.row_indices), type(plan.optimizer), schedule.shape
    if not waits or schedule.separable:
        return common
    return *common, plan.rate, schedule.alpha


def _train(candidates, **options):
    """Make models of candidates, again at lower rates of those that overflow at rates of our own choice."""
    pending, n_retreats = candidates, max((c.plan.rate_choice.n_retreats for c in candidates), default=0)
    while pending:
        parts = {}
        for candidate in pending:
            parts.setdefault(_clock(candidate), []).append(candidate)
        for part in parts.values():
            _train_joined(part, **options)
        pending = [candidate for candidate in pending if n_retreats and candidate.may_retreat]
        for candidate in pending:
            candidate.plan.rate /= 10
        n_retreats -= 1
    unfinished = [candidate.course.max_iter for candidate in candidates if candidate.unfinished]
    for candidate in candidates:
        candidate.publish()
    if unfinished:
        warn_of_max_iter(max(unfinished), stacklevel=3)


def _train_joined(candidates, *, seed, listeners):
    """Train candidates in the same passes."""
    plans = [candidate.plan for candidate in candidates]
    settings, problem = plans[0].settings, join_problems(plans)
    schedule, rate_factors = join_schedules(plans)
    options = {"fit_intercept": settings.fit_intercept, "average_from": int(settings.average)}
    trainer = Trainer(plans[0].optimizer, schedule, problem, rate_factors=rate_factors, seed=seed, **options)
    trainer.load(join_weights(plans))
    for candidate in candidates:
        candidate.course = candidate.plan.course(candidate.score, keeps_last=False)
        if candidate.tasks is not None:
            candidate.tasks.course = candidate.course
    told = [candidate.tasks for candidate in candidates if candidate.tasks is not None]
    courses = [candidate.course for candidate in candidates]
    train(trainer, problem, courses, shuffle=settings.shuffle, listeners=[*listeners, *told])
