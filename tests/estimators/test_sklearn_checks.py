"""scikit-learn's own checks of an estimator: nothing fails, and next to nothing is expected to."""

import os
import subprocess
import sys

import pytest
import sklearn
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from sgdkit.optimizers import OPTIMIZERS
from tests.pairs import covering
from tests.problems import ESTIMATORS, FULL_BATCH

# Repeating a row takes one more step, a weight makes a step longer; an optimizer's state tells them apart.
WEIGHT_CHECKS = [
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
]


def expected_failed_checks(estimator):
    """Row by row, a weight is no repetition; full gradients take all rows at once."""
    if estimator.batch_size != 1 or estimator.optimizer in FULL_BATCH:
        return {}
    return dict.fromkeys(WEIGHT_CHECKS, "one row at a time, a weight scales a step instead of repeating it")


SETTINGS = ESTIMATORS, list(OPTIMIZERS), ["auto", 1]


@parametrize_with_checks(
    [estimator(optimizer=name, batch_size=batch_size) for estimator, name, batch_size in covering(*SETTINGS)],
    expected_failed_checks=expected_failed_checks,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="scikit-learn checks it from 1.9 on"
)
def test_array_api_dispatch_changes_nothing():
    # The variable is read when SciPy is imported, hence another process.
    script = "\n".join(
        [
            "from sklearn import config_context",
            "from sklearn.utils.estimator_checks import check_estimator",
            "from sgdkit import SGDClassifierPlus, SGDRegressorPlus",
            "for estimator in SGDClassifierPlus(), SGDRegressorPlus():",
            "    results = check_estimator(estimator, on_skip=None)",
            "    assert len(results) > 40",
            "    assert {r['status'] for r in results} <= {'passed', 'skipped'}",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
