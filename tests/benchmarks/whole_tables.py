"""Whole fits of dense tables as users call them: ours untouched, the peer untouched behind a `StandardScaler`.

Small tables are scikit-learn's; the others are generated: features of all scales and means, independent, or sharing 20
factors of falling weight. Seconds are CPU time of `fit`, the scaler's included, medians of turns that both sides take
in one run; scores are log loss, D2 or R2 of rows that neither has seen. Poisson and Gamma regression have by default a
penalty that is too strong for so many rows, with which they end sooner and lower; theirs is `WEAK`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import process_time

import numpy as np
from sklearn import datasets
from sklearn.linear_model import GammaRegressor, HuberRegressor, LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import d2_tweedie_score, log_loss, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from tests.benchmarks.report import quantity

NAME = "whole-tables"
HEADER = ("table", "ours", "peer", "ratio", "score of ours, of the peer's", "peer")
N_TEST, N_FACTORS, WEAK = 5000, 20, 1e-4
# Short fits take turns until so many seconds have gone, or so many turns.
ENOUGH_SECONDS, MOST_TURNS = 1.0, 60


@dataclass(frozen=True)
class Task:
    """What is learnt from a table: how its targets follow from scores of unit variance, and by whom.

    Attributes
    ----------
    draw : callable
        Takes a generator and scores, and returns targets.
    ours, peer : callable
        Make the estimators.
    score : callable
        Takes a fitted model, rows and targets.
    n_outputs : int
    """

    draw: Callable
    ours: Callable
    peer: Callable
    score: Callable
    n_outputs: int = 1


def loss_of(model, X, y):
    return log_loss(y, model.predict_proba(X))


def deviance(power, model, X, y):
    return d2_tweedie_score(y, model.predict(X), power=power)


def r2(model, X, y):
    return r2_score(y, model.predict(X))


def classes(rng, scores):
    """Of two classes, the scores are their log odds; of more, each has its own."""
    if scores.shape[1] == 1:
        return (2 * scores[:, 0] + rng.logistic(size=len(scores)) > 0).astype(int)
    return np.argmax(2 * scores + rng.gumbel(size=scores.shape), axis=1)


def numbers(rng, scores):
    return scores[:, 0] + rng.standard_normal(len(scores))


def counts(rng, scores):
    return rng.poisson(np.exp(scores[:, 0] / 2))


def amounts(rng, scores):
    return rng.gamma(2.0, np.exp(scores[:, 0] / 2)) + 1e-6


def with_outliers(rng, scores):
    return scores[:, 0] + rng.standard_t(2, size=len(scores))


TWO = Task(classes, SGDClassifierPlus, LogisticRegression, loss_of)
TEN = Task(classes, SGDClassifierPlus, LogisticRegression, loss_of, 10)
NUMBERS = Task(numbers, SGDRegressorPlus, Ridge, r2)
POISSON = Task(
    counts, partial(SGDRegressorPlus, "poisson"), partial(PoissonRegressor, alpha=WEAK), partial(deviance, 1)
)
GAMMA = Task(
    amounts, partial(SGDRegressorPlus, "gamma"), partial(GammaRegressor, alpha=WEAK), partial(deviance, 2)
)
HUBER = Task(with_outliers, partial(SGDRegressorPlus, "huber"), HuberRegressor, r2)


def generated(task, n_rows, n_features, correlated, dtype, settings):
    """Rows to learn from, rows to be judged on, and the targets of both."""
    rng, n = np.random.default_rng(1), settings.size(n_rows)
    X = rng.standard_normal((n + N_TEST, n_features), dtype=np.float32)
    if correlated:
        factors = rng.standard_normal((len(X), N_FACTORS), dtype=np.float32) / np.sqrt(
            1 + np.arange(N_FACTORS)
        )
        X += factors.astype(np.float32) @ rng.standard_normal((N_FACTORS, n_features), dtype=np.float32)
    scores = (X - X.mean(axis=0)) / X.std(axis=0) @ rng.standard_normal((n_features, task.n_outputs))
    y = task.draw(rng, scores / scores.std())
    X = (X + rng.standard_normal(n_features)) * np.exp(rng.standard_normal(n_features))
    X = X.astype(dtype)
    return X[:n], X[n:], y[:n], y[n:]


def bundled(task, name, settings):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return train_test_split(X, y, test_size=0.25, random_state=0)


def _problems():
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, (TWO, partial(bundled, TWO, name))
    yield "diabetes", (NUMBERS, partial(bundled, NUMBERS, "diabetes"))
    for task, what, shapes in (
        (TWO, "2 classes", [(600_000, 50), (100_000, 500), (20_000, 2000), (400, 5000), (100, 10_000)]),
        (TEN, "10 classes", [(100_000, 50), (40_000, 500)]),
        (NUMBERS, "numbers", [(600_000, 50), (100_000, 500), (20_000, 2000), (400, 5000), (100, 10_000)]),
        (POISSON, "Poisson", [(43_000, 27)]),
        (GAMMA, "Gamma", [(43_000, 27)]),
        (HUBER, "Huber", [(43_000, 27)]),
    ):
        for n_rows, n_features in shapes:
            for correlated in (False, True):
                for dtype in (np.float32, np.float64):
                    kind = "correlated" if correlated else "independent"
                    name = f"{n_rows:,} x {n_features:,}, {what}, {kind}, {dtype.__name__}"
                    yield name, (task, partial(generated, task, n_rows, n_features, correlated, dtype))


PROBLEMS = dict(_problems())


def cpu_seconds(model, X, y):
    begin = process_time()
    model.fit(X, y)
    return process_time() - begin


def row(name, settings):
    """The cells of a table."""
    task, load = PROBLEMS[name]
    X, X_test, y, y_test = load(settings)
    ours, peer = task.ours(), make_pipeline(StandardScaler(), task.peer())
    turns = []
    while len(turns) < settings.repeats or (
        sum(map(sum, turns)) < ENOUGH_SECONDS and len(turns) < MOST_TURNS
    ):
        turns.append([cpu_seconds(model, X, y) for model in (ours, peer)])
    seconds, peer_seconds = map(median, zip(*turns, strict=True))
    scores = ", ".join(f"{task.score(model, X_test, y_test):.4f}" for model in (ours, peer))
    shown = (quantity(seconds, "s"), quantity(peer_seconds, "s"), f"{seconds / peer_seconds:.2f}")
    return name, *shown, scores, repr(peer[-1])
