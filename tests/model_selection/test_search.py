"""One-pass searches find what scikit-learn's find, on any data, folds and scores; and what bad input gets."""

import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import OnePassGridSearchCV, OnePassRandomizedSearchCV
from sgdkit.optimizers import OPTIMIZERS, Adam
from tests.model_selection.searches import (
    ALL_KINDS,
    ALPHAS,
    assert_finds_the_same,
    assert_same_search,
    make_data,
    make_model,
)
from tests.problems import changed, first_of_each_kind

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix, pd.DataFrame])
@ALL_KINDS
def test_finds_what_grid_search_finds(kind, container):
    X, y = make_data(kind)
    grid = [
        {"alpha": [1e-5, 1e-1], "optimizer": first_of_each_kind(OPTIMIZERS)},
        {"penalty": ["l1"], "alpha": [1e-3, 1e-2]},
    ]
    search = assert_finds_the_same(make_model(kind), grid, container(X), y)
    assert search.n_features_in_ == X.shape[1]


@pytest.mark.parametrize(
    "grid",
    [
        {"loss": ["log_loss", "hinge", "modified_huber"]},
        {"class_weight": [None, "balanced", {"a": 2.0, "b": 1.0, "c": 0.5}], **ALPHAS},
        {"batch_size": [1, 10, "auto"]},
        {"optimizer": [*map(changed, OPTIMIZERS.values())], **ALPHAS},
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


def test_losses_that_ask_more_of_targets_than_others():
    X, y = make_data("number")
    assert y.min() < 0
    with pytest.warns(Warning, match="3 fits failed"):
        search = OnePassGridSearchCV(make_model("number"), {"loss": ["squared_error", "poisson"]}, cv=3).fit(
            X, y
        )
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    assert_finds_the_same(make_model("number", loss="gamma"), {"loss": ["squared_error", "huber"]}, X, y)


def test_randomised_search():
    X, y = make_data("two classes")
    options = {"n_iter": 5, "cv": 3, "random_state": 3, "return_train_score": True}
    distributions = {"alpha": loguniform(1e-6, 1), "optimizer": ["sgd", "adagrad"]}
    ours = OnePassRandomizedSearchCV(make_model("two classes"), distributions, **options).fit(X, y)
    theirs = RandomizedSearchCV(make_model("two classes"), distributions, **options).fit(X, y)
    assert_same_search(ours, theirs)


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


# ----------------------------------------------------------------------------------------------------- scores


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


# --------------------------------------------------------------------------------------------- rows and folds


def test_feature_names_are_known():
    X, y = make_data("classes")
    X = pd.DataFrame(X, columns=list("wxyz"))
    search = assert_finds_the_same(make_model("classes"), ALPHAS, X, y)
    assert list(search.feature_names_in_) == list("wxyz")
    with pytest.raises(ValueError, match="feature names"):
        search.predict(X[["z", "y", "x", "w"]])


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


def test_a_fold_without_one_of_the_classes():
    X, y = make_data("classes")
    order = np.argsort(y, kind="stable")
    folds = [(np.arange(100), np.arange(100, 150)), (np.arange(50, 150), np.arange(50))]
    assert_finds_the_same(make_model("classes"), ALPHAS, X[order], y[order], cv=folds)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_is_left_alone_and_dtypes_are_kept(dtype):
    X, y = make_data("classes")
    X = sparse.csr_array(X.astype(dtype))
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    search = OnePassGridSearchCV(make_model("classes"), ALPHAS, cv=3).fit(X, y)
    assert search.best_estimator_.coef_.dtype == dtype


# ---------------------------------------------------------------------------------- threads, memory, messages


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_the_result_does_not_depend_on_n_jobs_nor_on_memory(n_jobs):
    X, y = make_data("classes")
    grid = {"alpha": np.geomspace(1e-6, 1, 7), "optimizer": ["sgd", "adagrad"]}
    one = OnePassGridSearchCV(make_model("classes"), grid, cv=4).fit(X, y)
    for options in ({"n_jobs": n_jobs}, {"n_jobs": n_jobs, "working_memory": 1e-3}):
        other = OnePassGridSearchCV(make_model("classes"), grid, cv=4, **options).fit(X, y)
        assert_same_search(other, one, atol=0)
        assert_array_equal(other.best_estimator_.coef_, one.best_estimator_.coef_)


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


def test_verbose_tells_of_every_epoch(capsys):
    model = make_model("classes", early_stopping=True, max_iter=3)
    OnePassGridSearchCV(model, ALPHAS, cv=2, verbose=1, refit=False).fit(*make_data("classes"))
    printed = capsys.readouterr().out
    assert "Fitting 2 folds for each of 3 candidates, totalling 6 fits" in printed
    lines = re.findall(
        r"Fold (\d) of 2, epoch (\d): (\d) of 3 candidates go on, best validation score -\d", printed
    )
    assert [line[:2] for line in lines] == [(str(fold), str(epoch)) for fold in (1, 2) for epoch in (1, 2, 3)]


def test_folds_that_do_not_converge_warn():
    X, y = make_data("classes")
    model = make_model("classes", max_iter=1, tol=1e-3)
    with pytest.warns(ConvergenceWarning, match="Maximum number of iterations"):
        OnePassGridSearchCV(model, ALPHAS, cv=3, refit=False).fit(X, y)


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]
)
def test_another_estimator(estimator):
    with pytest.raises(ValueError, match="GridSearchCV"):
        OnePassGridSearchCV(estimator, {"C": [1]}).fit(*make_data("classes"))


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(make_pipeline(StandardScaler(), SGDClassifierPlus())),
        OneVsRestClassifier(SGDRegressorPlus()),
        OneVsRestClassifier(LogisticRegression()),
    ],
)
def test_one_vs_rest_is_around_the_classifier_itself(estimator):
    with pytest.raises(ValueError, match="OneVsRestClassifier of SGDClassifierPlus itself"):
        OnePassGridSearchCV(estimator, {}).fit(*make_data("classes"))


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


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("several", [False, True])
def test_a_score_that_is_infinite_has_failed(value, several):
    model, (X, y) = make_model("classes"), make_data("classes")

    def one(model, X, y):
        return value if model.alpha == ALPHAS["alpha"][0] else model.score(X, y)

    options = {"scoring": {"one": one, "other": "accuracy"} if several else one, "cv": 3}
    options["refit"] = "one" if several else True
    match = f"scoring={'.one.' if several else '<.*>'} returned {value}, and a score must be finite"
    with pytest.warns(UserWarning, match=match):
        search = OnePassGridSearchCV(model, ALPHAS, **options).fit(X, y)
    assert np.isfinite(search.best_score_)
    assert search.best_params_["alpha"] != ALPHAS["alpha"][0]
    with pytest.raises(ValueError, match=match):
        OnePassGridSearchCV(model, ALPHAS, error_score="raise", **options).fit(X, y)


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
