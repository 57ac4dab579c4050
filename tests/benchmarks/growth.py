"""How the time of an epoch grows: four times the rows, features, non-zeros a row, or classes."""

import math
from statistics import median

from tests.benchmarks import data, peers
from tests.benchmarks.timing import take_turns

BASE = {"n": 50_000, "d": 1 << 16, "nonzeros": 48, "n_classes": 2}
SERIES = {
    "rows": ("n", (12_500, 50_000, 200_000)),
    "features": ("d", (1 << 14, 1 << 16, 1 << 18, 1 << 20)),
    "non-zeros a row": ("nonzeros", (12, 48, 192)),
    "classes": ("n_classes", (2, 8, 32, 128)),
}
OPTIMIZERS = ("sgd", "adagrad")


def growth(settings):
    """Measure each series, for each optimizer, on float32 rows of `data.zipf`.

    Yields
    ------
    line : tuple of (str, str, list of int, list of float)
        What grows, the optimizer, its sizes, and the seconds of an epoch for each.
    """
    for name, (parameter, sizes) in SERIES.items():
        problems = [_problem(settings, **{parameter: size}) for size in sizes]
        for optimizer in OPTIMIZERS:
            fits = [_fit(optimizer, X, y) for X, y in problems]
            yield name, optimizer, sizes, [median(times) for times in take_turns(fits, settings.repeats)]


def _problem(settings, **changed):
    shape = BASE | changed
    return data.zipf(settings.size(shape["n"]), shape["d"], shape["nonzeros"], "float32", shape["n_classes"])


def _fit(optimizer, X, y):
    return lambda: peers.ours(optimizer).fit(X, y)


def exponents(sizes, times):
    """The exponent p of ``time ~ size^p`` between neighbouring sizes."""
    return [
        math.log(times[k + 1] / times[k]) / math.log(sizes[k + 1] / sizes[k]) for k in range(len(sizes) - 1)
    ]
