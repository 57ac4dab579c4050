"""What is not a ratio of two times: memory and import, each measured in a process of its own."""

import json
import os
import subprocess
import sys
from statistics import median

from tests.benchmarks.timing import Result

IMPORT_ALLOWANCE = 0.050  # seconds
PEAK = """
import json, sys, tracemalloc
from tests.benchmarks import data, peers
from tests.internals import trainer_of

n, d, n_classes, optimizer = json.loads(sys.argv[1])
X, y = data.zipf(n, d, 51, "float32", n_classes)
model = peers.ours(optimizer)
model.fit(X[:300], y[:300] % 2)
tracemalloc.start()
model.fit(X, y)
kept, peak = tracemalloc.get_traced_memory()
state = sum(state.record.nbytes for state in trainer_of(model).states)
print(json.dumps([peak, model.coef_.nbytes, state, X.data.nbytes + X.indices.nbytes + X.indptr.nbytes]))
"""
IMPORT = """
from time import perf_counter
import sklearn.linear_model
begin = perf_counter()
import sgdkit
print(perf_counter() - begin)
"""


def in_process(code, *arguments):
    """The last line that some code prints in a fresh interpreter, read as JSON."""
    command = [sys.executable, "-c", code, *map(json.dumps, arguments)]
    # With byte code, which pip makes of what it installs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def peak_memory(n_classes, settings):
    """The peak of what `fit` allocates (AdaGrad, float32 CSR), against weights, state and one permutation of the rows.

    Allocations are traced, which sees NumPy's, where all that grows with the data lies. The weights are `coef_`; the
    state is the optimizer's records: the weights again, in the order that it works in, their second moments and clocks.
    """
    n = settings.size(400_000)
    peak, weights, state, rows = in_process(PEAK, [n, 50_000, n_classes, "adagrad"])
    needed = weights + state + 8 * n
    note = f"X itself: {rows / 1e6:.0f} MB"
    return Result(peak / 1e6, needed / 1e6, "weights + state + permutation", unit="MB", note=note)


def import_time(settings):
    """The import of sgdkit where `sklearn.linear_model` has been imported, against what is allowed."""
    times = [in_process(IMPORT) for _ in range(settings.repeats + 1)][1:]
    return Result(median(times), IMPORT_ALLOWANCE, "allowance", turns=settings.repeats)
