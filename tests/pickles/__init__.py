"""Models as releases have pickled them, a file a release: what was once saved is to load.

`python -m tests.pickles`, once for each release, writes the file of the version that is installed.
"""

import gzip
import pickle
from pathlib import Path

FILES = sorted(Path(__file__).parent.glob("*.pickle.gz"))


def load(path):
    """Models and their scores on `make_X()`, by kind of problem and optimizer."""
    with gzip.open(path) as file:
        return pickle.load(file)
