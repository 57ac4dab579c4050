"""SearchPathDisplay: the scores of a search over the values of one parameter."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._plotting import _interval_max_min_ratio
from sklearn.utils.validation import check_is_fitted


class SearchPathDisplay:
    """Mean scores of the candidates of a search over one parameter, with their band over the folds.

    It is made by :meth:`from_estimator`; what it was made of are its attributes. Where candidates differ in other
    parameters too, there is a line for each combination of these.

    Parameters
    ----------
    param_name : str
        The parameter on the horizontal axis.
    param_ranges : list of ndarray of shape (n_values,)
        Its values on each line, in ascending order.
    test_scores : list of ndarray of shape (n_values, n_folds)
        The validation scores of each line.
    train_scores : list of ndarray of shape (n_values, n_folds), default=None
        The scores of the training rows, if the search has them.
    best_value : float, default=None
        The value of the best candidate, which is marked.
    names : list of str, default=None
        The names of the lines.
    score_name : str, default=None
        The name of the score.

    Attributes
    ----------
    ax_ : Axes
        The axes of the picture.
    figure_ : Figure
        Its figure.
    lines_ : list of Line2D
        Mean validation scores, one line for each combination of the other parameters.
    bands_ : list of PolyCollection
        A standard deviation over the folds on both sides of them.
    train_lines_ : list of Line2D
        Mean scores of the training rows, if there are any.
    best_line_ : Line2D or None
        The mark of the best candidate.

    See Also
    --------
    TrainingCurveDisplay : Objective and validation score by epoch.
    sklearn.model_selection.ValidationCurveDisplay : The same for one parameter, from fits of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sgdkit import SGDClassifierPlus
    >>> from sgdkit.model_selection import OnePassGridSearchCV
    >>> from sgdkit.plotting import SearchPathDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SGDClassifierPlus(optimizer="adagrad", max_iter=5, random_state=0)
    >>> search = OnePassGridSearchCV(model, {"alpha": np.geomspace(1e-6, 1e-1, 6)}, cv=3).fit(X, y)
    >>> SearchPathDisplay.from_estimator(search).ax_.get_xlabel()
    'alpha'
    """

    ax_: Any
    figure_: Any
    lines_: list[Any]
    bands_: list[Any]
    train_lines_: list[Any]
    best_line_: Any

    def __init__(
        self,
        *,
        param_name: str,
        param_ranges: list[np.ndarray],
        test_scores: list[np.ndarray],
        train_scores: list[np.ndarray] | None = None,
        best_value: float | None = None,
        names: list[str] | None = None,
        score_name: str | None = None,
    ):
        self.param_name = param_name
        self.param_ranges = param_ranges
        self.test_scores = test_scores
        self.train_scores = train_scores
        self.best_value = best_value
        self.names = names
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        param_name: str | None = None,
        metric: str = "score",
        score_name: str | None = None,
        ax: Any = None,
        **options: Any,
    ) -> "SearchPathDisplay":
        """Draw the scores of a fitted search.

        Parameters
        ----------
        estimator : OnePassGridSearchCV, OnePassRandomizedSearchCV, or another search of scikit-learn's
            The search, which has `cv_results_`.
        param_name : str, default=None
            The parameter on the horizontal axis. None is the one whose values are numbers, if there is only one.
        metric : str, default="score"
            Which score of a search with several.
        score_name : str, default=None
            How the score is called. None is "Score", or the name of the metric.
        ax : Axes, default=None
            Where to draw. None makes a new figure.
        **options : dict
            Further parameters of :meth:`plot`.

        Returns
        -------
        display : SearchPathDisplay
            The display, drawn.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator, "cv_results_")
        results = estimator.cv_results_
        if f"mean_test_{metric}" not in results:
            known = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
            raise ValueError(f"metric must be one of {known}, got {metric!r}.")
        param_name = _numeric_parameter(results["params"], param_name)
        params, ranks = results["params"], results[f"rank_test_{metric}"]
        if "iter" in results:
            # By halving: each iteration is a line of its own, and the best one is of the last.
            params = [{**each, "iter": number} for each, number in zip(params, results["iter"], strict=True)]
            ranks = np.where(results["iter"] == results["iter"].max(), ranks, np.inf)
        lines = _lines(params, param_name)
        scores: dict[str, Any] = {}
        for kind in ("test", "train"):
            folds = [
                results[f"split{fold}_{kind}_{metric}"]
                for fold in range(estimator.n_splits_)
                if f"split{fold}_{kind}_{metric}" in results
            ]
            scores[kind] = [np.transpose(folds)[line] for line in lines.values()] if folds else None
        return cls(
            param_name=param_name,
            param_ranges=[
                np.array([params[candidate][param_name] for candidate in line], dtype=float)
                for line in lines.values()
            ],
            test_scores=scores["test"],
            train_scores=scores["train"],
            best_value=params[np.argmin(ranks)][param_name],
            names=list(lines),
            score_name=score_name or metric.replace("_", " ").capitalize(),
        ).plot(ax=ax, **options)

    def plot(self, ax: Any = None, *, line_kw: dict[str, Any] | None = None) -> "SearchPathDisplay":
        """Draw the lines, the bands, and the mark of the best candidate.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw. None makes a new figure.
        line_kw : dict, default=None
            Further parameters of the lines of :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : SearchPathDisplay
            The display itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6, 4), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_, self.train_lines_ = [], [], []
        names = self.names or [""] * len(self.test_scores)
        for number, (x, scores, name) in enumerate(
            zip(self.param_ranges, self.test_scores, names, strict=True)
        ):
            mean, spread = scores.mean(axis=1), scores.std(axis=1)
            style = {"color": f"C{number}", "marker": "o", "markersize": 4, **(line_kw or {})}
            self.lines_ += ax.plot(x, mean, label=name or "Validation", **style)
            color = self.lines_[-1].get_color()
            self.bands_.append(
                ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
            )
            if self.train_scores is not None:
                label = f"{name}, training" if name else "Training"
                train_mean = self.train_scores[number].mean(axis=1)
                self.train_lines_ += ax.plot(x, train_mean, label=label, **{**style, "linestyle": "--"})
        self.best_line_ = None
        if self.best_value is not None:
            self.best_line_ = ax.axvline(self.best_value, color="0.4", linewidth=1, linestyle=":")
        values = np.unique(np.concatenate(self.param_ranges))
        if len(values) > 2 and values[0] > 0 and _interval_max_min_ratio(values) > 5:
            ax.set_xscale("log")
        ax.set(xlabel=self.param_name.rpartition("__")[2], ylabel=self.score_name)
        if len(self.lines_) + len(self.train_lines_) > 1:
            ax.legend()
        return self


def _numeric_parameter(candidates, param_name):
    """The parameter to be drawn: the one that is asked for, or the only one whose values are numbers."""
    numbers = {
        name
        for name in candidates[0]
        if all(
            isinstance(candidate.get(name), Real) and not isinstance(candidate.get(name), bool)
            for candidate in candidates
        )
    }
    if param_name is None and len(numbers) == 1:
        return numbers.pop()
    if param_name not in numbers:
        raise ValueError(
            f"param_name must be one of the parameters whose values are numbers, {sorted(numbers)}; got {param_name!r}."
        )
    return param_name


def _lines(candidates: list[Mapping], param_name: str) -> dict[str, list[int]]:
    """Candidates by the combination of their other parameters, each in the order of their values."""
    lines: dict[str, list[int]] = {}
    for number, candidate in enumerate(candidates):
        others = [
            f"{name.rpartition('__')[2]}={value}" for name, value in candidate.items() if name != param_name
        ]
        lines.setdefault(", ".join(others), []).append(number)
    return {
        name: sorted(line, key=lambda number: candidates[number][param_name]) for name, line in lines.items()
    }
