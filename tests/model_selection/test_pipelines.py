"""Searches around pipelines, within them, and what is passed on to their steps."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from sgdkit.model_selection import OnePassGridSearchCV
from tests.model_selection.searches import (
    ALPHAS,
    assert_finds_the_same,
    assert_same_search,
    make_data,
    make_model,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


class WeightedScaler(StandardScaler):
    """It does not do without weights."""

    def fit(self, X, y=None, sample_weight=None):
        assert sample_weight is not None
        return super().fit(X, y, sample_weight)


def test_routed_weights_reach_the_steps_of_a_pipeline():
    X, y = make_data("classes")
    weights = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)
    with config_context(enable_metadata_routing=True):
        for scaler in (
            StandardScaler().set_fit_request(sample_weight=False),
            WeightedScaler().set_fit_request(sample_weight=True),
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


def test_configuration_reaches_the_threads():
    X, y = make_data("classes")
    X = pd.DataFrame(X, columns=list("abcd"))
    pipeline = Pipeline(
        [
            ("scale", StandardScaler()),
            ("choose", ColumnTransformer([("first", "passthrough", ["a", "b"])])),
            ("sgd", make_model("classes")),
        ]
    )
    with config_context(transform_output="pandas"):
        assert_finds_the_same(pipeline, {"sgd__alpha": [1e-4, 1e-2]}, X, y, n_jobs=2, error_score="raise")


def test_parameters_that_cannot_be_pickled():
    X, y = make_data("classes")
    pipeline = Pipeline([("change", None), ("sgd", make_model("classes"))])
    grid = {
        "change": [FunctionTransformer(lambda X: X), FunctionTransformer(lambda X: -X)],
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
