"""Rows like those of a text."""

from functools import lru_cache

import numpy as np
from scipy import sparse


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
