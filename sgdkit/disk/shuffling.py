"""Rows in random order, of which memory has room for a part alone.

They go to buckets on disk at random, and each bucket is shuffled in memory: so every order is as likely as any other.
A bucket that is still too large goes to buckets of its own.
"""

from itertools import chain

import numpy as np

from sgdkit.disk.folder import raw
from sgdkit.disk.parts import gathered

# Bytes of rows that are shuffled in memory, and buckets for what is more.
ROOM, N_BUCKETS = 1 << 26, 128


class Bucket:
    """Parts in a file, one after the other, of which only the shapes are in memory."""

    def __init__(self, path):
        self.path, self.like, self.shapes = path, None, []
        self.file = path.open("x+b")

    def append(self, part):
        self.like = part
        self.shapes.append([array.shape for array in part.all_arrays])
        for array in part.all_arrays:
            self.file.write(raw(array))

    def parts(self):
        """Yield the parts, and remove the file."""
        self.file.seek(0)
        for shapes in self.shapes:
            dtypes = [array.dtype for array in self.like.all_arrays]
            arrays = [np.empty(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
            for array in arrays:
                self.file.readinto(raw(array))
            yield self.like.of(arrays)
        self.file.close()
        self.path.unlink()


def shuffled(parts, path, generator):
    """Yield rows in random order, as parts.

    Parameters
    ----------
    parts : iterable of Part
    path : Path
        What the names of buckets begin with.
    generator : Generator
    """
    parts = gathered(parts, ROOM)
    first, second = next(parts, None), next(parts, None)
    if first is None:
        return
    if second is None:
        yield first.take(generator.permutation(len(first)))
        return
    buckets = [Bucket(path.with_name(f"{path.name}-{number}")) for number in range(N_BUCKETS)]
    parts = chain([first, second], parts)
    del first, second
    try:
        for part in parts:
            _scatter(part, buckets, generator)
        for bucket in buckets:
            yield from shuffled(bucket.parts(), bucket.path, generator)
    finally:
        for bucket in buckets:
            bucket.file.close()


def _scatter(part, buckets, generator):
    """Append the rows of a part to buckets at random."""
    bucket_of = generator.integers(len(buckets), size=len(part))
    part = part.take(np.argsort(bucket_of, kind="stable"))
    ends = np.cumsum(np.bincount(bucket_of, minlength=len(buckets)))
    for bucket, begin, end in zip(buckets, [0, *ends], ends, strict=False):
        if begin < end:
            bucket.append(part.cut(begin, end))
