"""SGDClassifierPlus and SGDRegressorPlus: parameters, validation of input, the fit in outline, prediction."""

import copy
import warnings
from abc import abstractmethod
from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d, compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from sgdkit.losses import CLASSIFIER_LOSSES, MULTINOMIAL, REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS, Optimizer, as_optimizer
from sgdkit.penalties import PENALTIES
from sgdkit.pilot import choose_rate
from sgdkit.rows import Rows, Targets
from sgdkit.schedules import SCHEDULES
from sgdkit.stopping import Patience
from sgdkit.training import Diverged, History, Problem, Trainer, train

# With batch_size="auto", data of up to so many rows are one batch; others are visited row by row.
ONE_BATCH_ROWS = 256
# With eta0="auto", how often a fit that overflows begins again, at a tenth of the rate.
RETREATS = 6


@dataclass
class Data:
    """Validated rows.

    Attributes
    ----------
    X : ndarray or CSR of shape (n_rows, n_features)
    y : ndarray
        As the user gave it, for scorers.
    targets : Targets
    sample_weight : ndarray of shape (n_rows,) or None
        As the user gave it, for scorers.
    weights : ndarray of shape (n_rows,) or None
        Of the rows in the objective: `sample_weight` times the weight of the class.
    """

    X: object
    y: np.ndarray
    targets: Targets
    sample_weight: np.ndarray | None
    weights: np.ndarray | None

    @property
    def visited(self):
        """The rows of positive weight, or None if that is all."""
        if self.weights is None or (self.weights > 0).all():
            return None
        return np.flatnonzero(self.weights)

    @property
    def seen(self):
        """The number of rows of positive weight, and the sum of weights."""
        if self.weights is None:
            return np.array([self.targets.n_rows, self.targets.n_rows], dtype=np.float64)
        return np.array([np.count_nonzero(self.weights), self.weights.sum()])

    def take(self, rows):
        sample_weight = None if self.sample_weight is None else self.sample_weight[rows]
        weights = None if self.weights is None else self.weights[rows]
        return Data(self.X[rows], self.y[rows], self.targets.take(rows), sample_weight, weights)


class BaseSGDPlus(SparseCoefMixin, BaseEstimator):
    """What the classifier and the regressor share: everything but the targets and the predictions."""

    _parameter_constraints: dict = {
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer, type],
        "penalty": [StrOptions({name for name in PENALTIES if name}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto", *SCHEDULES})],
        "eta0": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable],
        "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _make_loss(self, data):
        """The loss object for the targets of `Data`."""

    @abstractmethod
    def _initial_intercept(self, data, loss):
        """The intercepts to begin with, of shape (n_columns,)."""

    # ------------------------------------------------------------------------------------------------------ training

    def _fit(self, data, validation, coef_init, intercept_init):
        """Fit `Data`, and validate on `Data` of the user's own, or None."""
        seeds = self._draw_seeds()
        if self.early_stopping and validation is None:
            data, validation = self._split(data, seeds[0])
        self._seen = data.seen
        problem = self._problem(data)
        score = None if validation is None else self._scorer(problem, validation)
        if self.warm_start and hasattr(self, "coef_") and coef_init is None and intercept_init is None:
            initial = self._fitted_weights(problem)
            trainer = self._resumed_trainer(initial, problem.loss)
        else:
            initial = self._initial_weights(data, problem, coef_init, intercept_init)
            trainer = None
        if trainer is None:
            trainer, history = self._train_anew(problem, initial, seeds, score)
        else:
            history = self._train(trainer, problem, score)
        self._publish(trainer, history)
        if not history.converged and self.tol is not None:
            warnings.warn(
                f"Maximum number of iterations ({self.max_iter}) reached before convergence. "
                "Consider increasing max_iter, or tol, to improve the fit.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _train_anew(self, problem, initial, seeds, score):
        """Train from the beginning; where eta0 is "auto", a rate that makes the weights overflow is lowered."""
        rate = self._first_rate(problem, initial, seeds[1])
        n_retreats = RETREATS if self.eta0 == "auto" and rate else 0
        while True:
            trainer = self._new_trainer(problem, initial, rate, seeds[2])
            try:
                return trainer, self._train(trainer, problem, score)
            except Diverged:
                if not n_retreats:
                    raise
                n_retreats -= 1
                rate /= 10

    def _train(self, trainer, problem, score):
        history = History()
        relative = score is None or self.scoring == "loss"
        patience = Patience(self.tol, self.n_iter_no_change, relative=relative)
        options = {"score": score, "shuffle": self.shuffle, "verbose": self.verbose}
        try:
            train(trainer, problem, history, max_iter=self.max_iter, patience=patience, **options)
        except KeyboardInterrupt:
            if history.n_iter:
                # The optimizer stands in the middle of an epoch, so a later fit begins with the weights alone.
                self._publish(trainer, history)
                self._trainer = None
            raise
        if score is not None:
            trainer.load(history.weights)
        return history

    def _go_on(self, data):
        """One epoch over `Data`, a chunk of rows."""
        first = not hasattr(self, "coef_")
        if first and not data.seen[0]:
            raise ValueError("sample_weight is zero for every row of the first call to partial_fit.")
        self._seen = data.seen if first else self._seen + data.seen
        problem = self._problem(data)
        if not problem.n_rows:
            return self
        initial = self._initial_weights(data, problem, None, None) if first else self._fitted_weights(problem)
        trainer = None if first else self._resumed_trainer(initial, problem.loss)
        if trainer is None:
            seeds = self._draw_seeds()
            trainer = self._new_trainer(problem, initial, self._first_rate(problem, initial, seeds[1]), seeds[2])
        history = History(loss_curve=[] if first else list(self.loss_curve_))
        patience = Patience(None, 1, relative=True)
        options = {"shuffle": self.shuffle, "verbose": self.verbose}
        self._trainer = None  # unless the epoch comes to its end
        train(trainer, problem, history, max_iter=1, patience=patience, **options)
        self._publish(trainer, history)
        return self

    def _draw_seeds(self):
        """Seeds of the validation split, of the pilot runs and of the shuffling."""
        return check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=3)

    def _problem(self, data):
        n_seen, weight_seen = self._seen
        batch_size = self.batch_size
        if batch_size == "auto":
            n_rows = int(data.seen[0])
            batch_size = max(n_rows, 1) if n_rows <= ONE_BATCH_ROWS else 1
        loss = self._make_loss(data.targets)
        # What predictions need to know of it.
        self._probability, self._log_link = loss.probability, loss.log_link
        return Problem(
            rows=Rows(data.X),
            targets=data.targets,
            loss=loss,
            penalty=PENALTIES[self.penalty](self.alpha, self.l1_ratio),
            weights=None if data.weights is None else data.weights * (n_seen / weight_seen),
            order=data.visited,
            batch_size=int(batch_size),
        )

    def _split(self, data, seed):
        """Hold out a share of the rows of positive weight."""
        visited = np.arange(data.targets.n_rows) if data.visited is None else data.visited
        stratify = data.targets.values[visited] if data.targets.labels else None
        kept, held_out = train_test_split(
            visited, test_size=self.validation_fraction, random_state=seed, stratify=stratify
        )
        return data.take(np.sort(kept)), data.take(np.sort(held_out))

    def _scorer(self, problem, validation):
        """Return a function from weights to the score of that model on the validation `Data`; higher is better."""
        if self.scoring == "loss":
            X, targets, weights = validation.X, validation.targets, validation.weights

            def minus_loss(weights_now):
                scores = np.ascontiguousarray(X @ weights_now[:-1] + weights_now[-1])
                return -problem.loss.total(scores, targets, weights).sum() / validation.seen[1]

            return minus_loss
        scorer = check_scoring(self, scoring=self.scoring)
        model = copy.copy(self)
        # Rows have been validated, and have no names any more.
        model.__dict__.pop("feature_names_in_", None)
        options = {} if validation.sample_weight is None else {"sample_weight": validation.sample_weight}

        def scored(weights_now):
            model._set_weights(weights_now)
            return scorer(model, validation.X, validation.y, **options)

        try:
            value = scored(np.zeros((problem.rows.n_features + 1, problem.targets.n_columns), problem.rows.dtype))
            float(value)
        except Exception as error:
            raise ValueError(
                f"scoring={self.scoring!r} cannot score this problem on the validation set: {error} "
                'Choose scoring="loss", or a scorer that suits the target.'
            ) from error
        if np.isnan(value):
            raise ValueError(
                f"scoring={self.scoring!r} is not defined on the validation set (it returned nan). "
                'Choose scoring="loss", or pass a validation set with X_val and y_val.'
            )
        return scored

    # ------------------------------------------------------------------------------------------ trainer and weights

    def _first_rate(self, problem, initial, seed):
        """The rate to begin with; None leaves it to backtracking."""
        optimizer = as_optimizer(self.optimizer)
        if self.eta0 != "auto":
            return float(self.eta0)
        if optimizer._backtracks(problem.loss):
            return None
        schedule = self._new_schedule(1.0, problem.loss)
        options = {"initial": initial, "fit_intercept": self.fit_intercept, "seed": seed}
        return choose_rate(problem, optimizer, schedule, **options)

    def _new_schedule(self, rate, loss):
        if rate is None:
            return None
        name = self.learning_rate
        if name == "auto":
            name = as_optimizer(self.optimizer)._schedule_for(loss)
        return SCHEDULES[name](rate, self.power_t, 0.0 if self.penalty is None else self.alpha)

    def _new_trainer(self, problem, initial, rate, seed):
        trainer = Trainer(
            clone(as_optimizer(self.optimizer)),
            self._new_schedule(rate, problem.loss),
            problem,
            fit_intercept=self.fit_intercept,
            average_from=int(self.average),
            n_blocks=effective_n_jobs(self.n_jobs),
            seed=seed,
        )
        trainer.load(initial)
        return trainer

    def _resumed_trainer(self, weights, loss):
        """The trainer of the last fit, if it still fits the parameters; it goes on from the given weights."""
        trainer = getattr(self, "_trainer", None)
        if trainer is None or not trainer.matches(
            as_optimizer(self.optimizer), weights.dtype, bool(self.fit_intercept), int(self.average)
        ):
            return None
        if self.eta0 != "auto" or trainer.schedule is not None:
            rate = trainer.schedule.eta0 if self.eta0 == "auto" else float(self.eta0)
            schedule = self._new_schedule(rate, loss)
            if trainer.schedule is None or schedule.settings != trainer.schedule.settings:
                trainer.schedule = schedule
        if not np.array_equal(weights, trainer.weights()):
            trainer.load(weights)
        return trainer

    def _initial_weights(self, data, problem, coef_init, intercept_init):
        """The weights that a new fit begins with, of shape (n_features + 1, n_columns)."""
        n_features, n_columns = problem.rows.n_features, data.targets.n_columns
        weights = np.zeros((n_features + 1, n_columns), dtype=problem.rows.dtype)
        if coef_init is not None:
            weights[:-1] = _matching("coef_init", coef_init, (n_columns, n_features)).T
        if intercept_init is not None:
            weights[-1] = _matching("intercept_init", intercept_init, (n_columns,))
        elif coef_init is None and self.fit_intercept:
            weights[-1] = self._initial_intercept(data, problem.loss)
        return weights

    def _fitted_weights(self, problem):
        """The weights of the last fit, of shape (n_features + 1, n_columns)."""
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        expected = problem.rows.n_features + 1, problem.targets.n_columns
        weights = np.empty((np.shape(coef)[-1] + 1, np.size(self.intercept_)), dtype=problem.rows.dtype)
        weights[:-1] = np.atleast_2d(coef).T
        weights[-1] = self.intercept_
        if weights.shape != expected:
            raise ValueError(
                f"Going on needs the features and the targets of the last fit: it had {weights.shape[0] - 1} features and "
                f"{weights.shape[1]} columns, now there are {expected[0] - 1} and {expected[1]}. "
                "Set warm_start=False to begin anew."
            )
        return weights

    def _set_weights(self, weights):
        self.coef_ = np.ascontiguousarray(weights[:-1].T)
        self.intercept_ = np.array(weights[-1])

    def _publish(self, trainer, history):
        """Set the fitted attributes."""
        self._set_weights(history.weights)
        self._trainer = trainer
        self.n_iter_ = history.n_iter
        self.best_iter_ = history.best_iter
        self.loss_curve_ = history.loss_curve
        self.validation_scores_ = history.validation_scores or None
        self.eta0_ = trainer.first_rate
        self.t_ = trainer.n_steps + 1

    # --------------------------------------------------------------------------------------- validation of the input

    def _check_parameters(self, partial=False):
        """What scikit-learn's parameter constraints cannot say."""
        as_optimizer(self.optimizer)
        if partial and self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")

    def _validate_rows(self, X, y, *, reset, y_numeric=False):
        """Return X, and y still to be looked at."""
        dtype = [np.float64, np.float32]
        if not reset and getattr(self, "_trainer", None) is not None:
            dtype = self._trainer.dtype
        options = {"accept_sparse": "csr", "dtype": dtype, "order": "C", "reset": reset}
        return validate_data(self, X, y, multi_output=True, y_numeric=y_numeric, **options)

    def _validate_weights(self, sample_weight, X, name="sample_weight"):
        """Return float64 weights, or None; negative ones are an error."""
        if sample_weight is None:
            return None
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if sample_weight.min(initial=0) < 0:
            raise ValueError(
                f"Negative values in data passed to `{name}`. Weights must be non-negative; a weight of 0 leaves a row out."
            )
        return sample_weight

    def _validate_validation(self, X, X_val, y_val, sample_weight_val):
        """Return the validation set as `Data`, or None if none is given."""
        if X_val is None and y_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val is provided, but y_val was not provided.")
        if X_val is None:
            raise ValueError("y_val is provided, but X_val was not provided.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are passed to fit while at the same time early_stopping is False. "
                "When passing X_val and y_val to fit, early_stopping should be set to True."
            )
        options = {"accept_sparse": "csr", "dtype": X.dtype, "order": "C", "reset": False}
        X_val = validate_data(self, X_val, **options)
        weights = self._validate_weights(sample_weight_val, X_val, "sample_weight_val")
        if weights is not None and not weights.any():
            raise ValueError("sample_weight_val is zero for every row; give some row of X_val a positive weight.")
        return X_val, y_val, weights


def _matching(name, value, shape):
    """The initial value of an attribute, as an array of the given shape."""
    value = np.asarray(value, dtype=np.float64)
    if value.size != np.prod(shape) or value.ndim > 2 or (value.ndim == 2 and value.shape != shape):
        raise ValueError(f"Provided {name} does not match dataset: expected shape {shape}, got {value.shape}.")
    if not np.isfinite(value).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return value.reshape(shape)


def _has_probabilities(self):
    if CLASSIFIER_LOSSES[self.loss].probability is None:
        raise AttributeError(f"probability estimates are not available for loss={self.loss!r}")
    return True


class SGDClassifierPlus(LinearClassifierMixin, BaseSGDPlus):
    """DOC_CLASSIFIER"""

    _parameter_constraints: dict = {
        **BaseSGDPlus._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFIER_LOSSES))],
        "multi_class": [StrOptions({"auto", "ovr", "multinomial"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        loss="log_loss",
        *,
        optimizer="adagrad",
        penalty="l2",
        alpha=1e-4,
        l1_ratio=0.15,
        epsilon=0.1,
        multi_class="auto",
        fit_intercept=True,
        batch_size="auto",
        learning_rate="auto",
        eta0="auto",
        power_t=0.5,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        scoring="loss",
        class_weight=None,
        average=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.epsilon = epsilon
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.scoring = scoring
        self.class_weight = class_weight
        self.average = average
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        coef_init=None,
        intercept_init=None,
    ):
        """DOC_FIT"""
        self._check_parameters()
        X, y = self._validate_rows(X, y, reset=True)
        y = _check_labels(y)
        classes = _classes_of(y)
        if self.warm_start and hasattr(self, "coef_") and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start can only be used where the classes are those of the last fit. Previously got {self.classes_}, "
                f"y has {classes}."
            )
        self.classes_ = classes
        self._indicator_dtype = y.dtype if y.ndim == 2 else None
        self._class_totals = 0
        data = self._data(X, y, self._validate_weights(sample_weight, X))
        if not data.seen[0]:
            raise ValueError("sample_weight is zero for every row; give some row a positive weight.")
        validation = self._validate_validation(X, X_val, y_val, sample_weight_val)
        if validation is not None:
            X_val, y_val, sample_weight_val = validation
            y_val = _check_labels(_check_y(y_val, multi_output=True))
            check_consistent_length(X_val, y_val)
            validation = self._data(X_val, y_val, sample_weight_val, training=False)
        return self._fit(data, validation, coef_init, intercept_init)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """DOC_PARTIAL"""
        self._check_parameters(partial=True)
        first = not hasattr(self, "coef_")
        X, y = self._validate_rows(X, y, reset=first)
        y = _check_labels(y)
        if first:
            if classes is None and y.ndim == 1:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes) if y.ndim == 1 else np.arange(y.shape[1])
            self._indicator_dtype = y.dtype if y.ndim == 2 else None
            self._class_totals = 0
            if len(self.classes_) < 2:
                raise ValueError(
                    f"The number of classes has to be greater than one; got {len(self.classes_)} class"
                )
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        return self._go_on(self._data(X, y, self._validate_weights(sample_weight, X)))

    def _data(self, X, y, sample_weight, training=True):
        """Encode the labels, and weigh the rows by their classes; training rows are counted."""
        if y.ndim == 2:
            if self.class_weight is not None:
                raise ValueError("class_weight is not supported for multilabel targets; use sample_weight instead.")
            targets = Targets(2.0 * y - 1.0, np.arange(y.shape[1]))
            return Data(X, y, targets, sample_weight, sample_weight)
        codes = np.searchsorted(self.classes_, y)
        codes[codes == len(self.classes_)] = 0
        unknown = np.unique(y[self.classes_[codes] != y])
        if len(unknown):
            raise ValueError(
                f"y contains labels that are not among the classes {self.classes_}: {unknown}. "
                "Pass all of them as `classes` to the first call to partial_fit, or to fit."
            )
        n_classes = len(self.classes_)
        targets = Targets(codes, [1] if n_classes == 2 else np.arange(n_classes))
        weights = sample_weight
        if self.class_weight is not None:
            if training:
                self._class_totals = self._class_totals + np.bincount(codes, sample_weight, n_classes)
            weights = self._class_weights()[codes] * (1.0 if sample_weight is None else sample_weight)
        return Data(X, y, targets, sample_weight, weights)

    def _class_weights(self):
        """The weight of each class; "balanced" by the sums of sample weights so far."""
        if self.class_weight == "balanced":
            totals = self._class_totals
            return np.divide(totals.sum(), len(totals) * totals, out=np.ones(len(totals)), where=totals > 0)
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)

    def _make_loss(self, targets):
        cls = CLASSIFIER_LOSSES[self.loss]
        parameter = 0.0 if cls.parameter_name is None else getattr(self, cls.parameter_name)
        coupled = MULTINOMIAL.get(cls)
        if self.multi_class == "multinomial" and coupled is None:
            raise ValueError(
                f"multi_class='multinomial' is not available for loss={self.loss!r}; use multi_class='ovr', or one of "
                f"the losses {[name for name, cls in CLASSIFIER_LOSSES.items() if cls in MULTINOMIAL]}."
            )
        if self.multi_class == "multinomial" and not targets.labels:
            raise ValueError("multi_class='multinomial' is not available for multilabel targets; use 'ovr'.")
        # By default, columns are coupled where that gives probabilities.
        wanted = self.multi_class == "multinomial" or (
            self.multi_class == "auto" and coupled is not None and coupled.probability is not None
        )
        if wanted and targets.labels and targets.n_columns > 1:
            return coupled(parameter, len(self.classes_))
        return cls(parameter)

    def _initial_intercept(self, data, loss):
        return 0.0

    def predict(self, X):
        """Predict class labels, or label indicators.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The class of the highest score; in a multi-label problem, 1 where the score is positive.
        """
        check_is_fitted(self)
        if self._indicator_dtype is None:
            return super().predict(X)
        return (self.decision_function(X) > 0).astype(self._indicator_dtype)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`, computed without passing through the probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        scores = self.decision_function(X)
        if self._probability == "modified_huber":
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        if self._indicator_dtype is not None:
            return log_expit(scores)
        if scores.ndim == 1:
            return log_expit(np.column_stack([-scores, scores]))
        return log_softmax(scores if self._probability == "softmax" else log_expit(scores), axis=1)

    @available_if(_has_probabilities)
    def predict_proba(self, X):
        """Probability estimates; for `log_loss` and `modified_huber`.

        Softmax gives them as they are. The others estimate each class against the rest: log loss by
        ``1 / (1 + exp(-s))``, modified Huber by ``(clip(s, -1, 1) + 1) / 2`` [1]_; with more than two classes these are
        divided by their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The columns stand in the order of `classes_`. In a multi-label problem rows do not sum to 1.

        References
        ----------
        .. [1] B. Zadrozny & C. Elkan, "Transforming classifier scores into multiclass probability estimates", KDD 2002.
        """
        check_is_fitted(self)
        scores = self.decision_function(X)
        if self._probability == "softmax":
            return softmax(scores, axis=1)
        estimate = _clipped if self._probability == "modified_huber" else expit
        if scores.ndim == 1:
            return np.column_stack([estimate(-scores), estimate(scores)])
        if self._indicator_dtype is not None:
            return estimate(scores)
        if self._probability == "logistic":
            return softmax(log_expit(scores), axis=1)
        p = estimate(scores)
        total = p.sum(axis=1, keepdims=True)
        return np.divide(p, total, out=np.full_like(p, 1 / p.shape[1]), where=total > 0)


def _clipped(scores):
    return (np.clip(scores, -1, 1) + 1) / 2


def _check_labels(y):
    """Return y as class labels of shape (n_rows,), or as an indicator of shape (n_rows, n_outputs)."""
    if sparse.issparse(y):
        y = y.toarray()
    check_classification_targets(y)
    if y.ndim == 2 and y.shape[1] > 1:
        if type_of_target(y) != "multilabel-indicator":
            raise ValueError(
                "y has several columns that are not label indicators. Fit them with "
                "sklearn.multioutput.MultiOutputClassifier."
            )
        return y
    return column_or_1d(y, warn=True)


def _classes_of(y):
    if y.ndim == 2:
        return np.arange(y.shape[1])
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"The number of classes has to be greater than one; got {len(classes)} class")
    return classes


class SGDRegressorPlus(RegressorMixin, BaseSGDPlus):
    """DOC_REGRESSOR"""

    _parameter_constraints: dict = {
        **BaseSGDPlus._parameter_constraints,
        "loss": [StrOptions(set(REGRESSOR_LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        loss="squared_error",
        *,
        optimizer="adagrad",
        penalty="l2",
        alpha=1e-4,
        l1_ratio=0.15,
        epsilon=0.1,
        quantile=0.5,
        fit_intercept=True,
        batch_size="auto",
        learning_rate="auto",
        eta0="auto",
        power_t=0.5,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        scoring="loss",
        average=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.loss = loss
        self.optimizer = optimizer
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.epsilon = epsilon
        self.quantile = quantile
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.scoring = scoring
        self.average = average
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        coef_init=None,
        intercept_init=None,
    ):
        """DOC_FIT"""
        self._check_parameters()
        X, y = self._validate_rows(X, y, reset=True, y_numeric=True)
        data = self._data(X, y, self._validate_weights(sample_weight, X))
        if not data.seen[0]:
            raise ValueError("sample_weight is zero for every row; give some row a positive weight.")
        validation = self._validate_validation(X, X_val, y_val, sample_weight_val)
        if validation is not None:
            X_val, y_val, sample_weight_val = validation
            y_val = _check_y(y_val, multi_output=True, y_numeric=True)
            check_consistent_length(X_val, y_val)
            validation = self._data(X_val, y_val, sample_weight_val)
        return self._fit(data, validation, coef_init, intercept_init)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """DOC_PARTIAL_REGRESSOR"""
        self._check_parameters(partial=True)
        X, y = self._validate_rows(X, y, reset=not hasattr(self, "coef_"), y_numeric=True)
        return self._go_on(self._data(X, y, self._validate_weights(sample_weight, X)))

    def _data(self, X, y, sample_weight):
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.astype(np.float64, copy=False)
        lowest, included = REGRESSOR_LOSSES[self.loss].minimum_target
        if y.min() < lowest or (y.min() == lowest and not included):
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {self.loss!r}: they must be "
                f"{'>=' if included else '>'} {lowest:g}. Choose another loss, or remove those rows."
            )
        outputs = y.reshape(len(y), -1)
        return Data(X, y, Targets(outputs, np.arange(outputs.shape[1])), sample_weight, sample_weight)

    def _make_loss(self, targets):
        cls = REGRESSOR_LOSSES[self.loss]
        return cls(0.0 if cls.parameter_name is None else getattr(self, cls.parameter_name))

    def _initial_intercept(self, data, loss):
        visited = slice(None) if data.visited is None else data.visited
        weights = np.ones(data.targets.n_rows) if data.weights is None else data.weights
        return loss.initial_intercept(data.targets.values[visited], weights[visited])

    def _set_weights(self, weights):
        super()._set_weights(weights)
        if len(self.coef_) == 1:
            self.coef_ = self.coef_[0]

    def predict(self, X):
        """Predict targets: ``X @ coef_.T + intercept_``, or its exponential for `poisson` and `gamma`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores.ravel()
        return np.exp(scores) if self._log_link else scores
