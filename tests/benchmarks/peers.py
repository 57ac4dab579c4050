"""The peers, by name: how each is run. One that is not installed raises `Missing`, which names it."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from sgdkit import SGDClassifierPlus
from tests.benchmarks.timing import Missing


@dataclass(frozen=True)
class Entrant:
    """A model with its settings: `fit` is timed and returns a model, which `score` judges on the test rows."""

    name: str
    fit: Callable[[], object]
    score: Callable[[object], float]


def ours(optimizer, *, epochs=1, eta0=0.1, batch_size=1, **options):
    """Our classifier for a given number of epochs, at a given rate, and with the peers' objective."""
    settings = {"eta0": eta0, "batch_size": batch_size, "max_iter": epochs, "tol": None, "random_state": 0}
    return SGDClassifierPlus(
        optimizer=optimizer, **{"alpha": 1e-4, "standardize": False, **settings, **options}
    )


def sklearn_sgd(*, epochs=1, loss="log_loss", **options):
    """scikit-learn's `SGDClassifier` for a given number of epochs.

    Its own stopping test is wrong on CSR since version 1.8, so it is not used.
    """
    return SGDClassifier(loss=loss, max_iter=epochs, tol=None, random_state=0, **options)


def lightning(optimizer):
    """lightning's classifier for one epoch of the log loss; float64 is all that it takes."""
    classification = _module("lightning.classification", "sklearn-contrib-lightning")
    if optimizer == "sgd":
        schedule = {"learning_rate": "constant", "eta0": 0.1}
        return classification.SGDClassifier(loss="log", alpha=1e-4, max_iter=1, random_state=0, **schedule)
    return classification.AdaGradClassifier(loss="log", eta=0.1, alpha=1e-4, n_iter=1, random_state=0)


def perceptron_adam(**options):
    """scikit-learn's neural network without a hidden layer: softmax by Adam."""
    return MLPClassifier(hidden_layer_sizes=(), solver="adam", random_state=0, **options)


def _module(name, package):
    try:
        return import_module(name)
    except ImportError as error:
        raise Missing(f"{package}: not installed ({error})") from error


# ------------------------------------------------------------------------------- best of a few settings, on WordNet


def estimator(name, model, split):
    """An `Entrant` for an estimator of scikit-learn's kind."""
    return Entrant(name, lambda: model.fit(split.X, split.y), lambda m: m.score(split.X_test, split.y_test))


def sklearn_linear(split):
    """`SGDClassifier` and `LinearSVC` (which is liblinear), the settings that do well on text."""
    for loss in ("log_loss", "modified_huber", "hinge"):
        for alpha, epochs in ((1e-5, 10), (3e-6, 20)):
            model = sklearn_sgd(loss=loss, alpha=alpha, epochs=epochs)
            yield estimator(f"SGDClassifier({loss}, alpha={alpha:g}, {epochs} epochs)", model, split)
    for C in (0.1, 0.3, 1.0):
        yield estimator(f"LinearSVC(C={C:g})", LinearSVC(C=C), split)


def liblinear(split):
    """Logistic regression by liblinear, one model a class where there are several."""
    several = len(np.unique(split.y)) > 2
    for C in (1.0, 10.0):
        model = LogisticRegression(C=C, solver="liblinear")
        yield estimator(f"liblinear(C={C:g})", OneVsRestClassifier(model) if several else model, split)


def neural_network(split):
    """`MLPClassifier` without a hidden layer."""
    for rate in (1e-3, 1e-2):
        model = perceptron_adam(learning_rate_init=rate, max_iter=3, n_iter_no_change=100)
        yield estimator(f"MLPClassifier((), adam {rate:g}, 3 epochs)", model, split)


def lightning_linear(split):
    """lightning's coordinate descent: its fastest for several classes."""
    classification = _module("lightning.classification", "sklearn-contrib-lightning")
    for C in (0.3, 1.0):
        options = {"loss": "squared_hinge", "penalty": "l2", "C": C, "max_iter": 20, "random_state": 0}
        yield estimator(f"lightning CDClassifier(C={C:g})", classification.CDClassifier(**options), split)


def fasttext(split, ngrams):
    """fastText's command-line tool on words, or on words and pairs, with one thread; it reads the texts in its time."""
    tool = shutil.which("fasttext")
    if tool is None:
        raise Missing("fastText: the command-line tool fasttext is not installed")
    folder = _scratch()
    train, test = folder / "train.txt", folder / "test.txt"
    _write_texts(train, split.texts, split.y)
    _write_texts(test, split.texts_test, split.y_test)
    for rate, epochs in ((0.5, 5), (1.0, 5), (0.5, 10)):
        options = (
            f"-lr {rate} -epoch {epochs} -wordNgrams {ngrams} -dim 50 -bucket 200000 -thread 1 -verbose 0"
        )
        command = [tool, "supervised", "-input", train, "-output", folder / "model", *options.split()]
        yield Entrant(
            f"fastText(lr={rate:g}, {epochs} epochs, {ngrams}-grams)",
            lambda command=command: subprocess.run(command, check=True, capture_output=True),
            lambda _: _fasttext_precision(tool, folder / "model.bin", test),
        )


def _write_texts(path, texts, y):
    """Write lower-case words, cut as the vectoriser cuts them."""
    lines = (
        f"__label__{label} {' '.join(re.findall(r'[a-z0-9]+', text.lower()))}\n"
        for text, label in zip(texts, y, strict=True)
    )
    path.write_text("".join(lines), encoding="utf-8")


def _fasttext_precision(tool, model, test):
    output = subprocess.run([tool, "test", model, test], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"P@1\s+([0-9.]+)", output).group(1))


def vowpal_wabbit(split):
    """Vowpal Wabbit, one against all, on the TF-IDF rows; its time includes reading them from a text file once."""
    vw = _module("vowpalwabbit", "vowpalwabbit")
    folder = _scratch()
    train, test = folder / "train.vw", folder / "test.vw"
    _write_rows(train, split.X, split.y)
    _write_rows(test, split.X_test, split.y_test)
    model, n_classes = folder / "model", int(split.y.max()) + 1

    def run(options):
        files = f"-d {train} -f {model} --cache_file {folder / 'cache'} -k"
        vw.Workspace(f"--oaa {n_classes} -b 18 --holdout_off --quiet {files} {options}").finish()

    def score(_):
        return _vw_accuracy(vw, model, test, split.y_test)

    for loss, passes in (("logistic", 5), ("hinge", 5), ("logistic", 15)):
        fit = partial(run, f"--loss_function {loss} --passes {passes}")
        yield Entrant(f"Vowpal Wabbit({loss}, {passes} passes)", fit, score)


def _write_rows(path, X, y):
    with path.open("w", encoding="utf-8") as file:
        for i, label in enumerate(y):
            of_row = slice(X.indptr[i], X.indptr[i + 1])
            pairs = zip(X.indices[of_row], X.data[of_row], strict=True)
            file.write(f"{label + 1} | {' '.join(f'{j}:{v:.6g}' for j, v in pairs)}\n")


def _vw_accuracy(vw, model, test, y):
    predictions = test.with_suffix(".predictions")
    vw.Workspace(f"-t -i {model} -d {test} -p {predictions} --quiet").finish()
    return accuracy_score(y, np.loadtxt(predictions, dtype=int) - 1)


_folders = []


def _scratch():
    """A folder that goes away with the process."""
    _folders.append(tempfile.TemporaryDirectory(prefix="sgdkit-benchmark-"))
    return Path(_folders[-1].name)
