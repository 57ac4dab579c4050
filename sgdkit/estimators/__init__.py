"""The estimators: what scikit-learn sees."""

from sgdkit.estimators.classifier import SGDClassifierPlus
from sgdkit.estimators.regressor import SGDRegressorPlus

__all__ = ["SGDClassifierPlus", "SGDRegressorPlus"]
