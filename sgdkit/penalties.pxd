cimport cython
from cython cimport floating


@cython.cdivision(True)
cdef inline floating shrink(floating product, floating l1, floating l2, floating d, bint has_l1) noexcept nogil:
    """argmin_v d (v - w)^2 / 2 + l1 |v| + l2 v^2 / 2, of `product` = d w: the proximal step in the metric `d`."""
    if has_l1:
        product = product - l1 if product > l1 else (product + l1 if product < -l1 else 0)
    return product / (d + l2)
