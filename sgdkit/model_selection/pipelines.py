"""Meta-estimators around the estimator that is searched: pipelines, transformed targets, one class against the rest.

They are layers around the estimator in the middle. The layers of a fold are fitted with a `Recorder` in its place, and
candidates are then trained on the rows and targets that the recorder was given. `OneVsRestClassifier` has a recorder
for each class (or label); it is the innermost layer, so all of them are given the same rows.
"""

import copy

from sklearn import get_config
from sklearn.base import BaseEstimator, clone, is_classifier
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


# The parameter that holds what a layer is around, if it is no pipeline.
_PLACES = {TransformedTargetRegressor: "regressor", OneVsRestClassifier: "estimator"}


def _inner(layer):
    """The name of the estimator inside a layer, and that estimator; None if this is no layer."""
    if isinstance(layer, Pipeline):
        return layer.steps[-1]
    name = next((name for cls, name in _PLACES.items() if isinstance(layer, cls)), None)
    return None if name is None else (name, getattr(layer, name))


def _layers(estimator):
    """The layers from the outside, each with the name of what is inside; and the estimator in the middle."""
    layers = []
    while (inner := _inner(estimator)) is not None:
        layers.append((estimator, inner[0]))
        estimator = inner[1]
    return layers, estimator


def _fitted_inner(layer):
    return layer.steps[-1][1] if isinstance(layer, Pipeline) else layer.regressor_


def _recorders(fitted):
    """The recorders in the middle of fitted layers."""
    while isinstance(fitted, (Pipeline, TransformedTargetRegressor)):
        fitted = _fitted_inner(fitted)
    # For a label that all rows have, or none, there is a constant predictor instead.
    each = fitted.estimators_ if isinstance(fitted, OneVsRestClassifier) else [fitted]
    return [one for one in each if isinstance(one, Recorder)]


def completed(fitted, models, *, targets_only=False):
    """Fitted layers with models in the place of recorders; with `targets_only`, without those that change rows."""
    if _inner(fitted) is None:
        return models[0]
    if isinstance(fitted, OneVsRestClassifier):
        return _one_vs_rest(fitted, models)
    inner = completed(_fitted_inner(fitted), models, targets_only=targets_only)
    if not isinstance(fitted, Pipeline):
        fitted = copy.copy(fitted)
        fitted.regressor_ = inner
        return fitted
    return inner if targets_only else _with_last_step(fitted, inner)


def _one_vs_rest(fitted, models):
    fitted, left = copy.copy(fitted), iter(models)
    fitted.estimator = models[0]
    fitted.estimators_ = [next(left) if isinstance(one, Recorder) else one for one in fitted.estimators_]
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(models[0], name):
            setattr(fitted, name, getattr(models[0], name))
    return fitted


def _with_last_step(pipeline, last):
    return copy.copy(pipeline).set_params(steps=[*pipeline.steps[:-1], (pipeline.steps[-1][0], last)])


# --------------------------------------------------------------------------------------------------- estimator


def final_estimator(estimator):
    """The sgdkit estimator that is searched, in the middle of its layers."""
    layers, final = _layers(estimator)
    if any(isinstance(layer, OneVsRestClassifier) for layer, _ in layers[:-1]) or not _fits(layers, final):
        raise ValueError(
            "The estimator must be SGDClassifierPlus or SGDRegressorPlus, or a Pipeline that ends with one of them, or "
            "a TransformedTargetRegressor of one, or a OneVsRestClassifier of SGDClassifierPlus itself, which may be "
            f"the end of a Pipeline; got {estimator!r}. Search any other with sklearn.model_selection.GridSearchCV or "
            "RandomizedSearchCV."
        )
    return final


def _fits(layers, final):
    """Whether the innermost layer, if any, is one for such an estimator."""
    one_vs_rest = bool(layers) and isinstance(layers[-1][0], OneVsRestClassifier)
    return isinstance(final, BaseSGDPlus) and (is_classifier(final) or not one_vs_rest)


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
    """The layers fitted, with recorders in the middle; and what each of these was given.

    Returns
    -------
    fitted : Pipeline, TransformedTargetRegressor or OneVsRestClassifier
    given : list of (X, y, params)
        What the final estimator is to be fitted to, once, or once for each class of `OneVsRestClassifier`.
    """
    fitted, prefix = clone(estimator), _prefix(estimator)
    fitted.set_params(**{prefix.removesuffix("__"): Recorder(final_estimator(estimator))})
    if isinstance(_layers(estimator)[0][-1][0], OneVsRestClassifier):
        # Recorders keep what they are given, in this process.
        fitted.set_params(**{f"{prefix.removesuffix('estimator__')}n_jobs": 1})
    fitted.fit(X, y, **params)
    given = [recorder.take() for recorder in _recorders(fitted)]
    if not given:
        raise ValueError("There is nothing to learn: all rows have the same labels.")
    return fitted, given


def transformed(fitted, X):
    """The rows that the final estimator is to predict for."""
    recorder = _recorders(fitted)[0]
    while isinstance(fitted, (Pipeline, TransformedTargetRegressor)):
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
    """Raise if a layer changes rows or targets, but not the weights or validation targets that belong to them."""
    for layer, _ in _layers(estimator)[0]:
        steps = layer.steps[:-1] if isinstance(layer, Pipeline) else []
        resampling = [name for name, step in steps if hasattr(step, "fit_resample")]
        if resampling and params.get("sample_weight") is not None:
            raise ValueError(
                f"The steps {resampling} resample rows and targets, and leave sample_weight as it is, so weights would "
                "be those of other rows. Leave out either of them."
            )
        if isinstance(layer, tuple(_PLACES)) and params.get("y_val") is not None:
            raise ValueError(
                f"{type(layer).__name__} transforms y, and leaves y_val as it is. Leave out X_val and y_val; "
                "early_stopping then holds out some rows."
            )
