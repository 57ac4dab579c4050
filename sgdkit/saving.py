"""The types that saved models are made of, for formats such as skops' that load what they are told to trust alone."""

import numpy as np
from sklearn.metrics._scorer import _PassthroughScorer
from sklearn.utils._metadata_requests import MetadataRequest, MethodMetadataRequest

from sgdkit._kernels.state import State
from sgdkit.auto.scaling import Scaling
from sgdkit.estimators import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.estimators.fitted import Past
from sgdkit.estimators.labels import Labels
from sgdkit.estimators.outputs import Outputs
from sgdkit.model_selection import (
    OnePassGridSearchCV,
    OnePassHalvingGridSearchCV,
    OnePassHalvingRandomSearchCV,
    OnePassRandomizedSearchCV,
)
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.optimizers.full_gradients import FullGradientState
from sgdkit.penalties import Penalty
from sgdkit.schedules import SCHEDULES
from sgdkit.training.trainer import Trainer
from sgdkit.training.waiting import Waiting


def _with_subclasses(cls):
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)


_TYPES = [
    *(SGDClassifierPlus, SGDRegressorPlus, OnePassGridSearchCV, OnePassRandomizedSearchCV),
    *(OnePassHalvingGridSearchCV, OnePassHalvingRandomSearchCV),
    *(Past, Labels, Outputs, Penalty, Trainer, Waiting),
    *(*_with_subclasses(Scaling), *_with_subclasses(State), *_with_subclasses(FullGradientState)),
    *(*OPTIMIZERS.values(), *SCHEDULES.values()),
    *(np.dtype, _PassthroughScorer, MetadataRequest, MethodMetadataRequest),
]

#: The names of the types that a fitted estimator or search consists of, for skops and mlflow. None of them runs code
#: of the file that it is loaded from.
TRUSTED_TYPES: list[str] = sorted({f"{cls.__module__}.{cls.__qualname__}" for cls in _TYPES})
