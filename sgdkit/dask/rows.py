"""Rows on a cluster, with the face of `Rows`; and the blocks of those that count.

What is as large as the rows stays at the workers. Targets, weights and numbers of non-zeros, a few bytes a row, are in
this process.

Invariants:
- Tasks are pure: whatever a worker loses, another one computes again, to the same bits. Nothing is kept at workers but
  results of tasks, and no worker waits for another one.
- Blocks are merged of parts in their order, and sums are added up in a tree of blocks; so any number of workers gives
  the same bits.

Blocks that lie at a worker are one task in each round, so that Dask has nothing to move between workers: with a task
for each block, it sends blocks to workers that it takes for idle.
"""

import warnings

import numpy as np
from dask.delayed import delayed
from distributed import futures_of, wait

from sgdkit._kernels.arrays import N_MOMENTS, add_moments
from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.rows import Rows
from sgdkit.auto.moments import add_moments as add_moments_of
from sgdkit.dask.collections import described, joined, stacked
from sgdkit.optimizers.blocks import Block, add, blocks_of
from sgdkit.optimizers.full_gradients import few_features

# Parts are merged to blocks of so many values or more, so that work on a block outweighs the request for it.
FEWEST_VALUES = 8_000_000
# How often a task that fails is tried again.
RETRIES = 3
# Results of tasks whose sums one task adds up; and the bytes of sums that a task may return.
ADDED_AT_ONCE, MOST_BYTES = 8, 1 << 26
# Of the memory of workers, what blocks may take, at two copies while they are scaled: Dask begins to spill at 60 %.
SHARE_OF_MEMORY, COPIES = 0.6, 2
# What a task holds of the size of the weights: these, their gradient, and a sum of two.
WEIGHTS_HELD = 4


class FarRows:
    """The rows of the parts of a collection.

    Parameters
    ----------
    client : distributed.Client
    parts : list of Delayed

    Attributes
    ----------
    starts : ndarray of int of shape (n_blocks + 1,)
        Where blocks begin, and the last one ends.
    """

    # Nothing is to be copied to this process.
    mapped = checked = True
    owned = full = False

    def __init__(self, client, parts):
        self.client, self.shift, self.factor = client, None, None
        tasks = [delayed(described, pure=False)(part) for part in parts]
        known = client.gather(client.compute(tasks, retries=RETRIES))
        self._learn(known)
        groups = merged_to_blocks(known)
        self._counts = np.concatenate([part.counts for part in known])
        lengths = [sum(len(known[k].counts) for k in group) for group in groups]
        self.n_rows = len(self._counts)
        self.starts = np.append(0, np.cumsum(lengths, dtype=np.int64))
        self.source = [
            delayed(_merge, pure=False)([parts[k] for k in group], self.dtype, self.sparse)
            for group in groups
        ]
        self.fits = self._fits(sum(part.n_bytes for part in known))
        self.blocks = self.held(self.source)

    def _learn(self, known):
        """Note what parts have in common, or raise where they differ."""
        for error in known:
            if isinstance(error, Exception):
                raise error
        known = [part for part in known if len(part.counts)]
        if not known:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        first = known[0]
        for number, other in enumerate(known):
            if other.n_features != first.n_features:
                raise ValueError(
                    f"Part {number} of X has {other.n_features} features, and the first one has {first.n_features}."
                )
            if (first.names is None) != (other.names is None) or np.any(first.names != other.names):
                raise ValueError(
                    f"The names of the features of part {number} of X are not those of the first one."
                )
        self.n_features, self.names = first.n_features, first.names
        self.sparse = any(part.sparse for part in known)
        self.dtype = np.result_type(*{part.dtype for part in known})

    def _fits(self, n_bytes):
        """Whether workers have room for all rows."""
        limits = memory_limits(self.client)
        if 0 in limits or COPIES * n_bytes <= SHARE_OF_MEMORY * sum(limits):
            return True
        there, taken = sum(limits) / 2**30, n_bytes / 2**30
        warnings.warn(
            f"The rows take {taken:.3g} GiB, and the memory of {len(limits)} workers, {there:.3g} GiB, is less than "
            f"{COPIES / SHARE_OF_MEMORY:.2g} times that. So rows are read anew in each round, which takes longer. Add "
            "workers, or use float32.",
            UserWarning,
            stacklevel=5,
        )
        return False

    def held(self, blocks):
        """Blocks that workers keep, where they have room for them."""
        return self.client.persist(blocks, retries=RETRIES) if self.fits else blocks

    @property
    def shape(self):
        return self.n_rows, self.n_features

    @property
    def stored(self):
        """What of the rows is in this process."""
        return None

    @property
    def is_scaled(self):
        return self.factor is not None

    @property
    def mean_nonzeros(self):
        return float(self._counts.mean())

    def counts(self):
        return self._counts

    def check(self):
        """Parts have been looked at when they were described."""

    def scaled(self, shift, factor):
        rows = FarRows.__new__(FarRows)
        rows.__dict__ = {**self.__dict__, "shift": shift, "factor": factor}
        return rows

    def first(self, order):
        """The first row of an order, as it is stored."""
        row = self.scaled(None, None).take(np.array([0 if order is None else order[0]]))
        return row[0].copy() if isinstance(row, np.ndarray) else row.toarray()[0]

    def take(self, row_indices):
        """Some rows as a matrix, brought here."""
        row_indices = np.asarray(row_indices)
        block = np.searchsorted(self.starts, row_indices, side="right") - 1
        order = np.argsort(block, kind="stable")
        tasks = [
            delayed(_take, pure=False)(
                self.blocks[k], row_indices[block == k] - self.starts[k], self.shift, self.factor
            )
            for k in np.unique(block)
        ]
        taken = self.client.gather(self.client.compute(tasks, retries=RETRIES))
        X = stacked(taken) if self.sparse else np.concatenate(taken)
        return X[np.argsort(order)]

    merged = take

    def parts(self, row_indices):
        """Of each block, its place among the rows, and which of them are among some; None stands for all."""
        for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            if row_indices is None:
                yield slice(begin, end), None
            else:
                inside = slice(*np.searchsorted(row_indices, [begin, end]))
                yield slice(begin, end), row_indices[inside] - begin

    def groups(self, blocks, n_numbers):
        """The numbers of blocks that are a task together, of which each returns a sum of so many numbers.

        They lie at one worker, which has a task for each of its threads; or more, where sums are large.
        """
        if not self.fits:
            return [[number] for number in range(len(blocks))]
        futures = [futures_of(block)[0] for block in blocks]
        wait(futures)
        holders, threads, held = self.client.who_has(futures), self.client.nthreads(), {}
        for number, future in enumerate(futures):
            held.setdefault(min(holders[future.key], default=None), []).append(number)
        groups, most = [], max(MOST_BYTES // (8 * n_numbers), 1)
        for holder, numbers in held.items():
            n_groups = max(threads.get(holder, 1), -(-len(numbers) // most))
            groups += [part.tolist() for part in np.array_split(numbers, min(n_groups, len(numbers)))]
        return groups

    def total(self, tasks):
        """The sum of what blocks return, given tasks that return it as a tree; added up at workers and brought here."""
        while len(tasks) > 1:
            groups = [tasks[k : k + ADDED_AT_ONCE] for k in range(0, len(tasks), ADDED_AT_ONCE)]
            tasks = [delayed(_grown, pure=False)(group) for group in groups]
        return total_of(self.client.compute(tasks[0], retries=RETRIES).result())


class FarBlocks:
    """The rows of a problem that count, in blocks on a cluster; see `Blocks`."""

    here = False

    def __init__(self, problem):
        self.rows, self.indices = problem.rows, problem.indices
        targets, row_weights = problem.targets, problem.row_weights
        rows, tasks = self.rows, []
        for block, (place, inside) in zip(rows.blocks, rows.parts(problem.row_indices), strict=True):
            part = targets.take(place)
            weights = None if row_weights is None else row_weights[place]
            tasks.append(delayed(_prepare, pure=False)(block, rows.shift, rows.factor, inside, part, weights))
        # Rows as they were read need no room any more.
        self.blocks, rows.blocks = rows.held(tasks), rows.source
        n_weights = (rows.n_features + 1) * targets.n_columns
        n_numbers = max(n_weights, rows.n_features**2) if few_features(problem) else n_weights
        self.groups = rows.groups(self.blocks, n_numbers)
        self.targets, self.row_weights = targets, row_weights

    def total(self, function, *arguments, beside=None):
        """The sum of ``function(block, *arguments)`` over all blocks: of arrays, or of tuples of them.

        What is `kept` may be the last argument.
        """
        return self.rows.total(self._tasks(_summed, function, arguments, beside))

    def kept(self, function, *arguments):
        """What a function returns for each block, which stays where the block is for as long as it is referred to."""
        return self.rows.client.persist(self._tasks(_called, function, arguments), retries=RETRIES)

    def _tasks(self, task, function, arguments, beside=None):
        """A task for each group of blocks."""
        sent, beside = delayed(_same, pure=False)(*arguments), beside or [None] * len(self.groups)
        return [
            delayed(task, pure=False)(function, group, [self.blocks[k] for k in group], sent, its)
            for group, its in zip(self.groups, beside, strict=True)
        ]

    def take(self, places):
        """Some of the rows that count, as a block in this process."""
        indices = self.indices[places]
        weights = None if self.row_weights is None else self.row_weights[indices]
        return Block(self.rows.take(indices), self.targets.take(indices), weights)


@blocks_of.register
def _(rows: FarRows, problem):
    return FarBlocks(problem)


@add_moments_of.register
def _(rows: FarRows, origin, order, weights, moments, *, n_threads=1):
    visits = [(inside, weights[place] if len(weights) else weights) for place, inside in rows.parts(order)]
    trees = [
        delayed(_moments, pure=False)(
            group, [rows.blocks[k] for k in group], origin, [visits[k] for k in group]
        )
        for group in rows.groups(rows.blocks, moments.size)
    ]
    moments += rows.total(trees)


def memory_limits(client):
    """The memory of each worker in bytes; 0 where it is not limited."""
    limits = [worker["memory_limit"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    if not limits:
        raise ValueError("The cluster has no workers. Add some, for instance with cluster.scale(2).")
    return limits


def check_room(client, n_features, n_columns, dtype):
    """Raise if weights are too large for a worker."""
    n_bytes = (n_features + 1) * n_columns * np.dtype(dtype).itemsize
    limit = min((limit for limit in memory_limits(client) if limit), default=np.inf)
    if WEIGHTS_HELD * n_bytes > SHARE_OF_MEMORY * limit:
        size = np.dtype(dtype).itemsize
        raise ValueError(
            f"The weights are too large for a worker: {n_features} features times {n_columns} columns times {size} "
            f"bytes are {n_bytes / 2**30:.3g} GiB. A task holds {WEIGHTS_HELD} times that, and a worker has "
            f"{limit / 2**30:.3g} GiB of memory. Hash the features into fewer, use float32, or give workers more."
        )


def merged_to_blocks(known):
    """Neighbouring parts, by their numbers, that are a block together; parts without rows are left out."""
    groups, n_values = [[]], 0
    for number, part in enumerate(known):
        if not len(part.counts):
            continue
        if n_values >= FEWEST_VALUES:
            groups.append([])
            n_values = 0
        groups[-1].append(number)
        n_values += part.n_values
    if len(groups) > 1 and n_values < FEWEST_VALUES:
        groups[-2].extend(groups.pop())
    return groups


def _merge(parts, dtype, as_sparse):
    # A block tells Dask its size, as a sparse array does not.
    return Block(joined(parts, dtype, as_sparse))


def _rows_of(X, shift, factor):
    return Rows(X) if factor is None else Rows(X).scaled(shift, factor)


def _take(block, places, shift, factor):
    return _rows_of(take_rows(block.X, places), shift, factor).X


def _moments(group, blocks, origin, visits):
    return _tree(
        group, (_moments_of(block, origin, *visit) for block, visit in zip(blocks, visits, strict=True))
    )


def _moments_of(block, origin, order, weights):
    moments = np.zeros((block.X.shape[1], N_MOMENTS))
    order = None if order is None else order.astype(np.int64)
    add_moments(Rows(block.X, check=False), origin, order, np.ascontiguousarray(weights), moments)
    return moments


def _prepare(block, shift, factor, places, targets, row_weights):
    """The rows of a block that count, as training sees them."""
    X = block.X
    if factor is not None or places is not None:
        rows = _rows_of(X, shift, factor)
        X = rows.X if places is None else rows.take(places)
    if places is not None:
        targets, row_weights = targets.take(places), None if row_weights is None else row_weights[places]
    return Block(X, targets, row_weights)


def _same(*arguments):
    return arguments


def _called(*arguments):
    return list(_calls(*arguments))


def _summed(function, numbers, *parts):
    return _tree(numbers, _calls(function, numbers, *parts))


def _calls(function, numbers, blocks, arguments, beside):
    """Yield what a function returns for some blocks; in what is beside, each has its part."""
    for k, block in enumerate(blocks):
        yield function(block, *arguments) if beside is None else function(block, *arguments, beside[k])


def _tree(numbers, values):
    return grown(zip(((0, number) for number in numbers), values, strict=True))


def _grown(trees):
    # What a task has returned is not to be written to.
    return grown((place, _copied(value)) for tree in trees for place, value in tree.items())


def _copied(value):
    return tuple(map(np.array, value)) if isinstance(value, tuple) else np.array(value)


def grown(sums):
    """Add up those sums that are neighbours in the tree of `add_up`; the first are overwritten.

    Parameters
    ----------
    sums : iterable of ((int, int), array or tuple of arrays)
        The height and the place of each, counted among those of this height.

    Returns
    -------
    tree : dict of (int, int) to array, or tuple of arrays
    """
    tree = {}
    for (height, place), value in sums:
        while (height, place ^ 1) in tree:
            other = tree.pop((height, place ^ 1))
            value = add(value, other) if place % 2 == 0 else add(other, value)
            height, place = height + 1, place >> 1
        tree[height, place] = value
    return tree


def total_of(tree):
    """The sum of all, as `add_up` ends."""
    *others, total = (tree[key] for key in sorted(tree, reverse=True))
    for value in reversed(others):
        total = add(_copied(value), total)
    return total
