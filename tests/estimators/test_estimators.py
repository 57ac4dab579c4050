"""What the parameters and methods of both estimators do."""

import copy
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import LogLoss
from sgdkit.optimizers import OPTIMIZERS, SGD, Adam
from sgdkit.penalties import PENALTIES
from tests.problems import CANCER, DIABETES, ESTIMATORS, FULL_BATCH, IRIS, skip_kinks


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_penalties(optimizer, penalty):
    skip_kinks(optimizer, penalty=penalty)
    X, y = CANCER
    options = {"optimizer": optimizer, "penalty": penalty, "random_state": 0, "l1_ratio": 0.5}
    weak, strong = (SGDClassifierPlus(alpha=alpha, **options).fit(X, y) for alpha in (1e-4, 0.1))
    if penalty is None:
        # There is nothing for alpha to weigh, but the schedule that takes its slope from it.
        assert weak.score(X, y) > 0.97
        if OPTIMIZERS[optimizer]().default_schedule(LogLoss) != "optimal":
            assert_array_equal(weak.coef_, strong.coef_)
        return
    assert np.abs(strong.coef_).sum() < np.abs(weak.coef_).sum()
    if penalty != "l2" and optimizer in FULL_BATCH:
        assert (strong.coef_ == 0).sum() > 10


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_elasticnet_of_one_and_of_zero_are_l1_and_l2(optimizer):
    skip_kinks(optimizer, penalty="l1")
    options = {"optimizer": optimizer, "alpha": 0.01, "random_state": 0}
    for ratio, name in (1.0, "l1"), (0.0, "l2"):
        a = SGDClassifierPlus(penalty="elasticnet", l1_ratio=ratio, **options).fit(*IRIS)
        assert_array_equal(a.coef_, SGDClassifierPlus(penalty=name, **options).fit(*IRIS).coef_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_intercept(optimizer):
    for model in SGDClassifierPlus(fit_intercept=False), SGDRegressorPlus(fit_intercept=False):
        model.set_params(optimizer=optimizer, random_state=0).fit(*IRIS)
        assert_array_equal(model.intercept_, 0)
        model.partial_fit(*IRIS)
        assert_array_equal(model.intercept_, 0)


def test_shapes():
    assert SGDClassifierPlus().fit(*CANCER).coef_.shape == (1, 30)
    assert SGDClassifierPlus().fit(*CANCER).intercept_.shape == (1,)
    assert SGDClassifierPlus().fit(*CANCER).decision_function(CANCER[0]).shape == (569,)
    assert SGDClassifierPlus().fit(*IRIS).coef_.shape == (3, 4)
    assert SGDClassifierPlus().fit(*IRIS).decision_function(IRIS[0]).shape == (150, 3)
    assert SGDRegressorPlus().fit(*DIABETES).coef_.shape == (10,)
    assert SGDRegressorPlus().fit(*DIABETES).intercept_.shape == (1,)
    several = SGDRegressorPlus().fit(DIABETES[0], DIABETES[0][:, :3])
    assert several.coef_.shape == (3, 10)
    assert several.intercept_.shape == (3,)


# --------------------------------------------------------------------------------------- optimizers and rates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_stands_for_the_defaults(name):
    a, b = (SGDClassifierPlus(optimizer=o, random_state=0).fit(*IRIS) for o in (name, OPTIMIZERS[name]()))
    assert_array_equal(a.coef_, b.coef_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_that_was_used_is_published(optimizer):
    auto = SGDClassifierPlus(optimizer=optimizer, random_state=0).fit(*IRIS)
    assert auto.eta0_ > 0
    given = SGDClassifierPlus(optimizer=optimizer, eta0=0.0625, random_state=0).fit(*IRIS)
    assert given.eta0_ == 0.0625
    if not OPTIMIZERS[optimizer]().backtracks(LogLoss):
        again = SGDClassifierPlus(optimizer=optimizer, eta0=auto.eta0_, random_state=0).fit(*IRIS)
        assert_array_equal(again.coef_, auto.coef_)


def test_parameters_of_an_optimizer_are_parameters_of_the_estimator():
    model = SGDClassifierPlus(optimizer=Adam(beta_2=0.9))
    assert model.get_params()["optimizer__beta_2"] == 0.9
    model.set_params(optimizer__beta_2=0.5, alpha=0.1)
    assert model.optimizer == Adam(beta_2=0.5)
    copied = clone(model)
    assert copied.optimizer == model.optimizer
    assert copied.optimizer is not model.optimizer
    assert repr(model) == "SGDClassifierPlus(alpha=0.1, optimizer=Adam(beta_2=0.5))"
    with pytest.raises(ValueError, match="Invalid parameter 'momentum' for estimator Adam"):
        model.set_params(optimizer__momentum=0.5)
    assert re.sub(r"\s+", " ", str(SGDRegressorPlus(optimizer=SGD(momentum=0.9)))) == (
        "SGDRegressorPlus(optimizer=SGD(momentum=0.9))"
    )


def test_a_parameter_set_between_fits_counts_in_the_next():
    model = SGDClassifierPlus(
        optimizer=Adam(), warm_start=True, random_state=0, batch_size=7, max_iter=3, tol=None
    )
    other = copy.deepcopy(model.fit(*IRIS))
    model.set_params(optimizer__beta_1=0.1).fit(*IRIS)
    assert not np.array_equal(model.coef_, other.fit(*IRIS).coef_)


# ------------------------------------------------------------------------------------------ sparsify, densify


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sparsify_and_densify(estimator):
    X, y = IRIS
    model = estimator(penalty="l1", alpha=0.1, optimizer="gd", random_state=0).fit(X, y)
    dense, predicted = model.coef_.copy(), model.predict(X)
    assert model.sparsify() is model
    assert sparse.issparse(model.coef_)
    assert_allclose(model.predict(X), predicted, rtol=1e-12)
    assert_allclose(model.predict(sparse.csr_array(X)), predicted, rtol=1e-12)
    going_on = copy.deepcopy(model).partial_fit(X, y)
    assert model.densify() is model
    assert_array_equal(np.ravel(model.coef_), np.ravel(dense))
    assert_allclose(going_on.coef_, model.partial_fit(X, y).coef_, rtol=1e-12)


# ---------------------------------------------------------------------------------------------------- verbose


NUMBER = r"-?[\d.]+(e[-+]\d+)?"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_verbose_prints_one_line_an_epoch(optimizer, capsys):
    model = SGDClassifierPlus(optimizer=optimizer, verbose=1, max_iter=4, tol=None, random_state=0)
    model.fit(*IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for n, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"Epoch {n}: objective {NUMBER}, rate {NUMBER}, {NUMBER} s", line)
    assert f"{model.loss_curve_[2]:.6g}" in lines[2]
    model.set_params(early_stopping=True).fit(*IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert f"validation score {model.validation_scores_[2]:.6g}" in lines[2]


def test_silent_by_default(capfd):
    SGDClassifierPlus().fit(*IRIS)
    assert capfd.readouterr() == ("", "")
