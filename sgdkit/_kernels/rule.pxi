# The beginning of each optimizer's module: what its formula is made of.
#
# After it, the module defines:
# - the enum constant `ADAPTIVE`: whether the metric depends on slot 1, the root of a second moment; it is
#   `metric_scale * (root + epsilon)` then, and the constant `metric_scale` otherwise;
# - `Rule`, a struct of hyper-parameters. Its member `plain` says that all options are off; a copy of the rule in which
#   it is a constant lets the compiler drop their branches. A plain rule that is not adaptive moves along the gradient.
# - `gains`, what the columns share in a touch of a feature, such as the corrections of averages;
# - `direction`, by which the gradient changes the slots of a coordinate and moves its weight; and then it includes
#   `proximal_step.pxi`. Or it defines in its own way how a record is read and stepped on, see there.
#
# Then it includes `rule_state.pxi`, and its state is a subclass of `RuleState`, whose attribute `rule` it fills.

from cython cimport floating
from libc.math cimport sqrt, sqrtf
from libc.stdint cimport int32_t

from sgdkit._kernels.proximal cimport shrink
from sgdkit._kernels.compiler cimport (
    SGDKIT_ONE_BY_ONE, apart, cloned, fetch_lines, sole_doubles, sole_floats, sole_numbers, within,
)
from sgdkit._kernels.growth cimport fold, move, turn
from sgdkit._kernels.scores cimport score_row
from sgdkit._kernels.state cimport (
    COLUMNS, FEW, FRESH, GROWN, LANES, PRODUCT, ROOM, WEIGHT, Layout, Reading, State, Stepping, averages, shares_growth,
)
from sgdkit._kernels.transposition cimport transpose


cdef inline floating root_of(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)
