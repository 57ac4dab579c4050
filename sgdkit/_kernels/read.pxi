# Reading a row: its features are brought up to date, and the row is scored.

include "sgdkit/_kernels/lanes.pxi"


cdef inline Reading reading_of(State u, Layout layout) noexcept nogil:
    """How records are read, before anything of it is a constant."""
    cdef Reading reading
    reading.layout, reading.form, reading.waits = layout, WEIGHT, u.waits
    reading.has_l1, reading.has_units, reading.averages = u.has_l1, u.units != NULL, averages(u)
    return reading


cdef inline void fill_reading(State u, Reading* reading) noexcept nogil:
    """Add the numbers that all features of a row share."""
    # Of products, no option is on, so that the compiler may drop a multiplication.
    reading.metric_scale = 1 if reading.form == PRODUCT else u.metric_scale
    # What a coordinate has missed is part of the last step, which the average has counted already.
    reading.epsilon, reading.weight = u.epsilon, <double> (u.n_averaged - (u.n_averaged > 0))
    reading.l1, reading.l2 = u.l1, u.l2


cdef inline within catch_up_columns(
    State u, const int32_t* features, Py_ssize_t n, floating stamp, Py_ssize_t m, Reading reading,
) noexcept nogil:
    cdef Py_ssize_t record = u.record_size, clock = u.n_slots * m, last_slot = (u.n_slots - 1) * m
    cdef Py_ssize_t n_coming = u.n_coming, k
    cdef floating now = <floating> u.clock, since, missed, unit = 1, zero = 0
    cdef floating* slot
    cdef floating* last = NULL
    fill_reading(u, &reading)
    begin_reading(u, &reading, now)
    reading.clock, reading.missed, reading.unit = &since, &missed, &unit
    for k in range(n):
        # One by one: asked for all at once, they would wait for one another, and drive out those of this row.
        if k < n_coming:
            fetch_lines(<const char*> (<const floating*> u.data + u.coming[k] * record), record * sizeof(floating))
        slot = <floating*> u.data + features[k] * record
        since = slot[clock]
        slot[clock] = stamp
        missed = now - (since if since > 0 else zero)
        if missed == 0 and reading.form != PRODUCT:
            continue
        if reading.has_units:
            unit = (<const floating*> u.units)[features[k]]
        if reading.averages:
            last = slot + last_slot
        catch_up_record(slot, slot + m, slot + 2 * m, last, m, reading, zero)


cdef inline within catch_up(
    State u, const int32_t* features, Py_ssize_t n, floating stamp, Py_ssize_t m,
) noexcept nogil:
    """Bring some features up to date in all `m` columns."""
    cdef Reading reading
    if not u.lazy:
        return
    reading = reading_of(u, COLUMNS)
    # With constants, the compiler drops loops and branches.
    if u.form == PRODUCT:
        reading.form, reading.has_l1, reading.averages, reading.waits = PRODUCT, False, False, True
        catch_up_columns(u, features, n, stamp, m, reading)
    elif u.has_l1 or averages(u) or u.units:
        catch_up_columns(u, features, n, stamp, m, reading)
    else:
        reading.has_l1, reading.averages, reading.has_units = False, False, False
        catch_up_columns(u, features, n, stamp, m, reading)


cdef inline within score(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores, Py_ssize_t m,
) noexcept nogil:
    """Write the score of a row for each of `m` columns."""
    cdef const floating* intercept = <const floating*> u.data + u.n_features * u.record_size
    cdef const floating* inverse = <const floating*> u.inverse
    cdef bint shared = shares_growth(u)
    cdef Py_ssize_t c
    score_row(<const floating*> u.data, features, x, n, scores, m, u.record_size)
    if not ADAPTIVE and u.form == GROWN:
        for c in range(m):
            scores[c] *= inverse[0 if shared else c]
    for c in range(m):
        scores[c] += intercept[c]


cdef inline within read_columns(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores, Py_ssize_t m,
) noexcept nogil:
    catch_up(u, features, n, <floating> u.clock, m)
    score(u, features, x, n, scores, m)


cdef cloned read_many(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    read_columns(u, features, x, n, scores, u.n_columns)


# For some float32 columns, vectors of eight would only be in the way.
cdef apart read_some(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    read_columns(u, features, x, n, scores, u.n_columns)


cdef inline void read(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    """Bring the features of a row up to date, and score it."""
    # With constants, the compiler drops and unrolls all loops over columns.
    if ADAPTIVE and u.layout == LANES:
        read_lanes(u, features, x, n, scores)
    elif u.n_columns == 1:
        read_columns(u, features, x, n, scores, 1)
    elif u.n_columns == 2:
        read_columns(u, features, x, n, scores, 2)
    elif u.n_columns == 3:
        read_columns(u, features, x, n, scores, 3)
    elif not ADAPTIVE and u.n_columns == 4:
        read_columns(u, features, x, n, scores, 4)
    elif floating is float and ADAPTIVE and u.n_columns < 8:
        read_some(u, features, x, n, scores)
    else:
        read_many(u, features, x, n, scores)


cdef void bring_up_to_date(State u, floating* unused) noexcept nogil:
    """Bring all features up to date, at the end of an epoch."""
    cdef floating fresh = FRESH
    cdef int32_t features[ROOM]
    cdef Py_ssize_t first = 0, j, n
    while first < u.n_features:
        n = min(u.n_features - first, ROOM)
        for j in range(n):
            features[j] = <int32_t> (first + j)
        if ADAPTIVE and u.layout == LANES:
            catch_up_held(u, features, n, <floating*> u.held, fresh)
        else:
            catch_up(u, features, n, fresh, u.n_columns)
        first += ROOM
