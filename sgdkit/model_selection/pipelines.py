"""What stands around the estimator that is searched: pipelines, and `TransformedTargetRegressor`.

They are layers, one in another, with the estimator in the middle. A layer does its work itself, of whatever class, with
a `Recorder` in the middle; then candidates are trained on what that was given.
"""

import copy

from sklearn import get_config
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from sgdkit.estimators.base import BaseSGDPlus


class Recorder(BaseEstimator):
    """Stands in the place of an estimator, and notes what that would be fitted to.

    Parameters
    ----------
    estimator : BaseSGDPlus
        Its requests of metadata are the recorder's.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None, **params):
        self.given_ = X, y, params
        return self

    def transform(self, X):
        """The rows that the estimator would predict for."""
        return X

    def predict(self, X):
        raise NotImplementedError(
            "A Recorder is not trained; layers ask for this method, and do not call it."
        )

    def take(self):
        """What it was given, which it does not keep."""
        given, self.given_ = self.given_, None
        return given

    def get_metadata_routing(self):
        return self.estimator.get_metadata_routing()


# ------------------------------------------------------------------------------------------------------ layers


def _inner(layer):
    """The name of what a layer has in it, and that itself; None of what is no layer."""
    if isinstance(layer, Pipeline):
        return layer.steps[-1]
    return ("regressor", layer.regressor) if isinstance(layer, TransformedTargetRegressor) else None


def _layers(estimator):
    """Each layer with the name of what is in it, from the outside, and what is in the middle."""
    layers = []
    while (inner := _inner(estimator)) is not None:
        layers.append((estimator, inner[0]))
        estimator = inner[1]
    return layers, estimator


def _fitted_inner(layer):
    return layer.steps[-1][1] if isinstance(layer, Pipeline) else layer.regressor_


def _innermost(fitted):
    while _inner(fitted) is not None:
        fitted = _fitted_inner(fitted)
    return fitted


def completed(fitted, model, *, targets_only=False):
    """Fitted layers with a model in the middle; with `targets_only`, those alone that change targets."""
    if _inner(fitted) is None:
        return model
    inner = completed(_fitted_inner(fitted), model, targets_only=targets_only)
    if not isinstance(fitted, Pipeline):
        fitted = copy.copy(fitted)
        fitted.regressor_ = inner
        return fitted
    return inner if targets_only else _with_last_step(fitted, inner)


def _with_last_step(pipeline, last):
    return copy.copy(pipeline).set_params(steps=[*pipeline.steps[:-1], (pipeline.steps[-1][0], last)])


# --------------------------------------------------------------------------------------------------- estimator


def final_estimator(estimator):
    """The sgdkit estimator that is searched, in the middle of its layers."""
    final = _layers(estimator)[1]
    if isinstance(final, BaseSGDPlus):
        return final
    advice = "Search any other with sklearn.model_selection.GridSearchCV or RandomizedSearchCV."
    if isinstance(final, OneVsRestClassifier) and isinstance(final.estimator, BaseSGDPlus):
        advice = (
            "SGDClassifierPlus(multi_class='ovr') is one model for each class against the rest, without it."
        )
    raise ValueError(
        "The estimator must be SGDClassifierPlus or SGDRegressorPlus, or a Pipeline that ends with one of them, or a "
        f"TransformedTargetRegressor of one; got {final!r}. {advice}"
    )


def is_alone(estimator):
    """Whether nothing stands around it."""
    return _inner(estimator) is None


def _prefix(estimator):
    return "".join(f"{name}__" for _, name in _layers(estimator)[0])


def settings_of_preparation(estimator, parameters):
    """The parameters of a candidate that are not those of the final estimator."""
    prefix = _prefix(estimator)
    return {name: value for name, value in parameters.items() if not name.startswith(prefix)}


def final_parameters(estimator, parameters):
    """The parameters of a candidate's final estimator, by its own names."""
    return _by_own_names(_prefix(estimator), parameters)


def _by_own_names(prefix, parameters):
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


# ---------------------------------------------------------------------------------------------------------- fit


def recorded(estimator, X, y, params):
    """The layers fitted, with a `Recorder` in the middle; and what the final estimator is to be fitted to.

    Returns
    -------
    fitted : Pipeline or TransformedTargetRegressor
    X, y : array-like
    params : dict
    """
    fitted = clone(estimator)
    fitted.set_params(**{_prefix(estimator).removesuffix("__"): Recorder(final_estimator(estimator))})
    fitted.fit(X, y, **params)
    return fitted, *_innermost(fitted).take()


def transformed(fitted, X):
    """The rows that the final estimator is to predict for."""
    recorder = _innermost(fitted)
    while _inner(fitted) is not None:
        if isinstance(fitted, Pipeline):
            X = _with_last_step(fitted, recorder).transform(X)
        fitted = _fitted_inner(fitted)
    return X


def final_fit_parameters(estimator, params):
    """The parameters of fit that reach the final estimator, by its own names."""
    for layer, name in _layers(estimator)[0]:
        if get_config()["enable_metadata_routing"]:
            params = process_routing(layer, "fit", **params)[name].fit if params else {}
        elif isinstance(layer, Pipeline):
            params = _by_own_names(f"{name}__", params)
    return params


def check_pairs(estimator, params):
    """Raise if a layer changes rows or targets, and leaves what belongs to them as it is."""
    for layer, _ in _layers(estimator)[0]:
        steps = layer.steps[:-1] if isinstance(layer, Pipeline) else []
        resampling = [name for name, step in steps if hasattr(step, "fit_resample")]
        if resampling and params.get("sample_weight") is not None:
            raise ValueError(
                f"The steps {resampling} resample rows and targets, and leave sample_weight as it is, so weights would "
                "be those of other rows. Leave out either of them."
            )
        if isinstance(layer, TransformedTargetRegressor) and params.get("y_val") is not None:
            raise ValueError(
                "TransformedTargetRegressor transforms y, and leaves y_val as it is. Leave out X_val and y_val; "
                "early_stopping then holds out some rows."
            )
