"""Training and test rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test rows of a problem; and their texts, where they are texts."""

    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    texts: list | None = None
    texts_test: list | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows as users have them, and what is to be predicted from them.

    Attributes
    ----------
    rows : ndarray
        Texts, or the columns of a table.
    y : ndarray of shape (n_rows,)
        Classes, or numbers.
    features : callable or None
        Makes a transformer of rows into features, which sees training rows alone; None where rows are features.
    kind : {"classification", "regression"}
    groups : ndarray of shape (n_rows,) or None
        Rows of one group are all training rows, or all test rows.
    """

    rows: np.ndarray
    y: np.ndarray
    features: Callable | None = None
    kind: str = "classification"
    groups: np.ndarray | None = None

    def split(self, seed, n_rows=None):
        """Three quarters training rows, stratified by class, and at most `n_rows` of them."""
        train, test = self._sides(seed)
        train = np.random.default_rng(seed).permutation(train)[:n_rows]
        X, X_test = self.rows[train], self.rows[test]
        if self.features is not None:
            transformer = self.features()
            X = transformer.fit_transform(X)
            X_test = transformer.transform(X_test)
        return Split(X, self.y[train], X_test, self.y[test])

    def _sides(self, seed):
        options = {"test_size": 0.25, "random_state": seed}
        if self.groups is not None:
            return next(GroupShuffleSplit(1, **options).split(self.rows, self.y, self.groups))
        stratify = self.y if self.kind == "classification" else None
        return train_test_split(np.arange(len(self.y)), stratify=stratify, **options)


def common(y, least):
    """Which rows are of a class that has at least so many."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    return counts[codes] >= least


def texts_of(texts):
    """An array of texts, which may be indexed by rows."""
    return np.array(texts, dtype=object)
