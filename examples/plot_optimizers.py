"""
How optimizers move
===================

A linear model of two features has two weights, so the objective that training minimises is a surface, and training
is a way down on it. This example draws the way of each optimizer on the same surface, step by step, and beside it how
the objective falls, epoch by epoch, on two real problems: one of dense features, one of sparse ones.
"""

# %%
# A valley
# --------
#
# Two measures of tumours, their mean radius and their largest, grow together. So one weight can make up for the other,
# and the objective of a logistic regression is a valley: steep where the sum of the weights changes, flat where only
# their difference does.

import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import scale

from sgdkit import SGDClassifierPlus
from sgdkit.optimizers import GD, OPTIMIZERS, SGD

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X, y = scale(X[["mean radius", "worst radius"]]), y.to_numpy()
ALPHA, START = 1e-3, (-4.0, 4.0)
BATCH, N_STEPS = 8, 142  # two epochs of mini-batches
N_EPOCHS, N_FULL_EPOCHS = 25, 250


def objective(weights):
    """The mean log loss and the penalty at weights of shape (..., 2)."""
    margins = np.tensordot(weights, X.T, 1) * np.where(y == 1, 1, -1)
    return np.logaddexp(0, -margins).mean(axis=-1) + ALPHA / 2 * np.square(weights).sum(axis=-1)


# %%
# The steps
# ---------
#
# Nothing is simulated: the estimators of sgdkit make them. For optimizers that step on rows or mini-batches,
# `partial_fit` takes one mini-batch at a time, and goes on from the weights that we set. For those that step on all
# rows, `fit` is asked for one epoch, for two, and so on. The rate of each is what ``eta0="auto"`` finds on all rows.

common = {"alpha": ALPHA, "standardize": False, "fit_intercept": False, "random_state": 0}


def full_path(model):
    """The weights after each epoch of a model whose epochs are steps."""
    epochs = range(1, N_EPOCHS + 1)
    fits = [clone(model).set_params(max_iter=k, tol=None).fit(X, y, coef_init=[START]) for k in epochs]
    return np.array([START, *(fitted.coef_[0] for fitted in fits)])


def stochastic_path(model):
    """The weights after each mini-batch; the order of the rows is the same for all."""
    eta0 = clone(model).set_params(batch_size=BATCH, tol=1e-3, max_iter=2).fit(X, y).eta0_
    model = clone(model).set_params(eta0=eta0, batch_size=BATCH)
    model.coef_, model.intercept_, model.classes_ = np.array([START]), np.zeros(1), np.unique(y)
    rows = np.concatenate([np.random.default_rng(seed).permutation(len(y)) for seed in range(2)])
    path = [START]
    for batch in rows[: N_STEPS * BATCH].reshape(N_STEPS, BATCH):
        path.append(model.partial_fit(X[batch], y[batch], classes=[0, 1]).coef_[0].copy())
    return np.array(path)


def path_of(optimizer):
    model = SGDClassifierPlus(optimizer=optimizer, **common)
    return (full_path if optimizer.full_batch else stochastic_path)(model)


paths = {name: path_of(cls()) for name, cls in OPTIMIZERS.items()}
variants = {
    "gd": ("without acceleration", path_of(GD(nesterov=False))),
    "sgd": ("momentum 0.9", path_of(SGD(momentum=0.9))),
}
lowest = SGDClassifierPlus(optimizer="gd", tol=1e-12, max_iter=10_000, **common).fit(X, y).coef_[0]
for name, path in paths.items():
    above = max(objective(path[-1]) - objective(lowest), 0)
    print(f"{name:<8} {len(path) - 1:>4} steps, ends {above:.1e} above the minimum")

# %%
# All ways
# --------
#
# Full gradients look at all rows before a step, so their way is smooth. Stochastic gradients see a mini-batch of eight
# rows, so it trembles; but 71 of their steps cost as much as one on all rows. Optimizers with a rate for each weight
# divide by the size of its gradients: whatever the slope, their first step moves both weights equally far.

across, up = np.meshgrid(np.linspace(-9, 6, 160), np.linspace(-10, 5, 160))
heights = objective(np.stack([across, up], axis=-1)) - objective(lowest)
levels = np.geomspace(1e-3, heights.max(), 18)
RED, GREY = "#c8442f", "#5b6b7a"


def draw_path(panel, name):
    """The surface, its lowest point, the way there, and that of a variant."""
    panel.contourf(across, up, heights, levels, norm="log", cmap="Blues", alpha=0.55, extend="both")
    panel.contour(across, up, heights, levels, colors="white", linewidths=0.4)
    if name in variants:
        label, path = variants[name]
        panel.plot(*path.T, ".-", color=GREY, linewidth=1, markersize=3, label=label)
        panel.legend(loc="lower left", frameon=False, fontsize=9)
    panel.plot(*paths[name].T, ".-", color=RED, linewidth=1, markersize=3)
    panel.plot(*START, "o", color="black", markersize=5)
    panel.plot(*lowest, "*", color="black", markersize=9)
    panel.set_title(f"{name}: {len(paths[name]) - 1} steps", loc="left", fontsize=10)
    panel.set(xlim=(-9, 6), ylim=(-10, 5))


n_rows = -(-len(paths) // 4)
figure, panels = plt.subplots(
    n_rows, 4, figsize=(11, 2.9 * n_rows), sharex=True, sharey=True, layout="constrained"
)
for panel, name in zip(panels.ravel(), paths, strict=False):
    draw_path(panel, name)
for spare in panels.ravel()[len(paths) :]:
    spare.set_axis_off()
figure.supxlabel("weight of the mean radius")
figure.supylabel("weight of the largest radius")
folder = Path(__file__).parent if "__file__" in globals() else Path()
figure.savefig(folder / "optimizers.png", dpi=150)

# %%
# Two real problems
# -----------------
#
# Images of digits have 64 dense features. The names of Unicode's characters, such as "GREEK SMALL LETTER ALPHA WITH
# TONOS", are sparse text; the class is the character's category, such as a small letter or a mathematical sign. Both
# models are softmax regressions. The penalty is ``1 / n``, and everything else at the default: the rate of stochastic
# steps falls to zero with the last of the 25 epochs that they are given. Full gradients, whose epoch is a single step,
# get 250.

names = [unicodedata.name(chr(code), "") for code in range(0x20000)]
codes = [code for code, text in enumerate(names) if text and not text.startswith(("CJK", "HANGUL"))][::3]
texts = TfidfVectorizer(sublinear_tf=True).fit_transform([names[code] for code in codes])
DATA = {
    "digits, dense": load_digits(return_X_y=True),
    "names of characters, sparse": (texts, np.array([unicodedata.category(chr(code)) for code in codes])),
}
curves, minima = {}, {}
for title, (rows, classes) in DATA.items():
    settings = {"alpha": 1 / len(classes), "random_state": 0}
    for name, cls in OPTIMIZERS.items():
        n_epochs = N_FULL_EPOCHS if cls.full_batch else N_EPOCHS
        model = SGDClassifierPlus(optimizer=name, max_iter=n_epochs, tol=None, **settings)
        curves[title, name] = np.array(model.fit(rows, classes).loss_curve_)
    exact = SGDClassifierPlus(optimizer="gd", tol=1e-9, max_iter=3000, **settings).fit(rows, classes)
    minima[title] = exact.loss_curve_[-1]
    print(f"{title}: {rows.shape[0]} rows, {rows.shape[1]} features, {len(set(classes))} classes")
    for name in OPTIMIZERS:
        above = curves[title, name] - minima[title]
        print(
            f"    {name:<8} above the minimum: {above[3]:.0e} after 4 epochs, {above[-1]:.0e} after {len(above)}"
        )

# %%
# One by one
# ----------
#
# To the left the way, to the right how far the objective is above its minimum; in grey, the other optimizers. Both axes
# are logarithmic: what is straight falls like a power of the number of epochs.

for name in OPTIMIZERS:
    figure, (way, *graphs) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    draw_path(way, name)
    for graph, title in zip(graphs, DATA, strict=True):
        for other in sorted(OPTIMIZERS, key=lambda other: other == name):
            style = {"color": RED, "linewidth": 2} if other == name else {"color": "0.8", "linewidth": 1}
            above = curves[title, other] - minima[title]
            graph.loglog(np.arange(1, len(above) + 1), above, label=other, **style)
        graph.set_title(title, loc="left", fontsize=10)
        graph.set(xlabel="epoch", ylabel="objective above the minimum", ylim=(3e-4, None))
        graph.xaxis.set_major_formatter("{x:g}")
        graph.spines[["top", "right"]].set_visible(False)
plt.show()
