"""What is predicted, given scores; `Loss.probability` names the way in which they become probabilities."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils.extmath import softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sgdkit._typing import Array, MatrixLike
from sgdkit.estimators.labels import without_objects
from sgdkit.losses import CLASSIFIER_LOSSES


def _has_probabilities(self):
    if CLASSIFIER_LOSSES[self.loss].probability is None:
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")
    return True


class ClassifierPredictions(LinearClassifierMixin):
    """The predictions of `SGDClassifierPlus`."""

    def decision_function(self, X: MatrixLike) -> Array:
        """Return the scores ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of two classes, the score of ``classes_[1]``: it is predicted where this is positive.
        """
        return self._linear_predictor(X)

    def predict(self, X: MatrixLike) -> Array:
        """Predict class labels, or label indicators.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The class of the highest score; in a multi-label problem, 1 where the score is positive.
        """
        check_is_fitted(self)
        if self._indicator_dtype is None:
            return super().predict(X)
        return (self.decision_function(X) > 0).astype(self._indicator_dtype)

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of the predictions; of a multi-label problem, the share of rows without a mistake.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their true labels.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the rows.

        Returns
        -------
        score : float
            The mean accuracy.
        """
        return ClassifierMixin.score(self, X, without_objects(y), sample_weight)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: MatrixLike) -> Array:
        """Return the logarithms of `predict_proba`, computed without passing through the probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            The columns stand in the order of `classes_`.
        """
        scores = self.decision_function(X)
        return log_probabilities(scores, self._probability, multi_label=self._indicator_dtype is not None)

    @available_if(_has_probabilities)
    def predict_proba(self, X: MatrixLike) -> Array:
        """Estimate probabilities; the losses "log_loss" and "modified_huber" have them.

        Softmax gives them as they are. The others estimate each class against the rest: log loss by
        ``1 / (1 + exp(-s))``, modified Huber by ``(clip(s, -1, 1) + 1) / 2`` [1]_; with more than two classes these are
        divided by their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The columns stand in the order of `classes_`. In a multi-label problem rows do not sum to 1.

        References
        ----------
        .. [1] B. Zadrozny & C. Elkan, "Transforming classifier scores into multiclass probability estimates", KDD 2002.
        """
        scores = self.decision_function(X)
        return probabilities(scores, self._probability, multi_label=self._indicator_dtype is not None)


class RegressorPredictions(RegressorMixin):
    """The predictions of `SGDRegressorPlus`."""

    def predict(self, X: MatrixLike) -> Array:
        """Predict targets: ``X @ coef_.T + intercept_``, or its exponential for "poisson", "gamma" and "tweedie".

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, in the unit of the targets.
        """
        scores = self._linear_predictor(X)
        return np.exp(scores) if self._log_link else scores


def probabilities(scores, probability, *, multi_label):
    """The probabilities of classes, or of labels, given scores.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,) or (n_rows, n_columns)
        Of two classes, those of the second.
    probability : {"softmax", "logistic", "modified_huber"}
    multi_label : bool

    Returns
    -------
    p : ndarray of shape (n_rows, n_classes)
    """
    if probability == "softmax":
        return softmax(scores, copy=False)
    estimate = _clipped if probability == "modified_huber" else expit
    if scores.ndim == 1:
        return np.column_stack([estimate(-scores), estimate(scores)])
    if multi_label:
        return estimate(scores)
    if probability == "logistic":
        return softmax(log_expit(scores), copy=False)
    p = estimate(scores)
    total = p.sum(axis=1, keepdims=True)
    return np.divide(p, total, out=np.full_like(p, 1 / p.shape[1]), where=total > 0)


def log_probabilities(scores, probability, *, multi_label):
    """The logarithms of `probabilities`, where possible without passing through them."""
    if probability == "modified_huber":
        with np.errstate(divide="ignore"):
            return np.log(probabilities(scores, probability, multi_label=multi_label))
    if multi_label:
        return log_expit(scores)
    if scores.ndim == 1:
        return log_expit(np.column_stack([-scores, scores]))
    return log_softmax(scores if probability == "softmax" else log_expit(scores), axis=1)


def _clipped(scores):
    return (np.clip(scores, -1, 1) + 1) / 2
