"""What is measured, against whom, and how fast it must be: `BARS` is the whole list.

An epoch is a `fit` with ``max_iter=1, tol=None`` and a given rate; the checks of parameters and rows are part of it, on
both sides. Batches are single rows, as the peer's, where nothing else is said.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression

from sgdkit import SGDClassifierPlus
from tests.benchmarks import accuracy, data, peers, resources, search
from tests.benchmarks.timing import Contest, Result, Settings, compete
from tests.problems import STOCHASTIC

OPTIMIZER_BARS = {"sgd": 0.45, "adagrad": 0.7, "rmsprop": 0.8, "adam": 1.0}
DENSE_BARS = {"sgd": 0.8, "adagrad": 1.2}
F32, F64 = np.float32, np.float64
SHORT = {F32: "float32", F64: "float64"}


@dataclass(frozen=True)
class Bar:
    """A row of the benchmark.

    Attributes
    ----------
    name : str
        Its first word is its group.
    limit : float or None
        The highest ratio of ours to the peer's that is good enough; None where there is a peer to compare with, and no
        bar.
    measure : callable
        From `Settings` to `Result`.
    """

    name: str
    limit: float | None
    measure: Callable[[Settings], Result]

    @property
    def group(self):
        return self.name.split()[0]


def contest(make, *arguments, **options):
    """A measurement from a function that makes a `Contest`."""
    return lambda settings: compete(make(settings, *arguments, **options), settings)


def fits(mine, peer, name, X, y, note=""):
    """Two estimators on the same rows."""
    return Contest(lambda: mine.fit(X, y), lambda: peer.fit(X, y), name, note)


# ------------------------------------------------------------------------------------------------------ rows of data


def text_like(settings, dtype=F32, d=50_000, n_classes=2):
    """The generated rows that most rows of the benchmark stand on."""
    return data.zipf(settings.size(200_000), d, 51, dtype, n_classes)


def one_hot_flights(settings):
    split = data.flights_sparse(F32, 20_000 if settings.quick else None)
    return split.X, split.y


def dense_flights(settings):
    split = data.flights_dense(n_rows=20_000 if settings.quick else None)
    return split.X, split.y


def wordnet_rows(settings, dtype=F64):
    split = accuracy.wordnet(settings)
    return split.X.astype(dtype), split.y


def wordnet_nouns(settings):
    """Noun or not: the noun files have the numbers 3 to 28."""
    X, y = wordnet_rows(settings, F32)
    return X, ((y >= 3) & (y <= 28)).astype(int)


def digits(settings):
    return data.digits()


# ---------------------------------------------------------------------------------------------------------- contests


def epoch(settings, optimizer, rows, note="", **options):
    """One epoch against one of `SGDClassifier`'s."""
    X, y = rows(settings)
    return fits(peers.ours(optimizer, **options), peers.sklearn_sgd(), "SGDClassifier", X, y, note)


def epoch_against_lightning(settings, optimizer):
    peer = peers.lightning(optimizer)
    X, y = text_like(settings, F64)
    return fits(peers.ours(optimizer), peer, f"lightning {type(peer).__name__}", X, y)


def epoch_against_network(settings):
    """One epoch of Adam on batches of 200 rows, which is `MLPClassifier`'s default."""
    X, y = wordnet_rows(settings)
    mine, peer = peers.ours("adam", batch_size=200), peers.perceptron_adam(batch_size=200, max_iter=1)
    return fits(mine, peer, "MLPClassifier(())", X, y)


def epoch_against_product(settings):
    """One epoch against one read-only product."""
    X, y = text_like(settings)
    model, w = peers.ours("sgd"), np.ones(X.shape[1], dtype=X.dtype)
    return Contest(lambda: model.fit(X, y), lambda: X @ w, "X @ w")


def full_gradient(settings, epochs=1):
    """Steps on all rows against as many products with X and with its transpose."""
    X, y = text_like(settings)
    model = peers.ours("gd", epochs=epochs)
    w, r = np.ones(X.shape[1], dtype=X.dtype), np.ones(X.shape[0], dtype=X.dtype)

    def products():
        for _ in range(epochs):
            X @ w
            X.T @ r

    return Contest(lambda: model.fit(X, y), products, "X @ w, X.T @ r")


def small_fit(settings, epochs, **options):
    X, y = data.iris()
    mine = SGDClassifierPlus(
        eta0=0.1, alpha=1e-4, max_iter=epochs, tol=None, random_state=0, standardize=False, **options
    )
    return fits(mine, peers.sklearn_sgd(epochs=epochs), "SGDClassifier", X, y)


def prediction(settings, method, n_classes):
    """Predictions for 100,000 sparse rows."""
    X, y = data.zipf(settings.size(100_000), 50_000, 51, F64, n_classes)
    if method == "predict":
        peer, name = peers.sklearn_sgd(), "SGDClassifier"
    else:
        peer, name = LogisticRegression(max_iter=3), "LogisticRegression"
    mine, peer = (getattr(model.fit(X[:5000], y[:5000]), method) for model in (peers.ours("sgd"), peer))
    return Contest(lambda: mine(X), lambda: peer(X), name)


# -------------------------------------------------------------------------------------------------------------- BARS


def _sparse():
    for optimizer in STOCHASTIC:
        for dtype, name in SHORT.items():
            measure = contest(epoch, optimizer, partial(text_like, dtype=dtype))
            yield Bar(f"sparse {optimizer} {name}", OPTIMIZER_BARS.get(optimizer), measure)
    for optimizer in ("sgd", "adagrad"):
        limit = OPTIMIZER_BARS[optimizer]
        yield Bar(f"sparse {optimizer} flights", limit, contest(epoch, optimizer, one_hot_flights))
        yield Bar(f"sparse {optimizer} WordNet", limit, contest(epoch, optimizer, wordnet_nouns))
        huge = partial(text_like, d=1 << 20)
        yield Bar(f"sparse {optimizer} 2^20 features", limit, contest(epoch, optimizer, huge))
        yield Bar(f"sparse {optimizer} lightning", None, contest(epoch_against_lightning, optimizer))
    yield Bar("product sgd float32", 4.0, contest(epoch_against_product))


def _dense():
    for optimizer, limit in DENSE_BARS.items():
        yield Bar(f"dense {optimizer} flights", limit, contest(epoch, optimizer, dense_flights))
        one_each = contest(epoch, optimizer, digits, multi_class="ovr")
        yield Bar(f"dense {optimizer} digits", limit, one_each)


def _classes():
    for dtype, name in SHORT.items():
        rows = partial(text_like, dtype=dtype, n_classes=45)
        yield Bar(f"classes 45 sgd {name}", 0.08, contest(epoch, "sgd", rows))
        yield Bar(
            f"classes 45 sgd WordNet {name}", 0.08, contest(epoch, "sgd", partial(wordnet_rows, dtype=dtype))
        )
    yield Bar("classes 45 adam WordNet", None, contest(epoch_against_network))


def _accuracy():
    yield Bar("accuracy default", 0.02, accuracy.by_default)
    yield Bar("accuracy default, same objective", 0.02, accuracy.matched)
    yield Bar("accuracy default, to goal", 0.02, accuracy.shortest)
    yield Bar("accuracy scikit-learn's best", 0.1, partial(accuracy.wordnet_race, peers.sklearn_linear))
    for name, entrants in {
        "liblinear": peers.liblinear,
        "MLPClassifier": peers.neural_network,
        "lightning": peers.lightning_linear,
        "Vowpal Wabbit": peers.vowpal_wabbit,
    }.items():
        yield Bar(f"accuracy {name}", None, partial(accuracy.wordnet_race, entrants))
    yield Bar("accuracy fastText words", None, partial(accuracy.text_race, 1))
    yield Bar("accuracy fastText pairs", None, partial(accuracy.text_race, 2))
    yield Bar("accuracy flights liblinear", None, accuracy.flights_race)


def _small():
    for epochs in (5, 100):
        yield Bar(
            f"iris {epochs} epochs, sgd, rows", 0.8, contest(small_fit, epochs, optimizer="sgd", batch_size=1)
        )
        yield Bar(f"iris {epochs} epochs, by default", 0.8, contest(small_fit, epochs))


def _predictions():
    for method in ("predict", "predict_proba"):
        for n_classes in (2, 45):
            yield Bar(f"{method} {n_classes} classes", 1.0, contest(prediction, method, n_classes))


def _searches():
    for optimizer, times in {"sgd": 15, "adagrad": 8}.items():
        yield Bar(f"search {optimizer}", 1 / times, contest(search.binary, optimizer))
        yield Bar(f"search {optimizer}, own", 1 / 6, contest(search.binary, optimizer, "own"))
    yield Bar("search 45 classes", 1 / 15, search.classes)
    yield Bar("search few candidates", None, contest(search.few_candidates))
    yield Bar("search difference", 1.0, search.difference)
    yield Bar("search memory", 1.2, search.memory)


def _rest():
    yield Bar("gradient 1 epoch", 1.5, contest(full_gradient))
    yield Bar("gradient 10 epochs", None, contest(full_gradient, epochs=10))
    yield Bar("memory 1 column", 1.2, partial(resources.peak_memory, 2))
    yield Bar("memory 45 columns", 1.2, partial(resources.peak_memory, 45))
    yield Bar("import", 1.0, resources.import_time)


BARS = [*_sparse(), *_dense(), *_classes(), *_accuracy(), *_small(), *_predictions(), *_searches(), *_rest()]
