"""
Overfitting, and what helps
===========================

A model that is free enough learns its training rows by heart, with what is chance in them. This example shows it in
pictures: boundaries that follow single points, a training loss that falls while that of other rows rises, and the two
remedies, a penalty of the weights and stopping early.
"""

# %%
# A boundary between two kinds of points
# --------------------------------------
#
# Two measures of tumours, and all their products up to the ninth power: a linear model of these 54 features can draw
# curves of any shape. Eighty tumours are few for that. With almost no penalty, the boundary takes pains to get single
# points right; with a strong one it is stiff.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.plotting import SearchPathDisplay, TrainingCurveDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = StandardScaler().fit_transform(X[["mean texture", "mean symmetry"]])
X, X_test, y, y_test = train_test_split(X, y.to_numpy(), train_size=80, random_state=1, stratify=y)


def curved(alpha):
    """Logistic regression on powers and products of the two measures."""
    model = SGDClassifierPlus(optimizer="gd", alpha=alpha, tol=1e-7, max_iter=20_000, random_state=0)
    return make_pipeline(PolynomialFeatures(9, include_bias=False), model)


figure, panels = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True, layout="constrained")
grid = np.stack(np.meshgrid(np.linspace(-2.5, 3.5, 200), np.linspace(-2.5, 3.5, 200)), axis=-1)
for panel, alpha in zip(panels, (1e-6, 1e-2, 1.0), strict=True):
    model = curved(alpha).fit(X, y)
    probability = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(grid.shape[:2])
    panel.contourf(*np.moveaxis(grid, -1, 0), probability, 12, cmap="RdBu", alpha=0.6, vmin=0, vmax=1)
    panel.contour(*np.moveaxis(grid, -1, 0), probability, [0.5], colors="black", linewidths=1.2)
    panel.scatter(*X.T, c=y, cmap="RdBu", edgecolor="black", s=25, linewidth=0.6)
    scores = f"training {model.score(X, y):.2f}, others {model.score(X_test, y_test):.2f}"
    panel.set_title(f"alpha = {alpha:g}: {scores}", loc="left", fontsize=10)
    panel.set(xlabel="texture", xlim=(-2.5, 3.5), ylim=(-2.5, 3.5))
    print(f"alpha = {alpha:g}: accuracy, {scores}")
panels[0].set_ylabel("symmetry")

# %%
# The penalty
# -----------
#
# On images of digits, 200 of them to learn from: each pixel has ten weights, so there are more weights than images. A
# search over `alpha` shows three regions. To the right the penalty is too strong, and training and validation suffer
# alike. To the left all training images are learnt by heart. Between them is the best value, and the default is
# ``c / n`` with a c that the rows choose.

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=200, random_state=0, stratify=y)
search = OnePassGridSearchCV(
    SGDClassifierPlus(random_state=0),
    {"alpha": np.geomspace(1e-6, 10, 15)},
    scoring="neg_log_loss",
    cv=5,
    return_train_score=True,
).fit(X, y)
display = SearchPathDisplay.from_estimator(search, score_name="minus the log loss")
default = SGDClassifierPlus(random_state=0).fit(X, y)
display.ax_.axvline(default.alpha_, color="#1b7f5c", linewidth=1)
display.ax_.set_title('dotted: the best; green: alpha="auto"', loc="left", fontsize=10)
print(f"best alpha {search.best_params_['alpha']:.1e}, alpha_ of the default {default.alpha_:.1e}")

# %%
# Stopping early
# --------------
#
# Without a penalty, the weights grow for as long as training goes on. The training loss falls all the way; the loss of
# rows that are held out falls, and rises again. `early_stopping` watches these, stops when they have not become better
# for some epochs, and returns the weights of the best epoch, marked by a dot.

settings = {"alpha": 0.0, "optimizer": "gd", "random_state": 0}
watched = SGDClassifierPlus(early_stopping=True, max_iter=300, tol=0.0, n_iter_no_change=300, **settings).fit(
    X, y, X_val=X_test, y_val=y_test
)
stopped = SGDClassifierPlus(early_stopping=True, n_iter_no_change=10, **settings)
stopped.fit(X, y, X_val=X_test, y_val=y_test)
display = TrainingCurveDisplay.from_estimators({"for 300 epochs": watched, "stopped": stopped})
display.axes_[0].set(yscale="log", ylim=(1e-8, None))
print(f"stopped after {stopped.n_iter_} epochs; the weights are those of epoch {stopped.best_iter_}.")

# %%
# Which of the two?
# -----------------
#
# The penalty has a minimiser, which does not depend on the way there, and `alpha="auto"` costs nothing. Early stopping
# needs rows that training then lacks. Where both are at hand, take the penalty, and stop early where an epoch is
# expensive, or where what counts is a score other than the loss.

for name, model in {
    "no penalty, all epochs": SGDClassifierPlus(max_iter=300, tol=None, **settings),
    "early stopping on a tenth of the rows": SGDClassifierPlus(early_stopping=True, **settings),
    "the default": SGDClassifierPlus(random_state=0),
}.items():
    print(f"{name:<38} accuracy {model.fit(X, y).score(X_test, y_test):.3f}")
plt.show()
