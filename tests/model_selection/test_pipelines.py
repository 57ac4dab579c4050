"""Searches around pipelines, within them, and what is passed on to their steps."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
    TargetEncoder,
)

from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from tests.model_selection.searches import (
    ALPHAS,
    assert_finds_the_same,
    assert_same_search,
    make_data,
    make_model,
)
from tests.problems import first_of_each_kind

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


# ------------------------------------------------------------------------------------------ resampled folds


def permuted(X, y):
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order]


def thinned(X, y):
    return X[::2], y[::2]


def samplers():
    """What imbalanced-learn has: more rows, fewer rows, and the same in another order."""
    imblearn = pytest.importorskip("imblearn")
    return {
        "permuted": imblearn.FunctionSampler(func=permuted),
        "thinned": imblearn.FunctionSampler(func=thinned),
        "more": imblearn.over_sampling.SMOTE(k_neighbors=2, random_state=0),
        "fewer": imblearn.under_sampling.RandomUnderSampler(random_state=0),
    }


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("name", ["permuted", "thinned", "more", "fewer"])
def test_resampled_folds(name, place):
    sampler = samplers()[name]
    X, y = make_data("classes")
    X, y = X[20:], y[20:]
    steps = [("scale", StandardScaler()), ("sample", sampler)]
    steps = [*(steps if place == "last" else steps[::-1]), ("sgd", make_model("classes"))]
    pipeline = pytest.importorskip("imblearn.pipeline").Pipeline(steps)
    scoring = {"kind": "accuracy", "whole": lambda model, X, y: model.score(X, y)}
    grid = {"sgd__alpha": [1e-5, 1e-1], "sample": [sampler, "passthrough"]}
    options = {"scoring": scoring, "refit": "kind", "error_score": "raise"}
    search = assert_finds_the_same(pipeline, grid, X, y, **options)
    assert search.cv_results_["mean_test_kind"].max() > 0.8


def test_weights_are_not_paired_with_resampled_rows():
    sampler = samplers()["permuted"]
    X, y = make_data("classes")
    steps = [("sample", sampler), ("sgd", make_model("classes"))]
    pipeline = pytest.importorskip("imblearn.pipeline").Pipeline(steps)
    with pytest.raises(ValueError, match=r"\['sample'\] resample rows .* leave sample_weight"):
        OnePassGridSearchCV(pipeline, {"sgd__alpha": [1e-3]}).fit(X, y, sgd__sample_weight=np.ones(len(y)))


# --------------------------------------------------------------------------------- validation sets of one's own


def validation_set(kind, n):
    X, y = make_data(kind)
    weights = np.random.default_rng(1).uniform(0.5, 2, n)
    return {"X_val": X[:n], "y_val": y[:n], "sample_weight_val": weights}


@pytest.mark.parametrize("kind", ["two classes", "labels", "number"])
def test_a_validation_set_stops_every_fold(kind):
    X, y = make_data(kind)
    model = make_model(kind, early_stopping=True, max_iter=40, tol=1e-2, n_iter_no_change=1)
    options = {"fit_params": validation_set(kind, 40), "error_score": "raise"}
    assert_finds_the_same(model, ALPHAS, X[40:], y[40:], **options)


def test_a_validation_set_of_as_many_rows_is_not_cut():
    X, y = make_data("number")
    given = validation_set("number", len(y))
    train, test = np.arange(100), np.arange(100, 150)
    model = make_model("number", early_stopping=True, max_iter=40)
    search = OnePassGridSearchCV(model, ALPHAS, cv=[(train, test)], refit=False).fit(X, y, **given)
    for alpha, score in zip(ALPHAS["alpha"], search.cv_results_["mean_test_score"], strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[train], y[train], **given)
        assert alone.score(X[test], y[test]) == pytest.approx(score, abs=1e-12)


def test_a_validation_set_needs_early_stopping():
    X, y = make_data("classes")
    with pytest.raises(ValueError, match="early_stopping should be set to True"):
        OnePassGridSearchCV(make_model("classes"), ALPHAS, error_score="raise").fit(
            X, y, X_val=X[:10], y_val=y[:10]
        )


def test_a_validation_set_goes_through_a_pipeline():
    X, y = make_data("classes")
    model = make_model("classes", early_stopping=True, max_iter=40)
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        steps = [("scale", StandardScaler(with_mean=False)), ("sgd", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        options = {"fit_params": validation_set("classes", 40), "error_score": "raise"}
        search = assert_finds_the_same(
            pipeline, {"sgd__alpha": [1e-4, 1e-2]}, 1e3 * X[40:], y[40:], **options
        )
    assert len(search.best_estimator_[-1].validation_scores_) == 40


# -------------------------------------------------------------------------------------- transformed targets


@pytest.mark.parametrize("kind", ["number", "numbers"])
@pytest.mark.parametrize("around", ["alone", "inside", "outside"])
def test_transformed_targets(around, kind):
    X, y = make_data(kind)
    transformer = QuantileTransformer(n_quantiles=20, output_distribution="normal")
    targets, scaler = TransformedTargetRegressor(make_model(kind), transformer=transformer), StandardScaler()
    model, prefix = {
        "alone": (targets, "regressor"),
        "inside": (Pipeline([("scale", scaler), ("targets", targets)]), "targets__regressor"),
        "outside": (
            clone(targets).set_params(regressor=Pipeline([("scale", scaler), ("sgd", make_model(kind))])),
            "regressor__sgd",
        ),
    }[around]
    scoring = {"r2": "r2", "error": "neg_mean_absolute_error", "whole": lambda m, X, y: m.score(X, y)}
    grid = {f"{prefix}__alpha": [1e-5, 1e-1]}
    if around != "outside":
        grid[f"{prefix.removesuffix('regressor')}transformer"] = [transformer, None]
    for scores in None, scoring:
        assert_finds_the_same(model, grid, X, y, scoring=scores, refit="r2" if scores else True)


def test_weights_of_transformed_targets():
    X, y = make_data("number")
    model = TransformedTargetRegressor(make_model("number"), func=np.arcsinh, inverse_func=np.sinh)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    options = {"fit_params": {"sample_weight": weights}, "error_score": "raise"}
    assert_finds_the_same(model, {"regressor__alpha": [1e-4, 1e-2]}, X, y, **options)


def test_targets_of_a_validation_set_are_not_transformed():
    X, y = make_data("number")
    model = TransformedTargetRegressor(
        make_model("number", early_stopping=True), func=np.arcsinh, inverse_func=np.sinh
    )
    with pytest.raises(ValueError, match="leaves y_val as it is"):
        OnePassGridSearchCV(model, {"regressor__alpha": [1e-3]}).fit(X, y, X_val=X[:9], y_val=y[:9])


# ------------------------------------------------------------------------------------- one class against the rest


def one_vs_rest(kind, **params):
    return OneVsRestClassifier(make_model(kind, **params))


@pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))
@pytest.mark.parametrize("eta0", [0.1, "auto"])
@pytest.mark.parametrize("kind", ["two classes", "classes", "labels"])
def test_one_vs_rest(kind, eta0, optimizer):
    grid = {"estimator__alpha": [1e-4, "auto", 1.0], "estimator__class_weight": [None, "balanced"]}
    scoring = {"kind": "accuracy", "whole": lambda model, X, y: model.score(X, y)}
    if kind != "labels":
        scoring["loss"] = "neg_log_loss"
    model = one_vs_rest(kind, optimizer=optimizer, eta0=eta0)
    search = assert_finds_the_same(model, grid, *make_data(kind), scoring=scoring, refit="kind", n_jobs=2)
    assert search.best_estimator_.estimator.alpha == search.best_params_["estimator__alpha"]


@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "scoring": "accuracy", "max_iter": 30, "tol": 1e-3},
        {"max_iter": 60, "tol": 1e-2},
        {"loss": "hinge"},
    ],
    ids=str,
)
def test_each_class_stops_for_itself(settings):
    grid = {"estimator__alpha": [1e-5, 1e-2, 1.0], "estimator__eta0": [0.05, 0.5]}
    assert_finds_the_same(one_vs_rest("classes", **settings), grid, *make_data("classes"))


def test_one_vs_rest_at_the_end_of_a_pipeline():
    X, y = make_data("classes")
    pipeline = Pipeline([("scale", StandardScaler()), ("ovr", one_vs_rest("classes"))])
    grid = {"ovr__estimator__alpha": [1e-5, 1e-1], "scale": [StandardScaler(), "passthrough"]}
    grid["ovr__n_jobs"] = [None, 2]
    options = {"scoring": ["accuracy", "roc_auc_ovr"], "refit": "accuracy"}
    search = assert_finds_the_same(pipeline, grid, pd.DataFrame(X), y, **options)
    assert search.n_features_in_ == X.shape[1]
    assert_finds_the_same(pipeline, grid, X, y, scoring=lambda model, X, y: model.predict_proba(X).max())


@pytest.mark.filterwarnings("ignore:Label not")
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_labels_that_all_rows_have(container):
    X, y = make_data("labels")
    y = np.column_stack([np.ones(len(y), dtype=int), y])
    grid = {"estimator__alpha": [1e-4, 1.0]}
    assert_finds_the_same(one_vs_rest("labels"), grid, X, container(y), refit=False)
    search = OnePassGridSearchCV(one_vs_rest("labels"), grid, error_score="raise")
    with pytest.raises(ValueError, match="nothing to learn"):
        search.fit(X, np.ones((len(X), 2), dtype=int))


def test_weights_of_one_vs_rest():
    X, y = make_data("classes")
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    with config_context(enable_metadata_routing=True):
        model = make_model("classes").set_fit_request(sample_weight=True)
        options = {"fit_params": {"sample_weight": weights}, "error_score": "raise"}
        scoring = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        grid = {"estimator__alpha": [1e-4, 1e-2]}
        assert_finds_the_same(OneVsRestClassifier(model), grid, X, y, scoring=scoring, **options)


def test_classes_of_one_vs_rest_that_fail():
    X, y = make_data("classes")
    grid = {"estimator__eta0": [0.1, 1e200]}
    model = one_vs_rest("classes", optimizer="sgd", loss="squared_hinge")
    with pytest.warns(Warning, match="3 fits failed"):
        search = OnePassGridSearchCV(model, grid, cv=3).fit(X, y)
    assert_array_equal(np.isnan(search.cv_results_["mean_test_score"]), [False, True])
    with pytest.raises(ValueError, match="leaves y_val as it is"):
        OnePassGridSearchCV(one_vs_rest("classes", early_stopping=True), {}).fit(X, y, X_val=X, y_val=y)
