"""The estimators among others: pipelines, searches, meta-estimators, routing, data frames, sparse arrays."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.fixes import parse_version

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.optimizers import OPTIMIZERS, SGD, Adam
from tests.problems import ESTIMATORS, IRIS, STATEFUL

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS_X, IRIS_Y = IRIS
TEXTS = ["the cat sat", "a dog ran", "cats and a cat", "dogs run", "the cat", "that dog"] * 5
ANIMALS = np.array(["cat", "dog"] * 15)


@pytest.fixture
def classifier():
    return SGDClassifierPlus(random_state=0)


@pytest.fixture
def regressor():
    return SGDRegressorPlus(random_state=0)


# ---------------------------------------------------------------------------------- pipelines and data frames


@pytest.mark.parametrize(
    "vectorizer", [TfidfVectorizer(), HashingVectorizer(n_features=2**18)], ids=["tfidf", "hash"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pipeline_of_text(optimizer, vectorizer):
    model = make_pipeline(clone(vectorizer), SGDClassifierPlus(optimizer=optimizer, random_state=0)).fit(
        TEXTS, ANIMALS
    )
    assert model.score(TEXTS, ANIMALS) == 1.0
    assert list(model.predict(["cat", "dog"])) == ["cat", "dog"]


def frame(library, columns):
    """A data frame of pandas or of polars."""
    made = pytest.importorskip(library).DataFrame(columns)
    if not hasattr(made, "__dataframe__") and parse_version(sklearn.__version__) < parse_version("1.9"):
        pytest.skip("older releases of scikit-learn know a frame by the interchange protocol")
    return made


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_column_transformer(library, classifier):
    rng = np.random.RandomState(0)
    size, colour = rng.normal(size=200), rng.choice(["red", "green", "blue"], 200)
    y = np.where(size + (colour == "red") > 0.3, "yes", "no")
    X = frame(library, {"size": size * 100, "colour": colour})
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), ["size"]),
            ("word", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ],
        sparse_threshold=1.0,
    )
    model = make_pipeline(columns, classifier).fit(X, y)
    assert sparse.issparse(model[0].transform(X))
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_data_frames(library, estimator):
    names = [f"x{k}" for k in range(4)]
    X = frame(library, {name: IRIS_X[:, k] for k, name in enumerate(names)})
    y = pytest.importorskip(library).Series(IRIS_Y)
    model = estimator(random_state=0, early_stopping=True).fit(X, y, X_val=X, y_val=y)
    plain = estimator(random_state=0, early_stopping=True).fit(IRIS_X, IRIS_Y, X_val=IRIS_X, y_val=IRIS_Y)
    assert list(model.feature_names_in_) == names
    assert model.n_features_in_ == 4
    assert_array_equal(model.coef_, plain.coef_)
    # A frame is stored by columns, and BLAS adds in another order there.
    assert_allclose(model.predict(X), plain.predict(IRIS_X), rtol=1e-10, atol=1e-12)
    scored = estimator(random_state=0, early_stopping=True, scoring=lambda model, X, y: model.score(X, y))
    assert scored.fit(X, y).n_iter_ > 0


def test_pandas_labels_and_outputs(classifier, regressor):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(IRIS_X)
    words = pandas.Series(np.array(["x", "y", "z"])[IRIS_Y], dtype="category")
    model = classifier.fit(X, words)
    assert list(model.classes_) == ["x", "y", "z"]
    assert (model.predict(X) == words).mean() > 0.9
    outputs = pandas.DataFrame({"a": IRIS_X[:, 0], "b": IRIS_X[:, 1]})
    assert regressor.fit(X, outputs).predict(X).shape == (150, 2)
    nullable = pandas.DataFrame(IRIS_X).convert_dtypes()
    assert_array_equal(clone(classifier).fit(nullable, words).coef_, model.coef_)


def test_pandas_sparse_frame(classifier):
    pandas = pytest.importorskip("pandas")
    X = sparse.csr_array(np.where(np.abs(IRIS_X) > 0.5, IRIS_X, 0.0))
    columns = pandas.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(X))
    assert_array_equal(clone(classifier).fit(columns, IRIS_Y).coef_, clone(classifier).fit(X, IRIS_Y).coef_)


def test_sparse_arrays_from_one_end_to_the_other(classifier):
    X = sparse.csr_array(IRIS_X)
    model = make_pipeline(StandardScaler(with_mean=False), classifier).fit(X, IRIS_Y)
    for other in sparse.csc_array(X), sparse.coo_array(X), sparse.csr_matrix(X):
        assert_array_equal(model.predict_proba(other), model.predict_proba(X))
    assert type(model.predict_proba(X)) is np.ndarray


# ---------------------------------------------------------------------------------------- searches and scores


def test_grid_search_over_optimizers(classifier):
    model = make_pipeline(StandardScaler(), classifier)
    grid = {"sgdclassifierplus__optimizer": STATEFUL}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2, error_score="raise").fit(IRIS_X, IRIS_Y)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()
    assert search.score(IRIS_X, IRIS_Y) > 0.9


def test_grid_search_over_parameters_of_an_optimizer(classifier):
    optimizer = Adam()
    model = classifier.set_params(optimizer=optimizer, max_iter=20)
    grid = {"optimizer__beta_2": [0.9, 0.999], "optimizer__amsgrad": [False, True], "alpha": [1e-4, 1e-1]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2, error_score="raise").fit(IRIS_X, IRIS_Y)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()
    for name, value in search.best_params_.items():
        assert search.best_estimator_.get_params()[name] == value
    # The search works on clones.
    assert optimizer == Adam()
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_randomized_search_over_both(regressor):
    X, y = load_diabetes(return_X_y=True)
    space = [
        {"optimizer": [SGD()], "optimizer__momentum": [0.0, 0.5, 0.9]},
        {"optimizer": ["adagrad", "gd"], "alpha": [1e-3, 1e-1]},
    ]
    search = RandomizedSearchCV(
        regressor, space, n_iter=5, cv=3, n_jobs=2, random_state=0, error_score="raise"
    )
    assert search.fit(StandardScaler().fit_transform(X), y).best_score_ > 0.4


def test_the_same_scores_in_one_process_and_in_two(classifier):
    scores = [cross_val_score(classifier, IRIS_X, IRIS_Y, cv=4, n_jobs=n) for n in (1, 2)]
    assert_array_equal(scores[0], scores[1])
    assert scores[0].min() > 0.8


def test_cross_validation(classifier, regressor):
    result = cross_validate(
        classifier, IRIS_X, IRIS_Y, scoring=["accuracy", "neg_log_loss"], return_estimator=True
    )
    assert result["test_neg_log_loss"].min() > -0.5
    p = cross_val_predict(classifier, IRIS_X, IRIS_Y, method="predict_log_proba")
    assert p.shape == (150, 3)
    assert np.isfinite(p).all()
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(make_pipeline(StandardScaler(), regressor), X, y).mean() > 0.4


def test_learning_curve_by_partial_fit(classifier):
    sizes, _, scores = learning_curve(
        classifier, IRIS_X, IRIS_Y, exploit_incremental_learning=True, shuffle=True, random_state=0
    )
    assert scores.shape == (len(sizes), 5)
    assert scores[-1].mean() > 0.8


# -------------------------------------------------------------------------------------------- meta-estimators


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(loss, method):
    X, y = load_breast_cancer(return_X_y=True)
    model = CalibratedClassifierCV(SGDClassifierPlus(loss, random_state=0), method=method, cv=3)
    model = make_pipeline(StandardScaler(), model).fit(X, y)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("meta", [OneVsRestClassifier, OneVsOneClassifier, BaggingClassifier])
def test_meta_classifiers(meta, classifier):
    assert meta(classifier).fit(IRIS_X, IRIS_Y).score(IRIS_X, IRIS_Y) > 0.9
    assert (
        meta(classifier).fit(sparse.csr_array(IRIS_X), IRIS_Y).score(sparse.csr_array(IRIS_X), IRIS_Y) > 0.9
    )


def test_one_vs_rest_is_multi_class_ovr(classifier):
    classifier.set_params(optimizer="gd", tol=1e-8, alpha=1e-2)
    rest = OneVsRestClassifier(classifier).fit(IRIS_X, IRIS_Y)
    ovr = clone(classifier).set_params(multi_class="ovr", tol=1e-8).fit(IRIS_X, IRIS_Y)
    # One stops for each class, the other for all at once.
    assert_allclose(np.vstack([m.coef_ for m in rest.estimators_]), ovr.coef_, rtol=0.05, atol=0.02)
    assert_array_equal(rest.predict(IRIS_X), ovr.predict(IRIS_X))


def test_several_outputs(classifier, regressor):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    outputs = np.column_stack([y, -y])
    several = MultiOutputRegressor(regressor.set_params(optimizer="gd", tol=1e-9)).fit(X, outputs)
    alone = clone(regressor).fit(X, outputs)
    assert_allclose(several.predict(X), alone.predict(X), rtol=1e-3)
    labels = np.column_stack([IRIS_Y == 0, IRIS_Y > 1]).astype(int)
    for meta in MultiOutputClassifier, ClassifierChain:
        assert (meta(classifier).fit(IRIS_X, labels).predict(IRIS_X) == labels).mean() > 0.9
    classes = np.column_stack([IRIS_Y, IRIS_Y[::-1]])
    assert MultiOutputClassifier(classifier).fit(IRIS_X, classes).predict(IRIS_X).shape == (150, 2)


def test_ensembles_and_selection(classifier):
    parts = [("a", classifier), ("b", clone(classifier).set_params(optimizer="adam"))]
    assert VotingClassifier(parts, voting="soft").fit(IRIS_X, IRIS_Y).score(IRIS_X, IRIS_Y) > 0.9
    stacked = StackingClassifier(parts, final_estimator=clone(classifier), cv=3)
    assert stacked.fit(IRIS_X, IRIS_Y).score(IRIS_X, IRIS_Y) > 0.9
    noisy = np.column_stack([IRIS_X, np.random.RandomState(0).normal(size=(150, 4))])
    sparse_model = clone(classifier).set_params(optimizer="gd", penalty="l1", alpha=0.1)
    chosen = SelectFromModel(sparse_model).fit(noisy, IRIS_Y)
    assert chosen.get_support()[:4].any()
    assert not chosen.get_support()[4:].any()


def test_inspection_and_transformed_targets(regressor):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=2, random_state=0).importances_mean
    # Body mass and the fifth serum measurement tell the most.
    assert set(np.argsort(importance)[-3:]) & {2, 8}


# ------------------------------------------------------------------------------------------- metadata routing


def with_weights(estimator):
    return estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


def test_routing_of_sample_weight(classifier):
    weights = np.where(IRIS_Y == 2, 0.0, 1.0)
    with config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), with_weights(classifier))
        model.fit(IRIS_X, IRIS_Y, sample_weight=weights)
        # The third class had no weight, so it is not told from the second.
        assert (model.predict(IRIS_X[IRIS_Y == 2]) != 2).all()
        # The default scorer of a pipeline takes no request in scikit-learn 1.7.
        options = {
            "scoring": get_scorer("accuracy").set_score_request(sample_weight=True),
            "error_score": "raise",
        }
        scores = cross_val_score(model, IRIS_X, IRIS_Y, params={"sample_weight": weights}, **options)
        assert (scores > 0.9).all()
        search = GridSearchCV(model, {"sgdclassifierplus__alpha": [1e-4, 1e-2]}, **options)
        assert search.fit(IRIS_X, IRIS_Y, sample_weight=weights).best_score_ > 0.9


def test_weights_that_are_not_requested_are_refused(classifier):
    with config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clone(classifier))
        with pytest.raises(
            ValueError, match=r"sample_weight.* are passed but are not explicitly set as requested"
        ):
            model.fit(IRIS_X, IRIS_Y, sample_weight=np.ones(150))


def test_routing_of_sample_weight_and_classes_to_partial_fit(classifier):
    with config_context(enable_metadata_routing=True):
        model = clone(classifier).set_partial_fit_request(sample_weight=True, classes=True)
        routed = OneVsRestClassifier(model)
        assert "sample_weight" in str(routed.get_metadata_routing())


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array])
def test_validation_set_through_a_pipeline(estimator, to_input):
    rng = np.random.RandomState(0)
    X, X_val = 1e3 * IRIS_X + 5, to_input(1e3 * IRIS_X[::2] + 5)
    y, y_val, weights = IRIS_Y, IRIS_Y[::2], rng.rand(75)
    scaler = StandardScaler(with_mean=False)
    with config_context(enable_metadata_routing=True):
        last = estimator(random_state=0, early_stopping=True)
        last.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        pipe = Pipeline([("scale", scaler), ("model", last)], transform_input=["X_val"])
        pipe.fit(to_input(X), y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    alone = estimator(random_state=0, early_stopping=True)
    scaled = scaler.fit(to_input(X))
    options = {"X_val": scaled.transform(X_val), "y_val": y_val, "sample_weight_val": weights}
    alone.fit(scaled.transform(to_input(X)), y, **options)
    assert_array_equal(pipe["model"].coef_, alone.coef_)
    assert pipe["model"].validation_scores_ == alone.validation_scores_
    # Had the validation set not been scaled, the scores would be of another order.
    assert max(alone.validation_scores_) > -0.3


def test_initial_weights_are_routed(classifier):
    with config_context(enable_metadata_routing=True):
        model = classifier.set_params(max_iter=1, tol=None, eta0=1e-9)
        model.set_fit_request(coef_init=True, intercept_init=True)
        pipe = make_pipeline(StandardScaler(), model)
        pipe.fit(IRIS_X, IRIS_Y, coef_init=np.ones((3, 4)), intercept_init=np.ones(3))
    assert_allclose(model.coef_, 1, atol=1e-6)
