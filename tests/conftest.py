"""What all tests share."""

import os

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

# Workers of pytest-xdist share the processors already: with threads of BLAS too, they wait for one another for minutes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
threadpool_limits(1, user_api="blas")


@pytest.fixture(autouse=True)
def _seed():
    """Estimators without a random_state draw from NumPy's global generator; no test is to depend on its luck."""
    np.random.seed(0)  # noqa: NPY002
