"""Types that signatures name."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Auto: TypeAlias = Literal["auto"]
RandomState: TypeAlias = int | np.random.RandomState | None
Scoring: TypeAlias = str | Callable[..., float]


class SparseLike(Protocol):
    """A matrix or array of SciPy's, of any format."""

    def tocsr(self, copy: bool = ...) -> Any: ...


# Arrays, data frames and sparse matrices.
MatrixLike: TypeAlias = ArrayLike | SparseLike
