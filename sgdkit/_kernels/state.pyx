# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The compiled update of each optimizer, one touched coordinate at a time.

Everything known of a feature stands in one record, so that it shares a cache line:

    state[feature, slot, column] for every slot and column, then what the columns share: the penalty's clock, ...

Slot 0 is the weight, or a multiple of it, as said below. Slot 1 of an adaptive optimizer is the root of its second
moment, so that its denominator is `d = metric_scale * (slot 1 + epsilon)`; that of the others is the constant
`metric_scale`. The last slot is the running correction of the average, if there is one. The last record is the
intercept's.

A row is read, which brings its features up to date and scores it, and then stepped on. Of a single column of an
adaptive optimizer, records of four features at a time are transposed on the way, so that features stand where columns
would be: `held[feature // 4, field, feature % 4]`. There they stay until the row is stepped on.

Invariants:
- A step is `w <- prox(w - rate * direction)`, with the penalty's proximal operator in the metric d / rate. The
  gradient part is taken by `step`. The proximal part waits until the coordinate is next read, and `catch_up` then takes
  it with the sum of the rates since: d does not change in between.
- Where d is one and the same constant for all coordinates, an l2 penalty alone shrinks all of them by the same factor
  in each step; then weights are stored times `growth`, the inverse of the product of the factors, and nothing waits.
- Where each row is stepped on as soon as it is read, and an l2 penalty waits, slot 0 of an adaptive optimizer holds the
  weight times d from a step to the next reading. This divides once, by d and what the penalty adds to it; a step does
  not divide. A clock below zero (no step since the last flush) says that the weight itself stands there, as it does
  wherever nothing but `read` and `step` has to do with it.
- A coordinate of an adaptive optimizer that no gradient has reached has no metric; its weight is left alone.
- `direction` by its metric settles at `gradient / d` where the gradient is constant; otherwise the penalty would be
  weighed wrongly.

To add an optimizer: a struct for its numbers, its formula in `direction`, a class that names its slots, and its
hyper-parameters in `sgdkit/optimizers.py`.
"""

import numpy as np

from cython cimport floating
from libc.math cimport fabs, sqrt, sqrtf
from libc.stdint cimport int32_t

from sgdkit._kernels.compiler cimport (
    LINE, SGDKIT_ONE_BY_ONE, apart, cloned, fetch_lines, own_doubles, own_floats, own_numbers, within,
)
from sgdkit._kernels.proximal cimport shrink
from sgdkit._kernels.moves cimport move_columns, move_features
from sgdkit._kernels.scores cimport score_row
from sgdkit._kernels.transposition cimport transpose

from sgdkit.penalties import Penalty


cdef enum:
    # So many features of a single column are worked on at a time, each where a column would be.
    FEW = 4
    # So many features are brought up to date in one call at the end of an epoch.
    ROOM = 256
    # The clock of a record since the beginning of the epoch.
    FRESH = -1

ctypedef struct SGDRule:
    double momentum
    bint nesterov

ctypedef struct AdaGradRule:
    double epsilon

ctypedef struct AdamRule:
    double beta_1
    double beta_2
    double epsilon
    bint amsgrad

ctypedef struct RMSPropRule:
    double rho
    double momentum
    double epsilon
    bint centered

ctypedef fused Rule:
    SGDRule
    AdaGradRule
    AdamRule
    RMSPropRule


cdef inline floating _sqrt(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline void gains(
    const Rule* rule, floating* shared, Py_ssize_t stride, Py_ssize_t n, floating* gain,
) noexcept nogil:
    """What the columns share in one touch of `n` features: the weights of the new gradient in debiased averages.

    With q = 1 - beta^n after n touches, the debiased average m = (1 - beta) sum_i beta^(n-i) g_i / q follows
    m <- m + (1 - beta) / q * (g - m), and q <- beta q + 1 - beta.
    """
    cdef floating beta_1, beta_2, one = 1
    cdef Py_ssize_t k
    if Rule is AdamRule:
        beta_1, beta_2 = <floating> rule.beta_1, <floating> rule.beta_2
        for k in range(n):
            shared[stride + k] = beta_1 * shared[stride + k] + (one - beta_1)
            shared[2 * stride + k] = beta_2 * shared[2 * stride + k] + (one - beta_2)
            gain[k] = (one - beta_1) / shared[stride + k]
            gain[stride + k] = (one - beta_2) / shared[2 * stride + k]


cdef inline within direction(
    const Rule* rule, floating* slot, floating* others, Py_ssize_t stride, floating g, floating gain_1,
    floating gain_2, bint plain, floating* metric, floating* move,
) noexcept nogil:
    """Take the gradient `g` into the moments of one coordinate, and write what its weight moves by at rate 1.

    `slot` points to its slot 1, `others` to slot 2, from which on slots are `stride` numbers apart. The `move` is
    still to be divided by the `metric`, which is written unless it is always 1. `plain` says that the rule's options
    are off, so that the compiler drops the branches.
    """
    cdef floating root, v, mean, rho, momentum, epsilon, one = 1
    if Rule is SGDRule:
        momentum = <floating> rule.momentum
        if plain or momentum == 0:
            move[0] = g
            return
        slot[0] = momentum * slot[0] + g
        move[0] = g + momentum * slot[0] if rule.nesterov else slot[0]
    elif Rule is AdaGradRule:
        root = _sqrt(slot[0] * slot[0] + g * g)
        slot[0] = root
        metric[0] = root + <floating> rule.epsilon
        move[0] = g
    elif Rule is AdamRule:
        epsilon = <floating> rule.epsilon
        root = slot[0]
        mean = others[0]
        mean += gain_1 * (g - mean)
        if rule.amsgrad and not plain:
            others[stride] += gain_2 * (g * g - others[stride])
            root = max(root, _sqrt(others[stride]))
        else:
            v = root * root
            root = _sqrt(v + gain_2 * (g * g - v))
        slot[0] = root
        others[0] = mean
        metric[0] = root + epsilon
        move[0] = mean
    elif Rule is RMSPropRule:
        rho = <floating> rule.rho
        momentum = <floating> rule.momentum
        epsilon = <floating> rule.epsilon
        if rule.centered and not plain:
            mean = rho * others[0] + (one - rho) * g
            v = others[stride]
            v += (one if v == 0 else one - rho) * (g * g - v)
            others[0] = mean
            others[stride] = v
            v -= mean * mean
            root = _sqrt(v if v > 0 else 0)
        else:
            v = slot[0] * slot[0]
            root = _sqrt(v + (one if v == 0 else one - rho) * (g * g - v))
        slot[0] = root
        metric[0] = root + epsilon
        if plain or momentum == 0:
            move[0] = g
            return
        if rule.centered:
            others += 2 * stride
        others[0] = momentum * others[0] + g / metric[0]
        metric[0] = one
        move[0] = others[0]


cdef inline floating stepped_product(
    floating w, floating move, floating metric, floating root, floating largest,
) noexcept nogil:
    """A weight times its metric after a step; the weight, where the root in its metric is 0.

    `largest` is the inverse of what the metric then is.
    """
    return w - move * largest if root == 0 else w * metric - move


cdef inline floating largest_inverse(const Rule* rule, floating unused) noexcept nogil:
    """The inverse of the smallest metric."""
    cdef floating one = 1
    if Rule is SGDRule:
        return one
    else:
        return one / <floating> rule.epsilon


cdef inline within step_record(
    const Rule* rule, own_numbers w, own_numbers slot, own_numbers others, own_numbers average, own_numbers gradient,
    own_numbers steps, floating x, const floating* gain, floating largest, floating weight, Py_ssize_t n, bint plain,
    bint products,
) noexcept nogil:
    """Step on a feature in `n` columns; `average` is NULL, or points to the last slot."""
    cdef floating move = 0, metric = 1
    cdef Py_ssize_t c
    if (floating is float and own_numbers is own_floats) or (floating is double and own_numbers is own_doubles):
        for c in range(n):
            direction(rule, slot + c, others + c, n, x * gradient[c], gain[0], gain[1], plain, &metric, &move)
            if products:
                w[c] = stepped_product(w[c], steps[c] * move, metric, slot[c], largest)
                continue
            if Rule is not SGDRule:
                move /= metric
            move *= steps[c]
            w[c] -= move
            if average != NULL:
                average[c] -= weight * move


cdef inline within step_columns(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
    Py_ssize_t n_columns, Py_ssize_t record, bint average, bint plain, bint products,
) noexcept nogil:
    cdef floating* steps = <floating*> u.steps
    cdef Py_ssize_t stride = u.gradient_stride, n_slots = u.n_slots
    cdef floating weight = <floating> u.n_averaged, largest = largest_inverse(rule, weight)
    cdef Rule own_rule = rule[0]
    cdef floating gain[2]
    cdef floating* slot
    cdef floating* last = NULL
    cdef Py_ssize_t k
    for k in range(n):
        slot = <floating*> u.data + features[k] * record
        gains(&own_rule, slot + n_slots * n_columns, 1, 1, gain)
        if average:
            last = slot + (n_slots - 1) * n_columns
        step_record(
            &own_rule, slot, slot + n_columns, slot + 2 * n_columns, last, <floating*> gradient, steps, x[k], gain,
            largest, weight, n_columns, plain, products,
        )
        gradient += stride


cdef inline void load_records(
    const floating* state, const int32_t* features, Py_ssize_t n_fields, floating* lanes,
) noexcept nogil:
    """Copy the records of `FEW` features to `lanes[field, feature]`."""
    cdef const floating* a = state + features[0] * n_fields
    cdef const floating* b = state + features[1] * n_fields
    cdef const floating* c = state + features[2] * n_fields
    cdef const floating* d = state + features[3] * n_fields
    transpose(a, b, c, d, lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW)
    if n_fields == 8:
        lanes += 4 * FEW
        transpose(a + 4, b + 4, c + 4, d + 4, lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW)


cdef inline void store_records(
    floating* state, const int32_t* features, Py_ssize_t n_fields, const floating* lanes,
) noexcept nogil:
    """Copy records back; of one that is there several times the first, because it is written last."""
    cdef floating* a = state + features[0] * n_fields
    cdef floating* b = state + features[1] * n_fields
    cdef floating* c = state + features[2] * n_fields
    cdef floating* d = state + features[3] * n_fields
    transpose(lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW, a, b, c, d)
    if n_fields == 8:
        lanes += 4 * FEW
        transpose(lanes, lanes + FEW, lanes + 2 * FEW, lanes + 3 * FEW, a + 4, b + 4, c + 4, d + 4)


cdef inline within catch_up_lanes(
    State u, const int32_t* features, floating now, floating stamp, floating* lanes, Py_ssize_t n_fields,
    bint products, bint has_l1, bint has_units,
) noexcept nogil:
    """Load the records of `FEW` features, and bring them up to date."""
    cdef floating l1 = (<const floating*> u.l1)[0], l2 = (<const floating*> u.l2)[0]
    cdef floating epsilon = <floating> u.epsilon, scale = <floating> u.metric_scale
    cdef Py_ssize_t clock = u.n_slots * FEW, k
    cdef floating missed[FEW]
    cdef floating own[FEW]
    cdef floating w, d, of_l1, of_l2, zero = 0
    load_records(<const floating*> u.data, features, n_fields, lanes)
    if not u.lazy:
        return
    for k in range(FEW):
        missed[k] = now - (lanes[clock + k] if lanes[clock + k] > 0 else zero)
    if has_units:
        for k in range(FEW):
            own[k] = (<const floating*> u.units)[features[k]]
    for k in range(FEW):
        of_l1 = of_l2 = missed[k]
        if has_units:
            of_l1 *= own[k]
            of_l2 *= own[k] * own[k]
        d = scale * (lanes[FEW + k] + epsilon)
        if products:
            w = lanes[k] * d if lanes[clock + k] < 0 else lanes[k]
            w /= d + l2 * of_l2
            lanes[k] = lanes[k] if lanes[FEW + k] == 0 else w
        else:
            w = shrink(lanes[k], l1 * of_l1, l2 * of_l2, d, has_l1)
            lanes[k] = lanes[k] if (lanes[FEW + k] == 0) | (missed[k] == 0) else w
    for k in range(FEW):
        lanes[clock + k] = stamp


cdef cloned catch_up_few(
    State u, const int32_t* features, floating now, floating stamp, floating* lanes,
) noexcept nogil:
    cdef Py_ssize_t n_fields = u.record_size
    # With constants, the compiler drops branches.
    if u.products and u.units:
        catch_up_lanes(u, features, now, stamp, lanes, n_fields, True, False, True)
    elif u.products and n_fields == 4:
        catch_up_lanes(u, features, now, stamp, lanes, 4, True, False, False)
    elif u.products:
        catch_up_lanes(u, features, now, stamp, lanes, 8, True, False, False)
    elif u.units:
        catch_up_lanes(u, features, now, stamp, lanes, n_fields, False, True, True)
    elif u.has_l1:
        catch_up_lanes(u, features, now, stamp, lanes, n_fields, False, True, False)
    else:
        catch_up_lanes(u, features, now, stamp, lanes, n_fields, False, False, False)


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
    cdef floating* state = <floating*> u.data
    cdef int32_t few[FEW]
    cdef Py_ssize_t k = 0
    while k + FEW <= n:
        store_records(state, features + k, n_fields, held + k * n_fields)
        k += FEW
    if k < n:
        features = features + n - FEW if n > FEW else filled(features, n, few)
        store_records(state, features, n_fields, held + k * n_fields)


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
    if u.keeps:
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


cdef apart read_transposed(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* score,
) noexcept nogil:
    # With a constant, the compiler drops loops and multiplications.
    if u.record_size == 4:
        read_records(u, features, x, n, score, 4)
    else:
        read_records(u, features, x, n, score, 8)


cdef inline within step_lanes(
    State u, const Rule* rule, const int32_t* features, const floating* x, const floating* gradient, floating* lanes,
    Py_ssize_t stride, Py_ssize_t n_fields, bint products,
) noexcept nogil:
    """Step on `FEW` features that are held, and store their records."""
    cdef Py_ssize_t k
    cdef floating step = (<const floating*> u.steps)[0]
    cdef Rule own_rule = rule[0]
    cdef floating gain[2 * FEW]
    cdef floating g[FEW]
    cdef floating move = 0, metric = 1, largest = largest_inverse(rule, step)
    for k in range(FEW):
        g[k] = x[k] * gradient[k * stride]
    gains(&own_rule, lanes + u.n_slots * FEW, FEW, FEW, gain)
    for k in range(FEW):
        direction(
            &own_rule, lanes + FEW + k, lanes + 2 * FEW + k, FEW, g[k], gain[k], gain[FEW + k], True, &metric, &move,
        )
        if products:
            lanes[k] = stepped_product(lanes[k], step * move, metric, lanes[FEW + k], largest)
        else:
            lanes[k] -= step * (move / metric)
    store_records(<floating*> u.data, features, n_fields, lanes)


cdef cloned step_few(
    State u, const Rule* rule, const int32_t* features, const floating* x, const floating* gradient, floating* lanes,
) noexcept nogil:
    if u.gradient_stride:
        step_lanes(u, rule, features, x, gradient, lanes, 1, u.record_size, False)
    elif not u.products:
        step_lanes(u, rule, features, x, gradient, lanes, 0, u.record_size, False)
    elif u.record_size == 4:
        step_lanes(u, rule, features, x, gradient, lanes, 0, 4, True)
    else:
        step_lanes(u, rule, features, x, gradient, lanes, 0, 8, True)


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
    if u.keeps:
        step_held(u, rule, features, x, n, gradient, n_fields)
        return
    while first < n:
        size = min(n - first, ROOM)
        hold(u, features + first, size, <floating*> u.held, n_fields, now)
        step_held(u, rule, features + first, x + first, size, gradient + first * u.gradient_stride, n_fields)
        first += size


cdef apart step_transposed(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, const floating* gradient,
) noexcept nogil:
    """Step on the features of a single column."""
    if u.record_size == 4:
        step_records(u, rule, features, x, n, gradient, 4)
    else:
        step_records(u, rule, features, x, n, gradient, 8)


cdef inline void refresh(
    State u, const int32_t* features, Py_ssize_t n, floating* held, floating stamp,
) noexcept nogil:
    """Bring at most `ROOM` features of a single column up to date."""
    hold(u, features, n, held, u.record_size, stamp)
    put_back(u, features, n, held, u.record_size)


cdef inline within moves_of(
    own_numbers moves, own_numbers gradient, own_numbers scale, own_doubles growth, own_doubles rates, Py_ssize_t n,
    bint own_rates, bint together, floating unused,
) noexcept nogil:
    """Write what weights move by in `n` columns, where they are stored times `growth`."""
    cdef floating step
    cdef Py_ssize_t c
    if (floating is float and own_numbers is own_floats) or (floating is double and own_numbers is own_doubles):
        for c in range(n):
            step = <floating> rates[c if own_rates else 0] * scale[c]
            moves[c] = step * <floating> growth[0 if together else c] * gradient[c]


cdef inline within move(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t n_columns,
) noexcept nogil:
    """Step along a gradient that is `x[k]` times the same for all features."""
    cdef floating* state = <floating*> u.data
    cdef floating* gradient = <floating*> u.gradient
    cdef floating* moves = <floating*> u.steps
    cdef floating* scale = <floating*> u.scale
    cdef double* rates = <double*> u.rates
    cdef floating once = 1
    cdef double one = 1
    cdef int32_t intercept = <int32_t> u.n_features
    if u.fit_intercept:
        moves_of(moves, gradient, scale, &one, rates, n_columns, u.rate_stride, True, once)
        move_columns(state, &intercept, &once, 1, moves, n_columns, u.record_size)
    # With constants, the compiler drops branches.
    if u.together:
        moves_of(moves, gradient, scale, u.growth, rates, n_columns, False, True, once)
    elif u.rate_stride:
        moves_of(moves, gradient, scale, u.growth, rates, n_columns, True, False, once)
    else:
        moves_of(moves, gradient, scale, u.growth, rates, n_columns, False, False, once)
    if n_columns == 1 and u.record_size == 1:
        move_features(state, features, x, n, moves[0])
        return
    move_columns(state, features, x, n, moves, n_columns, u.record_size)


cdef inline within step_of(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n, Py_ssize_t m,
) noexcept nogil:
    """Move the intercept, and the weights of the features that were read, in all `m` columns."""
    cdef int32_t intercept = <int32_t> u.n_features
    cdef floating one = 1
    cdef floating* steps = <floating*> u.steps
    cdef const floating* scale = <const floating*> u.scale
    cdef const floating* gradient = <const floating*> u.gradient
    cdef Py_ssize_t c
    if Rule is SGDRule and u.plain and u.gradient_stride == 0 and not u.average:
        move(u, features, x, n, m)
        turn(u, one, m)
        return
    if u.rate_stride:
        for c in range(m):
            steps[c] = <floating> u.rates[c] * scale[c]
    else:
        for c in range(m):
            steps[c] = <floating> u.rates[0] * scale[c]
    if u.fit_intercept:
        gradient = <const floating*> u.intercept_gradient
        step_columns(u, rule, &intercept, &one, 1, gradient, m, u.record_size, u.average, False, False)
        gradient = <const floating*> u.gradient
    if u.scaled:
        if u.together:
            for c in range(m):
                steps[c] *= <floating> u.growth[0]
        else:
            for c in range(m):
                steps[c] *= <floating> u.growth[c]
    # With constants, the compiler drops loops and branches.
    if u.average or not u.plain:
        step_columns(u, rule, features, x, n, gradient, m, u.record_size, u.average, False, False)
    elif m == 1 and u.transposed:
        step_transposed(u, rule, features, x, n, gradient)
    elif Rule is not SGDRule and u.products:
        step_columns(u, rule, features, x, n, gradient, m, u.record_size, False, True, True)
    else:
        step_columns(u, rule, features, x, n, gradient, m, u.record_size, False, True, False)
    turn(u, one, m)


cdef cloned step_many(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    step_of(u, rule, features, x, n, u.n_columns)


# For some float32 columns, vectors of eight would only be in the way.
cdef apart step_some(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    step_of(u, rule, features, x, n, u.n_columns)


cdef inline void step(
    State u, const Rule* rule, const int32_t* features, const floating* x, Py_ssize_t n,
) noexcept nogil:
    """Move the weights, whose gradients are `x[k] * gradient[k]`, and turn the clocks."""
    # With constants, the compiler drops and unrolls all loops over columns.
    if u.n_columns == 1:
        step_of(u, rule, features, x, n, 1)
    elif u.n_columns == 2:
        step_of(u, rule, features, x, n, 2)
    elif u.n_columns == 3:
        step_of(u, rule, features, x, n, 3)
    elif Rule is SGDRule and u.n_columns == 4:
        step_of(u, rule, features, x, n, 4)
    elif floating is float and Rule is not SGDRule and u.n_columns < 8:
        step_some(u, rule, features, x, n)
    else:
        step_many(u, rule, features, x, n)


cdef inline within turn(State u, floating unused, Py_ssize_t m) noexcept nogil:
    """Turn the clocks after a step."""
    cdef floating* inverse = <floating*> u.inverse
    u.clock += u.rates[0]
    u.n_rows_seen += u.n_rows
    if u.average and u.n_rows_seen >= u.average_from:
        u.n_averaged += 1
    if u.scaled:
        if u.rate_stride:
            grow(u, u.rates, inverse, m, True)
        else:
            if u.together:
                grow(u, u.rates, inverse, 1, False)
            else:
                grow(u, u.rates, inverse, m, False)


cdef inline within grow(
    State u, const double* rates, floating* inverse, Py_ssize_t n, bint own_rates,
) noexcept nogil:
    cdef double* growth = u.growth
    cdef const double* decay = u.decay
    cdef int large = 0
    cdef Py_ssize_t c
    for c in range(n):
        growth[c] *= 1 + rates[c if own_rates else 0] * decay[c]
    for c in range(n):
        inverse[c] = <floating> (1 / growth[c])
    for c in range(n):
        # Not a number counts as large too.
        large |= not growth[c] < u.largest_growth
    if large:
        fold(u, inverse)


cdef inline void fold(State u, floating* inverse) noexcept nogil:
    """Store the weights as they are."""
    cdef floating* weight = <floating*> u.data
    cdef Py_ssize_t _, c
    for _ in range(u.n_features):
        for c in range(u.n_columns):
            weight[c] *= inverse[0 if u.together else c]
        weight += u.record_size
    for c in range(u.n_columns):
        u.growth[c] = 1
        inverse[c] = 1


cdef inline within catch_up_record(
    own_numbers w, own_numbers root, own_numbers average, own_numbers l1, own_numbers l2, floating epsilon,
    floating scale, floating of_l1, floating of_l2, floating weight, Py_ssize_t n, bint adaptive, bint waits,
    bint products, bint is_product, bint has_l1,
) noexcept nogil:
    """Bring a feature up to date in `n` columns; `average` is NULL, or points to the last slot."""
    cdef floating d = scale, v
    cdef Py_ssize_t c
    if (floating is float and own_numbers is own_floats) or (floating is double and own_numbers is own_doubles):
        for c in range(n):
            if adaptive:
                d = scale * (root[c] + epsilon)
            if products:
                v = (w[c] if is_product else w[c] * d) / (d + l2[c] * of_l2)
            else:
                v = shrink(w[c], l1[c] * of_l1, l2[c] * of_l2, d, has_l1)
            if waits and root[c] == 0:
                # No gradient has come yet, so there is no metric; given weights are not to vanish for that.
                v = w[c]
            if average != NULL:
                average[c] += weight * (v - w[c])
            w[c] = v


cdef inline within catch_up_columns(
    State u, const int32_t* features, Py_ssize_t n, floating now, floating stamp, Py_ssize_t n_columns,
    Py_ssize_t record, bint adaptive, bint products, bint has_l1, bint average, bint has_units,
) noexcept nogil:
    cdef floating* l1 = <floating*> u.l1
    cdef floating* l2 = <floating*> u.l2
    cdef Py_ssize_t n_slots = u.n_slots
    cdef floating epsilon = <floating> u.epsilon, scale = <floating> u.metric_scale
    cdef floating weight = <floating> u.n_averaged
    cdef floating* slot
    cdef floating* last = NULL
    cdef floating since, of_l1, of_l2, unit, zero = 0
    cdef Py_ssize_t n_coming = u.n_coming, k
    if products:
        # As it is without options; so the compiler drops a multiplication.
        scale = 1
    for k in range(n):
        # One by one: asked for all at once, they would wait for one another, and drive out those of this row.
        if k < n_coming:
            fetch_lines(<const char*> (<const floating*> u.data + u.coming[k] * record), record * sizeof(floating))
        slot = <floating*> u.data + features[k] * record
        since = slot[n_slots * n_columns]
        slot[n_slots * n_columns] = stamp
        of_l1 = of_l2 = now - (since if since > 0 else zero)
        if of_l1 == 0 and not products:
            continue
        if has_units:
            unit = (<const floating*> u.units)[features[k]]
            of_l1 *= unit
            of_l2 *= unit * unit
        if average:
            last = slot + (n_slots - 1) * n_columns
        catch_up_record(
            slot, slot + n_columns, last, l1, l2, epsilon, scale, of_l1, of_l2, weight, n_columns, adaptive,
            products or u.waits, products, since >= 0, has_l1,
        )


cdef inline within catch_up(
    State u, const int32_t* features, Py_ssize_t n, floating stamp, Py_ssize_t m,
) noexcept nogil:
    """Bring some features up to date in all `m` columns."""
    cdef Py_ssize_t record = u.record_size
    cdef floating now = <floating> u.clock
    if not u.lazy:
        return
    # With constants, the compiler drops loops and branches.
    if u.products:
        catch_up_columns(u, features, n, now, stamp, m, record, True, True, False, False, u.units != NULL)
    elif u.has_l1 or u.average or u.units:
        catch_up_columns(
            u, features, n, now, stamp, m, record, u.adaptive, False, u.has_l1, u.average, u.units != NULL,
        )
    else:
        catch_up_columns(u, features, n, now, stamp, m, record, True, False, False, False, False)


cdef inline within score(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores, Py_ssize_t m,
) noexcept nogil:
    """Write the score of a row for each of `m` columns."""
    cdef const floating* intercept = <const floating*> u.data + u.n_features * u.record_size
    cdef const floating* inverse = <const floating*> u.inverse
    cdef Py_ssize_t c
    score_row(<const floating*> u.data, features, x, n, scores, m, u.record_size)
    if u.scaled:
        for c in range(m):
            scores[c] *= inverse[0 if u.together else c]
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


cdef apart read_some(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    read_columns(u, features, x, n, scores, u.n_columns)


cdef inline void read(
    State u, const int32_t* features, const floating* x, Py_ssize_t n, floating* scores,
) noexcept nogil:
    """Bring the features of a row up to date, and score it."""
    if u.transposed:
        read_transposed(u, features, x, n, scores)
    elif u.n_columns == 1:
        read_columns(u, features, x, n, scores, 1)
    elif u.n_columns == 2:
        read_columns(u, features, x, n, scores, 2)
    elif u.n_columns == 3:
        read_columns(u, features, x, n, scores, 3)
    elif u.n_columns == 4 and not u.adaptive:
        read_columns(u, features, x, n, scores, 4)
    elif floating is float and u.adaptive and u.n_columns < 8:
        read_some(u, features, x, n, scores)
    else:
        read_many(u, features, x, n, scores)


cdef void flush(State u, floating* state) noexcept nogil:
    cdef floating fresh = FRESH
    cdef int32_t features[ROOM]
    cdef Py_ssize_t first, j, n
    if u.scaled:
        fold(u, <floating*> u.inverse)
    if not u.lazy or not u.stale:
        return
    # It belongs to the last step, whose weight in the average is 1 less than that of the step to come.
    u.n_averaged -= u.n_averaged > 0
    first = 0
    while first < u.n_features:
        n = min(u.n_features - first, ROOM)
        for j in range(n):
            features[j] = <int32_t> (first + j)
        if u.transposed:
            refresh(u, features, n, <floating*> u.held, fresh)
        else:
            catch_up(u, features, n, fresh, u.n_columns)
        first += ROOM
    u.n_averaged += u.average and u.n_rows_seen >= u.average_from


cdef inline double penalty_of(State u, double w, Py_ssize_t c) noexcept nogil:
    return fabs(w) * u.alpha_l1[c] + w * w * u.alpha_l2[c] / 2


cdef void penalty(State u, const floating* state, double* values) noexcept nogil:
    cdef const floating* units = <const floating*> u.units
    cdef Py_ssize_t m = u.n_columns, record = u.record_size, j = 0, c
    for c in range(m):
        values[c] = 0
    while units and j < u.n_features:
        for c in range(m):
            values[c] += penalty_of(u, <double> units[j] * state[c], c)
        state += record
        j += 1
    while j + 4 <= u.n_features:
        for c in range(m):
            # Four at a time, because each addition waits for the one before.
            values[c] += (
                (penalty_of(u, state[c], c) + penalty_of(u, state[record + c], c))
                + (penalty_of(u, state[2 * record + c], c) + penalty_of(u, state[3 * record + c], c))
            )
        state += 4 * record
        j += 4
    while j < u.n_features:
        for c in range(m):
            values[c] += penalty_of(u, state[c], c)
        state += record
        j += 1
    for c in range(m):
        # Adds 0, unless it is not finite.
        values[c] += 0 * state[c]


cdef class State:
    """An optimizer at work on the columns of a problem.

    Parameters
    ----------
    optimizer : Optimizer
        The hyper-parameters.
    record : ndarray of shape (n_features + 1, n_slots * n_columns + n_shared), or None
        The state to go on from, which is taken over if it is laid out as one is here; None begins at zero.
    shape : tuple of int (n_features, n_columns)
    dtype : {numpy.float32, numpy.float64}
    fit_intercept : bool, default=True
    average_from : int, default=0
        The average begins with the step that has seen this number of rows; 0 means that there is none.
    clocks : tuple of (float, int, int)
        The sum of rates since the epoch began, the rows seen, and the iterates averaged.
    """

    def __init__(self, optimizer, record, shape, dtype, *, fit_intercept=True, average_from=0, clocks=(0.0, 0, 0)):
        self.optimizer = optimizer
        self.n_features, self.n_columns = shape
        self.fit_intercept = fit_intercept
        self.average_from = average_from
        self.average = average_from > 0
        self.smallest = float(np.finfo(dtype).tiny)
        self.largest_growth = 1e20 if dtype == np.float32 else 1e200
        # Its square is no infinity, nor is that times a rate.
        self.largest_unit = 1e14 if dtype == np.float32 else 1e145
        self.metric_scale = 1.0
        self.plain = True
        self.waits = True
        self.n_slots = self._configure(optimizer) + self.average
        self.waits = self.waits and self.adaptive
        self._vectors = {}
        self.clock, self.n_rows_seen, self.n_averaged = clocks
        if record is None:
            width = self.n_slots * self.n_columns + self.n_shared
            self._hold(zero_records(self.n_features + 1, width, dtype))
            self._start()
        else:
            self._hold(record)
            self.n_shared = record.shape[1] - self.n_slots * self.n_columns
        self.stale = self.clock > 0
        if self.adaptive and not self.stale:
            self.record[:, self.n_slots * self.n_columns] = FRESH
        usual = self.adaptive and self.plain and not self.average
        self.transposed = usual and self.n_columns == 1 and self.record_size in (4, 8)
        self._make_room(ROOM)
        self.set_columns(Penalty(0.0, 0.0), np.ones(self.n_columns))

    def __reduce__(self):
        self._settle()
        if self.scaled:
            self.flush()
        clocks = self.clock, self.n_rows_seen, self.n_averaged
        return _rebuild, (
            type(self), self.optimizer, self.record, (self.n_features, self.n_columns), self.fit_intercept,
            self.average_from, clocks,
        )

    def set_columns(self, penalty, scale):
        """Set the penalty, and the factor of each column's rate (shape (n_columns,)), before the first step.

        The strengths of the penalty are numbers, or arrays of shape (n_columns,).
        """
        self._settle()
        l1, l2 = penalty.l1, penalty.l2
        self.has_l1 = bool(np.any(l1))
        penalised = self.has_l1 or bool(np.any(l2))
        self.lazy = penalised and (not penalty.shrinks_alike or self.adaptive or self.average)
        self.scaled = penalised and not self.lazy
        if not self.adaptive and (self.lazy or not self.clock):
            self._lay_out(self.lazy)
        self.units = NULL
        if penalty.units is not None:
            self._units = penalty.units.clip(None, self.largest_unit).astype(self.record.dtype)
            self.units = <void*> <size_t> address(self._units)
        self.uniform = np.ptp(scale) == 0 and np.ptp(l2) == 0
        self.l1 = self._vector("l1", l1 * scale)
        self.l2 = self._vector("l2", l2 * scale)
        self.scale = self._vector("scale", scale)
        self.steps = self._vector("steps", 0.0)
        self.inverse = self._vector("inverse", 1.0)
        self.alpha_l1 = <double*> self._vector("alpha_l1", l1, np.float64)
        self.alpha_l2 = <double*> self._vector("alpha_l2", l2, np.float64)
        # What a step at rate 1 shrinks a weight by, to first order.
        self.decay = <double*> self._vector("decay", l2 * scale / self.metric_scale, np.float64)
        self.growth = <double*> self._vector("growth", 1.0, np.float64)

    def _lay_out(self, n_shared):
        """Widen or narrow the records, between two epochs."""
        if n_shared != self.n_shared:
            width = self.n_slots * self.n_columns + n_shared
            record, kept = zero_records(self.n_features + 1, width, self.record.dtype), min(width, self.record.shape[1])
            record[:, :kept] = self.record[:, :kept]
            self.n_shared = n_shared
            self._hold(record)

    def _hold(self, record):
        self.record_size = record_stride(record.shape[1], record.itemsize)
        laid_out = record.strides == (self.record_size * record.itemsize, record.itemsize)
        # That of a memory-mapped pickle cannot be written to, and another machine's may have another order of bytes.
        if laid_out and not address(record) % LINE and record.flags.writeable and record.dtype.isnative:
            self.record = record
        else:
            self.record = zero_records(*record.shape, record.dtype.newbyteorder("="))
            self.record[...] = record
        self.data = <void*> <size_t> address(self.record)
        self.single = self.record.dtype == np.float32

    cdef void* _vector(self, name, values, dtype=None) except NULL:
        """Keep an array of a number for each column, and return its address."""
        self._vectors[name] = array = np.full(self.n_columns, values, dtype=dtype or self.record.dtype)
        return <void*> <size_t> array.__array_interface__["data"][0]

    def _make_room(self, n):
        """Make room for so many features that are held."""
        n = -(-n // ROOM) * ROOM
        if self.transposed and n > self.room:
            self.room = n
            self._held = zero_records(n, self.record_size, self.record.dtype)
            self.held = <void*> <size_t> address(self._held)

    def prepare(self, n_rates, longest=0):
        """Get ready for steps at `n_rates` (1, or one a column) rates each.

        `longest` is the number of features of the longest row, if each row is stepped on as soon as it is read, else 0.
        """
        self.keeps = longest > 0
        products = self.keeps and self.lazy and self.adaptive and self.plain and not (self.average or self.has_l1)
        if products != self.products:
            self.flush()
        self.products, self.stale = products, True
        self._make_room(longest)
        if n_rates > 1 and self.lazy:
            raise ValueError("Columns with rates of their own need a penalty of l2 only, and a constant metric.")
        self.asks = self.lazy and not self.transposed and self.record_size * self.record.itemsize > LINE
        self.rate_stride = n_rates > 1
        self.together = self.uniform and n_rates == 1

    def load(self, weights):
        """Go on from other weights, with the moments as they are and no average."""
        self._settle()
        self.slot(0)[:] = weights
        self.n_averaged = 0
        if self.average:
            self.slot(self.n_slots - 1)[:] = 0

    def rescale(self, ratio, drift):
        """Go on with features whose gradients are `ratio` (of shape (n_features,)) times what they were.

        Weights are divided by it, the intercepts move by `drift` times the old weights, and a slot of the degree k in
        the gradient is multiplied by its k-th power.
        """
        self._settle()
        for number in [0, self.n_slots - 1] if self.average else [0]:
            weights = self.slot(number)
            weights[self.n_features] += drift @ weights[:self.n_features]
            weights[:self.n_features] /= ratio[:, np.newaxis]
        for number, degree in enumerate(self.degrees, start=1):
            self.slot(number)[:self.n_features] *= ratio[:, np.newaxis] ** degree

    def take(self, columns):
        """The state of some of the columns, between two epochs."""
        self._settle()
        fields = np.arange(self.n_slots * self.n_columns).reshape(self.n_slots, -1)[:, columns].ravel()
        shared = np.arange(self.n_slots * self.n_columns, self.record.shape[1])
        kept = np.append(fields, shared)
        record = zero_records(len(self.record), len(kept), self.record.dtype)
        np.take(self.record, kept, axis=1, out=record, mode="clip")
        return _rebuild(
            type(self), self.optimizer, record, (self.n_features, len(columns)), self.fit_intercept, self.average_from,
            (self.clock, self.n_rows_seen, self.n_averaged),
        )

    def slot(self, number):
        """A view of one slot, of shape (n_features + 1, n_columns)."""
        return self.record[:, number * self.n_columns:(number + 1) * self.n_columns]

    def weights(self):
        """The weights that the user is to get: the average, if there is one yet. A view, or a new array."""
        if not self.n_averaged:
            return self.slot(0)
        return self.slot(0) - self.slot(self.n_slots - 1) / self.record.dtype.type(self.n_averaged)

    def _settle(self):
        """Turn products into weights, where something else than steps comes next."""
        if self.products:
            self.flush()

    def release(self):
        """Let go of the data of a fit; nothing is kept of them here."""

    def flush(self):
        """Apply to every feature the penalty that it has missed, and turn the clock back to zero."""
        if self.single:
            flush(self, <float*> self.data)
        else:
            flush(self, <double*> self.data)
        self.clock = 0
        self.stale = False

    def penalty(self):
        """The penalty of each column, of shape (n_columns,); nan or infinite where a weight is not finite."""
        values = np.empty(self.n_columns)
        self.write_penalty(<double*> <size_t> address(values))
        return values

    cdef void write_penalty(self, double* values):
        if self.single:
            penalty(self, <const float*> self.data, values)
        else:
            penalty(self, <const double*> self.data, values)

    def _configure(self, optimizer):
        """Read the hyper-parameters, set the degree of each slot but the weight in the gradient, and return how many.

        That is the number of slots, with the weight, and without the average.
        """
        raise NotImplementedError(f"{type(self).__name__} must define _configure(optimizer)")

    def _start(self):
        """Fill the slots that do not begin at zero."""

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        pass

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        pass

    cdef void read_f32(self, const int32_t* features, const float* x, Py_ssize_t n, float* scores) noexcept nogil:
        read(self, features, x, n, scores)

    cdef void read_f64(self, const int32_t* features, const double* x, Py_ssize_t n, double* scores) noexcept nogil:
        read(self, features, x, n, scores)


def address(array):
    return array.__array_interface__["data"][0]


def record_stride(width, size):
    """From how many numbers to how many a record begins.

    One that is up to a quarter shorter than 4, 8 or 16 numbers takes their place, so that it lies in one line of
    cache; one longer than two lines begins with half a line.
    """
    if width * size > 2 * LINE:
        return width + -width % (LINE // 2 // size)
    whole = 1 << (width - 1).bit_length()
    return whole if 3 * whole <= 4 * width and whole <= 16 else width


def zero_records(n_records, width, dtype):
    """Records of zeros, the first of which begins with a line of cache."""
    size = np.dtype(dtype).itemsize
    stride = record_stride(width, size)
    whole = np.zeros(n_records * stride + LINE // size, dtype)
    first = -address(whole) % LINE // size
    return whole[first:first + n_records * stride].reshape(n_records, stride)[:, :width]


def _rebuild(cls, optimizer, record, shape, fit_intercept, average_from, clocks):
    return cls(
        optimizer, record, shape, record.dtype, fit_intercept=fit_intercept, average_from=average_from, clocks=clocks,
    )


cdef class SGDState(State):
    """Slots: weight; velocity, if there is momentum."""
    cdef SGDRule rule

    def _configure(self, optimizer):
        self.rule = SGDRule(momentum=optimizer.momentum, nesterov=optimizer.nesterov)
        # At a constant gradient g the velocity settles at g / (1 - momentum).
        self.metric_scale = 1 - optimizer.momentum
        self.plain = optimizer.momentum == 0
        self.degrees = (1,) * bool(optimizer.momentum)
        return 1 + len(self.degrees)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class AdaGradState(State):
    """Slots: weight; root of the sum of squared gradients."""
    cdef AdaGradRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = AdaGradRule(epsilon=self.epsilon)
        self.n_shared = 1
        self.degrees = (1,)
        return 2

    def _start(self):
        self.slot(1)[:] = np.sqrt(self.optimizer.initial_accumulator_value)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class AdamState(State):
    """Slots: weight; root of the second moment, or of its maximum; first moment; second moment, if amsgrad."""
    cdef AdamRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = AdamRule(
            beta_1=optimizer.beta_1, beta_2=optimizer.beta_2, epsilon=self.epsilon, amsgrad=optimizer.amsgrad,
        )
        self.n_shared = 3
        self.plain = not optimizer.amsgrad
        self.degrees = (1, 1) + (2,) * bool(optimizer.amsgrad)
        return 1 + len(self.degrees)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)


cdef class RMSPropState(State):
    """Slots: weight; root of the (centred) second moment; if centred, mean and second moment; velocity, if any."""
    cdef RMSPropRule rule

    def _configure(self, optimizer):
        self.adaptive, self.epsilon = True, max(optimizer.epsilon, self.smallest)
        self.rule = RMSPropRule(
            rho=optimizer.rho, momentum=optimizer.momentum, epsilon=self.epsilon, centered=optimizer.centered,
        )
        self.metric_scale = 1 - optimizer.momentum
        self.n_shared = 1
        # A constant gradient has no variance, which is not to say that there was none.
        self.waits = not optimizer.centered
        self.plain = not optimizer.centered and optimizer.momentum == 0
        # The velocity is of normalised gradients.
        self.degrees = (1,) + (1, 2) * bool(optimizer.centered) + (0,) * bool(optimizer.momentum)
        return 1 + len(self.degrees)

    cdef void step_f32(self, const int32_t* features, const float* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)

    cdef void step_f64(self, const int32_t* features, const double* x, Py_ssize_t n) noexcept nogil:
        step(self, &self.rule, features, x, n)
