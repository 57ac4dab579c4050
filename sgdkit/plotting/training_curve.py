"""TrainingCurveDisplay: what training has reached, epoch by epoch."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from sgdkit._typing import Array
from sgdkit.plotting._panels import final_model, panels


class TrainingCurveDisplay:
    """Objective and validation score of one model or several, epoch by epoch.

    It is made by :meth:`from_estimator` or :meth:`from_estimators`; what it was made of are its attributes.

    Parameters
    ----------
    objectives : list of ndarray of shape (n_epochs,)
        The objective of each model after each of its epochs.
    validation_scores : list of (ndarray of shape (n_epochs,) or None), default=None
        The validation scores of each model; None for one that was trained without.
    best_iters : list of (int or None), default=None
        The epoch whose weights each model has, counted from 1.
    names : list of str, default=None
        The names of the models.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_panels,)
        The panel of objectives and, if there are validation scores, that of these.
    figure_ : Figure
        The figure of both.
    lines_ : list of Line2D
        The curves of the objectives, one a model.
    validation_lines_ : list of (Line2D or None)
        Those of the validation scores.

    See Also
    --------
    SearchPathDisplay : Scores of a search over the values of a parameter.
    CoefficientDisplay : The largest weights of a model.

    Notes
    -----
    With stochastic steps, the objective of an epoch is the mean of the losses that rows had when they were visited,
    while the weights still moved: that of the first epoch tells of the way as well as of its end.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.plotting import TrainingCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> models = {
    ...     name: SGDClassifierPlus(optimizer=name, early_stopping=True, random_state=0).fit(X, y)
    ...     for name in ("sgd", "adagrad")
    ... }
    >>> display = TrainingCurveDisplay.from_estimators(models)
    >>> [line.get_label() for line in display.lines_]
    ['sgd', 'adagrad']
    """

    axes_: Array
    figure_: Any
    lines_: list[Any]
    validation_lines_: list[Any]

    def __init__(
        self,
        *,
        objectives: list[np.ndarray],
        validation_scores: list[np.ndarray | None] | None = None,
        best_iters: list[int | None] | None = None,
        names: list[str] | None = None,
    ):
        self.objectives = objectives
        self.validation_scores = validation_scores
        self.best_iters = best_iters
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Any = None, **options: Any
    ) -> "TrainingCurveDisplay":
        """Draw the curves of one fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of sgdkit, or anything else that has a `loss_curve_`; a pipeline that ends with one; or a
            search around either, whose `best_estimator_` is shown.
        name : str, default=None
            The name of the model. None is that of its class.
        ax : Axes or array-like of Axes, default=None
            Where to draw, see :meth:`plot`.
        **options : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.
        """
        model, _ = final_model(estimator)
        return cls.from_estimators({type(model).__name__ if name is None else name: model}, ax=ax, **options)

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any] | Iterable[Any], *, ax: Any = None, **options: Any
    ) -> "TrainingCurveDisplay":
        """Draw the curves of several fitted models.

        Parameters
        ----------
        estimators : dict of str to estimator, or iterable of estimators
            Fitted models as :meth:`from_estimator` takes them, by name. Those without a name have that of their class.
        ax : Axes or array-like of Axes, default=None
            Where to draw, see :meth:`plot`.
        **options : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimators")
        if isinstance(estimators, Mapping):
            named = [(name, final_model(estimator)[0]) for name, estimator in estimators.items()]
        else:
            models = [final_model(estimator)[0] for estimator in estimators]
            named = [(type(model).__name__, model) for model in models]
        if not named:
            raise ValueError("estimators must have at least one model, got none.")
        for name, model in named:
            if not hasattr(model, "loss_curve_"):
                raise ValueError(f"{name} has no loss_curve_, so its training cannot be shown.")
        scores = [getattr(model, "validation_scores_", None) for _, model in named]
        return cls(
            objectives=[np.array(model.loss_curve_) for _, model in named],
            validation_scores=[None if values is None else np.array(values) for values in scores],
            best_iters=[getattr(model, "best_iter_", None) for _, model in named],
            names=[name for name, _ in named],
        ).plot(ax=ax, **options)

    def plot(
        self, ax: Any = None, *, minimum: float | None = None, line_kw: dict[str, Any] | None = None
    ) -> "TrainingCurveDisplay":
        """Draw the curves; a dot marks the epoch whose weights a model has.

        Parameters
        ----------
        ax : Axes or array-like of Axes, default=None
            Where to draw. None makes a new figure. If there are validation scores there are two panels: two Axes, or
            one, in whose place they are put.
        minimum : float, default=None
            A lowest objective that is known. If it is given, the distance from it is drawn, on a logarithmic axis.
        line_kw : dict, default=None
            Further parameters of the lines of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : TrainingCurveDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        n_models = len(self.objectives)
        scores = self.validation_scores or [None] * n_models
        validated = any(values is not None for values in scores)
        self.axes_ = panels(ax, 1 + validated, n_columns=2, size=(5.5, 4))
        self.figure_ = self.axes_[0].figure
        objectives = [values - (minimum or 0.0) for values in self.objectives]
        self.lines_ = self._draw(self.axes_[0], objectives, line_kw)
        self.axes_[0].set_ylabel("Objective" if minimum is None else "Objective above the minimum")
        if minimum is not None:
            self.axes_[0].set_yscale("log", nonpositive="mask")
        self.validation_lines_ = [None] * n_models
        if validated:
            self.validation_lines_ = self._draw(self.axes_[1], scores, line_kw)
            self.axes_[1].set_ylabel("Validation score")
        if self.names is not None:
            self.axes_[0].legend()
        return self

    def _draw(self, ax, curves, line_kw):
        """Draw a curve of each model, in the same colours in every panel."""
        lines = []
        best_iters = self.best_iters or [None] * len(curves)
        names = self.names or [None] * len(curves)
        for number, (values, best, name) in enumerate(zip(curves, best_iters, names, strict=True)):
            if values is None:
                lines.append(None)
                continue
            epochs = np.arange(1, len(values) + 1)
            style = {"color": f"C{number}", "label": name, **(line_kw or {})}
            lines += ax.plot(epochs, values, **style)
            if best:
                ax.plot(best, values[best - 1], "o", color=lines[-1].get_color(), markersize=5)
        ax.set_xlabel("Epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        return lines
