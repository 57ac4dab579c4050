"""The order in which an epoch visits rows: a random one, of the rows or of runs of neighbours.

Memory gives what stands together several times as fast as what is scattered. So of many rows, runs of neighbours are
visited as they stand, and the runs in random order.

The steps of a run are as good as those of rows drawn at random, as long as the gradients of its rows have nothing to
do with one another. This fails where rows are sorted, by class or by time; and then targets of neighbours are alike.
If they are, by more than chance would have it, rows are shuffled one by one.

Invariant: the order depends on the targets of the rows that are visited, on their number and on the generator; not on
where those rows stand.
"""

import numpy as np

from sgdkit._epoch import shuffle_stretch

# Neighbours in a run, and rows from which on there are runs.
RUN = 64
MANY_ROWS = 1 << 15
# The share by which the noise of a run's sum may be larger than that of as many rows drawn at random.
MOST_ALIKE = 0.2
# Numbers drawn at a time.
STRETCH = 1 << 14


def run_length(targets):
    """How many neighbours are to be visited in a run.

    Parameters
    ----------
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Class indices, or numbers, of the rows in the order in which they stand.

    Returns
    -------
    length : int
        1 for rows in random order.
    """
    if len(targets) < MANY_ROWS:
        return 1
    # Of classes, the numbers will do: neighbours of one class, or of few, have sums of them far from the mean.
    dtype = np.float32 if targets.ndim == 1 else np.float64
    targets = targets.reshape(len(targets), -1)
    alone = together = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = targets.mean(axis=0).astype(dtype)
        # A stretch at a time, to take little room; the last run, which may be short, is left out.
        for begin in range(0, len(targets) // RUN * RUN, STRETCH):
            part = targets[begin : begin + STRETCH].astype(dtype) - mean
            runs = part[: len(part) // RUN * RUN].reshape(-1, RUN, len(mean))
            alone += np.einsum("ijk,ijk->k", runs, runs)
            together += np.square(np.einsum("ijk->ik", runs)).sum(axis=0)
        return RUN if (together <= (1 + MOST_ALIKE) * alone).all() else 1


def shuffled(n_rows, n_epochs, run, generator, dtype=np.int32):
    """The order of some epochs.

    Parameters
    ----------
    n_rows : int
    n_epochs : int
    run : int
        How many neighbours stay together.
    generator : Generator
    dtype : {numpy.int32, numpy.int64}

    Returns
    -------
    orders : ndarray of shape (n_epochs, n_rows)
        In each row a permutation of the numbers below `n_rows`.
    """
    orders = np.empty((n_epochs, n_rows), dtype)
    if run > 1:
        for order in orders:
            _shuffle_runs(order, run, generator)
        return orders
    orders[:] = np.arange(n_rows, dtype=dtype)
    if dtype == np.int64:
        generator.permuted(orders, axis=1, out=orders)
        return orders
    # Several times as fast as NumPy's; a stretch at a time, to take little room.
    for end in range(n_rows, 0, -STRETCH):
        size = min(end, STRETCH)
        randoms = generator.bit_generator.random_raw(n_epochs * size).reshape(n_epochs, size)
        shuffle_stretch(orders, randoms, end - 1)
    return orders


def _shuffle_runs(order, run, generator):
    """Fill an order with runs of neighbours."""
    n_runs, n_rest = divmod(len(order), run)
    begins = (generator.permutation(n_runs) * run).astype(order.dtype)[:, np.newaxis]
    # The last run is short, or empty, and comes anywhere.
    before = int(generator.integers(n_runs + 1))
    first, rest, last = np.split(order, [before * run, before * run + n_rest])
    np.add(begins[:before], np.arange(run, dtype=order.dtype), out=first.reshape(-1, run))
    rest[:] = np.arange(n_runs * run, len(order))
    np.add(begins[before:], np.arange(run, dtype=order.dtype), out=last.reshape(-1, run))
