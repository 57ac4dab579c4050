"""What the Displays share: the model inside of what is shown, and the axes to draw on."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


def final_model(estimator):
    """The fitted model at the end of a search or a pipeline, and the pipeline of the steps before it, if any."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    check_is_fitted(estimator)
    if not isinstance(estimator, Pipeline):
        return estimator, None
    model, _ = final_model(estimator[-1])
    return model, estimator[:-1] if len(estimator) > 1 else None


def panels(ax, n_panels, *, n_columns, size):
    """Axes for some panels: new ones of a size in inches, those that are given, or parts of a single one.

    Returns
    -------
    axes : ndarray of Axes of shape (n_panels,)
    """
    import matplotlib.pyplot as plt

    n_columns = min(n_columns, n_panels)
    shape = -(-n_panels // n_columns), n_columns
    if ax is None:
        _, ax = plt.subplots(
            *shape, figsize=(size[0] * shape[1], size[1] * shape[0]), layout="constrained", squeeze=False
        )
        for spare in ax.ravel()[n_panels:]:
            spare.remove()
        return ax.ravel()[:n_panels]
    if n_panels > 1 and not np.ndim(ax):
        # As scikit-learn's displays of several panels do.
        ax.set_axis_off()
        grid = ax.get_subplotspec().subgridspec(*shape)
        return np.array([ax.figure.add_subplot(cell) for cell in list(grid)[:n_panels]])
    axes = np.ravel(ax)
    if len(axes) != n_panels:
        raise ValueError(f"ax must be one Axes or {n_panels} of them, got {len(axes)}.")
    return axes
