"""Pictures of fitted models and searches, as Displays in scikit-learn's manner.

matplotlib and pandas are imported when they are used: ``pip install 'sgdkit[plot]'``.
"""

from sgdkit.plotting.coefficients import CoefficientDisplay, coef_frame
from sgdkit.plotting.search_path import SearchPathDisplay
from sgdkit.plotting.training_curve import TrainingCurveDisplay

__all__ = ["CoefficientDisplay", "SearchPathDisplay", "TrainingCurveDisplay", "coef_frame"]
