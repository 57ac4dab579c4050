"""BaseSGDPlus: what the two estimators share: parameters, and `fit` as check, plan, train, publish."""

import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from threading import local
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sgdkit._kernels.rows import Rows
from sgdkit._typing import Array, MatrixLike
from sgdkit.auto.epochs import falls_to_an_end
from sgdkit.estimators.callbacks import CallbackSupportMixin, FitTasks, call_arguments, has_callbacks
from sgdkit.estimators.coefficients import LazyCoefMixin
from sgdkit.estimators.data import (
    ALL_ZERO,
    check_rows,
    check_validation,
    check_weights,
    encode,
    is_copy,
    targets_kind,
)
from sgdkit.estimators.fitted import Past, leave_past, publish, publish_course
from sgdkit.estimators.plan import make_plan, set_rates
from sgdkit.estimators.scoring import validation_scorer
from sgdkit.estimators.subset import MANY_FEATURES
from sgdkit.estimators.touched import touched, train_touched
from sgdkit.optimizers import OPTIMIZERS, Optimizer, as_optimizer
from sgdkit.optimizers.base import Parametrized
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from sgdkit.training.course import Diverged, History
from sgdkit.training.loop import Report, train

_GENERATORS = local()


class BaseSGDPlus(CallbackSupportMixin, LazyCoefMixin, Parametrized):
    """What the classifier and the regressor share: everything but the targets and the predictions."""

    optimizer_: Optimizer
    alpha_: float
    eta0_: float
    n_iter_: int
    best_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    t_: int
    n_features_in_: int
    feature_names_in_: Array

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
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "tol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable],
        "average": [Interval(Integral, 1, np.iinfo(np.intp).max, closed="both"), "boolean"],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of an optimizer object by `optimizer__name`.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            If there is no such parameter, as where `optimizer` is a name and no object.
        """
        nested = [name for name in params if name.startswith("optimizer__")]
        optimizer = params.get("optimizer", self.optimizer)
        if nested and isinstance(optimizer, str):
            raise ValueError(
                f"{nested[0]} is a parameter of an optimizer object, and optimizer={optimizer!r} is a name. "
                "Pass an object of sgdkit.optimizers, such as optimizer=Adam()."
            )
        return super().set_params(**params)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: MatrixLike,
        y: MatrixLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: MatrixLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows. float32 is trained in float32, anything else in float64. X is neither changed nor made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets: labels of classes, a label indicator of shape (n_samples, n_outputs), or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows in the mean loss; a row of weight 0 counts as absent.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            A validation set of your own for `early_stopping`. In a `Pipeline` it is transformed like X with
            ``Pipeline(..., transform_input=["X_val"])``.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            The targets of `X_val`.
        sample_weight_val : array-like of shape (n_val,), default=None
            The weights of `X_val`.
        coef_init : array-like of the shape of `coef_`, default=None
            Weights to begin with.
        intercept_init : array-like of the shape of `intercept_`, default=None
            Intercepts to begin with.

        Returns
        -------
        self : object
            The estimator itself.

        Raises
        ------
        ValueError
            For bad input; and where the weights overflow, because the rate is too large for the scale of the features.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` epochs were not enough; not with `tol=None`, nor where they are planned.
        """
        check_parameters(self)
        given, told = X, call_arguments(X, y, sample_weight)
        X, y = check_rows(self, X, y, reset=True)
        # What does not read all of them in one pass first has them looked at now.
        rows = Rows(X, check=self.early_stopping or self.warm_start, owned=is_copy(X, given))
        sample_weight = check_weights(sample_weight, X)
        kind, past = targets_kind(self).learn(y), None
        if self.warm_start and self._settle():
            # Of weights that the user has set before any fit, nothing else is known.
            past = self._past or Past(kind)
            kind.check_going_on(past.kind)
        data = encode(self, kind, X, y, sample_weight, rows=rows)
        if not data.n_rows:
            raise ValueError(ALL_ZERO)
        validation = check_validation(self, data, X_val, y_val, sample_weight_val)
        seeds = draw_seeds(self.random_state)
        if self.early_stopping and validation is None:
            data, validation = data.split(self.validation_fraction, seeds[0])
        if coef_init is not None or intercept_init is not None:
            past = None
        if past is None and coef_init is None and not self.warm_start:
            data = data.on_subset()
        options = {"coef_init": coef_init, "intercept_init": intercept_init}
        self._fit_data(data, validation, seeds, past=past, told=told, **options)
        return self

    def _fit_data(self, data, validation, seeds, *, past=None, told=None, **initial):
        """Plan a fit to all rows, train and publish; `told` is what callbacks hear, `initial` weights to begin with."""
        plan = make_plan(self, data, past, seed=seeds[1], **initial)
        score = None if validation is None else validation_scorer(plan, validation)
        set_rates([plan], seed=seeds[1])
        tasks = FitTasks(self, plan, told) if has_callbacks(self) else None
        self._train(plan, partial(plan.course, score), seed=seeds[2], seed_anew=seeds[2], tasks=tasks)

    def drop_training_state(self) -> Self:
        """Let go of what only further training needs: most of the memory of a model, and of its file.

        Predictions stay as they are. `partial_fit`, and `fit` with `warm_start`, go on from the weights alone: the
        optimizer begins anew, and the scales of the features are those of the rows to come.

        Returns
        -------
        self : object
            The estimator itself.
        """
        check_is_fitted(self)
        if self._past is not None:
            # Before what they are made from is gone.
            getattr(self, "coef_", None)
            self._past = self._past.without_training()
        return self

    def _fit_chunk(self, X, y, kind, sample_weight, *, owned):
        """One epoch over a chunk of rows, going on from the model as it is; X may be changed if it is `owned`."""
        if self._past is not None:
            self._past = self._past.of_all()
        past = self._past
        if past is None and hasattr(self, "coef_"):
            # Of weights that the user has set before any fit, nothing else is known.
            past = Past(kind)
        data = encode(self, kind, X, y, check_weights(sample_weight, X), rows=Rows(X, owned=owned))
        if not data.n_rows:
            if past is None:
                raise ValueError(ALL_ZERO)
            # Balanced weights of classes count its rows all the same.
            self._past = replace(past, kind=data.kind)
            return self
        if self._fit_features(data):
            return self
        self._settle()
        plan = make_plan(self, data, past, seed=None, whole=False)
        # A trainer that goes on has its own generator.
        seeds = [None] * 3 if plan.resumed_trainer is not None else draw_seeds(self.random_state)
        set_rates([plan], seed=seeds[1])
        new_course = partial(self._chunk_course, plan)
        self._train(plan, new_course, seed=seeds[2], seed_anew=len(getattr(self, "loss_curve_", ())))
        if past is None and self._past.takes_parts and data.rows.n_features >= MANY_FEATURES:
            # Nobody has seen them yet, so the next chunk need not ask whether they were changed.
            self._forget_coefficients()
        return self

    def _chunk_course(self, plan, **options):
        history = History(loss_curve=list(getattr(self, "loss_curve_", ())))
        return plan.course(None, history=history, tol=None, max_iter=1, **options)

    def _fit_features(self, data):
        """One epoch over a chunk on the features that it touches alone; return False where all have to take part.

        Where it fails, nothing has changed.
        """
        past = self._past
        # Another number of columns is an error, which those see to that look at all features.
        if past is None or not past.takes_parts or data.targets.n_columns != past.trainer.n_columns:
            return False
        features, part = touched(data, also=past.everywhere, room=past.trainer.room)
        if features is None or self._edited():
            return False
        plan = make_plan(self, part, past.of_features(features, past.trainer.room), seed=None, whole=False)
        course = train_touched(plan, past, partial(self._chunk_course, plan, keeps_last=None))
        if course is None:
            return False
        self._past = past.take_in(plan, features)
        self._forget_coefficients()
        publish_course(self, plan, course.history, plan.resumed_trainer.first_rate)
        self.t_ = plan.resumed_trainer.n_steps + 1
        return True

    def _train(self, plan, new_course, *, seed, seed_anew, tasks=None):
        """Train as planned, and publish the model; `tasks` are those of its callbacks.

        A rate of our own choice that makes the weights overflow is lowered, and training begins again.
        """
        trainer, problem = plan.resumed_trainer, plan.problem
        n_retreats = plan.rate_choice.n_retreats if plan.rate is not None else 0
        if trainer is None:
            trainer = plan.new_trainer(seed)
        else:
            # From here on, its state is no longer that of the last fit. Shallow copies of the model share the `Past`.
            self._past = replace(self._past, trainer=None)
            plan.resume(trainer)
            problem = plan.tempered(trainer)
        listeners = [*([Report()] if self.verbose else []), *([] if tasks is None else [tasks])]
        while True:
            course = new_course()
            if tasks is not None:
                tasks.course = course
            try:
                train(trainer, problem, [course], shuffle=self.shuffle, listeners=listeners)
            except KeyboardInterrupt:
                self._publish_interrupted(plan, trainer, course)
                raise
            if not isinstance(course.error, Diverged) or not n_retreats:
                break
            n_retreats -= 1
            plan.rate /= 10
            trainer = plan.new_trainer(seed_anew)
        if course.error is not None:
            raise course.error
        if not course.history.converged and course.patience.tol is not None:
            # Before the model is changed, for a filter may make it an error.
            warn_of_max_iter(course.max_iter, stacklevel=6)
        if plan.truncate(course) or plan.retract(course.history.coef) or course.score is not None:
            trainer.load(course.history.coef)
        self._publish(plan, trainer, course.history)
        leave_past(self, plan, trainer)
        if tasks is not None:
            tasks.end()

    def _publish(self, plan, trainer, history):
        publish(self, plan, history, trainer.first_rate)
        self.t_ = trainer.n_steps + 1

    def _publish_interrupted(self, plan, trainer, course):
        """Keep what there is; the optimizer stands amid an epoch, so a later fit goes on from the weights alone."""
        history = course.history
        if history.n_iter and plan.optimizer.full_batch and course.score is None:
            history.keep(trainer.weights())
        if history.coef is None:
            return
        if course.score is None:
            # Of epochs that were one call, weights are known after the last.
            del history.loss_curve[history.best_iter :]
        self._publish(plan, trainer, history)
        leave_past(self, plan, None)


def check_parameters(settings, *, chunk=False):
    """What scikit-learn's parameter constraints cannot say; `chunk` is for `partial_fit`."""
    if settings.optimizer != "auto":
        as_optimizer(settings.optimizer)
    if chunk and settings.early_stopping:
        raise ValueError("early_stopping should be False with partial_fit")
    if chunk and falls_to_an_end(settings):
        raise ValueError(
            f"learning_rate={settings.learning_rate!r} falls until the last epoch, which partial_fit does not know. "
            'Choose another one for partial_fit, such as "auto".'
        )
    if settings.penalty == "elasticnet" and settings.l1_ratio is None:
        raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")


def warn_of_max_iter(max_iter, stacklevel):
    warnings.warn(
        f"Maximum number of iterations ({max_iter}) reached before convergence. "
        "Consider increasing max_iter, or tol, to improve the fit.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def draw_seeds(random_state):
    """Seeds of the validation split, of the samples that choices look at, and of the shuffling."""
    if isinstance(random_state, Integral):
        # What check_random_state makes, without the tenth of a fit of iris that it takes to make it.
        generator = _generator_of_this_thread()
        generator.seed(random_state)
    else:
        generator = check_random_state(random_state)
    return generator.randint(np.iinfo(np.int32).max, size=3)


def _generator_of_this_thread():
    """A generator that is made once for each thread; whoever takes it has to seed it."""
    if not hasattr(_GENERATORS, "generator"):
        _GENERATORS.generator = np.random.RandomState(0)
    return _GENERATORS.generator
