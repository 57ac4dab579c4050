"""Scores of models in training on a validation set; and models that know their scores on a test set."""

import copy
import warnings
from functools import partial
from inspect import signature
from threading import Lock

import numpy as np
from scipy import sparse
from sklearn.metrics import check_scoring

from sgdkit._kernels.scores import score_rows
from sgdkit.disk.maps import check_unchanged
from sgdkit.estimators.fitted import set_choices, set_coefficients
from sgdkit.estimators.predictions import ClassifierPredictions

_FILTERS = Lock()


def validation_scorer(plan, validation):
    """A function from the weights of models to their scores on the validation `Data`; higher is better."""
    n_columns = plan.problem.targets.n_columns
    if validation.targets.n_columns != n_columns:
        raise ValueError(
            f"y_val has {validation.targets.n_columns} outputs, and y has {n_columns}. Both need the same columns."
        )
    score = _minus_loss(plan, validation) if plan.settings.scoring == "loss" else _external(plan, validation)

    def checked(weights):
        scores = score(weights)
        check_unchanged(validation.X, validation.y)
        return scores

    return checked


def _minus_loss(plan, validation):
    X, targets, loss = validation.X, validation.targets, plan.problem.loss
    X = X if plan.data.subset is None else plan.data.subset.of(X)

    def minus_losses(weights):
        weights = plan.scaling.to_raw(weights)
        scores = score_rows(X, weights[:-1]) + weights[-1]
        n_models = scores.shape[1] // targets.n_columns
        repeated = targets.with_columns(np.tile(targets.column, n_models))
        losses = loss.total(scores, repeated, validation.row_weights) / validation.total_weight
        return -losses.reshape(n_models, -1).sum(axis=1)

    return minus_losses


def _external(plan, validation):
    """The same for a scorer of scikit-learn's kind, which is tried before any work is done."""
    scoring = plan.settings.scoring
    scorer = check_scoring(plan.settings, scoring=scoring)
    model = copy.copy(plan.settings)
    # Rows have been validated, and have no names any more.
    model.__dict__.pop("feature_names_in_", None)
    set_choices(model, plan)
    options = {}
    if validation.sample_weight is not None and _takes_sample_weight(scorer):
        options["sample_weight"] = validation.sample_weight

    def score(weights):
        set_coefficients(model, plan, weights)
        value = float(scorer(model, validation.X, validation.y, **options))
        if not np.isfinite(value):
            raise ValueError(f"scoring={scoring!r} returned {value}, and a score must be finite.")
        return value

    try:
        # The filters of warnings belong to all threads.
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score(_small_weights(plan, validation.X))
    except Exception as error:
        raise ValueError(
            f"scoring={scoring!r} cannot score this problem on the validation set: {error} "
            'Choose scoring="loss", or a scorer that suits the target.'
        ) from error
    n_columns = plan.problem.targets.n_columns
    return lambda weights: np.array(
        [score(weights[:, k : k + n_columns]) for k in range(0, weights.shape[1], n_columns)]
    )


def _small_weights(plan, X):
    """Weights with which scores are small, and not all the same."""
    shape = plan.problem.rows.n_features + 1, plan.problem.targets.n_columns
    largest = np.abs(X.data if sparse.issparse(X) else X).max(initial=0)
    weights = np.random.default_rng(0).standard_normal(shape) * 1e-3 / (1 + largest)
    return weights.astype(plan.problem.rows.dtype)


def _takes_sample_weight(scorer):
    """Whether a scorer, or a function in its place, has an argument sample_weight."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def knowing_scores(model, X, scores):
    """A copy of a model that knows its scores for the rows X, so that predictions for this very X need no product."""
    model, predict = copy.copy(model), model._linear_predictor
    scores = scores.ravel() if scores.shape[1] == 1 else scores
    model._linear_predictor = lambda other: scores.copy() if other is X else predict(other)
    if type(model).score is ClassifierPredictions.score and model._indicator_dtype is None:
        # By another copy: a model that held itself would keep the rows until garbage is collected.
        model.score = partial(_accuracy, copy.copy(model))
    return model


def _accuracy(model, X, y, sample_weight=None):
    """What `ClassifierPredictions.score` returns, without another look at targets that are known to be classes."""
    return float(np.average(model.predict(X) == np.ravel(y), weights=sample_weight))
