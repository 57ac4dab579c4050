cimport cython
from cython cimport floating


@cython.cdivision(True)
cdef inline floating shrink(floating w, floating l1, floating l2, floating d, bint has_l1) noexcept nogil:
    """argmin_v d (v - w)^2 / 2 + l1 |v| + l2 v^2 / 2: the proximal step in the metric `d`."""
    cdef floating threshold
    if has_l1:
        threshold = l1 / d
        # Of what is not a number, the difference is none either.
        w = w - threshold if w > threshold else (w + threshold if w < -threshold else w - w)
    return w * d / (d + l2)
