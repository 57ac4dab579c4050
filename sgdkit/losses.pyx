# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Loss and every loss: value and derivative with respect to the score `s = x . w + b`, given the target `t`.

The target of a classification loss is -1 or 1 in each column. A loss is pointwise, one column at a time, unless
`coupled` says that the `n_outputs` columns of a model share it, as those of softmax do.

In formulas, Cython takes the number 1 for a double, which costs float32 its speed; hence `<floating> 1`.

To add a loss: write its formula as one inline function over the columns of a row, a class with the two lines that
call it, and its entry in `CLASSIFIER_LOSSES` or `REGRESSOR_LOSSES`; then its NumPy twin in `tests/reference.py`.
"""

import numpy as np

from cython cimport floating
from libc.math cimport exp, expf, fabs, fabsf, log, logf

from sgdkit._kernels.compiler cimport cloned, within
from sgdkit._kernels.exponential cimport exp_nonpositive, log1p_unit, step_at_zero
from sgdkit._kernels.rows cimport Targets, get_block


cdef inline floating _exp(floating x) noexcept nogil:
    if floating is float:
        return expf(x)
    else:
        return exp(x)


cdef inline floating _log(floating x) noexcept nogil:
    if floating is float:
        return logf(x)
    else:
        return log(x)


cdef inline floating _abs(floating x) noexcept nogil:
    if floating is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline floating _positive(floating x) noexcept nogil:
    return x if x > 0 else 0


cdef inline floating _sign(floating x) noexcept nogil:
    return <floating> (x > 0) - <floating> (x < 0)


def weighted_quantile(values, weights, q):
    """The smallest value of each column of `values` whose cumulative weight reaches the share `q`."""
    order = np.argsort(values, axis=0, kind="stable")
    cumulative = np.cumsum(weights[order], axis=0)
    reached = (cumulative >= q * cumulative.max(axis=0)).argmax(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, reached[np.newaxis], axis=0), axis=0)[0]


cdef inline void add_up(const floating* values, Py_ssize_t n, Py_ssize_t m, double* sums) noexcept nogil:
    """Add the values of `n` rows to the sums of their columns."""
    cdef double sum = 0
    cdef Py_ssize_t i, c
    if m == 1:
        # In a register; else each addition would wait until the one before is in memory.
        for i in range(n):
            sum += values[i]
        sums[0] += sum
        return
    for i in range(n):
        for c in range(m):
            sums[c] += values[i * m + c]


cdef inline void add_up_weighted(
    const floating* values, const double* weights, bint own, Py_ssize_t n, Py_ssize_t m, floating* derivatives,
    double* sums,
) noexcept nogil:
    """The same, with weights of rows, or of each column's rows if `own`; derivatives are multiplied by them."""
    cdef Py_ssize_t i, c
    cdef double weight
    for i in range(n):
        for c in range(m):
            weight = weights[i * m + c] if own else weights[i]
            if weight == 0:
                # Such a row is absent, even where its loss is infinite.
                derivatives[i * m + c] = 0
            else:
                sums[c] += weight * values[i * m + c]
                derivatives[i * m + c] *= <floating> weight


cdef class Loss:
    """A loss of scores and targets.

    Parameters
    ----------
    parameter : float or ndarray of shape (n_columns,), default=0.0
        The loss's own number (`epsilon`, `quantile`), if `parameter_name` says that it has one; or one for each column.
    n_outputs : int, default=1
        The number of columns a model has; only a coupled loss asks for it.

    Attributes
    ----------
    coupled : bool
        Whether the columns of a model share the loss, and so cannot be trained apart.
    probability : str or None
        How scores become probabilities: "logistic", "modified_huber", "softmax", or None if they do not.
    smooth : bool
        Whether the derivative is continuous.
    homogeneous : bool
        Whether the loss is smallest, and scales, at a score of 0: then no rate is better than another.
    log_link : bool
        Whether the prediction is `exp(score)`, instead of the score itself.
    minimum_target : tuple of (float, bool)
        The least target of the loss's domain, and whether it belongs to the domain.
    """

    coupled = False
    smooth = True
    homogeneous = False
    probability = None
    log_link = False
    minimum_target = (-np.inf, True)
    parameter_name = None

    def __init__(self, parameter=0.0, n_outputs=1):
        cdef const double[::1] numbers = np.array(parameter, dtype=np.float64, ndmin=1)
        self.parameter, self._numbers = parameter, numbers
        self.numbers, self.stride = &numbers[0], np.ndim(parameter)
        self.n_outputs = n_outputs

    def take(self, columns):
        """The loss of some of the columns."""
        if np.ndim(self.parameter) == 0:
            return self
        own = self.parameter[columns]
        return type(self)(float(own[0]) if (own == own[0]).all() else own, self.n_outputs)

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        pass

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        pass

    def initial_intercept(self, y, sample_weight):
        """The score that minimises the loss of a constant model, or is near it; shape (n_outputs,)."""
        return np.average(y, axis=0, weights=sample_weight)

    def score_scale(self, y, sample_weight):
        """The size of typical scores, of shape (n_outputs,): with a log link 1, else the standard deviation of `y`."""
        if self.log_link:
            return np.ones(y.shape[1])
        mean = np.average(y, axis=0, weights=sample_weight)
        return np.sqrt(np.average((y - mean) ** 2, axis=0, weights=sample_weight))

    def total(self, const floating[:, ::1] scores, Targets targets, sample_weight=None, gradient=None):
        """The weighted sum over rows of the loss of each column.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_columns)
        targets : Targets
        sample_weight : ndarray of float64 of shape (n_rows,) or (n_rows, n_columns), default=None
        gradient : ndarray of shape (n_rows, n_columns), default=None
            If given, the weighted derivative of each row's loss is written to it.

        Returns
        -------
        total : ndarray of float64 of shape (n_columns,)
            A coupled loss leaves its sum in the first column of each model.
        """
        cdef Py_ssize_t m = scores.shape[1], n_rows = scores.shape[0], first = 0
        # Columns of several rows are as good as columns of one row, unless columns differ.
        cdef Py_ssize_t block = 1 if self.stride else max(1, 256 // max(m, 1)), n
        dtype = np.float32 if floating is float else np.float64
        cdef floating[::1] t = np.empty(block * m, dtype), v = np.empty(block * m, dtype)
        cdef floating[:, ::1] g = np.empty((block, m), dtype) if gradient is None else gradient
        cdef bint weighted = sample_weight is not None, keep = gradient is not None
        cdef const double[:, ::1] weights = sample_weight.reshape(n_rows, -1 if n_rows else 1) if weighted else None
        cdef double[::1] sums = np.zeros(m)
        cdef floating* out
        with nogil:
            while first < n_rows:
                n = min(block, n_rows - first)
                out = &g[first if keep else 0, 0]
                get_block(targets, first, n, &t[0])
                if floating is float:
                    self.evaluate_f32(&scores[first, 0], &t[0], n * m, out, &v[0])
                else:
                    self.evaluate_f64(&scores[first, 0], &t[0], n * m, out, &v[0])
                if weighted:
                    add_up_weighted(&v[0], &weights[first, 0], weights.shape[1] == m, n, m, out, &sums[0])
                else:
                    add_up(&v[0], n, m, &sums[0])
                first += n
        return np.asarray(sums)


cdef cloned log_loss(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z, e, right, one = 1
    for c in range(n):
        z = t[c] * s[c]
        right = -t[c] * step_at_zero(z)
        # The steps of a row wait for this; that t is -1 or 1 saves waiting for z.
        e = exp_nonpositive(-_abs(s[c]))
        value[c] = <floating> 0.5 * (_abs(z) - z) + log1p_unit(e)
        gradient[c] = (right * e + (-t[c] - right)) / (one + e)
    return 0


cdef class LogLoss(Loss):
    """Logistic loss of one column: `log(1 + exp(-t s))`."""

    probability = "logistic"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        log_loss(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        log_loss(scores, targets, n, gradient, value)


cdef inline void hinge(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = <floating> 1 - t[c] * s[c]
        value[c] = _positive(z)
        gradient[c] = -t[c] * (z > 0)


cdef class Hinge(Loss):
    """Hinge loss: `max(0, 1 - t s)`."""

    smooth = False

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        hinge(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        hinge(scores, targets, n, gradient, value)


cdef inline void squared_hinge(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = _positive(<floating> 1 - t[c] * s[c])
        value[c] = z * z
        gradient[c] = <floating> -2 * t[c] * z


cdef class SquaredHinge(Loss):
    """Squared hinge loss: `max(0, 1 - t s)^2`."""

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        squared_hinge(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        squared_hinge(scores, targets, n, gradient, value)


cdef inline void modified_huber(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = t[c] * s[c]
        if z < -1:
            value[c] = <floating> -4 * z
            gradient[c] = <floating> -4 * t[c]
        else:
            z = _positive(<floating> 1 - z)
            value[c] = z * z
            gradient[c] = <floating> -2 * t[c] * z


cdef class ModifiedHuber(Loss):
    """Modified Huber loss (Zhang, 2004): `max(0, 1 - t s)^2`, but `-4 t s` below `t s = -1`."""

    probability = "modified_huber"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        modified_huber(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        modified_huber(scores, targets, n, gradient, value)


cdef inline void perceptron(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = t[c] * s[c]
        value[c] = _positive(-z)
        gradient[c] = -t[c] * (z <= 0)


cdef class Perceptron(Loss):
    """Perceptron loss: `max(0, -t s)`; at a score of 0 its derivative is `-t`, or nothing would be learnt."""

    smooth = False
    homogeneous = True

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        perceptron(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        perceptron(scores, targets, n, gradient, value)


cdef inline void squared_error(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r
    for c in range(n):
        r = s[c] - t[c]
        value[c] = <floating> 0.5 * r * r
        gradient[c] = r


cdef class SquaredError(Loss):
    """Squared error: `(s - t)^2 / 2`."""

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        squared_error(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        squared_error(scores, targets, n, gradient, value)


cdef inline void absolute_error(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r
    for c in range(n):
        r = s[c] - t[c]
        value[c] = _abs(r)
        gradient[c] = _sign(r)


cdef class AbsoluteError(Loss):
    """Absolute error: `|s - t|`."""

    smooth = False

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        absolute_error(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        absolute_error(scores, targets, n, gradient, value)

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef inline void huber(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value, const double* numbers,
    Py_ssize_t stride,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, epsilon
    for c in range(n):
        epsilon = <floating> numbers[c * stride]
        r = s[c] - t[c]
        if _abs(r) <= epsilon:
            value[c] = <floating> 0.5 * r * r
            gradient[c] = r
        else:
            value[c] = epsilon * (_abs(r) - <floating> 0.5 * epsilon)
            gradient[c] = epsilon * _sign(r)


cdef class Huber(Loss):
    """Huber's loss: `r^2 / 2` where `|r| <= epsilon`, else `epsilon |r| - epsilon^2 / 2`, with `r = s - t`."""

    parameter_name = "epsilon"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        huber(scores, targets, n, gradient, value, self.numbers, self.stride)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        huber(scores, targets, n, gradient, value, self.numbers, self.stride)

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef inline void epsilon_insensitive(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value, const double* numbers,
    Py_ssize_t stride,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, epsilon
    for c in range(n):
        epsilon = <floating> numbers[c * stride]
        r = s[c] - t[c]
        value[c] = _positive(_abs(r) - epsilon)
        gradient[c] = _sign(r) * (_abs(r) > epsilon)


cdef class EpsilonInsensitive(Loss):
    """Epsilon-insensitive loss: `max(0, |s - t| - epsilon)`."""

    smooth = False
    parameter_name = "epsilon"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        epsilon_insensitive(scores, targets, n, gradient, value, self.numbers, self.stride)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        epsilon_insensitive(scores, targets, n, gradient, value, self.numbers, self.stride)

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef inline void squared_epsilon_insensitive(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value, const double* numbers,
    Py_ssize_t stride,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, z, epsilon
    for c in range(n):
        epsilon = <floating> numbers[c * stride]
        r = s[c] - t[c]
        z = _positive(_abs(r) - epsilon)
        value[c] = z * z
        gradient[c] = <floating> 2 * _sign(r) * z


cdef class SquaredEpsilonInsensitive(Loss):
    """Squared epsilon-insensitive loss: `max(0, |s - t| - epsilon)^2`."""

    parameter_name = "epsilon"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        squared_epsilon_insensitive(scores, targets, n, gradient, value, self.numbers, self.stride)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        squared_epsilon_insensitive(scores, targets, n, gradient, value, self.numbers, self.stride)


cdef inline void pinball(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value, const double* numbers,
    Py_ssize_t stride,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, quantile
    for c in range(n):
        quantile = <floating> numbers[c * stride]
        r = s[c] - t[c]
        value[c] = (<floating> 1 - quantile) * _positive(r) + quantile * _positive(-r)
        gradient[c] = (<floating> 1 - quantile) * (r > 0) - quantile * (r < 0)


cdef class Quantile(Loss):
    """Pinball loss: `q max(0, t - s) + (1 - q) max(0, s - t)`, minimal at the quantile `q`."""

    smooth = False
    parameter_name = "quantile"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        pinball(scores, targets, n, gradient, value, self.numbers, self.stride)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        pinball(scores, targets, n, gradient, value, self.numbers, self.stride)

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, self.parameter)


cdef inline void poisson(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating mean
    for c in range(n):
        mean = _exp(s[c])
        value[c] = mean - t[c] * s[c] + (t[c] * _log(t[c]) - t[c] if t[c] > 0 else 0)
        gradient[c] = mean - t[c]


cdef class Poisson(Loss):
    """Half the Poisson deviance with a log link: `exp(s) - t s + t log(t) - t`."""

    log_link = True
    minimum_target = (0.0, True)

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        poisson(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        poisson(scores, targets, n, gradient, value)

    def initial_intercept(self, y, sample_weight):
        # Rows without an event tell that the mean is small, not that it is zero.
        return np.log(np.maximum(np.average(y, axis=0, weights=sample_weight), 0.5 / sample_weight.sum()))


cdef inline void gamma(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating ratio
    for c in range(n):
        ratio = t[c] * _exp(-s[c])
        value[c] = ratio + s[c] - _log(t[c]) - <floating> 1
        gradient[c] = <floating> 1 - ratio


cdef class Gamma(Loss):
    """Half the Gamma deviance with a log link: `t exp(-s) + s - log(t) - 1`."""

    log_link = True
    minimum_target = (0.0, False)

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        gamma(scores, targets, n, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        gamma(scores, targets, n, gradient, value)

    def initial_intercept(self, y, sample_weight):
        # Rows without an event tell that the mean is small, not that it is zero.
        return np.log(np.maximum(np.average(y, axis=0, weights=sample_weight), 0.5 / sample_weight.sum()))


cdef inline floating maximum(const floating* s, Py_ssize_t n) noexcept nogil:
    """The largest of some numbers; in four parts, because each comparison waits for the one before."""
    cdef floating a = s[0], b = s[0], c = s[0], d = s[0]
    cdef Py_ssize_t k
    for k in range(0, n - 3, 4):
        a, b = max(a, s[k]), max(b, s[k + 1])
        c, d = max(c, s[k + 2]), max(d, s[k + 3])
    for k in range(n - n % 4, n):
        a = max(a, s[k])
    return max(max(a, b), max(c, d))


cdef inline floating sum_of(const floating* s, Py_ssize_t n) noexcept nogil:
    """The sum of some numbers; in four parts, because each addition waits for the one before."""
    cdef floating a = 0, b = 0, c = 0, d = 0
    cdef Py_ssize_t k
    for k in range(0, n - 3, 4):
        a += s[k]
        b += s[k + 1]
        c += s[k + 2]
        d += s[k + 3]
    for k in range(n - n % 4, n):
        a += s[k]
    return (a + b) + (c + d)


cdef inline within softmax_of(
    const floating* s, const floating* t, Py_ssize_t n, Py_ssize_t m, floating* gradient, floating* value,
) noexcept nogil:
    """Of n columns, m a model; exponentials are taken of all columns at once, since a model may have few."""
    cdef Py_ssize_t model, k, c
    cdef floating top, own, total, one = 1
    for model in range(n // m):
        k = model * m
        top = maximum(s + k, m)
        own = 0
        for c in range(k, k + m):
            gradient[c] = s[c] - top
            own = gradient[c] if t[c] > 0 else own
            value[c] = 0
        value[k] = -own
    for c in range(n):
        gradient[c] = exp_nonpositive(gradient[c])
    for model in range(n // m):
        k = model * m
        total = sum_of(gradient + k, m)
        value[k] += _log(total)
        for c in range(k, k + m):
            gradient[c] = gradient[c] * (one / total) - (t[c] > 0)
    return 0


cdef cloned softmax(
    const floating* s, const floating* t, Py_ssize_t n, Py_ssize_t m, floating* gradient, floating* value,
) noexcept nogil:
    # Loops over three columns, the fewest there are, are dropped where the compiler knows of it.
    if m == 3:
        softmax_of(s, t, n, 3, gradient, value)
    else:
        softmax_of(s, t, n, m, gradient, value)
    return 0


cdef class Softmax(Loss):
    """Multinomial logistic loss: `log(sum_c exp(s_c)) - s_y`, where `y` is the column whose target is 1."""

    coupled = True
    probability = "softmax"

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        softmax(scores, targets, n, self.n_outputs, gradient, value)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        softmax(scores, targets, n, self.n_outputs, gradient, value)


cdef inline void crammer_singer(
    const floating* s, const floating* t, Py_ssize_t n, floating* gradient, floating* value,
) noexcept nogil:
    cdef Py_ssize_t c, y = 0, rival = -1
    for c in range(n):
        gradient[c] = 0
        value[c] = 0
        if t[c] > 0:
            y = c
        elif rival < 0 or s[c] > s[rival]:
            rival = c
    if rival >= 0 and <floating> 1 + s[rival] - s[y] > 0:
        value[0] = <floating> 1 + s[rival] - s[y]
        gradient[rival] = 1
        gradient[y] = -1


cdef class CrammerSinger(Loss):
    """Multi-class hinge loss (Crammer & Singer, 2001): `max(0, 1 + max_{c != y} s_c - s_y)`."""

    coupled = True
    smooth = False

    cdef void evaluate_f32(
        self, const float* scores, const float* targets, Py_ssize_t n, float* gradient, float* value,
    ) noexcept nogil:
        cdef Py_ssize_t c, k, m = self.n_outputs
        for k in range(n // m):
            c = k * m
            crammer_singer(scores + c, targets + c, m, gradient + c, value + c)

    cdef void evaluate_f64(
        self, const double* scores, const double* targets, Py_ssize_t n, double* gradient, double* value,
    ) noexcept nogil:
        cdef Py_ssize_t c, k, m = self.n_outputs
        for k in range(n // m):
            c = k * m
            crammer_singer(scores + c, targets + c, m, gradient + c, value + c)


# The coupled loss that `multi_class="multinomial"` puts in the place of a pointwise one.
MULTINOMIAL = {LogLoss: Softmax, Hinge: CrammerSinger}

CLASSIFIER_LOSSES = {
    "log_loss": LogLoss,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "modified_huber": ModifiedHuber,
    "perceptron": Perceptron,
    "squared_error": SquaredError,
    "huber": Huber,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
}

REGRESSOR_LOSSES = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "epsilon_insensitive": EpsilonInsensitive,
    "squared_epsilon_insensitive": SquaredEpsilonInsensitive,
    "quantile": Quantile,
    "poisson": Poisson,
    "gamma": Gamma,
}
