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
from sgdkit.estimators.data import ALL_ZERO, check_validation, encode, rows_as, targets_kind
from sgdkit.estimators.fitted import publish, publish_now
from sgdkit.estimators.labels import make_loss
from sgdkit.estimators.plan import Plan, make_plan, set_rates
from sgdkit.estimators.scoring import validation_scorer
from sgdkit.model_selection.stages import Stage, in_step, paused, step
from sgdkit.training.course import Course, Diverged
from sgdkit.training.loop import Epoch, training
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
    # They also agree in: whether the rate is chosen or given; whether a plan ends training, or progress; whether epochs
    # are to be few; whether the penalty lacks an l1 norm, which lets it be taken in another way; and the targets for
    # which the loss is defined, which may depend on its number.
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


def features_seen(estimator):
    """The attributes by which an estimator that has seen rows knows their features."""
    names = "n_features_in_", "feature_names_in_"
    return {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}


@dataclass
class Fold:
    """Rows to train on and rows to score, as the final estimator is to see them.

    Attributes
    ----------
    X : ndarray or CSR
        Validated, but not converted where `rows` is None. The training rows are some of its rows.
    rows : Rows, or None
        None where X has to be converted: each pass has its training rows converted then, which are its own to change.
    y : ndarray
        Of all rows of X.
    sample_weight : ndarray or None
    train : ndarray of int
    dtype : dtype
        That of training.
    validation : tuple, or None
        The rows, targets and weights of the user's own validation set.
    given : dict
        The training rows as the user gave them, for callbacks; see `call_arguments`.
    features : dict
        What is known of the features, see `features_seen`.
    subset : Subset, or None
        The features of `rows`, where these are few among those of X.
    """

    X: object
    rows: Rows | None
    y: np.ndarray
    sample_weight: np.ndarray | None
    train: np.ndarray
    dtype: object
    validation: tuple | None = None
    given: dict = field(default_factory=dict)
    features: dict = field(default_factory=dict)
    subset: object = None

    def settings(self, estimator, parameters):
        """An estimator with some parameters that knows the features."""
        settings = copy.copy(estimator).set_params(**parameters)
        vars(settings).update(self.features)
        return settings

    def data(self, settings):
        """The training rows as `Data`: some of all rows of X count; of converted ones, all."""
        train, n_rows = self.train, _num_samples(self.X)
        kind = targets_kind(settings).learn(self.y[train])
        sample_weight = None if self.sample_weight is None else self.sample_weight[train]
        data = encode(settings, kind, None, self.y[train], sample_weight)
        if not data.n_rows:
            raise ValueError(ALL_ZERO)
        if self.rows is None:
            X = rows_as(self.X, train, self.dtype)
            return replace(data, X=X, rows=Rows(X, owned=True))

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
            subset=self.subset,
        )


@dataclass
class Candidate:
    """A candidate on its way to a model.

    Attributes
    ----------
    number : int
        In the search.
    parameters : dict
        Its `column_parameters`.
    model : BaseSGDPlus
        The estimator that is to become the model.
    plan : Plan, or None
        None before it is planned, and after its training has ended.
    score : callable, or None
        That of its `Course`.
    course : Course
    epoch : Epoch, or None
        At which its pass pauses.
    n_retreats : int
        How often it may still begin again at a lower rate.
    tasks : FitTasks, or None
        Those of the estimator's callbacks.
    error : Exception, or None
        Why there is no model.
    told : bool
        Whether its final model, or its error, has been handed over.
    """

    number: int
    parameters: dict
    model: BaseSGDPlus | None = None
    plan: Plan | None = None
    score: object = None
    course: Course | None = None
    epoch: Epoch | None = None
    n_retreats: int = 0
    tasks: FitTasks | None = None
    error: Exception | None = None
    told: bool = False

    def new_course(self):
        return self.plan.course(self.score, keeps_last=False)

    @property
    def may_retreat(self):
        """Whether it has failed at a rate of our own choice."""
        if self.plan is None or not isinstance(self.course.error, Diverged):
            return False
        return self.n_retreats > 0 and self.plan.rate_choice.chosen and self.plan.rate is not None

    def retreat(self):
        self.plan.rate /= 10
        self.n_retreats -= 1

    @property
    def over(self):
        """Whether it is to be published."""
        return self.plan is not None and self.course.over

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
        self._let_go()

    def leave(self):
        """Leave the pass before training has come to its end."""
        if self.plan is not None:
            self.course.over = self.told = True
            self._let_go(self.epoch)

    def _let_go(self, epoch=None):
        if self.tasks is not None and self.error is None:
            self.tasks.end(epoch)
        self.plan = self.score = self.course = self.epoch = self.tasks = None

    def so_far(self):
        """The model that would be returned if training stopped now."""
        model, columns = copy.copy(self.model), self.epoch.columns[self.epoch.courses.index(self.course)]
        rate = float(self.epoch.trainer.rates(1)[columns].max())
        publish_now(model, self.plan, self.course, self.epoch.coef[:, columns], rate)
        return model


def _news(candidates):
    """What is new of candidates since the last call, as a list of (number, model or None, error or None)."""
    news = []
    for candidate in candidates:
        if candidate.epoch is not None:
            news.append((candidate.number, candidate.so_far(), None))
        elif candidate.plan is None and not candidate.told:
            model = None if candidate.error is not None else candidate.model
            news.append((candidate.number, model, candidate.error))
            candidate.told, candidate.model = True, None
    return news


def _equal_in(candidates, name):
    """Candidates in lists of those that have the same value of a parameter."""
    parts = {}
    for candidate in candidates:
        parts.setdefault(hashed(candidate.parameters.get(name), candidate.number), []).append(candidate)
    return parts.values()


def fit_group(group, fold):
    """Fit the candidates of a group to the training rows of a fold.

    Returns
    -------
    results : list of (BaseSGDPlus or None, Exception or None)
        For each candidate, the fitted model, or why there is none.
    """
    news, _ = step(fitting(group, fold, Stage()))
    return [(model, error) for _, model, error in news]


def fitting(group, fold, stage, *, listeners=(), tasks_of=lambda number, model, plan, rows: None):
    """What `fit_group` does, as a generator that pauses at the end of each `Stage`.

    `listeners` are those of `train`; `tasks_of` says what the callbacks of a candidate's model are told by, if any.
    It yields, and returns, the `_news` of the candidates: the models that they have come to.
    """
    # The loss has to be defined for the targets that are trained on.
    targets_kind(group.estimator).check(group.estimator, fold.y[fold.train])
    everyone = [Candidate(*each) for each in zip(group.numbers, group.parameters, strict=True)]
    for _ in in_step(_trainings(everyone, group.estimator, fold, stage, listeners, tasks_of)):
        yield _news(everyone)
        for candidate in everyone:
            if candidate.number in stage.out:
                candidate.leave()
            # It has the weights of the whole pass.
            candidate.epoch = None
    return _news(everyone)


def fitting_each(group, folds, stage, **options):
    """`fitting` of the same candidates to several folds, at the same time; their models are lists of one for each."""
    results = {number: [None] * len(folds) for number in group.numbers}
    runs = {}
    for k, fold in enumerate(folds):
        # Each draws its seeds from a generator of its own.
        alone = replace(group, estimator=clone(group.estimator))
        runs[k] = fitting(alone, fold, stage, **options)
    while True:
        fresh = set()
        for k, run in list(runs.items()):
            news, over = step(run)
            for number, *result in news:
                results[number][k] = result
                fresh.add(number)
            if over:
                del runs[k]
        news = [(number, *_all_of(results[number])) for number in group.numbers if number in fresh]
        if not runs:
            return news
        yield [each for each in news if each[1:] != (None, None)]
        del news
        results = {number: result for number, result in results.items() if number not in stage.out}


def _all_of(results):
    """A list of models, or why one of them is missing; neither if they are still to come."""
    errors = [error for _, error in filter(None, results) if error is not None]
    if errors or None in results:
        return None, errors[0] if errors else None
    return [model for model, _ in results], None


def _trainings(everyone, estimator, fold, stage, listeners, tasks_of):
    """Plan all candidates, and yield generators that train them; each is to run before the next is made."""
    seeds, shared, waiting = draw_seeds(estimator.random_state), {}, []
    options = {"seed": seeds[2], "listeners": listeners}
    for candidates in _equal_in(everyone, "class_weight"):
        try:
            candidates = _plan(candidates, estimator, fold, seeds=seeds, shared=shared)
        except Exception as error:
            for candidate in candidates:
                candidate.plan, candidate.error = None, error
            continue
        for candidate in candidates:
            candidate.tasks = tasks_of(candidate.number, candidate.model, candidate.plan, fold.given)
        if not candidates:
            continue
        if candidates[0].plan.problem.rows is fold.rows:
            waiting += candidates
        else:
            # These are trained on a scaled copy of the rows, which is released before the next is made.
            yield _train(candidates, stage, **options)
    yield _train(waiting, stage, **options)


def _plan(candidates, estimator, fold, *, seeds, shared):
    """Make the plans of candidates of the same class weights; return those that have one.

    `shared` holds the indices of the rows to visit, and the rows held out, for candidates that have the same.
    """
    settings = fold.settings(estimator, candidates[0].parameters)
    data, validation = fold.data(settings), None
    whole = None if data.row_indices is None else data.row_indices.tobytes()
    if fold.validation is not None:
        validation = check_validation(settings, data, *fold.validation)
        validation.X = shared.setdefault("given", validation.X)
    elif settings.early_stopping:
        data, validation = data.split(settings.validation_fraction, seeds[0])
        if whole is not None:
            # Converted rows stand where those held out do, and are to live no longer than their passes.
            validation.X = shared.setdefault(("held out", whole), validation.X)
    data.row_indices = shared.setdefault(whole, data.row_indices)
    made = {}
    for candidate in candidates:
        candidate.model = fold.settings(estimator, candidate.parameters)
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

    Columns with a lazy penalty share a clock, so they need the same rates, up to a factor. Full gradients are computed
    for each candidate alone: together, all would try as many rates, and make as many steps, as the slowest.
    """
    plan = candidate.plan
    if plan.optimizer.full_batch:
        return None, candidate.number
    waits = plan.settings.average or not plan.optimizer.scales_with_gradient
    waits = waits or not plan.problem.penalty.shrinks_alike
    schedule = plan.schedule(plan.rate)
    common = id(plan.problem.row_indices), type(plan.optimizer), schedule.shape
    if not waits or schedule.separable:
        return common
    return *common, plan.rate, schedule.alpha


def _train(candidates, stage, **options):
    """Make models of candidates, again at lower rates of those that overflow at rates of our own choice.

    A generator that pauses when all passes have.
    """
    for candidate in candidates:
        candidate.n_retreats = candidate.plan.rate_choice.n_retreats
    if not stage.n_epochs:
        stage.lengths += [candidate.new_course().max_iter for candidate in candidates]
        yield
    passes, unfinished = _passes(candidates, stage, **options), []
    while passes:
        passes = paused(passes)
        while retreating := [candidate for candidate in candidates if candidate.may_retreat]:
            for candidate in retreating:
                candidate.retreat()
            passes += paused(_passes(retreating, stage, **options))
        for candidate in candidates:
            if candidate.over:
                unfinished += [candidate.course.max_iter] if candidate.unfinished else []
                candidate.publish()
        if passes:
            yield
    if unfinished:
        warn_of_max_iter(max(unfinished), stacklevel=3)


def _passes(candidates, stage, **options):
    """Generators that train candidates, those together that can be."""
    parts = {}
    for candidate in candidates:
        parts.setdefault(_clock(candidate), []).append(candidate)
    return [_train_joined(part, stage, **options) for part in parts.values()]


def _train_joined(candidates, stage, *, seed, listeners):
    """Train candidates in the same passes; a generator that pauses at the end of a stage."""
    plans = [candidate.plan for candidate in candidates]
    settings, problem = plans[0].settings, join_problems(plans)
    schedule, rate_factors = join_schedules(plans)
    options = {"fit_intercept": settings.fit_intercept, "average_from": int(settings.average)}
    trainer = Trainer(plans[0].optimizer, schedule, problem, rate_factors=rate_factors, seed=seed, **options)
    trainer.load(join_weights(plans))
    for candidate in candidates:
        candidate.course = candidate.new_course()
        if candidate.tasks is not None:
            candidate.tasks.course = candidate.course
    told = [candidate.tasks for candidate in candidates if candidate.tasks is not None]
    courses = [candidate.course for candidate in candidates]
    listeners = [*listeners, *told]
    for epoch in training(trainer, problem, courses, stage, shuffle=settings.shuffle, listeners=listeners):
        for candidate in candidates:
            if candidate.course in epoch.courses:
                candidate.epoch = epoch
        yield
