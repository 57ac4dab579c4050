# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""What NumPy has no call for, or several where one pass over the numbers is enough."""

import numpy as np

from cython cimport floating
from libc.math cimport INFINITY, NAN, fmax, log, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from sgdkit._kernels.compiler cimport SGDKIT_POPCOUNT, SGDKIT_PREFETCH, cloned, fetch_lines
from sgdkit._kernels.rows cimport ROWS, Rows, begin, get_row, look
from sgdkit._kernels.scores cimport index_t

# The columns of `add_moments`.
N_MOMENTS = 6

cdef enum:
    # By so many non-zeros moments are asked for before their turn, of features so many that memory is waited for.
    FETCH = 32
    MANY_FEATURES = 1 << 13
    # Rows that are copied from all over memory are asked for so many before their turn.
    FETCH_RECORDS = 12


def add_moments(Rows rows, const floating[::1] origin, order, const double[::1] weights, double[:, :] moments):
    """Add up, feature by feature, what the visited rows show of it.

    Parameters
    ----------
    rows : Rows
    origin : ndarray of shape (n_features,)
        Of the dtype of the rows; values are taken as their distance from it.
    order : ndarray of int64, or None
        The rows to visit; None stands for all.
    weights : ndarray of shape (n_rows,)
        Empty for weights of 1.
    moments : ndarray of shape (n_features, 6)
        Those of a feature side by side. They are increased by the number of non-zeros, the sum of their weights, their
        weighted sum and sum of squares; and by the weighted sums of the numbers of non-zeros in their rows, and of
        those times the squared values.

    Raises
    ------
    ValueError
        With the moments half done, where nobody had looked at the rows before, and one is not valid or not finite.
    """
    if order is not None:
        rows.check()
    values, indices = rows.buffers()
    cdef floating[::1] value_buffer = values
    cdef int32_t[::1] index_buffer = indices
    cdef const int64_t[::1] visited = np.empty(0, np.int64) if order is None else order
    cdef bint everything = order is None, looks = not rows.checked, valid = True
    cdef const floating* x
    cdef const int32_t* features
    cdef Py_ssize_t i, k, n, row, n_visits = rows.n_rows if everything else visited.shape[0]
    cdef double weight = 1
    cdef double* moment
    # Where neighbours in the matrix are neighbours in the order, but for some rows, and none is copied to be read.
    cdef bint fetches = rows.n_features > MANY_FEATURES and not rows.dense and not rows.wide
    cdef const int32_t* stored = <const int32_t*> rows.indices
    cdef Py_ssize_t ahead, n_stored = begin(rows, rows.n_rows)
    with nogil:
        for i in range(n_visits):
            if looks and i % ROWS == 0:
                valid = look(rows, i, min(i + ROWS, n_visits))
                if not valid:
                    break
            row = i if everything else visited[i]
            n = get_row(rows, row, &value_buffer[0], &index_buffer[0], &x, &features)
            if weights.shape[0]:
                weight = weights[row]
            ahead = begin(rows, row) + FETCH if fetches else n_stored
            for k in range(n):
                if ahead + k < n_stored:
                    moment = &moments[stored[ahead + k], 0]
                    SGDKIT_PREFETCH(moment)
                    SGDKIT_PREFETCH(moment + 5)
                    SGDKIT_PREFETCH(&origin[stored[ahead + k]])
                add_value(&moments[features[k], 0], <double> x[k], <double> origin[features[k]], weight, n)
    if not valid:
        rows.check()
    rows.checked = True


cdef inline void add_value(double* moment, double x, double origin, double weight, double n) noexcept nogil:
    """Add a value of a row of `n` to the moments of its feature."""
    cdef double value = x - origin
    # Written at the end, so that the compiler works on two at once.
    cdef double hits = moment[0] + 1, mass = moment[1] + weight
    cdef double first = moment[2] + weight * value, second = moment[3] + weight * value * value
    cdef double counts = moment[4] + weight * n, products = moment[5] + weight * n * x * x
    moment[0], moment[1], moment[2], moment[3], moment[4], moment[5] = hits, mass, first, second, counts, products


def add_moments_of_few(
    Rows rows, Py_ssize_t step, const int32_t[::1] places, const double[::1] weights, double[:, ::1] known,
):
    """Add the moments of some sparse rows of few features to what is known of all, about the same values.

    Parameters
    ----------
    rows : Rows
        They have been looked at, and are neither scaled nor to be merged.
    step : int
        By how many rows those to look at are apart; each stands for so many.
    places : ndarray of int32
        Where what is known of each of their features stands.
    weights : ndarray of shape (n_rows,)
        Empty for weights of 1.
    known : ndarray of float64 of shape (n_features, 8)
        The moments, see `add_moments`; and the value that they are about.
    """
    if rows.single:
        add_moments_at[float](rows, <const float*> rows.values, step, places, weights, known)
    else:
        add_moments_at[double](rows, <const double*> rows.values, step, places, weights, known)


cdef void add_moments_at(
    Rows rows, const floating* x, Py_ssize_t step, const int32_t[::1] places, const double[::1] weights,
    double[:, ::1] known,
) noexcept nogil:
    cdef const int32_t* features = <const int32_t*> rows.indices
    cdef Py_ssize_t i = 0, k, first, last, coming, end
    cdef double weight = step
    cdef double* its
    while i < rows.n_rows:
        first, last = begin(rows, i), begin(rows, i + 1)
        if weights.shape[0]:
            weight = step * weights[i]
        i += step
        # Those of the row to come, while this one is added.
        coming, end = begin(rows, min(i, rows.n_rows)), begin(rows, min(i + 1, rows.n_rows))
        for k in range(coming, end):
            SGDKIT_PREFETCH(&known[places[features[k]], 0])
        for k in range(first, last):
            its = &known[places[features[k]], 0]
            add_value(its, <double> x[k], its[6], weight, last - first)


def add_squares(Rows rows, const double[::1] weights, double[::1] squares):
    """Add up the squares of the values of each feature that rows show, as much as their rows weigh.

    Parameters
    ----------
    rows : Rows
        Sparse ones; of dense ones, a product is quicker.
    weights : ndarray of shape (n_rows,)
    squares : ndarray of shape (n_features,)
        Is increased.
    """
    rows.check()
    add_squares_in(rows, *rows.buffers(), weights, squares)


def add_squares_in(
    Rows rows, floating[::1] value_buffer, int32_t[::1] index_buffer, const double[::1] weights, double[::1] squares,
):
    cdef Py_ssize_t i, k, n
    cdef const floating* x
    cdef const int32_t* features
    with nogil:
        for i in range(rows.n_rows):
            n = get_row(rows, i, &value_buffer[0], &index_buffer[0], &x, &features)
            for k in range(n):
                squares[features[k]] += weights[i] * (<double> x[k] * <double> x[k])


def scale_dense(
    const floating[:, ::1] X, const floating[::1] shift, const floating[::1] factor, floating[:, ::1] scaled,
):
    """Write ``(X - shift) * factor``, which may be in the place of X, and return whether none of it is 0."""
    cdef Py_ssize_t n_zeros = 0, i
    if X.shape[1]:
        with nogil:
            for i in range(X.shape[0]):
                scale_row(&X[i, 0], &shift[0], &factor[0], X.shape[1], &scaled[i, 0], &n_zeros)
    return n_zeros == 0


cdef cloned scale_row(
    const floating* x, const floating* shift, const floating* factor, Py_ssize_t n, floating* scaled,
    Py_ssize_t* n_zeros,
) noexcept nogil:
    cdef Py_ssize_t j
    cdef int zeros = 0
    for j in range(n):
        scaled[j] = (x[j] - shift[j]) * factor[j]
        zeros += scaled[j] == 0
    n_zeros[0] += zeros


def scale_sparse(
    const floating[::1] values, const index_t[::1] indices, const floating[::1] shift, const floating[::1] factor,
    floating[::1] scaled,
):
    """Write values of features that are shifted and scaled."""
    cdef Py_ssize_t k
    with nogil:
        for k in range(values.shape[0]):
            scaled[k] = (values[k] - shift[indices[k]]) * factor[indices[k]]


def number_features(const index_t[::1] indices, uint64_t[:, ::1] bits, Py_ssize_t n_most, int32_t[::1] numbers):
    """Give each feature that occurs a number, in the order of all.

    Parameters
    ----------
    indices : ndarray of int32 or int64 of shape (n_values,)
        The feature of each value.
    bits : ndarray of uint64 of shape (n_words, 2)
        Room to work in, 0 everywhere, before and after: a bit for each of 64 features, and how many of those before
        occur. So little that it stays near the processor.
    n_most : int
    numbers : ndarray of int32 of shape (n_values,)
        Where the number of each value's feature is written, its place among those that are returned.

    Returns
    -------
    features : ndarray of int32, or None
        Those that occur, which rise; None where there are more than `n_most`.
    """
    cdef Py_ssize_t n_values = indices.shape[0], n_words = bits.shape[0], n = 0
    cdef int32_t[::1] found
    if not n_values:
        return np.empty(0, np.int32)
    with nogil:
        mark(&indices[0], n_values, &bits[0, 0])
        rank(&bits[0, 0], n_words, &n)
    features = None
    if n <= n_most:
        features = found = np.empty(n, np.int32)
        with nogil:
            renumber(&indices[0], n_values, &bits[0, 0], &numbers[0])
            name_marked(&bits[0, 0], n_words, &found[0])
    bits[:] = 0
    return features


cdef cloned mark(const index_t* indices, Py_ssize_t n, uint64_t* bits) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        bits[indices[k] >> 6 << 1] |= <uint64_t> 1 << (indices[k] & 63)


cdef cloned rank(uint64_t* bits, Py_ssize_t n_words, Py_ssize_t* n) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n_words):
        bits[2 * k + 1] = n[0]
        n[0] += SGDKIT_POPCOUNT(bits[2 * k])


cdef cloned renumber(const index_t* indices, Py_ssize_t n, const uint64_t* bits, int32_t* numbers) noexcept nogil:
    cdef Py_ssize_t k
    cdef const uint64_t* word
    for k in range(n):
        word = bits + (indices[k] >> 6 << 1)
        numbers[k] = <int32_t> (word[1] + SGDKIT_POPCOUNT(word[0] & ((<uint64_t> 1 << (indices[k] & 63)) - 1)))


cdef cloned name_marked(const uint64_t* bits, Py_ssize_t n_words, int32_t* features) noexcept nogil:
    cdef Py_ssize_t k
    cdef int32_t* next = features
    cdef uint64_t word
    for k in range(n_words):
        word = bits[2 * k]
        while word:
            # What is below the lowest bit that is set.
            next[0] = <int32_t> (64 * k + SGDKIT_POPCOUNT(~word & (word - 1)))
            word &= word - 1
            next += 1


def features_beyond(const floating[:, :] weights, double size):
    """The features that have a weight whose absolute value is larger than some size, of shape (n_features, n_columns).

    Their numbers, an array of int32, rise. The weights of a feature stand side by side.
    """
    cdef Py_ssize_t n = weights.shape[0], m = weights.shape[1], n_found = 0
    found = np.empty(n, np.int32)
    cdef int32_t[::1] features = found
    if n and m:
        with nogil:
            find_beyond(
                &weights[0, 0], n, m, weights.strides[0] // sizeof(floating), <floating> size, &features[0], &n_found,
            )
    return found[:n_found]


cdef cloned find_beyond(
    const floating* weights, Py_ssize_t n, Py_ssize_t m, Py_ssize_t stride, floating size, int32_t* features,
    Py_ssize_t* n_found,
) noexcept nogil:
    cdef Py_ssize_t found = 0, k, c
    cdef int beyond
    for k in range(n):
        beyond = 0
        for c in range(m):
            beyond |= (weights[c] > size) | (weights[c] < -size)
        features[found] = <int32_t> k
        found += beyond
        weights += stride
    n_found[0] = found


def take_rows(const floating[:, :] table, const int32_t[::1] rows, floating[:, :] part):
    """Copy some rows of a table to a smaller one, as many columns as the narrower one has; columns are side by side."""
    cdef Py_ssize_t n = rows.shape[0], width = min(table.shape[1], part.shape[1]), k, c
    cdef const floating* source
    cdef floating* target
    with nogil:
        for k in range(n if width else 0):
            if k + FETCH_RECORDS < n:
                fetch_lines(<const char*> &table[rows[k + FETCH_RECORDS], 0], width * sizeof(floating))
            source, target = &table[rows[k], 0], &part[k, 0]
            for c in range(width):
                target[c] = source[c]


def put_rows(floating[:, :] table, const int32_t[::1] rows, const floating[:, :] part):
    """Copy rows back to where `take_rows` has them from."""
    cdef Py_ssize_t n = rows.shape[0], width = min(table.shape[1], part.shape[1]), k, c
    cdef const floating* source
    cdef floating* target
    with nogil:
        for k in range(n if width else 0):
            if k + FETCH_RECORDS < n:
                fetch_lines(<const char*> &table[rows[k + FETCH_RECORDS], 0], width * sizeof(floating))
            source, target = &part[k, 0], &table[rows[k], 0]
            for c in range(width):
                target[c] = source[c]


def move_rows(floating[:, ::1] X, const int64_t[::1] places):
    """Move the rows of an array where it is: row k becomes the one that was at ``places[k]``, a permutation."""
    cdef Py_ssize_t n = X.shape[0], k, place
    cdef size_t size = X.shape[1] * sizeof(floating)
    moved, row = np.zeros(n, np.uint8), np.empty(X.shape[1], np.asarray(X[:0]).dtype)
    cdef uint8_t[::1] is_moved = moved
    cdef floating[::1] first = row
    if not size:
        return
    with nogil:
        for k in range(n):
            if is_moved[k] or places[k] == k:
                continue
            # Around a cycle, which ends at the row that it began with.
            memcpy(&first[0], &X[k, 0], size)
            place = k
            while places[place] != k:
                memcpy(&X[place, 0], &X[places[place], 0], size)
                place = places[place]
                is_moved[place] = True
            memcpy(&X[place, 0], &first[0], size)


cdef inline double own_scale(const double* known) noexcept nogil:
    """The root mean square of the values of a feature; not a number where there are none."""
    cdef double mean = known[2] / known[1], origin = known[6]
    return sqrt(fmax(known[3] / known[1] + 2 * origin * mean + origin * origin, 0))


cdef inline double telling_scale(const double* known, double total) noexcept nogil:
    """The scale of a feature in rows of one length, but for what all have in common."""
    return sqrt(known[5] / known[1]) / (1 + log(total / known[1]))


cdef inline const double* known_of(
    const double[:, ::1] known, const int32_t[::1] features, Py_ssize_t k
) noexcept nogil:
    """What is known of a feature, the k-th of some; where these are none, of all."""
    if not features.shape[0]:
        return &known[k, 0]
    if k + FETCH_RECORDS < features.shape[0]:
        SGDKIT_PREFETCH(&known[features[k + FETCH_RECORDS], 0])
    return &known[features[k], 0]


def sums_over_features(
    const double[:, ::1] known, const int32_t[::1] features, double n_rows, double total, double lowest, double highest,
    bint telling,
):
    """Add up what the choice of a common scale depends on, over features that have zeros.

    Parameters
    ----------
    known : ndarray of float64 of shape (n_features, 8)
        The moments of each feature, the value that they are about, and its scale.
    features : ndarray of int32
        Those to look at; all, where it is empty.
    n_rows, total : float
        The rows seen, and the sum of their weights.
    lowest, highest : float
        What lies between is near the common scale.
    telling : bool
        Whether to compute the last sum.

    Returns
    -------
    sums : ndarray of float64 of shape (7,)
        The number of features, the weight of their values, and its products with: the logarithm of the scale; whether
        it is near; if so, its square; the mean over rows of n x^2, over the product of the means of both; and the
        square of the scale over that of what is telling.
    """
    result = np.zeros(7)
    cdef double[::1] sums = result
    cdef double scale, mass, square
    cdef const double* its
    cdef Py_ssize_t n = features.shape[0] if features.shape[0] else known.shape[0], k
    with nogil:
        for k in range(n):
            its = known_of(known, features, k)
            if not 0 < its[0] < n_rows:
                continue
            scale, mass = own_scale(its), its[1]
            if scale == 0:
                continue
            square = scale * scale
            sums[0] += 1
            sums[1] += mass
            sums[2] += mass * log(scale)
            if lowest <= scale <= highest:
                sums[3] += mass
                sums[4] += mass * square
            sums[5] += mass * its[5] / (its[4] * square)
            if telling:
                sums[6] += mass * square / telling_scale(its, total) ** 2
    return result


def scales_in_common(
    const double[:, ::1] known, const double[:, ::1] before, double n_rows, double total, *,
    shared, double level, double drift, double smallest,
):
    """The scales of features that have zeros, by what all features have in common.

    Parameters
    ----------
    known, before : ndarray of float64 of shape (n_features, 8)
        The moments of each feature, the value that they are about, and its scale; and what they were before.
    n_rows, total : float
        The rows seen, and the sum of their weights.
    shared : tuple of float
        The scale that features share whose own is in a range; the lowest and the highest of this range.
    level : float
        What the scales of rows of one length are multiplied by; 0 where rows are of none.
    drift : float
        By this factor, a scale may be off before it is changed.
    smallest : float
        No scale may be smaller.

    Returns
    -------
    moved : ndarray of int32
        The features whose scale is no longer the one before.
    scales : ndarray of float64
        Their scales. The last one is no number where a feature has none.
    """
    cdef Py_ssize_t n = known.shape[0], n_moved = 0, k
    cdef double scale, old, common, lowest, highest
    cdef const double* its
    common, lowest, highest = shared
    moved, scales = np.empty(n, np.int32), np.empty(n)
    cdef int32_t[::1] places = moved
    cdef double[::1] out = scales
    with nogil:
        for k in range(n):
            its = &known[k, 0]
            scale, old = own_scale(its), before[k, 7]
            # Written so that what is not a number is none either.
            if not (its[0] > 0 and smallest <= scale < INFINITY):
                places[n_moved], out[n_moved] = <int32_t> k, NAN
                n_moved += 1
                break
            if its[0] < n_rows and lowest <= scale <= highest:
                scale = common
            elif its[0] < n_rows and level > 0:
                scale = telling_scale(its, total) * level
            if scale != old and (before[k, 0] == 0 or old > drift * scale or scale > drift * old):
                places[n_moved], out[n_moved] = <int32_t> k, scale
                n_moved += 1
    return moved[:n_moved], scales[:n_moved]


def put(double[::1] array, const int32_t[::1] places, double value):
    """Write a value to some places of an array."""
    cdef Py_ssize_t n = places.shape[0], k
    with nogil:
        for k in range(n):
            if k + FETCH_RECORDS < n:
                SGDKIT_PREFETCH(&array[places[k + FETCH_RECORDS]])
            array[places[k]] = value


def combine(const floating[:, ::1] A, const floating[:, ::1] B, a, b, c):
    """``a * A + b * B + c``, with a number for each column of the arrays in a, b and c."""
    dtype = np.float32 if floating is float else np.float64
    result = np.empty((A.shape[0], A.shape[1]), dtype)
    cdef floating[:, ::1] out = result
    cdef const floating[::1] of_A = a, of_B = b, constant = c
    cdef Py_ssize_t i, k
    with nogil:
        for i in range(A.shape[0]):
            for k in range(A.shape[1]):
                out[i, k] = of_A[k] * A[i, k] + of_B[k] * B[i, k] + constant[k]
    return result


def shuffle_stretch(int32_t[:, ::1] orders, const uint64_t[:, ::1] randoms, Py_ssize_t last):
    """Draw the numbers for the places `last`, `last - 1`, ... of orders from those not yet drawn (Fisher & Yates).

    A random number of 32 bits times the number of candidates, without its lowest 32 bits, is the candidate's place
    (Lemire, 2019, without his correction of a bias that is below n / 2^32).
    """
    cdef Py_ssize_t i, k
    cdef uint64_t place
    cdef int32_t drawn
    with nogil:
        for i in range(orders.shape[0]):
            for k in range(randoms.shape[1]):
                place = ((randoms[i, k] >> 32) * <uint64_t> (last - k + 1)) >> 32
                drawn = orders[i, place]
                orders[i, place] = orders[i, last - k]
                orders[i, last - k] = drawn


def falling_rates(const double[::1] steps, const double[::1] first, const double[::1] slopes):
    """``first[c] / (1 + slopes[c] * steps[k])`` in row k and column c of a new array, in one pass over it."""
    cdef Py_ssize_t n = steps.shape[0], m = first.shape[0], k
    rates = np.empty((n, m))
    cdef double[:, ::1] view = rates
    with nogil:
        for k in range(n):
            if m:
                fall(&first[0], &slopes[0], steps[k], m, &view[k, 0])
    return rates


cdef cloned fall(const double* first, const double* slopes, double step, Py_ssize_t m, double* rates) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(m):
        rates[c] = first[c] / (1 + slopes[c] * step)
