"""The scores of models on the rows of a fold, as `cross_validate` would have them."""

import time
import traceback
import warnings

import numpy as np
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from sgdkit._kernels.scores import score_rows
from sgdkit.disk.maps import check_unchanged
from sgdkit.estimators.scoring import knowing_scores
from sgdkit.model_selection.pipelines import completed

# Numbers in the array of scores of several models on a test set.
SCORES_AT_ONCE = 1 << 24


class ModelScores:
    """What the scorer of a search says of models.

    Parameters
    ----------
    search : OnePassSearch
    X, y : array-like
        All rows, as they came.
    scorer : callable
    params : dict
        What it takes besides.
    """

    def __init__(self, search, X, y, scorer, params):
        self.search, self.X, self.y, self.scorer, self.params = search, X, y, scorer, params
        self._several = isinstance(scorer, _MultimetricScorer)
        scorers = scorer._scorers.values() if self._several else [scorer]
        # Who knows what a function asks of the model.
        self.asks_for_all = not all(isinstance(each, (_BaseScorer, _PassthroughScorer)) for each in scorers)

    def of_models(self, models, sets, subset, steps):
        """Yield the results of models in the form of `_fit_and_score`, but for those of the fit.

        Parameters
        ----------
        models : list of list of BaseSGDPlus
            Of each candidate, those that it consists of.
        sets : dict
            By name: the rows as they came, the same rows validated, and their indices.
        subset : Subset, or None
            The features of these, where they are few.
        steps : estimator, or None
            What has been fitted around the models.
        """
        n_each = len(models[0]) if models else 1
        alone = [model for each in models for model in each]
        versions = [_with_scores(alone, X, X_valid, subset) for X, X_valid, _ in sets.values()]
        for of_sets in zip(*(zip(*[version] * n_each, strict=True) for version in versions), strict=True):
            begin, result = time.perf_counter(), {}
            for (name, (X, _, indices)), each in zip(sets.items(), of_sets, strict=True):
                result[f"{name}_scores"] = self._of_one(each, X, indices, steps)
            result["score_time"] = time.perf_counter() - begin
            result["n_test_samples"] = len(sets["test"][2])
            yield result

    def _of_one(self, models, X, indices, steps):
        if isinstance(X, Exception):
            warnings.warn(
                f"Scoring failed, for the rows could not be transformed: {X}", UserWarning, stacklevel=2
            )
            return self._missing
        params = _check_method_params(self.X, params=self.params, indices=indices)
        y, model = _safe_indexing(self.y, indices), models[0]
        if steps is not None:
            model = completed(steps, models, targets_only=not self.asks_for_all)
            X = _safe_indexing(self.X, indices) if self.asks_for_all else X
        return self._without_infinities(_score(model, X, y, self.scorer, params, self.search.error_score))

    def _without_infinities(self, scores):
        """Scores of which infinite ones have failed: they have no mean, and would be better than any model is."""
        named = scores if isinstance(scores, dict) else {"score": scores}
        infinite = [name for name, score in named.items() if np.isinf(score)]
        if not infinite:
            return scores
        error_score, name = self.search.error_score, infinite[0]
        scoring = self.search.scoring if named is not scores else name
        message = f"scoring={scoring!r} returned {named[name]}, and a score must be finite."
        if error_score == "raise":
            raise ValueError(message)
        warnings.warn(
            f"Scoring failed. {message} The score on this train-test partition for these parameters will be set to "
            f"{error_score}.",
            UserWarning,
            stacklevel=2,
        )
        if named is not scores:
            return error_score
        return {name: error_score if name in infinite else score for name, score in scores.items()}

    @property
    def _missing(self):
        """What stands in the place of scores."""
        score = self.search.error_score
        return dict.fromkeys(self.scorer._scorers, score) if self._several else score

    def of_failure(self, error, seconds, n_test):
        """The result of a candidate that could not be fitted."""
        if self.search.error_score == "raise":
            raise error
        lines = "".join(traceback.format_exception(error))
        result = {"fit_error": lines, "fit_time": seconds, "score_time": 0.0, "test_scores": self._missing}
        if self.search.return_train_score:
            result["train_scores"] = self._missing
        return {**result, "n_test_samples": n_test}


def _with_scores(models, X, X_valid, subset):
    """Yield models, each knowing its scores for the rows X; `X_valid` are the same rows, on a `Subset` of features."""
    weights = [model._weights_of(subset) for model in models]
    n_columns = len(weights[0][1]) if models else 1
    n_together = max(1, SCORES_AT_ONCE // max(1, X_valid.shape[0] * n_columns))
    for begin in range(0, len(models), n_together):
        part = slice(begin, begin + n_together)
        coef, intercepts = (np.concatenate(each, axis=-1) for each in zip(*weights[part], strict=True))
        scores = score_rows(X_valid, coef) + intercepts
        check_unchanged(X_valid)
        for k, model in enumerate(models[part]):
            yield knowing_scores(model, X, scores[:, k * n_columns : (k + 1) * n_columns])
