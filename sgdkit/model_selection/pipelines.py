"""Pipelines around the estimator that is searched: whose parameters are whose, and what the last step is fitted to."""

import copy

from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from sgdkit.estimators.base import BaseSGDPlus


class Recorder(BaseEstimator):
    """Stands in the place of a pipeline's last step, and notes what that would be fitted to.

    So the pipeline itself does all that comes before: it fits, resamples and routes, whatever its class.

    Parameters
    ----------
    estimator : BaseSGDPlus
        The last step, whose requests of metadata it has.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None, **params):
        self.given_ = X, y, params
        return self

    def transform(self, X):
        """The rows that the last step would predict for."""
        return X

    def take(self):
        """What it was given, which it does not keep."""
        given, self.given_ = self.given_, None
        return given

    def get_metadata_routing(self):
        return self.estimator.get_metadata_routing()


def recorded(pipeline, X, y, params):
    """A fitted copy of a pipeline with a `Recorder` at its end; and what its last step is to be fitted to.

    Returns
    -------
    fitted : Pipeline
        Its `transform` gives the rows that the last step predicts for.
    X, y : array-like
    params : dict
    """
    name, last = pipeline.steps[-1]
    recorder = Recorder(last)
    fitted = copy.copy(pipeline).set_params(steps=[*pipeline.steps[:-1], (name, recorder)])
    fitted.fit(X, y, **params)
    return fitted, *recorder.take()


def with_last_step(pipeline, model):
    """A pipeline whose last step is replaced."""
    return copy.copy(pipeline).set_params(steps=[*pipeline.steps[:-1], (pipeline.steps[-1][0], model)])


def resampling_steps(estimator):
    """The names of the steps that change the number of rows, or their order."""
    steps = estimator.steps[:-1] if isinstance(estimator, Pipeline) else []
    return [name for name, step in steps if hasattr(step, "fit_resample")]


def final_estimator(estimator):
    """The sgdkit estimator that is searched, alone or at the end of a pipeline."""
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(final, BaseSGDPlus):
        raise ValueError(
            "The estimator must be SGDClassifierPlus or SGDRegressorPlus, or a Pipeline that ends with one of them; "
            f"got {final!r}. Search any other with sklearn.model_selection.GridSearchCV or RandomizedSearchCV."
        )
    return final


def settings_of_preparation(estimator, parameters):
    """The parameters of a candidate that are not those of the final estimator."""
    if not isinstance(estimator, Pipeline):
        return {}
    prefix = f"{estimator.steps[-1][0]}__"
    return {name: value for name, value in parameters.items() if not name.startswith(prefix)}


def final_parameters(estimator, parameters):
    """The parameters of a candidate's final estimator, by its own names."""
    if not isinstance(estimator, Pipeline):
        return dict(parameters)
    prefix = f"{estimator.steps[-1][0]}__"
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}


def final_fit_parameters(estimator, params):
    """The parameters of fit that reach the final estimator, by its own names."""
    if not isinstance(estimator, Pipeline):
        return params
    if get_config()["enable_metadata_routing"]:
        return process_routing(estimator, "fit", **params)[estimator.steps[-1][0]].fit if params else {}
    return final_parameters(estimator, params)
