"""The two searches: scikit-learn's, but they train all candidates of a fold in the same passes over its rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import (
    GridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
    check_cv,
)
from sklearn.model_selection._validation import _insert_error_scores, _warn_or_raise_about_fit_failures
from sklearn.utils import indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_method_params, _num_samples

from sgdkit._documented import Documented
from sgdkit._typing import Array, RandomState
from sgdkit.estimators.callbacks import CallbackSupportMixin, call_arguments
from sgdkit.estimators.data import targets_kind
from sgdkit.estimators.structure import check_structure
from sgdkit.model_selection.evaluation import Evaluation
from sgdkit.model_selection.pipelines import final_estimator
from sgdkit.model_selection.tasks import SearchTasks


class _OnePassSearch(Documented, CallbackSupportMixin):
    """What the two searches add to scikit-learn's."""

    _documented_in = "sgdkit.model_selection"
    cv_results_: dict[str, Any]
    best_estimator_: Any
    best_score_: float
    best_params_: dict[str, Any]
    best_index_: int
    scorer_: Any
    n_splits_: int
    refit_time_: float
    multimetric_: bool
    feature_names_in_: Array

    _parameter_constraints_of_ours = {"working_memory": [Interval(Real, 0, None, closed="neither"), None]}

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train all candidates on all folds, and fit the best to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what a pipeline's first step takes
            The rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The targets.
        **params : dict of str -> object
            `sample_weight` of shape (n_samples,), `X_val`, `y_val` and `sample_weight_val`, a validation set for the
            early stopping of every fold, and `groups` for the splitter; around a pipeline `<last step>__sample_weight`
            and so on, and parameters of the other steps. With metadata routing, what is requested.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If the estimator is not one of sgdkit's, the grid is empty, a parameter does not exist, all fits failed, or
            there are weights for rows that a step of the pipeline resamples.
        TypeError
            If a parameter of fit is not among those above.
        """
        final = final_estimator(self.estimator)
        scorers, refit_metric = self._get_scorers()
        check_structure(X)
        X, y = indexable(X, targets_kind(final).prepare(y))
        params = _check_method_params(X, params=_spread_weights(params, _num_samples(X)))
        routed = self._get_routed_params_for_fit(params)
        tasks = SearchTasks(self, final, call_arguments(X, y, params.get("sample_weight")))
        cv = check_cv(self.cv, y, classifier=is_classifier(final))
        rows = np.arange(_num_samples(X))
        # Masks and numbers from the end are as good as numbers of rows.
        splits = [
            tuple(rows[np.asarray(indices)] for indices in split)
            for split in cv.split(X, y, **routed.splitter.split)
        ]
        self.n_splits_ = len(splits)
        candidates = self._candidates()
        if not candidates or not splits:
            raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")
        if self.verbose > 0:
            print(
                f"Fitting {len(splits)} folds for each of {len(candidates)} candidates, "
                f"totalling {len(candidates) * len(splits)} fits"
            )
        self._evaluate(Evaluation(self, candidates, X, y, splits, scorers, routed, tasks), refit_metric)
        tasks.end_folds()
        if callable(self.scoring) and self.multimetric_:
            refit_metric = self.refit
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        self._choose(refit_metric)
        if self.refit:
            self._refit(X, y, routed.estimator.fit, tasks)
        tasks.end()
        return self

    def _evaluate(self, evaluation, metric):
        """Train and score all candidates; `metric` is the score that decides between them."""
        evaluation.advance()
        results = self._checked_results(evaluation, range(len(evaluation.candidates)))
        self.cv_results_ = self._format_results(evaluation.candidates, evaluation.n_splits, results)

    def _checked_results(self, evaluation, numbers):
        """The results of some candidates on each fold, after complaints about those that failed."""
        results = evaluation.results(numbers)
        _warn_or_raise_about_fit_failures(results, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(results, self.error_score)
        self.multimetric_ = isinstance(results[0]["test_scores"], dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(results[0]["test_scores"])
        return results

    def _choose(self, metric):
        if not self.refit and self.multimetric_:
            return
        self.best_index_ = self._select_best_index(self.refit, metric, self.cv_results_)
        if not callable(self.refit):
            self.best_score_ = self.cv_results_[f"mean_test_{metric}"][self.best_index_]
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _refit(self, X, y, params, tasks):
        self.best_estimator_ = clone(self.estimator).set_params(**clone(self.best_params_, safe=False))
        begin = time.time()
        with tasks.refit(self.best_estimator_):
            self.best_estimator_.fit(X, y, **params)
        self.refit_time_ = time.time() - begin
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


def _spread_weights(params, n_rows):
    """Parameters of fit, with a number that stands for the weights of all rows as an array that folds can take from."""
    return {
        name: np.full(n_rows, value) if name.endswith("sample_weight") and _is_number(value) else value
        for name, value in params.items()
    }


def _is_number(value):
    return value is not None and np.ndim(value) == 0


class OnePassGridSearchCV(_OnePassSearch, GridSearchCV):
    """Grid search in which all candidates of a fold are trained in the same passes over its rows.

    It has the parameters, attributes and conventions of :class:`sklearn.model_selection.GridSearchCV`, and finds the
    same: each model is the one that the estimator alone would fit to the fold. A pass over the rows trains candidates
    as columns of one array of weights.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline, TransformedTargetRegressor or OneVsRestClassifier
        Around a pipeline that ends with one of them, its other steps are fitted once a fold for each of their own
        combinations; steps of imbalanced-learn's pipelines may resample its rows. In a `OneVsRestClassifier`, which is
        around `SGDClassifierPlus` itself, each class has passes of its own.
    param_grid : dict or list of dicts
        Names of parameters, and the values to try; of a pipeline's last step, `<name of the step>__alpha` and so on.
    scoring : str, callable, list, tuple, dict or None, default=None
        One score or several, as in :class:`sklearn.model_selection.GridSearchCV`; None is the estimator's own. Around a
        pipeline, named scorers see the final estimator and the transformed rows, functions the whole pipeline.
    n_jobs : int or None, default=None
        Threads over the folds, and over candidates where there are fewer folds than threads; -1 stands for all
        processors. Where folds cannot be dealt out evenly, the last ones take turns. The result does not depend on it.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows; of several scores, the name of the one that decides.
    cv : int, splitter, iterable or None, default=None
        The folds; None is 5.
    verbose : int, default=0
        Whether to print a line for each epoch of a pass: how many candidates go on, and the best so far.
    error_score : "raise" or number, default=nan
        The score of a candidate that could not be fitted or scored.
    return_train_score : bool, default=False
        Whether to score the training rows too.
    working_memory : float > 0 or None, default=None
        MiB that the weights and states of all candidates in training may take; a pass trains as many as there is room
        for. None stands for that of :func:`sklearn.set_config`, 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of numpy (masked) ndarrays
        With the keys of scikit-learn's search of the same kind. The time of a pass is shared out equally among its
        candidates, in `mean_fit_time`.
    best_estimator_ : estimator
        Fitted to all rows. Available if `refit`.
    best_score_ : float
        Mean test score of the best candidate.
    best_params_ : dict
        Parameters of the best candidate.
    best_index_ : int
        Place of the best candidate in `cv_results_`.
    scorer_ : callable or dict
        The scorer, or the scorers.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds that the fit to all rows took.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray of shape (n_classes,)
        Those of `best_estimator_`.
    n_features_in_ : int
        That of `best_estimator_`.
    feature_names_in_ : ndarray of shape (n_features,)
        Those of `best_estimator_`, if it has any.

    See Also
    --------
    OnePassRandomizedSearchCV : The same for candidates that are drawn from distributions.
    OnePassHalvingGridSearchCV : Trains only the best ones to the end.
    sklearn.model_selection.GridSearchCV : The same with a fit for each candidate and fold.

    Notes
    -----
    Candidates share passes if they differ only in `alpha`, `l1_ratio`, `eta0`, `class_weight`, the parameter of their
    loss (`epsilon`, `quantile` or `power`), `max_iter`, `tol` or `n_iter_no_change`. Those that differ in anything else
    have passes of their own. So have:

    - candidates of "gd", which `optimizer="auto"` takes for dense features;
    - candidates of "sgd" that differ in `alpha` or `eta0`, with `learning_rate="optimal"` (its "auto") and either a
      penalty other than "l2" or averaging;
    - values of `class_weight` where features are scaled (`standardize=True`, and rows that are not text or one-hot) or
      arrays converted to another type or order, and those that are 0 for a class.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(max_iter=20, tol=None, random_state=0)
    >>> search = OnePassGridSearchCV(model, {"alpha": np.geomspace(1e-6, 1e-1, 6)}, cv=3).fit(X, y)
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints = {
        **{
            name: value
            for name, value in GridSearchCV._parameter_constraints.items()
            if name != "pre_dispatch"
        },
        **_OnePassSearch._parameter_constraints_of_ours,
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        cv: Any = None,
        verbose: int = 0,
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
        working_memory: float | None = None,
    ) -> None:
        common = {"scoring": scoring, "n_jobs": n_jobs, "refit": refit, "cv": cv, "verbose": verbose}
        super().__init__(
            estimator, param_grid, error_score=error_score, return_train_score=return_train_score, **common
        )
        self.working_memory = working_memory

    def _candidates(self):
        return list(ParameterGrid(self.param_grid))


class OnePassRandomizedSearchCV(_OnePassSearch, RandomizedSearchCV):
    """Randomised search in which all candidates of a fold are trained in the same passes over its rows.

    It has the parameters, attributes and conventions of :class:`sklearn.model_selection.RandomizedSearchCV`; each model
    is the one that the estimator alone would fit to the fold. The notes of :class:`OnePassGridSearchCV` say which
    candidates share passes.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline, TransformedTargetRegressor or OneVsRestClassifier
        Around a pipeline that ends with one of them, its other steps are fitted once a fold for each of their own
        combinations; steps of imbalanced-learn's pipelines may resample its rows. In a `OneVsRestClassifier`, which is
        around `SGDClassifierPlus` itself, each class has passes of its own.
    param_distributions : dict or list of dicts
        Names of parameters, and lists of values or distributions with a method `rvs`.
    n_iter : int, default=10
        How many candidates are drawn.
    scoring : str, callable, list, tuple, dict or None, default=None
        One score or several, as in :class:`sklearn.model_selection.GridSearchCV`; None is the estimator's own. Around a
        pipeline, named scorers see the final estimator and the transformed rows, functions the whole pipeline.
    n_jobs : int or None, default=None
        Threads over the folds, and over candidates where there are fewer folds than threads; -1 stands for all
        processors. Where folds cannot be dealt out evenly, the last ones take turns. The result does not depend on it.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all rows; of several scores, the name of the one that decides.
    cv : int, splitter, iterable or None, default=None
        The folds; None is 5.
    verbose : int, default=0
        Whether to print a line for each epoch of a pass: how many candidates go on, and the best so far.
    random_state : int, RandomState instance or None, default=None
        Seed of the drawing.
    error_score : "raise" or number, default=nan
        The score of a candidate that could not be fitted or scored.
    return_train_score : bool, default=False
        Whether to score the training rows too.
    working_memory : float > 0 or None, default=None
        MiB that the weights and states of all candidates in training may take; a pass trains as many as there is room
        for. None stands for that of :func:`sklearn.set_config`, 1024 by default.

    Attributes
    ----------
    cv_results_ : dict of numpy (masked) ndarrays
        With the keys of scikit-learn's search of the same kind. The time of a pass is shared out equally among its
        candidates, in `mean_fit_time`.
    best_estimator_ : estimator
        Fitted to all rows. Available if `refit`.
    best_score_ : float
        Mean test score of the best candidate.
    best_params_ : dict
        Parameters of the best candidate.
    best_index_ : int
        Place of the best candidate in `cv_results_`.
    scorer_ : callable or dict
        The scorer, or the scorers.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds that the fit to all rows took.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray of shape (n_classes,)
        Those of `best_estimator_`.
    n_features_in_ : int
        That of `best_estimator_`.
    feature_names_in_ : ndarray of shape (n_features,)
        Those of `best_estimator_`, if it has any.

    See Also
    --------
    OnePassGridSearchCV : The same for the candidates of a grid.
    OnePassHalvingRandomSearchCV : Trains only the best ones to the end.
    sklearn.model_selection.RandomizedSearchCV : The same with a fit for each candidate and fold.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassRandomizedSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(max_iter=20, tol=None, random_state=0)
    >>> search = OnePassRandomizedSearchCV(model, {"alpha": loguniform(1e-6, 1e-1)}, n_iter=8, cv=3, random_state=0)
    >>> bool(search.fit(X, y).best_score_ > 0.9)
    True
    """

    _parameter_constraints = {
        **{
            name: value
            for name, value in RandomizedSearchCV._parameter_constraints.items()
            if name != "pre_dispatch"
        },
        **_OnePassSearch._parameter_constraints_of_ours,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        cv: Any = None,
        verbose: int = 0,
        random_state: RandomState = None,
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
        working_memory: float | None = None,
    ) -> None:
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
