"""The data sets of the benchmark: real texts, real tables, a text-like generator and small ones.

- `tests.benchmarks.data.debian`: WordNet's glosses, verses, and the descriptions of Debian's packages, by ``apt-get``.
- `tests.benchmarks.data.pypi`: flights, news, tweets, ratings and diamonds, from packages of PyPI that are installed.
- `tests.benchmarks.data.npm`: names of cities, by ``npm``.
- `tests.benchmarks.data.docstrings`: those of NumPy, SciPy and scikit-learn, as in an example.
- `tests.benchmarks.data.generated`: rows like those of a text, whose features fall in frequency by Zipf's law.
- `tests.benchmarks.data.bundled`: iris, digits and others from scikit-learn.

Whatever is fetched is kept in a cache folder. Whatever is not to be had raises `Missing`, which names it.

`PROBLEMS` are those that whole fits are measured on.
"""

from tests.benchmarks.data.bundled import digits, iris
from tests.benchmarks.data.debian import wordnet
from tests.benchmarks.data.generated import zipf
from tests.benchmarks.data.problems import PROBLEMS
from tests.benchmarks.data.pypi import flights_dense, flights_sparse
from tests.benchmarks.data.split import Problem, Split

__all__ = [
    "PROBLEMS",
    "Problem",
    "Split",
    "digits",
    "flights_dense",
    "flights_sparse",
    "iris",
    "wordnet",
    "zipf",
]
