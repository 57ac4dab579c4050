"""`optimizer="auto"`: which optimizer is taken, and what partial fits go on with."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import GD, LBFGS, SGD, AdaGrad, Adam

DENSE = load_breast_cancer(return_X_y=True)
DIABETES, DIGITS, IRIS = (
    (scale(X), y) for X, y in (load(return_X_y=True) for load in (load_diabetes, load_digits, load_iris))
)
RARE = (DENSE[0] > np.quantile(DENSE[0], 0.95, axis=0)).astype(float), DENSE[1]


@pytest.mark.parametrize("as_rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_auto_takes_full_gradients_where_features_are_dense_and_the_loss_is_smooth(as_rows):
    def chosen(data, **options):
        model = SGDClassifierPlus(max_iter=1, tol=None, alpha=1e-3, **options)
        return model.fit(as_rows(data[0]), data[1]).optimizer_

    assert chosen(DENSE) == chosen(DENSE, penalty=None) == LBFGS()
    assert chosen(DENSE, penalty="l1") == chosen(DENSE, penalty="elasticnet", l1_ratio=0.5) == GD()
    assert chosen(DENSE, penalty="elasticnet", l1_ratio=0) == LBFGS()
    assert chosen(RARE) == AdaGrad()
    assert chosen(DENSE, loss="hinge") == AdaGrad()
    assert chosen(DENSE, early_stopping=True) == LBFGS()
    for name, value in {"batch_size": 8, "average": True}.items():
        assert chosen(DENSE, **{name: value}) == AdaGrad()
    for name, value in {"eta0": 0.1, "learning_rate": "constant"}.items():
        assert chosen(DENSE, **{name: value}) == SGD()
    assert chosen(DENSE, optimizer="adam") == Adam()
    # Rows of weight 0 are absent.
    many_empty = np.vstack([DENSE[0], np.zeros((9 * len(DENSE[0]) + 100, 30))])
    y, weights = np.tile(DENSE[1], 11)[: len(many_empty)], np.arange(len(many_empty)) < len(DENSE[0])
    model = SGDClassifierPlus(max_iter=1, tol=None, alpha=1e-3)
    assert model.fit(as_rows(many_empty), y).optimizer_ == AdaGrad()
    assert model.fit(as_rows(many_empty), y, sample_weight=weights).optimizer_ == LBFGS()


@pytest.mark.parametrize("tol", ["auto", None])
@pytest.mark.parametrize("max_iter", [1, 5])
def test_few_epochs_of_many_classes_are_not_full_gradients(max_iter, tol):
    model = SGDClassifierPlus(max_iter=max_iter, tol=tol, random_state=0).fit(*load_digits(return_X_y=True))
    assert model.score(*load_digits(return_X_y=True)) > {1: 0.95, 5: 0.97}[max_iter]


def test_a_search_does_not_mix_few_epochs_with_many():
    X, y = DIGITS[0][:600], DIGITS[1][:600]
    model, grid = SGDClassifierPlus(tol=None, random_state=0), {"max_iter": [5, 40]}
    shared, apart = (search(model, grid, cv=2).fit(X, y) for search in (OnePassGridSearchCV, GridSearchCV))
    assert_array_equal(shared.cv_results_["mean_test_score"], apart.cv_results_["mean_test_score"])


def test_auto_goes_on_in_chunks_with_adagrad_and_warm_with_what_it_took():
    model = SGDClassifierPlus(warm_start=True, random_state=0).fit(*DENSE)
    n_steps = model.t_
    model.fit(*DENSE)
    assert model.optimizer_ == LBFGS()
    assert model.t_ > n_steps
    before = log_loss(DENSE[1], model.predict_proba(DENSE[0]))
    model.partial_fit(*DENSE)
    assert model.optimizer_ == AdaGrad()
    assert model.t_ == 1 + len(DENSE[1])
    assert log_loss(DENSE[1], model.predict_proba(DENSE[0])) < 1.5 * before


@pytest.mark.parametrize("n_rows", [1, 30])
def test_a_chunk_after_a_fit_changes_little(n_rows):
    model = SGDClassifierPlus(random_state=0).fit(*DENSE)
    before = log_loss(DENSE[1], model.predict_proba(DENSE[0]))
    loaded = pickle.loads(pickle.dumps(model))
    for copied in model, loaded:
        copied.partial_fit(DENSE[0][:n_rows], DENSE[1][:n_rows])
    assert_array_equal(loaded.coef_, model.coef_)
    assert log_loss(DENSE[1], model.predict_proba(DENSE[0])) < 1.05 * before


def test_of_many_classes_sgd_takes_rows_of_about_one_weight():
    X, y = DIGITS
    X, weights = X * (np.abs(X) > 1.5), np.exp(2 * np.random.default_rng(0).standard_normal(len(y)))
    model = SGDClassifierPlus(random_state=0)
    assert model.fit(X, y).optimizer_ == SGD()
    assert model.fit(X, y, sample_weight=3 * np.ones(len(y))).optimizer_ == SGD()
    assert model.fit(X, y, sample_weight=1 + (weights > 1)).optimizer_ == SGD()
    assert model.fit(X, y, sample_weight=weights).optimizer_ == AdaGrad()
    assert model.loss_curve_[-1] < np.log(10) / 3


SPELT_OUT = {
    "regressor": (SGDRegressor, SGDRegressorPlus, DIABETES, {"eta0": 0.01}),
    "regressor, invscaling": (
        SGDRegressor,
        SGDRegressorPlus,
        DIABETES,
        {"learning_rate": "invscaling", "eta0": 0.01, "power_t": 0.25},
    ),
    "digits": (SGDClassifier, SGDClassifierPlus, DIGITS, {"learning_rate": "invscaling", "eta0": 0.01}),
    "iris": (
        SGDClassifier,
        SGDClassifierPlus,
        IRIS,
        {"loss": "hinge", "learning_rate": "constant", "eta0": 0.01},
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("theirs", "ours", "data", "options"), SPELT_OUT.values(), ids=SPELT_OUT)
def test_settings_of_stochastic_gradients_mean_what_they_do_in_scikit_learn(theirs, ours, data, options):
    peer, model = theirs(random_state=0, **options).fit(*data), ours(random_state=0, **options).fit(*data)
    assert model.optimizer_ == SGD()
    assert model.t_ == 1 + model.n_iter_ * len(data[1])
    assert model.score(*data) > peer.score(*data) - 0.01
