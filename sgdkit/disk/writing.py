"""`write`: rows to a folder, once, for many epochs to read."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sgdkit._typing import RandomState
from sgdkit.disk.folder import ArrayFile, new_folder
from sgdkit.disk.parts import checked, gathered
from sgdkit.disk.shuffling import ROOM, shuffled


def write(
    chunks: Iterable[Sequence[Any]],
    folder: str | PathLike[str],
    *,
    shuffle: bool = True,
    random_state: RandomState = None,
) -> None:
    """Write rows to a folder, in random order.

    However many rows there are, a few hundred megabytes of memory are used, and one chunk. The rows are on the disk
    when this returns; if it fails, nothing of them is left behind, and if it is killed, :func:`open` says so.

    Parameters
    ----------
    chunks : iterable of (X, y) or (X, y, sample_weight)
        Rows, targets and weights, as `fit` takes them: some of them at a time, of the same features in each. The first
        chunk says whether the rows are sparse, and the dtypes; float32 stays, and is trained in float32.
    folder : str or path-like
        It is made, unless it is there and empty. One that holds anything is an error, and left as it is.
    shuffle : bool, default=True
        Whether to write the rows in random order. As they come they often are in the order of a class, or of time, and
        epochs that read neighbours together learn little from those. The disk then needs room for the rows twice.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling.

    Raises
    ------
    ValueError
        For bad input, with the number of the chunk, counted from 0.
    FileExistsError
        If the folder is not empty.
    OSError
        If it cannot be written, as where the disk is full.

    See Also
    --------
    open : The rows of a folder.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sgdkit import SGDClassifierPlus, disk
    >>> rng = np.random.default_rng(0)
    >>> def chunks():
    ...     for _ in range(10):
    ...         X = rng.standard_normal((100, 3))
    ...         yield X, X[:, 0] > X[:, 1]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     disk.write(chunks(), folder, random_state=0)
    ...     X, y, sample_weight = disk.open(folder)
    ...     SGDClassifierPlus(random_state=0).fit(X, y, sample_weight).score(X, y) > 0.95
    True
    """
    folder = Path(folder)
    generator = np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    with new_folder(folder) as manifest, Arrays(folder) as arrays:
        parts = checked(chunks)
        with closing(
            shuffled(parts, folder / "bucket", generator) if shuffle else gathered(parts, ROOM)
        ) as parts:
            for part in parts:
                arrays.append(part)
        manifest |= {"n_features": part.n_features, "shuffled": bool(shuffle), "arrays": arrays.finish()}


class Arrays:
    """The arrays of a folder in the making."""

    def __init__(self, folder):
        self.folder, self.files, self.n_values = folder, {}, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in self.files.values():
            file.close()

    def append(self, part):
        for name, array in self._named(part):
            if name not in self.files:
                self.files[name] = ArrayFile(self.folder / f"{name}.npy", array.dtype, array.shape[1:])
            self.files[name].append(array)

    def _named(self, part):
        """The arrays of a part by their names in the folder."""
        if part.sample_weight is not None:
            yield "sample_weight", part.sample_weight
        if not part.sparse:
            yield from zip(("X", "y"), part.arrays, strict=True)
            return
        yield from zip(("y", "values", "indices"), part.arrays[1:], strict=True)
        begins = part.begins + self.n_values
        yield "begins", begins[1:] if "begins" in self.files else begins
        self.n_values = begins[-1]

    def finish(self):
        """Have all on the disk, and return what the manifest is to say of each."""
        return {name: file.finish() for name, file in self.files.items()}
