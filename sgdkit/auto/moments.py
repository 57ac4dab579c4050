"""What is known of features, in records; and sums over rows, wherever these are, which are added to it."""

import itertools
from functools import singledispatch

import numpy as np

from sgdkit._kernels import arrays
from sgdkit._kernels.arrays import N_MOMENTS
from sgdkit.optimizers.blocks import add_up, map_of, places_of
from sgdkit.training.room import from_a_line

# What is known of a feature: its moments; the value that they are about; its scale.
ORIGIN, SCALE = N_MOMENTS, N_MOMENTS + 1

# Threads share out so many stretches of rows.
MOST_STRETCHES = 16


def nothing_known(n_features):
    """What is known of features before any row; that of one is one line of cache."""
    return from_a_line(np.zeros, n_features * (SCALE + 1), np.float64).reshape(n_features, SCALE + 1)


@singledispatch
def add_moments(rows, origin, order, weights, moments, *, n_threads=1):
    """Add the moments of rows: see `arrays.add_moments`. Threads share the blocks of full gradients."""
    places = _in_stretches(places_of(rows, order))
    if len(places) == 1:
        arrays.add_moments(rows, origin, order, weights, moments)
        return
    if order is None:
        parts = [rows.part(place.start, place.stop) for place in places]
        visits = [(part, origin, None, weights[place]) for part, place in zip(parts, places, strict=True)]
    else:
        rows.check()
        parts, visits = [rows], [(rows, origin, order[place], weights) for place in places]
    moments += add_up(map_of(n_threads, places)(_moments, visits))
    rows.looked_at(parts)


def _in_stretches(places):
    """Some stretches of blocks, which depend on these alone; the sums of each are a table as long as the features."""
    ends = np.linspace(0, len(places), min(len(places), MOST_STRETCHES) + 1).astype(int)
    return [
        slice(places[begin].start, places[end - 1].stop) for begin, end in itertools.pairwise(ends.tolist())
    ]


def _moments(visit):
    rows, *_ = visit
    moments = nothing_known(rows.n_features)[:, :N_MOMENTS]
    arrays.add_moments(*visit, moments)
    return moments
