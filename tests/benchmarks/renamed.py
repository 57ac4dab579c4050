"""Settings of `SGDClassifier` and `SGDRegressor` with the class name changed and nothing else: is the result as good?

    python -m tests.benchmarks.renamed
    python -m tests.benchmarks.renamed iris "breast cancer"

For each of the usual settings, on a few small tables, raw and scaled, both are fitted to the same splits. Shown are
the cases in which the mean test score is lower by more than a standard error of the differences between the splits, in
units of it; and, table by table, how many are higher. By chance, one of six equals is lower by one standard error, and
one of forty by two.
"""

import sys
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_friedman1,
)
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus

N_SPLITS = 8
RATES = [
    {"learning_rate": "constant", "eta0": 0.01},
    {"learning_rate": "invscaling", "eta0": 0.01},
    {"learning_rate": "adaptive", "eta0": 0.01},
]
COMMON = [
    {},
    {"penalty": "l1"},
    {"penalty": "elasticnet"},
    {"penalty": None},
    {"alpha": 1e-3},
    {"alpha": 1e-2},
    {"average": True},
    {"early_stopping": True},
    {"max_iter": 5},
    {"max_iter": 5, "tol": None},
    {"max_iter": 1000, "tol": 1e-4},
    *RATES,
]
CLASSIFICATION = [
    *COMMON,
    {"loss": "hinge"},
    {"loss": "log_loss"},
    {"loss": "modified_huber"},
    {"loss": "squared_hinge"},
    {"loss": "perceptron"},
    {"class_weight": "balanced"},
    {"learning_rate": "optimal"},
    *({"loss": "hinge", **rate} for rate in RATES),
    {"loss": "log_loss", "penalty": "l1", "alpha": 1e-3},
    {"loss": "log_loss", "penalty": "elasticnet", "alpha": 1e-3, "l1_ratio": 0.5},
]
REGRESSION = [
    *COMMON,
    {"loss": "squared_error"},
    {"loss": "huber"},
    {"loss": "huber", "epsilon": 10.0},
    {"loss": "epsilon_insensitive"},
    {"loss": "squared_epsilon_insensitive"},
    {"learning_rate": "optimal"},
    {"learning_rate": "invscaling", "eta0": 0.01, "power_t": 0.25},
    {"average": True, "learning_rate": "constant", "eta0": 0.001},
    {"penalty": "l1", "alpha": 1e-2},
    {"penalty": "elasticnet", "alpha": 1e-2, "l1_ratio": 0.5},
    {"early_stopping": True, "max_iter": 100},
    {"shuffle": False},
]
TABLES = {
    "iris": (load_iris, CLASSIFICATION),
    "wine": (load_wine, CLASSIFICATION),
    "digits": (load_digits, CLASSIFICATION),
    "breast cancer": (load_breast_cancer, CLASSIFICATION),
    "diabetes": (load_diabetes, REGRESSION),
    "friedman": (lambda return_X_y: make_friedman1(500, noise=1.0, random_state=0), REGRESSION),
}


def scores(estimator, X, y, splits):
    """The test score of each split; of a fit that diverges as low as that of no model at all."""
    values = []
    for seed, (train, test) in enumerate(splits):
        model = clone(estimator)
        model.set_params(**{name: seed for name in model.get_params() if name.endswith("random_state")})
        try:
            values.append(max(model.fit(X[train], y[train]).score(X[test], y[test]), 0.0))
        except ValueError:
            values.append(0.0)
    return np.array(values)


def compare(name, scaled, settings, *, n_splits=N_SPLITS):
    """The mean scores of theirs and ours, and the standard error of the mean difference."""
    load, _ = TABLES[name]
    X, y = load(return_X_y=True)
    classes = np.issubdtype(y.dtype, np.integer)
    theirs, ours = (SGDClassifier, SGDClassifierPlus) if classes else (SGDRegressor, SGDRegressorPlus)
    cutter = StratifiedShuffleSplit if classes else ShuffleSplit
    splits = list(cutter(n_splits, test_size=0.3, random_state=0).split(X, y))
    results = []
    for cls in theirs, ours:
        model = cls(**settings)
        results.append(scores(make_pipeline(StandardScaler(), model) if scaled else model, X, y, splits))
    difference = results[1] - results[0]
    return *(result.mean() for result in results), difference.std(ddof=1) / np.sqrt(n_splits)


def compare_all(name):
    """Print what is lower on a table, and count."""
    n_better = n_worse = 0
    all_settings = TABLES[name][1]
    for scaled in True, False:
        for settings in all_settings:
            theirs, ours, error = compare(name, scaled, settings)
            n_better += ours > theirs + error
            if ours < theirs - error:
                n_worse += 1
                where = f"{name}, {'scaled' if scaled else 'raw'}, {settings}"
                print(
                    f"{where}: {ours:.4f} where theirs is {theirs:.4f}, {(theirs - ours) / error:.1f} errors",
                    flush=True,
                )
    print(
        f"{name}: of {2 * len(all_settings)} cases, {n_better} are higher, and {n_worse} lower.", flush=True
    )


def main():
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or TABLES:
        compare_all(name)


if __name__ == "__main__":
    main()
