"""Successive halving: candidates leave the passes at rungs, and the others go on from where they are."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import Interval, StrOptions

from sgdkit._typing import RandomState
from sgdkit.model_selection.pipelines import final_parameters
from sgdkit.model_selection.search import _OnePassSearch


class _OnePassHalving(_OnePassSearch, BaseSearchCV):
    """What the two searches by halving share; see `OnePassHalvingGridSearchCV`."""

    cv_results_: dict[str, Any]
    n_resources_: list[int]
    n_candidates_: list[int]
    n_remaining_candidates_: int
    n_iterations_: int
    n_required_iterations_: int
    n_possible_iterations_: int
    min_resources_: int
    max_resources_: int
    factor: float
    min_resources: int | str
    aggressive_elimination: bool

    _parameter_constraints = {
        **{
            name: value
            for name, value in BaseSearchCV._parameter_constraints.items()
            if name != "pre_dispatch"
        },
        **_OnePassSearch._parameter_constraints_of_ours,
        "factor": [Interval(Real, 1, None, closed="neither")],
        "min_resources": [Interval(Integral, 1, None, closed="left"), StrOptions({"exhaust", "smallest"})],
        "aggressive_elimination": ["boolean"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        factor: float,
        min_resources: int | str,
        aggressive_elimination: bool,
        working_memory: float | None,
        **common: Any,
    ) -> None:
        super().__init__(estimator, **common)
        self.factor = factor
        self.min_resources = min_resources
        self.aggressive_elimination = aggressive_elimination
        self.working_memory = working_memory

    def _evaluate(self, evaluation, metric):
        if any("max_iter" in final_parameters(self.estimator, each) for each in evaluation.candidates):
            raise ValueError(
                "Epochs are what the better candidates get more of, so max_iter cannot be searched by halving. Set it "
                "for all candidates, or search it with OnePassGridSearchCV."
            )
        self._check_metric(metric)
        evaluation.advance(0)
        everyone = range(len(evaluation.candidates))
        if not evaluation.stage.lengths:
            # All have failed, and the errors say why.
            self._checked_results(evaluation, everyone)
        self._lay_out(len(everyone), max(evaluation.stage.lengths))
        remaining, numbers, results = list(everyone), [], []
        more_results = {"iter": [], "n_resources": []}
        for iteration, n_epochs in enumerate(self.n_resources_):
            self.n_candidates_.append(len(remaining))
            if self.verbose > 0:
                print(
                    f"iter: {iteration}, n_candidates: {len(remaining)}, n_resources: {n_epochs}", flush=True
                )
            last = iteration == self.n_iterations_ - 1
            evaluation.advance(np.inf if last else n_epochs)
            latest = self._checked_results(evaluation, remaining)
            numbers, results = numbers + remaining, results + latest
            more_results["iter"] += [iteration] * len(remaining)
            more_results["n_resources"] += [n_epochs] * len(remaining)
            remaining = self._best(remaining, latest)
            evaluation.stage.out.update({*everyone}.difference(remaining))
        self.n_remaining_candidates_ = len(remaining)
        params = [evaluation.candidates[number] for number in numbers]
        self.cv_results_ = self._format_results(params, evaluation.n_splits, results, more_results)

    def _check_metric(self, metric):
        if not isinstance(metric, str):
            raise ValueError(
                f"Of several scores, refit has to be the name of the one that decides; got refit={self.refit!r}."
            )

    def _lay_out(self, n_candidates, n_epochs):
        """Choose the rungs as scikit-learn's searches do, given the epochs of the longest training."""
        n_required = 1 + _n_halvings(n_candidates, self.factor)
        lowest = 1 if isinstance(self.min_resources, str) else self.min_resources
        if self.min_resources == "exhaust":
            lowest = max(lowest, int(n_epochs // self.factor ** (n_required - 1)))
        if lowest > n_epochs:
            raise ValueError(
                f"min_resources={lowest} is more than the {n_epochs} epochs that training takes."
            )
        n_possible = 1 + _n_halvings(n_epochs // lowest, self.factor)
        # Where there are too few rungs, several iterations end at the first one.
        n_repeated = max(0, n_required - n_possible) if self.aggressive_elimination else 0
        n_iterations = min(n_required, n_possible + n_repeated)
        powers = [max(0, iteration - n_repeated) for iteration in range(n_iterations - 1)]
        self.n_resources_ = [*(int(self.factor**power * lowest) for power in powers), n_epochs]
        self.n_candidates_ = []
        self.min_resources_, self.max_resources_ = lowest, n_epochs
        self.n_required_iterations_, self.n_possible_iterations_ = n_required, n_possible
        self.n_iterations_ = n_iterations

    def _best(self, numbers, results):
        """Those of some candidates that go on, given their results on each fold."""
        scores = [result["test_scores"] for result in results]
        if self.multimetric_:
            # Where `scoring` is a function, it is known only now that it returns several.
            self._check_metric(self.refit)
            scores = [score[self.refit] for score in scores]
        scores = np.reshape(scores, (len(numbers), -1))
        # Of equals, the first go on; those without a score on some folds come last.
        n_missing = np.isnan(scores).sum(axis=1)
        order = np.lexsort((-scores.mean(axis=1), n_missing))[: ceil(len(numbers) / self.factor)]
        return [numbers[place] for place in sorted(order)]

    @staticmethod
    def _select_best_index(refit, refit_metric, results):
        """The best of the last iteration."""
        if callable(refit):
            return BaseSearchCV._select_best_index(refit, refit_metric, results)
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        scores = results[f"mean_test_{refit_metric}"][last]
        return int(last[0 if np.isnan(scores).all() else np.nanargmax(scores)])


def _n_halvings(number, factor):
    """How often a number can be divided by a factor before it is less than 1."""
    n_times = 0
    while factor ** (n_times + 1) <= number:
        n_times += 1
    return n_times


class OnePassHalvingGridSearchCV(_OnePassHalving):
    """Grid search by successive halving, in which all candidates of a fold are trained in the same passes.

    It has the conventions of :class:`sklearn.model_selection.HalvingGridSearchCV`, with epochs for the resource. All
    candidates begin together. After a few epochs, at a rung, they are compared by their mean score over the folds, and
    the best, one in `factor`, go on from where they are to the next rung; nothing is trained twice. In the last
    iteration, those that are left are trained to the end: their models and scores are those that
    :class:`OnePassGridSearchCV` gives.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline, TransformedTargetRegressor or OneVsRestClassifier
        Around a pipeline that ends with one of them, its other steps are fitted once a fold for each of their own
        combinations; steps of imbalanced-learn's pipelines may resample its rows. In a `OneVsRestClassifier`, which is
        around `SGDClassifierPlus` itself, each class has passes of its own.
    param_grid : dict or list of dicts
        Names of parameters, and the values to try; of a pipeline's last step, `<name of the step>__alpha` and so on.
    factor : float > 1, default=3
        One in `factor` candidates goes on at a rung, and each rung is at `factor` times the epochs of the one before.
    min_resources : int, "exhaust" or "smallest", default="exhaust"
        The epochs before the first rung. "smallest" is 1; "exhaust" is as many as leave room for all the rungs that it
        takes until few candidates are left, and at least 1.
    aggressive_elimination : bool, default=False
        Whether to repeat the first rung where training has too few epochs for all these rungs, so that few candidates
        are left for the last iteration.
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
    n_resources_ : list of int
        The epochs that candidates have made at the end of each iteration; in the last, those of the longest training.
    n_candidates_ : list of int
        The candidates of each iteration.
    n_remaining_candidates_ : int
        How many of the last iteration would go on if there were another.
    n_iterations_ : int
        The number of iterations.
    n_required_iterations_ : int
        How many are needed until fewer than `factor` candidates are left.
    n_possible_iterations_ : int
        How many iterations there are epochs for.
    min_resources_ : int
        The epochs before the first rung.
    max_resources_ : int
        The epochs of the longest training.

    See Also
    --------
    OnePassHalvingRandomSearchCV : The same for candidates that are drawn from distributions.
    OnePassGridSearchCV : Trains all candidates to the end.
    sklearn.model_selection.HalvingGridSearchCV : The same with a fit for each candidate, fold and iteration.

    Notes
    -----
    There are no parameters `resource` and `max_resources`: the estimator says how long training takes, by `max_iter`,
    by `tol`, or by the epochs that "auto" plans. A candidate that is done before a rung is compared as it is.

    Where epochs are planned, the rate falls to 0 over them, so candidates are compared in the middle of the fall. All
    of them are at the same share of it if they have the same `optimizer`, `batch_size` and `loss`. Candidates that
    differ in these may learn at different paces, and early rungs prefer those that learn fast.

    Where training goes on until it has converged, and `max_iter` is "auto", nobody knows how long it takes, and
    "exhaust" counts on 1000 epochs. `min_resources` of 5 to 10 takes less time there; 10 to 20 with "lbfgs" and "gd",
    whose first steps hardly tell candidates apart.

    At the first rung all candidates wait for each other, on all folds, with their weights and states; `working_memory`
    limits those of one pass. Full gradients also keep the scores of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassHalvingGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(optimizer="adagrad", max_iter=18, tol=None, random_state=0)
    >>> search = OnePassHalvingGridSearchCV(model, {"alpha": np.geomspace(1e-6, 1e-1, 9)}, cv=3).fit(X, y)
    >>> search.n_candidates_, search.n_resources_
    ([9, 3, 1], [2, 6, 18])
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints = {**_OnePassHalving._parameter_constraints, "param_grid": [dict, list]}

    def __init__(
        self,
        estimator: Any,
        param_grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
        *,
        factor: float = 3,
        min_resources: int | Literal["exhaust", "smallest"] = "exhaust",
        aggressive_elimination: bool = False,
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
            estimator,
            factor=factor,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            error_score=error_score,
            return_train_score=return_train_score,
            working_memory=working_memory,
            **common,
        )
        self.param_grid = param_grid

    def _candidates(self):
        return list(ParameterGrid(self.param_grid))


class OnePassHalvingRandomSearchCV(_OnePassHalving):
    """Randomised search by successive halving, in which all candidates of a fold are trained in the same passes.

    It has the conventions of :class:`sklearn.model_selection.HalvingRandomSearchCV`, with epochs for the resource. The
    notes of :class:`OnePassHalvingGridSearchCV` say what the rungs are.

    Parameters
    ----------
    estimator : SGDClassifierPlus, SGDRegressorPlus, or a Pipeline, TransformedTargetRegressor or OneVsRestClassifier
        Around a pipeline that ends with one of them, its other steps are fitted once a fold for each of their own
        combinations; steps of imbalanced-learn's pipelines may resample its rows. In a `OneVsRestClassifier`, which is
        around `SGDClassifierPlus` itself, each class has passes of its own.
    param_distributions : dict or list of dicts
        Names of parameters, and lists of values or distributions with a method `rvs`.
    n_candidates : int, default=27
        How many candidates are drawn. 27 leave 9, 3 and 1 at three rungs.
    factor : float > 1, default=3
        One in `factor` candidates goes on at a rung, and each rung is at `factor` times the epochs of the one before.
    min_resources : int, "exhaust" or "smallest", default="exhaust"
        The epochs before the first rung. "smallest" is 1; "exhaust" is as many as leave room for all the rungs that it
        takes until few candidates are left, and at least 1.
    aggressive_elimination : bool, default=False
        Whether to repeat the first rung where training has too few epochs for all these rungs, so that few candidates
        are left for the last iteration.
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
    n_resources_ : list of int
        The epochs that candidates have made at the end of each iteration; in the last, those of the longest training.
    n_candidates_ : list of int
        The candidates of each iteration.
    n_remaining_candidates_ : int
        How many of the last iteration would go on if there were another.
    n_iterations_ : int
        The number of iterations.
    n_required_iterations_ : int
        How many are needed until fewer than `factor` candidates are left.
    n_possible_iterations_ : int
        How many iterations there are epochs for.
    min_resources_ : int
        The epochs before the first rung.
    max_resources_ : int
        The epochs of the longest training.

    See Also
    --------
    OnePassHalvingGridSearchCV : The same for the candidates of a grid.
    OnePassRandomizedSearchCV : Trains all candidates to the end.
    sklearn.model_selection.HalvingRandomSearchCV : The same with a fit for each candidate, fold and iteration.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassHalvingRandomSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(optimizer="adagrad", max_iter=18, tol=None, random_state=0)
    >>> alphas = {"alpha": loguniform(1e-6, 1e-1)}
    >>> search = OnePassHalvingRandomSearchCV(model, alphas, n_candidates=12, cv=3, random_state=0).fit(X, y)
    >>> search.n_candidates_, search.n_resources_
    ([12, 4, 2], [2, 6, 18])
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints = {
        **_OnePassHalving._parameter_constraints,
        "param_distributions": [dict, list],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_candidates: int = 27,
        factor: float = 3,
        min_resources: int | Literal["exhaust", "smallest"] = "exhaust",
        aggressive_elimination: bool = False,
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
            factor=factor,
            min_resources=min_resources,
            aggressive_elimination=aggressive_elimination,
            error_score=error_score,
            return_train_score=return_train_score,
            working_memory=working_memory,
            **common,
        )
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates
        self.random_state = random_state

    def _candidates(self):
        return list(
            ParameterSampler(self.param_distributions, self.n_candidates, random_state=self.random_state)
        )
