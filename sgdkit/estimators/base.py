"""BaseSGDPlus: what the two estimators share: parameters, validation of input, and the fit in outline."""

import copy
import warnings
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from numbers import Integral, Real
from threading import Lock, local

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import _fit_context, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from sgdkit._docs import documented
from sgdkit._kernels.rows import Irregular, Rows, Targets
from sgdkit._kernels.scores import score_rows
from sgdkit.auto.optimizer import suited_to
from sgdkit.auto.rate import choose_rates, column_factors
from sgdkit.auto.scaling import Scaling, Standard
from sgdkit.auto.strength import choose_strength
from sgdkit.optimizers import OPTIMIZERS, AdaGrad, Optimizer, as_optimizer
from sgdkit.optimizers.base import Parametrized
from sgdkit.optimizers.gd import gathered
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.schedules import SCHEDULES
from sgdkit.training.course import Course, Diverged, History, Patience
from sgdkit.training.loop import report_epoch, train
from sgdkit.training.problem import Problem
from sgdkit.training.trainer import Trainer

ALL_ZERO = (
    "Sample weights must contain at least one non-zero number; sample_weight, times class_weight, is all 0."
)
# In scikit-learn 1.9 a check of its own came, which partial_fit has no use for.
_ALLOW_ZERO_WEIGHTS = {
    name: True for name in signature(_check_sample_weight).parameters if name == "allow_all_zero_weights"
}
_FILTERS = Lock()
_GENERATORS = local()
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
    visited : ndarray of intp, or None
        The rows that count: by default those of positive weight. None if that is all.
    rows : Rows
        The loop's view of X.
    """

    X: object
    y: np.ndarray
    targets: Targets
    sample_weight: np.ndarray | None
    weights: np.ndarray | None
    visited: np.ndarray | None = None
    rows: Rows = None

    def __post_init__(self):
        if self.visited is None and self.weights is not None and not (self.weights > 0).all():
            self.visited = np.flatnonzero(self.weights > 0)

    @property
    def n_visited(self):
        return self.targets.n_rows if self.visited is None else len(self.visited)

    @property
    def total_weight(self):
        if self.weights is None:
            return self.n_visited
        return self.weights.sum() if self.visited is None else self.weights[self.visited].sum()

    @property
    def seen(self):
        """The number of rows that count, and the sum of their weights."""
        return np.array([self.n_visited, self.total_weight], dtype=np.float64)

    def take(self, rows):
        """Some rows, copied."""
        sample_weight = None if self.sample_weight is None else self.sample_weight[rows]
        weights = None if self.weights is None else self.weights[rows]
        return Data(self.X[rows], self.y[rows], self.targets.take(rows), sample_weight, weights)


class BaseSGDPlus(SparseCoefMixin, Parametrized):
    """What the classifier and the regressor share: everything but the targets and the predictions."""

    _parameter_constraints: dict = {
        "optimizer": [StrOptions({"auto", *OPTIMIZERS}), Optimizer, Hidden(type)],
        "penalty": [StrOptions({name for name in PENALTIES if name}), None],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "standardize": ["boolean"],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto", *SCHEDULES})],
        "eta0": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left"), None],
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

    def set_params(self, **params):
        """Set parameters, those of an optimizer object by `optimizer__name`.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        nested = [name for name in params if name.startswith("optimizer__")]
        optimizer = params.get("optimizer", self.optimizer)
        if nested and isinstance(optimizer, str):
            raise ValueError(
                f"{nested[0]} is a parameter of an optimizer object, and optimizer={optimizer!r} is a name. "
                "Pass an object of sgdkit.optimizers, such as optimizer=Adam()."
            )
        return super().set_params(**params)

    # Whether targets are numbers.
    _y_numeric = False

    @abstractmethod
    def _validate_targets(self, y):
        """Return the targets in the form that `_data` takes, or raise."""

    def _meet_targets(self, y):
        """Take note of what is to be known of the targets of a whole problem."""

    @abstractmethod
    def _data(self, X, y, sample_weight, training=True):
        """Return validated rows as `Data`, for training or for validation."""

    @abstractmethod
    def _make_loss(self, targets):
        """The loss object for `Targets`."""

    @abstractmethod
    def _initial_intercept(self, data, loss):
        """The intercepts to begin with, of shape (n_columns,)."""

    # ------------------------------------------------------------------------------------------------------ training

    @documented
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
        """FIT"""
        self._check_parameters()
        X, y = self._validate_rows(X, y, reset=True)
        # What does not read all of them in one pass first has them looked at now.
        rows = Rows(X, check=self.early_stopping or self.warm_start)
        sample_weight = self._validate_weights(sample_weight, X)
        with self._unchanged_by_errors():
            self._meet_targets(y)
            data = replace(self._data(X, y, sample_weight), rows=rows)
            if not data.n_visited:
                raise ValueError(ALL_ZERO)
            validation = self._validate_validation(X, X_val, y_val, sample_weight_val)
            return self._fit(data, validation, coef_init, intercept_init)

    def _fit(self, data, validation, coef_init, intercept_init):
        """Fit `Data`, and validate on `Data` of the user's own, or None."""
        seeds = self._draw_seeds()
        if self.early_stopping and validation is None:
            data, validation = self._split(data, seeds[0])
        self._seen = data.seen
        goes_on = self.warm_start and hasattr(self, "coef_") and coef_init is None and intercept_init is None
        known = self._scale(data, goes_on)
        problem = self._problem(data, self._seen)
        self._choose_optimizer(problem)
        self._set_strength(
            problem, self._chosen_alpha(data, problem, self.alpha, self.l1_ratio, seed=seeds[1])
        )
        score = None if validation is None else self._scorer(problem, validation)
        if goes_on:
            initial = partial(self._fitted_weights, problem)
            trainer = self._resumed_trainer(problem, known)
        else:
            initial = partial(self._initial_weights, data, problem, coef_init, intercept_init)
            trainer = None
        if trainer is None:
            trainer = self._new_trainer(
                problem, initial, self._first_rate(problem, initial, seeds[1]), seeds[2]
            )
        trainer, history = self._train_safely(trainer, problem, initial, seed=seeds[2], score=score)
        self._publish(trainer, history)
        self._gathered = self._for_adagrad(data, problem)
        if not history.converged and self.tol is not None:
            warn_of_max_iter(self.max_iter, stacklevel=5)
        return self

    def _train_safely(self, trainer, problem, initial, *, seed, score=None, history=None, **options):
        """Train a model; where eta0 is "auto", a rate that makes the weights overflow is lowered, and it begins again.

        `initial()` makes the weights to begin again with, which are not kept. Returns the trainer, and the `History`.
        """
        n_retreats = RETREATS if self.eta0 == "auto" and trainer.schedule is not None else 0
        while True:
            try:
                return trainer, self._train(trainer, problem, score, history, **options)
            except Irregular:
                problem.rows.check()
                trainer = self._new_trainer(problem, initial, trainer.first_rate, seed)
            except Diverged:
                if not n_retreats:
                    raise
                n_retreats -= 1
                trainer = self._new_trainer(problem, initial, trainer.first_rate / 10, seed)

    def _train(self, trainer, problem, score, history=None, **options):
        """Train a model, and return its `History`."""
        if trainer is getattr(self, "_trainer", None):
            self._trainer = None  # until training comes to its end
        course = self._new_course(score, history, **options)
        try:
            train(trainer, problem, [course], **self._training_options())
        except KeyboardInterrupt:
            if course.history.weights is not None:
                if score is None:
                    # Of epochs that were one call, weights are known after the last.
                    del course.history.loss_curve[course.history.best_iter :]
                self._publish(trainer, course.history)
            # The optimizer stands in the middle of an epoch, so a later fit begins with the weights alone.
            self._trainer = None
            raise
        if course.error is not None:
            raise course.error
        if score is not None:
            trainer.load(course.history.weights)
        return course.history

    def _choose_optimizer(self, problem, *, whole=True):
        """Set `optimizer_`; `whole` says whether this is all there is to learn from, and not a chunk."""
        if self.optimizer != "auto":
            optimizer = as_optimizer(self.optimizer)
            self.optimizer_ = clone(optimizer) if optimizer is self.optimizer else optimizer
            return
        # What only steps on few rows make use of.
        settings = {"eta0", "learning_rate", "batch_size"}
        stochastic = self.early_stopping or self.average or any(getattr(self, s) != "auto" for s in settings)
        self.optimizer_ = suited_to(problem) if whole and not stochastic else AdaGrad()

    def _for_adagrad(self, data, problem):
        """What `partial_fit` needs to go on with AdaGrad after full gradients, and not step as if it knew nothing."""
        if self.optimizer != "auto" or not self.optimizer_._full_batch:
            return None
        return gathered(problem, self._initial_weights(data, problem, None, None), self.fit_intercept)

    def _new_course(self, score, history=None, *, keeps_last=True, **options):
        """The course of a model with these parameters, but for the options; `score` is that of `Course`, or None."""
        parameters = {
            "tol": self.tol,
            "n_iter_no_change": self.n_iter_no_change,
            "max_iter": self.max_iter,
            **options,
        }
        if parameters["tol"] == "auto":
            parameters["tol"] = self.optimizer_._tol
        relative = score is None or self.scoring == "loss"
        patience = Patience(parameters["tol"], parameters["n_iter_no_change"], relative=relative)
        options = {"score": score, "history": history, "keeps_last": keeps_last}
        return Course(patience, parameters["max_iter"], **options)

    def _training_options(self):
        return {"shuffle": self.shuffle, "report": report_epoch if self.verbose else None}

    @contextmanager
    def _unchanged_by_errors(self):
        """Where what is done here raises, the model is what it was; the optimizer begins anew if it had begun."""
        before = dict(self.__dict__)
        try:
            yield
        except Exception:
            begun = "_trainer" in before and self._trainer is None
            self.__dict__.clear()
            self.__dict__.update(before)
            if begun:
                self._trainer = None
            raise

    def _go_on(self, data):
        """One epoch over `Data`, a chunk of rows."""
        with self._unchanged_by_errors():
            return self._one_epoch(data)

    def _one_epoch(self, data):
        first = not hasattr(self, "coef_")
        if first and not data.n_visited:
            raise ValueError(ALL_ZERO)
        if not data.n_visited:
            return self
        seen = data.seen if first else self._seen + data.seen
        known = self._scale(data, not first)
        problem = self._problem(data, seen)
        self._choose_optimizer(problem, whole=False)
        multiple = 1.0 if first else getattr(self, "_multiple", 1.0)
        self._set_strength(problem, multiple / float(seen[1]) if self.alpha == "auto" else float(self.alpha))
        if first:
            initial = partial(self._initial_weights, data, problem, None, None)
        else:
            initial = partial(self._fitted_weights, problem)
        trainer = None if first else self._resumed_trainer(problem, known)
        if trainer is None:
            seeds = self._draw_seeds()
            trainer = self._new_trainer(
                problem, initial, self._first_rate(problem, initial, seeds[1]), seeds[2]
            )
            if getattr(self, "_gathered", None) is not None:
                change = self._scaling.since(known)
                ratio = 1.0 if change is None else np.append(change[0], 1.0)[:, np.newaxis]
                trainer.recall(self._gathered * np.square(ratio))
        self._gathered = None
        history = History(loss_curve=[] if first else list(self.loss_curve_))
        options = {"seed": len(history.loss_curve), "history": history, "tol": None, "max_iter": 1}
        trainer, history = self._train_safely(trainer, problem, initial, **options)
        self._seen = seen
        self._publish(trainer, history)
        return self

    def _draw_seeds(self):
        """Seeds of the validation split, of the pilot runs and of the shuffling."""
        if isinstance(self.random_state, Integral):
            # What check_random_state makes, without the tenth of a fit of iris that it takes to make it.
            generator = _of_this_thread()
            generator.seed(self.random_state)
        else:
            generator = check_random_state(self.random_state)
        return generator.randint(np.iinfo(np.int32).max, size=3)

    def _scale(self, data, goes_on):
        """Learn the features' scale from the rows that count, and return the scaling that was known before."""
        known = getattr(self, "_scaling", None) if goes_on else None
        if not self.standardize and (self.eta0 != "auto" or self.average):
            # A rate that is given is one for the features as they are; and an average takes in weights before the
            # penalty's part of their step, which is nothing much only where the penalty is weak.
            self._scaling = Scaling()
        else:
            rows = Rows(data.X) if data.rows is None else data.rows
            earlier = known if isinstance(known, Standard) else None
            options = {"shifts": bool(self.fit_intercept), "exact": self.standardize, "known": earlier}
            self._scaling = Standard(rows, data.visited, data.weights, **options)
        return known

    def _chosen_alpha(self, data, problem, alpha, l1_ratio, *, seed):
        """`alpha` as a number; chosen, if it is "auto"."""
        if alpha != "auto":
            return float(alpha)
        options = {"penalty": self.penalty, "l1_ratio": l1_ratio, "fit_intercept": self.fit_intercept}
        initial = self._initial_weights(data, problem, None, None)
        units = self._units()
        weight = data.total_weight / data.n_visited
        self._multiple = choose_strength(
            problem, initial, units=units, row_weight=weight, seed=seed, **options
        )
        return self._multiple / float(data.total_weight)

    def _units(self):
        """What the penalty multiplies the weights by that training sees: a number, or one for each feature."""
        if self.standardize:
            return self._scaling.unit
        return 1.0 if self._scaling.factor is None else self._scaling.factor

    def _set_strength(self, problem, alpha):
        """Set `alpha_` and the penalty of a problem."""
        if not np.isfinite(alpha):
            raise ValueError(
                'The sample weights are too small for alpha="auto". Multiply them, or pass a number.'
            )
        self.alpha_ = alpha
        problem.penalty = PENALTIES[self.penalty](alpha, self.l1_ratio).of_units(self._units())

    def _problem(self, data, seen):
        n_seen, weight_seen = seen
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = max(data.n_visited, 1) if data.n_visited <= ONE_BATCH_ROWS else 1
        loss = self._make_loss(data.targets)
        # What predictions need to know of it.
        self._probability, self._log_link = loss.probability, loss.log_link
        return Problem(
            rows=self._scaling.apply(Rows(data.X) if data.rows is None else data.rows),
            targets=data.targets,
            loss=loss,
            penalty=Penalty(0.0, 0.0),
            weights=None if data.weights is None else data.weights * (n_seen / weight_seen),
            order=data.visited,
            batch_size=min(int(batch_size), max(data.n_visited, 1)),
        )

    def _split(self, data, seed):
        """Hold out a share of the rows; the others are not copied."""
        visited = np.arange(data.targets.n_rows) if data.visited is None else data.visited
        stratify = data.targets.values[visited] if data.targets.labels else None
        try:
            kept, held_out = train_test_split(
                np.arange(len(visited)),
                test_size=self.validation_fraction,
                random_state=seed,
                stratify=stratify,
            )
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} cannot be held out of {len(visited)} rows: {error} "
                "Change validation_fraction, add rows, pass X_val and y_val, or set early_stopping=False."
            ) from error
        return replace(data, visited=visited[np.sort(kept)]), data.take(visited[np.sort(held_out)])

    def _scorer(self, problem, validation):
        """Return a function from the weights of models to their scores on the validation `Data`; higher is better."""
        if validation.targets.n_columns != problem.targets.n_columns:
            raise ValueError(
                f"y_val has {validation.targets.n_columns} outputs, and y has {problem.targets.n_columns}. "
                "Both need the same columns."
            )
        if self.scoring != "loss":
            return self._external_scorer(problem, validation)
        X, targets, weights = validation.X, validation.targets, validation.weights

        def minus_losses(weights_now):
            weights_now = self._scaling.to_raw(weights_now)
            scores = score_rows(X, weights_now[:-1]) + weights_now[-1]
            n_models = scores.shape[1] // targets.n_columns
            repeated = targets.with_columns(np.tile(targets.column, n_models))
            losses = problem.loss.total(scores, repeated, weights) / validation.total_weight
            return -losses.reshape(n_models, -1).sum(axis=1)

        return minus_losses

    def _external_scorer(self, problem, validation):
        """The same for a scorer of scikit-learn's kind, which is tried before any work is done."""
        scorer = check_scoring(self, scoring=self.scoring)
        model = copy.copy(self)
        # Rows have been validated, and have no names any more.
        model.__dict__.pop("feature_names_in_", None)
        options = {}
        if validation.sample_weight is not None and _takes_sample_weight(scorer):
            options["sample_weight"] = validation.sample_weight

        def scored(weights_now):
            model._set_weights(weights_now)
            value = float(scorer(model, validation.X, validation.y, **options))
            if np.isnan(value):
                raise ValueError(f"scoring={self.scoring!r} returned nan.")
            return value

        shape = problem.rows.n_features + 1, problem.targets.n_columns
        try:
            # The filters of warnings belong to all threads.
            with _FILTERS, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = validation.X.data if sparse.issparse(validation.X) else validation.X
                noise = (
                    np.random.default_rng(0).standard_normal(shape)
                    * 1e-3
                    / (1 + np.abs(values).max(initial=0))
                )
                scored(noise.astype(problem.rows.dtype))
        except Exception as error:
            raise ValueError(
                f"scoring={self.scoring!r} cannot score this problem on the validation set: {error} "
                'Choose scoring="loss", or a scorer that suits the target.'
            ) from error
        n_columns = problem.targets.n_columns
        return lambda weights_now: np.array(
            [scored(weights_now[:, k : k + n_columns]) for k in range(0, weights_now.shape[1], n_columns)]
        )

    # --------------------------------------------------------------------------------------------------- predictions

    def _linear_predictor(self, X):
        """The scores of rows, of shape (n_samples,) or (n_samples, n_columns)."""
        check_is_fitted(self)
        options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32], "reset": False}
        if sparse.issparse(self.coef_):
            X = validate_data(self, X, **options)
            scores = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        else:
            rows = validate_data(self, X, ensure_all_finite=not sparse.issparse(X), **options)
            scores = score_rows(rows, np.atleast_2d(self.coef_).T) + self.intercept_
            if sparse.issparse(X) and not np.isfinite(scores).all():
                # They tell whether the rows are finite, which so need no look of their own.
                validate_data(self, X, **options)
        return scores.ravel() if scores.shape[1] == 1 else scores

    # ------------------------------------------------------------------------------------------ trainer and weights

    def _first_rate(self, problem, initial, seed):
        """The rate to begin with; None leaves it to backtracking."""
        if self.eta0 != "auto":
            return float(self.eta0)
        if self.optimizer_._backtracks(problem.loss):
            return None
        schedule = self._new_schedule(1.0, problem.loss)
        options = {"initial": initial(), "fit_intercept": self.fit_intercept, "seed": seed}
        return float(choose_rates(problem, self.optimizer_, schedule, **options)[0])

    def _new_schedule(self, rate, loss):
        if rate is None:
            return None
        name = self.learning_rate
        if name == "auto":
            name = self.optimizer_._schedule_for(loss)
        return SCHEDULES[name](rate, self.power_t, self._curvature(self.alpha_))

    def _curvature(self, alpha):
        """What the penalty adds to the curvature of the objective at the least, by which "optimal" rates fall."""
        if self.penalty is None:
            return 0.0
        units = self._units()
        return alpha * float(units.min() if np.ndim(units) else units) ** 2

    def _column_factors(self, problem):
        """By what each column multiplies the rate; None for 1."""
        return column_factors(problem, self.optimizer_) if self.eta0 == "auto" else None

    def _new_trainer(self, problem, initial, rate, seed):
        trainer = Trainer(
            self.optimizer_,
            self._new_schedule(rate, problem.loss),
            problem,
            scale=self._column_factors(problem),
            fit_intercept=self.fit_intercept,
            average_from=int(self.average),
            n_blocks=effective_n_jobs(self.n_jobs),
            seed=seed,
        )
        trainer.load(initial())
        return trainer

    def _resumed_trainer(self, problem, known):
        """The trainer of the last fit, if it still fits the parameters; it goes on from the fitted weights.

        `known` is the scaling of the last fit.
        """
        trainer, weights, loss = getattr(self, "_trainer", None), self._raw_weights(problem), problem.loss
        settings = self.optimizer_, weights.dtype, bool(self.fit_intercept), int(self.average)
        if trainer is None or not trainer.matches(settings, loss):
            return None
        edited = not np.array_equal(weights, known.to_raw(trainer.weights()))
        change = self._scaling.since(known)
        if change is not None:
            self._trainer = None  # until this comes to its end
            trainer.rescale(*change)
        if self.eta0 != "auto" or trainer.schedule is not None:
            rate = trainer.schedule.eta0 if self.eta0 == "auto" else float(self.eta0)
            schedule = self._new_schedule(rate, loss)
            alike = trainer.schedule is not None and schedule.is_like(trainer.schedule)
            scale = trainer.scale if self.eta0 == "auto" else None
            if self.eta0 == "auto" and (change is not None or not alike):
                # The rate was chosen for other features, or for another schedule.
                initial = partial(self._fitted_weights, problem)
                schedule = self._new_schedule(self._first_rate(problem, initial, trainer.n_steps), loss)
                scale = self._column_factors(problem)
            if schedule is None or trainer.schedule is None or schedule.settings != trainer.schedule.settings:
                trainer.follow(schedule, scale)
        if edited:
            trainer.load(self._scaling.to_scaled(weights))
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
        return self._scaling.to_scaled(weights)

    def _fitted_weights(self, problem):
        """The weights of the last fit, as training sees them."""
        return self._scaling.to_scaled(self._raw_weights(problem))

    def _raw_weights(self, problem):
        """The weights of the last fit, of shape (n_features + 1, n_columns)."""
        coef = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        expected = problem.rows.n_features + 1, problem.targets.n_columns
        weights = np.empty((np.shape(coef)[-1] + 1, np.size(self.intercept_)), dtype=problem.rows.dtype)
        weights[:-1] = np.atleast_2d(coef).T
        weights[-1] = self.intercept_
        if weights.shape != expected:
            raise ValueError(
                f"Going on needs the features and the targets of the last fit: it had {weights.shape[0] - 1} features "
                f"and {weights.shape[1]} columns, now there are {expected[0] - 1} and {expected[1]}. "
                "To begin anew, fit a new estimator, or one with warm_start=False."
            )
        return weights

    def _set_weights(self, weights):
        """Set the fitted weights, given those that training sees."""
        weights = self._scaling.to_raw(weights)
        # A view: `coef_.T`, which predictions multiply by, is C-contiguous without a copy.
        self.coef_ = weights[:-1].T
        self.intercept_ = weights[-1].copy()

    def _publish(self, trainer, history):
        """Set the fitted attributes."""
        self._publish_history(history, trainer.first_rate)
        self._trainer = trainer
        self.t_ = trainer.n_steps + 1

    def _publish_history(self, history, rate):
        self._set_weights(history.weights)
        self.n_iter_ = history.n_iter
        self.best_iter_ = history.best_iter
        self.loss_curve_ = history.loss_curve
        self.validation_scores_ = history.validation_scores or None
        self.eta0_ = rate

    # --------------------------------------------------------------------------------------- validation of the input

    def _check_parameters(self, partial=False):
        """What scikit-learn's parameter constraints cannot say."""
        if self.optimizer != "auto":
            as_optimizer(self.optimizer)
        if partial and self.early_stopping:
            raise ValueError("early_stopping should be False with partial_fit")
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")

    def _validate_rows(self, X, y, *, reset):
        dtype = [np.float64, np.float32]
        if not reset and getattr(self, "_trainer", None) is not None:
            dtype = self._trainer.dtype
        options = {"accept_sparse": "csr", "dtype": dtype, "order": "C", "reset": reset}
        # Of sparse rows to fit to, `Rows` sees whether they are finite, in its own look at them.
        options["ensure_all_finite"] = not (reset and sparse.issparse(X))
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=self._y_numeric, **options)
        return X, self._validate_targets(y)

    def _validate_weights(self, sample_weight, X, name="sample_weight"):
        """Return float64 weights, or None; negative ones are an error."""
        if sample_weight is None:
            return None
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, **_ALLOW_ZERO_WEIGHTS)
        if sample_weight.min(initial=0) < 0:
            raise ValueError(
                f"Negative values in data passed to `{name}`. Weights must be non-negative; "
                "a weight of 0 leaves a row out."
            )
        return sample_weight

    def _validate_validation(self, X, X_val, y_val, sample_weight_val):
        """Return the validation set as `Data`, or None if none is given."""
        if X_val is None and y_val is None and sample_weight_val is None:
            return None
        if X_val is not None and y_val is None:
            raise ValueError("X_val is provided, but y_val was not provided.")
        if X_val is None:
            given = "sample_weight_val" if y_val is None else "y_val"
            raise ValueError(f"{given} is provided, but X_val was not provided.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are passed to fit while at the same time early_stopping is False. "
                "When passing X_val and y_val to fit, early_stopping should be set to True."
            )
        options = {"accept_sparse": "csr", "dtype": X.dtype, "order": "C", "reset": False}
        X_val = validate_data(self, X_val, **options)
        weights = self._validate_weights(sample_weight_val, X_val, "sample_weight_val")
        if weights is not None and not weights.any():
            raise ValueError(ALL_ZERO.replace("sample_weight", "sample_weight_val"))
        y_val = self._validate_targets(_check_y(y_val, multi_output=True, y_numeric=self._y_numeric))
        check_consistent_length(X_val, y_val)
        return self._data(X_val, y_val, weights, training=False)


def warn_of_max_iter(max_iter, stacklevel):
    warnings.warn(
        f"Maximum number of iterations ({max_iter}) reached before convergence. "
        "Consider increasing max_iter, or tol, to improve the fit.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def _of_this_thread():
    """A generator that is made once for each thread; whoever takes it has to seed it."""
    if not hasattr(_GENERATORS, "own"):
        _GENERATORS.own = np.random.RandomState(0)
    return _GENERATORS.own


def _takes_sample_weight(scorer):
    """Whether a scorer, or a function in its place, has an argument sample_weight."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in signature(scorer).parameters


def _matching(name, value, shape):
    """The initial value of an attribute, as an array of the given shape."""
    value = np.asarray(value, dtype=np.float64)
    if value.size != np.prod(shape) or value.ndim > 2 or (value.ndim == 2 and value.shape != shape):
        raise ValueError(
            f"Provided {name} does not match dataset: expected shape {shape}, got {value.shape}."
        )
    if not np.isfinite(value).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return value.reshape(shape)
