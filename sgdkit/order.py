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
RUN = 32
MANY_ROWS = 1 << 15
# The share by which the noise of a run's sum may be larger than that of as many rows drawn at random.
MOST_ALIKE = 0.15
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
    n_runs = len(targets) // RUN
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = targets[:, np.newaxis].astype(np.float32) if targets.ndim == 1 else targets - targets.mean(axis=0)
        numbers = numbers[: n_runs * RUN]
        mean = numbers.mean(axis=0)
        sums = numbers.reshape(n_runs, RUN, -1).sum(axis=1) - RUN * mean
        alone = np.einsum("ij,ij->j", numbers, numbers) - len(numbers) * mean**2
        return RUN if (np.square(sums).sum(axis=0) <= (1 + MOST_ALIKE) * alone).all() else 1


def shuffled(order, n_epochs, run, generator):
    """The order of some epochs.

    Parameters
    ----------
    order : ndarray of int32 or int64 of shape (n_rows,)
        The rows to visit, as they stand.
    n_epochs : int
    run : int
        How many neighbours stay together.
    generator : Generator

    Returns
    -------
    orders : ndarray of shape (n_epochs, n_rows)
    """
    if run > 1:
        return np.stack([_in_runs(order, run, generator) for _ in range(n_epochs)])
    orders = np.tile(order, (n_epochs, 1))
    if order.dtype == np.int64:
        generator.permuted(orders, axis=1, out=orders)
        return orders
    # Several times as fast as NumPy's; a stretch at a time, to take little room.
    for end in range(len(order), 0, -STRETCH):
        size = min(end, STRETCH)
        randoms = generator.bit_generator.random_raw(n_epochs * size).reshape(n_epochs, size)
        shuffle_stretch(orders, randoms, end - 1)
    return orders


def _in_runs(order, run, generator):
    n_whole = len(order) // run * run
    runs = generator.permutation(order[:n_whole].reshape(-1, run))
    # The last run is short, or empty.
    return np.insert(runs.ravel(), generator.integers(len(runs) + 1) * run, order[n_whole:])
