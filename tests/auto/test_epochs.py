"""`max_iter="auto"`: which fits have a plan, how many epochs it has, and that they are enough."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics import log_loss, r2_score

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto.epochs import FEWEST_EPOCHS, FEWEST_STEPS, MOST_EPOCHS, STEPS, epochs_of
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS, SGD, AdaGrad
from tests.internals import trainer_of
from tests.problems import FULL_BATCH, STOCHASTIC

N_ROWS, N_FEATURES, N_CLASSES = 6000, 400, 4


def make_texts(seed=0):
    """Rows of Zipf-distributed features with scores for classes, as sparse rows, and the scores."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(2, N_FEATURES + 2)
    X = sparse.csr_array(
        rng.random((N_ROWS, N_FEATURES)) < np.minimum(20 * shares / shares.sum(), 0.6), dtype=float
    )
    return X, X @ rng.standard_normal((N_FEATURES, N_CLASSES)) + rng.gumbel(size=(N_ROWS, N_CLASSES))


X, SCORES = make_texts()
TARGETS = {
    "two classes": SCORES[:, 0] > np.median(SCORES[:, 0]),
    "classes": SCORES.argmax(axis=1),
    "labels": (SCORES.mean(axis=0) < SCORES).astype(int),
    "number": SCORES[:, 0],
    "numbers": SCORES[:, :2],
}


def make_model(kind, **options):
    cls = SGDRegressorPlus if kind.startswith("number") else SGDClassifierPlus
    return cls(random_state=0, **options)


def planned(optimizer, n_steps=N_ROWS):
    return epochs_of(n_steps, optimizer)


@pytest.mark.parametrize("kind", TARGETS)
def test_a_fit_with_nothing_set_is_planned(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = make_model(kind).fit(X, TARGETS[kind])
    assert model.optimizer_ == (SGD() if kind in ("classes", "labels") else AdaGrad())
    assert model.n_iter_ == model.best_iter_ == len(model.loss_curve_) == planned(model.optimizer_)
    n_steps = model.n_iter_ * N_ROWS
    assert_allclose(trainer_of(model).rates(n_steps).max(), model.eta0_ / n_steps)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_each_optimizer_has_a_plan(name):
    model = make_model("two classes", optimizer=name).fit(X, TARGETS["two classes"])
    assert model.n_iter_ == planned(OPTIMIZERS[name]())


def test_the_number_of_epochs_is_that_of_enough_steps():
    assert [epochs_of(n, SGD()) for n in (STEPS // 2, STEPS // 6, STEPS // 100)] == [FEWEST_EPOCHS, 6, 10]
    assert [epochs_of(n, AdaGrad()) for n in (10**9, STEPS // 6, 100)] == [FEWEST_EPOCHS] * 2 + [
        FEWEST_STEPS // 100
    ]
    assert FEWEST_EPOCHS < epochs_of(STEPS // 7, SGD()) <= MOST_EPOCHS


@pytest.mark.parametrize(("options", "n_epochs"), [
    ({"max_iter": 2}, 2),
    ({"max_iter": 1000}, planned(AdaGrad())),
    ({"max_iter": 7, "tol": None}, 7),
    ({"tol": None}, planned(AdaGrad())),
    ({"learning_rate": "linear"}, planned(AdaGrad())),
    ({"learning_rate": "linear", "max_iter": 9}, 9),
    ({"learning_rate": "linear", "eta0": 0.5}, planned(AdaGrad())),
    ({"batch_size": 4}, planned(AdaGrad(), N_ROWS // 4)),
])  # fmt: skip
def test_what_a_user_gives_has_its_meaning(options, n_epochs):
    model = make_model("two classes", optimizer="adagrad", **options).fit(X, TARGETS["two classes"])
    assert model.n_iter_ == n_epochs
    n_steps = model.t_ - 1
    assert_allclose(trainer_of(model).rates(n_steps), model.eta0_ / n_steps)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("options", [
    {"tol": 1e-3},
    {"early_stopping": True},
    {"eta0": 0.5},
    {"average": True},
    {"learning_rate": "constant"},
    {"batch_size": N_ROWS // 10},
])  # fmt: skip
def test_what_has_no_plan_trains_until_there_is_no_progress(options):
    model = make_model("two classes", optimizer="adagrad", **options).fit(X, TARGETS["two classes"])
    assert model.n_iter_ > planned(AdaGrad())
    assert_allclose(trainer_of(model).rates(model.t_), model.eta0_)


def test_a_chunk_has_no_end():
    model = make_model("two classes").partial_fit(X, TARGETS["two classes"], classes=[False, True])
    assert_allclose(trainer_of(model).rates(10**9), model.eta0_)


@pytest.mark.parametrize("options", [
    {"optimizer": name} for name in FULL_BATCH] + [
    {"tol": 1e-3}, {"early_stopping": True}, {"average": True}, {"batch_size": N_ROWS},
])  # fmt: skip
def test_a_straight_line_that_cannot_be_planned_is_an_error(options):
    model = make_model("two classes", **{"optimizer": "adagrad", **options, "learning_rate": "linear"})
    with pytest.raises(ValueError, match="Pass a number for max_iter, or another learning_rate"):
        model.fit(X, TARGETS["two classes"])
    model.set_params(max_iter=3).fit(X, TARGETS["two classes"])
    assert model.n_iter_ <= 3


@pytest.mark.parametrize("value", ["many", 0, -1, 2.5, None])
def test_max_iter_of_a_wrong_type(value):
    with pytest.raises(ValueError, match="The 'max_iter' parameter of SGDClassifierPlus must be"):
        make_model("classes", max_iter=value).fit(X, TARGETS["classes"])


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("kind", ["two classes", "classes", "number"])
def test_the_planned_epochs_are_as_good_as_the_optimum(kind, name):
    """On rows held out: what is left to the minimiser is no more than a tenth of what was learnt."""
    train, test, y = slice(0, 4000), slice(4000, None), TARGETS[kind]
    few, best = (make_model(kind, optimizer=name), make_model(kind, optimizer="gd", tol=1e-7, alpha=1 / 4000))
    losses = []
    for model in (few, best):
        model.fit(X[train], y[train])
        if kind == "number":
            losses.append([1 - r2_score(y[test], model.predict(X[test])), 1.0])
        else:
            most = log_loss(y[test], np.full((2000, len(model.classes_)), 1 / len(model.classes_)))
            losses.append([log_loss(y[test], model.predict_proba(X[test])), most])
    (loss, nothing), (least, _) = losses
    assert loss - least < 0.1 * (nothing - least)


@pytest.mark.parametrize("kind", ["two classes", "classes"])
def test_going_on_in_chunks_keeps_what_was_learnt(kind):
    model = make_model(kind).fit(X[:4000], TARGETS[kind][:4000])
    optimizer, score = model.optimizer_, model.score(X[4000:], TARGETS[kind][4000:])
    for begin in range(0, 4000, 200):
        part = slice(begin, begin + 200)
        model.partial_fit(X[part], TARGETS[kind][part])
    assert model.optimizer_ == optimizer
    assert model.score(X[4000:], TARGETS[kind][4000:]) > score - 0.02


def test_a_warm_start_plans_anew():
    model = make_model("classes", warm_start=True).fit(X, TARGETS["classes"])
    n_steps, n_epochs = model.t_ - 1, model.n_iter_
    model.fit(X, TARGETS["classes"])
    assert (model.n_iter_, model.t_ - 1) == (n_epochs, 2 * n_steps)
    assert_allclose(trainer_of(model).rates(2 * n_steps), model.eta0_ / n_steps)


@pytest.mark.parametrize("kind", ["two classes", "classes", "number"])
def test_candidates_have_plans_of_their_own(kind):
    grid = [{"max_iter": [2, 3, "auto"]}, {"tol": [None, 0.1]}, {"alpha": [1e-4, 1e-3]}]
    y = TARGETS[kind]
    search = OnePassGridSearchCV(
        make_model(kind), grid, cv=[(np.arange(4000), np.arange(4000, N_ROWS))], refit=False
    )
    search.fit(X, y)
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        alone = make_model(kind, **params).fit(X[:4000], y[:4000])
        assert_allclose(alone.score(X[4000:], y[4000:]), score, rtol=1e-12)


def test_a_candidate_that_cannot_be_planned_fails_alone():
    model = make_model("two classes", optimizer="adagrad", learning_rate="linear", tol=0.1)
    folds = [(np.arange(4000), np.arange(4000, N_ROWS))]
    search = OnePassGridSearchCV(model, {"max_iter": ["auto", 3]}, cv=folds, refit=False)
    with pytest.warns(FitFailedWarning, match="Pass a number for max_iter"):
        search.fit(X, TARGETS["two classes"])
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [True, False])


def test_candidates_have_optimizers_of_their_own():
    """Of weights so uneven that "auto" takes another one, in as many epochs."""
    y = np.resize([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], N_ROWS)
    weights = [None, {0: 1.0, 1: 50.0, 2: 1.0}]
    model, fold = make_model("classes", max_iter=3), (np.arange(4000), np.arange(4000, N_ROWS))
    search = OnePassGridSearchCV(
        model, {"class_weight": weights}, cv=[fold], refit=False, scoring="neg_log_loss"
    )
    search.fit(X, y)
    alone = [make_model("classes", max_iter=3, class_weight=w).fit(X[:4000], y[:4000]) for w in weights]
    assert [type(fitted.optimizer_) for fitted in alone] == [SGD, AdaGrad]
    expected = [-log_loss(y[4000:], fitted.predict_proba(X[4000:])) for fitted in alone]
    assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_where_the_end_is_known_the_rate_falls_to_it_with_few_rows_too(optimizer):
    # An l1 norm this strong, which adds no curvature, leaves one of three features that are nearly the same.
    X = np.repeat(np.eye(2), 4, axis=0)[:, [0, 0, 0, 1, 1, 1]] * [1, 0.95, 0.9, 0.9, 0.95, 1]
    y = np.repeat([0, 1], 4)
    options = {"loss": "hinge", "penalty": "l1", "alpha": 0.2, "fit_intercept": False, "standardize": False}
    model = SGDClassifierPlus(optimizer=optimizer, max_iter=2000, tol=None, random_state=0, **options).fit(
        X, y
    )
    losses = np.maximum(0, 1 - (2 * y - 1) * model.decision_function(X))
    # A weight of 1 for the first of each three takes the loss away.
    assert losses.mean() + 0.2 * np.abs(model.coef_).sum() < 0.4 * 1.001
