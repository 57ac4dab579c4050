"""Candidates of a search: which of them share passes over the rows of a fold, and those passes.

Candidates that differ in what a column may have for itself (`alpha`, `l1_ratio`, `eta0`, the loss's own number, and
when it stops) are columns of one `Trainer`; those that differ in anything else are groups, with passes of their own. A
fold is the order of its rows, not a copy of them.

Invariant: a model is the one that the estimator alone would fit to the rows of the fold.
"""

import copy
from dataclasses import dataclass, field, replace

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import _num_samples

from sgdkit.base import ALL_ZERO, RETREATS, BaseSGDPlus, Data, warn_of_max_iter
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.rates import choose_rates
from sgdkit.rows import Rows, Targets
from sgdkit.schedules import SCHEDULES
from sgdkit.training import Trainer, train

# What each column of a pass may have for itself, with any loss.
OF_A_COLUMN = ("alpha", "l1_ratio", "eta0", "max_iter", "tol", "n_iter_no_change")


def own_parameters(candidate):
    """What a candidate may have for itself among those that share its passes, as a dictionary."""
    names = OF_A_COLUMN
    # Validation losses of columns that are trained together are computed together, with one number.
    if not (candidate.early_stopping and candidate.scoring == "loss"):
        names += tuple(filter(None, [candidate._losses[candidate.loss].parameter_name]))
    return {name: getattr(candidate, name) for name in names}


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


def _strengths(estimator, parameters, n_columns):
    """The penalty of several candidates, with numbers for each of their columns."""
    units = estimator._units()
    penalties = [
        PENALTIES[estimator.penalty](own["alpha"], own["l1_ratio"]).of_units(units) for own in parameters
    ]
    strengths = (np.repeat([getattr(p, name) for p in penalties], n_columns) for name in ("l1", "l2"))
    return Penalty(*strengths, penalties[0].units)


def _schedule(estimator, parameters, rates, loss, n_columns):
    """The schedule of several candidates, and the factor of each of their columns."""
    if rates is None:
        return None, None
    name = estimator.learning_rate
    cls = SCHEDULES[estimator.optimizer_._schedule_for(loss) if name == "auto" else name]
    alphas = [estimator._curvature(own["alpha"]) for own in parameters]
    if cls.separable:
        return cls(1.0, estimator.power_t, alphas[0]), np.repeat(rates, n_columns)
    if len({*zip(rates, alphas, strict=True)}) == 1:
        return cls(float(rates[0]), estimator.power_t, alphas[0]), None
    return cls(np.repeat(rates, n_columns), estimator.power_t, np.repeat(alphas, n_columns)), None


def _own_losses(estimator, parameters, targets):
    """The loss of each candidate."""
    name = estimator._losses[estimator.loss].parameter_name
    if name not in parameters[0]:
        return [estimator._make_loss(targets)] * len(parameters)
    return [copy.copy(estimator).set_params(**{name: own[name]})._make_loss(targets) for own in parameters]


def _together(losses, n_columns):
    """One loss for the columns of all candidates."""
    numbers = [loss.parameter for loss in losses]
    if len({*numbers}) == 1:
        return losses[0]
    return type(losses[0])(np.repeat(np.array(numbers, dtype=np.float64), n_columns), losses[0].n_outputs)


def _with_strengths(estimator, parameters, data, problem, losses, *, seed):
    """What each candidate has for itself, with `alpha` as a number."""
    chosen, keys = {}, []
    for own, loss in zip(parameters, losses, strict=True):
        key = own["alpha"], own["l1_ratio"], loss.parameter
        keys.append(key)
        if key not in chosen:
            chosen[key] = estimator._chosen_alpha(data, replace(problem, loss=loss), *key[:2], seed=seed)
    return [{**own, "alpha": chosen[key]} for own, key in zip(parameters, keys, strict=True)]


def _beginnings(estimator, data, problem, losses):
    """The weights that each candidate begins with; one array for all of the same loss."""
    by_number = {}
    for loss in losses:
        if loss.parameter not in by_number:
            own = replace(problem, loss=loss)
            by_number[loss.parameter] = estimator._initial_weights(data, own, None, None)
    return [by_number[loss.parameter] for loss in losses]


def fit_group(group, fold, report=None):
    """Fit the candidates of a group to the training rows of a fold.

    Returns
    -------
    results : list of (BaseSGDPlus or None, Exception or None)
        For each candidate, the fitted model, or why there is none.
    """
    estimator = group.estimator
    # What the loss asks of targets, it asks of those to train on.
    estimator._validate_targets(fold.y[fold.train])
    data, seeds = _fold_data(estimator, fold), estimator._draw_seeds()
    validation = None
    if estimator.early_stopping:
        data, validation = estimator._split(data, seeds[0])
    estimator._seen = data.seen
    estimator._scale(data, goes_on=False)
    one = estimator._problem(data, estimator._seen)
    estimator._choose_optimizer(one)
    losses = _own_losses(estimator, group.parameters, data.targets)
    parameters = _with_strengths(estimator, group.parameters, data, one, losses, seed=seeds[1])
    estimator.alpha_ = parameters[0]["alpha"]
    score = None if validation is None else estimator._scorer(one, validation)
    initial = _beginnings(estimator, data, one, losses)
    problem = one.repeat(len(group.numbers))
    problem.penalty = _strengths(estimator, parameters, one.targets.n_columns)
    problem.loss = _together(losses, one.targets.n_columns)
    rates = _first_rates(estimator, parameters, problem, losses, initial=initial, seed=seeds[1])
    options = {"initial": initial, "score": score, "seed": seeds[2], "report": report}
    courses = _train_group(estimator, parameters, problem, rates, **options)
    results = []
    for own, given, course in zip(parameters, group.parameters, courses, strict=True):
        if course.error is not None:
            results.append((None, course.error))
            continue
        model = copy.copy(estimator).set_params(**given)
        model.alpha_ = own["alpha"]
        model._set_weights(course.history.weights)
        model._trainer = None
        model._publish_history(course.history, course.first_rate)
        results.append((model, None))
    unfinished = [
        own["max_iter"]
        for own, course in zip(parameters, courses, strict=True)
        if own["tol"] is not None and course.error is None and not course.history.converged
    ]
    if unfinished:
        warn_of_max_iter(max(unfinished), stacklevel=2)
    return results


def _first_rates(estimator, parameters, problem, losses, *, initial, seed):
    """The first rate of each candidate; None stands for backtracking."""
    optimizer = estimator.optimizer_
    if estimator.eta0 != "auto":
        return [float(own["eta0"]) for own in parameters]
    if optimizer._backtracks(problem.loss):
        return [None] * len(parameters)
    rates = np.empty(len(parameters))
    for number in {loss.parameter: None for loss in losses}:
        models = [model for model, loss in enumerate(losses) if loss.parameter == number]
        part = replace(problem.take(models), loss=losses[models[0]])
        own, weights = [parameters[model] for model in models], np.tile(initial[models[0]], len(models))
        rates[models] = _rates_of_a_loss(estimator, own, part, initial=weights, seed=seed)
    return rates.tolist()


def _rates_of_a_loss(estimator, parameters, problem, *, initial, seed):
    """The rates that candidates of one and the same loss choose."""
    optimizer = estimator.optimizer_
    options = {"fit_intercept": estimator.fit_intercept, "initial": initial, "seed": seed}
    rates = {}
    for own in parameters:
        if own["alpha"] not in rates:
            estimator.alpha_ = own["alpha"]  # which the schedule may depend on
            schedule = estimator._new_schedule(1.0, problem.loss)
            chosen = rates[own["alpha"]] = choose_rates(problem, optimizer, schedule, **options)
            if schedule.separable or optimizer._scales_with_gradient:
                return chosen
    return [rates[own["alpha"]][model] for model, own in enumerate(parameters)]


def _of_one_clock(estimator, parameters, problem, *, models, rates):
    """Split models into those that can be trained together.

    The columns of a penalty that waits share a clock, so they need the same rates, times a factor. Full gradients have
    nothing to share but two products, and would all try as many rates and make as many steps as the slowest.
    """
    optimizer = estimator.optimizer_
    if optimizer._full_batch:
        return [[model] for model in models]
    name = (
        optimizer._schedule_for(problem.loss)
        if estimator.learning_rate == "auto"
        else estimator.learning_rate
    )
    waits = not problem.penalty.shrinks_alike or estimator.average or not optimizer._scales_with_gradient
    if not waits or SCHEDULES[name].separable:
        return [models]
    parts = {}
    for model in models:
        parts.setdefault((rates[model], parameters[model]["alpha"]), []).append(model)
    return list(parts.values())


def _train_group(estimator, parameters, problem, rates, *, initial, score, seed, report):
    """Train candidates, again at lower rates those that overflow at rates of our own choice."""
    n_columns = problem.targets.n_columns // problem.n_models
    factors = estimator._column_factors(problem.take([0]))
    courses = [None] * problem.n_models
    pending, n_retreats = list(range(problem.n_models)), RETREATS if estimator.eta0 == "auto" else 0
    while pending:
        for together in _of_one_clock(estimator, parameters, problem, models=pending, rates=rates):
            own = [parameters[model] for model in together]
            own_rates = None if rates[0] is None else [rates[model] for model in together]
            schedule, scale = _schedule(estimator, own, own_rates, problem.loss, n_columns)
            if factors is not None:
                own_factors = np.tile(factors, len(together))
                scale = own_factors if scale is None else scale * own_factors
            part = problem.take(together)
            settings = {"fit_intercept": estimator.fit_intercept, "average_from": int(estimator.average)}
            optimizer = estimator.optimizer_
            trainer = Trainer(optimizer, schedule, part, scale=scale, seed=seed, **settings)
            trainer.load(np.concatenate([initial[model] for model in together], axis=1))
            for model, settings in zip(together, own, strict=True):
                limits = {name: settings[name] for name in ("max_iter", "tol", "n_iter_no_change")}
                courses[model] = estimator._new_course(score, keeps_last=False, **limits)
            mine = [courses[model] for model in together]
            train(trainer, part, mine, score=score, shuffle=estimator.shuffle, report=report)
        pending = [model for model in pending if courses[model].error is not None and n_retreats]
        for model in pending:
            rates[model] /= 10
        n_retreats -= 1
    return courses
