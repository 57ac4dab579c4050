"""Values and rates of any size: a finite model, or an error that says what to do."""

import numpy as np
import pytest

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS
from tests.problems import LOG_LINK, LOSSES, error_of, skip_kinks

X = np.random.RandomState(0).normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rate_that_overflows(optimizer, batch_size, dtype):
    model = SGDRegressorPlus(optimizer=optimizer, eta0=1e300, learning_rate="constant", batch_size=batch_size)
    with pytest.raises(
        ValueError, match=r"overflow in epoch \d+.*eta0=.*1e\+300.*[Ss]cale the features.*lower eta0"
    ):
        model.set_params(penalty=None).fit(X.astype(dtype), X[:, 0])


def test_the_epoch_of_an_overflow():
    # Each step multiplies the error by about 1e4, so float64 lasts a while, but the objective tells earlier.
    model = SGDRegressorPlus(optimizer="sgd", eta0=1e4, learning_rate="constant", batch_size=40)
    model.set_params(penalty=None, tol=None)
    with pytest.raises(ValueError, match=r"risen.*epoch [2-9],.*eta0=1e\+04") as caught:
        model.fit(X, X[:, 0])
    assert not hasattr(model, "coef_")
    assert "lower eta0" in str(caught.value)


def test_an_overflow_in_partial_fit_leaves_the_model_before():
    model = SGDRegressorPlus(optimizer="sgd", eta0=0.01, learning_rate="constant", penalty=None, batch_size=1)
    model.partial_fit(X, X[:, 0])
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="lower eta0"):
        model.set_params(eta0=1e300).partial_fit(X, X[:, 0])
    np.testing.assert_array_equal(model.coef_, before)
    assert np.isfinite(model.set_params(eta0=0.01).partial_fit(X, X[:, 0]).coef_).all()


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize(("estimator", "loss"), LOSSES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nothing_is_ever_silently_nan(estimator, loss, scale, optimizer):
    """Features of an absurd size end in a finite model, or in an error that says what to do."""
    skip_kinks(optimizer, loss)
    model = estimator(loss, optimizer=optimizer, max_iter=5, random_state=0)
    y = Y if estimator is SGDClassifierPlus else np.abs(X[:, 0]) + 1
    message = error_of(lambda: model.fit(scale * X, y))
    if message is not None:
        assert "Scale the features" in message
        assert scale > 1
    else:
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.intercept_).all()
        assert np.isfinite(model.loss_curve_).all()


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("loss", sorted({*REGRESSOR_LOSSES} - {*LOG_LINK}))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_targets_of_any_size_are_fitted(loss, scale, optimizer):
    """With a rate chosen from the data; a log link has a unit of its own."""
    skip_kinks(optimizer, loss)
    y = scale * (X @ np.arange(4.0) + 0.1 * np.cos(np.arange(40)))
    model = SGDRegressorPlus(loss, optimizer=optimizer, penalty=None, epsilon=0.1 * scale, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.5
