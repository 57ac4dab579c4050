# Records of a single column of an adaptive optimizer, transposed four at a time, so that features stand where columns
# would be: `held[feature // FEW, field, feature % FEW]`. There they stay from reading a row until the step on it.


cdef inline void load_records(
    const floating* records, const int32_t* features, Py_ssize_t n_fields, floating* lanes,
) noexcept nogil:
    """Copy the records of `FEW` features to `lanes[field, feature]`."""
    cdef const floating* a = records + features[0] * n_fields
    cdef const floating* b = records + features[1] * n_fields
    cdef const floating* c = records + features[2] * n_fields
    cdef const floating* d = records + features[3] * n_fields
    transpose(a, b, c, d, lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW)
    if n_fields == 8:
        lanes += 4 * FEW
        transpose(a + 4, b + 4, c + 4, d + 4, lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW)


cdef inline void store_records(
    floating* records, const int32_t* features, Py_ssize_t n_fields, const floating* lanes,
) noexcept nogil:
    """Copy records back; of one that is there several times the first, because it is written last."""
    cdef floating* a = records + features[0] * n_fields
    cdef floating* b = records + features[1] * n_fields
    cdef floating* c = records + features[2] * n_fields
    cdef floating* d = records + features[3] * n_fields
    transpose(lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW, a, b, c, d)
    if n_fields == 8:
        lanes += 4 * FEW
        transpose(lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW, a + 4, b + 4, c + 4, d + 4)


cdef inline within catch_up_lanes(
    State u, const int32_t* features, floating now, floating stamp, floating* lanes, Py_ssize_t n_fields,
    Reading reading,
) noexcept nogil:
    """Load the records of `FEW` features, and bring them up to date."""
    cdef Py_ssize_t clock = u.n_slots * FEW, k
    cdef floating missed[FEW]
    cdef floating unit[FEW]
    cdef floating zero = 0
    load_records(<const floating*> u.data, features, n_fields, lanes)
    if not u.lazy:
        return
    fill_reading(u, &reading)
    begin_reading(u, &reading, now)
    for k in range(FEW):
        missed[k] = now - (lanes[clock + k] if lanes[clock + k] > 0 else zero)
    if reading.has_units:
        for k in range(FEW):
            unit[k] = (<const floating*> u.units)[features[k]]
    reading.clock, reading.missed, reading.unit = lanes + clock, missed, unit
    catch_up_record(lanes, lanes + FEW, lanes + 2 * FEW, <floating*> NULL, FEW, reading, zero)
    for k in range(FEW):
        lanes[clock + k] = stamp


cdef cloned catch_up_few(
    State u, const int32_t* features, floating now, floating stamp, floating* lanes,
) noexcept nogil:
    cdef Reading reading = reading_of(u, LANES)
    # With constants, the compiler drops branches.
    reading.averages, reading.waits = False, True
    if u.form == PRODUCT:
        reading.form, reading.has_l1 = PRODUCT, False
        if u.units:
            reading.has_units = True
            catch_up_lanes(u, features, now, stamp, lanes, u.record_size, reading)
            return
        reading.has_units = False
        if u.record_size == 4:
            catch_up_lanes(u, features, now, stamp, lanes, 4, reading)
        else:
            catch_up_lanes(u, features, now, stamp, lanes, 8, reading)
    elif u.units:
        reading.has_l1, reading.has_units = True, True
        catch_up_lanes(u, features, now, stamp, lanes, u.record_size, reading)
    elif u.has_l1:
        reading.has_l1, reading.has_units = True, False
        catch_up_lanes(u, features, now, stamp, lanes, u.record_size, reading)
    else:
        reading.has_l1, reading.has_units = False, False
        catch_up_lanes(u, features, now, stamp, lanes, u.record_size, reading)


cdef inline const int32_t* filled(const int32_t* features, Py_ssize_t n, int32_t* few) noexcept nogil:
    """Fewer features than `FEW`, filled up with the last."""
    cdef Py_ssize_t k
    for k in range(FEW):
        few[k] = features[min(k, n - 1)]
    return few


cdef inline within hold(
    State u, const int32_t* features, Py_ssize_t n, floating* held, Py_ssize_t n_fields, floating stamp,
) noexcept nogil:
    """Hold the records of some features, brought up to date."""
    cdef floating now = <floating> u.clock
    cdef int32_t few[FEW]
    cdef Py_ssize_t k = 0
    while k + FEW <= n:
        catch_up_few(u, features + k, now, stamp, held + k * n_fields)
        k += FEW
    if k < n:
        features = features + n - FEW if n > FEW else filled(features, n, few)
        catch_up_few(u, features, now, stamp, held + k * n_fields)


cdef inline within put_back(
    State u, const int32_t* features, Py_ssize_t n, const floating* held, Py_ssize_t n_fields,
) noexcept nogil:
    """Copy the records that are held to where they belong."""
    cdef floating* records = <floating*> u.data
    cdef int32_t few[FEW]
    cdef Py_ssize_t k = 0
    while k + FEW <= n:
        store_records(records, features + k, n_fields, held + k * n_fields)
        k += FEW
    if k < n:
        features = features + n - FEW if n > FEW else filled(features, n, few)
        store_records(records, features, n_fields, held + k * n_fields)


cdef inline void catch_up_held(
    State u, const int32_t* features, Py_ssize_t n, floating* held, floating stamp,
) noexcept nogil:
    """Bring at most `ROOM` features up to date."""
    hold(u, features, n, held, u.record_size, stamp)
    put_back(u, features, n, held, u.record_size)


cdef inline floating score_held(
    const floating* w, const floating* x, Py_ssize_t n, floating score, Py_ssize_t n_fields,
) noexcept nogil:
    """Add the scores of the features that are held, in the order of `score_row`."""
    cdef Py_ssize_t k = 0, c
    while k + FEW <= n:
        score += (x[k] * w[0] + x[k + 1] * w[1]) + (x[k + 2] * w[2] + x[k + 3] * w[3])
        w += FEW * n_fields
        k += FEW
    if n > FEW:
        w += k + FEW - n
    for c in range(n - k):
        SGDKIT_ONE_BY_ONE(c)
        score += x[k + c] * w[c]
    return score


cdef inline within read_records(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* score, Py_ssize_t n_fields,
) noexcept nogil:
    """Bring the features of a row up to date, and score it; they stay in `held` if the step on them comes next."""
    cdef floating* held = <floating*> u.held
    cdef floating sum = 0, now = <floating> u.clock
    cdef Py_ssize_t first = 0, size
    if u.row_by_row:
        hold(u, features, n, held, n_fields, now)
        sum = score_held(held, x, n, sum, n_fields)
        first = n
    while first < n:
        size = min(n - first, ROOM)
        hold(u, features + first, size, held, n_fields, now)
        sum = score_held(held, x + first, size, sum, n_fields)
        put_back(u, features + first, size, held, n_fields)
        first += size
    score[0] = sum + (<const floating*> u.data)[u.n_features * n_fields]


cdef apart read_lanes(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* score,
) noexcept nogil:
    # With a constant, the compiler drops loops and multiplications.
    if u.record_size == 4:
        read_records(u, features, x, n, score, 4)
    else:
        read_records(u, features, x, n, score, 8)


cdef inline within step_lanes(
    State u, const Rule* rule, const int32_t* features, const floating* x, const floating* gradient, floating* lanes,
    Py_ssize_t n_fields, Stepping stepping,
) noexcept nogil:
    """Step on `FEW` features that are held, and store their records."""
    cdef Py_ssize_t k
    cdef Rule copied = rule[0]
    cdef floating gain[3 * FEW]
    cdef floating g[FEW]
    cdef floating zero = 0
    for k in range(FEW):
        g[k] = x[k] * gradient[k * stepping.gradient_stride]
    gains(&copied, lanes + u.n_slots * FEW, FEW, FEW, gain)
    fill_stepping(u, &stepping)
    stepping.gradient, stepping.gain = g, gain
    step_record(&copied, lanes, lanes + FEW, lanes + 2 * FEW, <floating*> NULL, FEW, stepping, zero)
    store_records(<floating*> u.data, features, n_fields, lanes)


cdef cloned step_few(
    State u, const Rule* rule, const int32_t* features, const floating* x, const floating* gradient, floating* lanes,
) noexcept nogil:
    cdef Stepping stepping = stepping_of(u, LANES)
    cdef Rule bare = rule[0]
    bare.plain = True
    # With constants, the compiler drops branches.
    stepping.averages = False
    if u.gradient_stride:
        stepping.gradient_stride = 1
        step_lanes(u, &bare, features, x, gradient, lanes, u.record_size, stepping)
        return
    stepping.gradient_stride = 0
    if u.form != PRODUCT:
        step_lanes(u, &bare, features, x, gradient, lanes, u.record_size, stepping)
    elif u.record_size == 4:
        stepping.form = PRODUCT
        step_lanes(u, &bare, features, x, gradient, lanes, 4, stepping)
    else:
        stepping.form = PRODUCT
        step_lanes(u, &bare, features, x, gradient, lanes, 8, stepping)


cdef inline within step_held(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
    Py_ssize_t n_fields,
) noexcept nogil:
    """Step on the features that are held."""
    cdef Py_ssize_t stride = u.gradient_stride, k = 0, c
    cdef floating* held = <floating*> u.held
    cdef floating values[FEW]
    cdef floating gradients[FEW]
    cdef int32_t few[FEW]
    while k + FEW <= n:
        step_few(u, rule, features + k, x + k, gradient + k * stride, held + k * n_fields)
        k += FEW
    if k < n and n > FEW:
        # Those that are there twice move twice from where they were, to the same place.
        c = n - FEW
        step_few(u, rule, features + c, x + c, gradient + c * stride, held + k * n_fields)
    elif k < n:
        for c in range(FEW):
            values[c] = x[min(c, n - 1)]
            gradients[c] = gradient[min(c, n - 1) * stride]
        step_few(u, rule, filled(features, n, few), values, gradients, held)


cdef inline within step_records(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
    Py_ssize_t n_fields,
) noexcept nogil:
    cdef Py_ssize_t first = 0, size
    cdef floating now = <floating> u.clock
    if u.row_by_row:
        step_held(u, rule, features, x, n, gradient, n_fields)
        return
    while first < n:
        size = min(n - first, ROOM)
        hold(u, features + first, size, <floating*> u.held, n_fields, now)
        step_held(u, rule, features + first, x + first, size, gradient + first * u.gradient_stride, n_fields)
        first += size


cdef apart step_on_lanes(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
) noexcept nogil:
    """Step on the features of a single column."""
    if u.record_size == 4:
        step_records(u, rule, features, x, n, gradient, 4)
    else:
        step_records(u, rule, features, x, n, gradient, 8)
