"""exp(x) for x <= 0 and log(1 + x) for 0 <= x <= 1, free of branches and calls: loops over columns are vectorised.

x = n ln(2) + r with |r| <= ln(2)/2; exp(r) = 1 + r + r^2 p(r) with a polynomial p (in single precision Cephes's, S.
Moshier, https://www.netlib.org/cephes; in double, of degree 9, through Chebyshev's points), by Estrin's scheme, since a
row waits for it; and 2^n goes straight into the exponent's bits. Below the smallest normal number it stays there. nan
gives nan.

log(1 + x) = 2 artanh(u / (2 + u)) for u = x, or ln(2) plus that for u = (x - 1) / 2 where x is above sqrt(2) - 1; the
series of artanh then needs few terms.
"""

cimport cython
from cython cimport floating
from libc.math cimport copysign, copysignf

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline float sgdkit_exp_f32(float x) {
        const float magic = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the lowest bits */
        float shifted, n, r, r2, low, high, power;
        uint32_t bits;
        x = x < -87.3f ? -87.3f : x;
        shifted = x * 1.44269504088896341f + magic;
        n = shifted - magic;
        r = x - n * 0.693359375f + n * 2.12194440e-4f;
        r2 = r * r;
        low = (1.0f + r) + r2 * (5.0000001201e-1f + 1.6666665459e-1f * r);
        high = (4.1665795894e-2f + 8.3334519073e-3f * r) + r2 * (1.3981999507e-3f + 1.9875691500e-4f * r);
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 23) + ((uint32_t) 127 << 23);
        memcpy(&power, &bits, sizeof power);
        return (low + r2 * r2 * high) * power;
    }

    static inline double sgdkit_exp_f64(double x) {
        const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
        double shifted, n, r, r2, r4, low, high, power;
        uint64_t bits;
        x = x < -708.0 ? -708.0 : x;
        shifted = x * 1.4426950408889634073599 + magic;
        n = shifted - magic;
        r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6;
        r2 = r * r;
        r4 = r2 * r2;
        low = (5.0000000000000010235e-1 + 1.6666666666666667559e-1 * r)
            + r2 * (4.166666666662410995e-2 + 8.333333333329965126e-3 * r);
        high = (1.3888888917219423845e-3 + 1.9841269863290831316e-4 * r)
            + r2 * (2.4801521289398902063e-5 + 2.7557268233194018974e-6 * r)
            + r4 * (2.7620090949307819997e-7 + 2.5100460410171186167e-8 * r);
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 52) + ((uint64_t) 1023 << 52);
        memcpy(&power, &bits, sizeof power);
        return (((1.0 + r) + r2 * low) + (r2 * r4) * high) * power;
    }
    """
    float sgdkit_exp_f32(float x) noexcept nogil
    double sgdkit_exp_f64(double x) noexcept nogil


cdef inline floating exp_nonpositive(floating x) noexcept nogil:
    if floating is float:
        return sgdkit_exp_f32(x)
    else:
        return sgdkit_exp_f64(x)


cdef inline floating step_at_zero(floating x) noexcept nogil:
    """1 from 0 on, 0 below. A comparison may become a branch, which guesses, and often wrong."""
    if floating is float:
        return <float> 0.5 + copysignf(0.5, x)
    else:
        return 0.5 + copysign(0.5, x)


@cython.cdivision(True)
cdef inline floating log1p_unit(floating x) noexcept nogil:
    cdef floating above = step_at_zero(x - <floating> 0.4142135623730951)
    cdef floating one = 1, two = 2
    cdef floating u = above * (x - one) / two + (one - above) * x
    cdef floating z = u / (two + u), s = z * z, p
    if floating is float:
        p = <floating> (1.0 / 9.0)
    else:
        p = <floating> (1.0 / 21.0)
        p = p * s + <floating> (1.0 / 19.0)
        p = p * s + <floating> (1.0 / 17.0)
        p = p * s + <floating> (1.0 / 15.0)
        p = p * s + <floating> (1.0 / 13.0)
        p = p * s + <floating> (1.0 / 11.0)
        p = p * s + <floating> (1.0 / 9.0)
    p = p * s + <floating> (1.0 / 7.0)
    p = p * s + <floating> (1.0 / 5.0)
    p = p * s + <floating> (1.0 / 3.0)
    return two * z + two * z * s * p + above * <floating> 0.6931471805599453
