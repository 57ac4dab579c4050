"""
Local minima, and why there are none
====================================

Whoever trains a network learns to fear local minima: two runs from different weights end at different places. The
losses of linear models have none. This example walks on three surfaces to show what that means, and why it matters: the
result of training is a property of the data, not of luck.
"""

# %%
# One valley or many
# ------------------
#
# Take two points on a surface, and look at the surface along the straight line between them. If it never rises above
# the chord, wherever the points are, the surface is *convex*, and whatever is lowest near by is lowest of all. We do so
# with the weights of a softmax regression on images of digits, and with those of a network with one hidden layer.

import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sgdkit import SGDClassifierPlus

warnings.simplefilter("ignore", ConvergenceWarning)  # of the networks
X, y = load_digits(return_X_y=True)
X = X / 16
one_hot = np.eye(10)[y]
rng = np.random.default_rng(0)


def softmax_loss(scores):
    """The mean loss of softmax, given the scores of all rows."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(shifted).sum(axis=1)) - (shifted * one_hot).sum(axis=1))


def of_linear(weights):
    return softmax_loss(X @ weights[0])


def of_network(weights):
    return softmax_loss(np.tanh(X @ weights[0]) @ weights[1])


def line(loss, start, end, shares):
    """The loss along the line from one list of weights to another."""
    return np.array([loss([a + t * (b - a) for a, b in zip(start, end, strict=True)]) for t in shares])


shares = np.linspace(0, 1, 101)
figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
fits = [MLPClassifier(8, activation="tanh", max_iter=100, random_state=seed).fit(X, y) for seed in range(6)]
ends = {
    "softmax regression": [[rng.normal(size=(64, 10))] for _ in range(6)],
    "a network with 8 hidden units": [fit.coefs_ for fit in fits],
}
for panel, (title, points), loss in zip(panels, ends.items(), (of_linear, of_network), strict=True):
    risen = []
    for start, end in pairwise(points):
        values = line(loss, start, end, shares)
        chord = values[0] + shares * (values[-1] - values[0])
        risen.append((values - chord).max())
        panel.plot(shares, values, linewidth=1.5)
        panel.plot(shares, chord, color="0.7", linewidth=0.8, linestyle="--", zorder=0)
    panel.set_title(title, loc="left", fontsize=10)
    panel.set(xlabel="from one point to another", ylabel="loss")
    print(f"{title}: rises above the chord by {max(risen):.2g} at the most")

# %%
# To the left, random weights: all lines hang below their chords. To the right, the ends are networks that have been
# trained, from different first weights: each end is in a valley of its own, with a mountain between.

# %%
# The same place from everywhere
# ------------------------------
#
# Ten runs from random weights, far away from each other. With a penalty the minimum is one point (the objective is
# *strongly* convex), and all runs of the linear model arrive there. The networks end at ten different losses.

N_RUNS = 10
distances, losses = [], {"softmax regression": [], "a network with 8 hidden units": []}
model = SGDClassifierPlus(optimizer="gd", alpha=1e-2, tol=1e-10, max_iter=600)
reference = model.fit(X, y).coef_.copy()
for seed in range(N_RUNS):
    first = np.random.default_rng(seed).normal(scale=2, size=reference.shape)
    model.fit(X, y, coef_init=first)
    distances.append([np.linalg.norm(coef - reference) for coef in (first, model.coef_)])
    losses["softmax regression"].append(model.loss_curve_[-1])
    network = MLPClassifier(8, activation="tanh", alpha=1e-2, max_iter=100, random_state=seed).fit(X, y)
    losses["a network with 8 hidden units"].append(network.loss_)
far, near = np.max(distances, axis=0)
print(f"distance from the minimiser: {far:.0f} at the start, {near:.1e} at the end, at the most")
for title, values in losses.items():
    print(f"{title:<30} final objectives from {min(values):.4f} to {max(values):.4f}")

figure, panels = plt.subplots(2, 1, figsize=(7, 2.6), layout="constrained")
for panel, (title, values) in zip(panels, losses.items(), strict=True):
    panel.eventplot(values, linewidths=1.2, color="#1b6ca8")
    middle, reach = np.mean(values), max(0.02, 0.7 * np.ptp(values))
    panel.set(xlim=(middle - reach, middle + reach), yticks=[])
    panel.set_title(f"{title}: {N_RUNS} final objectives", loc="left", fontsize=10)
    panel.spines[["top", "right", "left"]].set_visible(False)

# %%
# The smallest surface with two valleys
# -------------------------------------
#
# A single hidden unit is enough: ``w2 * tanh(w1 * x)`` is the same for ``(w1, w2)`` and ``(-w1, -w2)``, so there are
# two lowest points, and between them a saddle at zero, where the gradient vanishes although it is no minimum. The
# logistic loss of a linear model, beside it, is one bowl.

x = (X[:, 42] - X[:, 42].mean()) / X[:, 42].std()
t = np.where(np.isin(y, (0, 6, 8)), 1.0, -1.0)
across, up = np.meshgrid(np.linspace(-4, 4, 121), np.linspace(-4, 4, 121))


def logistic(scores):
    """The mean log loss of scores of shape (..., n_rows)."""
    return np.logaddexp(0, -t * scores).mean(axis=-1)


bowl = np.stack([logistic(up[row, :, None] + across[row, :, None] * x) for row in range(121)])
saddle = np.stack([logistic(up[row, :, None] * np.tanh(across[row, :, None] * x)) for row in range(121)])
figure, panels = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
for panel, heights, title in zip(panels, (bowl, saddle), ("b + w x", "w2 tanh(w1 x)"), strict=True):
    levels = heights.min() + np.geomspace(1e-3, np.ptp(heights), 24)
    panel.contourf(across, up, heights, levels, cmap="Blues", norm="log", alpha=0.6)
    panel.contour(across, up, heights, levels, colors="white", linewidths=0.5)
    lowest = np.unravel_index(heights.argmin(), heights.shape)
    panel.plot(across[lowest], up[lowest], "*", color="black", markersize=10)
    panel.set_title(title, loc="left", fontsize=10)
panels[1].plot(-across[lowest], -up[lowest], "*", color="black", markersize=10)
panels[1].plot(0, 0, "x", color="#c8442f", markersize=8)
panels[0].set(xlabel="w", ylabel="b")
panels[1].set(xlabel="w1", ylabel="w2")
plt.show()
