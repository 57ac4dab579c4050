"""The regressor: what it learns, quantiles, log links, several outputs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_pinball_loss

from sgdkit import SGDRegressorPlus
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS
from tests.pairs import all_pairs
from tests.problems import ADAPTIVE, DIABETES, LOG_LINK, has_kinks, skip_kinks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("batch_size", ["auto", 1, 16])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_regressor_beats_the_dummy(loss, optimizer, batch_size):
    X, y = DIABETES
    model = SGDRegressorPlus(loss, optimizer=optimizer, batch_size=batch_size, epsilon=10.0, max_iter=200)
    model.set_params(random_state=0, alpha=1e-6).fit(X, y)
    assert DummyRegressor().fit(X, y).score(X, y) == 0
    # Least squares reach 0.518.
    assert model.score(X, y) > 0.4


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_quantiles(q, optimizer):
    skip_kinks(optimizer, "quantile")
    X, y = DIABETES
    model = SGDRegressorPlus(
        "quantile", quantile=q, optimizer=optimizer, alpha=1e-6, max_iter=500, random_state=0
    )
    below = (y <= model.fit(X, y).predict(X)).mean()
    assert abs(below - q) < 0.06
    constant = mean_pinball_loss(y, np.full_like(y, np.quantile(y, q)), alpha=q)
    assert mean_pinball_loss(y, model.predict(X), alpha=q) < 0.9 * constant


@pytest.mark.parametrize("loss", LOG_LINK)
def test_a_log_link_predicts_by_the_exponential(loss):
    X, y = DIABETES
    model = SGDRegressorPlus(loss, random_state=0).fit(X, y)
    assert_allclose(model.predict(X), np.exp(X @ model.coef_ + model.intercept_))


def test_a_constant_output_among_others_is_no_hindrance():
    X = load_breast_cancer().data.astype(np.float32)
    model = SGDRegressorPlus().fit(X, np.column_stack([np.zeros(len(X)), X[:, 0]]))
    assert model.optimizer_.full_batch
    assert_allclose(model.coef_[0], 0, atol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_outputs_of_different_scales(optimizer, loss):
    skip_kinks(optimizer, loss)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 4))
    y = X @ [1, 0.5, 0, 1] + 1 + 0.1 * rng.standard_normal(600)
    model = SGDRegressorPlus(loss, optimizer=optimizer, epsilon=1e9, alpha=1e-9, random_state=0)
    # A step of the gradient's scale has none where the gradient itself has none.
    scaled = optimizer in ADAPTIVE or REGRESSOR_LOSSES[loss].smooth
    scales = [1.0, 1e4 if scaled else 2.0]
    predicted = model.fit(X, np.column_stack([scale * y for scale in scales])).predict(X)
    for column, scale in zip(predicted.T, scales, strict=True):
        assert 1 - np.mean((column / scale - y) ** 2) / y.var() > 0.9
