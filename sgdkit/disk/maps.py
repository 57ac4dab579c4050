"""Memory maps that know what their file was like when it was opened, and rows that are taken from them."""

import os

import numpy as np
from scipy import sparse

from sgdkit._kernels.rows import take_rows


class Map(np.memmap):
    """A memory map of a file that is not to change.

    Attributes
    ----------
    stamp : tuple or None
        Which file it is, its length, and when it was changed last.
    """

    stamp = None

    def __array_finalize__(self, other):
        super().__array_finalize__(other)
        # A copy is no map.
        self.stamp = None if self.filename is None else getattr(other, "stamp", None)


def mapped(path):
    """An array in NumPy's format as one that is mapped to memory."""
    array = np.load(path, mmap_mode="r").view(Map)
    array.stamp = _stamp_of(path)
    # Of NumPy's own class, as results of computations with it are to be.
    return np.asarray(array)


def _stamp_of(path):
    """What tells whether a file has been changed: which it is; its length, and when it was changed last."""
    state = os.stat(path)
    return (state.st_dev, state.st_ino), (state.st_size, state.st_mtime_ns)


def check_unchanged(*arrays):
    """Raise if a file that an array is mapped to has been changed since it was opened; some may be sparse, or None."""
    for array in arrays:
        names = ("data", "indices", "indptr") if sparse.issparse(array) else ()
        parts = [getattr(array, name, None) for name in names] or [array]
        for part in parts:
            while isinstance(part, np.ndarray):
                if isinstance(part, Map) and part.stamp is not None:
                    _check(part)
                part = part.base


def _check(array):
    try:
        now = _stamp_of(array.filename)
    except FileNotFoundError:
        # What is mapped of a deleted file stays.
        return
    # So does that of one in whose place there is another.
    if now[0] == array.stamp[0] and now[1] != array.stamp[1]:
        raise ValueError(
            f"{array.filename} has been changed since it was opened. Write the rows again, to another folder, and open "
            "that."
        )


class RowsArray(sparse.csr_array):
    """A csr_array whose neighbouring rows are taken without a copy, and others without one of all indices."""

    def __getitem__(self, key):
        if isinstance(key, slice):
            return take_rows(self, key)
        if (
            self.indices.dtype != self.indptr.dtype
            and isinstance(key, (list, np.ndarray))
            and np.ndim(key) == 1
        ):
            return take_rows(self, _numbers(key, self.shape[0]))
        return super().__getitem__(key)


def _numbers(key, n_rows):
    """The row numbers that an array of numbers, which may count from the end, or a mask stands for."""
    key = np.asarray(key)
    if key.dtype == bool:
        if len(key) != n_rows:
            raise IndexError(f"A mask of {len(key)} rows is no mask of {n_rows}.")
        return np.flatnonzero(key)
    if len(key) and not -n_rows <= key.min() <= key.max() < n_rows:
        raise IndexError(
            f"There are {n_rows} rows, and numbers from {key.min()} to {key.max()} were asked for."
        )
    return np.where(key < 0, key + n_rows, key).astype(np.intp)
