"""Training in stages: at the end of each, the candidates of a search are compared.

What trains candidates is a generator: it pauses where a stage ends, and returns when there is nothing more to train. So
all folds can be brought to the end of a stage, by any number of threads, before it is decided who goes on. No thread
waits for another in between, and a search without halving is one of a single stage.
"""

from dataclasses import dataclass, field

from sgdkit.training.loop import Rung

_ENDED = object()


@dataclass
class Stage(Rung):
    """How far candidates are trained until they meet, and which of them still are.

    Attributes
    ----------
    n_epochs : float
        With 0, candidates are only planned.
    out : set of int
        The numbers of the candidates that have left the search.
    lengths : list of int
        The most epochs of each candidate on each fold, known once it is planned.
    turns : Turns, or None
        Those of the tasks that run in this stage.
    """

    out: set = field(default_factory=set)
    lengths: list = field(default_factory=list)
    turns: object = None


def step(generator):
    """What a generator yields next, or returns; and whether it is over."""
    try:
        return next(generator), False
    except StopIteration as end:
        return end.value, True


def paused(generators):
    """Run each of some generators to its next pause before the next one is made; return those that are not over."""
    return [each for each in generators if next(each, _ENDED) is not _ENDED]


def in_step(generators):
    """A generator that pauses when all of some generators have."""
    going_on = paused(generators)
    while going_on:
        yield
        going_on = paused(going_on)
