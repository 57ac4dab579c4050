"""SGDClassifierPlus: its labels, losses and predictions."""

import numpy as np
from scipy.special import expit, log_expit, log_softmax
from sklearn.base import _fit_context
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.extmath import softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sgdkit._docs import documented
from sgdkit.estimators.base import BaseSGDPlus, check_parameters
from sgdkit.estimators.data import check_rows, chunk_dtype
from sgdkit.estimators.labels import Labels
from sgdkit.losses import CLASSIFIER_LOSSES


def _has_probabilities(self):
    if CLASSIFIER_LOSSES[self.loss].probability is None:
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")
    return True


@documented
class SGDClassifierPlus(LinearClassifierMixin, BaseSGDPlus):
    """Linear classifiers fitted by first-order optimizers: logistic regression, SVMs and others.

    Minimises ``sum_i s_i loss(y_i, x_i W + b) / sum_i s_i + alpha * R(D W)`` over weights W and intercepts b, with
    sample weights s and the scales D of the features (1 with `standardize=False`). More than two classes are one
    softmax model (with the log loss) or one model a class against the rest; all are trained in the same pass over the
    rows. A label indicator as y makes a multi-label problem.

    The defaults need no tuning: `alpha`, the rates and the scales of the features are taken from the data.

    It takes the parameters of :class:`sklearn.linear_model.SGDClassifier`. What differs on purpose: the default loss is
    the log loss, which is softmax for more than two classes; early stopping scores the model that is returned, once for
    all classes; sparse and dense input give the same model.

    Parameters
    ----------
    loss : {"log_loss", "hinge", "squared_hinge", "modified_huber", "perceptron", "squared_error", "huber", \
            "epsilon_insensitive", "squared_epsilon_insensitive"}, default="log_loss"
        The loss, with the target t = -1 or 1 and the score s: ``log(1 + exp(-t s))``, ``max(0, 1 - t s)``, its
        square, ``max(0, 1 - t s)^2`` that is continued as ``-4 t s`` below ``t s = -1``, ``max(0, -t s)``; the rest are
        losses of regression on t, see :class:`SGDRegressorPlus`.

    PARAMETERS

    multi_class : {"auto", "ovr", "multinomial"}, default="auto"
        What more than two classes are: one model against the rest for each, or one model for all, that is softmax for
        "log_loss" and Crammer & Singer's [3]_ for "hinge". "auto" is "multinomial" for "log_loss", else "ovr".

    MORE_PARAMETERS

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which those of the rows are multiplied. "balanced" is
        ``sum(s) / (n_classes * sum(s of the class))``; `partial_fit` takes the sums over all rows so far.

    LAST_PARAMETERS

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.

    classes_ : ndarray of shape (n_classes,)
        The classes; in a multi-label problem, the numbers of the labels.

    ATTRIBUTES

    See Also
    --------
    SGDRegressorPlus : The same for regression.
    sklearn.linear_model.LogisticRegression : Batch solvers for the log loss.

    REFERENCES
    .. [3] K. Crammer & Y. Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines",
       JMLR 2, 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sgdkit import SGDClassifierPlus
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), SGDClassifierPlus(optimizer="adam", random_state=0))
    >>> model.fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **BaseSGDPlus._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFIER_LOSSES))],
        "multi_class": [StrOptions({"auto", "ovr", "multinomial"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        loss="log_loss",
        *,
        optimizer="auto",
        penalty="l2",
        alpha="auto",
        l1_ratio=0.15,
        standardize=True,
        epsilon=0.1,
        multi_class="auto",
        fit_intercept=True,
        batch_size="auto",
        learning_rate="auto",
        eta0="auto",
        power_t=0.5,
        max_iter=1000,
        tol="auto",
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        scoring="loss",
        class_weight=None,
        average=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.epsilon = epsilon
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.scoring = scoring
        self.class_weight = class_weight
        self.average = average
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    @documented
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """PARTIAL_FIT_CLASSES"""
        check_parameters(self, chunk=True)
        past = self._past
        X, y = check_rows(self, X, y, reset=past is None, dtype=chunk_dtype(past))
        if past is None:
            if classes is None and y.ndim == 1:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            kind = Labels.learn(y, None if classes is None else np.unique(classes))
        else:
            kind = past.kind
            if classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
                raise ValueError(
                    f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
                )
        return self._fit_chunk(X, y, kind, sample_weight)

    def decision_function(self, X):
        """Scores ``X @ coef_.T + intercept_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of two classes, the score of ``classes_[1]``: it is predicted where this is positive.
        """
        return self._linear_predictor(X)

    def predict(self, X):
        """Predict class labels, or label indicators.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The class of the highest score; in a multi-label problem, 1 where the score is positive.
        """
        check_is_fitted(self)
        if self._indicator_dtype is None:
            return super().predict(X)
        return (self.decision_function(X) > 0).astype(self._indicator_dtype)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`, computed without passing through the probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        scores = self.decision_function(X)
        if self._probability == "modified_huber":
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        if self._indicator_dtype is not None:
            return log_expit(scores)
        if scores.ndim == 1:
            return log_expit(np.column_stack([-scores, scores]))
        return log_softmax(scores if self._probability == "softmax" else log_expit(scores), axis=1)

    @available_if(_has_probabilities)
    def predict_proba(self, X):
        """Probability estimates; for `log_loss` and `modified_huber`.

        Softmax gives them as they are. The others estimate each class against the rest: log loss by
        ``1 / (1 + exp(-s))``, modified Huber by ``(clip(s, -1, 1) + 1) / 2`` [1]_; with more than two classes these are
        divided by their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The columns stand in the order of `classes_`. In a multi-label problem rows do not sum to 1.

        References
        ----------
        .. [1] B. Zadrozny & C. Elkan, "Transforming classifier scores into multiclass probability estimates", KDD 2002.
        """
        check_is_fitted(self)
        scores = self.decision_function(X)
        if self._probability == "softmax":
            return softmax(scores, copy=False)
        estimate = _clipped if self._probability == "modified_huber" else expit
        if scores.ndim == 1:
            return np.column_stack([estimate(-scores), estimate(scores)])
        if self._indicator_dtype is not None:
            return estimate(scores)
        if self._probability == "logistic":
            return softmax(log_expit(scores), copy=False)
        p = estimate(scores)
        total = p.sum(axis=1, keepdims=True)
        return np.divide(p, total, out=np.full_like(p, 1 / p.shape[1]), where=total > 0)


def _clipped(scores):
    return (np.clip(scores, -1, 1) + 1) / 2
