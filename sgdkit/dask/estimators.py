"""The estimators for rows on a cluster: `fit` is that of the plain ones, and predictions are lazy."""

import inspect
from functools import partial
from typing import Any, Self

import dask.array as da
import numpy as np
from dask.delayed import delayed
from distributed import Client, default_client
from scipy import sparse
from sklearn.base import _fit_context, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_y, check_consistent_length, check_is_fitted

import sgdkit.estimators as plain
from sgdkit.auto.optimizer import full_gradients
from sgdkit.dask.collections import brought_here, is_collection, lengths_of, parts_of
from sgdkit.dask.rows import RETRIES, FarRows, check_room
from sgdkit.estimators.base import BaseSGDPlus, check_parameters, draw_seeds
from sgdkit.estimators.callbacks import has_callbacks
from sgdkit.estimators.data import ALL_ZERO, check_validation, check_weights, encode, targets_kind
from sgdkit.estimators.labels import without_objects
from sgdkit.estimators.predictions import _has_probabilities
from sgdkit.optimizers import as_optimizer


def with_client(cls):
    """Give a class the parameters of the plain estimator that it extends, and a client."""
    signature = inspect.signature(cls._plain.__init__)
    client = inspect.Parameter(
        "client", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Client | None
    )
    parameters = [*signature.parameters.values(), client]
    cls.__init__.__signature__ = signature.replace(parameters=parameters)
    return cls


class OnDask(BaseSGDPlus):
    """What the two estimators share."""

    client: Client | None
    _plain: Any

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        coef_init: Any = None,
        intercept_init: Any = None,
    ) -> Self:
        """Fit the model to the rows of a collection.

        Parameters
        ----------
        X : dask array, dask dataframe, or list of delayed, of shape (n_samples, n_features)
            The rows. Blocks are arrays or sparse matrices; their lengths need not be known. float32 is trained in
            float32, anything else in float64.
        y : collection or array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets, which are brought to the client.
        sample_weight : collection or array-like of shape (n_samples,), default=None
            Non-negative weights, which are brought to the client.
        X_val : collection or {array-like, sparse matrix} of shape (n_val, n_features), default=None
            A validation set for `early_stopping`, which is brought to the client.
        y_val : collection or array-like of shape (n_val,) or (n_val, n_outputs), default=None
            The targets of `X_val`.
        sample_weight_val : collection or array-like of shape (n_val,), default=None
            The weights of `X_val`.
        coef_init : array-like of the shape of `coef_`, default=None
            Weights to begin with.
        intercept_init : array-like of the shape of `intercept_`, default=None
            Intercepts to begin with.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            For bad input, optimizers other than "auto", "lbfgs" and "gd", losses with kinks, `warm_start`,
            `early_stopping` without `X_val`, and weights that are too large for a worker.
        TypeError
            If X is no collection.

        Warns
        -----
        UserWarning
            If the rows do not fit into the memory of the workers, so that they are read in each round.
        ConvergenceWarning
            If `max_iter` epochs were not enough.
        """
        settings = self._settings(X)
        if settings.early_stopping and X_val is None:
            raise ValueError(
                "early_stopping needs X_val and y_val here: no rows of a collection are held out."
            )
        client = self._client()
        here = partial(brought_here, client, retries=RETRIES)
        y, sample_weight = here(y), here(sample_weight)
        data = self._data(settings, FarRows(client, parts_of(X)), y, sample_weight)
        validation = here(X_val) if not is_collection(X_val) else _rows_here(client, X_val)
        validation = check_validation(settings, data, validation, here(y_val), here(sample_weight_val))
        check_room(client, data.rows.n_features, data.targets.n_columns, data.rows.dtype)
        initial = {"coef_init": coef_init, "intercept_init": intercept_init}
        settings._fit_data(data, validation, draw_seeds(settings.random_state), **initial)
        for name in [name for name in vars(self) if name not in self.get_params(deep=False)]:
            delattr(self, name)
        parameters = settings.get_params(deep=False)
        self.__dict__.update(
            {name: value for name, value in vars(settings).items() if name not in parameters}
        )
        return self

    def _client(self):
        if self.client is not None:
            return self.client
        try:
            return default_client()
        except ValueError as error:
            raise ValueError(
                "There is no client of a Dask cluster. Make one, for instance with dask.distributed.Client(), or pass "
                "one as client=."
            ) from error

    def _settings(self, X):
        """A plain estimator with the same parameters, and the optimizer that "auto" stands for; an error for others."""
        if not is_collection(X):
            raise TypeError(
                f"X must be a dask array, a dask dataframe or a list of delayed, got {type(X).__name__}. For rows in "
                f"memory or on disk there is sgdkit.{type(self).__name__}."
            )
        settings = self._parameters_as(self._plain)
        check_parameters(settings)
        if settings.optimizer == "auto":
            settings.optimizer = full_gradients(settings.penalty, settings.l1_ratio)
        if not as_optimizer(settings.optimizer).full_batch:
            raise ValueError(
                f"optimizer={self.optimizer!r} visits rows one by one, which has no exact form over blocks. "
                'Use "lbfgs" or "gd", which are exact; or train on one block after the other, with '
                f"dask_ml.wrappers.Incremental(sgdkit.{type(self).__name__}(optimizer={self.optimizer!r}))."
            )
        if not targets_kind(settings).losses[settings.loss].smooth:
            losses = targets_kind(settings).losses
            smooth = [name for name, loss in losses.items() if loss.smooth]
            raise ValueError(
                f"loss={settings.loss!r} has kinks. Full gradients over blocks are for smooth losses: {smooth}."
            )
        if settings.warm_start:
            raise ValueError(
                "warm_start is not available for collections. Go on with to_local().partial_fit."
            )
        if has_callbacks(self):
            raise ValueError("Callbacks are not available for collections.")
        return settings

    @staticmethod
    def _data(settings, rows, y, sample_weight):
        """Rows on a cluster as `Data`, checked as those of a plain fit are."""
        kind = targets_kind(settings)
        settings.n_features_in_ = rows.n_features
        if rows.names is not None:
            settings.feature_names_in_ = rows.names
        y = kind.check(settings, _check_y(kind.prepare(y), multi_output=True, y_numeric=kind.numeric))
        check_consistent_length(rows, y)
        kind.check_size(y, rows.dtype)
        sample_weight = check_weights(sample_weight, rows)
        data = encode(settings, kind.learn(y), rows, y, sample_weight, rows=rows)
        if not data.n_rows:
            raise ValueError(ALL_ZERO)
        return data

    def _parameters_as(self, cls):
        """An estimator of another class with the same parameters, which belong to it alone."""
        names = inspect.signature(cls.__init__).parameters
        return cls(**{n: clone(v, safe=False) for n, v in self._own_parameters().items() if n in names})

    def _own_parameters(self):
        return {name: v for name, v in self.get_params(deep=False).items() if name != "client"}

    def __sklearn_clone__(self):
        other = self._parameters_as(type(self))
        other.client = self.client
        return other

    def __getstate__(self):
        # A client belongs to its process.
        return {**super().__getstate__(), "client": None}

    def to_local(self) -> Any:
        """Return a plain estimator with the same parameters, fitted alike.

        Returns
        -------
        model : sgdkit.SGDClassifierPlus or sgdkit.SGDRegressorPlus
            It needs no Dask, and goes on with `partial_fit`.
        """
        check_is_fitted(self)
        model = self._parameters_as(self._plain)
        parameters = self.get_params(deep=False)
        model.__dict__.update({name: value for name, value in vars(self).items() if name not in parameters})
        return model

    def _lazily(self, name, X):
        """What a method of the plain estimator returns for each part of a collection, as a dask array."""
        model = self.to_local().drop_training_state()
        nameless = self.to_local()
        vars(nameless).pop("feature_names_in_", None)
        probe = getattr(nameless, name)(sparse.csr_array((1, model.n_features_in_)))
        sent = delayed(model, pure=False, traverse=False)
        parts = [
            da.from_delayed(
                delayed(_of_part, pure=False)(sent, name, part, probe[:0]),
                (length, *probe.shape[1:]),
                probe.dtype,
            )
            for part, length in zip(parts_of(X), lengths_of(X), strict=True)
        ]
        return da.concatenate(parts, allow_unknown_chunksizes=True)

    def _predictions_here(self, X, y, sample_weight):
        """Predictions for a collection, targets and weights, all brought here."""
        here = partial(brought_here, self._client(), retries=RETRIES)
        return here(y), here(self.predict(X)), here(sample_weight)


def _of_part(model, name, part, nothing):
    return getattr(model, name)(part) if part.shape[0] else nothing


def _rows_here(client, X):
    rows = FarRows(client, parts_of(X))
    return rows.take(np.arange(rows.n_rows))


@with_client
class SGDClassifierPlus(OnDask, plain.SGDClassifierPlus):
    """`sgdkit.SGDClassifierPlus` for rows on a Dask cluster, with exact full gradients.

    The fit is that of the plain estimator with the same optimizer, whatever the partition: each step sums losses and
    gradients over all blocks. Parameters that the plain one has are here too, and mean the same.

    Parameters
    ----------
    loss : str, default="log_loss"
        A smooth loss.
    client : distributed.Client, default=None
        None takes the one that was made last. It is not pickled.
    **parameters : dict
        Those of :class:`sgdkit.SGDClassifierPlus`. `optimizer` is "auto", "lbfgs" or "gd"; "auto" is "lbfgs", or "gd"
        if the penalty has an l1 norm.

    See Also
    --------
    sgdkit.SGDClassifierPlus : The same for rows in memory or on disk; it describes parameters and attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sgdkit.dask import SGDClassifierPlus
    >>> with Client(processes=False, dashboard_address=None):
    ...     X = da.random.default_rng(0).standard_normal((1000, 4), chunks=(300, 4))
    ...     model = SGDClassifierPlus(random_state=0).fit(X, X[:, 0] > 0).to_local()
    >>> model.coef_.shape
    (1, 4)
    """

    _plain = plain.SGDClassifierPlus
    _parameter_constraints = {**plain.SGDClassifierPlus._parameter_constraints, "client": "no_validation"}

    def __init__(self, loss: str = "log_loss", *, client: Client | None = None, **parameters: Any) -> None:
        super().__init__(loss, **parameters)
        self.client = client

    def decision_function(self, X: Any) -> Any:
        """Return the scores of rows; of a collection, as a dask array.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to score.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            See the plain estimator.
        """
        return self._lazily("decision_function", X) if is_collection(X) else super().decision_function(X)

    def predict(self, X: Any) -> Any:
        """Predict classes or label indicators; of a collection, as a dask array.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        y_pred : array of shape (n_samples,) or (n_samples, n_outputs)
            See the plain estimator.
        """
        return self._lazily("predict", X) if is_collection(X) else super().predict(X)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Estimate probabilities; of a collection, as a dask array.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        p : array of shape (n_samples, n_classes)
            See the plain estimator.
        """
        return self._lazily("predict_proba", X) if is_collection(X) else super().predict_proba(X)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of `predict_proba`; of a collection, as a dask array.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        log_p : array of shape (n_samples, n_classes)
            See the plain estimator.
        """
        return self._lazily("predict_log_proba", X) if is_collection(X) else super().predict_log_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of the predictions, which are brought to the client.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.
        y : collection or array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their true labels.
        sample_weight : collection or array-like of shape (n_samples,), default=None
            The weights of the rows.

        Returns
        -------
        score : float
            The mean accuracy.
        """
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        y, predicted, sample_weight = self._predictions_here(X, y, sample_weight)
        return float(accuracy_score(without_objects(y), predicted, sample_weight=sample_weight))


@with_client
class SGDRegressorPlus(OnDask, plain.SGDRegressorPlus):
    """`sgdkit.SGDRegressorPlus` for rows on a Dask cluster, with exact full gradients.

    See :class:`sgdkit.dask.SGDClassifierPlus`. Squared errors of few features take one round: all that is asked for are
    the products of features.

    Parameters
    ----------
    loss : str, default="squared_error"
        A smooth loss.
    client : distributed.Client, default=None
        None takes the one that was made last. It is not pickled.
    **parameters : dict
        Those of :class:`sgdkit.SGDRegressorPlus`. `optimizer` is "auto", "lbfgs" or "gd"; "auto" is "lbfgs", or "gd" if
        the penalty has an l1 norm.

    See Also
    --------
    sgdkit.SGDRegressorPlus : The same for rows in memory or on disk; it describes parameters and attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sgdkit.dask import SGDRegressorPlus
    >>> with Client(processes=False, dashboard_address=None):
    ...     X = da.random.default_rng(0).standard_normal((1000, 4), chunks=(300, 4))
    ...     model = SGDRegressorPlus(random_state=0).fit(X, X[:, 0]).to_local()
    >>> model.coef_.shape
    (4,)
    """

    _plain = plain.SGDRegressorPlus
    _parameter_constraints = {**plain.SGDRegressorPlus._parameter_constraints, "client": "no_validation"}

    def __init__(
        self, loss: str = "squared_error", *, client: Client | None = None, **parameters: Any
    ) -> None:
        super().__init__(loss, **parameters)
        self.client = client

    def predict(self, X: Any) -> Any:
        """Predict targets; of a collection, as a dask array.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.

        Returns
        -------
        y_pred : array of shape (n_samples,) or (n_samples, n_outputs)
            See the plain estimator.
        """
        return self._lazily("predict", X) if is_collection(X) else super().predict(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of the predictions, which are brought to the client.

        Parameters
        ----------
        X : collection or {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows to predict.
        y : collection or array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their true targets.
        sample_weight : collection or array-like of shape (n_samples,), default=None
            The weights of the rows.

        Returns
        -------
        score : float
            R^2.
        """
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        y, predicted, sample_weight = self._predictions_here(X, y, sample_weight)
        return float(r2_score(y, predicted, sample_weight=sample_weight))
