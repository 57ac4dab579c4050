"""Searches that train all candidates of a fold in the same passes over its rows.

Candidates that differ in what a column may have for itself (`alpha`, `l1_ratio`, `eta0`, and when it stops) are columns
of one `Trainer`; those that differ in anything else are groups, with passes of their own. A fold is the order of its
rows, not a copy of them.

Invariant: a model is the one that the estimator alone would fit to the rows of the fold.
"""

import copy
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from numbers import Real

import joblib
import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn import get_config
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, RandomizedSearchCV, check_cv
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _score,
    _warn_or_raise_about_fit_failures,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_method_params, _num_samples

from sgdkit.base import ALL_ZERO, RETREATS, BaseSGDPlus, Data
from sgdkit.optimizers import as_optimizer
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.pilot import choose_rates
from sgdkit.rows import Rows, Targets
from sgdkit.schedules import SCHEDULES
from sgdkit.training import Trainer, train

# What each column of a pass may have for itself.
OF_A_COLUMN = ("alpha", "l1_ratio", "eta0", "max_iter", "tol", "n_iter_no_change")
# Numbers in the array of scores of several models on a test set.
SCORES_AT_ONCE = 1 << 24


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
        What each candidate has for itself, of `OF_A_COLUMN`.
    """

    estimator: BaseSGDPlus
    numbers: list = field(default_factory=list)
    parameters: list = field(default_factory=list)

    def split(self, n_together):
        """The same candidates in groups of at most so many."""
        for begin in range(0, len(self.numbers), n_together):
            part = slice(begin, begin + n_together)
            yield Group(self.estimator, self.numbers[part], self.parameters[part])


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


# ------------------------------------------------------------------------------------------------------- training


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
    penalties = [PENALTIES[estimator.penalty](own["alpha"], own["l1_ratio"]) for own in parameters]
    return Penalty(*(np.repeat([getattr(p, name) for p in penalties], n_columns) for name in ("l1", "l2")))


def _schedule(estimator, parameters, rates, loss, n_columns):
    """The schedule of several candidates, and the factor of each of their columns."""
    if rates is None:
        return None, None
    name = estimator.learning_rate
    cls = SCHEDULES[as_optimizer(estimator.optimizer)._schedule_for(loss) if name == "auto" else name]
    alphas = [0.0 if estimator.penalty is None else own["alpha"] for own in parameters]
    if cls.separable:
        return cls(1.0, estimator.power_t, alphas[0]), np.repeat(rates, n_columns)
    if len({*zip(rates, alphas, strict=True)}) == 1:
        return cls(float(rates[0]), estimator.power_t, alphas[0]), None
    return cls(np.repeat(rates, n_columns), estimator.power_t, np.repeat(alphas, n_columns)), None


def _fit_group(group, fold, report=None):
    """Fit the candidates of a group to the training rows of a fold.

    Returns
    -------
    results : list of (BaseSGDPlus or None, Exception or None)
        For each candidate, the fitted model, or why there is none.
    """
    estimator = group.estimator = copy.copy(group.estimator)
    data, seeds = _fold_data(estimator, fold), estimator._draw_seeds()
    validation = None
    if estimator.early_stopping:
        data, validation = estimator._split(data, seeds[0])
    estimator._seen = data.seen
    one = estimator._problem(data, estimator._seen)
    score = None if validation is None else estimator._scorer(one, validation)
    initial = estimator._initial_weights(data, one, None, None)
    problem = one.repeat(len(group.numbers))
    problem.penalty = _strengths(estimator, group.parameters, one.targets.n_columns)
    rates = _first_rates(group, problem, initial, seeds[1])
    options = {"initial": initial, "score": score, "seed": seeds[2], "report": report}
    courses = _train_group(group, problem, rates, **options)
    results = []
    for own, course, rate in zip(group.parameters, courses, rates, strict=True):
        if course.error is not None:
            results.append((None, course.error))
            continue
        model = copy.copy(estimator).set_params(**own)
        model._set_weights(course.history.weights)
        model._trainer = None
        model._publish_history(course.history, rate)
        results.append((model, None))
    return results


def _first_rates(group, problem, initial, seed):
    """The first rate of each candidate; None stands for backtracking."""
    estimator, optimizer = group.estimator, as_optimizer(group.estimator.optimizer)
    if estimator.eta0 != "auto":
        return [float(own["eta0"]) for own in group.parameters]
    if optimizer._backtracks(problem.loss):
        return [None] * len(group.parameters)
    schedule = estimator._new_schedule(1.0, problem.loss)
    options = {"fit_intercept": estimator.fit_intercept, "seed": seed}
    initial = np.tile(initial, problem.n_models)
    return list(choose_rates(problem, optimizer, schedule, initial=initial, **options))


def _train_group(group, problem, rates, *, initial, score, seed, report):
    """Train candidates, again at lower rates those that overflow at rates of our own choice."""
    estimator, n_columns = group.estimator, problem.targets.n_columns // problem.n_models
    courses = [None] * problem.n_models
    pending, n_retreats = list(range(problem.n_models)), RETREATS if estimator.eta0 == "auto" else 0
    while pending:
        own = [group.parameters[model] for model in pending]
        own_rates = None if rates[0] is None else [rates[model] for model in pending]
        schedule, scale = _schedule(estimator, own, own_rates, problem.loss, n_columns)
        part = problem.take(pending)
        settings = {"fit_intercept": estimator.fit_intercept, "average_from": int(estimator.average)}
        optimizer = as_optimizer(estimator.optimizer)
        trainer = Trainer(optimizer, schedule, part, scale=scale, seed=seed, **settings)
        trainer.load(np.tile(initial, len(pending)))
        for model, parameters in zip(pending, own, strict=True):
            limits = {name: parameters[name] for name in ("max_iter", "tol", "n_iter_no_change")}
            courses[model] = estimator._new_course(score, keeps_last=False, **limits)
        together = [courses[model] for model in pending]
        train(trainer, part, together, score=score, shuffle=estimator.shuffle, report=report)
        pending = [model for model in pending if courses[model].error is not None and n_retreats]
        for model in pending:
            rates[model] /= 10
        n_retreats -= 1
    return courses


# -------------------------------------------------------------------------------------------------------- scoring


def _recall(model, X, scores):
    """Give a model the scores of a set of rows, so that predictions for this very set need no product."""
    method = "decision_function" if is_classifier(model) else "_linear_predictor"
    own = getattr(model, method)
    scores = scores.ravel() if scores.shape[1] == 1 else scores
    setattr(model, method, lambda other: scores.copy() if other is X else own(other))


def _with_scores(models, X, X_valid):
    """Yield models, each knowing its scores for the rows X; `X_valid` are the same rows, validated."""
    n_columns = np.size(models[0].intercept_) if models else 1
    n_together = max(1, SCORES_AT_ONCE // max(1, X_valid.shape[0] * n_columns))
    for begin in range(0, len(models), n_together):
        part = models[begin : begin + n_together]
        coef = np.concatenate([np.atleast_2d(model.coef_).T for model in part], axis=1)
        scores = np.asarray(X_valid @ coef) + np.concatenate([model.intercept_ for model in part])
        for k, model in enumerate(part):
            own = copy.copy(model)
            _recall(own, X, scores[:, k * n_columns : (k + 1) * n_columns])
            yield own


# --------------------------------------------------------------------------------------------------------- search


class Evaluation:
    """The candidates of a search on the folds of some rows.

    Parameters
    ----------
    search : OnePassSearch
    X, y : array-like
    splits : list of (ndarray of int, ndarray of int)
    scorer : callable
    routed : Bunch
        Parameters of fit, and of the scorer.
    """

    def __init__(self, search, X, y, splits, scorer, routed):
        self.search, self.X, self.y, self.splits, self.scorer = search, X, y, splits, scorer
        self.score_params = dict(routed.scorer.score)
        self.fit_params = dict(routed.estimator.fit)
        self.n_jobs = effective_n_jobs(search.n_jobs)

    def run(self, candidates):
        """Return what `_fit_and_score` would return, for each candidate and then each fold."""
        results = [[None] * len(self.splits) for _ in candidates]
        for settings, numbers in self._by_preparation(candidates):
            pipeline = clone(self.search.estimator).set_params(**clone(settings, safe=False))
            own = [_own_parameters(pipeline, candidates[number]) for number in numbers]
            self._run_prepared(pipeline, dict(zip(numbers, own, strict=True)), results)
        return [result for of_candidate in results for result in of_candidate]

    def _by_preparation(self, candidates):
        """Candidates by the parameters of a pipeline's steps but the last; those of the last step are a candidate's own.
        """
        keyed = []
        for number, parameters in enumerate(candidates):
            settings = _settings_of_preparation(self.search.estimator, parameters)
            keyed.append((joblib.hash(settings), number, settings))
        first_of = {}
        for key, number, _ in keyed:
            first_of.setdefault(key, number)
        keyed.sort(key=lambda item: (first_of[item[0]], item[1]))
        for _, items in groupby(keyed, key=lambda item: item[0]):
            items = list(items)
            yield items[0][2], [number for _, number, _ in items]

    def _run_prepared(self, pipeline, parameters, results):
        estimator = _final_estimator(pipeline)
        groups = self._groups(estimator, parameters, results)
        if isinstance(pipeline, Pipeline) and len(pipeline.steps) > 1:
            folds = (partial(self._transformed_fold, pipeline, k) for k in range(len(self.splits)))
        else:
            whole = self._validated(estimator, self.X, self.y, self._sample_weight(pipeline))
            folds = (partial(self._plain_fold, whole, k) for k in range(len(self.splits)))
        tasks = [(k, fold) for k, fold in enumerate(folds)]
        run = partial(self._run_fold, groups=groups, pipeline=pipeline, results=results)
        if self.n_jobs == 1 or len(tasks) == 1:
            for task in tasks:
                run(task)
            return
        with ThreadPoolExecutor(self.n_jobs) as pool:
            list(pool.map(run, tasks))

    # -------------------------------------------------------------------------------------------------- candidates

    def _groups(self, estimator, parameters, results):
        """The groups of the candidates whose parameters are valid; the others fail in every fold."""
        groups = {}
        for number, own in parameters.items():
            candidate = clone(estimator).set_params(**clone(own, safe=False))
            try:
                candidate._validate_params()
                candidate._check_parameters()
            except Exception as error:
                for fold in range(len(self.splits)):
                    results[number][fold] = self._failure(error, 0.0, fold)
                continue
            group = groups.setdefault(_key(candidate, number), Group(candidate))
            group.numbers.append(number)
            group.parameters.append({name: getattr(candidate, name) for name in OF_A_COLUMN})
        return list(groups.values())

    def _blocks(self, groups, X):
        """Groups of as many candidates as the working memory has room for, on all threads."""
        working_memory = self.search.working_memory or get_config()["working_memory"]
        numbers = working_memory * 2**20 / X.dtype.itemsize / self.n_jobs
        for group in groups:
            optimizer = as_optimizer(group.estimator.optimizer)
            n_columns = max(2, len(np.unique(self.y))) if is_classifier(group.estimator) and self.y.ndim == 1 else 1
            n_columns = self.y.shape[1] if self.y.ndim == 2 else (1 if n_columns == 2 else n_columns)
            n_slots = optimizer._update(optimizer, None, (0, 1), X.dtype).n_slots if not optimizer._full_batch else 4
            # The state, the weights of the best epoch, and those that scores are computed from.
            size = (X.shape[1] + 1) * n_columns * (n_slots + bool(group.estimator.average) + 2)
            yield from group.split(max(1, int(numbers / size)))

    # ------------------------------------------------------------------------------------------------------- folds

    def _sample_weight(self, pipeline):
        """The weights of the final estimator; a parameter of fit that it does not know is an error."""
        prefix = f"{pipeline.steps[-1][0]}__" if isinstance(pipeline, Pipeline) else ""
        own = {name: value for name, value in self.fit_params.items() if name.startswith(prefix) or not prefix}
        unknown = set(own) - {f"{prefix}sample_weight"}
        if unknown:
            raise TypeError(
                f"{type(self.search).__name__}.fit takes sample_weight and groups, and not {sorted(unknown)}. "
                "Use sklearn.model_selection.GridSearchCV for other parameters of fit."
            )
        return own.get(f"{prefix}sample_weight")

    def _validated(self, estimator, X, y, sample_weight):
        estimator = clone(estimator)
        X, y = estimator._validate_rows(X, y, reset=True)
        sample_weight = estimator._validate_weights(sample_weight, X)
        return estimator, X, Rows(X), y, sample_weight

    def _plain_fold(self, whole, k):
        estimator, X, rows, y, sample_weight = whole
        train, test = self.splits[k]
        sets = {"test": (_safe_indexing(self.X, test), X[test], test)}
        if self.search.return_train_score:
            sets["train"] = (_safe_indexing(self.X, train), X[train], train)
        return estimator, Fold(X, rows, y, sample_weight, np.asarray(train)), sets, None

    def _transformed_fold(self, pipeline, k):
        """Fit a pipeline's steps but the last, and transform the rows of the fold."""
        train, test = self.splits[k]
        steps = clone(pipeline[:-1])
        weights = self._sample_weight(pipeline)
        prefix = f"{pipeline.steps[-1][0]}__"
        params = {name: value for name, value in self.fit_params.items() if not name.startswith(prefix)}
        params = _check_method_params(self.X, params=params, indices=train)
        X_train = steps.fit_transform(_safe_indexing(self.X, train), _safe_indexing(self.y, train), **params)
        weights = None if weights is None else _safe_indexing(weights, train)
        estimator, X, rows, y, weights = self._validated(
            _final_estimator(pipeline), X_train, _safe_indexing(self.y, train), weights
        )
        X_test = steps.transform(_safe_indexing(self.X, test))
        sets = {"test": (X_test, _as_rows(X_test, X), test)}
        if self.search.return_train_score:
            sets["train"] = (X_train, X, train)
        return estimator, Fold(X, rows, y, weights, np.arange(len(train))), sets, steps

    def _run_fold(self, task, *, groups, pipeline, results):
        """Train and score all candidates on a fold."""
        k, prepare = task
        begin = time.perf_counter()
        try:
            validated, fold, sets, steps = prepare()
        except Exception as error:
            seconds = (time.perf_counter() - begin) / max(1, sum(len(group.numbers) for group in groups))
            for group in groups:
                for number in group.numbers:
                    results[number][k] = self._failure(error, seconds, k)
            return
        known = {name: getattr(validated, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(validated, name)}
        preparation = time.perf_counter() - begin
        n_candidates = sum(len(group.numbers) for group in groups)
        for group in self._blocks(groups, fold.X):
            begin = time.perf_counter()
            vars(group.estimator).update(known)
            try:
                fitted = _fit_group(group, fold, self._report(k))
            except Exception as error:
                fitted = [(None, error)] * len(group.numbers)
            seconds = (time.perf_counter() - begin) / len(group.numbers) + preparation / n_candidates
            models = [model for model, _ in fitted if model is not None]
            scored = self._score_models(models, sets, steps, pipeline)
            for number, (model, error) in zip(group.numbers, fitted, strict=True):
                if model is None:
                    results[number][k] = self._failure(error, seconds, k)
                else:
                    results[number][k] = {**next(scored), "fit_time": seconds, "fit_error": None}

    def _score_models(self, models, sets, steps, pipeline):
        """Yield the scores of models, in the form of `_fit_and_score`."""
        known = [_with_scores(models, X, X_valid) for X, X_valid, _ in sets.values()]
        for of_model in zip(*known, strict=True):
            begin, result = time.perf_counter(), {}
            for (name, (X, _, indices)), model in zip(sets.items(), of_model, strict=True):
                result[f"{name}_scores"] = self._score_one(model, X, indices, steps, pipeline)
            result["score_time"] = time.perf_counter() - begin
            result["n_test_samples"] = len(sets["test"][2])
            yield result

    def _score_one(self, model, X, indices, steps, pipeline):
        params = _check_method_params(self.X, params=self.score_params, indices=indices)
        y = _safe_indexing(self.y, indices)
        if steps is not None and not isinstance(self.scorer, (_BaseScorer, _MultimetricScorer, _PassthroughScorer)):
            # Who knows what a function asks of the model.
            model = Pipeline([*steps.steps, (pipeline.steps[-1][0], model)])
            X = _safe_indexing(self.X, indices)
        return _score(model, X, y, self.scorer, params, self.search.error_score)

    def _failure(self, error, seconds, k):
        """The result of a candidate that could not be fitted."""
        if self.search.error_score == "raise":
            raise error
        scores = self.search.error_score
        if isinstance(self.scorer, _MultimetricScorer):
            scores = dict.fromkeys(self.scorer._scorers, scores)
        lines = "".join(traceback.format_exception(error))
        result = {"fit_error": lines, "fit_time": seconds, "score_time": 0.0, "test_scores": scores}
        if self.search.return_train_score:
            result["train_scores"] = scores
        return {**result, "n_test_samples": len(self.splits[k][1])}

    def _report(self, k):
        if not self.search.verbose:
            return None

        def report(courses, trainer, seconds):
            going_on = sum(not course.over for course in courses)
            histories = [course.history for course in courses if course.history.n_iter]
            if not histories:
                return
            n_iter = max(history.n_iter for history in histories)
            if histories[0].validation_scores:
                best = f"best validation score {max(max(history.validation_scores) for history in histories):.6g}"
            else:
                best = f"lowest objective {min(min(history.loss_curve) for history in histories):.6g}"
            print(
                f"Fold {k + 1} of {len(self.splits)}, epoch {n_iter}: {going_on} of {len(courses)} candidates go on, "
                f"{best}, {seconds:.2f} s",
                flush=True,
            )

        return report


class _OnePassSearch:
    """What the two searches add to scikit-learn's."""

    _parameter_constraints_of_ours = {"working_memory": [Interval(Real, 0, None, closed="neither"), None]}

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Train all candidates on all folds, and fit the best to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what a pipeline's first step takes
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        **params : dict of str -> object
            `sample_weight` of shape (n_samples,), and `groups` for the splitter; around a pipeline
            `<last step>__sample_weight`, and parameters of the other steps. With metadata routing, what is requested.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the estimator is not one of sgdkit's, the grid is empty, a parameter does not exist, or all fits failed.
        TypeError
            If a parameter of fit is not among those above.
        """
        final = _final_estimator(self.estimator)
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        cv = check_cv(self.cv, y, classifier=is_classifier(final))
        splits = list(cv.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(splits)
        candidates = self._candidates()
        if not candidates or not splits:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        if self.verbose > 0:
            print(
                f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, "
                f"totalling {len(candidates) * len(splits)} fits"
            )
        results = Evaluation(self, X, y, splits, scorers, routed).run(candidates)
        _warn_or_raise_about_fit_failures(results, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(results, self.error_score)
        self.cv_results_ = self._format_results(candidates, len(splits), results)
        self.multimetric_ = isinstance(results[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(results[0]["test_scores"])
            refit_metric = self.refit
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        self._choose(refit_metric)
        if self.refit:
            self._refit(X, y, routed.estimator.fit)
        return self

    def _choose(self, metric):
        if not self.refit and self.multimetric_:
            return
        self.best_index_ = self._select_best_index(self.refit, metric, self.cv_results_)
        if not callable(self.refit):
            self.best_score_ = self.cv_results_[f"mean_test_{metric}"][self.best_index_]
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _refit(self, X, y, params):
        self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        begin = time.time()
        self.best_estimator_.fit(X, y, **params)
        self.refit_time_ = time.time() - begin
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


class OnePassGridSearchCV(_OnePassSearch, GridSearchCV):
    """Grid search in which all candidates of a fold are trained in the same passes over its rows.

    It has the parameters, attributes and conventions of :class:`sklearn.model_selection.GridSearchCV`, and finds the
    same: each model is the one that the estimator alone would fit to the fold. Candidates that differ in `alpha`,
    `l1_ratio`, `eta0`, `max_iter`, `tol` or `n_iter_no_change` are columns that one pass over the rows trains
    together; those that differ in anything else have passes of their own. Of sgd with a penalty other than l2, or with
    averaging, and `learning_rate="optimal"` (its "auto"), candidates of other `alpha` or `eta0` have passes of their
    own too.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline that ends with one of them
        Around a pipeline, its other steps are fitted once a fold for each of their own combinations.
    param_grid : dict or list of dicts
        Names of parameters, and the values to try; of a pipeline's last step, `<name of the step>__alpha` and so on.

    COMMON

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(max_iter=20, tol=None, random_state=0)
    >>> search = OnePassGridSearchCV(model, {"alpha": np.geomspace(1e-6, 1e-1, 6)}, cv=3).fit(X, y)
    >>> search.best_score_ > 0.9
    True
    """

    _parameter_constraints = {
        **{name: value for name, value in GridSearchCV._parameter_constraints.items() if name != "pre_dispatch"},
        **_OnePassSearch._parameter_constraints_of_ours,
    }

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        error_score=np.nan,
        return_train_score=False,
        working_memory=None,
    ):
        common = {"scoring": scoring, "n_jobs": n_jobs, "refit": refit, "cv": cv, "verbose": verbose}
        super().__init__(
            estimator, param_grid, error_score=error_score, return_train_score=return_train_score, **common
        )
        self.working_memory = working_memory

    def _candidates(self):
        return list(ParameterGrid(self.param_grid))


class OnePassRandomizedSearchCV(_OnePassSearch, RandomizedSearchCV):
    """Randomised search in which all candidates of a fold are trained in the same passes over its rows.

    It has the parameters, attributes and conventions of :class:`sklearn.model_selection.RandomizedSearchCV`; see
    :class:`OnePassGridSearchCV` for what candidates share.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline that ends with one of them
        Around a pipeline, its other steps are fitted once a fold for each of their own combinations.
    param_distributions : dict or list of dicts
        Names of parameters, and lists of values or distributions with a method `rvs`.
    n_iter : int, default=10
        How many candidates are drawn.

    COMMON
    random_state : int, RandomState instance or None, default=None
        Of the drawing.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassRandomizedSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(max_iter=20, tol=None, random_state=0)
    >>> search = OnePassRandomizedSearchCV(model, {"alpha": loguniform(1e-6, 1e-1)}, n_iter=8, cv=3, random_state=0)
    >>> search.fit(X, y).best_score_ > 0.9
    True
    """

    _parameter_constraints = {
        **{name: value for name, value in RandomizedSearchCV._parameter_constraints.items() if name != "pre_dispatch"},
        **_OnePassSearch._parameter_constraints_of_ours,
    }

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=10,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
        working_memory=None,
    ):
        common = {"scoring": scoring, "n_jobs": n_jobs, "refit": refit, "cv": cv, "verbose": verbose}
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
            **common,
        )
        self.working_memory = working_memory

    def _candidates(self):
        return list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state))


def _final_estimator(estimator):
    """The sgdkit estimator that is searched, alone or at the end of a pipeline."""
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(final, BaseSGDPlus):
        raise ValueError(
            "The estimator must be SGDClassifierPlus or SGDRegressorPlus, or a Pipeline that ends with one of them; "
            f"got {final!r}. Search any other with sklearn.model_selection.GridSearchCV or RandomizedSearchCV."
        )
    return final


def _settings_of_preparation(estimator, parameters):
    """The parameters of a candidate that are not those of the final estimator."""
    if not isinstance(estimator, Pipeline):
        return {}
    prefix = f"{estimator.steps[-1][0]}__"
    return {name: value for name, value in parameters.items() if not name.startswith(prefix)}


def _own_parameters(estimator, parameters):
    """The parameters of a candidate's final estimator, by its own names."""
    if not isinstance(estimator, Pipeline):
        return dict(parameters)
    prefix = f"{estimator.steps[-1][0]}__"
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def _key(candidate, number):
    """What candidates that share passes have in common."""
    parameters = {
        name: value for name, value in candidate.get_params(deep=False).items() if name not in OF_A_COLUMN
    }
    optimizer = as_optimizer(candidate.optimizer)
    # A rate that is chosen is not one that is given; without an l1 norm, the penalty may take another way.
    kind = candidate.eta0 == "auto", candidate.penalty == "elasticnet" and candidate.l1_ratio == 0
    own = ()
    schedule = SCHEDULES[optimizer._schedule if candidate.learning_rate == "auto" else candidate.learning_rate]
    waits = candidate.penalty in ("l1", "elasticnet") or candidate.average or not optimizer._scales_with_gradient
    if waits and not optimizer._full_batch and not schedule.separable:
        # The columns of a lazy penalty share a clock, so they need the same rates.
        own = candidate.alpha, candidate.eta0
    if optimizer._full_batch and optimizer.nesterov:
        # Its momentum begins anew when the sum of all columns would rise.
        own = number
    return joblib.hash((parameters, kind, own))


def _as_rows(X, like):
    """Transformed rows in the form of the validated ones."""
    X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
    return X.astype(like.dtype, copy=False)
