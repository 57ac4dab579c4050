"""The order in which an epoch visits rows: a random one, of the rows or of runs of neighbours.

Memory gives what stands together several times as fast as what is scattered, and disks many times as fast. So of many
rows, runs of neighbours are visited as they stand, and the runs in random order. They are shuffled within a window of
blocks of neighbours that come from anywhere (as in Xu et al., "In-database machine learning with CorgiPile", SIGMOD
2022): while one window is visited, the system reads the blocks of the next, if they are on disk.

The steps of a run are as good as those of rows drawn at random, as long as the gradients of its rows have nothing to
do with one another. This fails where rows are sorted, by class or by time; and then targets of neighbours are alike.
If they are, by more than chance would have it, rows are shuffled one by one.

Invariant: the order depends on the targets of the rows that are visited, on their number and on the generator; not on
where those rows stand.
"""

from functools import partial

import numpy as np

from sgdkit._kernels.arrays import shuffle_stretch

# Neighbours in a run, and rows from which on there are runs.
RUN = 64
MANY_ROWS = 1 << 15
# Neighbours in a block, and blocks in a window.
BLOCK, WINDOW = 1 << 12, 32
# The variance of how many rows of a class a run has may be so much larger than that of rows drawn at random, or so many
# times the error with which it is known.
MOST_ALIKE, MOST_ERRORS = 0.2, 4
# What numbers are taken for: classes between so many quantiles, of so many of them.
N_QUANTILES, N_SAMPLED = 4, 1 << 12
# Classes that are told apart; of more, some are taken for one.
N_CLASSES = 64
# Numbers drawn, and rows looked at, at a time.
STRETCH = 1 << 14


def run_length(targets):
    """How many neighbours are to be visited in a run.

    Of each class, the number of rows in a run of 64 has the variance ``64 p (1 - p)`` where rows are in random order
    and p is the share of the class.

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
    outputs = [targets] if targets.ndim == 1 else map(_by_quantiles, targets.T)
    return 1 if any(map(_alike, outputs)) else RUN


def _by_quantiles(numbers):
    """A class for each number, whose size so has no part in it."""
    sampled = numbers[:: max(1, len(numbers) // N_SAMPLED)]
    bounds = np.quantile(sampled, np.arange(1, N_QUANTILES) / N_QUANTILES)
    return sum((numbers > bound).astype(np.int8) for bound in bounds)


def _alike(classes):
    """Whether neighbours are of one class more often than chance would have it."""
    n_classes, n_runs = int(classes.max()) + 1, len(classes) // RUN
    if n_classes > N_CLASSES:
        names = np.random.default_rng(0).integers(0, N_CLASSES, n_classes)
        classes, n_classes = names[classes], N_CLASSES
    count = _count_ones if n_classes == 2 else partial(_count, n_classes=n_classes)
    shares = sum(count(part).sum(axis=0) for part in _stretches(classes, n_runs)) / (n_runs * RUN)
    squares = sum(np.square(count(part) - RUN * shares).sum(axis=0) for part in _stretches(classes, n_runs))
    variance = RUN * shares * (1 - shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A class that all rows are of, or none is, has no variance; and nothing is more than that.
        error = np.sqrt((2 + 1 / variance) / n_runs)
        most = 1 + np.maximum(MOST_ALIKE, MOST_ERRORS * error)
        return bool((squares > most * n_runs * variance).any())


def _stretches(classes, n_runs):
    """The classes of whole runs, of shape (n, RUN), a part at a time, to take little room."""
    return (
        classes[k : min(k + STRETCH, n_runs * RUN)].reshape(-1, RUN) for k in range(0, n_runs * RUN, STRETCH)
    )


def _count_ones(runs):
    """How many rows of class 1 each run has, which of two classes says all."""
    return np.add.reduce(runs, axis=1)[:, np.newaxis]


def _count(runs, n_classes):
    """How many rows of each class each run has."""
    places = runs + n_classes * np.arange(len(runs))[:, np.newaxis]
    return np.bincount(places.ravel(), minlength=len(runs) * n_classes).reshape(-1, n_classes)


def in_order(n_rows, dtype=np.int32):
    """Yield the numbers of all rows, piece by piece."""
    for begin in range(0, n_rows, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, n_rows), dtype=dtype)


def in_runs(n_rows, generator, fetch, dtype=np.int32):
    """Yield the order of an epoch, in runs of neighbours, piece by piece.

    Parameters
    ----------
    n_rows : int
    generator : Generator
    fetch : callable
        ``fetch(begin, end)`` is told of blocks of neighbours a window before their turn, one with each piece.
    dtype : {numpy.int32, numpy.int64}
    """
    blocks = generator.permutation(-(-n_rows // BLOCK))

    def announce(block):
        fetch(block * BLOCK, min((block + 1) * BLOCK, n_rows))

    for block in blocks[:WINDOW]:
        announce(block)
    for begin in range(0, len(blocks), WINDOW):
        window, next_window = np.split(blocks[begin : begin + 2 * WINDOW], [WINDOW])
        begins = (window[:, np.newaxis] * BLOCK + np.arange(0, BLOCK, RUN)).ravel()
        begins = generator.permutation(begins[begins < n_rows]).astype(dtype)
        rows = (begins[:, np.newaxis] + np.arange(RUN, dtype=dtype)).ravel()
        # The last run is short, or whole.
        rows = rows if n_rows % RUN == 0 else rows[rows < n_rows]
        for place in range(0, len(rows), BLOCK):
            for block in next_window[place // BLOCK : place // BLOCK + 1]:
                announce(block)
            yield rows[place : place + BLOCK]


def shuffled(n_rows, n_epochs, generator, dtype=np.int32):
    """The order of some epochs, row by row.

    Parameters
    ----------
    n_rows : int
    n_epochs : int
    generator : Generator
    dtype : {numpy.int32, numpy.int64}

    Returns
    -------
    orders : ndarray of shape (n_epochs, n_rows)
        In each row a permutation of the numbers below `n_rows`.
    """
    orders = np.empty((n_epochs, n_rows), dtype)
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


def cut(pieces, size):
    """Yield the numbers of some pieces in others, of the given size but for the last."""
    rest = np.empty(0, np.int32)
    for piece in pieces:
        joined = np.concatenate([rest, piece]) if len(rest) else piece
        n_whole = len(joined) - len(joined) % size
        for begin in range(0, n_whole, size):
            yield joined[begin : begin + size]
        rest = joined[n_whole:]
    if len(rest):
        yield rest
