"""`alpha="auto"`: which multiple of 1/n is chosen, and what the choice depends on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto import leaving_out, strength
from sgdkit.auto.strength import CANDIDATES, FEWEST_ROWS, _nearest
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from sgdkit.training import span
from tests.problems import LOG_LINK, LOSSES

SHORT = {"max_iter": 1, "tol": None, "random_state": 0}
IRIS = load_iris(return_X_y=True)
RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((200, 60)), RNG.integers(0, 2, 200)


def multiple(model, X, y, **options):
    """c of ``alpha_ = c / n``."""
    weights = options.get("sample_weight")
    return clone(model).fit(X, y, **options).alpha_ * (len(y) if weights is None else np.sum(weights))


def test_classes_far_apart_need_less_and_noise_needs_more():
    model = SGDClassifierPlus(**SHORT)
    assert multiple(model, *IRIS) < 0.5
    assert multiple(model, *NOISE) == pytest.approx(10)


@pytest.mark.parametrize("data", [IRIS, load_diabetes(return_X_y=True)], ids=["classes", "numbers"])
@pytest.mark.parametrize("unit", [1e-90, 1e-3, 0.5])
def test_weights_that_sum_to_fewer_than_the_rows_have_no_unit(data, unit):
    """They cannot be repetitions."""
    X, y = data
    model = (SGDClassifierPlus if data is IRIS else SGDRegressorPlus)(random_state=0)
    weights = np.random.default_rng(0).random(len(y)) + 0.5
    weights /= weights.mean()
    expected, found = (clone(model).fit(X, y, sample_weight=w) for w in (weights, unit * weights))
    assert found.alpha_ == pytest.approx(expected.alpha_)
    assert_allclose(found.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    if data is IRIS:
        found = clone(model).set_params(class_weight=dict.fromkeys(range(3), unit)).fit(X, y)
        assert_allclose(found.coef_, clone(model).fit(X, y).coef_, rtol=1e-6, atol=1e-9)


def test_the_choice_is_that_of_models_trained_to_their_end():
    """Held-out losses of digits are .162, .107, .126 and .175 at c = 10, 1, .1 and .01; of `LogisticRegression`."""
    X, y = load_digits(return_X_y=True)
    assert multiple(SGDClassifierPlus(**SHORT), X, y) == pytest.approx(1)


def test_single_precision_tells_the_same(monkeypatch):
    X, y = load_digits(return_X_y=True)
    models = [SGDClassifierPlus(random_state=0).fit(X, y)]
    monkeypatch.setattr(strength, "SMALLEST_SIZE", np.inf)
    models.append(SGDClassifierPlus(random_state=0).fit(X, y))
    assert models[0].alpha_ == models[1].alpha_
    assert models[0].coef_.dtype == models[1].coef_.dtype == np.float64
    assert_allclose(*(model.loss_curve_[-1] for model in models), rtol=0.01)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_diabetes])
def test_it_does_not_matter_which_models_are_trained_together(load, monkeypatch):
    X, y = load(return_X_y=True)
    model = SGDRegressorPlus(**SHORT) if load is load_diabetes else SGDClassifierPlus(**SHORT)
    chosen = multiple(model, X, y)
    monkeypatch.setattr(leaving_out, "MOST_PRODUCTS", 0)
    assert multiple(model, X, y) == pytest.approx(chosen)
    monkeypatch.setattr(strength, "FEW_SCORES", 0)
    assert multiple(model, X, y) == pytest.approx(chosen)
    monkeypatch.setattr(strength, "SHARE_GOING_ON", -1)
    assert multiple(model, X, y) == pytest.approx(chosen)


def test_where_little_can_be_told_it_is_one():
    X, y = load_diabetes(return_X_y=True)
    assert multiple(SGDRegressorPlus(**SHORT), X, y) == pytest.approx(1)
    model = SGDClassifierPlus(**SHORT)
    few = RNG.permutation(150)[: FEWEST_ROWS - 1]
    assert multiple(model, IRIS[0][few], IRIS[1][few]) == pytest.approx(1)
    assert multiple(model, np.tile(IRIS[0][few], (9, 1)), np.tile(IRIS[1][few], 9)) != 10
    assert multiple(model.set_params(penalty=None), *IRIS) == pytest.approx(1)
    assert multiple(model.set_params(penalty="l2", loss="perceptron"), *IRIS) == pytest.approx(1)


@pytest.mark.parametrize("data", [IRIS, NOISE], ids=["iris", "noise"])
def test_of_one_batch_the_choice_is_that_of_the_rows_in_any_order_and_form(data):
    X, y = data
    model = SGDClassifierPlus(**SHORT)
    chosen = multiple(model, X, y)
    order = np.random.default_rng(1).permutation(len(y))
    assert multiple(model, X[order], y[order]) == pytest.approx(chosen)
    assert multiple(model, sparse.csr_array(X), y) == pytest.approx(chosen)
    assert multiple(model.set_params(random_state=7), X, y) == pytest.approx(chosen)


@pytest.mark.parametrize("data", [IRIS, NOISE], ids=["iris", "noise"])
def test_of_one_batch_weights_are_repetition(data):
    X, y = data[0][::2], data[1][::2]
    weights = np.random.default_rng(1).integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)
    model = SGDClassifierPlus(batch_size=1000, **SHORT)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    twice = clone(model).fit(X[repeated], y[repeated])
    assert_allclose(weighted.alpha_, twice.alpha_)


@pytest.mark.parametrize("n_copies", [1, 10])
def test_optimizer_and_rate_have_no_say(n_copies):
    X, y = np.tile(IRIS[0], (n_copies, 1)), np.tile(IRIS[1], n_copies)
    models = [SGDClassifierPlus(optimizer=optimizer, **SHORT) for optimizer in OPTIMIZERS]
    given = {"eta0": 1e-3, "learning_rate": "constant", "average": True}
    models += [SGDClassifierPlus(optimizer="adagrad", **given, **SHORT)]
    assert len({round(multiple(model, X, y), 9) for model in models}) == 1


@pytest.mark.parametrize("penalty", [name for name in PENALTIES if name])
@pytest.mark.parametrize(("estimator", "loss"), LOSSES)
def test_it_is_a_candidate_for_any_loss_and_penalty(estimator, loss, penalty):
    X = RNG.standard_normal((300, 4))
    y = np.exp(np.clip(X[:, 0], -1, 1))
    # In a unit in which the loss is about as steep as a squared error.
    y /= y.mean() if loss in LOG_LINK else y.std()
    model = estimator(loss, penalty=penalty, epsilon=1.0, **SHORT)
    assert np.isclose(multiple(model, X, y > 1 if is_classifier(model) else y), CANDIDATES).any()


def test_several_outputs_and_labels():
    X = RNG.standard_normal((300, 4))
    assert np.isclose(multiple(SGDRegressorPlus(**SHORT), X, X[:, :2]), CANDIDATES).any()
    assert np.isclose(multiple(SGDClassifierPlus(**SHORT), X, (X[:, :2] > 0) * 1), CANDIDATES).any()


def test_partial_fit_goes_on_with_the_multiple_of_a_fit():
    model = SGDClassifierPlus(**SHORT).fit(*IRIS)
    c = 150 * model.alpha_
    assert c < 1
    model.partial_fit(*IRIS)
    assert model.alpha_ == pytest.approx(c / 300)


@pytest.mark.parametrize("n_rows", [150, 1200, 6000])
def test_a_search_chooses_for_each_fold_what_a_fit_does(n_rows):
    generator = np.random.default_rng(3)
    X = generator.standard_normal((n_rows, 5))
    y = (X[:, 0] + 0.1 * generator.standard_normal(n_rows) > 0).astype(int)
    folds = [(np.arange(n_rows // 5, n_rows), np.arange(n_rows // 5))]
    model = SGDClassifierPlus(**SHORT)
    search = OnePassGridSearchCV(
        model, {"alpha": ["auto", 1e-3]}, cv=folds, scoring="neg_log_loss", refit=False
    )
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    train, test = folds[0]
    for score, alpha in zip(scores, ["auto", 1e-3], strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[train], y[train])
        losses = np.logaddexp(0, -(2 * y[test] - 1) * alone.decision_function(X[test]))
        assert_allclose(score, -losses.mean(), rtol=1e-9)


NONE = np.zeros(3, dtype=bool)


def test_another_candidate_has_to_be_clearly_better():
    groups = np.ones(5)
    base = np.array([1.0, 1.1, 0.9, 1.0, 1.0])
    clearly = np.column_stack([base, base - 0.5, base + 1])
    assert _nearest(clearly, groups, NONE) == 1
    by_chance = np.column_stack([base, base + np.array([-0.9, 0.5, 0.2, 0.1, 0.0])])
    assert by_chance[:, 1].mean() < base.mean()
    assert _nearest(by_chance, groups, NONE[:2]) == 0
    assert _nearest(np.column_stack([base, np.full(5, np.nan)]), groups, NONE[:2]) == 0
    # One that is not clearly worse than the best, but nearer to 1, is taken; one whose training goes on is not.
    nearer = np.column_stack([base, base - 0.5, by_chance[:, 1] - 0.6])
    assert nearer[:, 2].mean() < nearer[:, 1].mean()
    assert _nearest(nearer, groups, NONE) == 1
    assert _nearest(nearer, groups, np.array([False, True, False])) == 2
    assert _nearest(nearer, groups, np.array([True, True, True])) == 0
    # A group without a row says nothing.
    assert _nearest(np.vstack([clearly, np.zeros(3)]), np.append(groups, 0), NONE) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_whose_loss_overflows_where_it_is_held_out(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3)).astype(dtype)
    y = rng.poisson(np.exp(X @ [3.0, -2.0, 1.0]))
    X[0] *= 50
    model = SGDRegressorPlus(loss="poisson", optimizer="gd", random_state=0).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert len(model.loss_curve_) > 5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("estimator", [SGDClassifierPlus, SGDRegressorPlus])
def test_of_a_wide_table_the_span_of_its_rows_tells_the_same(estimator, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 400)).astype(dtype)
    X[45:] = X[:45]
    scores, n_features = X[:, :40].sum(axis=1) + rng.standard_normal(90), []
    y = scores > 0 if estimator is SGDClassifierPlus else scores
    monkeypatch.setattr(leaving_out, "MOST_PRODUCTS", 0)
    monkeypatch.setattr(
        strength,
        "_stages",
        lambda models, *args, stages=strength._stages, **options: (
            n_features.append(models.rows.n_features) or stages(models, *args, **options)
        ),
    )
    monkeypatch.setattr(span, "FEWEST_FEATURES", 400)
    # Models that have come to their end do not depend on the way there.
    monkeypatch.setattr(strength, "SETTLED", 1e-6)
    monkeypatch.setattr(strength, "STILL_FALLING", 1e-6)
    model = estimator(**SHORT)
    chosen = multiple(model, X, y)
    monkeypatch.setattr(span, "MOST_ROWS", 5)
    assert multiple(model, X, y) == pytest.approx(chosen)
    assert set(n_features) == {90, 400}
