"""Values and rates of any size: a finite model, or an error that says what to do."""

import numpy as np
import pytest
from scipy import sparse

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.optimizers import OPTIMIZERS
from tests.pairs import all_pairs
from tests.problems import LOG_LINK, LOSSES, WITH_RATES, error_of, has_kinks

X = np.random.RandomState(0).normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize("optimizer", WITH_RATES)
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


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize(("estimator", "loss"), LOSSES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nothing_is_ever_silently_nan(estimator, loss, scale, optimizer):
    """Features of an absurd size end in a finite model, or in an error that says what to do."""
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


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("loss", sorted({*REGRESSOR_LOSSES} - {*LOG_LINK}))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_targets_of_any_size_are_fitted(loss, scale, optimizer):
    """With a rate chosen from the data; a log link has a unit of its own."""
    y = scale * (X @ np.arange(4.0) + 0.1 * np.cos(np.arange(40)))
    model = SGDRegressorPlus(loss, optimizer=optimizer, penalty=None, epsilon=0.1 * scale, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.5


# Beside features that are as they should be; what to blame, and whether that depends on the dtype.
SIZES = [1e300, 1.7e308 / 4, 1e200, 1e155, 1e-162, 1e-200, 1e-300, 1e-320]


@all_pairs
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_feature_whose_squares_overflow_or_underflow_is_named(size, standardize, optimizer):
    rows = X.copy()
    rows[:, 2] *= size
    for loss in "squared_hinge", "log_loss":
        model = SGDClassifierPlus(loss, optimizer=optimizer, standardize=standardize, random_state=0)
        for act in (
            lambda model=model: model.fit(rows, Y),
            lambda model=model: model.fit(sparse.csr_array(rows), Y),
            lambda model=model: model.partial_fit(rows, Y, classes=[0, 1]),
        ):
            with pytest.raises(
                ValueError, match=f"feature 2 are too {'large' if size > 1 else 'small'}: their squares"
            ):
                act()
        assert not hasattr(model, "coef_")


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_a_constant_feature_may_be_of_any_size(size, optimizer):
    rows = np.hstack([X, np.full((40, 1), size)])
    expected = SGDClassifierPlus(optimizer=optimizer, random_state=0).fit(X, Y)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0).fit(rows, Y)
    np.testing.assert_allclose(model.coef_[:, :4], expected.coef_, rtol=1e-6)
    assert model.coef_[0, 4] == 0


@pytest.mark.parametrize("size", [1e160, 1e200, 1e300, 1e-160, 1e-200, 1e-320])
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_targets_whose_squares_overflow_or_underflow(loss, size):
    model, y = SGDRegressorPlus(loss, random_state=0), size * (np.abs(X[:, 0]) + 1)
    for act in lambda: model.fit(X, y), lambda: model.partial_fit(X, y):
        with pytest.raises(ValueError, match=f"values of y are too {'large' if size > 1 else 'small'}"):
            act()
    with pytest.raises(ValueError, match=r"values of y are too .* in float32"):
        model.fit(X.astype(np.float32), size ** (1 / 8) * (y / size))
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
def test_weights_that_overflow_once_the_scale_is_undone(optimizer):
    """In float64 they cannot, since features are not so small, nor targets so large."""
    rows, y = (1e-30 * X[:, ::-1]).astype(np.float32), 1e10 * X[:, 0]
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0, max_iter=20, tol=None)
    stopped = SGDRegressorPlus(optimizer=optimizer, random_state=0, max_iter=20, early_stopping=True)
    for act in lambda: model.fit(rows, y), lambda: stopped.fit(rows, y), lambda: model.partial_fit(rows, y):
        with pytest.raises(ValueError, match=r"weight of feature \d overflows"):
            act()
    assert not hasattr(model, "coef_")
    assert not hasattr(stopped, "coef_")


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
def test_a_feature_that_varies_little_in_float32(optimizer):
    z = np.random.RandomState(0).normal(size=(300, 1))
    rows = (1000 + 1e-3 * z).astype(np.float32)
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0)
    assert model.fit(rows, z[:, 0]).score(rows, z[:, 0]) > 0.99
    with pytest.warns(UserWarning, match="Feature 0 varies by no more than rounding error in float32"):
        model.fit((1000 + 1e-4 * z).astype(np.float32), z[:, 0])


@pytest.mark.filterwarnings("error")
def test_a_constant_feature_is_no_warning():
    for dtype in np.float32, np.float64:
        rows = np.hstack([X, np.full((40, 1), 0.1)]).astype(dtype)
        SGDClassifierPlus(random_state=0).fit(rows, Y).partial_fit(rows, Y)


@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
@pytest.mark.parametrize("size", [1e160, 1e300])
def test_rows_as_they_are_for_which_there_is_no_rate(size, optimizer):
    """With averaging, or a rate of one's own, features are not scaled."""
    options = {"optimizer": optimizer, "standardize": False, "random_state": 0}
    for model in SGDClassifierPlus(average=True, **options), SGDClassifierPlus(eta0=0.1, **options):
        with pytest.raises(ValueError, match="Scale"):
            model.fit(size * X, Y)
