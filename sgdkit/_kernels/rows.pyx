# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""One view of a row, whatever the matrix: dense or CSR, float32 or float64, 32- or 64-bit indices.

Invariant: what a row shows is its non-zeros, each once, in the order of their indices. A zero that is stored is
absent, and so is the zero of a dense matrix; this is what makes dense and sparse input the same input.
"""

import numpy as np
from scipy import sparse

from libc.stdint cimport uint32_t, uint64_t

from sgdkit._kernels.compiler cimport cloned
from sgdkit._kernels.scores cimport index_t


ctypedef fused bits_t:
    uint32_t
    uint64_t


# Values that are looked at in one go.
cdef enum:
    STRETCH = 4096


NOT_VALID = "X is not a valid CSR matrix: its indptr or indices point outside of it."


class Irregular(Exception):
    """A pass has come upon a row that is not canonical, or not valid at all; `Rows.check` tells, or mends it."""


cdef class Rows:
    """The rows of `X`, which is not copied if it is C-contiguous, or CSR in canonical format without stored zeros.

    Parameters
    ----------
    X : ndarray or CSR matrix or array of shape (n_rows, n_features)
        Of dtype float32 or float64. A sparse one that holds what is not finite is an error.
    check : bool, default=True
        Whether to look at the indices and values of a sparse `X` now. Else the first pass over all rows does it on its
        way, which saves a pass.
    """

    def __init__(self, X, *, check=True):
        self.n_rows, self.n_features = X.shape
        if self.n_features >= 2**31 - 1:
            raise ValueError(
                f"X has {self.n_features} features, and at most {2**31 - 2} are supported. "
                "Hash them into fewer with sklearn.feature_extraction.FeatureHasher."
            )
        self.dtype = X.dtype
        self.single = X.dtype == np.float32
        self.dense = not sparse.issparse(X)
        if self.dense:
            self.checked = True
            self._X = np.ascontiguousarray(X)
            self.longest = self.n_features
            self.full = without_zeros(self._X)
            self._owners = (self._X, np.arange(self.n_features, dtype=np.int32))
            self.indices, self.values = address(self._owners[1]), address(self._owners[0])
        else:
            self._hold(shared_csr(X))
            if check or self.wide or not self._within():
                self.check()

    def _hold(self, X):
        self._X, self._owners = X, (X.data, X.indices, X.indptr)
        self.wide = X.indices.dtype.itemsize == 8
        self.longest = int(np.diff(X.indptr).max()) if self.n_rows else 0
        self.values, self.indices, self.indptr = address(X.data), address(X.indices), address(X.indptr)

    def _within(self):
        """Whether rows begin and end where there are values."""
        begins, n = self._X.indptr, self.n_rows
        n_stored = min(len(self._X.data), len(self._X.indices))
        return begins[0] >= 0 and begins[n] <= n_stored and (begins[1:] >= begins[:n]).all()

    @property
    def X(self):
        """The same data; of a sparse `X`, in canonical format."""
        self.check()
        return self._X

    def check(self):
        """Look at the indices and values of a sparse `X`, unless that is done; bring it into canonical format."""
        if not self.checked:
            self._hold(canonical_csr(self._X))
            self.checked = True

    def with_valid_indices(self):
        """The same data, which may hold what is not finite, as products with them tell, and zeros."""
        if not self.checked:
            X = self._X
            rows_rise(X.indices, X.indptr, len(X.data), self.n_features)
        return self._X

    def first(self, order):
        """The first row of an order (None stands for all rows) as an array of shape (n_features,)."""
        row = 0 if order is None else order[0]
        if not self.checked and not regular(self, row, row + 1):
            self.check()
        x = self._X[[row]]
        return x[0].copy() if self.dense else x.toarray()[0]

    @property
    def mean_nonzeros(self):
        """The mean number of stored values a row."""
        return (self._X.size if self.dense else self._X.nnz) / max(self.n_rows, 1)

    def squared_norms(self):
        """``||x||^2`` of each row."""
        self.check()
        norms = np.zeros(self.n_rows)
        cdef double* address = <double*> <size_t> norms.__array_interface__["data"][0]
        if self.dtype == np.float32:
            add_squares(self, <const float*> self.values, address)
        else:
            add_squares(self, <const double*> self.values, address)
        return norms


cdef void add_squares(Rows rows, const floating* values, double* norms) noexcept:
    cdef Py_ssize_t i, k
    with nogil:
        for i in range(rows.n_rows):
            for k in range(begin(rows, i), begin(rows, i + 1)):
                norms[i] += <double> values[k] * <double> values[k]


cdef const void* address(array) except? NULL:
    return <const void*> <size_t> array.__array_interface__["data"][0]


def without_zeros(const floating[:, ::1] X):
    """Whether no number is zero; ends at the first row that holds one."""
    cdef Py_ssize_t i = 0, j
    cdef bint zeros = False
    with nogil:
        while i < X.shape[0] and not zeros:
            for j in range(X.shape[1]):
                zeros |= X[i, j] == 0
            i += 1
    return not zeros


cdef cloned look_at(const bits_t* bits, Py_ssize_t n, bits_t exponent, bits_t* zeros, bits_t* odd) noexcept nogil:
    # In registers, until the end.
    cdef bits_t any_zero = 0, any_odd = 0
    cdef Py_ssize_t k
    for k in range(n):
        any_zero |= <bits_t> ((bits[k] << 1) == 0)
        any_odd |= <bits_t> ((bits[k] & exponent) == exponent)
    zeros[0], odd[0] = any_zero, any_odd


def look_at_bits(const bits_t[::1] bits, bits_t exponent):
    """Whether there are zeros among floating-point numbers, and whether all are finite: not all bits of `exponent` set.

    Integers are compared as fast as memory gives them; comparisons of floating-point numbers are not vectorised.
    """
    cdef bits_t zeros = 0, odd = 0
    if bits.shape[0]:
        with nogil:
            look_at(&bits[0], bits.shape[0], exponent, &zeros, &odd)
    return bool(zeros), not odd


def look_at_values(data):
    """Whether there are zeros, and whether all values are finite."""
    bits = np.dtype(f"u{data.itemsize}").type
    return look_at_bits(data.view(bits), np.array(np.inf, data.dtype).view(bits))


cdef cloned count_falls(const index_t* indices, Py_ssize_t n, Py_ssize_t* falls) noexcept nogil:
    """How many of `n` indices are no higher than the one before them, which the first has too."""
    cdef Py_ssize_t k, begin = 0
    cdef int falls_here
    falls[0] = 0
    while begin < n:
        # Counted in 32 bits, so that the compiler counts several at once.
        falls_here = 0
        for k in range(begin, min(begin + STRETCH, n)):
            falls_here += indices[k] <= indices[k - 1]
        falls[0] += falls_here
        begin += STRETCH


cdef inline void look_at_indices(
    const index_t* indices, const index_t* indptr, Py_ssize_t row, Py_ssize_t last, Py_ssize_t n_features,
    Py_ssize_t* falls, bint* outside,
) noexcept nogil:
    """Count how often indices do not rise within rows, and note indices outside of X; all rows in one loop.

    The bounds of the rows are valid. Where indices do not rise, an index outside may go unnoticed.
    """
    cdef Py_ssize_t i, begin = max(<Py_ssize_t> indptr[row], <Py_ssize_t> indptr[0] + 1), end = indptr[last]
    falls[0] = 0
    if begin < end:
        count_falls(indices + begin, end - begin, falls)
    for i in range(row, last):
        begin, end = indptr[i], indptr[i + 1]
        if end > begin:
            # The first and the last of a row speak for all where indices rise. From row to row, they may fall.
            outside[0] |= indices[begin] < 0 or indices[end - 1] >= n_features
            falls[0] -= begin > indptr[0] and indices[begin] <= indices[begin - 1]


def rows_rise(
    const index_t[::1] indices, const index_t[::1] indptr, Py_ssize_t n_values, Py_ssize_t n_features,
):
    """Whether the indices of every row rise, and how many values belong to rows.

    SciPy does not look at indices again once a matrix is made, so it is here that they are checked.
    """
    cdef Py_ssize_t i, row = 0, n_stored = min(n_values, indices.shape[0]), falls = 0, falls_here
    cdef Py_ssize_t n_rows = indptr.shape[0] - 1, last
    cdef bint outside = False
    with nogil:
        # Some rows at a time, while where they begin is near.
        while row < n_rows and not outside:
            last = min(row + ROWS, n_rows)
            for i in range(row, last):
                outside |= indptr[i] < 0 or indptr[i + 1] < indptr[i] or indptr[i + 1] > n_stored
            if not outside and n_stored:
                look_at_indices(&indices[0], &indptr[0], row, last, n_features, &falls_here, &outside)
                falls += falls_here
            row = last
    if falls and not outside:
        outside = np.min(indices) < 0 or np.max(indices) >= n_features
    if outside:
        raise ValueError(NOT_VALID)
    return not falls, indptr[n_rows] if n_rows else 0


cdef bint regular(Rows rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Whether neighbouring rows of 32-bit indices are in canonical format, without stored zeros, and finite."""
    cdef const int32_t* indptr = <const int32_t*> rows.indptr
    cdef Py_ssize_t begin = indptr[first], n = indptr[last] - begin, falls
    cdef bint outside = False
    cdef uint32_t zeros = 0, odd = 0
    cdef uint64_t long_zeros = 0, long_odd = 0
    look_at_indices(<const int32_t*> rows.indices, indptr, first, last, rows.n_features, &falls, &outside)
    if rows.single:
        look_at((<const uint32_t*> rows.values) + begin, n, <uint32_t> 0x7f800000, &zeros, &odd)
    else:
        look_at(
            (<const uint64_t*> rows.values) + begin, n, <uint64_t> 0x7ff0000000000000, &long_zeros, &long_odd,
        )
    return not (falls or outside or zeros or odd or long_zeros or long_odd)


def shared_csr(X):
    """`X` as a csr_array that shares its data, but for indices of mixed types and strided ones."""
    if len(X.indptr) != X.shape[0] + 1:
        raise ValueError(NOT_VALID)
    dtype = X.indices.dtype if X.indices.dtype == X.indptr.dtype and X.indices.dtype == np.int32 else np.int64
    # Set one by one, because the constructor copies 64-bit indices to 32 bits wherever they fit.
    shared = sparse.csr_array(X.shape, dtype=X.dtype)
    shared.data = np.ascontiguousarray(X.data)
    shared.indices = np.ascontiguousarray(X.indices, dtype=dtype)
    shared.indptr = np.ascontiguousarray(X.indptr, dtype=dtype)
    return shared


def canonical_csr(X):
    """Return a csr_array with sorted, unique, non-zero entries: `X` if it is one, else a copy."""
    rise, n_stored = rows_rise(X.indices, X.indptr, len(X.data), X.shape[1])
    zeros, finite = look_at_values(X.data[X.indptr[0]:n_stored])
    if not finite:
        fault = "NaN" if np.isnan(X.data).any() else f"infinity or a value too large for {X.dtype!r}"
        raise ValueError(f"Input X contains {fault}.")
    if rise and not zeros:
        return X
    canonical = X.copy()
    canonical.sum_duplicates()
    canonical.eliminate_zeros()
    return canonical
