"""Searches that train all candidates of a fold in the same passes over its rows.

`search.py` and `halving.py` have the interface, `evaluation.py` folds, scores and results; `shared_passes.py` says what
shares a pass. `path.py` has the regularisation path.
"""

from sgdkit.model_selection.halving import OnePassHalvingGridSearchCV, OnePassHalvingRandomSearchCV
from sgdkit.model_selection.path import regularization_path
from sgdkit.model_selection.search import OnePassGridSearchCV, OnePassRandomizedSearchCV

__all__ = [
    "OnePassGridSearchCV",
    "OnePassHalvingGridSearchCV",
    "OnePassHalvingRandomSearchCV",
    "OnePassRandomizedSearchCV",
    "regularization_path",
]
