"""scikit-learn's callbacks, which came with its version 1.9: a fit is a task, and each of its epochs is one of that."""

from functools import partial

import sklearn

from sgdkit.estimators.fitted import publish_now
from sgdkit.training.loop import Listener

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in the place of scikit-learn's."""

        def set_callbacks(self, *callbacks):
            """Set callbacks, for which scikit-learn is too old.

            Parameters
            ----------
            *callbacks : callback instances
                The callbacks.

            Raises
            ------
            ImportError
                Always.
            """
            raise ImportError(
                f"Callbacks need scikit-learn 1.9 or later, and this is {sklearn.__version__}. Update it."
            )


def has_callbacks(estimator):
    return bool(getattr(estimator, "_skl_callbacks", None))


def call_arguments(X, y, sample_weight):
    """What callbacks are given of the rows, which may be functions to be called if somebody asks."""
    return {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}


class FitTasks(Listener):
    """Tells the callbacks of an estimator of its fit, and of each of the epochs; they may stop it.

    Parameters
    ----------
    model : BaseSGDPlus
        It is being fitted.
    plan : Plan
    rows : dict
        See `call_arguments`.

    Attributes
    ----------
    course : Course
        That of the model, to be set before training begins.
    """

    course = None

    def __init__(self, model, plan, rows):
        self.plan = plan
        self._options = {"estimator": model, **rows}
        self._fit = self._epoch = None

    def begin(self, trainer, courses, columns):
        place = _place(self.course, courses)
        if self._fit is None:
            model = self._options["estimator"]
            self._fit = model._init_callback_context(max_subtasks=self.course.max_iter)
            self._fit.call_on_fit_task_begin(**self._options)
        elif self._fit.max_subtasks is not None:
            # Training begins again at a lower rate.
            self._fit.max_subtasks += self.course.max_iter
        self._begin_epoch(trainer, columns[place])

    def __call__(self, epoch):
        place = _place(self.course, epoch.courses)
        if place is None or self._epoch is None:
            return
        columns, state = epoch.columns[place], None
        if self.course.error is None:
            state = partial(self._state, epoch.trainer, columns)
        stops = self._epoch.call_on_fit_task_end(**self._options, reconstruction_attributes=state)
        self._epoch = None
        if stops and not self.course.over:
            self.course.stop(epoch=epoch, columns=columns)
        if not (self.course.over or epoch.pauses):
            self._begin_epoch(epoch.trainer, columns)

    def go_on(self, trainer, courses, columns):
        if not self.course.over:
            self._begin_epoch(trainer, columns[_place(self.course, courses)])

    def end(self, epoch=None):
        """The model has been fitted, or leaves its search after an epoch."""
        state = {}
        if epoch is not None:
            state = partial(self._state, epoch.trainer, epoch.columns[_place(self.course, epoch.courses)])
        self._fit.call_on_fit_task_end(**self._options, reconstruction_attributes=state)

    def _begin_epoch(self, trainer, columns):
        self._epoch = self._fit.subcontext(task_name="epoch")
        state = partial(self._state, trainer, columns)
        self._epoch.call_on_fit_task_begin(**self._options, reconstruction_attributes=state)

    def _state(self, trainer, columns):
        """The attributes of the model that would be returned if training stopped now."""
        cls, rate = type(self.plan.settings), float(trainer.rates(1)[columns].max())
        fitted = cls.__new__(cls)
        publish_now(fitted, self.plan, self.course, trainer.weights()[:, columns], rate)
        # They may be still to be made.
        getattr(fitted, "coef_", None)
        return vars(fitted)


def _place(course, courses):
    """The place of the course of a model, or None if it has left the pass."""
    return next((place for place, other in enumerate(courses) if other is course), None)
