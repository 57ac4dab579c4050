"""Four rows of four numbers become four columns.

It is done in registers: what is written number by number, and read as a vector soon after, makes the vector wait.
"""

from cython cimport floating

from sgdkit._kernels.compiler cimport within

cdef extern from *:
    """
    #include <string.h>

    #if defined(__GNUC__) || defined(__clang__)
    #if defined(__clang__)
    #define SGDKIT_SHUFFLE(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    typedef int sgdkit_mask_floats __attribute__((vector_size(16)));
    typedef long long sgdkit_mask_doubles __attribute__((vector_size(32)));
    #define SGDKIT_SHUFFLE(mask, a, b, ...) __builtin_shuffle(a, b, (mask) {__VA_ARGS__})
    #endif
    #define SGDKIT_FLOATS(a, b, ...) SGDKIT_SHUFFLE(sgdkit_mask_floats, a, b, __VA_ARGS__)
    #define SGDKIT_DOUBLES(a, b, ...) SGDKIT_SHUFFLE(sgdkit_mask_doubles, a, b, __VA_ARGS__)

    /* From rows that begin at a, b, c, d to rows that begin at p, q, r, s, which are written from the last to the
       first. */
    static inline SGDKIT_ALWAYS void sgdkit_transpose_float(
        const float *a, const float *b, const float *c, const float *d, float *p, float *q, float *r, float *s
    ) {
        sgdkit_floats4 first = *(const sgdkit_floats4 *) a, second = *(const sgdkit_floats4 *) b;
        sgdkit_floats4 third = *(const sgdkit_floats4 *) c, fourth = *(const sgdkit_floats4 *) d;
        sgdkit_floats4 ab_low = SGDKIT_FLOATS(first, second, 0, 4, 1, 5);
        sgdkit_floats4 ab_high = SGDKIT_FLOATS(first, second, 2, 6, 3, 7);
        sgdkit_floats4 cd_low = SGDKIT_FLOATS(third, fourth, 0, 4, 1, 5);
        sgdkit_floats4 cd_high = SGDKIT_FLOATS(third, fourth, 2, 6, 3, 7);
        *(sgdkit_floats4 *) s = SGDKIT_FLOATS(ab_high, cd_high, 2, 3, 6, 7);
        *(sgdkit_floats4 *) r = SGDKIT_FLOATS(ab_high, cd_high, 0, 1, 4, 5);
        *(sgdkit_floats4 *) q = SGDKIT_FLOATS(ab_low, cd_low, 2, 3, 6, 7);
        *(sgdkit_floats4 *) p = SGDKIT_FLOATS(ab_low, cd_low, 0, 1, 4, 5);
    }
    static inline SGDKIT_ALWAYS void sgdkit_transpose_double(
        const double *a, const double *b, const double *c, const double *d, double *p, double *q, double *r, double *s
    ) {
        sgdkit_doubles4 first = *(const sgdkit_doubles4 *) a, second = *(const sgdkit_doubles4 *) b;
        sgdkit_doubles4 third = *(const sgdkit_doubles4 *) c, fourth = *(const sgdkit_doubles4 *) d;
        sgdkit_doubles4 ab_even = SGDKIT_DOUBLES(first, second, 0, 4, 2, 6);
        sgdkit_doubles4 ab_odd = SGDKIT_DOUBLES(first, second, 1, 5, 3, 7);
        sgdkit_doubles4 cd_even = SGDKIT_DOUBLES(third, fourth, 0, 4, 2, 6);
        sgdkit_doubles4 cd_odd = SGDKIT_DOUBLES(third, fourth, 1, 5, 3, 7);
        *(sgdkit_doubles4 *) s = SGDKIT_DOUBLES(ab_odd, cd_odd, 2, 3, 6, 7);
        *(sgdkit_doubles4 *) r = SGDKIT_DOUBLES(ab_even, cd_even, 2, 3, 6, 7);
        *(sgdkit_doubles4 *) q = SGDKIT_DOUBLES(ab_odd, cd_odd, 0, 1, 4, 5);
        *(sgdkit_doubles4 *) p = SGDKIT_DOUBLES(ab_even, cd_even, 0, 1, 4, 5);
    }
    #else
    static inline void sgdkit_transpose_bytes(const char *const *rows, char *const *columns, size_t size) {
        char copy[4][4][sizeof(double)];
        for (int k = 0; k < 4; k++)
            for (int j = 0; j < 4; j++) memcpy(copy[j][k], rows[k] + j * size, size);
        for (int j = 3; j >= 0; j--)
            for (int k = 0; k < 4; k++) memcpy(columns[j] + k * size, copy[j][k], size);
    }
    static inline void sgdkit_transpose_float(
        const float *a, const float *b, const float *c, const float *d, float *p, float *q, float *r, float *s
    ) {
        const char *const rows[] = {(const char *) a, (const char *) b, (const char *) c, (const char *) d};
        char *const columns[] = {(char *) p, (char *) q, (char *) r, (char *) s};
        sgdkit_transpose_bytes(rows, columns, sizeof(float));
    }
    static inline void sgdkit_transpose_double(
        const double *a, const double *b, const double *c, const double *d, double *p, double *q, double *r, double *s
    ) {
        const char *const rows[] = {(const char *) a, (const char *) b, (const char *) c, (const char *) d};
        char *const columns[] = {(char *) p, (char *) q, (char *) r, (char *) s};
        sgdkit_transpose_bytes(rows, columns, sizeof(double));
    }
    #endif
    """
    void sgdkit_transpose_float(
        const float* a, const float* b, const float* c, const float* d, float* p, float* q, float* r, float* s
    ) noexcept nogil
    void sgdkit_transpose_double(
        const double* a, const double* b, const double* c, const double* d,
        double* p, double* q, double* r, double* s
    ) noexcept nogil


cdef inline within transpose(
    const floating* a, const floating* b, const floating* c, const floating* d,
    floating* p, floating* q, floating* r, floating* s,
) noexcept nogil:
    if floating is float:
        sgdkit_transpose_float(a, b, c, d, p, q, r, s)
    else:
        sgdkit_transpose_double(a, b, c, d, p, q, r, s)
