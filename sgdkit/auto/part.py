"""A part of the scaling: that of the features which a chunk of rows touches, where they are few among all.

A part adds the chunk's rows to what is known of its features, and scales them by what all features had in common when
that was last chosen. So a feature that has drifted, or was never seen, has its own scale at once. When the weight of
the rows has doubled, what features have in common is chosen anew, by all that were ever seen. The whole is left as it
is until it takes the part in, once the chunk has been learnt.
"""

import numpy as np

from sgdkit._kernels.arrays import put_rows, scales_in_common, take_rows
from sgdkit.auto.moments import SCALE
from sgdkit.auto.scaling import DRIFT, FAR_SHARE, NO_FEATURES, SMALLEST, Standard

# What features have in common is chosen anew when the weight of rows has grown by this factor.
GROWN = 2.0
# What features have in common.
IN_COMMON = "n_rows", "total", "unit", "shared", "center", "level", "chosen_at"


class Part(Standard):
    """The scaling of some of the features.

    Attributes
    ----------
    whole : Standard
    features : ndarray of int32
        Those of the whole that it is about. Features that every row had are among them: they are touched by the absence
        of a value too.
    """

    @classmethod
    def of(cls, whole, features, room):
        """What is known of some features, copied to a `Room`."""
        part = object.__new__(cls)
        part.room = room
        part.shifts, part.exact, part.dtype = whole.shifts, whole.exact, whole.dtype
        part.whole, part.features, part.names = whole, features, features
        part._share(whole)
        part.known = room.array("known", (len(features), SCALE + 1), np.float64)
        take_rows(whole.known, features, part.known)
        part.full, part.mean = np.zeros(len(features), dtype=bool), np.zeros(len(features))
        part.shift = part.factor = None
        if len(everywhere(whole)):
            part.full, part.mean = whole.full[features], whole.mean[features]
        if whole.factor is not None:
            part.shift, part.factor = whole.shift[features], whole.factor[features]
        return part

    def after(self, rows, row_indices, row_weights, *, shifts, exact, n_threads=1):
        if shifts != self.shifts or exact != self.exact or rows.dtype != self.dtype:
            # All features have to take part.
            return Standard(rows, row_indices, row_weights, shifts=shifts, exact=exact, n_threads=n_threads)
        part = object.__new__(Part)
        part.shifts, part.exact, part.whole = shifts, exact, self.whole
        part.features = part.names = self.features
        part.room = self.room
        part.new = self.features[self.known[:, 0] == 0]
        part._share(self)
        part._see(rows, row_indices, row_weights, self)
        if part.total >= GROWN * part.chosen_at:
            part._choose_anew()
        if len(everywhere(self.whole)) or not part._choose_few(self):
            part._choose(anew=False)
            part._stay_near(self)
            part._set(part.dtype, needed=self.factor is not None)
        return part

    def _copy_known(self, known):
        copied = self.room.array("known with the chunk", known.shape, np.float64)
        copied[...] = known
        return copied

    def _share(self, other):
        for name in IN_COMMON:
            setattr(self, name, getattr(other, name))

    def _choose_few(self, earlier):
        """Choose scales where all features have zeros, and return whether they are beyond doubt."""
        known = self.known, earlier.known, self.n_rows, self.total
        shared, level = (self.shared, *self.range_of_shared), self.level or 0.0
        moved, scales = scales_in_common(*known, shared=shared, level=level, drift=DRIFT, smallest=SMALLEST)
        if np.isnan(scales[-1:]).any():
            return False
        self.known[moved, SCALE] = scales
        self.full, self.mean = earlier.full, earlier.mean
        self.shift, self.factor = earlier.shift, earlier.factor
        if self.factor is not None or self._differs((self.unit / scales).astype(self.dtype)):
            self._set(self.dtype, needed=True)
        return True

    def _choose_anew(self):
        """Choose what all features that were ever seen have in common.

        Those that no row touches are scaled by it when one does.
        """
        others = self.whole.is_seen.copy()
        others[self.features] = False
        others = np.flatnonzero(others).astype(np.int32)
        tables = [(self.known, NO_FEATURES)] + [(self.whole.known, others)] * bool(len(others))
        shared, center = self.shared, self.center
        self._choose_in_common(*tables)
        if center is not None and abs(np.log(self.shared / shared)) <= np.log(DRIFT):
            self.shared = shared

    def is_about(self, old):
        """Whether, of what was seen before an old scaling, next to nothing is scaled anew."""
        change = self.since(old)
        if change is None:
            return True
        ratio, drift = change
        mass = old.moments[:, 1]
        return mass @ ((ratio != 1) | (drift != 0)) <= FAR_SHARE * mass.sum()

    def give_back(self):
        """Have the whole take the part in."""
        whole, features = self.whole, self.features
        for name in "known", "full", "mean", "shift", "factor":
            value = getattr(whole, name)
            if value is not None and not value.flags.writeable:
                # It is mapped to the memory of a file.
                setattr(whole, name, value.copy())
        whole.is_seen[self.new] = True
        put_rows(whole.known, features, self.known)
        if len(everywhere(whole)):
            whole.full[features], whole.mean[features] = self.full, self.mean
            whole._everywhere = None
        if self.factor is not None:
            if whole.factor is None:
                n_features = len(whole.known)
                whole.shift, whole.factor = (
                    make(n_features, dtype=self.dtype) for make in (np.zeros, np.ones)
                )
            whole.shift[features], whole.factor[features] = self.shift, self.factor
        Part._share(whole, self)


def everywhere(whole):
    """The features of a scaling that every row had."""
    if whole._everywhere is None:
        whole._everywhere = np.flatnonzero(whole.full).astype(np.int32)
    return whole._everywhere
