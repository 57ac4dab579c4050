# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Every loss: its value and its derivative with respect to the score `s = x . w + b`, given the target `t`.

The target of a classification loss is -1 or 1 in each column. A loss is pointwise, one column at a time, unless
`coupled` says that the `n_outputs` columns of a model share it, as those of softmax do.

In formulas, Cython takes the number 1 for a double, which costs float32 its speed; hence `<floating> 1`.

To add a loss: write its formula as one function over the columns of a row, a class whose `__cinit__` names it, and its
entry in `CLASSIFIER_LOSSES` or `REGRESSOR_LOSSES`; then its NumPy twin in `tests/reference.py`. A parameter that is new
(`parameter_name`) is one of the estimator's too.
"""

import numpy as np

from cython cimport floating
from libc.math cimport exp, expf, expm1, fabs, fabsf, log, logf, pow

from sgdkit._kernels.compiler cimport cloned, within
from sgdkit._kernels.exponential cimport exp_nonpositive, log1p_unit, step_at_zero
from sgdkit._kernels.loss cimport Loss, Setting


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


cdef cloned log_loss(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z, e, right, one = 1
    for c in range(n):
        z = t[c] * s[c]
        right = -t[c] * step_at_zero(z)
        # The steps of a row wait for this; that t is -1 or 1 saves waiting for z.
        e = exp_nonpositive(-_abs(s[c]))
        value[c] = <floating> 0.5 * (_abs(z) - z) + log1p_unit(e)
        derivative[c] = (right * e + (-t[c] - right)) / (one + e)


def of_probabilities(loss, scores, targets):
    """``p (1 - p)``, where the size of a derivative is a probability p, or 1 - p."""
    derivative = np.empty_like(scores)
    loss.total(scores, targets, None, derivative)
    size = np.abs(derivative)
    return size * (1 - size)


cdef class LogLoss(Loss):
    """Logistic loss of one column: `log(1 + exp(-t s))`."""

    probability = "logistic"
    stiffness = 0.25
    score_size = 1.2

    def __cinit__(self):
        self.f32, self.f64 = log_loss, log_loss

    def second_derivatives(self, scores, targets, sample_weight=None):
        """``p (1 - p)`` with the probability p of the class."""
        return of_probabilities(self, scores, targets)


cdef void hinge(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = <floating> 1 - t[c] * s[c]
        value[c] = _positive(z)
        derivative[c] = -t[c] * (z > 0)


cdef class Hinge(Loss):
    """Hinge loss: `max(0, 1 - t s)`."""

    smooth = False

    def __cinit__(self):
        self.f32, self.f64 = hinge, hinge


cdef void squared_hinge(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = _positive(<floating> 1 - t[c] * s[c])
        value[c] = z * z
        derivative[c] = <floating> -2 * t[c] * z


cdef class SquaredHinge(Loss):
    """Squared hinge loss: `max(0, 1 - t s)^2`."""

    stiffness = 4.0

    def __cinit__(self):
        self.f32, self.f64 = squared_hinge, squared_hinge


cdef void modified_huber(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = t[c] * s[c]
        if z < -1:
            value[c] = <floating> -4 * z
            derivative[c] = <floating> -4 * t[c]
        else:
            z = _positive(<floating> 1 - z)
            value[c] = z * z
            derivative[c] = <floating> -2 * t[c] * z


cdef class ModifiedHuber(Loss):
    """Modified Huber loss (Zhang, 2004): `max(0, 1 - t s)^2`, but `-4 t s` below `t s = -1`."""

    probability = "modified_huber"
    stiffness = 4.0

    def __cinit__(self):
        self.f32, self.f64 = modified_huber, modified_huber


cdef void perceptron(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating z
    for c in range(n):
        z = t[c] * s[c]
        value[c] = _positive(-z)
        derivative[c] = -t[c] * (z <= 0)


cdef class Perceptron(Loss):
    """Perceptron loss: `max(0, -t s)`; at a score of 0 its derivative is `-t`, or nothing would be learnt."""

    smooth = False
    homogeneous = True

    def __cinit__(self):
        self.f32, self.f64 = perceptron, perceptron


cdef void squared_error(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r
    for c in range(n):
        r = s[c] - t[c]
        value[c] = <floating> 0.5 * r * r
        derivative[c] = r


cdef class SquaredError(Loss):
    """Squared error: `(s - t)^2 / 2`."""

    quadratic = True
    stiffness = 2.0

    def __cinit__(self):
        self.f32, self.f64 = squared_error, squared_error


cdef void absolute_error(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r
    for c in range(n):
        r = s[c] - t[c]
        value[c] = _abs(r)
        derivative[c] = _sign(r)


cdef class AbsoluteError(Loss):
    """Absolute error: `|s - t|`."""

    smooth = False
    degree = 1

    def __cinit__(self):
        self.f32, self.f64 = absolute_error, absolute_error

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef void huber(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, epsilon
    for c in range(n):
        epsilon = <floating> setting.parameters[c * setting.stride]
        r = s[c] - t[c]
        if _abs(r) <= epsilon:
            value[c] = <floating> 0.5 * r * r
            derivative[c] = r
        else:
            value[c] = epsilon * (_abs(r) - <floating> 0.5 * epsilon)
            derivative[c] = epsilon * _sign(r)


cdef class Huber(Loss):
    """Huber's loss: `r^2 / 2` where `|r| <= epsilon`, else `epsilon |r| - epsilon^2 / 2`, with `r = s - t`."""

    parameter_name = "epsilon"

    def __cinit__(self):
        self.f32, self.f64 = huber, huber

    def pull(self, distance, mean):
        return np.minimum(distance, self.parameter)

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef void epsilon_insensitive(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, epsilon
    for c in range(n):
        epsilon = <floating> setting.parameters[c * setting.stride]
        r = s[c] - t[c]
        value[c] = _positive(_abs(r) - epsilon)
        derivative[c] = _sign(r) * (_abs(r) > epsilon)


cdef class EpsilonInsensitive(Loss):
    """Epsilon-insensitive loss: `max(0, |s - t| - epsilon)`."""

    smooth = False
    degree = 1
    parameter_name = "epsilon"

    def __cinit__(self):
        self.f32, self.f64 = epsilon_insensitive, epsilon_insensitive

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, 0.5)


cdef void squared_epsilon_insensitive(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, z, epsilon
    for c in range(n):
        epsilon = <floating> setting.parameters[c * setting.stride]
        r = s[c] - t[c]
        z = _positive(_abs(r) - epsilon)
        value[c] = z * z
        derivative[c] = <floating> 2 * _sign(r) * z


cdef class SquaredEpsilonInsensitive(Loss):
    """Squared epsilon-insensitive loss: `max(0, |s - t| - epsilon)^2`."""

    parameter_name = "epsilon"
    stiffness = 2.0

    def __cinit__(self):
        self.f32, self.f64 = squared_epsilon_insensitive, squared_epsilon_insensitive


cdef void pinball(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating r, quantile
    for c in range(n):
        quantile = <floating> setting.parameters[c * setting.stride]
        r = s[c] - t[c]
        value[c] = (<floating> 1 - quantile) * _positive(r) + quantile * _positive(-r)
        derivative[c] = (<floating> 1 - quantile) * (r > 0) - quantile * (r < 0)


cdef class Quantile(Loss):
    """Pinball loss: `q max(0, t - s) + (1 - q) max(0, s - t)`, minimal at the quantile `q`."""

    smooth = False
    degree = 1
    parameter_name = "quantile"

    def __cinit__(self):
        self.f32, self.f64 = pinball, pinball

    def initial_intercept(self, y, sample_weight):
        return weighted_quantile(y, sample_weight, self.parameter)


cdef class Deviance(Loss):
    """Half the deviance of a distribution of numbers that are not negative, with the prediction `exp(s)`."""

    log_link = True
    # Whether 0 is a number of the distribution.
    of_zero = True
    # The variance is the mean to this power.
    power = 1

    def pull(self, distance, mean):
        return mean ** (2 - self.power)

    @property
    def minimum_target(self):
        return 0.0, self.of_zero


cdef void poisson(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating mean
    for c in range(n):
        mean = _exp(s[c])
        value[c] = mean - t[c] * s[c] + (t[c] * _log(t[c]) - t[c] if t[c] > 0 else 0)
        derivative[c] = mean - t[c]


cdef class Poisson(Deviance):
    """Half the Poisson deviance with a log link: `exp(s) - t s + t log(t) - t`."""

    def __cinit__(self):
        self.f32, self.f64 = poisson, poisson


cdef void gamma(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef floating ratio
    for c in range(n):
        ratio = t[c] * _exp(-s[c])
        value[c] = ratio + s[c] - _log(t[c]) - <floating> 1
        derivative[c] = <floating> 1 - ratio


cdef class Gamma(Deviance):
    """Half the Gamma deviance with a log link: `t exp(-s) + s - log(t) - 1`."""

    of_zero = False
    power = 2

    def __cinit__(self):
        self.f32, self.f64 = gamma, gamma


cdef inline double times_expm1(double size, double k, double x) noexcept nogil:
    """`size (exp(k x) - 1) / k`, or its limit `size x`; `size` may be tiny where the exponential is huge."""
    return size * x if k == 0 else size * expm1(k * x) / k if k * x < 1 else (exp(k * x + log(size)) - size) / k


cdef void tweedie(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t c
    cdef double power, part, size, distance
    for c in range(n):
        power = setting.parameters[c * setting.stride]
        part = exp((2 - power) * s[c])
        if t[c] > 0:
            # The formula of the class, without a difference of numbers that are infinite where the power is 1 or 2.
            size, distance = pow(t[c], 2 - power), s[c] - log(t[c])
            value[c] = <floating> (
                times_expm1(size, 2 - power, distance) - times_expm1(size, 1 - power, distance)
            )
            derivative[c] = <floating> (part - t[c] * exp((1 - power) * s[c]))
        else:
            value[c] = <floating> (part / (2 - power))
            derivative[c] = <floating> part


cdef class Tweedie(Deviance):
    """Half the Tweedie deviance with a log link (Jorgensen, 1987), of a variance that is the mean to the `power`.

    It is `t^(2-p) / ((1-p) (2-p)) - t exp((1-p) s) / (1-p) + exp((2-p) s) / (2-p)` for a power p between 1 and 2, of
    distributions that have a mass at 0 and a density above it; in the limits Poisson's (p = 1) and Gamma's (p = 2).
    """

    parameter_name = "power"

    def __cinit__(self):
        self.f32, self.f64 = tweedie, tweedie

    @property
    def power(self):
        return self.parameter

    @property
    def of_zero(self):
        return bool(np.max(self.parameter) < 2)


cdef inline floating maximum(const floating* s, Py_ssize_t n) noexcept nogil:
    """The largest of `n` numbers; in four parts, because each comparison waits for the one before."""
    cdef floating a = s[0], b = s[0], c = s[0], d = s[0]
    cdef Py_ssize_t k
    for k in range(0, n - 3, 4):
        a, b = max(a, s[k]), max(b, s[k + 1])
        c, d = max(c, s[k + 2]), max(d, s[k + 3])
    for k in range(n - n % 4, n):
        a = max(a, s[k])
    return max(max(a, b), max(c, d))


cdef inline floating sum_of(const floating* s, Py_ssize_t n) noexcept nogil:
    """The sum of `n` numbers; in four parts, because each addition waits for the one before."""
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
    const floating* s, const floating* t, Py_ssize_t n, Py_ssize_t m, floating* derivative, floating* value,
) noexcept nogil:
    """Of `n` columns, `m` a model. Exponentials are taken of all columns at once, since a model may have few."""
    cdef Py_ssize_t model, k, c
    cdef floating top, score, total, one = 1
    for model in range(n // m):
        k = model * m
        top = maximum(s + k, m)
        score = 0
        for c in range(k, k + m):
            derivative[c] = s[c] - top
            score = derivative[c] if t[c] > 0 else score
            value[c] = 0
        value[k] = -score
    for c in range(n):
        derivative[c] = exp_nonpositive(derivative[c])
    for model in range(n // m):
        k = model * m
        total = sum_of(derivative + k, m)
        value[k] += _log(total)
        for c in range(k, k + m):
            derivative[c] = derivative[c] * (one / total) - (t[c] > 0)


cdef cloned softmax(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    # Loops over three columns, the fewest there are, are dropped where the compiler knows of it.
    if setting.n_outputs == 3:
        softmax_of(s, t, n, 3, derivative, value)
    else:
        softmax_of(s, t, n, setting.n_outputs, derivative, value)


cdef class Softmax(Loss):
    """Multinomial logistic loss: `log(sum_c exp(s_c)) - s_y`, where `y` is the column whose target is 1."""

    coupled = True
    probability = "softmax"
    stiffness = 0.5
    score_size = 1.2

    def __cinit__(self):
        self.f32, self.f64 = softmax, softmax

    def second_derivatives(self, scores, targets, sample_weight=None):
        """``p (1 - p)`` with the probability p of each class."""
        return of_probabilities(self, scores, targets)

    def hessians(self, scores, targets):
        """``diag(p) - p p'`` with the probabilities p of the classes: (n_rows, n_models, n_outputs, n_outputs)."""
        p = np.empty_like(scores)
        self.total(scores, targets, None, p)
        p = (p + (targets.table() > 0)).reshape(len(scores), -1, self.n_outputs)
        return p[..., np.newaxis] * (np.eye(self.n_outputs) - p[:, :, np.newaxis])


cdef inline void crammer_singer_of(
    const floating* s, const floating* t, Py_ssize_t m, floating* derivative, floating* value,
) noexcept nogil:
    """Of the columns of a single model."""
    cdef Py_ssize_t c, y = 0, rival = -1
    for c in range(m):
        derivative[c] = 0
        value[c] = 0
        if t[c] > 0:
            y = c
        elif rival < 0 or s[c] > s[rival]:
            rival = c
    if rival >= 0 and <floating> 1 + s[rival] - s[y] > 0:
        value[0] = <floating> 1 + s[rival] - s[y]
        derivative[rival] = 1
        derivative[y] = -1


cdef void crammer_singer(
    const floating* s, const floating* t, Py_ssize_t n, floating* derivative, floating* value, const Setting* setting,
) noexcept nogil:
    cdef Py_ssize_t model, k, m = setting.n_outputs
    for model in range(n // m):
        k = model * m
        crammer_singer_of(s + k, t + k, m, derivative + k, value + k)


cdef class CrammerSinger(Loss):
    """Multi-class hinge loss (Crammer & Singer, 2001): `max(0, 1 + max_{c != y} s_c - s_y)`."""

    coupled = True
    smooth = False

    def __cinit__(self):
        self.f32, self.f64 = crammer_singer, crammer_singer


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
    "tweedie": Tweedie,
}
