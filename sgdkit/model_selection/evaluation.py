"""The candidates of a search on its folds: pipelines, passes, scores and results."""

import time
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.rows import Rows
from sgdkit.auto.optimizer import numbers_a_weight
from sgdkit.estimators.base import check_parameters
from sgdkit.estimators.callbacks import call_arguments
from sgdkit.estimators.data import check_rows, check_weights, is_copy, rows_as
from sgdkit.estimators.subset import on_subset
from sgdkit.model_selection.pipelines import (
    check_pairs,
    final_estimator,
    final_fit_parameters,
    final_parameters,
    is_alone,
    recorded,
    settings_of_preparation,
    transformed,
)
from sgdkit.model_selection.scoring import ModelScores
from sgdkit.model_selection.shared_passes import (
    Fold,
    Group,
    column_parameters,
    features_seen,
    fitting_each,
    hashed,
    sharing_key,
)
from sgdkit.model_selection.stages import Stage, in_step, step
from sgdkit.model_selection.turns import Turn, n_under_way, run_in_turns
from sgdkit.training.loop import Listener

# What the estimator's fit takes, and a search as well.
FIT_PARAMETERS = {"sample_weight", "X_val", "y_val", "sample_weight_val"}
# As many columns fill a vector.
FULL = 4
# More columns than these drive each other out of the cache, which costs more than it saves to read rows once.
MOST_COLUMNS = 64


class Evaluation:
    """The candidates of a search on the folds of some rows, trained in one stage or several.

    Parameters
    ----------
    search : OnePassSearch
    candidates : list of dict
    X, y : array-like
    splits : list of (ndarray of int, ndarray of int)
    scorer : callable
    routed : Bunch
        Parameters of fit, and of the scorer.
    tasks : SearchTasks

    Attributes
    ----------
    candidates : list of dict
    n_splits : int
    stage : Stage
        How far all candidates are.
    """

    def __init__(self, search, candidates, X, y, splits, scorer, routed, tasks):
        self.search, self.X, self.y, self.splits = search, X, y, splits
        self.candidates, self.n_splits = candidates, len(splits)
        self.fit_params = dict(routed.estimator.fit)
        self.n_jobs = effective_n_jobs(search.n_jobs)
        self._scores = ModelScores(search, X, y, scorer, dict(routed.scorer.score))
        self.stage, self._results = Stage(), [[None] * len(splits) for _ in candidates]
        prepared = []
        for settings, numbers in self._by_preparation(candidates):
            pipeline = clone(search.estimator).set_params(**clone(settings, safe=False))
            parameters = {number: final_parameters(pipeline, candidates[number]) for number in numbers}
            prepared.append(self._prepare(pipeline, parameters))
        folds = iter(tasks.folds(sum(len(parts) for _, parts in prepared), len(candidates)))
        self._runs = [
            self._run_fold(*part, next(folds), prepare) for prepare, parts in prepared for part in parts
        ]
        self._n_under_way = n_under_way(len(self._runs), self.n_jobs)

    def advance(self, n_epochs=np.inf):
        """Train the candidates that are still there up to so many epochs, and score them; with 0, plan them alone."""
        self.stage.n_epochs = n_epochs
        # Configuration belongs to a thread.
        run = partial(self._go_on, config=get_config())
        if self.n_jobs == 1 or len(self._runs) <= 1:
            self._runs = [each for each in self._runs if run(each)]
        else:
            # Functions of scikit-learn set the filters of warnings for all threads, and may bring back one another's.
            with warnings.catch_warnings():
                going_on = run_in_turns(run, self._runs, self.n_jobs)
            self._runs = [each for each, goes_on in zip(self._runs, going_on, strict=True) if goes_on]

    def results(self, numbers):
        """What `_fit_and_score` would return, for each of some candidates and then each fold.

        The time is that since the last call.
        """
        results = [dict(result) for number in numbers for result in self._results[number]]
        for number in numbers:
            for result in self._results[number]:
                result.update(fit_time=0.0, score_time=0.0)
        return results

    def _go_on(self, run, turns=None, *, config):
        """Train and score candidates on a fold, up to the end of the stage; return whether there is more to come."""
        self.stage.turns = turns
        with config_context(**config):
            _, over = step(run)
        return not over

    def _by_preparation(self, candidates):
        """The parameters of a pipeline's steps but the last, with the numbers of the candidates that have them."""
        prepared = {}
        for number, parameters in enumerate(candidates):
            settings = settings_of_preparation(self.search.estimator, parameters)
            prepared.setdefault(hashed(settings, number), (settings, []))[1].append(number)
        return prepared.values()

    def _prepare(self, pipeline, parameters):
        """A function from the number of a fold to its rows, and folds with the groups to train there."""
        estimator, params = final_estimator(pipeline), self._check_fit_params(pipeline)
        groups = self._groups(estimator, parameters)
        if not is_alone(pipeline):
            prepare = partial(self._prepared_fold, pipeline)
            parts = [(k, groups) for k in range(self.n_splits)]
        else:
            whole = self._validated(estimator, self.X, self.y, params.get("sample_weight"), keeps=True)
            prepare = partial(self._plain_fold, whole, _validation_set(params))
            parts = [(k, part) for k in range(self.n_splits) for part in self._parts(groups)]
        return prepare, parts

    def _parts(self, groups):
        """The groups of a fold, shared out where there are fewer folds than threads."""
        n_parts = -(-self.n_jobs // self.n_splits)
        if n_parts == 1:
            return [groups]
        parts = [[] for _ in range(n_parts)]
        for group in groups:
            size = -(-len(group.numbers) // n_parts)
            if size > FULL:
                # Columns are worked on by fours.
                size += -size % FULL
            for part, subgroup in zip(parts, group.split(size), strict=False):
                part.append(subgroup)
        return [part for part in parts if part]

    # -------------------------------------------------------------------------------------------------- candidates

    def _groups(self, estimator, parameters):
        """The groups of the candidates whose parameters are valid; the others fail in every fold."""
        groups = {}
        for number, values in parameters.items():
            candidate = clone(estimator).set_params(**clone(values, safe=False))
            try:
                candidate._validate_params()
                check_parameters(candidate)
            except Exception as error:
                for k in range(self.n_splits):
                    self._results[number][k] = self._failure(error, 0.0, k)
                continue
            group = groups.setdefault(sharing_key(candidate, number), Group(candidate))
            group.numbers.append(number)
            group.parameters.append(column_parameters(candidate))
        return list(groups.values())

    def _blocks(self, groups, fold):
        """Groups of as many candidates as gain by sharing a pass, and fit into the working memory on all threads."""
        working_memory = self.search.working_memory or get_config()["working_memory"]
        numbers = working_memory * 2**20 / fold.dtype.itemsize / self._n_under_way
        for group in groups:
            n_columns = 1 if fold.y.ndim == 1 else fold.y.shape[1]
            if is_classifier(group.estimator) and fold.y.ndim == 1:
                n_classes = len(np.unique(fold.y))
                n_columns = n_classes if n_classes > 2 else 1
            # The state, the weights to return, and those that scores are computed from.
            n_slots = (
                numbers_a_weight(group.estimator.optimizer, fold.dtype) + bool(group.estimator.average) + 2
            )
            n_features = fold.X.shape[1] if fold.subset is None else len(fold.subset.features)
            size = (n_features + 1) * n_columns * n_slots
            yield from group.split(max(1, min(int(numbers / size), MOST_COLUMNS // n_columns)))

    # ------------------------------------------------------------------------------------------------------- folds

    def _check_fit_params(self, pipeline):
        """The parameters of fit that reach the final estimator, which are such as it can have here."""
        params = final_fit_parameters(pipeline, self.fit_params)
        unknown = sorted({*params} - FIT_PARAMETERS)
        if unknown:
            raise TypeError(
                f"{type(self.search).__name__}.fit takes sample_weight, a validation set and groups, and not "
                f"{unknown}; around a pipeline, those of a step by its name, as in sgd__sample_weight. "
                "Use sklearn.model_selection.GridSearchCV for other parameters of fit."
            )
        check_pairs(pipeline, params)
        return params

    def _validated(self, estimator, X, y, sample_weight, *, keeps=False):
        """What a fold is made of; if `keeps`, an array that has to be converted is, fold by fold."""
        estimator, given = clone(estimator), X
        if not is_classifier(estimator):
            # Losses have their own say about targets, candidate by candidate.
            estimator.set_params(loss="squared_error")
        X, y = check_rows(estimator, X, y, reset=True)
        sample_weight, dtype = check_weights(sample_weight, X), X.dtype
        if keeps and isinstance(given, np.ndarray) and is_copy(X, given):
            return estimator, given, (None, None), y, sample_weight, dtype
        return estimator, X, on_subset(Rows(X)), y, sample_weight, dtype

    def _plain_fold(self, whole, validation, k):
        estimator, X, (subset, rows), y, sample_weight, dtype = whole
        train, test = self.splits[k]
        seen = X if subset is None else rows.stored
        taken = partial(self._converted, dtype) if rows is None else partial(self._taken, X, seen)
        sets = {"test": (*taken(test), test)}
        if self.search.return_train_score:
            sets["train"] = (*taken(train), train)
        given = [partial(_safe_indexing, part, train) for part in (self.X, self.y)]
        given = call_arguments(*given, None if sample_weight is None else sample_weight[train])
        known = features_seen(estimator), subset
        fold = Fold(X, rows, y, sample_weight, np.asarray(train), dtype, validation, given, *known)
        return [fold], sets, None

    def _taken(self, X, seen, indices):
        """Some rows as they came, of which X is the validated version, and as training sees them."""
        neighbours = np.arange(indices[0], indices[0] + len(indices)) if len(indices) else ()
        if len(indices) and np.array_equal(indices, neighbours):
            # Of these, rows on disk are not copied.
            indices = slice(int(indices[0]), int(indices[0]) + len(indices))
        rows = take_rows(seen, indices)
        if self.X is not X:
            return _safe_indexing(self.X, indices), rows
        return rows if seen is X else take_rows(X, indices), rows

    def _converted(self, dtype, indices):
        """The same of an array that is converted; who asks for predictions alone does not see rows as they came."""
        rows = rows_as(self.X, indices, dtype)
        return _safe_indexing(self.X, indices) if self._scores.asks_for_all else rows, rows

    def _prepared_fold(self, pipeline, k):
        """Fit a pipeline's steps but the last, to have the rows that this is fitted to, and those to predict for."""
        train, test = self.splits[k]
        whole = {name: value for name, value in self.fit_params.items() if name.endswith("_val")}
        params = {name: value for name, value in self.fit_params.items() if name not in whole}
        params = {**_check_method_params(self.X, params=params, indices=train), **whole}
        X, y = _safe_indexing(self.X, train), _safe_indexing(self.y, train)
        steps, given = recorded(pipeline, X, y, params)
        X, y, params = given[0]
        weights = params.get("sample_weight")
        final = final_estimator(pipeline)
        estimator, X, (subset, rows), y, weights, dtype = self._validated(final, X, y, weights)
        sets = {"test": (*self._transformed(steps, test, X, subset), test)}
        if self.search.return_train_score:
            sets["train"] = (*self._transformed(steps, train, X, subset), train)
        fold = Fold(X, rows, y, weights, np.arange(len(y)), dtype, _validation_set(params))
        fold.features, fold.subset = features_seen(estimator), subset
        # All are given the same rows.
        targets = [y, *(np.asarray(other) for _, other, _ in given[1:])]
        told = [call_arguments(X, y, params.get("sample_weight")) for X, y, params in given]
        folds = [replace(fold, y=y, given=given) for y, given in zip(targets, told, strict=True)]
        return folds, sets, steps

    def _transformed(self, steps, indices, like, subset):
        """Rows as a pipeline's last step is to predict for, as they come and as training sees such; or an error."""
        try:
            X = transformed(steps, _safe_indexing(self.X, indices))
        except Exception as error:
            if self.search.error_score == "raise":
                raise
            return error, like[:0]
        rows = _as_rows(X, like)
        return X, rows if subset is None else subset.of(rows)

    def _run_fold(self, k, groups, told, prepare):
        """Train and score candidates on a fold; a generator that pauses at the end of a stage."""
        begin = time.perf_counter()
        n_candidates = max(1, sum(len(group.numbers) for group in groups))
        try:
            folds, sets, steps = prepare(k)
        except Exception as error:
            seconds = (time.perf_counter() - begin) / n_candidates
            for group in groups:
                for number in group.numbers:
                    self._results[number][k] = self._failure(error, seconds, k)
            return
        share, given = (time.perf_counter() - begin) / n_candidates, folds[0].given
        if len(folds) > 1:
            given = {**given, "y": partial(_safe_indexing, self.y, self.splits[k][0])}
        score = partial(self._scores.of_models, sets=sets, subset=folds[0].subset, steps=steps)
        with told.run(given):
            yield from in_step(
                self._run_group(k, group, folds, told, share, score)
                for group in self._blocks(groups, folds[0])
            )

    def _run_group(self, k, group, folds, told, share, score):
        """The same for a group; `share` is of the seconds of preparation, `score` yields the scores of models."""
        turn = Turn(self.stage)
        listeners = [ReportFold(k + 1, self.n_splits)] if self.search.verbose else []
        listeners += [*told.listeners, turn]
        run = fitting_each(group, folds, self.stage, listeners=listeners, tasks_of=told.candidate)
        seconds, over = share * len(group.numbers), False
        while not over:
            begin, turn.seconds_waited = time.perf_counter(), 0.0
            try:
                news, over = step(run)
            except Exception as error:
                news, over = [(number, None, error) for number in group.numbers], True
            seconds += time.perf_counter() - begin - turn.seconds_waited
            if news:
                self._record(news, seconds / len(news), k, score)
                seconds = 0.0
            # Models are not kept while others are trained.
            del news
            if not over:
                yield

    def _record(self, news, seconds, k, score):
        """Score models on a fold, and note the results; `seconds` is the time of each."""
        scored = score([models for _, models, _ in news if models is not None])
        for number, models, failure in news:
            if models is None:
                result = self._failure(failure, seconds, k)
            else:
                result = {**next(scored), "fit_time": seconds, "fit_error": None}
            self._results[number][k] = result

    def _failure(self, error, seconds, k):
        return self._scores.of_failure(error, seconds, len(self.splits[k][1]))


class ReportFold(Listener):
    """Prints a line for each epoch of the candidates of a fold."""

    def __init__(self, number, n_folds):
        self.number, self.n_folds = number, n_folds

    def __call__(self, epoch):
        going_on = sum(not course.over for course in epoch.courses)
        histories = [course.history for course in epoch.courses if course.history.n_iter]
        if not histories:
            return
        n_iter = max(history.n_iter for history in histories)
        if histories[0].validation_scores:
            best = max(max(history.validation_scores) for history in histories)
            best = f"best validation score {best:.6g}"
        else:
            best = f"lowest objective {min(min(history.loss_curve) for history in histories):.6g}"
        print(
            f"Fold {self.number} of {self.n_folds}, epoch {n_iter}: {going_on} of {len(epoch.courses)} candidates go "
            f"on, {best}, {epoch.seconds:.2f} s",
            flush=True,
        )


def _as_rows(X, like):
    """Transformed rows in the form of the validated ones."""
    X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
    return X.astype(like.dtype, copy=False)


def _validation_set(params):
    """X, y and weights of the validation set among parameters of fit, or None."""
    given = tuple(params.get(name) for name in ("X_val", "y_val", "sample_weight_val"))
    return None if all(part is None for part in given) else given
