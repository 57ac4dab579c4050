"""The targets of a classifier: classes, or a label indicator."""

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from sgdkit._kernels.targets import Targets
from sgdkit.estimators.structure import check_structure
from sgdkit.losses import CLASSIFIER_LOSSES, MULTINOMIAL

# Labels are encoded, and counted, so many at a time, to take no room beside them.
STRETCH, COUNTED = 1 << 14, 1 << 18


class Labels:
    """What is known of the targets of a classification problem.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted; of an indicator, the numbers of its columns.
    indicator_dtype : dtype, default=None
        That of a label indicator; None for classes.
    class_totals : ndarray of float64 of shape (n_classes,), or 0
        The sum of the sample weights of each class in the training rows so far, if anybody asks for them.
    """

    numeric, losses = False, CLASSIFIER_LOSSES

    def __init__(self, classes, indicator_dtype=None, class_totals=0):
        self.classes = classes
        self.indicator_dtype = indicator_dtype
        self.class_totals = class_totals

    @property
    def attributes(self):
        """What the estimator is to know."""
        return {"classes_": self.classes, "_indicator_dtype": self.indicator_dtype}

    @classmethod
    def learn(cls, y, classes=None):
        """The labels of a problem with the targets `y`; `classes` are those that any chunk may have."""
        if y.ndim == 2:
            classes = np.arange(y.shape[1])
        elif classes is None:
            classes = _distinct(y)
        if len(classes) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(classes)} class")
        return cls(classes, y.dtype if y.ndim == 2 else None)

    @staticmethod
    def prepare(y, name="y"):
        """Return targets as a user gives them, objects that are numbers as numbers; missing ones are an error."""
        return without_objects(y, name)

    @staticmethod
    def check(settings, y):
        """Return `y` as labels of shape (n_rows,), or as an indicator of shape (n_rows, n_outputs)."""
        if sparse.issparse(y):
            y = y.toarray()
        if y.ndim == 2 or y.dtype.kind not in "biu":
            check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] > 1:
            if type_of_target(y) != "multilabel-indicator":
                raise ValueError(
                    "y has several columns that are not label indicators. Fit them with "
                    "sklearn.multioutput.MultiOutputClassifier."
                )
            if not np.isin(y, (0, 1)).all():
                raise ValueError(f"A multilabel indicator y must hold 0 and 1 only, got {np.unique(y)}.")
            return y
        return y if y.ndim == 1 else column_or_1d(y, warn=True)

    @staticmethod
    def check_size(y, dtype):
        """Labels have no size."""

    def check_going_on(self, earlier):
        """Raise if a fit to these labels cannot go on from one to `earlier` labels."""
        if not np.array_equal(self.classes, earlier.classes):
            raise ValueError(
                "warm_start can only be used where the classes are those of the last fit. Previously got "
                f"{earlier.classes}, y has {self.classes}."
            )
        if (self.indicator_dtype is None) != (earlier.indicator_dtype is None):
            raise ValueError(_KINDS_DIFFER)

    def encode(self, y):
        """The targets of columns: of two classes one column, else one for each class or label."""
        if (y.ndim == 2) != (self.indicator_dtype is not None):
            raise ValueError(_KINDS_DIFFER)
        if y.ndim == 2:
            return Targets(2.0 * y - 1.0, np.arange(y.shape[1]), signs=True)
        n_classes = len(self.classes)
        return Targets(self._codes(y), [1] if n_classes == 2 else np.arange(n_classes))

    def _codes(self, y):
        """The places of labels among the classes."""
        codes = np.empty(len(y), dtype=np.int32)
        unknown = []
        for begin in range(0, len(y), STRETCH):
            part = y[begin : begin + STRETCH]
            if len(self.classes) == 2:
                places = part == self.classes[1]
                found = places | (part == self.classes[0])
            else:
                try:
                    places = np.searchsorted(self.classes, part)
                except TypeError:
                    # There is no order between them and the classes, as between numbers and strings.
                    places = np.zeros(len(part), dtype=np.intp)
                places[places == len(self.classes)] = 0
                found = self.classes[places] == part
            if not found.all():
                unknown.extend(np.unique(part[~found]))
            codes[begin : begin + len(part)] = places
        if unknown:
            raise ValueError(
                f"y contains labels that are not among the classes {self.classes}: {np.unique(unknown)}. "
                "Pass all of them as `classes` to the first call to partial_fit, or to fit."
            )
        return codes

    def count(self, settings, targets, sample_weight):
        """The same labels, which also know of the training rows `targets`."""
        if settings.class_weight is None:
            return self
        if self.indicator_dtype is not None:
            raise ValueError(
                "class_weight is not supported for multilabel targets; use sample_weight instead."
            )
        totals = np.bincount(targets.values, sample_weight, len(self.classes))
        return Labels(self.classes, class_totals=self.class_totals + totals)

    def class_weights(self, settings):
        """The weight of each class, or None for 1; "balanced" ones by the sums of sample weights so far."""
        if settings.class_weight is None:
            return None
        if settings.class_weight == "balanced":
            totals = self.class_totals
            return np.divide(totals.sum(), len(totals) * totals, out=np.ones(len(totals)), where=totals > 0)
        weights = compute_class_weight(settings.class_weight, classes=self.classes, y=self.classes)
        if not (np.isfinite(weights).all() and weights.min() >= 0):
            raise ValueError(
                f"class_weight must hold finite, non-negative weights, got {settings.class_weight}."
            )
        return weights

    def make_loss(self, settings, targets):
        """The loss of the columns: one of each column's own, or one that the columns of a model share."""
        cls = self.losses[settings.loss]
        coupled = MULTINOMIAL.get(cls)
        if settings.multi_class == "multinomial" and coupled is None:
            names = [name for name, loss in self.losses.items() if loss in MULTINOMIAL]
            raise ValueError(
                f"multi_class='multinomial' is not available for loss={settings.loss!r}; use multi_class='ovr', or "
                f"one of the losses {names}."
            )
        if settings.multi_class == "multinomial" and not targets.labels:
            raise ValueError("multi_class='multinomial' is not available for multilabel targets; use 'ovr'.")
        # By default, columns are coupled where that gives probabilities.
        wanted = settings.multi_class == "multinomial" or (
            settings.multi_class == "auto" and coupled is not None and coupled.probability is not None
        )
        if wanted and targets.labels and targets.n_columns > 1:
            return coupled(loss_number(settings, self.losses), len(self.classes))
        return make_loss(settings, self.losses)

    def first_intercept(self, data, loss):
        """The intercepts to begin with."""
        return 0.0

    def shape_coef(self, coef):
        """`coef_`, given the weights of shape (n_columns, n_features)."""
        return coef


_KINDS_DIFFER = (
    "One of the targets is a multilabel indicator and the other is not: y_val, and the y of a later call to "
    "partial_fit or to fit with warm_start, must be of the kind of the first y."
)


def without_objects(labels, name="y"):
    """Return labels that can be sorted: objects that are numbers become numbers, and strings stay what they are.

    Raises
    ------
    ValueError
        If a label is missing, or there are strings beside others. Anything else that is no label is left to
        scikit-learn, which has a message for it.
    """
    check_structure(labels, name)
    if labels is None or sparse.issparse(labels):
        return labels
    # NumPy would make strings of all that stands in a list beside a string.
    array = np.asarray(labels, dtype=None if hasattr(labels, "__array__") else object)
    if array.dtype.kind != "O":
        if array.dtype.kind in "fmM" and (array != array).any():
            raise_missing(name, "labels")
        return labels
    try:
        distinct = set(array.ravel().tolist())
    except TypeError:
        return labels
    if any(map(_is_missing, distinct)):
        raise_missing(name, "labels")
    n_strings = sum(isinstance(label, str) for label in distinct)
    if 0 < n_strings < len(distinct):
        types = sorted({type(label).__name__ for label in distinct})
        raise ValueError(
            f"Mix of label input types in {name}: {types}. Labels must be uniformly strings or numbers."
        )
    numbers = labels if n_strings else np.array(array.tolist())
    if n_strings or numbers.dtype.kind not in "biuf" or not (numbers == array).all():
        return labels
    return numbers


def _is_missing(label):
    try:
        return label is None or bool(label != label)
    except TypeError:
        # The NA of pandas has no truth value.
        return True


def raise_missing(name, what):
    raise ValueError(
        f"Input {name} contains NaN: {name} contains missing {what} (None, NaN or NA). Leave those rows out, or fill "
        "them in."
    )


def loss_number(settings, losses):
    """The estimator's parameter that is the number of its loss; 0 where the loss has none."""
    name = losses[settings.loss].parameter_name
    return 0.0 if name is None else getattr(settings, name)


def make_loss(settings, losses):
    """The loss of an estimator, of each column for itself."""
    return losses[settings.loss](loss_number(settings, losses))


def _distinct(y):
    """`np.unique`, but whole numbers of a small range are counted, which is ten times as fast."""
    if y.dtype.kind in "iu" and y.itemsize <= 8 and y.size:
        low, high = int(y.min()), int(y.max())
        if high - low < min(y.size, 1 << 16) and abs(low) < 2**62:
            counts, labels = np.zeros(high - low + 1, np.intp), y.ravel()
            for begin in range(0, len(labels), COUNTED):
                part = (labels[begin : begin + COUNTED] - low).astype(np.intp, copy=False)
                counts += np.bincount(part, minlength=len(counts))
            return (np.flatnonzero(counts) + low).astype(y.dtype)
    return np.unique(y)
