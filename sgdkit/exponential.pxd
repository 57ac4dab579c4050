"""exp(x) for x <= 0 and log(1 + x) for 0 <= x <= 1, free of branches and calls: loops over columns are vectorised.

x = n ln(2) + r with |r| <= ln(2)/2; exp(r) is Cephes's approximation (S. Moshier, https://www.netlib.org/cephes:
a polynomial in single precision, by Estrin's scheme, a rational function in double), and 2^n goes straight into the
exponent's bits. Below the smallest normal number it stays there. nan gives nan.

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
        float shifted, n, r, square, p, power;
        uint32_t bits;
        x = x < -87.3f ? -87.3f : x;
        shifted = x * 1.44269504088896341f + magic;
        n = shifted - magic;
        r = x - n * 0.693359375f + n * 2.12194440e-4f;
        square = r * r;
        p = (1.9875691500e-4f * r + 1.3981999507e-3f) * square + (8.3334519073e-3f * r + 4.1665795894e-2f);
        p = p * square + (1.6666665459e-1f * r + 5.0000001201e-1f);
        p = p * square + (r + 1.0f);
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 23) + ((uint32_t) 127 << 23);
        memcpy(&power, &bits, sizeof power);
        return p * power;
    }

    static inline double sgdkit_exp_f64(double x) {
        const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
        double shifted, n, r, square, p, q, power;
        uint64_t bits;
        x = x < -708.0 ? -708.0 : x;
        shifted = x * 1.4426950408889634073599 + magic;
        n = shifted - magic;
        r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6;
        square = r * r;
        p = ((1.26177193074810590878e-4 * square + 3.02994407707441961300e-2) * square + 1.0) * r;
        q = 3.00198505138664455042e-6 * square + 2.52448340349684104192e-3;
        q = (q * square + 2.27265548208155028766e-1) * square + 2.0;
        memcpy(&bits, &shifted, sizeof bits);
        bits = (bits << 52) + ((uint64_t) 1023 << 52);
        memcpy(&power, &bits, sizeof power);
        return (1.0 + 2.0 * p / (q - p)) * power;
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
