"""Memory that is used again and again: to get new pages from the system can take longer than what is done with them."""

import numpy as np


class Room:
    """Arrays by name, each of which lasts until it is asked for again."""

    def __init__(self):
        self._arrays = {}

    def __reduce__(self):
        return Room, ()

    def array(self, name, shape, dtype):
        """An array of any contents."""
        size, kept = int(np.prod(shape)), self._arrays.get(name)
        if kept is None or len(kept) < size or kept.dtype != dtype:
            # Chunks are not all of one size.
            kept = self._arrays[name] = np.empty(size + size // 4, dtype)
        return kept[:size].reshape(shape)

    def places(self, n_features):
        """What `number_features` works in."""
        if "places" not in self._arrays:
            self._arrays["places"] = np.full(n_features, -1, dtype=np.int32)
        return self._arrays["places"]
