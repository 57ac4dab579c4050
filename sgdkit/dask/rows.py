"""Rows on a cluster, with the face of `Rows`; and the blocks of those that count.

What is as large as the rows stays at the workers. Targets, weights and numbers of non-zeros, a few bytes a row, are in
this process.

Invariants:
- Tasks are pure: whatever a worker loses, another one computes again, to the same bits. Nothing is kept at workers but
  results of tasks, and scores that blocks remember, which are the same if they do not. No worker waits for another one.
- Blocks are merged of parts in their order, and sums are added up in a tree of blocks; so any number of workers gives
  the same bits.

Blocks that lie at a worker are one task in each round, and one result, so that Dask has nothing to move between
workers: with a task for each block, it sends blocks to workers that it takes for idle. What a round costs is messages:
a few tasks are one, and their sums are added up here.
"""

import itertools
import operator
import warnings
import weakref
from copy import copy

import numpy as np
from dask.delayed import delayed
from distributed import futures_of, wait

from sgdkit._kernels.arrays import N_MOMENTS, add_moments
from sgdkit._kernels.csr import take_rows
from sgdkit._kernels.rows import Rows
from sgdkit.auto.moments import add_moments as add_moments_of
from sgdkit.dask.collections import described, joined, stacked
from sgdkit.optimizers.blocks import FEWEST_VALUES, Block, add, blocks_of
from sgdkit.optimizers.full_gradients import few_features

# Of smaller parts, neighbours are merged to blocks: of so many times as many values as there are features too, so that
# work on a block outweighs the sending of its sums, where its neighbours lie elsewhere.
VALUES_A_FEATURE = 32
# How often a task that fails is tried again.
RETRIES = 3
# Results that are added up at a time, here or, where there are more, at workers; and the bytes of a task's sums.
ADDED_AT_ONCE, MOST_BYTES = 8, 1 << 26
# Of the memory of workers, what blocks may take, at two copies while they are scaled: Dask begins to spill at 60 %.
SHARE_OF_MEMORY, COPIES = 0.6, 2
# What a worker holds of the size of the weights: these, two that blocks remember, their gradient, and a sum of two.
WEIGHTS_HELD = 6


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
        # Blocks as futures, which scaled rows share.
        self._held = []
        # A weak reference to the `FarBlocks` of the last problem, once there are some.
        self._last = lambda: None
        tasks = [delayed(described, pure=False)(part) for part in parts]
        known = client.gather(client.compute(tasks, retries=RETRIES))
        self._learn(known)
        groups = merged_to_blocks(known, max(FEWEST_VALUES, VALUES_A_FEATURE * self.n_features))
        self._counts = np.concatenate([part.counts for part in known])
        lengths = [sum(len(known[k].counts) for k in group) for group in groups]
        self.n_rows = len(self._counts)
        self.starts = np.append(0, np.cumsum(lengths, dtype=np.int64))
        self.source = [
            delayed(_merge, pure=False)([parts[k] for k in group], self.dtype, self.sparse)
            for group in groups
        ]
        self.fits = self._fits(sum(part.n_bytes for part in known))

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

    @property
    def blocks(self):
        """Of rows as they were read; workers keep them until they are told to `forget`, where they have room."""
        if not self.fits:
            return self.source
        if not self._held:
            self._held += futures_of(self.client.persist(self.source, retries=RETRIES))
        return self._held

    def forget(self):
        """Let workers drop them, until somebody asks for them again."""
        self._held.clear()

    def started(self, function, *lists):
        """Tasks, which call a function as `map` does; where the rows do not fit, they are run with those after them."""
        if self.fits:
            # In one message.
            return self.client.map(function, *lists, pure=False, retries=RETRIES)
        return [delayed(function, pure=False)(*arguments) for arguments in zip(*lists, strict=True)]

    def results(self, tasks):
        """What tasks return, brought here."""
        return self.client.gather(tasks if self.fits else self.client.compute(tasks, retries=RETRIES))

    def total(self, trees):
        """The sum of what blocks return, given tasks that return it as a tree."""
        while len(trees) > ADDED_AT_ONCE:
            groups = [trees[k : k + ADDED_AT_ONCE] for k in range(0, len(trees), ADDED_AT_ONCE)]
            trees = self.started(_grown, groups)
        return total_of(_grown(self.results(trees)))

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
        rows.__dict__ = {**self.__dict__, "shift": shift, "factor": factor, "_last": lambda: None}
        return rows

    def first(self, order):
        """The first row of an order, as it is stored."""
        row = self.scaled(None, None).take(np.array([0 if order is None else order[0]]))
        return row[0].copy() if isinstance(row, np.ndarray) else row.toarray()[0]

    def counted(self, problem):
        """The `FarBlocks` of a problem; those that are in use, if they are the same."""
        blocks = self._last()
        if blocks is None or not blocks.are_of(problem):
            blocks = FarBlocks(problem)
            self._last = weakref.ref(blocks)
        return blocks

    def take(self, row_indices):
        """Some rows as a matrix, brought here."""
        row_indices = np.asarray(row_indices)
        block = np.searchsorted(self.starts, row_indices, side="right") - 1
        order = np.argsort(block, kind="stable")
        numbers = np.unique(block)
        blocks = [self.blocks[k] for k in numbers]
        places = [row_indices[block == k] - self.starts[k] for k in numbers]
        n = len(numbers)
        tasks = self.started(_take, blocks, places, [self.shift] * n, [self.factor] * n)
        return self.stacked(self.results(tasks))[np.argsort(order)]

    merged = take

    def stacked(self, parts):
        """Parts of the rows as one matrix."""
        return stacked(parts) if self.sparse else np.concatenate(parts)

    def parts(self, row_indices):
        """Of each block, its place among the rows, and which of them are among some; None stands for all."""
        for begin, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            if row_indices is None:
                yield slice(begin, end), None
            else:
                inside = slice(*np.searchsorted(row_indices, [begin, end]))
                yield slice(begin, end), row_indices[inside] - begin

    def groups(self, n_numbers):
        """The numbers of blocks that are a task together, of which each returns a sum of so many numbers.

        They lie at one worker, which has a task for each of its threads; or more, where sums are large.
        """
        if not self.fits:
            return [[number] for number in range(len(self.blocks))]
        futures = self.blocks
        wait(futures)
        holders, threads, held = self.client.who_has(futures), self.client.nthreads(), {}
        for number, future in enumerate(futures):
            held.setdefault(min(holders[future.key], default=None), []).append(number)
        groups, most = [], max(MOST_BYTES // (8 * n_numbers), 1)
        for holder, numbers in held.items():
            n_groups = max(threads.get(holder, 1), -(-len(numbers) // most))
            groups += [part.tolist() for part in np.array_split(numbers, min(n_groups, len(numbers)))]
        return groups


class FarBlock(Block):
    """A block that knows the scores of the last two weights that it was asked for, until it is sent elsewhere.

    So it has those at both ends of a step. They are what they would be if they were computed again.
    """

    _known = ()

    def scores(self, weights):
        for known, scores in self._known:
            if np.array_equal(known, weights):
                return scores
        scores = super().scores(weights)
        self._known = *self._known[-1:], (weights, scores)
        return scores


class FarBlocks:
    """The rows of a problem that count, in blocks on a cluster; see `Blocks`."""

    here = False

    def __init__(self, problem):
        self.rows, self.targets, self.row_weights = problem.rows, problem.targets, problem.row_weights
        self.row_indices, self.indices = problem.row_indices, problem.indices
        rows, parts, pieces = self.rows, list(problem.rows.parts(problem.row_indices)), []
        for place, inside in parts:
            counted = place if inside is None else inside + place.start
            weights = None if self.row_weights is None else self.row_weights[counted]
            pieces.append((inside, self.targets.take(counted), weights))
        self.starts = np.searchsorted(self.indices, rows.starts)
        n_weights = (rows.n_features + 1) * self.targets.n_columns
        n_numbers = max(n_weights, rows.n_features**2) if few_features(problem) else n_weights
        self.groups = rows.groups(n_numbers)
        sent = [rows.shift] * len(self.groups), [rows.factor] * len(self.groups)
        self.blocks = rows.started(
            _prepare, _of_groups(self.groups, rows.blocks), *sent, _of_groups(self.groups, pieces)
        )
        # Rows as they were read need no room any more.
        rows.forget()

    def are_of(self, problem):
        """Whether a problem has the same rows, targets and weights."""
        of_problem = problem.targets, problem.row_weights, problem.row_indices
        return all(map(operator.is_, (self.targets, self.row_weights, self.row_indices), of_problem))

    def total(self, function, *arguments):
        """The sum of ``function(block, *arguments)`` over all blocks: of arrays, or of tuples of them."""
        # Blocks remember weights, which those of this process would share with the caller.
        n, arguments = len(self.groups), [copy(argument) for argument in arguments]
        if n > ADDED_AT_ONCE:
            # Workers pass them on.
            arguments = self.rows.started(_same, [arguments])[0]
        return self.rows.total(
            self.rows.started(_summed, [function] * n, self.groups, self.blocks, [arguments] * n)
        )

    def take(self, places):
        """Some of the rows that count, in their order, as a block in this process."""
        cuts = np.searchsorted(places, self.starts)
        inside = [
            places[slice(*cut)] - start
            for cut, start in zip(itertools.pairwise(cuts), self.starts[:-1], strict=True)
        ]
        tasks = self.rows.started(_taken, self.blocks, _of_groups(self.groups, inside))
        taken = itertools.chain.from_iterable(self.rows.results(tasks))
        numbers = itertools.chain.from_iterable(self.groups)
        X = [part for _, part in sorted(zip(numbers, taken, strict=True), key=operator.itemgetter(0))]
        indices = self.indices[places]
        weights = None if self.row_weights is None else self.row_weights[indices]
        return Block(self.rows.stacked(X), self.targets.take(indices), weights)


@blocks_of.register
def _(rows: FarRows, problem):
    return rows.counted(problem)


@add_moments_of.register
def _(rows: FarRows, origin, order, weights, moments, *, n_threads=1):
    visits = [(inside, weights[place] if len(weights) else weights) for place, inside in rows.parts(order)]
    groups = rows.groups(moments.size)
    parts = _of_groups(groups, rows.blocks), [origin] * len(groups), _of_groups(groups, visits)
    moments += rows.total(rows.started(_moments, groups, *parts))


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
            f"bytes are {n_bytes / 2**30:.3g} GiB. {WEIGHTS_HELD} times that is needed, and a worker has "
            f"{limit / 2**30:.3g} GiB of memory. Hash the features into fewer, use float32, or give workers more."
        )


def merged_to_blocks(known, n_least):
    """Neighbouring parts, by their numbers, that are a block of so many values; parts without rows are left out."""
    groups, n_values = [[]], 0
    for number, part in enumerate(known):
        if not len(part.counts):
            continue
        if n_values >= n_least:
            groups.append([])
            n_values = 0
        groups[-1].append(number)
        n_values += part.n_values
    if len(groups) > 1 and n_values < n_least:
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


def _prepare(blocks, shift, factor, pieces):
    """The rows of blocks that count, as training sees them."""
    return [
        FarBlock(_counted(block, shift, factor, inside), *piece)
        for block, (inside, *piece) in zip(blocks, pieces, strict=True)
    ]


def _counted(block, shift, factor, places):
    if places is None and factor is None:
        return block.X
    rows = _rows_of(block.X, shift, factor)
    return rows.X if places is None else rows.take(places)


def _taken(blocks, places):
    return [take_rows(block.X, of_block) for block, of_block in zip(blocks, places, strict=True)]


def _of_groups(groups, values):
    """Those of the blocks of each group, given one for each block."""
    return [[values[k] for k in group] for group in groups]


def _same(value):
    return value


def _summed(function, numbers, blocks, arguments):
    return _tree(numbers, (function(block, *arguments) for block in blocks))


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
