"""What all tests share."""

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _seed():
    """Estimators without a random_state draw from NumPy's global generator; no test is to depend on its luck."""
    np.random.seed(0)  # noqa: NPY002
