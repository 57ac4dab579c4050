"""The settings of the peers whose whole fits are measured."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.benchmarks import peers
from tests.benchmarks.liblinear import LiblinearClassifier, LiblinearRegressor

# Options of `SGDClassifier`; the others of `SETTINGS` are those of other peers.
SGD_CLASSIFIERS = [
    {"loss": loss, "alpha": alpha, **options}
    for loss, alphas in {
        "log_loss": (1e-4, 1e-5, 1e-6),
        "hinge": (1e-4, 1e-5),
        "modified_huber": (1e-5,),
    }.items()
    for alpha in alphas
    for options in ({}, {"max_iter": 5, "tol": None})
    if alpha == 1e-5 or not options
]
SGD_REGRESSORS = [{"alpha": alpha, "average": average} for alpha in (1e-4, 1e-6) for average in (False, True)]


@dataclass(frozen=True)
class Peer:
    """A peer with its settings.

    Attributes
    ----------
    name : str
    make : callable
        Makes the estimator.
    our_loss : bool
        Whether its loss is the one that ours minimises by default: log loss, or squared error.
    """

    name: str
    make: Callable[[], object]
    our_loss: bool = True


def settings(kind, dense):
    """All peers for a kind of problem; dense features also go through a scaler first, within the time."""
    for peer in classifiers() if kind == "classification" else regressors():
        yield peer
        if dense:
            yield Peer(f"scaled {peer.name}", partial(_scaled, peer.make), peer.our_loss)


def _scaled(make):
    return make_pipeline(StandardScaler(), make())


def classifiers():
    for options in SGD_CLASSIFIERS:
        yield _peer(SGDClassifier, options["loss"] == "log_loss", **options, random_state=0)
    for C in (1.0, 10.0):
        yield _peer(LogisticRegression, C=C)
        yield Peer(f"snapml LogisticRegression(C={C:g})", partial(_snapml, "LogisticRegression", 1 / C))
    yield _peer(RidgeClassifier, False)
    for C in (0.1, 1.0):
        yield _peer(LinearSVC, False, C=C, random_state=0)
    for solver, C in ((0, 1), (7, 1), (7, 10), (1, 1), (4, 1)):
        options = f"-s {solver} -c {C}"
        yield Peer(f"liblinear {options}", partial(LiblinearClassifier, options), solver in (0, 7))


def regressors():
    for options in SGD_REGRESSORS:
        yield _peer(SGDRegressor, **options, random_state=0)
    for alpha in (0.1, 1.0, 10.0):
        yield _peer(Ridge, alpha=alpha)
        yield _peer(Ridge, alpha=alpha, solver="lsqr")
        yield Peer(f"snapml LinearRegression({alpha:g})", partial(_snapml, "LinearRegression", alpha))
    yield _peer(LinearRegression)
    for solver in (11, 12):
        for C in (0.1, 1.0):
            options = f"-s {solver} -c {C:g} -p 0"
            yield Peer(f"liblinear {options}", partial(LiblinearRegressor, options))


def _peer(cls, our_loss=True, **options):
    """An estimator of scikit-learn, called by those of its options that make a difference."""
    shown = ", ".join(
        value if isinstance(value, str) else f"{name}={value}"
        for name, value in options.items()
        if name not in ("random_state", "tol") and value is not False
    )
    return Peer(f"{cls.__name__}({shown})", partial(cls, **options), our_loss)


def _snapml(name, regularizer):
    """One of snapml's models, which solves the dual problem."""
    cls = getattr(peers._module("snapml", "snapml"), name)
    return cls(regularizer=regularizer, fit_intercept=True, random_state=0)
