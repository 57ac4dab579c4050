"""Candidates that share their passes: each is the model that the estimator alone would fit to the rows of the fold."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import FitFailedWarning

from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from tests.internals import scaling_of
from tests.model_selection.searches import (
    ALL_KINDS,
    ALPHAS,
    KINDS,
    assert_finds_the_same,
    assert_same_models,
    assert_same_search,
    both,
    found_and_alone,
    make_data,
    make_model,
    widths_of_passes,
)
from tests.pairs import all_pairs
from tests.problems import ADAPTIVE, FULL_BATCH, LOG_LINK, STOCHASTIC, first_of_each_kind, inside

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALL_SORTS = pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))


def width_of(grid, optimizer):
    """Full gradients train one model after the other."""
    return 1 if optimizer in FULL_BATCH else len(grid)


@all_pairs
@pytest.mark.parametrize("eta0", [0.1, "auto"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@ALL_KINDS
def test_a_column_is_the_model_of_the_estimator_alone(kind, optimizer, batch_size, eta0, capsys):
    X, y = make_data(kind)
    model = make_model(kind, optimizer=optimizer, batch_size=batch_size, eta0=eta0)
    grid = [{"alpha": alpha} for alpha in (0.0, 1e-4, 1e-2, 1.0)]
    # Unsorted, as those of ShuffleSplit.
    train = np.random.default_rng(1).permutation(len(X))[:100]
    assert_same_models(*found_and_alone(model, grid, sparse.csr_array(X), y, train))
    assert widths_of_passes(capsys)[0] == width_of(grid, optimizer)


# -------------------------------------------------------------------------------------- the loss's own number


OWN_NUMBERS = [
    (kind, name)
    for kinds, losses in ((KINDS[:3], CLASSIFIER_LOSSES), (KINDS[3:], REGRESSOR_LOSSES))
    for kind in kinds
    for name, loss in losses.items()
    if loss.parameter_name
]


@all_pairs
@pytest.mark.parametrize("alpha", [1e-3, "auto"])
@pytest.mark.parametrize("eta0", [0.05, "auto"])
@ALL_SORTS
@pytest.mark.parametrize(("kind", "loss"), OWN_NUMBERS)
def test_a_column_has_its_own_number_of_the_loss(kind, loss, optimizer, eta0, alpha):
    X, y = make_data(kind)
    y = np.abs(y) if loss in LOG_LINK else y
    # One epoch of ninety steps: where a loss has a kink, differences of the last bit grow.
    model = make_model(kind, loss=loss, optimizer=optimizer, eta0=eta0, alpha=alpha, max_iter=1)
    name = {**CLASSIFIER_LOSSES, **REGRESSOR_LOSSES}[loss].parameter_name
    numbers = [inside(model, name, share) for share in (0.1, 0.4, 0.7)]
    grid = [{name: number, "alpha": strength} for number in numbers for strength in (alpha, 3e-2)]
    found, alone = found_and_alone(model, grid, X, y, np.arange(10, 100))
    assert_same_models(found, alone)
    assert len({fitted.loss_curve_[-1] for fitted in found}) == len(grid)


def test_targets_may_be_valid_for_some_values_of_the_parameter_of_a_loss():
    X, y = make_data("number")
    model, grid = make_model("number", loss="tweedie"), {"power": [1.2, 2.0, 1.8]}
    assert_finds_the_same(model, grid, X, np.abs(y) + 1)
    y = np.maximum(y, 0)
    with pytest.warns(FitFailedWarning, match="> 0"):
        search = OnePassGridSearchCV(model, grid, cv=3).fit(X, y)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True, False])


@pytest.mark.parametrize("scoring", ["loss", "r2"])
def test_a_validation_loss_is_that_of_the_own_number(scoring, capsys):
    X, y = make_data("number")
    model = make_model(
        "number", loss="huber", early_stopping=True, scoring=scoring, max_iter=30, tol=1e-3, optimizer="sgd"
    )
    grid = [{"epsilon": epsilon, "alpha": alpha} for epsilon in (0.05, 0.5) for alpha in (1e-3, 1e-1)]
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(100)))
    assert widths_of_passes(capsys) == [4]


# ----------------------------------------------------------------------------------------- weights of classes


CLASS_WEIGHTS = [None, "balanced", {1: 3.0}, {0: 0.2, 1: 5.0}]


def make_codes(kind):
    """Data of 2 or 3 classes that are not equally frequent, and weights, some of them 0."""
    X, y = make_data(kind)
    y = np.unique(y, return_inverse=True)[1]
    rare = np.flatnonzero(y == 1)[::2]
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    return X, y, np.random.default_rng(2).integers(0, 4, len(y)) / 2


@all_pairs
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("eta0", [0.05, "auto"])
@pytest.mark.parametrize("batch_size", [1, "auto"])
@ALL_SORTS
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
    kind, loss, multi_class, optimizer, batch_size, eta0, weighted, capsys
):
    X, y, sample_weight = make_codes(kind)
    settings = {"loss": loss, "multi_class": multi_class, "optimizer": optimizer, "batch_size": batch_size}
    # Fewer than a hundred steps: where a loss has a kink, differences of the last bit grow.
    settings["max_iter"] = 1 if batch_size == 1 else 5
    model = make_model(kind, eta0=eta0, standardize=False, **settings)
    epsilons = (0.1, 0.3) if loss == "huber" else (0.1, 0.1)
    grid = [
        {"class_weight": weights, "alpha": alpha, "epsilon": epsilon}
        for weights in CLASS_WEIGHTS
        for alpha, epsilon in zip(("auto", 3e-2), epsilons, strict=True)
    ]
    # Unsorted, as those of ShuffleSplit.
    train = np.random.default_rng(1).permutation(len(X))[:80]
    rows = sparse.csr_array(X), y, train, sample_weight if weighted else None
    found, alone = found_and_alone(model, grid, *rows)
    assert widths_of_passes(capsys)[0] == width_of(grid, optimizer)
    assert_same_models(found, alone)
    assert len({fitted.loss_curve_[-1] for fitted in found}) >= len(CLASS_WEIGHTS)


@all_pairs
@pytest.mark.parametrize("scoring", ["loss", "f1_macro"])
@ALL_SORTS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["two classes", "classes"])
def test_validation_scores_are_those_of_the_own_class_weights(kind, weighted, optimizer, scoring):
    X, y, sample_weight = make_codes(kind)
    settings = {"early_stopping": True, "scoring": scoring, "tol": 1e-3, "max_iter": 30, "batch_size": 3}
    model = make_model(kind, optimizer=optimizer, standardize=False, **settings)
    grid = [{"class_weight": weights, "alpha": alpha} for weights in CLASS_WEIGHTS for alpha in (1e-3, 1e-1)]
    weights = sample_weight if weighted else None
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(5, 110), weights))


def make_texts(n_rows=200, n_features=120):
    """Rows as TF-IDF gives them, of three classes, and weights."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((n_rows, n_features), density=0.08, rng=rng, format="csr")
    X.data = 0.2 + 0.1 * rng.random(len(X.data))
    y = np.argmax(X @ rng.standard_normal((n_features, 3)) + [0.3, 0, -0.3], axis=1)
    return X, y, rng.uniform(0.5, 2, n_rows)


@all_pairs
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("learning_rate", ["auto", "optimal"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", first_of_each_kind(STOCHASTIC))
def test_class_weights_share_rows_that_are_not_scaled(optimizer, penalty, learning_rate, weighted, capsys):
    X, y, sample_weight = make_texts()
    settings = {"penalty": penalty, "learning_rate": learning_rate, "eta0": "auto", "alpha": "auto"}
    model = make_model("classes", optimizer=optimizer, early_stopping=True, **settings)
    grid = [{"class_weight": weights} for weights in CLASS_WEIGHTS]
    found, alone = found_and_alone(model, grid, X, y, np.arange(180), sample_weight if weighted else None)
    assert_same_models(found, alone)
    # The common scale depends on the weights, and is no more than a factor of the penalty.
    units = {scaling_of(fitted).unit for fitted in alone}
    assert len(units) == len(grid)
    assert units.isdisjoint({1.0})
    if optimizer in ADAPTIVE and learning_rate == "auto":
        assert widths_of_passes(capsys)[0] == len(grid)


@pytest.mark.parametrize("optimizer", ["auto", *first_of_each_kind(STOCHASTIC)])
def test_class_weights_by_which_features_are_scaled(optimizer, capsys):
    X, y, sample_weight = make_codes("classes")
    X = X * [1.0, 100.0, 1e-3, 5.0] + [3.0, 0.0, 0.0, 0.0]
    model = make_model("classes", optimizer=optimizer, eta0=0.05)
    grid = [{"class_weight": weights, "alpha": alpha} for weights in CLASS_WEIGHTS for alpha in (1e-3, 1e-1)]
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(100), sample_weight))
    assert widths_of_passes(capsys) == [2] * len(CLASS_WEIGHTS)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_class_weights_of_zero_have_passes_of_their_own(early_stopping, capsys):
    X, y, sample_weight = make_codes("classes")
    options = {"standardize": False, "alpha": 1e-3, "early_stopping": early_stopping}
    model = make_model("classes", optimizer="adagrad", **options)
    grid = [{"class_weight": weights} for weights in (None, {0: 0.0}, "balanced", {0: 0.0, 1: 2.0}, {2: 0.0})]
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(100), sample_weight))
    assert widths_of_passes(capsys) == [2, 2, 1]


def test_models_of_other_class_weights_leave_the_pass():
    X, y, sample_weight = make_codes("classes")
    model = make_model("classes", optimizer="adagrad", standardize=False, alpha=1e-3)
    grid = [
        {"class_weight": weights, "max_iter": n_epochs}
        for weights, n_epochs in zip(CLASS_WEIGHTS, (8, 1, 4, 2), strict=True)
    ]
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(100), sample_weight))


@pytest.mark.parametrize(
    "bad", [{5: 2.0}, {0: -1.0}, {0: np.nan}, {0: 0.0, 1: 0.0, 2: 0.0}, {0: "much"}], ids=str
)
def test_bad_class_weights_fail_alone(bad):
    X, y, _ = make_codes("classes")
    grid = {"class_weight": [None, bad, "balanced"], "alpha": [1e-3, 1e-1]}
    model = make_model("classes")
    with pytest.warns(Warning, match="6 fits failed"):
        search = OnePassGridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    failed = np.array([given["class_weight"] is bad for given in search.cv_results_["params"]])
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


# ------------------------------------------------------------------------------------ rates, and when to stop


@all_pairs
@pytest.mark.parametrize("learning_rate", ["auto", *SCHEDULES])
@pytest.mark.parametrize("penalty", PENALTIES)
@ALL_SORTS
def test_for_any_schedule_and_penalty(optimizer, penalty, learning_rate):
    X, y = make_data("classes")
    model = make_model(
        "classes", optimizer=optimizer, penalty=penalty, learning_rate=learning_rate, tol=1e-2, max_iter=15
    )
    grid = {"alpha": [1e-5, 1e-2], "eta0": [0.02, 0.5]}
    if penalty == "elasticnet":
        grid["l1_ratio"] = [0.0, 0.4]
    assert_finds_the_same(model, grid, X, y, refit=False)


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


@all_pairs
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scoring", ["loss", "accuracy"])
@ALL_SORTS
def test_early_stopping_is_for_each_candidate(optimizer, scoring, dtype):
    X, y = make_data("classes")
    model = make_model(
        "classes", optimizer=optimizer, early_stopping=True, scoring=scoring, tol=1e-3, max_iter=20
    )
    alphas = {"alpha": [1e-5, 1.0]}
    grid = [{"n_iter_no_change": [1, 3], **alphas}, {"max_iter": [2, 20], "tol": [None], **alphas}]
    ours, theirs = both(model, grid, X.astype(dtype), y, refit=False)
    assert_same_search(ours, theirs, atol=1e-9 if dtype == np.float64 else 0.011)


def test_models_that_are_done_leave_the_pass(capsys):
    X, y = make_data("classes")
    grid = [{"max_iter": n} for n in (1, 2, 4, 8, 16)]
    model = make_model("classes", optimizer="adagrad", alpha=1e-3)
    assert_same_models(*found_and_alone(model, grid, X, y, np.arange(100)))
    assert widths_of_passes(capsys, first=False) == [5] * 2 + [3] * 2 + [2] * 4 + [1] * 8


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_a_candidate_that_overflows_fails_alone(optimizer):
    X, y = make_data("number")
    grid = {"eta0": [0.01, 1e200], "alpha": [1e-4, 1e-2]}
    model = make_model("number", optimizer=optimizer)
    with pytest.warns(Warning, match="2 fits failed|6 fits failed|non-finite"):
        search = OnePassGridSearchCV(model, grid, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    failed = np.array([given["eta0"] > 1 for given in search.cv_results_["params"]])
    assert_array_equal(np.isnan(scores), failed)
    with pytest.raises(ValueError, match=re.escape("at the learning rate eta0=1e+200")):
        OnePassGridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)


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
