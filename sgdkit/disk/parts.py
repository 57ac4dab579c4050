"""Parts: some rows with their targets and weights, as they come in chunks and lie on disk."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length

from sgdkit._kernels.csr import csr, take_rows
from sgdkit._kernels.rows import Rows


@dataclass
class Part:
    """Some rows.

    Attributes
    ----------
    arrays : list of ndarray
        ``[X, y]`` of dense rows; ``[counts, y, values, indices]`` of sparse ones, with the number of values of each row
        in 32 bits, as indices are.
    n_features : int
    sparse : bool
    sample_weight : ndarray of float64 of shape (n_rows,), or None
    """

    arrays: list
    n_features: int
    sparse: bool
    sample_weight: np.ndarray | None = None

    def __len__(self):
        return len(self.arrays[0])

    @property
    def all_arrays(self):
        return [*self.arrays, *([] if self.sample_weight is None else [self.sample_weight])]

    @cached_property
    def n_bytes(self):
        return sum(array.nbytes for array in self.all_arrays)

    @cached_property
    def begins(self):
        """Where each sparse row begins among the values, and the last one ends."""
        return np.append(0, np.cumsum(self.arrays[0], dtype=np.int64))

    def of(self, all_arrays):
        """Other rows of the same kind, given `all_arrays` of them."""
        n = len(self.arrays)
        return Part(all_arrays[:n], self.n_features, self.sparse, *all_arrays[n:])

    def cut(self, begin, end):
        """Some neighbouring rows, which are not copied."""
        of_rows, of_values = slice(begin, end), slice(0, 0)
        if self.sparse:
            of_values = slice(self.begins[begin], self.begins[min(end, len(self))])
        chosen = [of_rows, of_rows, of_values, of_values, of_rows] if self.sparse else [of_rows] * 3
        return self.of([array[part] for array, part in zip(self.all_arrays, chosen, strict=False)])

    def take(self, rows):
        """The rows of an array of numbers."""
        arrays = [
            array[rows] for k, array in enumerate(self.all_arrays) if k not in VALUES or not self.sparse
        ]
        if self.sparse:
            values, indices = (self.arrays[k] for k in VALUES)
            X = take_rows(csr(values, indices, self.begins, self.n_features), rows)
            arrays[2:2] = X.data, X.indices
        return self.of(arrays)

    def slices(self, n_bytes):
        """Yield the rows in parts of about so many bytes."""
        n = max(1, int(len(self) * n_bytes / max(self.n_bytes, 1)))
        return (self.cut(begin, begin + n) for begin in range(0, max(len(self), 1), n))


# The arrays of sparse rows that have a number for each value, and not for each row.
VALUES = (2, 3)


def joined(parts):
    """Parts as one."""
    if len(parts) == 1:
        return parts[0]
    arrays = zip(*(part.all_arrays for part in parts), strict=True)
    return parts[0].of([np.concatenate(pieces) for pieces in arrays])


def gathered(parts, n_bytes):
    """Yield the rows of parts in the same order, in parts of about so many bytes, or in a smaller one."""
    held, size = [], 0
    for part in chain.from_iterable(part.slices(n_bytes) for part in parts):
        if held and size + part.n_bytes > n_bytes:
            whole, held, size = joined(held), [], 0
            yield whole
            del whole
        held.append(part)
        size += part.n_bytes
    if held:
        whole, held = joined(held), []
        yield whole


def checked(chunks):
    """Yield chunks as parts that are alike; what is wrong with one is an error that names it."""
    first = None
    for number, chunk in enumerate(chunks):
        try:
            part = _part(chunk)
            first = first or part
            _check_alike(part, first)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Chunk {number}: {error}") from error
        # Of the same dtypes, so that bytes on disk are those of one array.
        alike = zip(part.all_arrays, first.all_arrays, strict=True)
        yield part.of([array.astype(other.dtype, copy=False) for array, other in alike])
    if first is None:
        raise ValueError(
            "There are no chunks: the iterable of (X, y) or (X, y, sample_weight) has ended at once."
        )


def _part(chunk):
    """A chunk as a part."""
    if not isinstance(chunk, (tuple, list)) or len(chunk) not in (2, 3):
        raise ValueError(f"expected (X, y) or (X, y, sample_weight), got {type(chunk).__name__}.")
    X, y, sample_weight = chunk if len(chunk) == 3 else (*chunk, None)
    options = {
        "accept_sparse": "csr",
        "dtype": [np.float64, np.float32],
        "order": "C",
        "ensure_min_samples": 0,
    }
    X = check_array(X, input_name="X", ensure_all_finite=not sparse.issparse(X), **options)
    y = check_array(y, input_name="y", ensure_2d=False, dtype=None, ensure_min_samples=0)
    if y.dtype == object:
        raise ValueError(
            "y holds objects. Pass numbers, such as the places of labels in a list of all classes, or strings of one "
            'length, as of y.astype("U20").'
        )
    if sample_weight is not None:
        options = {
            "ensure_2d": False,
            "dtype": np.float64,
            "ensure_min_samples": 0,
            "ensure_non_negative": True,
        }
        sample_weight = check_array(sample_weight, input_name="sample_weight", **options)
    check_consistent_length(X, y, sample_weight)
    if not sparse.issparse(X):
        return Part([X, y], X.shape[1], False, sample_weight)
    # Rows see whether values are finite and indices valid, in one look at them. Duplicates, which visits would add up
    # again and again, are added up now.
    X = Rows(X).merged()
    stored = slice(X.indptr[0], X.indptr[-1])
    values, indices = X.data[stored], X.indices[stored].astype(np.int32, copy=False)
    return Part([np.diff(X.indptr).astype(np.int32), y, values, indices], X.shape[1], True, sample_weight)


def _check_alike(part, first):
    """Raise if rows cannot be in one folder with the first ones."""
    if part.sparse != first.sparse:
        raise ValueError("X is sparse and that of chunk 0 is not, or the other way round.")
    if part.n_features != first.n_features:
        raise ValueError(
            f"X has {part.n_features} features, and that of chunk 0 has {first.n_features}. All chunks need the same: "
            "say how many there are to whatever makes them."
        )
    y, of_first = part.arrays[1], first.arrays[1]
    if y.shape[1:] != of_first.shape[1:]:
        raise ValueError(f"y has the shape {y.shape}, and that of chunk 0 {of_first.shape}.")
    if (part.sample_weight is None) != (first.sample_weight is None):
        raise ValueError("either all chunks have a sample_weight, or none.")
    for name, place in {"X": VALUES[0] if part.sparse else 0, "y": 1}.items():
        dtype, of_first = part.arrays[place].dtype, first.arrays[place].dtype
        if not np.can_cast(dtype, of_first):
            raise ValueError(
                f"{name} is of dtype {dtype}, which does not fit into the {of_first} of chunk 0. Convert {name} of all "
                f"chunks to {np.promote_types(dtype, of_first)}."
            )
