"""The regularisation path has the models that the estimator alone fits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import regularization_path
from sgdkit.optimizers import OPTIMIZERS
from tests.model_selection.searches import ALL_KINDS, make_data, make_model
from tests.pairs import all_pairs
from tests.problems import first_of_each_kind

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# More than one pass of some, in no order.
ALPHAS = np.random.default_rng(0).permutation(np.geomspace(1e-5, 1.0, 30))


@all_pairs
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", first_of_each_kind(OPTIMIZERS))
@ALL_KINDS
def test_a_path_has_the_models_of_the_estimator_alone(kind, optimizer, weighted, container):
    X, y = make_data(kind)
    X = container(X)
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float) if weighted else None
    model = make_model(kind, optimizer=optimizer, penalty="l1", alpha=7.0)
    path = regularization_path(model, X, y, ALPHAS, sample_weight=weights)
    assert not hasattr(model, "coef_")
    assert_array_equal(path.alphas, ALPHAS)
    for k in 0, 11, 29:
        alone = clone(model).set_params(alpha=ALPHAS[k]).fit(X, y, weights)
        assert_allclose(path.coef_path[k], alone.coef_, rtol=1e-9, atol=1e-12)
        assert_allclose(path.intercept_path[k], alone.intercept_, rtol=1e-9, atol=1e-12)
        assert path.n_iter[k] == alone.n_iter_
    assert path.coef_path.shape == (30, *alone.coef_.shape)
    assert path.intercept_path.shape == (30, *alone.intercept_.shape)


def test_defaults_and_early_stopping():
    X, y = make_data("classes")
    for options in {}, {"early_stopping": True}:
        model = SGDClassifierPlus(random_state=0, **options)
        path = regularization_path(model, X, y, ALPHAS[:3])
        alone = clone(model).set_params(alpha=ALPHAS[2]).fit(X, y)
        assert_allclose(path.coef_path[2], alone.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alphas", [[], [[1.0]], [-1.0], [np.nan], ["a"]])
def test_bad_strengths(alphas):
    with pytest.raises(ValueError, match=r"alphas|convert|array"):
        regularization_path(make_model("classes"), *make_data("classes"), alphas)


def test_bad_estimators_and_rows():
    X, y = make_data("classes")
    with pytest.raises(ValueError, match="takes an estimator alone"):
        regularization_path(make_pipeline(StandardScaler(), make_model("classes")), X, y, [1.0])
    with pytest.raises(ValueError, match="SGDClassifierPlus or SGDRegressorPlus"):
        regularization_path(StandardScaler(), X, y, [1.0])
    with pytest.raises(ValueError, match="'eta0' parameter"):
        regularization_path(make_model("classes", eta0=-1.0), X, y, [1.0])
    with pytest.raises(ValueError, match=r"overflow|risen"):
        regularization_path(make_model("number", eta0=1e9), *make_data("number"), [1e-3])
    with pytest.raises(ValueError, match="NaN"):
        regularization_path(make_model("classes"), np.where(X > 1, np.nan, X), y, [1.0])
