"""
Text that never ends
====================

A stream of text has no vocabulary to be learnt beforehand, and no end. `HashingVectorizer` takes each word to one of
2^20 columns, `partial_fit` learns a chunk and lets go of it, and predicting each chunk before it is learnt is a
validation that costs no data. None of it depends on how many columns there are: a chunk costs what its own words cost.
"""

# %%
# The stream
# ----------
#
# The source files of an installed Python are texts that everybody has. We read them in random order, cut them into
# passages of forty words, and ask of each passage: is it from NumPy, SciPy, scikit-learn, or Python itself? The words
# of the answer are taken out. At no time is there more in memory than the passages of one chunk.

import random
import re
import sysconfig
from itertools import islice
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import scipy
import sklearn
from sklearn.feature_extraction.text import HashingVectorizer

from sgdkit import SGDClassifierPlus

SOURCES = {
    "python": Path(sysconfig.get_path("stdlib")),
    **{package.__name__: Path(package.__file__).parent for package in (np, scipy, sklearn)},
}
N_WORDS, CHUNK, N_CHUNKS = 40, 1000, 40
TELLING = {"numpy", "np", "scipy", "sp", "sklearn", "scikit"}


def passages(label, folder):
    """The passages of the files in a folder, in random order."""
    files = sorted(
        path for path in folder.rglob("*.py") if "site-packages" not in path.parts[len(folder.parts) :]
    )
    random.Random(0).shuffle(files)
    for path in files:
        words = re.findall(r"[a-z]{2,}", path.read_text("utf8", "ignore").lower())
        words = [word for word in words if word not in TELLING]
        for begin in range(0, len(words) - N_WORDS, N_WORDS):
            yield " ".join(words[begin : begin + N_WORDS]), label


def stream():
    """Passages of all sources, one of each in turn, as long as all have some."""
    for of_each in zip(*(passages(label, folder) for label, folder in SOURCES.items()), strict=False):
        yield from of_each


def chunks():
    """Texts and labels of a chunk after the other."""
    rows = stream()
    for _ in range(N_CHUNKS):
        texts, labels = zip(*islice(rows, CHUNK), strict=True)
        yield texts, np.array(labels)


# %%
# Predict, then learn
# -------------------
#
# The model predicts a chunk that it has never seen, then learns it. Between the chunks, nothing is made of the size of
# the 2^20 columns: `coef_` is made when it is asked for, and predictions look at the words of their rows alone.

hashing = HashingVectorizer(n_features=2**20, alternate_sign=False)
models = {
    "adagrad": SGDClassifierPlus(optimizer="adagrad", random_state=0),
    "ftrl with l1": SGDClassifierPlus(optimizer="ftrl", penalty="l1", random_state=0),
}
accuracies, seconds = {name: [] for name in models}, dict.fromkeys(models, 0.0)
for number, (texts, labels) in enumerate(chunks()):
    X = hashing.transform(texts)
    for name, model in models.items():
        if number:
            accuracies[name].append(model.score(X, labels))
        begin = perf_counter()
        model.partial_fit(X, labels, classes=sorted(SOURCES))
        seconds[name] += perf_counter() - begin

# %%
# The accuracy as it goes
# -----------------------
#
# Each point is the accuracy on a thousand passages that nobody had seen. What it tends to is what the model is worth on
# the passages to come. The l1 norm leaves the weights of most words at exactly 0, which `sparsify` turns to memory.

figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
for name, values in accuracies.items():
    axes.plot(CHUNK * np.arange(1, N_CHUNKS), values, marker=".", label=name)
    weights = models[name].coef_
    print(
        f"{name:<14} first {np.mean(values[:3]):.3f}, last {np.mean(values[-10:]):.3f}, "
        f"{1e3 * seconds[name] / N_CHUNKS:.1f} ms a chunk, {np.count_nonzero(weights):,} of {weights.size:,} weights"
    )
axes.axhline(1 / len(SOURCES), color="0.5", linewidth=1, linestyle=":")
axes.set(xlabel="passages learnt", ylabel="accuracy before they are learnt", ylim=(0, 1))
axes.legend(frameon=False, loc="lower right")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
