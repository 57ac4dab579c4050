"""Searches that train all candidates of a fold in the same passes over its rows.

`search.py` has the interface, `evaluation.py` folds, scores and results, `candidates.py` says what is trained together.
"""

from sgdkit.model_selection.search import OnePassGridSearchCV, OnePassRandomizedSearchCV

__all__ = ["OnePassGridSearchCV", "OnePassRandomizedSearchCV"]
