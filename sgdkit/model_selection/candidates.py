"""Candidates of a search: which of them share passes over the rows of a fold, and those passes.

Candidates that differ in what a column may have for itself (`alpha`, `l1_ratio`, `eta0`, the weights of classes, the
loss's own number, and when it stops) are columns of one `Trainer`; those that differ in anything else are groups, with
passes of their own. A fold is the order of its rows, not a copy of them.

Of a group, each candidate has an estimator of its own, which does all that it would do alone but the passes. Where it
comes to visit other rows (a class has no weight), to scale them by its own weights, or to choose another optimizer, it
has passes of its own too.

Invariant: a model is the one that the estimator alone would fit to the rows of the fold.
"""

import copy
from dataclasses import dataclass, field, replace

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from sgdkit._kernels.rows import Rows, Targets
from sgdkit.auto.rate import choose_rates
from sgdkit.estimators.base import ALL_ZERO, RETREATS, BaseSGDPlus, Data, warn_of_max_iter
from sgdkit.penalties import Penalty
from sgdkit.training.course import Course, Diverged
from sgdkit.training.loop import train
from sgdkit.training.problem import Problem
from sgdkit.training.trainer import Trainer

# What each column of a pass may have for itself, with any loss.
OF_A_COLUMN = ("alpha", "l1_ratio", "eta0", "max_iter", "tol", "n_iter_no_change")


def own_parameters(candidate):
    """What a candidate may have for itself among those that share its passes, as a dictionary."""
    parameters = candidate.get_params(deep=False)
    names = *OF_A_COLUMN, "class_weight", candidate._losses[candidate.loss].parameter_name
    return {name: parameters[name] for name in names if name in parameters}


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
        What each candidate has for itself, its `own_parameters`.
    """

    estimator: BaseSGDPlus
    numbers: list = field(default_factory=list)
    parameters: list = field(default_factory=list)

    def split(self, n_together):
        """The same candidates in groups of at most so many."""
        for begin in range(0, len(self.numbers), n_together):
            part = slice(begin, begin + n_together)
            yield Group(clone(self.estimator), self.numbers[part], self.parameters[part])


@dataclass
class Fold:
    """Rows to train on and rows to score, as the final estimator is to see them.

    Attributes
    ----------
    X, X_test : ndarray or CSR
        Validated. The training rows are some of those of X.
    rows : Rows
    y : ndarray
        Of all rows of X.
    sample_weight : ndarray or None
    train : ndarray of int
    """

    X: object
    rows: Rows
    y: np.ndarray
    sample_weight: np.ndarray | None
    train: np.ndarray


def sharing_key(candidate, number):
    """What candidates that share passes have in common."""
    own = own_parameters(candidate)
    parameters = {name: value for name, value in candidate.get_params(deep=False).items() if name not in own}
    # A rate that is chosen is not one that is given; without an l1 norm, the penalty may take another way.
    kind = candidate.eta0 == "auto", candidate.penalty == "elasticnet" and candidate.l1_ratio == 0
    return hashed((parameters, kind), number)


def hashed(value, number):
    """What is the same for equal values; of one that cannot be hashed, the number of its candidate."""
    try:
        return joblib.hash(value)
    except Exception:
        return number


def _fold_data(estimator, fold):
    """The training rows of a fold as `Data`: all rows, of which some are visited."""
    train, n_rows = fold.train, _num_samples(fold.X)
    estimator._meet_targets(fold.y[train])
    weights = None if fold.sample_weight is None else fold.sample_weight[train]
    part = estimator._data(None, fold.y[train], weights)
    if not part.n_visited:
        raise ValueError(ALL_ZERO)

    def spread(values):
        if values is None:
            return None
        whole = np.zeros((n_rows, *values.shape[1:]), dtype=values.dtype)
        whole[train] = values
        return whole

    targets = Targets(spread(part.targets.values), part.targets.column)
    visited = train if part.visited is None else train[part.visited]
    return Data(fold.X, fold.y, targets, fold.sample_weight, spread(part.weights), visited, fold.rows)


@dataclass
class Candidate:
    """A candidate on its way to a model.

    Attributes
    ----------
    place : int
        In its group.
    given : dict
        Its `own_parameters`.
    estimator : BaseSGDPlus
        Which is to become the model.
    data : Data
    problem : Problem
        Of this model alone.
    initial : ndarray of shape (n_features + 1, n_columns)
        The weights to begin with.
    score : callable, or None
        That of its `Course`.
    rate : float, or None
        The first one; None stands for backtracking.
    course : Course
    error : Exception, or None
        Why there is no model.
    """

    place: int
    given: dict
    estimator: BaseSGDPlus | None = None
    data: Data | None = None
    problem: Problem | None = None
    initial: np.ndarray | None = None
    score: object = None
    rate: float | None = None
    course: Course | None = None
    error: Exception | None = None

    @property
    def may_retreat(self):
        """Whether it has failed at a rate of our own choice."""
        chosen = self.estimator.eta0 == "auto" and self.rate is not None
        return chosen and isinstance(self.course.error, Diverged)

    @property
    def unfinished(self):
        course = self.course
        return course.error is None and self.estimator.tol is not None and not course.history.converged

    def publish(self):
        """Make the estimator a fitted model, and let go of what it was trained with."""
        self.error = self.course.error
        if self.error is None:
            self.estimator._trainer = None
            self.estimator._publish_history(self.course.history, self.course.first_rate)
        self.data = self.problem = self.initial = self.score = self.course = None


def _alike(candidates, name):
    """Candidates in lists of those that have the same value of a parameter."""
    parts = {}
    for candidate in candidates:
        parts.setdefault(hashed(candidate.given.get(name), candidate.place), []).append(candidate)
    return parts.values()


def fit_group(group, fold, *, report=None, pause=None):
    """Fit the candidates of a group to the training rows of a fold.

    `report` and `pause` are those of `train`.

    Returns
    -------
    results : list of (BaseSGDPlus or None, Exception or None)
        For each candidate, the fitted model, or why there is none.
    """
    # What the loss asks of targets, it asks of those to train on.
    group.estimator._validate_targets(fold.y[fold.train])
    seeds, known, waiting = group.estimator._draw_seeds(), {}, []
    options = {"seed": seeds[2], "report": report, "pause": pause}
    everyone = [Candidate(*own) for own in enumerate(group.parameters)]
    for candidates in _alike(everyone, "class_weight"):
        try:
            _prepare(candidates, group.estimator, fold, seeds=seeds, known=known)
        except Exception as error:
            for candidate in candidates:
                candidate.error = error
            continue
        if candidates[0].problem.rows is fold.rows:
            waiting += candidates
        else:
            # Scaled rows are a copy, which is not to be kept any longer.
            _train(candidates, **options)
    _train(waiting, **options)
    return [(None if one.error is not None else one.estimator, one.error) for one in everyone]


def _prepare(candidates, estimator, fold, *, seeds, known):
    """Bring candidates of the same class weights to where the estimator alone begins to train.

    `known` holds the order of the rows to visit, and the rows held out, for candidates that have the same.
    """
    model = copy.copy(estimator).set_params(**candidates[0].given)
    data, validation = _fold_data(model, fold), None
    whole = data.visited.tobytes()
    if model.early_stopping:
        data, validation = model._split(data, seeds[0])
        validation.X = known.setdefault(("held out", whole), validation.X)
    data.visited = known.setdefault(whole, data.visited)
    model._seen = data.seen
    model._scale(data, goes_on=False)
    problem = model._problem(data, model._seen)
    model._choose_optimizer(problem)
    for alike in _alike(candidates, model._losses[model.loss].parameter_name):
        one = copy.copy(model).set_params(**alike[0].given)
        own = replace(problem, loss=one._make_loss(data.targets))
        score = None if validation is None else one._scorer(own, validation)
        initial = one._initial_weights(data, own, None, None)
        for candidate in alike:
            candidate.estimator = copy.copy(one).set_params(**candidate.given)
            candidate.data, candidate.problem = data, replace(own)
            candidate.initial, candidate.score = initial, score
        _set_strengths(alike, seeds[1])
        _set_rates(alike, seeds[1])


def _set_strengths(candidates, seed):
    """Set the penalties of candidates that have the same problem otherwise."""
    chosen = {}
    for candidate in candidates:
        model, problem = candidate.estimator, candidate.problem
        key = model.alpha, model.l1_ratio
        if key not in chosen:
            chosen[key] = model._chosen_alpha(candidate.data, problem, *key, seed=seed)
        model._set_strength(problem, chosen[key])


def _set_rates(candidates, seed):
    """Set the first rates of candidates whose problems differ in their penalties alone."""
    one = candidates[0].estimator
    if one.eta0 != "auto":
        for candidate in candidates:
            candidate.rate = float(candidate.estimator.eta0)
        return
    optimizer, problem = one.optimizer_, _joined(candidates)
    if optimizer._backtracks(problem.loss):
        return
    initial, rates = _beginning(candidates), {}
    options = {"fit_intercept": one.fit_intercept, "initial": initial, "seed": seed}
    for number, candidate in enumerate(candidates):
        schedule = candidate.estimator._new_schedule(1.0, problem.loss)
        key = None if schedule.separable or optimizer._scales_with_gradient else schedule.alpha
        if key not in rates:
            rates[key] = choose_rates(problem, optimizer, schedule, **options)
        candidate.rate = float(rates[key][number])


# ------------------------------------------------------------------------------------------------- columns of a pass


def _joined(candidates):
    """One problem for the columns of several candidates."""
    problems = [candidate.problem for candidate in candidates]
    n_columns = problems[0].targets.n_columns
    joined = problems[0].repeat(len(problems))
    penalties = [problem.penalty for problem in problems]
    strengths = (np.repeat([getattr(own, name) for own in penalties], n_columns) for name in ("l1", "l2"))
    joined.penalty = Penalty(*strengths, penalties[0].units)
    joined.loss = _together([problem.loss for problem in problems], n_columns)
    if any(problem.weights is not joined.weights for problem in problems):
        joined.weights = candidates[0].data.sample_weight
        tables = [candidate.estimator._class_weights() for candidate in candidates]
        joined.class_weights = np.ascontiguousarray(np.repeat(tables, n_columns, axis=0).T, dtype=np.float64)
        own = [np.divide(*candidate.estimator._seen) for candidate in candidates]
        joined.column_weights = np.repeat(own, n_columns)
    return joined


def _together(losses, n_columns):
    """One loss for the columns of all candidates."""
    numbers = [loss.parameter for loss in losses]
    if len({*numbers}) == 1:
        return losses[0]
    return type(losses[0])(np.repeat(np.array(numbers, dtype=np.float64), n_columns), losses[0].n_outputs)


def _beginning(candidates):
    """The weights that the columns of several candidates begin with."""
    return np.concatenate([candidate.initial for candidate in candidates], axis=1)


def _schedule(candidates, loss):
    """The schedule of several candidates, and the factor of each of their columns."""
    one, rates = candidates[0], [candidate.rate for candidate in candidates]
    if one.rate is None:
        return None, None
    n_columns = one.problem.targets.n_columns
    schedules = [candidate.estimator._new_schedule(candidate.rate, loss) for candidate in candidates]
    if schedules[0].separable:
        return one.estimator._new_schedule(1.0, loss), np.repeat(rates, n_columns)
    alphas = [schedule.alpha for schedule in schedules]
    if len({*zip(rates, alphas, strict=True)}) == 1:
        return schedules[0], None
    cls, power_t = type(schedules[0]), schedules[0].power_t
    return cls(np.repeat(rates, n_columns), power_t, np.repeat(alphas, n_columns)), None


def _clock(candidate):
    """What is the same for candidates that can be trained together.

    The columns of a penalty that waits share a clock, so they need the same rates, times a factor. Full gradients have
    nothing to share but two products, and would all try as many rates and make as many steps as the slowest.
    """
    model, optimizer = candidate.estimator, candidate.estimator.optimizer_
    if optimizer._full_batch:
        return None, candidate.place
    order = id(candidate.problem.order)
    shrinks_alike = candidate.problem.penalty.shrinks_alike
    waits = not shrinks_alike or model.average or not optimizer._scales_with_gradient
    schedule = model._new_schedule(candidate.rate, candidate.problem.loss)
    if not waits or schedule.separable:
        return order, None
    return order, candidate.rate, schedule.alpha


def _train(candidates, **options):
    """Make models of candidates, again at lower rates of those that overflow at rates of our own choice."""
    pending, n_retreats = candidates, RETREATS
    while pending:
        parts = {}
        for candidate in pending:
            parts.setdefault(_clock(candidate), []).append(candidate)
        for together in parts.values():
            _train_together(together, **options)
        pending = [one for one in pending if n_retreats and one.may_retreat]
        for candidate in pending:
            candidate.rate /= 10
        n_retreats -= 1
    unfinished = [candidate.estimator.max_iter for candidate in candidates if candidate.unfinished]
    for candidate in candidates:
        candidate.publish()
    if unfinished:
        warn_of_max_iter(max(unfinished), stacklevel=3)


def _train_together(candidates, *, seed, report, pause):
    """Train candidates in the same passes."""
    one, problem = candidates[0].estimator, _joined(candidates)
    schedule, scale = _schedule(candidates, problem.loss)
    factors = one._column_factors(candidates[0].problem)
    if factors is not None:
        factors = np.tile(factors, len(candidates))
        scale = factors if scale is None else scale * factors
    settings = {"fit_intercept": one.fit_intercept, "average_from": int(one.average)}
    trainer = Trainer(one.optimizer_, schedule, problem, scale=scale, seed=seed, **settings)
    trainer.load(_beginning(candidates))
    for candidate in candidates:
        candidate.course = candidate.estimator._new_course(candidate.score, keeps_last=False)
    courses = [candidate.course for candidate in candidates]
    train(trainer, problem, courses, shuffle=one.shuffle, report=report, pause=pause)
