"""
Which learning rate, and which scale?
=====================================

Stochastic gradients ask two things of those who use them: features of one scale, and a learning rate that fits
them. :class:`~sgdkit.SGDClassifierPlus` and :class:`~sgdkit.SGDRegressorPlus` learn the scales from the rows, and set
the rate by them. This example puts what they reach untouched beside what rates that are given reach, in the same
estimators and in scikit-learn's :class:`~sklearn.linear_model.SGDClassifier` and
:class:`~sklearn.linear_model.SGDRegressor`.
"""

# %%
# The data
# --------
#
# Three of the tables that come with scikit-learn, as they are. The measures of tumours are of very different sizes: an
# area is a thousand, a smoothness a tenth. The features of diabetes patients are all around a twentieth.

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus

DATA = {"breast cancer": load_breast_cancer, "digits": load_digits, "diabetes": load_diabetes}
RATES = 10.0 ** np.arange(-6, 3.1, 0.5)
N_SPLITS = 3

# %%
# The models
# ----------
#
# All minimise the log loss, or the squared error. Two peers have no rate to choose: `LogisticRegression` and `Ridge`,
# whose solvers take all rows at once.


def models(regression):
    """The models as they come, by name."""
    if regression:
        return {
            "sgdkit": SGDRegressorPlus(random_state=0),
            "SGD": SGDRegressor(random_state=0),
            "solver": Ridge(),
        }
    return {
        "sgdkit": SGDClassifierPlus(random_state=0),
        "SGD": SGDClassifier(loss="log_loss", random_state=0),
        "solver": LogisticRegression(),
    }


def models_of_rate(eta0, regression):
    """The models at a rate that is given, by name."""
    given = {"learning_rate": "constant", "eta0": eta0, "random_state": 0}
    sgd = SGDRegressor(**given) if regression else SGDClassifier(loss="log_loss", **given)
    plus = SGDRegressorPlus if regression else SGDClassifierPlus
    return {
        "sgdkit, eta0": plus(eta0=eta0, random_state=0),
        "SGD, eta0": sgd,
        "StandardScaler, SGD, eta0": make_pipeline(StandardScaler(), sgd),
    }


def score(model, splits):
    """The mean test score over the splits; nan where the weights overflow."""
    try:
        return np.mean([model.fit(X, y).score(X_test, y_test) for X, X_test, y, y_test in splits])
    except ValueError:
        return np.nan


# %%
# What they score
# ---------------
#
# Accuracy, or R² for the regression, on the quarter of the rows that is held out; means of three splits.

warnings.simplefilter("ignore")  # at many of these rates nothing converges
np.seterr(all="ignore")
flat, curves = {}, {}
for name, loader in DATA.items():
    X, y = loader(return_X_y=True)
    regression = name == "diabetes"
    stratify = None if regression else y
    splits = [
        train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
        for seed in range(N_SPLITS)
    ]
    flat[name] = {which: score(model, splits) for which, model in models(regression).items()}
    of_rates = [
        {which: score(model, splits) for which, model in models_of_rate(eta0, regression).items()}
        for eta0 in RATES
    ]
    curves[name] = {which: np.array([scores[which] for scores in of_rates]) for which in of_rates[0]}
    print(f"{name}: " + ", ".join(f"{which} {value:.3f}" for which, value in flat[name].items()))
    for which, values in curves[name].items():
        near = RATES[values > np.nanmax(values) - 0.02]
        print(
            f"    {which:<26} best {np.nanmax(values):.3f} at {RATES[np.nanargmax(values)]:.0e}, "
            f"within 0.02 of that from {near.min():.0e} to {near.max():.0e}"
        )

# %%
# The picture
# -----------
#
# The rates that do well move by orders of magnitude from one table to the next, those of scikit-learn's estimators and,
# where one is given, those of ours; no single number is good on all three. For the raw measures of tumours there is
# no good rate at all without a scaler. The green line is what ours reaches when nothing is given.

GREEN, ORANGE, GREY = "#1b7f5c", "#d1651f", "#5b6b7a"
DOTS = {"marker": "o", "markersize": 4, "linewidth": 1.3}
CURVES = {
    "StandardScaler, SGD, eta0": {"color": ORANGE, "markerfacecolor": "white", **DOTS, "linestyle": "--"},
    "SGD, eta0": {"color": ORANGE, **DOTS},
    "sgdkit, eta0": {"color": GREEN, **DOTS},
}
LABELS = {
    "sgdkit": "sgdkit, untouched",
    "sgdkit, eta0": "sgdkit, eta0 given",
    "SGD, eta0": "scikit-learn's SGD, eta0 given",
    "StandardScaler, SGD, eta0": "the same behind StandardScaler",
    "SGD": "scikit-learn's SGD, default schedule",
    "solver": "LogisticRegression, Ridge",
}
FLAT = {
    "sgdkit": {"color": GREEN, "linewidth": 3.5, "alpha": 0.45, "solid_capstyle": "butt"},
    "SGD": {"color": ORANGE, "linewidth": 1.3, "linestyle": ":"},
    "solver": {"color": GREY, "linewidth": 1.3, "linestyle": "-."},
}
BOTTOMS = {"breast cancer": 0.6, "digits": 0.75, "diabetes": 0.0}


def draw(panel, name):
    """The scores on one table; those below the bottom are cut off."""
    bottom = BOTTOMS[name]
    top = max(*flat[name].values(), *(np.nanmax(values) for values in curves[name].values()))
    margin = (top - bottom) * 0.06
    for which, style in FLAT.items():
        panel.axhline(flat[name][which], label=LABELS[which], zorder=1, **style)
    for which, style in CURVES.items():
        panel.plot(RATES, curves[name][which], label=LABELS[which], zorder=2, **style)
    panel.set(xscale="log", xlim=(RATES[0] / 2, RATES[-1] * 2), ylim=(bottom, top + margin))
    panel.set_title(name, loc="left", fontweight="bold", fontsize=11)
    panel.set(xlabel="eta0", ylabel="R²" if name == "diabetes" else "accuracy")
    panel.set_xticks([1e-6, 1e-3, 1, 1e3])
    panel.minorticks_off()
    panel.grid(alpha=0.2)
    panel.spines[["top", "right"]].set_visible(False)


figure, panels = plt.subplots(1, len(DATA), figsize=(11, 4.3), layout="constrained")
for panel, name in zip(panels, DATA, strict=True):
    draw(panel, name)
handles = dict(zip(*panels[0].get_legend_handles_labels()[::-1], strict=True))
names = list(LABELS.values())
figure.legend(
    [handles[name] for name in names], names, loc="outside lower center", ncols=3, frameon=False, fontsize=9
)
figure.suptitle("Held-out scores of rates that are given, and of none", x=0.01, ha="left", fontsize=12)
folder = Path(__file__).parent if "__file__" in globals() else Path()
figure.savefig(folder / "no_tuning.png", dpi=150)
