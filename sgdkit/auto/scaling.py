"""The scale of the features: training takes place on features that have been shifted and scaled to a common one.

Training sees ``x'_j = (x_j - shift_j) * factor_j``. Its weights W' and intercepts b' are those of the raw features:
``W = factor * W'`` and ``b = b' - shift @ W``, so nothing but the scale of the penalty is changed by it.

- A feature without a zero is shifted by its mean, and its scale is its standard deviation.
- The others are not shifted, so that zeros stay zeros. Their scale is their root mean square over the non-zeros.
- Where features with zeros are sparse, being zero more often than not, differences of their scales within a factor of
  10 of the geometric mean are taken for weights that somebody gave them, as TF-IDF does: they share one scale, the root
  mean square of their values together. Those outside have one of their own; and all have, where more than a tenth of
  the values are outside.
- Where all have, and rows of more non-zeros have smaller ones, somebody has brought rows to one length, as is done with
  texts. Then their own scale is the root mean square of the values times the root of the number in their row, so that
  rows keep their length; and rare features are made as much larger than others as TF-IDF makes them, by
  ``1 + ln(n / df)`` with df of n rows showing them: how telling they are cannot be seen from their scale any more.

All features are brought to the scale 1; or, where they share one at which rows are about as long as the intercept's 1,
to that, their `unit`: so text and one-hot features are trained as they are, and no row is copied.

What features have in common is chosen anew with the rows of every fit and chunk; with those of chunks that touch few of
the features, only when the rows seen have doubled (`part.py`).

Invariant: rows that repeat those seen change nothing; neither do features that multiply by a constant, but for
rounding error and for the factor of 10.
"""

import warnings
from copy import copy

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse

from sgdkit._kernels.arrays import N_MOMENTS, scale_dense, scale_sparse, sums_over_features
from sgdkit._kernels.csr import csr
from sgdkit._kernels.rows import Rows
from sgdkit.auto.moments import ORIGIN, SCALE, add_moments, nothing_known
from sgdkit.auto.rate import rate_choice
from sgdkit.optimizers.blocks import map_of, places_of
from sgdkit.training.problem import select

# Sparse features so much above or below their common scale have one of their own ...
NEAR = 10.0
# ... and all do where so large a share of the values is of those.
FAR_SHARE = 0.1
# Where the squares of values have nothing to do with how many there are in a row, the mean of their product is that of
# means; where it is so much less, rows are of one length.
OF_ONE_LENGTH = 0.9
# What is known of a feature's scale is used until it is off by so much.
DRIFT = 2.0
# Rows at the shared scale are left there if their norm is within this factor of the intercept's input.
LENGTH = 10.0
# What varies by less than so many times the rounding error of its mean may be nothing but that.
NOISE = 4.0
# The squares of what is smaller lose their digits.
SMALLEST = 1e-145
# Instead of numbers of features: all of them.
NO_FEATURES = np.empty(0, dtype=np.int32)


def choose_scaling(settings, data, earlier=None):
    """The scaling of the rows that count, and of those that an `earlier` scaling has seen."""
    if not settings.standardize and (not rate_choice(settings).chosen or settings.average):
        # A rate that is given is one for the features as they are; and an average takes in weights before the
        # penalty's part of their step, which is nothing much only where the penalty is weak.
        return Scaling()
    options = {"shifts": bool(settings.fit_intercept), "exact": settings.standardize}
    options["n_threads"] = effective_n_jobs(settings.n_jobs)
    parts = data.rows, data.row_indices, data.row_weights
    names = None if data.subset is None else data.subset.features
    return Standard(*parts, **options, names=names) if earlier is None else earlier.after(*parts, **options)


class Scaling:
    """What has been seen of the features' scales, and how features are shifted and scaled for it.

    Attributes
    ----------
    shift, factor : ndarray of shape (n_features,), or None
        Of the dtype of the rows; None stands for 0 and 1.
    unit : float
        The scale that features are brought to.
    moments : ndarray of shape (n_features, N_MOMENTS), or None
        The sums over rows that it was learnt from.
    names : ndarray of int32, or None
        The numbers of the features among all, for errors; None where these are all.
    """

    moments = names = None
    # Whether it learns from the rows.
    learns = False

    def __init__(self):
        self.shift = self.factor = None
        self.unit = 1.0

    def after(self, rows, row_indices, row_weights, **options):
        """The scaling after rows have been seen; the arguments are those of `Standard`."""
        return Standard(rows, row_indices, row_weights, earlier=self, **options)

    def is_about(self, old):
        """Whether, of what was seen before an old scaling, next to nothing is scaled anew."""
        return self.since(old) is None

    def since(self, old):
        """What gradients have been multiplied by since an old scaling, and how far an intercept moves a weight.

        Both are of shape (n_features,), or None where nothing has changed: ``g <- ratio * g``, ``w <- w / ratio``,
        ``b <- b + drift @ w`` with the old weights w.
        """
        if old.factor is None and self.factor is None:
            return None
        factor, shift = (old.factor, old.shift) if self.factor is None else (self.factor, self.shift)
        ones, zeros = np.ones_like(factor), np.zeros_like(shift)
        ratio = (ones if self.factor is None else factor) / (ones if old.factor is None else old.factor)
        shift = zeros if self.shift is None else shift
        drift = (shift - (zeros if old.shift is None else old.shift)) * (
            ones if old.factor is None else old.factor
        )
        return (ratio, drift) if (ratio != 1).any() or drift.any() else None

    def apply(self, rows, *, n_threads=1):
        """The rows as training is to see them; dense ones that are nobody else's are changed."""
        return rows

    def spread(self, subset):
        """What is known of the features of a `Subset`, for all."""
        return self

    def to_raw(self, weights):
        """The weights of the raw features, of shape (n_features + 1, n_columns); the intercepts come last."""
        return weights

    def to_scaled(self, weights):
        """The weights of features as training sees them."""
        return weights


class Standard(Scaling):
    """Features are brought to a common scale, that of the rows seen so far.

    Parameters
    ----------
    rows : Rows
    row_indices : ndarray of int, or None
        The rows that count; None stands for all.
    row_weights : ndarray of float64 of shape (n_rows,), or None
    shifts : bool
        Whether an intercept can take up a shift.
    exact : bool
        Whether features are brought to one scale to the last digit, as a penalty of their weights needs it; else those
        that are not far from it are left as they are, which is good enough for optimizers.
    earlier : Scaling, default=None
        What has been seen before. Features that were there are scaled as they were, unless that is off by a factor of
        2, or shifted by more than a standard deviation.
    names : ndarray of int32, default=None
        See `Scaling`.
    n_threads : int, default=1
        How many share the rows; nothing depends on it.

    Attributes
    ----------
    known : ndarray of shape (n_features, N_MOMENTS + 2)
        What is known of each feature, side by side, so that it is found in one place: `moments`, `origin` and `scale`.
    center : float or None
        The mean logarithm of the scales of sparse features, if they share one, which is `shared`.
    level : float or None
        What the scales of features in rows of one length are multiplied by.
    chosen_at : float
        The weight of the rows that these were chosen by.
    """

    learns = True
    center, level, chosen_at = None, None, 0.0
    # Of which parts were taken (`part.py`): the features that were seen, and those that every row had.
    _seen = _everywhere = None

    def __init__(
        self, rows, row_indices, row_weights, *, shifts, exact=True, earlier=None, names=None, n_threads=1
    ):
        super().__init__()
        self.names = names
        self.shifts = shifts
        self.exact = exact
        if earlier is not None and not self._continues(earlier, rows):
            earlier = None
        self._see(rows, row_indices, row_weights, earlier, n_threads)
        self._choose()
        if earlier is not None:
            self._stay_near(earlier)
        self._set(rows.dtype)

    @property
    def moments(self):
        """The sums over rows, of shape (n_features, N_MOMENTS)."""
        return self.known[:, :N_MOMENTS]

    @property
    def origin(self):
        """The values that the sums are about."""
        return self.known[:, ORIGIN]

    @property
    def scale(self):
        return self.known[:, SCALE]

    @property
    def is_seen(self):
        """Which of the features rows have had."""
        if self._seen is None:
            self._seen = self.known[:, 0] > 0
        return self._seen

    def __getstate__(self):
        """All there is, but of features that no row has had, which hashing leaves many of: they are all alike."""
        seen, n_features = np.flatnonzero(self.moments[:, 0] > 0), len(self.moments)
        packed = {}
        if len(seen) < n_features / 2:
            for name, value in self.__dict__.items():
                if isinstance(value, np.ndarray) and len(value) == n_features:
                    others = np.delete(value, seen, axis=0)
                    if (others == others[0]).all():
                        packed[name] = value[seen], others[0]
        known = {name: value for name, value in self.__dict__.items() if name not in ("_seen", "_everywhere")}
        return {**known, **dict.fromkeys(packed), "_packed": (n_features, seen, packed)}

    def __setstate__(self, state):
        n_features, seen, packed = state.pop("_packed")
        for name, (values, other) in packed.items():
            array = np.full((n_features, *values.shape[1:]), other, dtype=values.dtype)
            array[seen] = values
            state[name] = array
        if "known" not in state:
            # A file of version 0.1.0.
            state["dtype"] = state["origin"].dtype
            state["known"] = np.column_stack([state.pop(name) for name in ("moments", "origin", "scale")])
            state["center"] = float(np.log(state["shared"])) if state["near"].any() else None
        self.__dict__.update(state)
        self.known = self._copy_known(self.known)

    def _continues(self, earlier, rows):
        """Whether the moments of an earlier scaling can be added to."""
        return (
            earlier.moments is not None
            and earlier.shifts == self.shifts
            and len(earlier.scale) == rows.n_features
        )

    def _see(self, rows, row_indices, row_weights, earlier, n_threads=1):
        """Add the moments of rows to earlier ones."""
        n_rows = rows.n_rows if row_indices is None else len(row_indices)
        indices = None if row_indices is None else row_indices.astype(np.int64, copy=False)
        weights = np.empty(0) if row_weights is None else np.ascontiguousarray(row_weights, dtype=np.float64)
        self.dtype = rows.dtype
        if earlier is None:
            self.known, self.n_rows, self.total = nothing_known(rows.n_features), 0, 0.0
            # About a value of its own, a feature that varies little is summed without loss.
            origin = rows.first(indices)
            # Memory of features that no row has is not written to.
            present = np.flatnonzero(origin)
            self.known[present, ORIGIN] = origin[present]
        else:
            self.known, self.n_rows, self.total = (
                self._copy_known(earlier.known),
                earlier.n_rows,
                earlier.total,
            )
            origin = self.origin
        self.n_rows += n_rows
        self.total += select(weights, indices).sum() if len(weights) else n_rows
        origin = origin.astype(rows.dtype)
        add_moments(rows, origin, indices, weights, self.moments, n_threads=n_threads)

    def _copy_known(self, known):
        copied = nothing_known(len(known))
        copied[...] = known
        return copied

    def _choose(self, *, anew=True):
        """Choose the shift and the scale of each feature; and, if `anew`, what features have in common."""
        # Of features that no row has had, which hashing leaves many of, there is nothing to choose.
        seen = np.flatnonzero(self.is_seen)
        known = self.known if len(seen) == len(self.known) else self.known[seen]
        hits, mass, first, second, _, products = known[:, :N_MOMENTS].T
        origin = known[:, ORIGIN]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean, square = first / mass, second / mass
            variance = square - mean * mean
            mean_square = square + 2 * origin * mean + origin * origin
        full = (hits == self.n_rows) & self.shifts
        shift = np.where(full, origin + mean, 0.0)
        scale = np.sqrt(np.where(full, variance, mean_square).clip(0))
        # What has overflowed is infinite; what does not vary has no scale.
        scale = np.nan_to_num(scale, nan=np.inf, posinf=np.inf)
        noise = NOISE * np.finfo(self.dtype).eps * np.abs(shift)
        varies = (mass > self.total * np.finfo(np.float64).eps) & ~(full & (first == 0) & (second == 0))
        _check(self, scale, noise, varies, seen)
        nothing = ~(scale > noise)
        among = ~nothing & (hits < self.n_rows)
        if anew:
            self.unit = 1.0
            self._choose_in_common((known, NO_FEATURES))
        near = np.zeros_like(among)
        lowest, highest = self.range_of_shared
        near[among] = (lowest <= scale[among]) & (scale[among] <= highest)
        if self.level is not None:
            telling = np.sqrt(products[among] / mass[among]) / (1 + np.log(self.total / mass[among]))
            scale[among] = self.level * telling
        if anew and near.any():
            square = mass[near].sum() * self.shared**2
            if (near | nothing).all() and abs(np.log(square / self.total)) <= 2 * np.log(LENGTH):
                self.unit = self.shared
        scale[near] = self.shared
        scale[nothing] = self.unit
        self.full, self.near, self.mean = (self._of_all(seen, values) for values in (full, near, shift))
        self.known[:, SCALE] = self._of_all(seen, scale, self.unit)

    def _of_all(self, seen, values, other=0):
        """What is so of the features that were seen, for all; there is another value for those that were not."""
        if len(seen) == len(self.known):
            return values
        result = (
            np.zeros(len(self.known), values.dtype)
            if not other
            else np.full(len(self.known), other, values.dtype)
        )
        result[seen] = values
        return result

    def _choose_in_common(self, *tables):
        """Choose whether sparse features share a scale, or keep rows of one length, or have a scale each.

        A table is what is known of features, and which of them to look at.
        """

        def sums(lowest=1.0, highest=0.0, telling=False):
            options = self.n_rows, self.total, lowest, highest, telling
            return sum(sums_over_features(*table, *options) for table in tables)

        n, mass, logarithms, near, squares, products, _ = sums(*self.range_of_shared)
        known = self.center is not None and near >= (1 - FAR_SHARE) * mass
        self.shared, self.center, self.level, self.chosen_at = 1.0, None, None, self.total
        if not n or mass / n > self.total / 2:
            return
        self.center = float(logarithms / mass)
        # By the center before, if there is one: it moves so little that another pass is not worth its time.
        near, squares = (near, squares) if known else sums(*self.range_of_shared)[3:5]
        if near >= (1 - FAR_SHARE) * mass:
            self.shared = float(np.sqrt(squares / near))
            return
        self.center = None
        if products < OF_ONE_LENGTH * mass:
            self.level = float(np.sqrt(sums(telling=True)[6] / mass))

    @property
    def range_of_shared(self):
        """The lowest and the highest scale of those that are shared; none is in it where none are."""
        return (1.0, 0.0) if self.center is None else tuple(np.exp(self.center) * np.array([1 / NEAR, NEAR]))

    def seen(self, features, shift, factor):
        """How many values of some features there were, and the sums of their squares, shifted and scaled anew."""
        known = self._known_of(features)
        mass, first, second = known[:, 1:4].T * (self.n_rows / self.total)
        shift = shift - known[:, ORIGIN]
        return mass, (second - 2 * shift * first + shift * shift * mass) * factor**2

    def _known_of(self, features):
        return self.known[features]

    def _stay_near(self, earlier):
        """Leave what was chosen before, where it is not too far off; the unit always, since rates depend on it."""
        seen, seen_before = self.moments[:, 0] > 0, earlier.moments[:, 0] > 0
        self.unit = earlier.unit
        if earlier.center is not None and abs(np.log(self.shared / earlier.shared)) <= np.log(DRIFT):
            self.shared = earlier.shared
            self.known[self.near, SCALE] = self.shared
        stays = seen_before & (np.abs(np.log(self.scale / earlier.scale)) <= np.log(DRIFT))
        self.known[:, SCALE] = np.where(stays, earlier.scale, np.where(seen, self.scale, self.unit))
        stays = seen_before & (np.abs(self.mean - earlier.mean) <= self.scale) & (self.full | ~earlier.full)
        self.mean = np.where(stays, earlier.mean, self.mean)

    def _set(self, dtype, *, needed=False):
        seen = np.flatnonzero(self.is_seen)
        scale, mean = self.scale[seen], self.mean[seen]
        with np.errstate(over="ignore"):
            factor = (self.unit / scale).astype(dtype)
        _raise_if(self, ~np.isfinite(factor), f"too small to be scaled in {np.dtype(dtype)}. Multiply", seen)
        needed = needed or self._differs(factor) or (np.abs(mean) > (0.0 if self.exact else scale)).any()
        self.shift = self.factor = None
        if needed:
            self.shift, self.factor = self.mean.astype(dtype), self._of_all(seen, factor, 1)

    def _differs(self, factor):
        """Whether features have to be brought to another scale."""
        return bool((factor != 1).any() if self.exact else (np.abs(np.log(factor)) > np.log(DRIFT)).any())

    def apply(self, rows, *, n_threads=1):
        """The rows as training is to see them; dense ones that are nobody else's are changed."""
        if self.factor is None:
            return rows
        return _scaled(rows, self.shift, self.factor, n_threads=n_threads)

    def spread(self, subset):
        """What is known of the features of a `Subset`, for all; of the others, it is that they have no values."""
        whole = copy(self)
        whole.known, whole.names, whole._seen, whole._everywhere = subset.spread(self.known), None, None, None
        whole.known[:, SCALE] = subset.spread(self.scale, self.unit)
        for name, other in ("full", 0), ("near", 0), ("mean", 0), ("shift", 0), ("factor", 1):
            value = getattr(self, name)
            setattr(whole, name, None if value is None else subset.spread(value, other))
        return whole

    def to_raw(self, weights):
        """The weights of the raw features, of shape (n_features + 1, n_columns); the intercepts come last."""
        if self.factor is None:
            return weights
        raw = np.empty_like(weights)
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(weights[:-1], self.factor[:, np.newaxis], out=raw[:-1])
            raw[-1] = weights[-1] - self.shift @ raw[:-1]
        if not np.isfinite(raw).all():
            overflows = ~np.isfinite(raw[:-1]).all(axis=1)
            where = (
                f"the weight of feature {_name(self, np.argmax(overflows))}"
                if overflows.any()
                else "the intercept"
            )
            raise ValueError(
                f"Training has come to weights that {raw.dtype} cannot hold: {where} overflows, once it is that of "
                "the raw features. Multiply the features, or divide the targets, by a constant."
            )
        return raw

    def to_scaled(self, weights):
        """The weights of features as training sees them."""
        if self.factor is None:
            return weights
        scaled = np.empty_like(weights)
        np.divide(weights[:-1], self.factor[:, np.newaxis], out=scaled[:-1])
        scaled[-1] = weights[-1] + self.shift @ weights[:-1]
        return scaled


def _check(scaling, scale, noise, varies, seen):
    """Raise if the scale of a feature is beyond floating-point numbers, and warn if it is lost in its mean."""
    _raise_if(scaling, ~np.isfinite(scale), "too large: their squares overflow. Divide", seen)
    small = varies & (np.maximum(scale, noise) < SMALLEST)
    _raise_if(scaling, small, "too small: their squares underflow. Multiply", seen)
    lost = np.flatnonzero(varies & (scale <= noise))
    if len(lost):
        warnings.warn(
            f"Feature {_name(scaling, seen[lost[0]])} varies by no more than rounding error in "
            f"{np.dtype(scaling.dtype)}, so nothing is learnt from it ({len(lost)} of {len(scaling.known)} features "
            "are so). Subtract their means, or pass more digits.",
            UserWarning,
            stacklevel=2,
        )


def _raise_if(scaling, faulty, what, features):
    if faulty.any():
        name = _name(scaling, features[np.flatnonzero(faulty)[0]])
        raise ValueError(f"The values of feature {name} are {what} them by a constant.")


def _name(scaling, feature):
    """The number of a feature among all."""
    return int(feature if scaling.names is None else scaling.names[feature])


def _scaled(rows, shift, factor, *, n_threads):
    """Rows whose features are shifted and scaled."""
    if rows.mapped:
        # A copy takes memory, as the file does not.
        return rows.scaled(shift, factor)
    # Sums are scaled as their parts are, but shifted once.
    X = rows.merged() if shift.any() else rows.X
    places = places_of(rows, None)
    in_threads = map_of(n_threads, places)
    if not sparse.issparse(X):
        scaled = X if rows.owned else np.empty_like(X)
        full = all([*in_threads(lambda place: scale_dense(X[place], shift, factor, scaled[place]), places)])
        return Rows(scaled, full=full, owned=True)
    values = np.empty_like(X.data)

    def scale(place):
        stored = slice(X.indptr[place.start], X.indptr[place.stop])
        scale_sparse(X.data[stored], X.indices[stored], shift, factor, values[stored])

    list(in_threads(scale, places))
    return Rows(csr(values, X.indices, X.indptr, X.shape[1]))
