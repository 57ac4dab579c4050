"""Whole fits as users call them, on `PROBLEMS`: ours with hardly anything set, beside peers at common settings.

Seconds are CPU time of `fit`, the median of three splits; scores are accuracy or R2 of the test rows, means of the
splits. The best of the peers' settings is picked on the test rows, which favours it; and so is the fastest, of those
that score at most `A_POINT` less than the best of all. A setting that takes over `LIMIT` seconds is given up.
"""

import sys
from functools import partial
from statistics import fmean, median

from scipy import sparse

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from tests.benchmarks.data import PROBLEMS
from tests.benchmarks.limited import cpu_fit
from tests.benchmarks.report import quantity
from tests.benchmarks.timing import Missing
from tests.benchmarks.whole_peers import settings as peers_of

NAME = "whole-fits"
HEADER = (
    "data",
    "ours by default",
    "sgd",
    "squared hinge",
    "peers: best of our loss",
    "best of all",
    "ratio",
    "fastest of peers within a point of that",
)
SEEDS = (0, 1, 2)
LIMIT = 60
A_POINT = 0.01
QUICK_ROWS = 2000
OURS = {
    "classification": [{}, {"optimizer": "sgd"}, {"loss": "squared_hinge"}],
    "regression": [{}, {"optimizer": "sgd"}],
}


def row(name, settings):
    """The cells of a problem."""
    problem = PROBLEMS[name]()
    splits = splits_of(problem, settings)
    ours = [measured(partial(our_model, problem.kind, options), splits) for options in OURS[problem.kind]]
    peers = measured_peers(problem.kind, splits)
    most = max(score for _, score, _ in peers)
    same_loss = max((score, -seconds) for seconds, score, peer in peers if peer.our_loss)
    best = min(seconds for seconds, score, _ in peers if score == most)
    seconds, score, peer = min(
        (entry for entry in peers if entry[1] >= most - A_POINT), key=lambda entry: entry[0]
    )
    return (
        name,
        *(shown(*entry) for entry in ours),
        *[""] * (3 - len(ours)),
        shown(-same_loss[1], same_loss[0]),
        shown(best, most),
        f"{ours[0][0] / seconds:.3g}",
        f"{peer.name}: {shown(seconds, score)}",
    )


def splits_of(problem, settings):
    """Three splits, or a small one for a quick look."""
    if settings.quick:
        return [problem.split(SEEDS[0], QUICK_ROWS)]
    return [problem.split(seed) for seed in SEEDS]


def our_model(kind, options):
    cls = SGDClassifierPlus if kind == "classification" else SGDRegressorPlus
    return cls(random_state=0, **options)


def measured(make, splits, limit=LIMIT):
    """Seconds and score over the splits; there are no further ones after one that takes too long."""
    outcomes = []
    for split in splits:
        outcomes.append(cpu_fit(make, split, limit))
        if outcomes[-1][0] == float("inf"):
            return outcomes[-1]
    return median(seconds for seconds, _ in outcomes), fmean(score for _, score in outcomes)


def measured_peers(kind, splits):
    """Seconds, score and `Peer` of the settings that come to an end."""
    found = []
    for peer in peers_of(kind, not sparse.issparse(splits[0].X)):
        try:
            seconds, score = measured(peer.make, splits)
        except Missing as reason:
            print(f"  skipped: {peer.name}: {reason}", file=sys.stderr)
            continue
        if seconds < float("inf"):
            found.append((seconds, score, peer))
    return found


def shown(seconds, score):
    return "gave up" if seconds == float("inf") else f"{score:.3f} in {quantity(seconds, 's')}"
