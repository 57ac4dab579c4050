"""What the C compiler is told that Cython has no word for; nothing, where the compiler has none either."""

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #pragma GCC diagnostic ignored "-Wattributes"
    /* The empty statement is an effect; without one, GCC drops calls of functions that do nothing but prefetch. */
    #define SGDKIT_PREFETCH(address) do { __builtin_prefetch(address, 0, 3); __asm__ volatile (""); } while (0)
    /* Keeps a loop over k from being vectorised. */
    #define SGDKIT_ONE_BY_ONE(k) __asm__ ("" : "+r" (k))
    #define SGDKIT_POPCOUNT(bits) __builtin_popcountll(bits)
    #define SGDKIT_ALWAYS __attribute__((always_inline))
    #define SGDKIT_WITHIN __attribute__((always_inline)) void
    #define SGDKIT_APART __attribute__((noinline)) void
    #define SGDKIT_RESTRICT __restrict__
    /* Several numbers that are worked on at once; where the compiler has no such types, a single one. */
    typedef float sgdkit_floats4 __attribute__((vector_size(16), aligned(4), may_alias));
    typedef float sgdkit_floats8 __attribute__((vector_size(32), aligned(4), may_alias));
    typedef double sgdkit_doubles2 __attribute__((vector_size(16), aligned(8), may_alias));
    typedef double sgdkit_doubles4 __attribute__((vector_size(32), aligned(8), may_alias));
    #else
    typedef float sgdkit_floats4, sgdkit_floats8;
    typedef double sgdkit_doubles2, sgdkit_doubles4;
    #define SGDKIT_PREFETCH(address)
    #define SGDKIT_ONE_BY_ONE(k)
    #define SGDKIT_POPCOUNT(bits) sgdkit_popcount(bits)
    static inline int sgdkit_popcount(unsigned long long bits) {
        int n = 0;
        for (; bits; bits &= bits - 1)
            n++;
        return n;
    }
    #define SGDKIT_ALWAYS
    #define SGDKIT_WITHIN void
    #define SGDKIT_APART void
    #define SGDKIT_RESTRICT
    #endif
    /* Where the vector c begins, of `n_vectors` that `m` numbers are taken as. The last one ends where the numbers do:
       what it shares with the one before is worked on twice, which is less work than a few numbers one by one. */
    static inline SGDKIT_ALWAYS Py_ssize_t sgdkit_place(
        Py_ssize_t c, Py_ssize_t n_vectors, Py_ssize_t m, Py_ssize_t width
    ) {
        return c < n_vectors - 1 ? c * width : m - width;
    }
    typedef sgdkit_floats4 sgdkit_small_float;
    typedef sgdkit_floats8 sgdkit_large_float;
    typedef sgdkit_doubles2 sgdkit_small_double;
    typedef sgdkit_doubles4 sgdkit_large_double;
    /* A name that is made of two, each of which may be a macro. */
    #define SGDKIT_JOIN_NOW(a, b) a##b
    #define SGDKIT_JOIN(a, b) SGDKIT_JOIN_NOW(a, b)
    typedef float *SGDKIT_RESTRICT sgdkit_sole_floats;
    typedef double *SGDKIT_RESTRICT sgdkit_sole_doubles;
    #if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
    #define SGDKIT_CLONED __attribute__((noinline, target_clones("avx2", "default"))) void
    #else
    #define SGDKIT_CLONED SGDKIT_APART
    #endif
    """
    void SGDKIT_PREFETCH(const void* address) noexcept nogil
    void SGDKIT_ONE_BY_ONE(Py_ssize_t k) noexcept nogil
    # How many bits are set.
    int SGDKIT_POPCOUNT(unsigned long long bits) noexcept nogil
    # Three attributes of functions. Cython has no place for these but the return type, which it writes into C as it is,
    # so they go for types: functions of these types return 0.
    # Inlined wherever it is called: an argument that is a constant there is one inside, and loops over it are dropped.
    ctypedef void within "SGDKIT_WITHIN"
    # A function of its own: inlined into a loop, GCC no longer sees that its statements do the same four times.
    ctypedef void apart "SGDKIT_APART"
    # Arguments of these types point to numbers to which no other argument does, so the compiler need not look whether
    # what is read and what is written overlap.
    ctypedef float* sole_floats "sgdkit_sole_floats"
    ctypedef double* sole_doubles "sgdkit_sole_doubles"
    # Compiled for processors with AVX2 as well, and chosen when the module is loaded. The results are the same to the
    # last bit, since nothing is reordered, and no multiplication fused with an addition.
    ctypedef void cloned "SGDKIT_CLONED"


cdef enum:
    # Bytes that are fetched from memory together.
    LINE = 64


cdef inline void fetch_lines(const char* address, Py_ssize_t n_bytes) noexcept nogil:
    """Ask for so many bytes. How often it asks does not depend on where lines begin, so that it can be foreseen."""
    cdef const char* end = address + n_bytes
    SGDKIT_PREFETCH(end - 1)
    while address < end:
        SGDKIT_PREFETCH(address)
        address += LINE


ctypedef fused sole_numbers:
    sole_floats
    sole_doubles
