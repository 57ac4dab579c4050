"""One-pass searches against `GridSearchCV`: 20 strengths of the penalty, 5 folds, 10 epochs, two jobs on both sides.

`GridSearchCV` starts its processes in the turn that only warms up.
"""

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV

from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import OnePassGridSearchCV
from tests.benchmarks import accuracy, data
from tests.benchmarks.resources import in_process
from tests.benchmarks.timing import Contest, Result, compete

ALPHAS = np.geomspace(1e-7, 1e-2, 20)
FIRST_RATES = {"sgd": 1.0, "adagrad": 0.3}
OPTIONS = {"cv": 5, "n_jobs": 2, "refit": False}
ALLOWED_DIFFERENCE = 0.01
PEAK = """
import json, sys, tracemalloc
import numpy as np
from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import OnePassGridSearchCV
from tests.benchmarks import data

n, d = json.loads(sys.argv[1])
X, y = data.zipf(n, d, 51, "float32", 2)
options = {"standardize": False, "max_iter": 1, "tol": None, "batch_size": 1, "random_state": 0}
model = SGDClassifierPlus(optimizer="sgd", eta0=1.0, **options)
folds = [(np.arange(n // 5, n), np.arange(n // 5))]
search = OnePassGridSearchCV(model, {"alpha": np.geomspace(1e-7, 1e-2, 100)}, cv=folds, refit=False)
tracemalloc.start()
search.fit(X, y)
print(json.dumps(tracemalloc.get_traced_memory()[1]))
"""


def ours(optimizer):
    """Our classifier for ten epochs, one row a step."""
    settings = {"standardize": False, "batch_size": 1, "max_iter": 10, "tol": None, "random_state": 0}
    return SGDClassifierPlus(optimizer=optimizer, eta0=FIRST_RATES[optimizer], **settings)


def sklearn_sgd():
    return SGDClassifier(loss="log_loss", max_iter=10, tol=None, random_state=0)


def rows(settings):
    return data.zipf(settings.size(100_000), 50_000, 51, np.float32, 2)


def binary(settings, optimizer, peer=None):
    """A search of our classifier against `GridSearchCV` of scikit-learn's, or of our own."""
    X, y = rows(settings)
    mine = OnePassGridSearchCV(ours(optimizer), {"alpha": ALPHAS}, **OPTIONS)
    other = GridSearchCV(ours(optimizer) if peer == "own" else sklearn_sgd(), {"alpha": ALPHAS}, **OPTIONS)
    name = "GridSearchCV of ours" if peer == "own" else "GridSearchCV(SGDClassifier)"
    return Contest(lambda: mine.fit(X, y), lambda: other.fit(X, y), name)


def classes(settings):
    """45 classes of WordNet, 10 strengths; of the peer, one strength is timed, and counted ten times."""
    split = accuracy.wordnet(settings)
    X = split.X.astype(np.float32)
    mine = OnePassGridSearchCV(ours("sgd"), {"alpha": ALPHAS[::2]}, **OPTIONS)
    other = GridSearchCV(sklearn_sgd(), {"alpha": [1e-5]}, **OPTIONS)
    contest = Contest(
        lambda: mine.fit(X, split.y), lambda: other.fit(X, split.y), "GridSearchCV(SGDClassifier)"
    )
    result = compete(contest, settings)
    note = "the peer's time is that of a tenth of its grid, times ten"
    return Result(result.ours, 10 * result.peer, result.peer_name, note=note, turns=result.turns)


def difference(settings):
    """The largest difference of a mean test score from that of `GridSearchCV` of our classifier."""
    X, y = rows(settings)
    largest = 0.0
    for optimizer in FIRST_RATES:
        searches = [
            cls(ours(optimizer), {"alpha": ALPHAS}, **OPTIONS) for cls in (OnePassGridSearchCV, GridSearchCV)
        ]
        scores = [search.fit(X, y).cv_results_["mean_test_score"] for search in searches]
        largest = max(largest, float(np.abs(scores[0] - scores[1]).max()))
    return Result(largest, ALLOWED_DIFFERENCE, "allowance", unit="accuracy")


def few_candidates(settings):
    """Where it pays less: three candidates with whose passes nothing is shared."""
    X, y = rows(settings)
    grid = {"optimizer": ["sgd", "adagrad", "adam"]}
    mine, other = (cls(ours("sgd"), grid, **OPTIONS) for cls in (OnePassGridSearchCV, GridSearchCV))
    return Contest(
        lambda: mine.fit(X, y), lambda: other.fit(X, y), "GridSearchCV of ours", "nothing is shared"
    )


def memory(settings):
    """The peak of a search over 100 columns, against the weights to return and the state."""
    n, d = settings.size(50_000), 1 << 18
    peak = in_process(PEAK, [n, d])
    # Of sgd, the state is the weights.
    needed = 2 * 100 * 4 * (d + 1)
    return Result(peak / 1e6, needed / 1e6, "weights + state", unit="MB")
