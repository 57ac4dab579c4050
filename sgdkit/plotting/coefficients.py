"""Coefficients with the names of their features and classes: `coef_frame`, and the largest ones as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils._optional_dependencies import check_matplotlib_support, check_pandas_support
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import _check_feature_names_in, check_array

from sgdkit._typing import Array
from sgdkit.plotting._panels import final_model, panels

COLOURS = {True: "#1b6ca8", False: "#c8442f"}


def coef_frame(estimator: Any, X: Any = None, *, feature_names: Sequence[str] | None = None) -> Any:
    """Return the coefficients of a fitted linear model with the names of its features and classes.

    Parameters
    ----------
    estimator : estimator
        A fitted linear model, alone, at the end of a pipeline, or in a search, whose `best_estimator_` is taken.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows as the estimator takes them. If they are given, each coefficient is multiplied by the standard deviation of
        its feature in them, without which those of features in different units do not compare.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features. None takes those that the pipeline's steps say, or that the model has seen.

    Returns
    -------
    frame : pandas.DataFrame of shape (n_features, n_classes) or (n_features, n_outputs)
        A row for each feature; a column for each class, label or output. Of two classes, that of the second one.

    Raises
    ------
    ValueError
        If the model has no coefficients, or its features no names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.plotting import coef_frame
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = SGDClassifierPlus(random_state=0).fit(X, y)
    >>> coef_frame(model, X)[2].idxmax()
    'petal length (cm)'
    """
    pandas = check_pandas_support("coef_frame")
    model, steps = final_model(estimator)
    if not hasattr(model, "coef_"):
        raise ValueError(f"{type(model).__name__} has no coef_.")
    coef = np.atleast_2d(model.coef_.toarray() if sparse.issparse(model.coef_) else model.coef_)
    if feature_names is None:
        feature_names = _feature_names(model, steps)
    frame = pandas.DataFrame(coef.T, index=feature_names, columns=_column_names(model, coef))
    return frame if X is None else frame.mul(_deviations(X if steps is None else steps.transform(X)), axis=0)


def _feature_names(model, steps):
    if steps is None:
        return _check_feature_names_in(model)
    try:
        return steps.get_feature_names_out()
    except AttributeError as error:
        raise ValueError(
            "A step of the pipeline has no names for its features. Pass feature_names."
        ) from error


def _column_names(model, coef):
    if hasattr(model, "classes_"):
        # Of two classes, one column says how much speaks for the second.
        return model.classes_[-len(coef) :]
    return ["coef"] if len(coef) == 1 else range(len(coef))


def _deviations(X):
    """The standard deviations of the features."""
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
    return np.sqrt(mean_variance_axis(X, axis=0)[1]) if sparse.issparse(X) else X.std(axis=0)


class CoefficientDisplay:
    """The largest coefficients of a linear model, with the names of their features, a panel for each class.

    It is made by :meth:`from_estimator`; what it was made of is its attribute.

    Parameters
    ----------
    coefficients : pandas.DataFrame of shape (n_features, n_classes) or (n_features, n_outputs)
        As :func:`coef_frame` gives them.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_panels,)
        A panel for each class or output.
    figure_ : Figure
        The figure of all.
    bars_ : list of BarContainer
        The bars of each panel, from the bottom up.

    See Also
    --------
    coef_frame : The coefficients as a table.
    TrainingCurveDisplay : Objective and validation score by epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.plotting import CoefficientDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = SGDClassifierPlus(random_state=0).fit(X, y)
    >>> len(CoefficientDisplay.from_estimator(model, X).axes_)
    3
    """

    axes_: Array
    figure_: Any
    bars_: list[Any]

    def __init__(self, *, coefficients: Any):
        self.coefficients = coefficients

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **options: Any,
    ) -> "CoefficientDisplay":
        """Draw the largest coefficients of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted linear model, alone, at the end of a pipeline, or in a search, whose `best_estimator_` is taken.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows as the estimator takes them. If they are given, each coefficient is multiplied by the standard
            deviation of its feature in them, without which those of features in different units do not compare.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None takes those that the pipeline's steps say, or that the model has seen.
        ax : Axes or array-like of Axes, default=None
            Where to draw, see :meth:`plot`.
        **options : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : CoefficientDisplay
            The display, drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        coefficients = coef_frame(estimator, X, feature_names=feature_names)
        return cls(coefficients=coefficients).plot(ax=ax, **options)

    def plot(
        self,
        ax: Any = None,
        *,
        n_features: int = 10,
        classes: Sequence[Any] | None = None,
        bar_kw: dict[str, Any] | None = None,
    ) -> "CoefficientDisplay":
        """Draw a panel for each class, with the features whose coefficients are largest in absolute value.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            Where to draw: one for each class, or one, in whose place they are put. None makes a new figure.
        n_features : int, default=10
            How many features a panel shows.
        classes : sequence, default=None
            Which classes or outputs to draw; None is all.
        bar_kw : dict, default=None
            Further parameters of :meth:`matplotlib.axes.Axes.barh`.

        Returns
        -------
        self : CoefficientDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        frame = self.coefficients if classes is None else self.coefficients[list(classes)]
        n_shown = min(n_features, len(frame))
        self.axes_ = panels(ax, frame.shape[1], n_columns=3, size=(4, 0.8 + 0.25 * n_shown))
        self.figure_, self.bars_ = self.axes_[0].figure, []
        for number, (panel, column) in enumerate(zip(self.axes_, frame.columns, strict=True)):
            values = frame.iloc[:, number]
            order = np.argsort(-np.abs(values.to_numpy()), kind="stable")
            largest = values.iloc[order[:n_shown]].sort_values()
            style = {"color": [COLOURS[bool(value > 0)] for value in largest], **(bar_kw or {})}
            # By place, since two features may share a name.
            self.bars_.append(panel.barh(np.arange(n_shown), largest, **style))
            panel.set_yticks(np.arange(n_shown), [str(name) for name in largest.index])
            panel.axvline(0, color="0.4", linewidth=0.8)
            panel.set_title(str(column), loc="left")
        return self
