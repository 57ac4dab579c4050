"""Searches by halving: who goes on is the model of the full search, and rungs are where scikit-learn has them."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import HalvingGridSearchCV, KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sgdkit.model_selection import (
    OnePassGridSearchCV,
    OnePassHalvingGridSearchCV,
    OnePassHalvingRandomSearchCV,
)
from sgdkit.optimizers import OPTIMIZERS
from tests.model_selection.searches import ALL_KINDS, assert_same_search, make_data, make_model
from tests.problems import first_of_each_kind

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ALPHAS = {"alpha": np.geomspace(1e-5, 10, 9).tolist()}


def halving(model, grid, X, y, *, fit_params=None, **options):
    search = OnePassHalvingGridSearchCV(model, grid, **{"cv": 3, "error_score": "raise", **options})
    return search.fit(X, y, **(fit_params or {}))


def scores_of_last(search, name="mean_test_score"):
    """Those of the candidates of the last iteration, by their parameters."""
    results = search.cv_results_
    last = results["iter"] == search.n_iterations_ - 1
    return {str(results["params"][k]): results[name][k] for k in np.flatnonzero(last)}


def assert_ends_like_the_full_search(model, grid, X, y, *, fit_params=None, **options):
    """The candidates that are left have the scores of the full search; those before, of models that are not done."""
    found = halving(model, grid, X, y, fit_params=fit_params, **options)
    of_halving = "factor", "min_resources", "aggressive_elimination"
    options = {name: value for name, value in options.items() if name not in of_halving}
    full = OnePassGridSearchCV(model, grid, **{"cv": 3, "error_score": "raise", **options})
    full.fit(X, y, **(fit_params or {}))
    for name in [name for name in full.cv_results_ if name.startswith("split")]:
        whole = dict(zip(map(str, full.cv_results_["params"]), full.cv_results_[name], strict=True))
        for params, score in scores_of_last(found, name).items():
            assert score == pytest.approx(whole[params], abs=1e-9)
    assert found.n_iterations_ > 1
    return found, full


# ----------------------------------------------------------------------------------------- who goes on, and how


@pytest.mark.parametrize("eta0", [0.1, "auto"])
@pytest.mark.parametrize("batch_size", [1, "auto"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@ALL_KINDS
def test_those_that_are_left_are_the_models_of_the_full_search(kind, optimizer, batch_size, eta0):
    X, y = make_data(kind)
    model = make_model(kind, optimizer=optimizer, batch_size=batch_size, eta0=eta0, max_iter=9)
    found, _ = assert_ends_like_the_full_search(model, ALPHAS, X, y, return_train_score=True)
    assert found.n_candidates_ == [9, 3, 1]
    assert found.n_resources_ == [1, 3, 9]


@pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))
def test_scores_at_a_rung_are_those_of_a_training_that_ends_there(optimizer):
    """With a rate that does not depend on the end."""
    X, y = make_data("classes")
    model = make_model("classes", optimizer=optimizer, learning_rate="constant", max_iter=9)
    scoring = {"scoring": "neg_log_loss"}
    found = halving(model, ALPHAS, X, y, **scoring).cv_results_
    for n_epochs in (1, 3):
        shorter = clone(model).set_params(max_iter=n_epochs)
        ends = OnePassGridSearchCV(shorter, ALPHAS, cv=3, **scoring).fit(X, y).cv_results_
        whole = dict(zip(map(str, ends["params"]), ends["mean_test_score"], strict=True))
        at_rung = np.flatnonzero(found["n_resources"] == n_epochs)
        assert_allclose(
            [whole[str(found["params"][k])] for k in at_rung], found["mean_test_score"][at_rung], atol=1e-9
        )


def test_the_best_go_on():
    X, y = make_data("classes")
    found = halving(make_model("classes", max_iter=9), ALPHAS, X, y, scoring="neg_log_loss")
    results = found.cv_results_
    for iteration in range(found.n_iterations_ - 1):
        here = np.flatnonzero(results["iter"] == iteration)
        next_ones = np.flatnonzero(results["iter"] == iteration + 1)
        best = here[np.argsort(-results["mean_test_score"][here], kind="stable")[: len(next_ones)]]
        expected = [results["params"][k] for k in sorted(best)]
        assert [results["params"][k] for k in next_ones] == expected
    last = np.flatnonzero(results["iter"] == results["iter"].max())
    assert found.best_index_ in last
    assert found.best_score_ == results["mean_test_score"][last].max()


@pytest.mark.parametrize("settings", [{"tol": 1e-2, "max_iter": 60}, {"early_stopping": True, "tol": 1e-3}])
@pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))
def test_candidates_that_stop_for_themselves(optimizer, settings):
    X, y = make_data("classes")
    model = make_model("classes", optimizer=optimizer, n_iter_no_change=2, **{"max_iter": 30, **settings})
    grid = {"alpha": [1e-5, 1e-3, 1e-1, 1.0], "eta0": [0.01, 0.5]}
    assert_ends_like_the_full_search(model, grid, X, y, factor=2, min_resources=2)


@pytest.mark.parametrize(
    "grid",
    [
        {"class_weight": [None, "balanced", {"a": 2.0}], "alpha": [1e-4, 1e-2, 1.0]},
        {"optimizer": ["sgd", "adagrad", "lbfgs"], "alpha": [1e-4, 1e-2, 1.0]},
        {"loss": ["log_loss", "hinge"], "penalty": ["l1", "l2"], "alpha": [1e-4, 1e-2]},
        {"average": [False, True], "eta0": [0.01, 0.1], "alpha": [1e-4, 1e-2]},
    ],
    ids=lambda grid: "-".join(grid),
)
def test_groups_with_passes_of_their_own_meet(grid):
    X, y = make_data("classes")
    X = X * [1.0, 100.0, 1e-3, 5.0] + [3.0, 0.0, 0.0, 0.0]
    assert_ends_like_the_full_search(make_model("classes", max_iter=9, optimizer="sgd"), grid, X, y)


def test_rates_of_our_own_choice_that_are_too_high_are_lowered():
    """A candidate begins again, and is as far as the others when they meet."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    X[150:] *= 1e4
    y = X[:, 0] + rng.standard_normal(200)
    model = make_model("number", optimizer="sgd", eta0="auto", standardize=False, max_iter=9, loss="huber")
    assert_ends_like_the_full_search(model, ALPHAS, X, y, cv=KFold(2))


def test_around_a_pipeline():
    X, y = make_data("classes")
    model = make_pipeline(MaxAbsScaler(), make_model("classes", max_iter=9))
    grid = {
        "sgdclassifierplus__alpha": [1e-4, 1e-2, 1.0],
        "maxabsscaler": [MaxAbsScaler(), StandardScaler(), None],
    }
    found, _ = assert_ends_like_the_full_search(model, grid, X, y, n_jobs=2)
    assert found.best_estimator_.score(X, y) > 0.8
    ovr = make_pipeline(MaxAbsScaler(), OneVsRestClassifier(make_model("classes", max_iter=9)))
    grid = {"onevsrestclassifier__estimator__alpha": ALPHAS["alpha"]}
    assert_ends_like_the_full_search(ovr, grid, X, y)


def test_weights_and_a_validation_set():
    X, y = make_data("number")
    weights = np.random.default_rng(0).uniform(0.5, 2, 110)
    given = {"sample_weight": weights, "X_val": X[:40], "y_val": y[:40]}
    model = make_model("number", early_stopping=True, max_iter=20)
    assert_ends_like_the_full_search(model, ALPHAS, X[40:], y[40:], fit_params=given, min_resources=2)


# ---------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
@pytest.mark.parametrize("n_jobs", [2, 3, 7])
def test_the_result_does_not_depend_on_n_jobs_nor_on_memory(n_jobs, optimizer):
    X, y = make_data("classes")
    grid = {**ALPHAS, "loss": ["log_loss", "squared_hinge"]}
    model = make_model("classes", optimizer=optimizer, max_iter=9)
    one = halving(model, grid, X, y, cv=4)
    for options in ({}, {"working_memory": 1e-3}):
        other = halving(model, grid, X, y, cv=4, n_jobs=n_jobs, **options)
        assert_same_search(other, one, atol=0)
        assert_array_equal(other.best_estimator_.coef_, one.best_estimator_.coef_)


# ------------------------------------------------------------------------------------- the rungs, and messages


@pytest.mark.parametrize("min_resources", ["exhaust", "smallest", 1, 4, 20])
@pytest.mark.parametrize("aggressive", [False, True])
@pytest.mark.parametrize(
    ("n_candidates", "n_epochs", "factor"), [(9, 9, 3), (12, 20, 2), (30, 4, 3), (3, 100, 4), (1, 20, 3)]
)
def test_rungs_are_those_of_scikit_learn(n_candidates, n_epochs, factor, min_resources, aggressive):
    """But the last iteration, which is trained to the end."""
    if min_resources in (4, 20) and min_resources > n_epochs:
        pytest.skip("no search")
    X, y = make_data("two classes")
    grid = {"alpha": np.geomspace(1e-5, 1, n_candidates)}
    options = {
        "factor": factor,
        "min_resources": min_resources,
        "aggressive_elimination": aggressive,
        "cv": 2,
    }
    theirs = HalvingGridSearchCV(
        SGDClassifier(tol=None), grid, resource="max_iter", max_resources=n_epochs, **options
    ).fit(X, y)
    ours = OnePassHalvingGridSearchCV(make_model("two classes", max_iter=n_epochs), grid, **options).fit(X, y)
    if not (aggressive and theirs.n_possible_iterations_ > theirs.n_required_iterations_):
        # There, theirs begin above min_resources.
        assert ours.n_resources_[:-1] == theirs.n_resources_[:-1]
    assert ours.n_resources_[-1] == n_epochs
    for name in ("n_candidates_", "n_iterations_", "n_required_iterations_", "n_possible_iterations_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("n_remaining_candidates_", "min_resources_", "max_resources_", "n_splits_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert {*theirs.cv_results_} - {*ours.cv_results_} <= {
        name for name in theirs.cv_results_ if "train" in name or name == "param_max_iter"
    }


def test_the_longest_plan_counts():
    X, y = make_data("two classes", n=150)
    model = make_model("two classes", max_iter="auto", tol="auto", eta0="auto")
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    found = halving(model, ALPHAS, X, y)
    assert found.n_resources_[-1] == found.max_resources_ == clone(model).fit(X[:200], y[:200]).n_iter_


def test_a_randomised_search():
    X, y = make_data("classes")
    model = make_model("classes", max_iter=9)
    options = {"n_candidates": 10, "cv": 3, "random_state": 3}
    found = OnePassHalvingRandomSearchCV(model, {"alpha": loguniform(1e-6, 1)}, **options).fit(X, y)
    assert found.n_candidates_ == [10, 4, 2]
    first = found.cv_results_["iter"] == 0
    grid = {"alpha": [params["alpha"] for params in found.cv_results_["params"][: first.sum()]]}
    assert_allclose(
        halving(model, grid, X, y).cv_results_["mean_test_score"], found.cv_results_["mean_test_score"]
    )
    again = pickle.loads(pickle.dumps(clone(found).fit(X, y)))
    assert_same_search(again, found, atol=0)


@pytest.mark.parametrize("as_function", [False, True])
def test_several_scores(as_function):
    X, y = make_data("classes")

    def both(model, X, y):
        return {"right": model.score(X, y), "size": -np.abs(model.coef_).sum()}

    names = ("right", "size") if as_function else ("accuracy", "neg_log_loss")
    scoring, model = both if as_function else list(names), make_model("classes", max_iter=9)
    went_on = []
    for name in names:
        results = halving(model, ALPHAS, X, y, scoring=scoring, refit=name).cv_results_
        went_on.append(results["param_alpha"][results["iter"] == 1].tolist())
        best = np.argsort(-results[f"mean_test_{name}"][results["iter"] == 0], kind="stable")[:3]
        assert went_on[-1] == [ALPHAS["alpha"][k] for k in sorted(best)]
    assert not as_function or went_on[0] != went_on[1]
    for refit in False, lambda results: 0:
        with pytest.raises(ValueError, match="refit has to be the name of the one that decides"):
            halving(model, ALPHAS, X, y, scoring=scoring, refit=refit)


def test_refit_may_be_a_function_or_left_out():
    X, y = make_data("classes")
    model = make_model("classes", max_iter=9)
    assert halving(model, ALPHAS, X, y, refit=lambda results: 2).best_index_ == 2
    found = halving(model, ALPHAS, X, y, refit=False)
    assert found.best_index_ == halving(model, ALPHAS, X, y).best_index_
    assert not hasattr(found, "best_estimator_")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_candidates_that_fail_do_not_go_on(n_jobs):
    X, y = make_data("number")
    grid = {"alpha": [-1.0, 1e-4, 1e-2, 1.0], "eta0": [0.01, 1e200]}
    model = make_model("number", optimizer="sgd", max_iter=8)
    options = {"factor": 2, "error_score": np.nan, "n_jobs": n_jobs}
    with pytest.warns(Warning, match="15 fits failed"):
        found = halving(model, grid, X, y, **options)
    finite = np.isfinite(found.cv_results_["mean_test_score"])
    assert [finite[found.cv_results_["iter"] == k].sum() for k in range(4)] == [3, 3, 2, 1]
    assert found.best_params_["eta0"] == 0.01
    with pytest.raises(ValueError, match="alpha"):
        halving(model, grid, X, y, error_score="raise", n_jobs=n_jobs)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        halving(model, {"alpha": [-1.0, -2.0]}, X, y, **options)


def test_those_with_a_score_on_more_folds_go_on():
    X, y = make_data("classes")
    n_missing = {1e-4: 3, 1e-3: 1, 1e-2: 2, 1e-1: 1}
    asked = dict.fromkeys(n_missing, 0)

    def score(model, X, y):
        asked[model.alpha] += 1
        return np.nan if asked[model.alpha] <= n_missing[model.alpha] else 1.0

    model = make_model("classes", optimizer="adam", max_iter=4, tol=None)
    with pytest.warns(UserWarning, match="non-finite"):
        found = halving(model, {"alpha": list(n_missing)}, X, y, scoring=score, factor=2, min_resources=2)
    assert [params["alpha"] for params in found.cv_results_["params"][4:]] == [1e-3, 1e-1]


def test_bad_parameters():
    X, y = make_data("classes")
    model = make_model("classes", max_iter=4)
    with pytest.raises(ValueError, match="max_iter cannot be searched by halving"):
        halving(model, {"max_iter": [1, 2]}, X, y)
    with pytest.raises(ValueError, match="min_resources=5 is more than the 4 epochs"):
        halving(model, ALPHAS, X, y, min_resources=5)
    for bad in {"factor": 1}, {"min_resources": 0}, {"aggressive_elimination": "yes"}:
        with pytest.raises(ValueError, match=next(iter(bad))):
            halving(model, ALPHAS, X, y, **bad)


def test_verbose_tells_of_iterations(capsys):
    halving(make_model("classes", max_iter=9), ALPHAS, *make_data("classes"), verbose=1)
    printed = capsys.readouterr().out
    for line in ("iter: 0, n_candidates: 9, n_resources: 1", "iter: 2, n_candidates: 1, n_resources: 9"):
        assert line in printed
    assert "Fold 1 of 3, epoch 2: 3 of 3 candidates go on" in printed
    assert "Fold 1 of 3, epoch 9: 0 of 1 candidates go on" in printed
