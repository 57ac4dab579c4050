"""What a fit leaves: the fitted attributes of an estimator, and its `Past`."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from sgdkit.auto.part import Part, everywhere
from sgdkit.auto.scaling import Scaling
from sgdkit.estimators.subset import Subset
from sgdkit.training.trainer import Trainer


@dataclass
class Past:
    """What later fits need to know to go on, besides the weights.

    Attributes
    ----------
    kind : Labels or Outputs
        What is known of the targets.
    scaling : Scaling
    seen : ndarray of shape (2,)
        The number of rows so far, and the sum of their weights.
    targets_seen : ndarray of shape (3, n_outputs), or None
        The number, mean and variance of targets so far; None of classes.
    multiple : float or None
        The latest c of ``alpha = c / n`` that was chosen.
    trainer : Trainer or None
        None where its state is of no use any more.
    squared_gradients : ndarray of shape (n_features + 1, n_columns), or None
        After full gradients, what AdaGrad's sums would have been.
    weights : ndarray of shape (n_features + 1, n_columns), or None
        Of a part: the raw weights. Otherwise the estimator has them.
    n_scored : int
        The values of rows that were predicted by the weights of their features alone.
    subset : Subset or None
        The features that all this is about, where these are few among all.
    """

    kind: object
    scaling: Scaling = field(default_factory=Scaling)
    seen: np.ndarray = field(default_factory=lambda: np.zeros(2))
    targets_seen: np.ndarray | None = None
    multiple: float | None = None
    trainer: Trainer | None = None
    squared_gradients: np.ndarray | None = None
    weights: np.ndarray | None = None
    n_scored: int = 0
    subset: Subset | None = None

    @property
    def takes_parts(self):
        """Whether there are steps on some features alone to go on with."""
        goes_on = self.trainer is not None and self.subset is None
        return goes_on and not self.trainer.optimizer.full_batch

    @property
    def everywhere(self):
        """The features that every row had, which the absence of a value touches too."""
        return np.empty(0, dtype=np.int32) if not self.scaling.learns else everywhere(self.scaling)

    def of_all(self):
        """What is known of all features, to go on with rows that may have any."""
        if self.subset is None:
            return self
        trainer, squares = self.trainer, self.squared_gradients
        return replace(
            self,
            scaling=self.scaling.spread(self.subset),
            trainer=None if trainer is None else trainer.spread(self.subset),
            squared_gradients=None if squares is None else self.subset.spread(squares),
            subset=None,
        )

    def of_features(self, features, room):
        """What is known of some features alone; until `take_in`, nothing here changes."""
        scaling, trainer = self.scaling, self.trainer.of_features(features, room)
        if scaling.learns:
            scaling = Part.of(scaling, features, room)
        weights = scaling.to_raw(trainer.weights())
        return replace(self, scaling=scaling, trainer=trainer, squared_gradients=None, weights=weights)

    def is_whole_of(self, plan):
        """Whether a plan for some features goes on with what all have come to."""
        if isinstance(plan.scaling, Part):
            goes_on = plan.scaling.whole is self.scaling
        else:
            # Neither has seen anything.
            goes_on = not plan.scaling.learns and not self.scaling.learns
        return goes_on and plan.resumed_trainer is not None and np.ndim(plan.units) == 0

    def take_in(self, plan, features):
        """What is known after training by a plan for some features."""
        self.trainer.take_in(plan.resumed_trainer, features)
        if isinstance(plan.scaling, Part):
            plan.scaling.give_back()
        known = plan.data.kind, self.scaling, plan.seen, plan.targets_seen, plan.multiple, self.trainer
        return Past(*known)

    def all_weights(self):
        """The raw weights, copied, of shape (n_features + 1, n_columns)."""
        n_features = self.trainer.states[0].n_features
        trainer = self.trainer.of_features(np.arange(n_features, dtype=np.int32))
        return np.array(self.scaling.to_raw(trainer.weights()), order="C")

    def without_training(self):
        """The same for a model that is to go on from its weights alone; nothing in it is of the size of the weights."""
        return replace(self, scaling=Scaling(), trainer=None, squared_gradients=None, subset=None)


@dataclass
class FewWeights:
    """The raw weights of a model whose rows had few of the features.

    Attributes
    ----------
    kind : Labels or Outputs
    weights : ndarray of shape (n_subset + 1, n_columns)
    subset : Subset
    """

    kind: object
    weights: np.ndarray
    subset: Subset

    def coefficients(self):
        """`coef_` and `intercept_`, of all features."""
        return coefficients(self.kind, self.subset.spread(self.weights))


def set_coefficients(model, plan, weights):
    """Set `coef_` and `intercept_`, given the weights on the scale of training.

    Those of a `Subset` are made of what is noted here, when somebody asks for them.
    """
    weights, kind = plan.scaling.to_raw(weights), plan.data.kind
    model._forget_coefficients()
    if plan.data.subset is None:
        model.coef_, model.intercept_ = coefficients(kind, weights)
    else:
        model._few = FewWeights(kind, weights, plan.data.subset)


def coefficients(kind, weights):
    """`coef_` and `intercept_`, given the raw weights."""
    # A view: `coef_.T`, which predictions multiply by, is C-contiguous without a copy.
    return kind.shape_coef(weights[:-1].T), weights[-1].copy()


def set_choices(model, plan):
    """Set what was chosen before training, and what predictions have to know."""
    model.optimizer_, model.alpha_ = plan.optimizer, plan.alpha
    kind, loss = plan.data.kind, plan.problem.loss
    for name, value in kind.attributes.items():
        setattr(model, name, value)
    model._probability, model._log_link = loss.probability, loss.log_link


def publish(model, plan, history, rate):
    """Make an estimator a fitted model; `rate` is the first one, or what backtracking has come to."""
    set_coefficients(model, plan, history.coef)
    publish_course(model, plan, history, rate)


def publish_now(model, plan, course, coef, rate):
    """Make an estimator the model that would be returned if training stopped now, given the latest weights."""
    history = course.history
    curves = {name: list(getattr(history, name)) for name in ("loss_curve", "validation_scores")}
    coef = np.array(coef if course.score is None else history.coef, order="C")
    publish(model, plan, replace(history, coef=coef, **curves), rate)


def publish_course(model, plan, history, rate):
    """Set all attributes but the coefficients."""
    set_choices(model, plan)
    model.n_iter_ = history.n_iter
    model.best_iter_ = history.best_iter
    model.loss_curve_ = history.loss_curve
    model.validation_scores_ = history.validation_scores or None
    model.eta0_ = rate


def leave_past(model, plan, trainer):
    """Note what later fits need; `trainer` is None where training was interrupted."""
    squares = None if trainer is None else plan.gathered_squares()
    known = plan.data.kind, plan.scaling, plan.seen, plan.targets_seen, plan.multiple, trainer, squares
    model._past = Past(*known, subset=plan.data.subset)


def fitted_weights(model, shape):
    """The weights of the raw features, of the given shape (n_features, n_columns), and the intercepts."""
    coef = model.coef_.toarray() if sparse.issparse(model.coef_) else model.coef_
    coef, intercept = np.atleast_2d(coef).T, np.ravel(model.intercept_)
    if (len(coef), len(intercept)) != shape:
        raise ValueError(
            f"Going on needs the features and the targets of the last fit: it had {len(coef)} features and "
            f"{len(intercept)} columns, now there are {shape[0]} and {shape[1]}. To begin anew, fit a new estimator, "
            "or one with warm_start=False."
        )
    return coef, intercept
