"""The paragraphs that the docstrings of the two estimators share. A fact has one home."""

from textwrap import indent

_PARAMETERS = """\
optimizer : {"auto", "adagrad", "sgd", "adam", "rmsprop", "gd"} or Optimizer, default="auto"
    By name, or an object with its own hyper-parameters, such as ``Adam(beta_2=0.99)``; see
    :mod:`sgdkit.optimizers`. A search reaches those of an object, as in ``optimizer__beta_2``. "auto" is "gd", full
    gradients with acceleration, where features are dense (a tenth of the values are not zero), there are up to
    10,000,000 values and scores, and the loss is smooth; else it is "adagrad". It is "adagrad" too in `partial_fit`,
    and where `early_stopping`, `average`, `batch_size`, `learning_rate` or `eta0` is set. What was taken is in
    `optimizer_`.

penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
    The penalty R: ``||W||_2^2 / 2``, ``||W||_1`` (which gives exact zeros), or
    ``l1_ratio * ||W||_1 + (1 - l1_ratio) * ||W||_2^2 / 2``. The intercept is not penalised.

alpha : float >= 0 or "auto", default="auto"
    Strength of the penalty. On standardised features, `LogisticRegression(C=C)` minimises the same at ``alpha = 1 /
    (n_samples * C)``, `Ridge(alpha=a)` at ``alpha = a / n_samples``, `Lasso` and `ElasticNet` at their own `alpha`.
    "auto" is ``c / n``, n being the sum of the rows' weights. c is 1, which is the default of `LogisticRegression` and
    `Ridge`, unless models with c = 10, 0.1 or 0.01 (of more than 5,000 rows, a sample of these and c = 3) that are
    fitted to a part of the rows predict the others better by two standard errors; of several, it is the nearest to 1
    that is within as much of the best. `partial_fit` takes c = 1, or that of the last `fit`, and n over all rows so
    far. The number is in `alpha_`.

l1_ratio : float in [0, 1], default=0.15
    Share of the l1 norm in the "elasticnet" penalty.

standardize : bool, default=True
    Whether the penalty is that of the weights of standardised features, ``R(D W)``, so that their units do not matter,
    and training takes place on such features, which makes it faster; `coef_` and `intercept_` are those of the raw
    ones. D is the standard deviation of a feature that has no zeros, else the root mean square of its non-zeros. Where
    features with zeros are zero more often than not, they share one D, that of all their values together, as long as
    their own are within a factor of 10 of the geometric mean: so the weights of TF-IDF keep their meaning. Where they
    have none in common, but rows were brought to one length, D also takes account of that length, and of how rare a
    feature is; see the user guide. False
    penalises the weights of the features as they are, as `LogisticRegression` and `Ridge` do; with ``eta0="auto"``
    training still takes place on features of about one scale (not with `average`), while a number for `eta0` is a rate
    for the features as they are. Rows are copied where features are not of one scale.

epsilon : float >= 0, default=0.1
    Of the losses "huber" (where it turns from quadratic to linear), "epsilon_insensitive" and
    "squared_epsilon_insensitive" (below which an error counts for nothing); in units of the target.
"""

_MORE_PARAMETERS = """\
fit_intercept : bool, default=True
    Whether to fit an intercept.

batch_size : int >= 1 or "auto", default="auto"
    Rows in a mini-batch, whose mean gradient makes one step. "auto" takes data of up to 256 rows as one batch, which
    makes the fit deterministic, and larger data row by row, which is the fastest.

learning_rate : {"auto", "constant", "invscaling", "optimal", "adaptive"}, default="auto"
    The rate eta(t) of step t = 1, 2, ...:

    - "constant": ``eta0``;
    - "invscaling": ``eta0 / t ** power_t``;
    - "optimal": ``eta0 / (1 + alpha * eta0 * (t - 1))`` [1]_;
    - "adaptive": ``eta0``, divided by 5 whenever `n_iter_no_change` epochs in a row bring no progress, down to a
      millionth of `eta0`;
    - "auto": "optimal" for "sgd", "invscaling" for "adam" and "rmsprop", "constant" for "adagrad" and "gd" (whose
      steps need no schedule; "invscaling" for "gd" with a loss that has kinks).

eta0 : float > 0 or "auto", default="auto"
    The first rate, for features as training sees them (see `standardize`). "auto" takes for "adagrad", "adam" and
    "rmsprop" what the size of the rows and of the targets suggests, see the user guide. For "sgd", short pilot runs on
    2,000 rows (or 20 mini-batches) choose it, in which eleven rates train at once as columns of one pass; where 40
    rows or more are a single batch, pilots choose around the formula too. For "gd" it
    is left to backtracking. A rate of its choice at which the weights overflow is lowered, and training begins again.
    The rate that was used is in `eta0_`.

power_t : float >= 0, default=0.5
    Exponent of "invscaling".

max_iter : int >= 1, default=1000
    The most epochs (passes over the rows) that `fit` makes; `partial_fit` makes one.

tol : float >= 0, "auto" or None, default="auto"
    Training stops when `n_iter_no_change` epochs in a row have not lowered the objective, loss and penalty together, by
    `tol` times its lowest value so far. With `early_stopping` it is the validation loss that is watched in this
    way, or a score, which has to rise by `tol` itself. "auto" is 1e-5 for "gd", whose objective has no noise, and 1e-3
    for the others. None makes `max_iter` epochs.

shuffle : bool, default=True
    Whether to visit the rows in a new random order in each epoch. Of 32,768 rows or more whose neighbours have
    unrelated targets, it is an order of runs of 64 neighbours, as memory gives these in less time; the rows of data
    that are sorted, by class or by time, are shuffled one by one.

early_stopping : bool, default=False
    Whether to stop on a validation set, and to return the weights of the epoch with the best validation score. The set
    is `X_val`, `y_val` of `fit`, or else a fraction of the rows.

validation_fraction : float in (0, 1), default=0.1
    Share of the rows to hold out for `early_stopping`; stratified for classes.

n_iter_no_change : int >= 1, default=5
    How many epochs without progress are waited for.

scoring : str or callable, default="loss"
    What scores a validation set: "loss" (minus the mean loss, without penalty), a scorer's name, or a callable
    ``scorer(estimator, X, y)`` that may take `sample_weight`. The model scored is the one that would be returned,
    averaged if `average`.
"""

_LAST_PARAMETERS = """\
average : bool or int, default=False
    Whether to return the mean of the weights after each step (Polyak-Ruppert averaging [2]_) instead of the last; an
    int begins to average when so many rows have been seen.

warm_start : bool, default=False
    Whether `fit` goes on from the last fit, with the optimizer's exact state.

n_jobs : int or None, default=None
    Threads that share the independent columns: the classes of one-vs-rest, the labels, the outputs. The columns of
    softmax depend on each other and stay together. The result is the same for every value.

random_state : int, RandomState instance or None, default=None
    Of the shuffling, of the validation split, and of the samples that "auto" looks at.

verbose : int, default=0
    Whether to print a line for each epoch: objective, validation score, rate, seconds.
"""

_ATTRIBUTES = """\
optimizer_ : Optimizer
    The optimizer, its parameters those that training had.

alpha_ : float
    The strength of the penalty.

eta0_ : float
    The first rate, for features as training saw them; of backtracking, the last.

n_iter_ : int
    Epochs made: by the last `fit`, or by all calls of `partial_fit`.

best_iter_ : int
    The epoch whose weights these are, counted from 1: the best one with `early_stopping`, else the last.

loss_curve_ : list of float, one for each epoch
    The objective of each epoch, summed over outputs: the mean of the losses of the rows, each as it was met, before the
    step that it was part of, plus the penalty at the end of the epoch. For "gd" it is the objective after the epoch.

validation_scores_ : list of float, one for each epoch, or None
    The validation score of each epoch, if `early_stopping`.

t_ : int
    One more than the number of steps.

n_features_in_ : int
    Number of features seen during `fit`.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of features seen during `fit`, if all are strings.
"""

_REFERENCES = """\
References
----------
.. [1] L. Bottou, "Stochastic Gradient Descent Tricks", 2012.
.. [2] B. Polyak & A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim., 1992.
"""

_FIT = """\
Fit the model.

Parameters
----------
X : {array-like, sparse matrix} of shape (n_samples, n_features)
    float32 is trained in float32, anything else in float64. It is neither changed nor made dense.

y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    The targets.

sample_weight : array-like of shape (n_samples,), default=None
    Non-negative weights of the rows in the mean loss; a row of weight 0 counts as absent.

X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
    A validation set of your own for `early_stopping`. In a `Pipeline` it is transformed like X with
    ``Pipeline(..., transform_input=["X_val"])``.

y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None

sample_weight_val : array-like of shape (n_val,), default=None

coef_init : array-like of the shape of `coef_`, default=None
    Weights to begin with.

intercept_init : array-like of the shape of `intercept_`, default=None
    Intercepts to begin with.

Returns
-------
self : object

Raises
------
ValueError
    For bad input; and where the weights overflow, because the rate is too large for the scale of the features.
"""

_PARTIAL_FIT = """\
Make one epoch over a chunk of rows, going on from the model as it is.

Parameters
----------
X : {array-like, sparse matrix} of shape (n_samples, n_features)

y : array-like of shape (n_samples,) or (n_samples, n_outputs)
CLASSES
sample_weight : array-like of shape (n_samples,), default=None
    Non-negative weights. They count relative to the mean weight of all rows seen so far.

Returns
-------
self : object
"""

_CLASSES = """
classes : array-like of shape (n_classes,), default=None
    All classes that any chunk may have; needed on the first call.
"""

_SEARCH_PARAMETERS = """\
scoring : str, callable, list, tuple, dict or None, default=None
    One score or several, as in :class:`sklearn.model_selection.GridSearchCV`; None is the estimator's own. Around a
    pipeline, named scorers see the final estimator and the transformed rows, functions the whole pipeline.

n_jobs : int or None, default=None
    Threads over the folds, and over candidates where there are fewer folds than threads; -1 stands for all
    processors. Where folds cannot be dealt out evenly, the last ones take turns. The result does not depend on it.

refit : bool, str or callable, default=True
    Whether to fit the best candidate to all rows; of several scores, the name of the one that decides.

cv : int, splitter, iterable or None, default=None
    The folds; None is 5.

verbose : int, default=0
    Whether to print a line for each epoch of a pass: how many candidates go on, and the best so far.

error_score : "raise" or number, default=nan
    The score of a candidate that could not be fitted or scored.

return_train_score : bool, default=False
    Whether to score the training rows too.

working_memory : float > 0 or None, default=None
    MiB that the weights and states of all candidates in training may take; a pass trains as many as there is room for.
    None stands for that of :func:`sklearn.set_config`, 1024 by default.
"""

_SEARCH_ATTRIBUTES = """\
Attributes
----------
cv_results_ : dict of numpy (masked) ndarrays
    With the keys of :class:`sklearn.model_selection.GridSearchCV`. The time of a pass is shared out equally among its
    candidates, in `mean_fit_time`.

best_estimator_ : estimator
    Fitted to all rows. Available if `refit`.

best_score_ : float
    Mean test score of the best candidate.

best_params_ : dict
    Its parameters.

best_index_ : int
    Its place in `cv_results_`.

scorer_ : callable or dict
    The scorer, or the scorers.

n_splits_ : int
    Number of folds.

refit_time_ : float
    Seconds that the fit to all rows took.

multimetric_ : bool
    Whether there are several scores.

classes_ : ndarray of shape (n_classes,)
    Those of `best_estimator_`.

n_features_in_ : int
    That of `best_estimator_`.

feature_names_in_ : ndarray of shape (n_features,)
    Those of `best_estimator_`, if it has any.
"""

PARAGRAPHS = {
    "SEARCH_PARAMETERS": _SEARCH_PARAMETERS,
    "SEARCH_ATTRIBUTES": _SEARCH_ATTRIBUTES,
    "PARAMETERS": _PARAMETERS,
    "MORE_PARAMETERS": _MORE_PARAMETERS,
    "LAST_PARAMETERS": _LAST_PARAMETERS,
    "ATTRIBUTES": _ATTRIBUTES,
    "REFERENCES": _REFERENCES,
    "FIT": _FIT,
    "PARTIAL_FIT": _PARTIAL_FIT.replace("CLASSES", ""),
    "PARTIAL_FIT_CLASSES": _PARTIAL_FIT.replace("CLASSES", _CLASSES),
}


def documented(thing):
    """Decorate a class or a function: fill in the lines of its docstring that are the name of a paragraph."""
    lines = []
    for line in (thing.__doc__ or "").split("\n"):
        paragraph = PARAGRAPHS.get(line.strip())
        margin = line[: len(line) - len(line.lstrip())]
        lines.append(line if paragraph is None else indent(paragraph, margin).rstrip())
    thing.__doc__ = "\n".join(lines)
    return thing
