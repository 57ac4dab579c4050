"""Models in files: skops, mlflow, the pickles of earlier releases; and without what only training needs."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sgdkit import TRUSTED_TYPES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.schedules import SCHEDULES
from tests import pickles
from tests.internals import trainer_of
from tests.problems import KINDS, LOSSES, make, make_X, make_y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def through_skops(model):
    io = pytest.importorskip("skops.io")
    return io.loads(io.dumps(model), trusted=TRUSTED_TYPES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_goes_through_skops(schedule, kind):
    X = make_X()
    y = make_y(X, kind)
    model = make(kind, optimizer="sgd", learning_rate=schedule, warm_start=True, standardize=False).fit(X, y)
    loaded = through_skops(model)
    assert_array_equal(loaded.fit(X, y).coef_, model.fit(X, y).coef_)


@pytest.mark.parametrize(("estimator", "loss"), LOSSES)
def test_every_loss_goes_through_skops(estimator, loss):
    X = make_X()
    y = np.abs(make_y(X, "number")) + 0.1 if "Regressor" in estimator.__name__ else make_y(X, "classes")
    model = estimator(loss, random_state=0).fit(X, y)
    loaded = through_skops(model)
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_searches_go_through_skops(scoring):
    X = make_X()
    y = make_y(X, "classes")
    pipeline = make_pipeline(MaxAbsScaler(), make("classes"))
    grid = {"sgdclassifierplus__alpha": [1e-4, 1e-2]}
    search = OnePassGridSearchCV(pipeline, grid, scoring=scoring).fit(X, y)
    io = pytest.importorskip("skops.io")
    file = io.dumps(search)
    untrusted = set(io.get_untrusted_types(data=file)) - set(TRUSTED_TYPES)
    # Of a scorer that has a name, scikit-learn's own class.
    assert all(name.startswith("sklearn.metrics.") for name in untrusted)
    assert not untrusted or scoring
    loaded = io.loads(file, trusted=[*TRUSTED_TYPES, *untrusted])
    assert_array_equal(loaded.predict(X), search.predict(X))
    assert loaded.best_params_ == search.best_params_


def test_no_trusted_type_is_trusted_in_vain():
    """All are classes that exist, so that a name that has changed is noticed."""
    for name in TRUSTED_TYPES:
        module, _, cls = name.rpartition(".")
        assert isinstance(getattr(__import__(module, fromlist=[cls]), cls), type)


def test_mlflow_writes_skops_and_reads_it(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    X = make_X()
    y = make_y(X, "classes")
    model = make("classes").fit(X, y)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.create_experiment("saving", artifact_location=tmp_path.as_uri())
    mlflow.set_experiment("saving")
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(model, name="model", skops_trusted_types=TRUSTED_TYPES)
    loaded = mlflow.sklearn.load_model(logged.model_uri)
    assert_array_equal(loaded.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)


# ------------------------------------------------------------------------------ models that only predict


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_the_state_a_model_predicts_and_is_little_more_than_its_weights(optimizer):
    X = sparse.random(300, 2000, 0.01, format="csr", random_state=0)
    y = np.asarray(X.sum(axis=1)).ravel() > 5
    model = make("binary", optimizer=optimizer).fit(X, y)
    before, whole = model.predict_proba(X), len(pickle.dumps(model))
    assert model.drop_training_state() is model
    assert_array_equal(model.predict_proba(X), before)
    assert len(pickle.dumps(model)) < model.coef_.nbytes + 3000 < whole / 4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_without_the_state_training_goes_on_from_the_weights(kind, optimizer):
    X = make_X()
    y = make_y(X, kind)
    options = {"optimizer": optimizer, "alpha": 1e-3, "eta0": 0.01, "warm_start": True, "max_iter": 1}
    model = make(kind, **options).fit(X, y)
    weights = {"coef_init": model.coef_, "intercept_init": model.intercept_}
    anew = make(kind, **options).fit(X, y, **weights)
    model.drop_training_state()
    assert_allclose(model.fit(X, y).coef_, anew.coef_, rtol=1e-12)
    # All classes are known, be they in the chunk or not.
    model.drop_training_state().partial_fit(X[:1], y[:1])
    assert model.coef_.shape == anew.coef_.shape


def test_without_the_state_balanced_classes_are_counted_on():
    X = make_X()
    y = make_y(X, "binary")
    model = make("binary", class_weight="balanced").fit(X, y)
    counts = model._past.kind.class_totals
    model.drop_training_state().partial_fit(X, y)
    assert_array_equal(model._past.kind.class_totals, 2 * counts)


# -------------------------------------------------------------------------------------- earlier releases


@pytest.mark.parametrize("path", pickles.FILES, ids=lambda path: path.stem)
def test_models_that_a_release_has_pickled_predict_and_go_on(path):
    for name, (model, scores) in pickles.load(path).items():
        kind = name.split()[0]
        predict = model.predict if kind in ("number", "numbers") else model.decision_function
        assert_allclose(predict(make_X()), scores, rtol=1e-12, err_msg=name)
        assert trainer_of(model) is not None, name
        n_steps, n_iter = model.t_, model.n_iter_
        model.partial_fit(make_X(), make_y(make_X(), kind))
        assert (model.t_ > n_steps, model.n_iter_) == (True, n_iter + 1), name
        assert np.isfinite(model.coef_).all(), name


def test_the_files_hold_every_kind_and_optimizer():
    for path in pickles.FILES:
        names = {tuple(name.split(maxsplit=1)) for name in pickles.load(path)}
        assert {kind for kind, _ in names} == set(KINDS)
        assert {optimizer for _, optimizer in names} >= {"gd", "sgd", "adagrad", "adam"}
