# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""One view of a row, whatever the matrix: dense or CSR, float32 or float64, 32- or 64-bit indices.

Invariant: what a row shows is its non-zeros, each once, in the order in which they stand. A zero that is stored is
absent, and so is the zero of a dense matrix; values of one feature are one, their sum. This is what makes dense and
sparse input the same input.

The order is no matter to training, so no row is sorted. Rows with stored zeros or duplicates are noted when they are
first looked at, and tidied up whenever they are visited.
"""

from mmap import mmap

import numpy as np
from scipy import sparse

from sgdkit._kernels.checks import any_outside, longest_row, range_of_sizes, without_zeros
from sgdkit._kernels.csr import NOT_VALID, aligned, csr, shared_csr, take_rows

from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memset

from sgdkit._kernels.checks cimport look_at_indices, look_at_values
from sgdkit._kernels.merging cimport HAS_DUPLICATES, HAS_ZEROS, any_repeated, drop_zeros, table_size
from sgdkit._kernels.scores cimport index_t


cdef extern from *:
    """
    #if defined(__unix__) || defined(__APPLE__)
    #include <sys/mman.h>
    #include <unistd.h>
    /* Ask the system for the pages that a file is mapped to. Linux takes no more at a time than it reads ahead, 128 kB
       by default. What is not mapped to a file is an error, or there already. */
    static void sgdkit_read_ahead(const char *begin, Py_ssize_t n_bytes) {
        Py_ssize_t page = sysconf(_SC_PAGESIZE), piece = page > (1 << 17) ? page : 1 << 17, k;
        char *first = (char *) ((size_t) begin / page * page);
        n_bytes += begin - first;
        for (k = 0; k < n_bytes; k += piece)
            if (posix_madvise(first + k, n_bytes - k < piece ? n_bytes - k : piece, POSIX_MADV_WILLNEED))
                return;
    }
    #else
    #define sgdkit_read_ahead(begin, n_bytes)
    #endif
    """
    void sgdkit_read_ahead(const char* begin, Py_ssize_t n_bytes) noexcept nogil


cdef enum:
    # Values that are looked at in one call, which takes a fraction of a second.
    CHECKED_AT_ONCE = 1 << 25
    # Marks that tell whether features are there twice: few enough to stay near the processor.
    MOST_MARKS = 1 << 16


cdef class Rows:
    """The rows of `X`, which is not copied if it is C-contiguous, or CSR.

    Parameters
    ----------
    X : ndarray or CSR matrix or array of shape (n_rows, n_features)
        Of dtype float32 or float64. A sparse one that holds what is not finite is an error. Its indices may be in any
        order, and there more than once.
    check : bool, default=True
        Whether to look at the indices and values of a sparse `X` now. Else the first pass over all rows does it on its
        way, which saves a pass.
    owned : bool, default=False
        Whether a dense `X` is nobody else's, so that it may be changed.
    full : bool, default=None
        Whether a dense `X` has no zero, where that is known.
    """

    def __init__(self, X, *, check=True, owned=False, full=None):
        self.n_rows, self.n_features = X.shape
        if self.n_features >= 2**31 - 1:
            raise ValueError(
                f"X has {self.n_features} features, and at most {2**31 - 2} are supported. "
                "Hash them into fewer with sklearn.feature_extraction.FeatureHasher."
            )
        self.dtype = X.dtype
        self.single = X.dtype == np.float32
        self.dense = not sparse.issparse(X)
        self.owned = owned and self.dense
        if self.dense:
            self.checked = True
            self._X = aligned(X)
            self.longest = self.room = self.n_features
            self.full = without_zeros(self._X) if full is None else full
            self._owners = (self._X, np.arange(self.n_features, dtype=np.int32))
            self.indices, self.values = address(self._owners[1]), address(self._owners[0])
        else:
            self._hold(shared_csr(X))
            if check or self.wide:
                self.check()

    def _hold(self, X):
        begins, n_stored = X.indptr, min(len(X.data), len(X.indices))
        self.longest = longest_row(begins)
        if begins[0] < 0 or begins[-1] > n_stored or self.longest < 0:
            raise ValueError(NOT_VALID)
        self.room = self.longest + table_size(self.longest)
        # So many that those of a row seldom meet, and no more than there are features.
        n_marks = min(MOST_MARKS, 1 << min(self.n_features, 8 * self.longest**2).bit_length())
        # Pages of zeros that nobody writes to take no memory.
        flags, marks = np.zeros(self.n_rows, np.uint8), np.zeros(n_marks, np.uint8)
        table = np.empty(self.room - self.longest, np.int32)
        self._X, self._owners = X, (X.data, X.indices, begins, flags, marks, table)
        self.wide, self.long_begins = X.indices.dtype.itemsize == 8, begins.dtype.itemsize == 8
        self.values, self.indices, self.indptr = address(X.data), address(X.indices), address(begins)
        self.flags, self.marks = <uint8_t*> address(flags), <uint8_t*> address(marks)
        self.table = <int32_t*> address(table)
        self.last_mark = n_marks - 1

    @property
    def mapped(self):
        """Whether values are on disk, mapped to memory."""
        base = self._X if self.dense else self._X.data
        while isinstance(base, np.ndarray):
            base = base.base
        return isinstance(base, mmap)

    def scaled(self, shift, factor):
        """The same rows, which show ``(x - shift) * factor`` for each non-zero x; data are shared.

        Parameters
        ----------
        shift, factor : ndarray of shape (n_features,)
            Of the dtype of the rows. A feature with a shift is to have no zeros.
        """
        self.check()
        cdef Rows rows = self._share(self.n_rows)
        rows._X, rows._scale = self._X, (shift, factor)
        rows.factor = address(factor)
        rows.shift = address(shift) if shift.any() else NULL
        return rows

    cdef Rows _share(self, Py_ssize_t n_rows):
        """The first rows, but for `_X`; data are shared."""
        cdef Rows rows = Rows.__new__(Rows)
        rows.n_rows, rows.n_features, rows.dtype, rows.single = n_rows, self.n_features, self.dtype, self.single
        rows.dense, rows.full, rows.wide, rows.long_begins = self.dense, self.full, self.wide, self.long_begins
        rows.checked, rows.untidy, rows.longest, rows.room = self.checked, self.untidy, self.longest, self.room
        rows.values, rows.indices, rows.indptr, rows.flags = self.values, self.indices, self.indptr, self.flags
        rows.factor, rows.shift, rows._scale, rows._owners = self.factor, self.shift, self._scale, self._owners
        return rows

    def part(self, Py_ssize_t first, Py_ssize_t last):
        """Neighbouring rows, which share all data; a thread may look at them while others look at other parts."""
        cdef Rows rows = self._share(last - first)
        rows._X = take_rows(self._X, slice(first, last))
        if self.dense:
            rows.values = address(rows._X)
            return rows
        marks, table = np.zeros(self.last_mark + 1, np.uint8), np.empty(self.room - self.longest, np.int32)
        rows._owners += marks, table
        rows.marks, rows.last_mark, rows.table = <uint8_t*> address(marks), self.last_mark, <int32_t*> address(table)
        rows.indptr = <const char*> self.indptr + first * (8 if self.long_begins else 4)
        rows.flags = self.flags + first
        return rows

    def renumbered(self, numbers, Py_ssize_t n_features):
        """Sparse rows that have been looked at, and have nothing to be merged, on other features; values are shared.

        Parameters
        ----------
        numbers : ndarray of int32
            What stands in the place of the indices.
        n_features : int
        """
        cdef Rows rows = self._share(self.n_rows)
        rows._X = csr(self._X.data, numbers, self._X.indptr, n_features)
        rows._owners += (numbers,)
        rows.indices, rows.wide, rows.n_features = address(numbers), False, n_features
        return rows

    def looked_at(self, parts):
        """Take in what was found when all parts of the rows were looked at."""
        cdef Rows part
        for part in parts:
            self.untidy |= part.untidy
        self.checked = all(part.checked for part in parts)

    @property
    def is_scaled(self):
        """Whether other values are shown than those that are stored."""
        return self._scale is not None

    def fetch(self, Py_ssize_t first, Py_ssize_t last):
        """Have neighbouring rows read ahead, if they are on disk, without waiting for them."""
        cdef Py_ssize_t start = begin(self, first), n = begin(self, last) - start, size = 4 if self.single else 8
        cdef Py_ssize_t width = 8 if self.wide else 4
        with nogil:
            sgdkit_read_ahead(<const char*> self.values + start * size, n * size)
            if not self.dense:
                sgdkit_read_ahead(<const char*> self.indices + start * width, n * width)

    @property
    def X(self):
        """The same data, as it stands; if values are scaled, a copy."""
        self.check()
        return self._X if self._scale is None else self._tidied(None)

    def take(self, row_indices):
        """Some rows as a matrix: of a slice, a view unless values are scaled; else a copy."""
        self.check()
        return take_rows(self._X, row_indices) if self._scale is None else self._tidied(row_indices)

    def merged(self, row_indices=None):
        """Some rows, None standing for all, with each non-zero once; all are not copied unless they have to change."""
        self.check()
        if self.untidy and self._scale is None:
            return self._tidied(row_indices)
        return self.X if row_indices is None else self.take(row_indices)

    def _tidied(self, row_indices):
        """A matrix of what some rows show."""
        X = self._X if row_indices is None else take_rows(self._X, row_indices)
        if self.dense:
            X = X - self._scale[0]
            X *= self._scale[1]
            return X
        # A copy is merged in place, since nothing is written beyond what has been read.
        some = row_indices is not None
        copied = some and not isinstance(row_indices, slice)
        rows = Rows(X) if some else self
        if some and self._scale is not None:
            rows = rows.scaled(*self._scale)
        n_stored = X.indptr[rows.n_rows] - X.indptr[0]
        data = X.data if copied else np.empty(n_stored, X.dtype)
        indices = X.indices if copied and not self.wide else np.empty(n_stored, np.int32)
        indptr = np.zeros(rows.n_rows + 1, np.int64)
        write_rows(rows, data, indices, indptr[1:])
        parts = data[:indptr[-1]], indices[:indptr[-1]], indptr.astype(X.indptr.dtype)
        return sparse.csr_array(parts, shape=X.shape)

    def check(self):
        """Look at the indices and values of a sparse `X`, unless that is done."""
        cdef Py_ssize_t row = 0, first, last, most = CHECKED_AT_ONCE
        cdef bint valid = True
        if self.checked:
            return
        while row < self.n_rows and valid:
            first, last = row, self.n_rows
            with nogil:
                while row < last and valid and begin(self, row) - begin(self, first) < most:
                    valid = look(self, row, min(row + ROWS, self.n_rows))
                    row += ROWS
            # Between two of these calls, Ctrl-C is heard.
            PyErr_CheckSignals()
        if not valid:
            self.with_valid_indices()
            fault = "NaN" if np.isnan(self._X.data).any() else f"infinity or a value too large for {self.dtype!r}"
            raise ValueError(f"Input X contains {fault}.")
        self.checked = True

    def with_valid_indices(self):
        """The same data, which may hold what is not finite, as products with them tell."""
        if self._scale is not None:
            return self.X
        X = self._X
        if not self.checked and any_outside(X.indices[X.indptr[0]:X.indptr[-1]], self.n_features):
            raise ValueError(NOT_VALID)
        return X

    def first(self, order):
        """The first row of an order (None stands for all rows) as an array of shape (n_features,)."""
        row = 0 if order is None else order[0]
        if not self.checked and not look(self, row, row + 1):
            self.check()
        x = self.take([row]) if self.checked else take_rows(self._X, [row])
        return x[0].copy() if self.dense else x.toarray()[0]

    @property
    def stored(self):
        """The matrix that the rows are of, be they scaled or not."""
        return self._X

    @property
    def mean_nonzeros(self):
        """The mean number of stored values a row."""
        return (self._X.size if self.dense else self._X.nnz) / max(self.n_rows, 1)

    def counts(self):
        """The number of non-zeros of each row."""
        self.check()
        as_stored = not self.dense and not self.untidy and self.shift == NULL
        return np.diff(self._X.indptr) if as_stored else self._measured(np.empty(self.n_rows, np.int64), None)

    def squared_norms(self):
        """``||x||^2`` of each row."""
        self.check()
        return self._measured(None, np.zeros(self.n_rows))

    def _measured(self, counts, norms):
        """What is asked for, which is not None."""
        measure(self, *self.buffers(), counts, norms)
        return norms if counts is None else counts

    def sizes(self, row_indices=None):
        """The smallest and the largest absolute value of some rows; infinity and 0 where there are no values."""
        if self._sizes is None or row_indices is not None:
            X = self.merged(row_indices)
            sizes = range_of_sizes(X.ravel() if self.dense else X.data)
            if row_indices is not None:
                return sizes
            self._sizes = sizes
        return self._sizes

    def buffers(self):
        """Room for the values and the indices that `get_row` shows."""
        return np.empty(max(self.longest, 1), self.dtype), np.empty(max(self.room, 1), np.int32)


def measure(Rows rows, floating[::1] values, int32_t[::1] indices, int64_t[::1] counts, double[::1] norms):
    """Write the number of non-zeros of each row, or their sum of squares; one of the two is None."""
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, k, n
    cdef bint counted = counts is not None
    with nogil:
        for i in range(rows.n_rows):
            n = get_row(rows, i, &values[0], &indices[0], &x, &features)
            if counted:
                counts[i] = n
            else:
                for k in range(n):
                    norms[i] += <double> x[k] * <double> x[k]


def write_rows(Rows rows, floating[::1] data, int32_t[::1] indices, int64_t[::1] ends):
    """Write what rows show one after the other, and where each ends."""
    value_buffer, index_buffer = rows.buffers()
    cdef floating[::1] value_view = value_buffer
    cdef int32_t[::1] index_view = index_buffer
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, k, n, end = 0
    with nogil:
        for i in range(rows.n_rows):
            n = get_row(rows, i, &value_view[0], &index_view[0], &x, &features)
            for k in range(n):
                data[end + k], indices[end + k] = x[k], features[k]
            end += n
            ends[i] = end


cdef const void* address(array) except? NULL:
    return <const void*> <size_t> array.__array_interface__["data"][0]


cdef bint look(Rows rows, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Whether neighbouring rows are valid and finite; those with stored zeros or duplicates are noted.

    SciPy does not look at indices again once a matrix is made, so it is here that they are checked.
    """
    if rows.wide:
        return look_at_rows(rows, <const int64_t*> rows.indices, first, last)
    return look_at_rows(rows, <const int32_t*> rows.indices, first, last)


cdef bint look_at_rows(Rows rows, const index_t* indices, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i, start = begin(rows, first), end = begin(rows, last), here, next, falls
    cdef bint zeros, finite
    if start == end:
        return True
    look_at_values(rows.values, rows.single, start, end, &zeros, &finite)
    if not finite or not look_at_indices(indices + start, end - start, rows.n_features, &falls):
        return False
    for i in range(first + 1, last):
        # From row to row, indices may fall.
        here, next = begin(rows, i), begin(rows, i + 1)
        if start < here < next:
            falls -= indices[here] <= indices[here - 1]
    if falls or zeros:
        for i in range(first, last):
            note(rows, i, indices + begin(rows, i), begin(rows, i), begin(rows, i + 1), falls > 0, zeros)
    return True


cdef inline void note(
    Rows rows, Py_ssize_t row, const index_t* features, Py_ssize_t begin, Py_ssize_t end, bint falls, bint zeros,
) noexcept nogil:
    """Note whether a row has duplicates, if it may have some because indices fall, and stored zeros, if there are."""
    cdef bint finite, has_zeros = False, repeats = False
    if falls and marks_meet(rows, features, end - begin):
        repeats = any_repeated(features, end - begin, rows.table)
    if zeros:
        look_at_values(rows.values, rows.single, begin, end, &has_zeros, &finite)
    if has_zeros or repeats:
        rows.flags[row] = (HAS_ZEROS if has_zeros else 0) | (HAS_DUPLICATES if repeats else 0)
        rows.untidy = True


cdef inline bint marks_meet(Rows rows, const index_t* features, Py_ssize_t n) noexcept nogil:
    """Whether the marks of two features fall on one place, as they do if a feature is there twice, and rarely else.

    Without a branch, this takes a quarter of the time of an exact look.
    """
    cdef uint8_t* marks = rows.marks
    cdef uint8_t mark, highest = 0
    cdef uint32_t place, last = rows.last_mark
    cdef Py_ssize_t k
    # Each row has a higher mark than those before, so that marks are erased once in 255 rows.
    rows.mark += 1
    if rows.mark == 0:
        memset(marks, 0, last + 1)
        rows.mark = 1
    mark = rows.mark
    for k in range(n):
        place = <uint32_t> features[k] & last
        highest = max(highest, marks[place])
        marks[place] = mark
    return highest == mark


cdef Py_ssize_t scale(
    Rows rows, const floating** values, const int32_t** indices, Py_ssize_t n, floating* value_buffer,
    int32_t* index_buffer,
) noexcept nogil:
    """Point `values` at the scaled values of a row, and return how many are not 0, which only a shift can make."""
    cdef const floating* x = values[0]
    cdef const int32_t* features = indices[0]
    cdef const floating* factor = <const floating*> rows.factor
    cdef const floating* shift = <const floating*> rows.shift
    cdef Py_ssize_t n_zeros = 0, k
    values[0] = value_buffer
    if rows.full and shift != NULL:
        for k in range(n):
            value_buffer[k] = (x[k] - shift[k]) * factor[k]
    elif shift != NULL:
        for k in range(n):
            value_buffer[k] = (x[k] - shift[features[k]]) * factor[features[k]]
    else:
        for k in range(n):
            value_buffer[k] = x[k] * factor[features[k]]
    for k in range(n):
        n_zeros += value_buffer[k] == 0
    if n_zeros == 0:
        return n
    indices[0] = index_buffer
    return drop_zeros(value_buffer, features, n, value_buffer, index_buffer)
