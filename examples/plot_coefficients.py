"""
What has the model learnt?
==========================

A linear model says why: each feature has a weight for each class. This example reads them, with
:func:`~sgdkit.plotting.coef_frame` and :class:`~sgdkit.plotting.CoefficientDisplay`, and shows what an l1 penalty does
to them.
"""

# %%
# Weights and units
# -----------------
#
# The weights of a fitted model are those of the raw features, so a measure in millimetres has a weight a thousandth as
# large as the same measure in metres. Given the rows, weights are multiplied by the standard deviations of their
# features, and compare.

import unicodedata

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sgdkit import SGDClassifierPlus
from sgdkit.plotting import CoefficientDisplay, coef_frame

X, y = load_wine(return_X_y=True, as_frame=True)
wine = SGDClassifierPlus(random_state=0).fit(X, y)
frame = coef_frame(wine, X)
print(frame.round(2))

# %%
# Proline and alcohol speak for the first of three cultivars, a low colour intensity for the second:

CoefficientDisplay.from_estimator(wine, X, n_features=6)

# %%
# Words
# -----
#
# In a pipeline the names of the features come from the vectoriser. Which words of a character's name in Unicode say of
# what category it is? "Lu" is a capital letter, "Sm" a mathematical sign, "Nd" a decimal digit.

names = [unicodedata.name(chr(code), "") for code in range(0x20000)]
codes = [code for code, text in enumerate(names) if text and not text.startswith(("CJK", "HANGUL"))]
texts, categories = [names[code] for code in codes], [unicodedata.category(chr(code)) for code in codes]
model = make_pipeline(TfidfVectorizer(), SGDClassifierPlus(random_state=0)).fit(texts, categories)
print(f"{len(texts)} names, {len(model.classes_)} categories, {model.score(texts, categories):.1%} right.")
CoefficientDisplay.from_estimator(model, classes=["Lu", "Sm", "Nd"])

# %%
# Fewer of them
# -------------
#
# The l1 penalty sets weights to zero, exactly. The stronger it is, the fewer words are left; `sparsify` then stores the
# others alone, and `densify` undoes it.

alphas = np.geomspace(1e-6, 1e-3, 7)
shares, scores = [], []
for alpha in alphas:
    model.set_params(sgdclassifierplus__penalty="l1", sgdclassifierplus__alpha=alpha).fit(texts, categories)
    shares.append(np.mean(model[-1].coef_ != 0))
    scores.append(model.score(texts, categories))
    print(f"alpha = {alpha:.0e}: {shares[-1]:.2%} of the weights are not zero, {scores[-1]:.1%} right")
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.semilogx(np.array(shares), scores, "o-", color="#1b6ca8")
for alpha, share, score in zip(alphas, shares, scores, strict=True):
    axes.annotate(f"{alpha:.0e}", (share, score), (4, -12), textcoords="offset points", fontsize=8)
axes.set(xlabel="share of the weights that are not zero", ylabel="accuracy")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
