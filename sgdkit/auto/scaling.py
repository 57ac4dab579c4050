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

Invariant: rows that repeat those seen change nothing; neither do features that multiply by a constant, but for
rounding error and for the factor of 10.
"""

import warnings

import numpy as np
from scipy import sparse

from sgdkit._kernels.arrays import N_MOMENTS, add_moments
from sgdkit._kernels.rows import Rows, csr
from sgdkit.auto.rate import rate_choice
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
# Values copied at a time.
STRETCH = 1 << 16


def choose_scaling(settings, data, earlier=None):
    """The scaling of the rows that count, and of those that an `earlier` scaling has seen."""
    if not settings.standardize and (not rate_choice(settings).chosen or settings.average):
        # A rate that is given is one for the features as they are; and an average takes in weights before the
        # penalty's part of their step, which is nothing much only where the penalty is weak.
        return Scaling()
    options = {"shifts": bool(settings.fit_intercept), "exact": settings.standardize, "earlier": earlier}
    return Standard(data.rows, data.row_indices, data.row_weights, **options)


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
    """

    moments = None

    def __init__(self):
        self.shift = self.factor = None
        self.unit = 1.0

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

    def apply(self, rows, *, in_place=False):
        """The rows as training is to see them; `in_place` says that dense ones are nobody else's."""
        return rows

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
    """

    def __init__(self, rows, row_indices, row_weights, *, shifts, exact=True, earlier=None):
        super().__init__()
        self.shifts = shifts
        self.exact = exact
        if earlier is not None and not self._continues(earlier, rows):
            earlier = None
        self._see(rows, row_indices, row_weights, earlier)
        self._choose()
        if earlier is not None:
            self._stay_near(earlier)
        self._set(rows.dtype)

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
        return {**self.__dict__, **dict.fromkeys(packed), "_packed": (n_features, seen, packed)}

    def __setstate__(self, state):
        n_features, seen, packed = state.pop("_packed")
        self.__dict__.update(state)
        for name, (values, other) in packed.items():
            array = np.full((n_features, *values.shape[1:]), other, dtype=values.dtype)
            array[seen] = values
            setattr(self, name, array)

    def _continues(self, earlier, rows):
        """Whether the moments of an earlier scaling can be added to."""
        return (
            earlier.moments is not None
            and earlier.shifts == self.shifts
            and len(earlier.scale) == rows.n_features
        )

    def _see(self, rows, row_indices, row_weights, earlier):
        """Add the moments of rows to earlier ones."""
        n_rows = rows.n_rows if row_indices is None else len(row_indices)
        indices = None if row_indices is None else row_indices.astype(np.int64, copy=False)
        weights = np.empty(0) if row_weights is None else np.ascontiguousarray(row_weights, dtype=np.float64)
        if earlier is None:
            # About a value of its own, a feature that varies little is summed without loss.
            self.origin, self.n_rows, self.total = rows.first(indices), 0, 0.0
        else:
            self.origin, self.n_rows, self.total = earlier.origin, earlier.n_rows, earlier.total
        self.n_rows += n_rows
        self.total += select(weights, indices).sum() if len(weights) else n_rows
        self.moments = np.zeros((rows.n_features, N_MOMENTS)) if earlier is None else earlier.moments.copy()
        add_moments(rows, self.origin.astype(rows.dtype, copy=False), indices, weights, self.moments)

    def _choose(self):
        """Choose the shift and the scale of each feature, and the unit."""
        hits, mass, first, second, counts, products = self.moments.T
        origin = self.origin.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            mean, square = first / mass, second / mass
            variance = square - mean * mean
            mean_square = square + 2 * origin * mean + origin * origin
        self.full = (hits == self.n_rows) & self.shifts
        shift = np.where(self.full, origin + mean, 0.0)
        scale = np.sqrt(np.where(self.full, variance, mean_square).clip(0))
        # What has overflowed is infinite; what was never seen has no scale, and nor has what does not vary.
        scale = np.where(hits > 0, np.nan_to_num(scale, nan=np.inf, posinf=np.inf), 0.0)
        noise = NOISE * np.finfo(self.origin.dtype).eps * np.abs(shift)
        varies = (mass > self.total * np.finfo(np.float64).eps) & ~(self.full & (first == 0) & (second == 0))
        self._check(scale, noise, varies)
        nothing = ~(scale > noise)
        among = ~nothing & (hits < self.n_rows)
        few = among.any() and mass[among].mean() <= self.total / 2
        self.near = _of_one_scale(scale, mass, among) if few else np.zeros_like(among)
        if few and not self.near.any():
            ratios = products[among] / (counts[among] * mean_square[among])
            if np.average(ratios, weights=mass[among]) < OF_ONE_LENGTH:
                telling = np.sqrt(products[among] / mass[among]) / (1 + np.log(self.total / mass[among]))
                level = np.sqrt(np.average(mean_square[among] / telling**2, weights=mass[among]))
                scale[among] = telling * level
        self.shared, self.unit = 1.0, 1.0
        if self.near.any():
            square = mass[self.near] @ np.square(scale[self.near])
            self.shared = float(np.sqrt(square / mass[self.near].sum()))
            if (self.near | nothing).all() and abs(np.log(square / self.total)) <= 2 * np.log(LENGTH):
                self.unit = self.shared
        scale[self.near] = self.shared
        scale[nothing] = self.unit
        self.mean, self.scale = shift, scale

    def seen(self, features, shift, factor):
        """How many values of some features there were, and the sums of their squares, shifted and scaled anew."""
        mass, first, second = self.moments[features, 1:4].T * (self.n_rows / self.total)
        shift = shift - self.origin[features].astype(np.float64)
        return mass, (second - 2 * shift * first + shift * shift * mass) * factor**2

    def _check(self, scale, noise, varies):
        """Raise if the scale of a feature is beyond floating-point numbers, and warn if it is lost in its mean."""
        self._raise_if(~np.isfinite(scale), "too large: their squares overflow. Divide")
        self._raise_if(
            varies & (np.maximum(scale, noise) < SMALLEST), "too small: their squares underflow. Multiply"
        )
        lost = np.flatnonzero(varies & (scale <= noise))
        if len(lost):
            warnings.warn(
                f"Feature {lost[0]} varies by no more than rounding error in {self.origin.dtype}, so nothing is learnt "
                f"from it ({len(lost)} of {len(scale)} features are so). Subtract their means, or pass more digits.",
                UserWarning,
                stacklevel=2,
            )

    @staticmethod
    def _raise_if(faulty, what):
        if faulty.any():
            j = int(np.flatnonzero(faulty)[0])
            raise ValueError(f"The values of feature {j} are {what} them by a constant.")

    def _stay_near(self, earlier):
        """Leave what was chosen before, where it is not too far off; the unit always, since rates depend on it."""
        seen, seen_before = self.moments[:, 0] > 0, earlier.moments[:, 0] > 0
        self.unit = earlier.unit
        if earlier.near.any() and abs(np.log(self.shared / earlier.shared)) <= np.log(DRIFT):
            self.shared = earlier.shared
            self.scale[self.near] = self.shared
        stays = seen_before & (np.abs(np.log(self.scale / earlier.scale)) <= np.log(DRIFT))
        self.scale = np.where(stays, earlier.scale, np.where(seen, self.scale, self.unit))
        stays = seen_before & (np.abs(self.mean - earlier.mean) <= self.scale) & (self.full | ~earlier.full)
        self.mean = np.where(stays, earlier.mean, self.mean)

    def _set(self, dtype):
        with np.errstate(over="ignore"):
            factor = (self.unit / self.scale).astype(dtype)
        self._raise_if(~np.isfinite(factor), f"too small to be scaled in {np.dtype(dtype)}. Multiply")
        if self.exact:
            needed = self.mean.any() or (factor != 1).any()
        else:
            far = np.abs(np.log(factor)) > np.log(DRIFT)
            needed = far.any() or (np.abs(self.mean) > self.scale).any()
        if needed:
            self.shift, self.factor = self.mean.astype(dtype), factor

    def apply(self, rows, *, in_place=False):
        """The rows as training is to see them; `in_place` says that dense ones are nobody else's."""
        if self.factor is None:
            return rows
        if rows.mapped:
            # A copy takes memory, as the file does not.
            return rows.scaled(self.shift, self.factor)
        if not sparse.issparse(rows.X):
            X = rows.X
            scaled = X if in_place else np.empty_like(X)
            n_rows = max(STRETCH // max(rows.n_features, 1), 1)
            for begin in range(0, rows.n_rows, n_rows):
                part = slice(begin, begin + n_rows)
                np.subtract(X[part], self.shift, out=scaled[part])
                scaled[part] *= self.factor
            return Rows(scaled)
        # Sums are scaled as their parts are, but shifted once.
        X = rows.merged() if self.shift.any() else rows.X
        values = np.empty_like(X.data)
        for begin in range(0, len(values), STRETCH):
            part = slice(begin, begin + STRETCH)
            features = X.indices[part]
            np.subtract(X.data[part], self.shift[features], out=values[part])
            values[part] *= self.factor[features]
        return Rows(csr(values, X.indices, X.indptr, X.shape[1]))

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
            where = f"the weight of feature {np.argmax(overflows)}" if overflows.any() else "the intercept"
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


def _of_one_scale(scale, mass, among):
    """Which of the sparse features share a scale: all or most of them, or none."""
    near = np.zeros_like(among)
    if not np.isfinite(scale[among]).all():
        return near
    logarithms = np.log(scale[among])
    near[among] = np.abs(logarithms - np.average(logarithms, weights=mass[among])) <= np.log(NEAR)
    return near if mass[near].sum() >= (1 - FAR_SHARE) * mass[among].sum() else np.zeros_like(among)
