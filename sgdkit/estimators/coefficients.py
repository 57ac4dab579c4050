"""The coefficients of a model: made when they are asked for, or of some features alone, and the scores they give."""

import numpy as np
from scipy import sparse
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from sgdkit._kernels.csr import csr
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.scores import score_rows
from sgdkit._typing import Array
from sgdkit.disk.maps import check_unchanged
from sgdkit.estimators.data import check_conversion
from sgdkit.estimators.fitted import coefficients
from sgdkit.estimators.touched import on_touched
from sgdkit.training.room import Room

COEFFICIENTS = "coef_", "intercept_"


class LazyCoefMixin(SparseCoefMixin):
    """`coef_` and `intercept_`: where rows had few of the features, they are made when somebody asks for them."""

    coef_: Array
    intercept_: Array
    n_features_in_: int

    # What later fits need, and the weights of few features, until they are asked for; see `fitted.py`.
    _past = _few = None

    def __getattr__(self, name):
        """The coefficients, which are made when they are asked for if few features had values."""
        past, few = self.__dict__.get("_past"), self.__dict__.get("_few")
        if name not in COEFFICIENTS or (few is None and (past is None or not past.takes_parts)):
            # For its error, which may have a reason.
            return object.__getattribute__(self, name)
        made = coefficients(past.kind, past.all_weights()) if few is None else few.coefficients()
        for one, value in zip(COEFFICIENTS, made, strict=True):
            self.__dict__.setdefault(one, value)
        # From now on, they may be edited.
        self.__dict__.pop("_few", None)
        return self.__dict__[name]

    def _weights_of(self, subset):
        """The coefficients of a `Subset` (None: of all features), of shape (n_features, n_columns), and intercepts."""
        few = self.__dict__.get("_few")
        if few is not None and few.subset is subset:
            return few.weights[:-1], few.weights[-1]
        coef = np.atleast_2d(self.coef_).T
        return coef if subset is None else coef[subset.features], self.intercept_

    def __getstate__(self):
        """What there is, coefficients included: neither a file nor a copy depends on who asks for them."""
        getattr(self, "coef_", None)
        return super().__getstate__()

    def __copy__(self):
        """The same state; weights of few features do not change, so that copies may share them as they are."""
        if self._few is None:
            getattr(self, "coef_", None)
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        return other

    def _forget_coefficients(self):
        """Let the coefficients be made when they are asked for."""
        for name in (*COEFFICIENTS, "_few"):
            self.__dict__.pop(name, None)

    def _edited(self):
        """Whether the user has changed the coefficients since they were asked for."""
        if not any(name in self.__dict__ for name in COEFFICIENTS):
            return False
        own = self.coef_, self.intercept_
        known = coefficients(self._past.kind, self._past.all_weights())
        dense = not sparse.issparse(self.coef_)
        return not (dense and all(map(np.array_equal, own, known)))

    def _settle(self):
        """Bring all features up to date, and return whether there are weights to go on from."""
        fitted = hasattr(self, "coef_")
        if self._past is not None:
            self._past = self._past.of_all()
            if self._past.takes_parts:
                self._past.trainer.settle()
        return fitted

    def _linear_predictor(self, X):
        """The scores of rows, of shape (n_samples,) or (n_samples, n_columns)."""
        check_is_fitted(self)
        check_unchanged(X)
        options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "reset": False}
        # Scores tell whether sparse rows are finite, which so need no look of their own; unless weights are left out.
        sparse_coef = sparse.issparse(self.__dict__.get("coef_"))
        told = sparse.issparse(X) and not sparse_coef
        check_conversion(X, options["dtype"])
        rows = validate_data(self, X, ensure_all_finite=not told, **options)
        if sparse.issparse(rows):
            # Products would read and write wherever the indices point.
            rows = Rows(rows, check=False).with_valid_indices()
        if sparse_coef:
            scores = safe_sparse_dot(rows, self.coef_.T, dense_output=True) + self.intercept_
        else:
            rows, coef, intercept = self._on_touched(rows)
            scores = score_rows(rows, coef) + intercept
        check_unchanged(X)
        if told and not np.isfinite(scores).all():
            validate_data(self, X, **options)
        return scores.ravel() if scores.shape[1] == 1 else scores

    def _on_touched(self, rows):
        """Rows, their coefficients of shape (n_features, n_columns), and the intercepts.

        Of coefficients that nobody has asked for, as between the chunks of a stream, those of the rows' features are
        made alone; unless rows have come to as many values as it takes to make them all.
        """
        past = self._past
        made = any(name in self.__dict__ for name in COEFFICIENTS)
        if (
            not made
            and past is not None
            and past.takes_parts
            and sparse.issparse(rows)
            and not len(past.everywhere)
        ):
            past.n_scored += rows.nnz
            # Others may predict at the same time.
            room = Room()
            features, numbers = on_touched(rows, (), room) if past.n_scored < rows.shape[1] else (None, None)
            if features is not None:
                weights = np.ascontiguousarray(past.of_features(features, room).weights)
                return csr(rows.data, numbers, rows.indptr, len(features)), weights[:-1], weights[-1]
        return rows, np.atleast_2d(self.coef_).T, self.intercept_
