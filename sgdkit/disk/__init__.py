"""Rows on disk, for data larger than memory: written once, in random order, and trained on as they lie.

>>> from sgdkit import SGDClassifierPlus, disk
>>> disk.write(chunks, "folder")  # doctest: +SKIP
>>> X, y, sample_weight = disk.open("folder")  # doctest: +SKIP
>>> SGDClassifierPlus().fit(X, y, sample_weight)  # doctest: +SKIP

`writing.py` and `reading.py` have the two functions; `folder.py` says what a folder holds, and how half of one is told
from a whole; `parts.py` what chunks are; `shuffling.py` how more rows than memory has room for come in random order;
`maps.py` tells whether a file has been changed, or cut off, since it was opened.
"""

from sgdkit.disk.reading import open
from sgdkit.disk.writing import write

__all__ = ["open", "write"]
