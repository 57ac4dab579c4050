"""
How strong should the penalty be?
=================================

The strength `alpha` of the penalty decides between learning too much of the training texts and too little. The usual
way to choose it is cross-validation over a grid: :class:`~sklearn.model_selection.GridSearchCV` fits every candidate
on every fold, one after the other. :class:`~sgdkit.model_selection.OnePassGridSearchCV` finds the same, and trains
all candidates of a fold together: each pass over the texts moves all of them.
"""

# %%
# The texts
# ---------
#
# What NumPy, SciPy and scikit-learn say of their public functions and classes; the label is the module. They come
# with the packages, so there is nothing to download.

import importlib
import inspect
import warnings
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.plotting import SearchPathDisplay

MODULES = {
    "numpy": "linalg fft random polynomial ma",
    "scipy": "cluster.hierarchy fft integrate interpolate io linalg ndimage optimize signal sparse sparse.csgraph "
    "sparse.linalg spatial special stats",
    "sklearn": "cluster covariance datasets decomposition ensemble feature_extraction linear_model manifold metrics "
    "model_selection neighbors preprocessing svm utils",
}
MODULES = [f"{package}.{name}" for package, names in MODULES.items() for name in names.split()]


def documented(thing):
    """The docstrings of a function, or of a class and its methods; without lines of code, which name the module."""
    things = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    for text in (getattr(each, "__doc__", None) for each in things):
        if isinstance(text, str) and len(text) > 100:
            yield "\n".join(line for line in inspect.cleandoc(text).split("\n") if not line.startswith(">>>"))


warnings.simplefilter("ignore")  # some names are deprecated
labels_of = {}
for module in MODULES:
    for name, thing in sorted(vars(importlib.import_module(module)).items()):
        if not name.startswith("_") and callable(thing):
            for text in documented(thing):
                labels_of.setdefault(text, set()).add(module)
texts, labels = zip(*((text, own.pop()) for text, own in labels_of.items() if len(own) == 1), strict=True)
labels = np.array(labels)
print(f"{len(texts)} texts of {len(set(labels))} modules.")

# %%
# The search
# ----------
#
# Around a pipeline, the vectoriser is fitted once a fold. Strengths of the penalty are columns of the classifier's
# passes; of 34 classes each, which already make the most of a pass, so most of what is saved here is the
# vectoriser's. What each of the two searches finds is the same.

model = make_pipeline(
    TfidfVectorizer(sublinear_tf=True, min_df=2),
    SGDClassifierPlus(random_state=0),
)
alphas = np.geomspace(1e-7, 1e-1, 13)
grid = {"sgdclassifierplus__alpha": alphas}
searches, times = {}, {}
for search_class in (OnePassGridSearchCV, GridSearchCV):
    name, begin = search_class.__name__, perf_counter()
    searches[name] = search_class(model, grid, cv=5, return_train_score=True, refit=False).fit(texts, labels)
    times[name] = perf_counter() - begin
    best = searches[name].best_score_
    print(f"{name:20} {times[name]:6.1f} s, best accuracy {best:.3f} at {searches[name].best_params_}")

results = searches["OnePassGridSearchCV"].cv_results_
others = searches["GridSearchCV"].cv_results_
difference = np.abs(results["mean_test_score"] - others["mean_test_score"]).max()
ratio = times["GridSearchCV"] / times["OnePassGridSearchCV"]
print(f"Largest difference of a mean score: {difference:.2g}; {ratio:.1f} times as fast.")

# %%
# The validation curve
# --------------------
#
# To the right the penalty is too strong, and training and validation suffer alike. To the left the training texts
# are learnt by heart, which costs little here: with many more features than texts, the curve is flat over decades.
# The band is one standard deviation over the folds, and the dotted line the best candidate.

figure, (curve, bars) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=[3, 1], layout="constrained")
SearchPathDisplay.from_estimator(searches["OnePassGridSearchCV"], ax=curve, score_name="accuracy")
curve.set_title(f"{len(alphas)} candidates, 5 folds")
bars.bar(list(times), list(times.values()), color=["C0", "0.7"], width=0.6)
bars.bar_label(bars.containers[0], fmt="%.1f s")
bars.set_xticks(range(2), ["one pass", "GridSearchCV"])
bars.set(ylabel="seconds, one core", title="time")
for axes in (curve, bars):
    axes.spines[["top", "right"]].set_visible(False)
folder = Path(__file__).parent if "__file__" in globals() else Path()
figure.savefig(folder / "one_pass_search.png", dpi=150)
