"""What scikit-learn's callbacks are told of a search.

The search is a task. So are each fold in it (or part of a fold, where folds are fewer than threads), and each epoch of
the passes over that. If the estimator has callbacks of its own, the fit of a candidate to a fold is a task of the fold,
and has epochs of its own.
"""

from contextlib import ExitStack, contextmanager

from sgdkit.estimators.callbacks import FitTasks, has_callbacks
from sgdkit.training.loop import Listener


class SearchTasks:
    """The tasks of a search; nobody is told of them if neither the search nor its estimator has callbacks.

    Parameters
    ----------
    search : OnePassSearch
    final : BaseSGDPlus
        The estimator that is searched.
    rows : dict
        See `call_arguments`.
    """

    def __init__(self, search, final, rows):
        self._search, self._options, self._root = search, {"estimator": search, **rows}, None
        if not any(map(has_callbacks, (search, search.estimator, final))):
            return
        _check_inner_callbacks(search, final)
        n_subtasks = 1 + (search.refit is not False)
        self._root = search._init_callback_context(max_subtasks=n_subtasks)
        self._root.call_on_fit_task_begin(**self._options)

    def folds(self, n_folds, n_candidates):
        """The tasks of so many folds, which begin now."""
        if self._root is None:
            return [FoldTasks(self._search, None, 0)] * n_folds
        options = {"max_subtasks": n_folds, "sequential_subtasks": False}
        self._evaluation = self._root.subcontext(task_name="search", **options)
        self._evaluation.call_on_fit_task_begin(**self._options)
        options = {"max_subtasks": None, "sequential_subtasks": False}
        folds = [self._evaluation.subcontext(task_name="fold", task_id=k, **options) for k in range(n_folds)]
        return [FoldTasks(self._search, fold, n_candidates) for fold in folds]

    def end_folds(self):
        if self._root is not None:
            self._evaluation.call_on_fit_task_end(**self._options)

    @contextmanager
    def refit(self, model):
        """The fit of the best candidate to all rows."""
        if self._root is None:
            yield
            return
        task = self._root.subcontext(task_name="refit-with-best-params")
        with task.propagate_callback_context(model):
            task.call_on_fit_task_begin(**self._options)
            yield
        task.call_on_fit_task_end(**self._options)

    def end(self):
        if self._root is not None:
            self._root.call_on_fit_task_end(**self._options, reconstruction_attributes={})


class FoldTasks(Listener):
    """The tasks of a fold.

    Parameters
    ----------
    search : OnePassSearch
    context : CallbackContext, or None
        None if nobody is to be told.
    n_candidates : int
        Of the search; their numbers are those of their tasks, and epochs come after them.
    """

    def __init__(self, search, context, n_candidates):
        self._search, self._context, self._next_id = search, context, n_candidates
        self._options, self._numbers = {"estimator": search}, set()
        self._epoch = None

    @property
    def listeners(self):
        return [] if self._context is None else [self]

    @contextmanager
    def run(self, rows):
        """The training of all candidates on the fold, of which `rows` tell."""
        if self._context is None:
            yield
            return
        self._options.update(rows)
        self._context.call_on_fit_task_begin(**self._options)
        with ExitStack() as self._stack:
            yield
        self._context.call_on_fit_task_end(**self._options)

    def begin(self, trainer, courses, columns):
        self._begin_epoch()

    def go_on(self, trainer, courses, columns):
        self._begin_epoch()

    def __call__(self, epoch):
        stops = self._epoch.call_on_fit_task_end(**self._options)
        going_on = [k for k, course in enumerate(epoch.courses) if not course.over]
        if not stops and going_on and not epoch.pauses:
            self._begin_epoch()
        for k in going_on if stops else []:
            epoch.courses[k].stop(epoch=epoch, columns=epoch.columns[k])

    def candidate(self, number, model, plan, rows):
        """The tasks of the fit of a candidate to some rows; None if its estimator has no callbacks."""
        if self._context is None or not has_callbacks(model):
            return None
        # Of one against the rest, a candidate has several fits, of which the first has its number.
        task_id = self._new_id() if number in self._numbers else number
        self._numbers.add(number)
        self._stack.enter_context(_nested(model, self._context.subcontext("candidate", task_id)))
        return FitTasks(model, plan, rows)

    def _begin_epoch(self):
        self._epoch = self._context.subcontext("epoch", self._new_id())
        self._epoch.call_on_fit_task_begin(**self._options)

    def _new_id(self):
        self._next_id += 1
        return self._next_id - 1


def _check_inner_callbacks(search, final):
    """Callbacks that are passed on belong to the search; scikit-learn says so where it passes them on."""
    from sklearn.callback import AutoPropagatedCallback

    for estimator in search.estimator, final:
        callbacks = getattr(estimator, "_skl_callbacks", [])
        names = [type(each).__name__ for each in callbacks if isinstance(each, AutoPropagatedCallback)]
        if names:
            raise TypeError(
                f"The sub-estimator ({type(estimator).__name__}) of a meta-estimator ({type(search).__name__}) can't "
                f"have auto-propagated callbacks ({names}). Register them directly on the meta-estimator."
            )


@contextmanager
def _nested(model, context):
    """Have the fit of a model be a task of a search, and its callbacks torn down in the end."""
    from sklearn.callback._callback_support import callback_management_context

    model._parent_callback_ctx = context
    try:
        with callback_management_context(model):
            yield
    finally:
        del model._parent_callback_ctx
