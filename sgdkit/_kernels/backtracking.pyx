# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The rates of full-gradient steps: what is done for each column, where NumPy would take a call for each operation.

A rate is low enough if the smooth part of the objective lies below its quadratic model after the step [1]_. The same
comparison tells the largest rate of which that would have been true, had the curvature along the step been the same all
the way.

References
----------
.. [1] A. Beck & M. Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems",
   SIAM J. Imaging Sciences, 2009.
"""

import numpy as np

from cython cimport floating
from libc.float cimport DBL_EPSILON, DBL_MAX, DBL_MIN, FLT_EPSILON, FLT_MAX, FLT_MIN
from libc.math cimport fabs, floor, fmax, fmin, frexp, isfinite, ldexp, sqrt


# Of the largest rate, so much is aimed at, rounded down.
cdef double OF_THE_LARGEST = 0.95
# A rate falls to no less than this share at a time; the first one rises to no more.
cdef double FALL = 0.2, RISE = 1e3, LARGEST_FIRST_RATE = 1e12
# Of the losses, what may be rounding error, in units of the last place.
cdef double NOISE = 10


cdef inline double rounded(double rate) noexcept nogil:
    """The rate rounded down to three bits, so that errors of the losses whose difference it is from do not reach it."""
    cdef int exponent
    cdef double mantissa = frexp(rate, &exponent)
    return ldexp(floor(8 * mantissa) / 8, exponent)


cdef class Tries:
    """The rates of a step, which is tried until they are low enough.

    Parameters
    ----------
    rates : ndarray of shape (n_columns,)
        To be tried first; columns that share a loss share their rate. They are changed in place.
    rising : bool
        Whether larger rates are looked for as well, until one is too large.
    n_rows, n_outputs : int
        The numbers of rows, and of the columns that share a loss.

    Attributes
    ----------
    aims : ndarray of shape (n_columns,)
        The rates that would have been good for the last try, and are no lower than those it had.
    """

    cdef readonly object rates, aims
    cdef object rising
    cdef Py_ssize_t n_rows, n_outputs

    def __init__(self, rates, rising, n_rows, n_outputs):
        self.rates, self.aims = rates, np.empty_like(rates)
        self.rising = np.full(len(rates), rising, np.uint8)
        self.n_rows, self.n_outputs = n_rows, n_outputs

    def adjust(
        self, const floating[:, :] start, const floating[:, :] end, const floating[:, :] gradient,
        const floating[:, :] metric, const floating[:, :] ridge, const double[::1] losses,
        const double[::1] end_losses,
    ):
        """Change the rates that have to be tried again, and return whether there is one.

        Parameters
        ----------
        start, end : ndarray of shape (n_features + 1, n_columns)
            Weights before and after the step.
        gradient : ndarray of shape (n_features + 1, n_columns)
            Of the smooth part of the objective, at the start.
        metric, ridge : ndarray of shape (n_features + 1, n_columns)
            In which rates are measured, and the curvature of the smooth part of the penalty.
        losses, end_losses : ndarray of float64 of shape (n_columns,)
            Their sums over the rows, at the start and at the end.
        """
        cdef bint single = floating is float
        cdef double epsilon = FLT_EPSILON if single else DBL_EPSILON
        cdef double smallest = 1e8 * (FLT_MIN if single else DBL_MIN), largest = sqrt(FLT_MAX if single else DBL_MAX)
        cdef floating[::1] rates = self.rates, aims = self.aims
        cdef unsigned char[::1] rising = self.rising
        cdef double move, square, excess, noise, rate, aim
        cdef Py_ssize_t model, first, c, j
        cdef bint again, any_again = False
        with nogil:
            for model in range(rates.shape[0] // self.n_outputs):
                first = model * self.n_outputs
                square = excess = noise = 0
                for c in range(first, first + self.n_outputs):
                    excess += (end_losses[c] - losses[c]) / self.n_rows
                    noise += NOISE * epsilon * fabs(losses[c]) / self.n_rows
                    for j in range(start.shape[0]):
                        move = <double> end[j, c] - start[j, c]
                        square += metric[j, c] * move * move / 2
                        excess -= move * (gradient[j, c] - ridge[j, c] * (start[j, c] + move / 2))
                rate = rates[first]
                if excess <= noise:
                    # As where the gradient is 0: any rate will do.
                    aim = largest
                elif isfinite(excess) and isfinite(square):
                    aim = fmin(rounded(OF_THE_LARGEST * square / excess), largest)
                else:
                    # The step has led to an overflow.
                    aim = 0
                if excess <= square / rate + noise:
                    again = rising[first] and rate < LARGEST_FIRST_RATE and aim > 2 * rate
                    aim = fmin(aim, RISE * rate) if again else fmax(aim, rate)
                else:
                    again, rising[first], aim = rate >= smallest, 0, fmax(fmin(aim, OF_THE_LARGEST * rate), FALL * rate)
                any_again |= again
                for c in range(first, first + self.n_outputs):
                    aims[c] = <floating> aim
                    if again:
                        rates[c] = <floating> aim
        return any_again
