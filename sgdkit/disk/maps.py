"""Memory maps that know what their file was like when it was opened, and rows that are taken from them."""

import os

import numpy as np
from scipy import sparse

from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.watch import Watch


class MappedFile:
    """A file that is not to change while it is mapped to memory.

    Parameters
    ----------
    path : Path
    array : ndarray
        What it is mapped to.
    """

    def __init__(self, path, array):
        self.path, self.stamp = path.absolute(), _stamp_of(path)
        message = (
            f"{self.path} has been changed since it was opened, or its disk fails. Write the rows again, to another "
            "folder, and open that."
        )
        self.watch = Watch(array, message)

    def check(self):
        """Raise if it has been changed."""
        try:
            now = _stamp_of(self.path)
        except FileNotFoundError:
            # What is mapped of a deleted file stays.
            now = self.stamp
        # So does that of one in whose place there is another.
        if self.watch.lost or (now[0] == self.stamp[0] and now[1] != self.stamp[1]):
            raise ValueError(self.watch.message)


class Map(np.memmap):
    """A memory map that knows its file.

    Attributes
    ----------
    file : MappedFile or None
    """

    file = None

    def __array_finalize__(self, other):
        super().__array_finalize__(other)
        # A copy is no map.
        self.file = None if self.filename is None else getattr(other, "file", None)


def mapped(path):
    """An array in NumPy's format as one that is mapped to memory."""
    array = np.load(path, mmap_mode="r").view(Map)
    array.file = MappedFile(path, array)
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
                if isinstance(part, Map) and part.file is not None:
                    part.file.check()
                part = part.base


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
