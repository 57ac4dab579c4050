"""Whole searches for the strength of the penalty, 20 of them in 5 folds, with nothing else set, and the refit.

Seconds are CPU time, on the first split of those of `whole_fits`; scores are accuracy or R2 of its test rows.
"""

from functools import partial

import numpy as np
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import OnePassGridSearchCV
from tests.benchmarks.data import PROBLEMS
from tests.benchmarks.whole_fits import measured, shown, splits_of

NAME = "whole-searches"
HEADER = ("data", "OnePassGridSearchCV", "ratio", "GridSearchCV of SGDClassifier, SGDRegressor")
GRID = {"alpha": np.logspace(-7, -2, 20)}
LIMIT = 600
MODELS = {
    "classification": (SGDClassifierPlus, SGDClassifier),
    "regression": (SGDRegressorPlus, SGDRegressor),
}


def row(name, settings):
    """The cells of a problem."""
    problem = PROBLEMS[name]()
    ours, peer = MODELS[problem.kind]
    splits = splits_of(problem, settings)[:1]
    ours = measured(partial(search_of, OnePassGridSearchCV, ours), splits, LIMIT)
    peer = measured(partial(search_of, GridSearchCV, peer), splits, LIMIT)
    return name, shown(*ours), f"{ours[0] / peer[0]:.3g}", shown(*peer)


def search_of(search, model):
    return search(model(random_state=0), GRID, cv=5)
