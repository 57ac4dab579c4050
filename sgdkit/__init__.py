"""scikit-learn estimators that fit linear models with first-order optimizers.

Minimise ``mean loss(y, XW + b) + alpha * penalty(W)``: a loss, a penalty, an optimizer and a schedule. Each is one
class with one home; one compiled loop over rows runs them all, for any number of models at once.
"""

from sgdkit.estimators import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import (
    OnePassGridSearchCV,
    OnePassHalvingGridSearchCV,
    OnePassHalvingRandomSearchCV,
    OnePassRandomizedSearchCV,
    regularization_path,
)
from sgdkit.saving import TRUSTED_TYPES
from sgdkit.versions import __version__ as __version__
from sgdkit.versions import show_versions

__all__ = [
    "TRUSTED_TYPES",
    "OnePassGridSearchCV",
    "OnePassHalvingGridSearchCV",
    "OnePassHalvingRandomSearchCV",
    "OnePassRandomizedSearchCV",
    "SGDClassifierPlus",
    "SGDRegressorPlus",
    "regularization_path",
    "show_versions",
]
