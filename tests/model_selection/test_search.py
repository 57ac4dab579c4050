"""One-pass searches find what scikit-learn's find, and each of their models is that of the estimator alone."""

import re
import sys
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.rows import Rows
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.model_selection import OnePassGridSearchCV, OnePassRandomizedSearchCV
from sgdkit.model_selection.candidates import Fold, Group, fit_group, own_parameters, sharing_key
from sgdkit.optimizers import GD, OPTIMIZERS, SGD, Adam
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from tests.reference import PARAMETERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALPHAS = {"alpha": [1e-5, 1e-3, 1e-1]}


def make_data(kind, n=150):
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    # Zeros, and an order that is not that of the classes.
    X[np.abs(X) < 0.3] = 0
    order = np.random.default_rng(0).permutation(len(y))[:n]
    X, y = X[order], y[order]
    if kind == "two classes":
        return X, y == 1
    if kind == "labels":
        return X, np.column_stack([y == 0, y < 2]).astype(int)
    if kind == "number":
        return X[:, :3], X[:, 3]
    if kind == "numbers":
        return X[:, :2], X[:, 2:]
    return X, np.array(["a", "b", "c"])[y]


KINDS = ["two classes", "classes", "labels", "number", "numbers"]
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make_model(kind, **params):
    cls = SGDRegressorPlus if "number" in kind else SGDClassifierPlus
    return cls(**{"max_iter": 4, "tol": None, "random_state": 0, "batch_size": 1, "eta0": 0.1, **params})


def assert_same_search(ours, theirs, atol=1e-9):
    """All that is not a time."""
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for key, value in theirs.cv_results_.items():
        if "_time" in key:
            assert (ours.cv_results_[key] >= 0).all()
        elif "score" in key or "test" in key or "train" in key:
            assert_allclose(ours.cv_results_[key], value, atol=atol, err_msg=key)
        else:
            assert list(ours.cv_results_[key]) == list(value), key
    for name in ("best_index_", "best_params_", "multimetric_", "n_splits_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    assert hasattr(ours, "best_estimator_") == hasattr(theirs, "best_estimator_")
    if hasattr(theirs, "best_score_"):
        assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-9)


def both(model, grid, X, y, *, fit_params=None, **options):
    options = {"cv": 3, "return_train_score": True, **options}
    ours = OnePassGridSearchCV(model, grid, **options).fit(X, y, **(fit_params or {}))
    theirs = GridSearchCV(model, grid, **options).fit(X, y, **(fit_params or {}))
    return ours, theirs


def assert_finds_the_same(model, grid, X, y, **options):
    ours, theirs = both(model, grid, X, y, **options)
    assert_same_search(ours, theirs)
    if options.get("refit", True):
        assert_array_equal(ours.predict(X), theirs.predict(X))
    return ours


# -------------------------------------------------------------------------- a column's model is that of the estimator


def fitted_models(model, grid, X, y, train, sample_weight=None):
    """The models of `fit_group`, and those that the estimator alone fits to the rows `train`."""
    candidates = [clone(model).set_params(**own) for own in grid]
    parameters = [own_parameters(candidate) for candidate in candidates]
    assert len({sharing_key(candidate, number) for number, candidate in enumerate(candidates)}) == 1
    validated = clone(model)
    X_valid, y_valid = validated._validate_rows(X, y, reset=True)
    group = Group(clone(candidates[0]), list(range(len(grid))), parameters)
    fitted = fit_group(group, Fold(X_valid, Rows(X_valid), y_valid, sample_weight, train))
    assert [error for _, error in fitted] == [None] * len(grid)
    weights = None if sample_weight is None else sample_weight[train]
    return [own for own, _ in fitted], [
        candidate.fit(X[train], y[train], weights) for candidate in candidates
    ]


def assert_same_models(together, alone, rtol=1e-9):
    for one, other in zip(together, alone, strict=True):
        assert_allclose(one.coef_, other.coef_, rtol=rtol, atol=1e-12)
        assert_allclose(one.intercept_, other.intercept_, rtol=rtol, atol=1e-12)
        assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol)
        assert one.n_iter_ == other.n_iter_
        assert one.best_iter_ == other.best_iter_
        assert one.eta0_ == pytest.approx(other.eta0_, rel=1e-12)


@pytest.mark.parametrize("eta0", [0.1, "auto"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@ALL_KINDS
def test_a_column_is_the_model_of_the_estimator_alone(kind, optimizer, batch_size, eta0):
    X, y = make_data(kind)
    model = make_model(kind, optimizer=optimizer, batch_size=batch_size, eta0=eta0)
    grid = [{"alpha": alpha} for alpha in (0.0, 1e-4, 1e-2, 1.0)]
    # Unsorted, as those of ShuffleSplit.
    train = np.random.default_rng(1).permutation(len(X))[:100]
    assert_same_models(*fitted_models(model, grid, sparse.csr_array(X), y, train))


OWN_NUMBERS = [
    (kind, name)
    for kinds, losses in ((KINDS[:3], CLASSIFIER_LOSSES), (KINDS[3:], REGRESSOR_LOSSES))
    for kind in kinds
    for name, loss in losses.items()
    if loss.parameter_name
]


@pytest.mark.parametrize("alpha", [1e-3, "auto"])
@pytest.mark.parametrize("eta0", [0.05, "auto"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "gd"])
@pytest.mark.parametrize(("kind", "loss"), OWN_NUMBERS)
def test_a_column_has_its_own_number_of_the_loss(kind, loss, optimizer, eta0, alpha):
    X, y = make_data(kind)
    # One epoch of a hundred steps: where a loss has a kink, differences of the last bit grow.
    model = make_model(kind, loss=loss, optimizer=optimizer, eta0=eta0, alpha=alpha, max_iter=1)
    name = model._losses[loss].parameter_name
    y = np.abs(y) if model._losses[loss].log_link else y
    grid = [{name: number, "alpha": own} for number in PARAMETERS[name][:3] for own in (alpha, 3e-2)]
    together, alone = fitted_models(model, grid, X, y, np.arange(10, 110))
    assert_same_models(together, alone)
    assert len({one.loss_curve_[-1] for one in together}) == len(grid)
    assert [getattr(one, name) for one in together] == [own[name] for own in grid]


def test_targets_may_be_valid_for_some_values_of_the_parameter_of_a_loss():
    X, y = make_data("number")
    model, grid = make_model("number", loss="tweedie"), {"power": [1.2, 2.0, 1.8]}
    assert_finds_the_same(model, grid, X, np.abs(y) + 1)
    y = np.maximum(y, 0)
    with pytest.warns(FitFailedWarning, match="> 0"):
        search = OnePassGridSearchCV(model, grid, cv=3).fit(X, y)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True, False])


@pytest.mark.parametrize("scoring", ["loss", "r2"])
def test_a_validation_loss_is_that_of_the_own_number(scoring, monkeypatch):
    X, y = make_data("number")
    model = make_model(
        "number", loss="huber", early_stopping=True, scoring=scoring, max_iter=30, tol=1e-3, optimizer="sgd"
    )
    grid = [{"epsilon": epsilon, "alpha": alpha} for epsilon in (0.05, 0.5) for alpha in (1e-3, 1e-1)]
    widths = widths_of_passes(monkeypatch)
    models = fitted_models(model, grid, X, y, np.arange(100))
    assert widths == [4, 1, 1, 1, 1]
    assert_same_models(*models)
    for one, other in zip(*models, strict=True):
        assert_allclose(one.validation_scores_, other.validation_scores_, rtol=1e-9)


def widths_of_passes(monkeypatch):
    """A list to which each training of some models adds their number."""
    from sgdkit.estimators import base
    from sgdkit.model_selection import candidates

    widths = []
    for module in (base, candidates):
        monkeypatch.setattr(module, "train", partial(counted_train, widths, module.train))
    return widths


def counted_train(widths, train, trainer, problem, courses, **options):
    widths.append(len(courses))
    train(trainer, problem, courses, **options)


CLASS_WEIGHTS = [None, "balanced", {1: 3.0}, {0: 0.2, 1: 5.0}]


def make_codes(kind):
    """Data of 2 or 3 classes that are not equally frequent, and weights, some of them 0."""
    X, y = make_data(kind)
    y = np.unique(y, return_inverse=True)[1]
    rare = np.flatnonzero(y == 1)[::2]
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    return X, y, np.random.default_rng(2).integers(0, 4, len(y)) / 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("eta0", [0.05, "auto"])
@pytest.mark.parametrize("batch_size", [1, "auto"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "gd"])
@pytest.mark.parametrize(
    ("kind", "loss", "multi_class"),
    [
        ("two classes", "log_loss", "auto"),
        ("classes", "log_loss", "auto"),
        ("classes", "log_loss", "ovr"),
        ("classes", "huber", "ovr"),
    ],
)
def test_a_column_has_its_own_class_weights(
    kind, loss, multi_class, optimizer, batch_size, eta0, weighted, monkeypatch
):
    X, y, sample_weight = make_codes(kind)
    settings = {"loss": loss, "multi_class": multi_class, "optimizer": optimizer, "batch_size": batch_size}
    # No more than a hundred steps: where a loss has a kink, differences of the last bit grow.
    settings["max_iter"] = 1 if batch_size == 1 else 5
    model = make_model(kind, eta0=eta0, standardize=False, **settings)
    epsilons = (0.1, 0.3) if loss == "huber" else (0.1, 0.1)
    grid = [
        {"class_weight": weights, "alpha": alpha, "epsilon": epsilon}
        for weights in CLASS_WEIGHTS
        for alpha, epsilon in zip(("auto", 3e-2), epsilons, strict=True)
    ]
    # Unsorted, as those of ShuffleSplit.
    train = np.random.default_rng(1).permutation(len(X))[:100]
    widths = widths_of_passes(monkeypatch)
    at = sparse.csr_array(X), y, train, sample_weight if weighted else None
    together, alone = fitted_models(model, grid, *at)
    # Full gradients train one model after the other.
    assert widths[0] == (1 if optimizer == "gd" else len(grid))
    assert_same_models(together, alone)
    assert [one.class_weight for one in together] == [own["class_weight"] for own in grid]
    assert len({one.loss_curve_[-1] for one in together}) >= len(CLASS_WEIGHTS)


@pytest.mark.parametrize("scoring", ["loss", "f1_macro"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "gd"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["two classes", "classes"])
def test_validation_scores_are_those_of_the_own_class_weights(kind, weighted, optimizer, scoring):
    X, y, sample_weight = make_codes(kind)
    settings = {"early_stopping": True, "scoring": scoring, "tol": 1e-3, "max_iter": 30, "batch_size": 3}
    model = make_model(kind, optimizer=optimizer, standardize=False, **settings)
    grid = [{"class_weight": own, "alpha": alpha} for own in CLASS_WEIGHTS for alpha in (1e-3, 1e-1)]
    at = X, y, np.arange(5, 110), sample_weight if weighted else None
    together, alone = fitted_models(model, grid, *at)
    assert_same_models(together, alone)
    for one, other in zip(together, alone, strict=True):
        assert_allclose(one.validation_scores_, other.validation_scores_, rtol=1e-9, atol=1e-12)


def make_texts(n_rows=200, n_features=120):
    """Rows as TF-IDF gives them, of three classes, and weights."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((n_rows, n_features), density=0.08, rng=rng, format="csr")
    X.data = 0.2 + 0.1 * rng.random(len(X.data))
    y = np.argmax(X @ rng.standard_normal((n_features, 3)) + [0.3, 0, -0.3], axis=1)
    return X, y, rng.uniform(0.5, 2, n_rows)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("learning_rate", ["auto", "optimal"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_class_weights_share_rows_that_are_not_scaled(
    optimizer, penalty, learning_rate, weighted, monkeypatch
):
    X, y, sample_weight = make_texts()
    settings = {"penalty": penalty, "learning_rate": learning_rate, "eta0": "auto", "alpha": "auto"}
    model = make_model("classes", optimizer=optimizer, early_stopping=True, **settings)
    grid = [{"class_weight": weights} for weights in CLASS_WEIGHTS]
    widths = widths_of_passes(monkeypatch)
    together, alone = fitted_models(model, grid, X, y, np.arange(180), sample_weight if weighted else None)
    assert_same_models(together, alone)
    # The common scale depends on the weights, and is no more than a factor of the penalty.
    units = {one._scaling.unit for one in together}
    assert len(units) == len(grid)
    assert units.isdisjoint({1.0})
    if optimizer == "adagrad" and learning_rate == "auto":
        assert widths[0] == len(grid)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "auto"])
def test_class_weights_by_which_features_are_scaled(optimizer, monkeypatch):
    X, y, sample_weight = make_codes("classes")
    X = X * [1.0, 100.0, 1e-3, 5.0] + [3.0, 0.0, 0.0, 0.0]
    model = make_model("classes", optimizer=optimizer, eta0=0.05)
    grid = [{"class_weight": own, "alpha": alpha} for own in CLASS_WEIGHTS for alpha in (1e-3, 1e-1)]
    widths = widths_of_passes(monkeypatch)
    assert_same_models(*fitted_models(model, grid, X, y, np.arange(100), sample_weight))
    assert widths[: len(CLASS_WEIGHTS)] == [2] * len(CLASS_WEIGHTS)


def test_class_weights_of_zero_have_passes_of_their_own(monkeypatch):
    X, y, sample_weight = make_codes("classes")
    model = make_model("classes", optimizer="adagrad", standardize=False, alpha=1e-3)
    grid = [{"class_weight": own} for own in (None, {0: 0.0}, "balanced", {0: 0.0, 1: 2.0}, {2: 0.0})]
    widths = widths_of_passes(monkeypatch)
    for early_stopping in (False, True):
        del widths[:]
        model.set_params(early_stopping=early_stopping)
        assert_same_models(*fitted_models(model, grid, X, y, np.arange(100), sample_weight))
        assert widths[:3] == [2, 2, 1]


def test_models_of_other_class_weights_leave_the_pass():
    X, y, sample_weight = make_codes("classes")
    model = make_model("classes", optimizer="adagrad", standardize=False, alpha=1e-3)
    grid = [
        {"class_weight": weights, "max_iter": n_epochs}
        for weights, n_epochs in zip(CLASS_WEIGHTS, (8, 1, 4, 2), strict=True)
    ]
    assert_same_models(*fitted_models(model, grid, X, y, np.arange(100), sample_weight))


@pytest.mark.parametrize(
    "bad", [{5: 2.0}, {0: -1.0}, {0: np.nan}, {0: 0.0, 1: 0.0, 2: 0.0}, {0: "much"}], ids=str
)
def test_bad_class_weights_fail_alone(bad):
    X, y, _ = make_codes("classes")
    grid = {"class_weight": [None, bad, "balanced"], "alpha": [1e-3, 1e-1]}
    model = make_model("classes")
    with pytest.warns(Warning, match="6 fits failed"):
        search = OnePassGridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    failed = np.array([own["class_weight"] is bad for own in search.cv_results_["params"]])
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), failed)
    with pytest.raises((ValueError, TypeError)):
        OnePassGridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)


def test_class_weights_of_labels_fail_alone():
    X, y = make_data("labels")
    grid = [{"class_weight": [None], **ALPHAS}, {"class_weight": ["balanced"], **ALPHAS}]
    with pytest.warns(Warning, match="class_weight is not supported for multilabel"):
        search = OnePassGridSearchCV(make_model("labels"), grid, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert_array_equal(np.isnan(scores), [False] * 3 + [True] * 3)
    plain = OnePassGridSearchCV(make_model("labels"), ALPHAS, cv=3).fit(X, y)
    assert_array_equal(scores[:3], plain.cv_results_["mean_test_score"])


@pytest.mark.parametrize("learning_rate", ["auto", *SCHEDULES])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "gd"])
def test_for_any_schedule_and_penalty(optimizer, penalty, learning_rate):
    X, y = make_data("classes")
    model = make_model(
        "classes", optimizer=optimizer, penalty=penalty, learning_rate=learning_rate, tol=1e-2, max_iter=15
    )
    grid = {"alpha": [1e-5, 1e-2], "eta0": [0.02, 0.5], "l1_ratio": [0.0, 0.4]}
    assert_finds_the_same(model, grid, X, y, refit=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "gd"])
def test_early_stopping_is_for_each_candidate(optimizer, scoring, dtype):
    X, y = make_data("classes")
    model = make_model(
        "classes", optimizer=optimizer, early_stopping=True, scoring=scoring, tol=1e-3, max_iter=40
    )
    grid = {"alpha": [1e-5, 1e-2, 1.0], "n_iter_no_change": [1, 3], "max_iter": [2, 40], "tol": [1e-3, None]}
    ours, theirs = both(model, grid, X.astype(dtype), y, refit=False)
    assert_same_search(ours, theirs, atol=1e-9 if dtype == np.float64 else 0.011)


def test_models_that_are_done_leave_the_pass(monkeypatch):
    widths = []
    from sgdkit.training import trainer as training

    original = training.Trainer.keep
    monkeypatch.setattr(training.Trainer, "keep", lambda own, c: (widths.append(len(c)), original(own, c))[1])
    X, y = make_data("classes")
    grid = [{"max_iter": n} for n in (1, 2, 4, 8, 16)]
    together, alone = fitted_models(
        make_model("classes", optimizer="adagrad", alpha=1e-3), grid, X, y, np.arange(100)
    )
    assert widths == [9, 6, 3]
    assert_same_models(together, alone)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_candidate_that_overflows_fails_alone(optimizer):
    X, y = make_data("number")
    grid = {"eta0": [0.01, 1e200], "alpha": [1e-4, 1e-2]}
    model = make_model("number", optimizer=optimizer)
    with pytest.warns(Warning, match="2 fits failed|6 fits failed|non-finite"):
        search = OnePassGridSearchCV(model, grid, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    failed = np.array([own["eta0"] > 1 for own in search.cv_results_["params"]])
    assert_array_equal(np.isnan(scores), failed)
    with pytest.raises(ValueError, match=re.escape("at the learning rate eta0=1e+200")):
        OnePassGridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)


# ------------------------------------------------------------------------------------ what GridSearchCV would find


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix, pd.DataFrame])
@ALL_KINDS
def test_finds_what_grid_search_finds(kind, container):
    X, y = make_data(kind)
    grid = [{**ALPHAS, "optimizer": ["sgd", "adam"]}, {"penalty": ["l1"], "alpha": [1e-3, 1e-2]}]
    search = assert_finds_the_same(make_model(kind), grid, container(X), y)
    assert search.n_features_in_ == X.shape[1]


def test_feature_names_are_known():
    X, y = make_data("classes")
    X = pd.DataFrame(X, columns=list("wxyz"))
    search = assert_finds_the_same(make_model("classes"), ALPHAS, X, y)
    assert list(search.feature_names_in_) == list("wxyz")
    with pytest.raises(ValueError, match="feature names"):
        search.predict(X[["z", "y", "x", "w"]])


@pytest.mark.parametrize(
    "grid",
    [
        {"loss": ["log_loss", "hinge", "modified_huber"]},
        {"class_weight": [None, "balanced", {"a": 2.0, "b": 1.0, "c": 0.5}], **ALPHAS},
        {"batch_size": [1, 10, "auto"]},
        {"optimizer": [SGD(momentum=0.9), Adam(), GD(nesterov=False)], **ALPHAS},
        {"average": [False, True, 50], **ALPHAS},
        {"multi_class": ["ovr", "multinomial"], **ALPHAS},
        {"random_state": [0, 1], "shuffle": [True, False], "fit_intercept": [True, False]},
        {"epsilon": [0.1, 0.5], "loss": ["huber"]},
        {"power_t": [0.1, 0.5], "learning_rate": ["invscaling"], "eta0": [0.1, 0.3]},
    ],
    ids=lambda grid: "-".join(grid),
)
def test_any_grid(grid):
    assert_finds_the_same(make_model("classes"), grid, *make_data("classes"))


def test_parameters_of_an_optimizer():
    model = make_model("classes", optimizer=Adam())
    assert_finds_the_same(model, {"optimizer__beta_2": [0.9, 0.99], **ALPHAS}, *make_data("classes"))


@pytest.mark.parametrize("refit", [False, "accuracy", lambda results: 2])
def test_several_scores(refit):
    scoring = {"accuracy": "accuracy", "loss": "neg_log_loss", "f1": "f1_macro"}
    options = {"scoring": scoring, "refit": refit}
    assert_finds_the_same(make_model("classes"), ALPHAS, *make_data("classes"), **options)


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss", "average_precision", get_scorer("f1")])
def test_scores_that_ask_for_probabilities(scoring):
    assert_finds_the_same(make_model("two classes"), ALPHAS, *make_data("two classes"), scoring=scoring)


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize(
    "convert",
    [lambda y: y[:, np.newaxis], lambda y: pd.DataFrame({"y": y}), list, lambda y: pd.Series(y.astype(str))],
    ids=["column", "frame", "list", "strings"],
)
def test_the_default_score_is_the_accuracy_for_targets_of_any_form(convert):
    X, y = make_data("classes")
    y = convert(y)
    model = SGDClassifierPlus(max_iter=5, tol=None, random_state=0)
    searches = [cls(model, ALPHAS, cv=3).fit(X, y) for cls in (OnePassGridSearchCV, GridSearchCV)]
    assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_a_function_as_score():
    def score(model, X, y):
        assert model.n_features_in_ == X.shape[1]
        return {"right": (model.predict(X) == y).mean(), "size": np.abs(model.coef_).sum()}

    options = {"scoring": score, "refit": "right"}
    assert_finds_the_same(make_model("classes"), ALPHAS, *make_data("classes"), **options)


@pytest.mark.parametrize("kind", ["two classes", "classes", "number"])
def test_sample_weight(kind):
    X, y = make_data(kind)
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    model = make_model(kind)
    assert_finds_the_same(model, ALPHAS, X, y, fit_params={"sample_weight": weights})
    with config_context(enable_metadata_routing=True):
        routed = model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        assert_finds_the_same(routed, ALPHAS, X, y, fit_params={"sample_weight": weights})


@pytest.mark.parametrize(
    "cv", [2, ShuffleSplit(3, random_state=0), StratifiedKFold(4, shuffle=True, random_state=0), None]
)
def test_any_cv(cv):
    assert_finds_the_same(make_model("classes"), ALPHAS, *make_data("classes"), cv=cv)


def test_folds_as_arrays_and_groups():
    X, y = make_data("classes")
    folds = [(np.arange(0, 90), np.arange(90, 150)), (np.arange(149, 60, -1), np.arange(60))]
    assert_finds_the_same(make_model("classes"), ALPHAS, X, y, cv=folds)
    groups = np.arange(len(X)) % 7
    assert_finds_the_same(
        make_model("classes"), ALPHAS, X, y, cv=GroupKFold(3), fit_params={"groups": groups}
    )


def test_a_fold_without_one_of_the_classes():
    X, y = make_data("classes")
    order = np.argsort(y, kind="stable")
    folds = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    assert_finds_the_same(make_model("classes"), ALPHAS, X[order], y[order], cv=folds)


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_the_result_does_not_depend_on_n_jobs_nor_on_memory(n_jobs):
    X, y = make_data("classes")
    grid = {"alpha": np.geomspace(1e-6, 1, 7), "optimizer": ["sgd", "adagrad"]}
    one = OnePassGridSearchCV(make_model("classes"), grid, cv=4).fit(X, y)
    for options in ({"n_jobs": n_jobs}, {"n_jobs": n_jobs, "working_memory": 1e-3}):
        other = OnePassGridSearchCV(make_model("classes"), grid, cv=4, **options).fit(X, y)
        assert_same_search(other, one, atol=0)
        assert_array_equal(other.best_estimator_.coef_, one.best_estimator_.coef_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_is_left_alone_and_dtypes_are_kept(dtype):
    X, y = make_data("classes")
    X = sparse.csr_array(X.astype(dtype))
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    search = OnePassGridSearchCV(make_model("classes"), ALPHAS, cv=3).fit(X, y)
    assert search.best_estimator_.coef_.dtype == dtype


def test_randomised_search():
    X, y = make_data("two classes")
    options = {"n_iter": 5, "cv": 3, "random_state": 3, "return_train_score": True}
    distributions = {"alpha": loguniform(1e-6, 1), "optimizer": ["sgd", "adagrad"]}
    ours = OnePassRandomizedSearchCV(make_model("two classes"), distributions, **options).fit(X, y)
    theirs = RandomizedSearchCV(make_model("two classes"), distributions, **options).fit(X, y)
    assert_same_search(ours, theirs)


# ------------------------------------------------------------------------------------------------------ pipelines


TEXTS = ["red apple pie", "green apple", "blue sky", "grey sky rain", "apple tart", "sky at night"] * 10
TOPICS = np.array(["food", "food", "sky", "sky", "food", "sky"] * 10)


def text_pipeline():
    return Pipeline([("tfidf", TfidfVectorizer()), ("sgd", make_model("two classes"))])


def test_around_a_pipeline():
    grid = {
        "sgd__alpha": [1e-5, 1e-2],
        "tfidf__ngram_range": [(1, 1), (1, 2)],
        "sgd__optimizer": ["sgd", "adagrad"],
    }
    search = assert_finds_the_same(text_pipeline(), grid, TEXTS, TOPICS)
    assert search.best_estimator_.named_steps["tfidf"].vocabulary_


def test_transformers_are_fitted_once_a_fold(monkeypatch):
    n_fits = []
    original = TfidfVectorizer.fit_transform
    monkeypatch.setattr(
        TfidfVectorizer, "fit_transform", lambda *args: (n_fits.append(1), original(*args))[1]
    )
    grid = {"sgd__alpha": [1e-5, 1e-4, 1e-2], "tfidf__ngram_range": [(1, 1), (1, 2)]}
    OnePassGridSearchCV(text_pipeline(), grid, cv=3, refit=False).fit(TEXTS, TOPICS)
    assert len(n_fits) == 2 * 3


def test_around_a_pipeline_with_weights_and_a_function_as_score():
    def score(model, texts, y):
        assert isinstance(texts[0], str)
        return (model.predict(texts) == y).mean()

    weights = np.random.default_rng(0).uniform(0.5, 2, len(TEXTS))
    grid = {"sgd__alpha": [1e-5, 1e-2], "sgd__eta0": ["auto", 0.1]}
    for scoring in (score, "accuracy", None):
        options = {"scoring": scoring, "fit_params": {"sgd__sample_weight": weights}}
        assert_finds_the_same(text_pipeline(), grid, TEXTS, TOPICS, **options)


def test_steps_of_a_pipeline_can_be_replaced():
    X, y = make_data("classes")
    pipeline = Pipeline([("scale", StandardScaler()), ("sgd", make_model("classes"))])
    grid = [{"scale": ["passthrough", StandardScaler()], "sgd__alpha": [1e-4, 1e-2]}]
    assert_finds_the_same(pipeline, grid, X, y)
    grid = [{"sgd": [make_model("classes"), make_model("classes", loss="hinge")], "sgd__alpha": [1e-4, 1e-2]}]
    assert_finds_the_same(pipeline, grid, X, y)


def test_as_the_last_step_of_a_pipeline_and_within_cross_validation():
    X, y = make_data("classes")
    ours = make_pipeline(StandardScaler(), OnePassGridSearchCV(make_model("classes"), ALPHAS, cv=3))
    theirs = make_pipeline(StandardScaler(), GridSearchCV(make_model("classes"), ALPHAS, cv=3))
    assert_allclose(cross_val_score(ours, X, y, cv=3), cross_val_score(theirs, X, y, cv=3))
    assert_array_equal(ours.fit(X, y).predict(X), theirs.fit(X, y).predict(X))
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X))


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]
)
def test_another_estimator(estimator):
    with pytest.raises(ValueError, match="GridSearchCV"):
        OnePassGridSearchCV(estimator, {"C": [1]}).fit(*make_data("classes"))


def test_a_parameter_that_does_not_exist():
    with pytest.raises(ValueError, match="Invalid parameter 'beta'"):
        OnePassGridSearchCV(make_model("classes"), {"beta": [1]}).fit(*make_data("classes"))


@pytest.mark.parametrize("grid", [{"alpha": []}, []])
def test_an_empty_grid(grid):
    with pytest.raises(ValueError, match=r"non-empty|No fits were performed"):
        OnePassGridSearchCV(make_model("classes"), grid).fit(*make_data("classes"))


def test_a_value_out_of_range_fails_alone():
    with pytest.warns(Warning, match="3 fits failed"):
        search = OnePassGridSearchCV(make_model("classes"), {"alpha": [-1.0, 1e-3]}, cv=3).fit(
            *make_data("classes")
        )
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [True, False])
    with pytest.raises(ValueError, match="All the 3 fits failed"):
        OnePassGridSearchCV(make_model("classes"), {"alpha": [-1.0]}, cv=3).fit(*make_data("classes"))


def fail(y, predicted):
    raise RuntimeError("no score today")


def test_a_score_that_fails():
    model, (X, y) = make_model("classes"), make_data("classes")
    with pytest.warns(UserWarning, match="no score today"):
        search = OnePassGridSearchCV(model, ALPHAS, cv=3, scoring=make_scorer(fail), error_score=-1.0).fit(
            X, y
        )
    assert_array_equal(search.cv_results_["mean_test_score"], -1)
    with pytest.raises(RuntimeError, match="no score today"):
        OnePassGridSearchCV(model, ALPHAS, cv=3, scoring=make_scorer(fail), error_score="raise").fit(X, y)


def test_parameters_of_fit_that_it_does_not_take():
    X, y = make_data("classes")
    with pytest.raises(TypeError, match="coef_init"):
        OnePassGridSearchCV(make_model("classes"), ALPHAS).fit(X, y, coef_init=np.zeros((3, 4)))


def test_bad_parameters_of_the_search():
    with pytest.raises(ValueError, match="working_memory"):
        OnePassGridSearchCV(make_model("classes"), ALPHAS, working_memory=0).fit(*make_data("classes"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_rows(bad):
    X, y = make_data("classes")
    X[0, 0] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        OnePassGridSearchCV(make_model("classes"), ALPHAS).fit(X, y)


def test_verbose_tells_of_every_epoch(capsys):
    model = make_model("classes", early_stopping=True, max_iter=3)
    OnePassGridSearchCV(model, ALPHAS, cv=2, verbose=1, refit=False).fit(*make_data("classes"))
    printed = capsys.readouterr().out
    assert "Fitting 2 folds for each of 3 candidates, totalling 6 fits" in printed
    lines = re.findall(
        r"Fold (\d) of 2, epoch (\d): (\d) of 3 candidates go on, best validation score -\d", printed
    )
    assert [line[:2] for line in lines] == [(str(fold), str(epoch)) for fold in (1, 2) for epoch in (1, 2, 3)]


@pytest.mark.parametrize(
    ("load", "cls"), [(load_breast_cancer, SGDClassifierPlus), (load_diabetes, SGDRegressorPlus)]
)
def test_real_data_untouched(load, cls):
    """All at its default, but for the seed."""
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    assert_finds_the_same(
        cls(random_state=0, max_iter=50), {"alpha": np.geomspace(1e-6, 1, 7)}, X, y, cv=None
    )


# ------------------------------------------------------------------------------------------ what a review has found


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": "sgd", "penalty": "elasticnet"},
        {"optimizer": "sgd", "average": True},
        {"optimizer": "adagrad", "learning_rate": "optimal"},
    ],
    ids=str,
)
def test_rates_of_our_own_choice_where_columns_share_a_clock(params):
    X, y = make_data("classes")
    grid = {"alpha": [1e-4, 0.1], "l1_ratio": [0.05, 0.5, 0.95]}
    assert_finds_the_same(make_model("classes", eta0="auto", **params), grid, X, y)


class Doubler(StandardScaler):
    """It asks for weights."""

    def fit(self, X, y=None, sample_weight=None):
        assert sample_weight is not None
        return super().fit(X, y, sample_weight)


def test_routed_weights_reach_the_steps_of_a_pipeline():
    X, y = make_data("classes")
    weights = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        for scaler in (
            StandardScaler().set_fit_request(sample_weight=False),
            Doubler().set_fit_request(sample_weight=True),
        ):
            model = (
                make_model("classes")
                .set_fit_request(sample_weight=True)
                .set_score_request(sample_weight=False)
            )
            for steps in ([("scale", scaler), ("sgd", model)], [("sgd", model)]):
                scoring = make_scorer(accuracy_score).set_score_request(sample_weight=False)
                options = {"fit_params": {"sample_weight": weights}, "scoring": scoring}
                search = assert_finds_the_same(Pipeline(steps), {"sgd__alpha": [1e-4, 1e-2]}, X, y, **options)
                unweighted = OnePassGridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=3).fit(X, y)
                assert not np.array_equal(search.best_estimator_[-1].coef_, unweighted.best_estimator_.coef_)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_weights_of_no_step(n_steps):
    X, y = make_data("classes")
    pipeline = Pipeline([("scale", StandardScaler()), ("sgd", make_model("classes"))][-n_steps:])
    with pytest.raises((TypeError, ValueError), match="sample_weight"):
        OnePassGridSearchCV(pipeline, {"sgd__alpha": [1e-3]}, refit=False, error_score="raise").fit(
            X, y, sample_weight=np.ones(len(X))
        )


@pytest.mark.parametrize("kind", ["mask", "from the end", "range", "tuple"])
def test_folds_in_other_forms(kind):
    X, y = make_data("classes")
    forms = {
        "mask": lambda rows: np.isin(np.arange(len(X)), rows),
        "from the end": lambda rows: rows - len(X),
        "range": lambda rows: range(rows[0], rows[-1] + 1),
        "tuple": lambda rows: tuple(rows.tolist()),
    }
    plain = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    folds = [tuple(forms[kind](rows) for rows in split) for split in plain]
    for model in (
        make_model("classes"),
        Pipeline([("scale", StandardScaler()), ("sgd", make_model("classes"))]),
    ):
        grid = {"sgd__alpha" if isinstance(model, Pipeline) else "alpha": [1e-4, 1e-2]}
        ours = OnePassGridSearchCV(model, grid, cv=folds, refit=False).fit(X, y)
        theirs = OnePassGridSearchCV(model, grid, cv=plain, refit=False).fit(X, y)
        assert_same_search(ours, theirs, atol=0)


def test_losses_that_ask_more_of_targets_than_others():
    X, y = make_data("number")
    assert y.min() < 0
    with pytest.warns(Warning, match="3 fits failed"):
        search = OnePassGridSearchCV(make_model("number"), {"loss": ["squared_error", "poisson"]}, cv=3).fit(
            X, y
        )
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert_finds_the_same(make_model("number", loss="gamma"), {"loss": ["squared_error", "huber"]}, X, y)


def test_configuration_reaches_the_threads():
    X, y = make_data("classes")
    X = pd.DataFrame(X, columns=list("abcd"))
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("choose", ColumnTransformer([("some", "passthrough", ["a", "b"])])),
            ("sgd", make_model("classes")),
        ]
    )
    with config_context(transform_output="pandas"):
        assert_finds_the_same(pipeline, {"sgd__alpha": [1e-4, 1e-2]}, X, y, n_jobs=2, error_score="raise")


def test_a_candidate_that_overflows_leaves_the_others_their_scores():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 30))
    y = X @ rng.standard_normal(30)
    settings = {"learning_rate": "constant", "early_stopping": True, "scoring": "r2", "max_iter": 20}
    model = make_model("number", optimizer="sgd", **settings)
    with pytest.warns(Warning, match="3 fits failed"):
        search = OnePassGridSearchCV(model, {"eta0": [1e-3, 100.0]}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] > 0.9
    assert np.isnan(scores[1])


def test_parameters_that_cannot_be_pickled():
    X, y = make_data("classes")
    pipeline = Pipeline([("own", None), ("sgd", make_model("classes"))])
    grid = {
        "own": [FunctionTransformer(lambda X: X), FunctionTransformer(lambda X: -X)],
        "sgd__alpha": [1e-4, 1e-2],
    }
    options = {"cv": 3, "refit": False}
    ours, theirs = (cls(pipeline, grid, **options).fit(X, y) for cls in (OnePassGridSearchCV, GridSearchCV))
    assert_same_search(ours, theirs)


def test_train_scores_are_those_of_transformed_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"where": rng.integers(0, 40, 200).astype(str)})
    y = rng.integers(0, 2, 200)
    pipeline = Pipeline([("encode", TargetEncoder(random_state=0)), ("sgd", make_model("two classes"))])
    assert_finds_the_same(pipeline, {"sgd__alpha": [1e-4, 1e-2]}, X, y)


def test_several_functions_as_scores_of_a_pipeline():
    scoring = {"steps": lambda model, X, y: len(model.steps), "right": "accuracy"}
    options = {"scoring": scoring, "refit": "right"}
    assert_finds_the_same(text_pipeline(), {"sgd__alpha": [1e-5, 1e-2]}, TEXTS, TOPICS, **options)


def test_test_rows_that_cannot_be_transformed():
    X, y = make_data("classes")
    X = pd.DataFrame({"kind": ["rare"] + ["a", "b"] * 74 + ["a"]})
    pipeline = Pipeline([("encode", OneHotEncoder()), ("sgd", make_model("classes"))])
    with pytest.warns(UserWarning, match="Scoring failed"):
        search = OnePassGridSearchCV(pipeline, {"sgd__alpha": [1e-4, 1e-2]}, cv=KFold(3)).fit(X, y)
    assert np.isnan(search.cv_results_["split0_test_score"]).all()
    assert np.isfinite(search.cv_results_["split1_test_score"]).all()


def test_folds_that_do_not_converge_warn():
    X, y = make_data("classes")
    model = make_model("classes", max_iter=1, tol=1e-3)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations"):
        OnePassGridSearchCV(model, ALPHAS, cv=3, refit=False).fit(X, y)


def test_threads_leave_the_filters_of_warnings_alone():
    before = list(warnings.filters)
    X, y = make_data("classes")
    model = make_model("classes", early_stopping=True, scoring="accuracy")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        OnePassGridSearchCV(model, {"loss": ["log_loss", "hinge"]}, cv=8, n_jobs=4, refit=False).fit(X, y)
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == before
