"""Write what the next releases have to read."""

import gzip
import pickle
from pathlib import Path

import sgdkit
from sgdkit.optimizers import OPTIMIZERS
from tests.problems import KINDS, make, make_X, make_y


def make_models():
    X = make_X()
    for kind in KINDS:
        for optimizer in OPTIMIZERS:
            model = make(kind, optimizer=optimizer, batch_size=1, average=kind == "labels")
            model.fit(X, make_y(X, kind))
            scores = model.predict(X) if "number" in kind else model.decision_function(X)
            yield f"{kind} {optimizer}", (model, scores)


path = Path(__file__).parent / f"{sgdkit.__version__}.pickle.gz"
path.write_bytes(gzip.compress(pickle.dumps(dict(make_models())), mtime=0))
