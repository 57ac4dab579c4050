"""A part of the scaling: that of the features which a chunk of rows touches, where they are few among all.

A part scales features by what all had in common when that was last chosen. Where all share one scale and the chunk's
values are near it, there is nothing to choose: the moments of its rows are added to those of the whole once it has been
learnt. Otherwise they are added to copies first, so that a feature that has drifted, or was never seen, has its own
scale at once. When the weight of the rows has doubled, what features have in common is chosen anew, by all that were
ever seen. The whole is left as it is until it takes the part in.
"""

import numpy as np

from sgdkit._kernels.arrays import N_MOMENTS, add_moments_of_few, put_rows, scales_in_common, take_rows
from sgdkit.auto.moments import SCALE
from sgdkit.auto.scaling import DRIFT, FAR_SHARE, NO_FEATURES, SMALLEST, Standard
from sgdkit.training.problem import select

# What features have in common is chosen anew when the weight of rows has grown by this factor.
GROWN = 2.0
# Of a chunk that changes no scale, no more rows are learnt from, with equal distances: they tell enough of the others.
MOST_ROWS = 1 << 10
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
    known : ndarray or None
        None where it is what the whole knows, and what `learnt` adds.
    learnt : tuple of (Rows, int, ndarray of float64), or None
        Rows whose moments the whole is to add, by how many those to look at are apart, and the weights of all.
    """

    known = learnt = None

    @classmethod
    def of(cls, whole, features, room):
        """What is known of some features, which is copied to a `Room` if need be."""
        part = object.__new__(cls)
        part.room = room
        part.shifts, part.exact, part.dtype = whole.shifts, whole.exact, whole.dtype
        part.whole, part.features, part.names = whole, features, features
        part._share(whole)
        part.shift = part.factor = part.full = part.mean = None
        if len(everywhere(whole)):
            part.full, part.mean = whole.full[features], whole.mean[features]
        if whole.factor is not None:
            part.shift, part.factor = whole.shift[features], whole.factor[features]
        return part

    @property
    def moments(self):
        """The sums over the rows that the whole knows, or over those of the chunk too."""
        return (self._known_of(slice(None)) if self.known is None else self.known)[:, :N_MOMENTS]

    def after(self, rows, row_indices, row_weights, *, shifts, exact, n_threads=1):
        if shifts != self.shifts or exact != self.exact or rows.dtype != self.dtype:
            # All features have to take part.
            return Standard(rows, row_indices, row_weights, shifts=shifts, exact=exact, n_threads=n_threads)
        part = object.__new__(Part)
        part.shifts, part.exact, part.whole = shifts, exact, self.whole
        part.features = part.names = self.features
        part.room, part.dtype = self.room, self.dtype
        part._share(self)
        part.shift, part.factor, part.full, part.mean = self.shift, self.factor, self.full, self.mean
        weights = select(row_weights, row_indices)
        weights = np.empty(0) if weights is None else np.ascontiguousarray(weights)
        step = -(-rows.n_rows // MOST_ROWS)
        part.n_rows += -(-rows.n_rows // step)
        part.total += step * (weights[::step].sum() if len(weights) else -(-rows.n_rows // step))
        if part._is_settled(self, rows, weights):
            part.learnt = rows, step, weights
        else:
            part._learn(self, rows, row_indices, row_weights)
        return part

    def _is_settled(self, earlier, rows, weights):
        """Whether rows change no scale: all features share one, and nothing in the rows is far from it."""
        shares = self.center is not None and self.shared == self.unit and self.factor is None
        if not shares or self._is_due or len(everywhere(self.whole)):
            return False
        lowest, highest = self.range_of_shared
        lowest, (smallest, largest) = max(lowest, SMALLEST), rows.sizes()
        if lowest <= smallest and largest <= highest:
            return True
        # Of a few such values, features may be near all the same.
        X, values = rows.X, np.abs(rows.X.data)
        far = np.zeros(len(self.features), dtype=bool)
        far[X.indices[(values < lowest) | (values > highest)]] = True
        places = np.flatnonzero(far[X.indices])
        features, numbers = np.unique(X.indices[places], return_inverse=True)
        masses = np.ones(len(places))
        if len(weights):
            masses = weights[np.searchsorted(X.indptr, places, side="right") - 1]
        masses = masses * (earlier.n_rows / earlier.total)
        mass, square = earlier.seen(features, 0.0, 1.0)
        mass = mass + np.bincount(numbers, masses)
        with np.errstate(over="ignore"):
            square = square + np.bincount(numbers, masses * np.square(values[places], dtype=np.float64))
        scale = np.sqrt(square / mass)
        return bool(((lowest <= scale) & (scale <= highest)).all())

    @property
    def _is_due(self):
        """Whether what features have in common is to be chosen anew."""
        return self.total >= GROWN * self.chosen_at

    def _learn(self, earlier, rows, row_indices, row_weights):
        """Add the moments of rows to copies of what is known, and choose scales."""
        earlier.known = self.room.array("known", (len(self.features), SCALE + 1), np.float64)
        take_rows(self.whole.known, self.features, earlier.known)
        if self.full is None:
            n_features = len(self.features)
            earlier.full, earlier.mean = np.zeros(n_features, dtype=bool), np.zeros(n_features)
        self._see(rows, row_indices, row_weights, earlier)
        if self._is_due:
            self._choose_anew()
        if len(everywhere(self.whole)) or not self._choose_few(earlier):
            self._choose(anew=False)
            self._stay_near(earlier)
            self._set(self.dtype, needed=earlier.factor is not None)

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

    def _known_of(self, features):
        features = self.features[features]
        known = np.empty((len(features), SCALE + 1))
        take_rows(self.whole.known, features, known)
        return known

    def give_back(self):
        """Have the whole take the part in."""
        whole, features = self.whole, self.features
        for name in "known", "full", "mean", "shift", "factor":
            value = getattr(whole, name)
            if value is not None and not value.flags.writeable:
                # It is mapped to the memory of a file.
                setattr(whole, name, value.copy())
        whole._seen = None
        if self.learnt is not None:
            rows, step, weights = self.learnt
            add_moments_of_few(rows, step, features, weights, whole.known)
        else:
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
