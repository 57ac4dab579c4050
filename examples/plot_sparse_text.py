"""
Which module does this text document?
=====================================

NumPy, SciPy and scikit-learn carry some thousand docstrings, so an installed Python holds a real text
classification problem with nothing to download: given a docstring, name the module that it stands in. This
example collects the texts, trains :class:`~sgdkit.SGDClassifierPlus` on their TF-IDF features in a pipeline,
and compares it, at its defaults, with scikit-learn's linear classifiers at settings that suit them.
"""

# %%
# The texts
# ---------
#
# We walk through the modules and take the docstring of every public function, class and method. Its label is
# the module where it is defined, cut to two names: `scipy.stats._continuous_distns` counts as `scipy.stats`,
# and what is defined in a private module of the package itself, such as `numpy._core`, counts as `numpy`.

import importlib
import inspect
import pkgutil
import re
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from sgdkit import SGDClassifierPlus

PACKAGES = ("numpy", "scipy", "sklearn")
NOT_WALKED = re.compile(
    r"\.(tests?|_?testing|conftest|f2py|distutils|externals|_external|_lib|_precompute|_build\w*)$"
)
SHORTEST = 40  # characters
FEWEST = 20  # texts of a module


def modules(name):
    """Import a module and, one after the other, all that it contains."""
    try:
        module = importlib.import_module(name)
    except ImportError:  # it needs something that is not installed
        return
    yield module
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        inner = f"{name}.{info.name}"
        if not NOT_WALKED.search(inner):
            yield from modules(inner)


def documented(module):
    """The public functions and classes of a module, and the methods of the classes, each with its home."""
    for name, thing in vars(module).items():
        if name.startswith("_") or not (inspect.isroutine(thing) or isinstance(thing, (type, np.ufunc))):
            continue
        home = getattr(thing, "__module__", None) or module.__name__
        yield thing, home
        if isinstance(thing, type):
            for method_name, method in vars(thing).items():
                if not method_name.startswith("_") and (
                    inspect.isroutine(method) or isinstance(method, property)
                ):
                    yield method, home


def label_of(home):
    package, _, rest = home.partition(".")
    return package if not rest or rest.startswith("_") else f"{package}.{rest.split('.')[0]}"


def collect():
    """Return texts and labels. A text that several modules share is left out."""
    homes = defaultdict(set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some modules are deprecated
        for package in PACKAGES:
            print(f"Collecting the docstrings of {package} ...", flush=True)
            for module in modules(package):
                for thing, home in documented(module):
                    text = thing.__doc__
                    if isinstance(text, str) and len(text) >= SHORTEST and home.split(".")[0] in PACKAGES:
                        homes[inspect.cleandoc(text)].add(label_of(home))
    pairs = sorted((text, labels.pop()) for text, labels in homes.items() if len(labels) == 1)
    counts = Counter(label for _, label in pairs)
    texts, labels = zip(*(pair for pair in pairs if counts[pair[1]] >= FEWEST), strict=True)
    return list(texts), np.array(labels)


# %%
# Many examples begin with an import that gives the answer away, and `stats.norm` in a text says
# `scipy.stats`. So the imports go, and so do the names of all packages and modules, wherever they stand as
# words of their own. Numbers go too: SciPy draws some of its examples at random on import.


def conceal(texts, labels):
    """Take imports, numbers and the names of packages and modules out of the texts."""
    names = {name for label in labels for name in label.split(".")} | {"np", "sp", "scikit", "learn"}
    imports = re.compile(r"^\s*(>>>|\.\.\.)\s*(import|from)\b.*$", re.MULTILINE)
    named = re.compile(rf"\b({'|'.join(sorted(names))})\b", re.IGNORECASE)
    number = re.compile(r"\b\d\w*")
    return [number.sub(" ", named.sub(" ", imports.sub(" ", text))) for text in texts]


texts, labels = collect()
texts = conceal(texts, labels)
train_texts, test_texts, train_labels, test_labels = train_test_split(
    texts, labels, test_size=0.25, random_state=0, stratify=labels
)
(largest, n_largest), *_ = Counter(labels).most_common(1)
print(
    f"{len(texts)} texts of {len(set(labels))} modules; "
    f"the largest, {largest}, has {n_largest / len(texts):.0%}."
)

# %%
# One pipeline
# ------------
#
# An estimator of sgdkit takes the place of scikit-learn's. Words and pairs of words of fewer than ten texts
# are left out, and single precision halves the memory.


def vectorizer():
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=10, dtype=np.float32)


pipeline = make_pipeline(vectorizer(), SGDClassifierPlus(random_state=0))
start = perf_counter()
pipeline.fit(train_texts, train_labels)
print(
    f"The pipeline took {perf_counter() - start:.1f} s to fit, and names the module of "
    f"{pipeline.score(test_texts, test_labels):.1%} of the texts that it has not seen.\n",
    flush=True,
)

# %%
# What has it learnt? The strongest words of a few modules:

tfidf, classifier = pipeline[0], pipeline[-1]
words = tfidf.get_feature_names_out()
for module in (
    "numpy.linalg",
    "numpy.ma",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.tree",
):
    weights = classifier.coef_[list(classifier.classes_).index(module)]
    print(f"{module:<16} {', '.join(words[np.argsort(weights)[:-6:-1]])}")

# %%
# Rivals
# ------
#
# Every model learns from the same matrix. A pipeline takes the time of the vectoriser in addition, which we
# measure once. Ours are at their defaults but for what their names say. scikit-learn's are there at their
# defaults, and at the best of a few settings: their defaults hold the weights of a log loss back too much here,
# because TF-IDF values are small; those of sgdkit are relative to the scale of the features. Full gradients
# (`gd`) come closest to the minimum, which takes its time.

MODELS = {
    "sgdkit": SGDClassifierPlus(random_state=0),
    "sgdkit, squared hinge": SGDClassifierPlus(loss="squared_hinge", random_state=0),
    "sgdkit, hinge": SGDClassifierPlus(loss="hinge", random_state=0),
    "sgdkit, gd": SGDClassifierPlus(optimizer="gd", random_state=0),
    "SGDClassifier": SGDClassifier(random_state=0),
    "SGDClassifier, log_loss, alpha=1e-5": SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0),
    "LinearSVC": LinearSVC(random_state=0),
    "SGDClassifier, log_loss": SGDClassifier(loss="log_loss", random_state=0),
    "LogisticRegression": LogisticRegression(),
}


def measure(model, X_train, X_test):
    """Fit, and return seconds, passes, held-out accuracy, macro-F1 and log loss (nan for none)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        start = perf_counter()
        model.fit(X_train, train_labels)
        seconds = perf_counter() - start
    predicted = model.predict(X_test)
    return {
        "fit": seconds,
        "passes": int(np.max(model.n_iter_)),
        "accuracy": accuracy_score(test_labels, predicted),
        "macro-F1": f1_score(test_labels, predicted, average="macro"),
        "log loss": log_loss(test_labels, model.predict_proba(X_test))
        if hasattr(model, "predict_proba")
        else np.nan,
        "warned": any(issubclass(w.category, ConvergenceWarning) for w in caught),
    }


tfidf = vectorizer()
start = perf_counter()
X_train = tfidf.fit_transform(train_texts)
vectorizing = perf_counter() - start
X_test = tfidf.transform(test_texts)
print(f"\n{X_train.shape[0]} training texts, {X_train.shape[1]} features, {X_train.nnz} non-zeros.\n")

results = {}
print(
    f"{'':<35}  {'fit':>7}  {'pipeline':>8}  {'passes':>6}  {'accuracy':>8}  {'macro-F1':>8}  {'log loss':>8}"
)
for name, model in MODELS.items():
    results[name] = r = measure(model, X_train, X_test)
    loss = "-" if np.isnan(r["log loss"]) else f"{r['log loss']:.3f}"
    print(
        f"{name:<35}  {r['fit']:>5.1f} s  {r['fit'] + vectorizing:>6.1f} s  {r['passes']:>6}  "
        f"{r['accuracy']:>8.3f}  {r['macro-F1']:>8.3f}  {loss:>8}"
        f"{'  (did not converge)' if r['warned'] else ''}",
        flush=True,
    )

# %%
# The same as a picture; up and to the left is better.

FAMILIES = {"sgdkit": "#1b6ca8", "scikit-learn": "#d1651f"}


def spread(values, gap):
    """Return positions near the values that are at least a gap apart."""
    order = np.argsort(values)
    placed = np.array(values, dtype=float)[order]
    for _ in range(500):
        lacking = np.clip(gap - np.diff(placed), 0, None) / 2
        placed[:-1] -= lacking
        placed[1:] += lacking
    result = np.empty_like(placed)
    result[order] = placed
    return result


def draw(results, path):
    """Accuracy against fit time; the names stand in a column on the right, tied to their points."""
    names = list(results)
    seconds = np.array([results[name]["fit"] for name in names])
    accuracy = np.array([results[name]["accuracy"] for name in names])
    heights = spread(accuracy, gap=(accuracy.max() - accuracy.min()) / 14)
    margin = seconds.max() * 1.5
    fig, ax = plt.subplots(figsize=(8, 4.5), layout="constrained", dpi=150)
    for name, x, y, height in zip(names, seconds, accuracy, heights, strict=True):
        colour = FAMILIES["sgdkit" if name.startswith("sgdkit") else "scikit-learn"]
        ax.plot([x, margin], [y, height], color=colour, lw=0.6, alpha=0.35, zorder=1)
        ax.scatter(x, y, s=45, color=colour, edgecolor="white", zorder=2)
        ax.annotate(
            name, (margin, height), (4, 0), textcoords="offset points", va="center", color=colour, fontsize=9
        )
    ax.set_xscale("log")
    ax.set_xlim(seconds.min() / 1.4, margin)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if seconds.min() / 1.4 <= tick <= margin]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("fit time of the classifier (seconds, log scale)")
    ax.set_ylabel("held-out accuracy")
    ax.set_title(f"Which of {len(set(labels))} modules does a docstring belong to?", loc="left")
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path)


try:
    import matplotlib.pyplot as plt
except ImportError:
    print("\nmatplotlib is not installed: the picture is skipped.")
else:
    folder = Path(__file__).parent if "__file__" in globals() else Path()
    draw(results, folder / "sparse_text.png")
