"""Memory that is used again and again: new pages from the system would take longer than the work done in them."""

import math

import numpy as np

# Bytes of a line of cache.
LINE = 64


def from_a_line(make, size, dtype):
    """An array of numbers, made as by `numpy.empty`, that begins with a line of cache."""
    itemsize = np.dtype(dtype).itemsize
    whole = make(size + LINE // itemsize, dtype)
    first = -whole.__array_interface__["data"][0] % LINE // itemsize
    return whole[first : first + size]


class Room:
    """Arrays by name, each of which lasts until it is asked for again."""

    def __init__(self):
        self._arrays = {}

    def __reduce__(self):
        return Room, ()

    def array(self, name, shape, dtype):
        """An array of any contents."""
        size, kept = shape if isinstance(shape, int) else math.prod(shape), self._arrays.get(name)
        if kept is None or len(kept) < size or kept.dtype != dtype:
            # Chunks are not all of one size.
            kept = self._arrays[name] = from_a_line(np.empty, size + size // 4, dtype)
        return kept[:size].reshape(shape)

    def bits(self, n_features):
        """What `number_features` works in."""
        if "bits" not in self._arrays:
            self._arrays["bits"] = np.zeros((-(-n_features // 64), 2), np.uint64)
        return self._arrays["bits"]
