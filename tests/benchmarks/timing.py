"""Taking turns: ours, peer, ours, peer, ... in one run, so that both meet the same moods of the machine."""

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

# A timing shorter than this repeats what it times.
SHORTEST_SECONDS = 0.05
# A row that has taken so long begins no further turn.
PATIENCE_SECONDS = 150.0


class Missing(Exception):
    """A peer or a data set is not here; the message names it and says why."""


@dataclass(frozen=True)
class Settings:
    """What the command line asks for.

    Attributes
    ----------
    repeats : int
        Turns that each side takes.
    quick : bool
        Small data, for a look at whether all runs; its ratios mean little.
    wordnet : str or None
        The folder of WordNet's ``data.*`` files.
    """

    repeats: int = 5
    quick: bool = False
    wordnet: str | None = None

    def size(self, n):
        """A number of rows, or a tenth of it."""
        return n // 10 if self.quick else n


@dataclass(frozen=True)
class Contest:
    """Two functions that do the same work, and who the peer is."""

    ours: Callable[[], object]
    peer: Callable[[], object]
    peer_name: str
    note: str = ""


@dataclass(frozen=True)
class Result:
    """What a row shows: medians in `unit`, and the number of turns behind them."""

    ours: float
    peer: float
    peer_name: str
    unit: str = "s"
    note: str = ""
    turns: int = 1

    @property
    def ratio(self):
        return self.ours / self.peer


def seconds(function, number=1):
    """Mean wall time of some calls."""
    begin = perf_counter()
    for _ in range(number):
        function()
    return (perf_counter() - begin) / number


def take_turns(functions, repeats):
    """Time functions in turns.

    Parameters
    ----------
    functions : list of callables
    repeats : int

    Returns
    -------
    times : list of lists of float
        Seconds a call; one list a function. There are fewer than `repeats` in each where the functions are slow. The
        first turn only warms up, unless it is slow.
    """
    gc.collect()
    times = [[seconds(function)] for function in functions]
    numbers = [max(1, math.ceil(SHORTEST_SECONDS / max(first, 1e-9))) for (first,) in times]
    if sum(first for (first,) in times) < PATIENCE_SECONDS / 10:
        times = [[] for _ in functions]
    begin = perf_counter()
    while len(times[0]) < repeats and (not times[0] or perf_counter() - begin < PATIENCE_SECONDS):
        for function, number, own in zip(functions, numbers, times, strict=True):
            own.append(seconds(function, number))
    return times


def compete(contest, settings):
    """Hold a `Contest`, and return its `Result`."""
    ours, peer = take_turns([contest.ours, contest.peer], settings.repeats)
    return Result(median(ours), median(peer), contest.peer_name, note=contest.note, turns=len(ours))
