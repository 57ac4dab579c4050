"""`eta0="auto"`: the rate that is chosen, and that it is a good one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import check_cv
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.rows import Rows
from sgdkit.auto.rate import (
    CANDIDATES,
    CANDIDATES_OF_A_PLAN,
    FIRST_STEPS,
    MANY_STEPS,
    MOST_TIMES,
    OF_A_PLAN,
    SIZE_OF_LABELS,
    SIZE_OF_NUMBERS,
    choose_rates,
)
from sgdkit.losses import CLASSIFIER_LOSSES, Hinge, LogLoss
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.schedules import Constant
from tests.internals import make_problem, replace_everywhere, scaling_of
from tests.problems import ADAPTIVE, PILOTED, SHORT, STOCHASTIC, make_features, make_targets

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


RNG = np.random.default_rng(0)
# Fewer rows than the sample has, so that it is all of them; more than make a single batch.
X = RNG.standard_normal((900, 6)) * (RNG.random((900, 6)) < [1.0, 0.5, 0.2, 0.1, 0.05, 0.8])
LABELS = (X @ RNG.standard_normal(6) > 0).astype(int)
NUMBERS = X @ RNG.standard_normal(6) + RNG.standard_normal(900)
NORMS = 1 + (X**2).sum(axis=1)
LENGTH = np.sqrt((NORMS**2).mean() / NORMS.mean())
SETTINGS = {"standardize": False, "max_iter": 2, "tol": None, "random_state": 0}
DECAYING = [name for name in ADAPTIVE if OPTIMIZERS[name].decays]
STEADY = [name for name in ADAPTIVE if name not in DECAYING]
WITH_MOMENTUM = [OPTIMIZERS[name] for name in ADAPTIVE if "momentum" in OPTIMIZERS[name]().get_params()]


def share_of_steps(batch_size):
    shares = 1 - (1 - (X != 0).mean(axis=0)) ** batch_size
    return np.exp(np.average(np.log(np.minimum(shares, 1)), weights=(X != 0).sum(axis=0)))


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", DECAYING)
def test_a_decaying_metric(optimizer, container):
    for loss, size in ("log_loss", LogLoss.score_size), ("hinge", Hinge.score_size):
        model = SGDClassifierPlus(loss, optimizer=optimizer, **SETTINGS)
        assert_allclose(model.fit(container(X), LABELS).eta0_, size / LENGTH)
        model.set_params(learning_rate="constant")
        assert_allclose(model.fit(container(X), LABELS).eta0_, SIZE_OF_LABELS / LENGTH)
    model = SGDRegressorPlus(optimizer=optimizer, **SETTINGS).fit(container(X), NUMBERS)
    assert_allclose(model.eta0_, SIZE_OF_NUMBERS * NUMBERS.std() / LENGTH)


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("optimizer", STEADY)
def test_a_falling_schedule_is_compared_with_a_falling_metric(optimizer, batch_size):
    options = {"optimizer": optimizer, "batch_size": batch_size, **SETTINGS}
    model = SGDClassifierPlus(learning_rate="invscaling", **options).fit(X, LABELS)
    expected = SIZE_OF_LABELS / LENGTH / np.sqrt(share_of_steps(batch_size))
    assert_allclose(model.eta0_, expected)
    model = SGDClassifierPlus(learning_rate="constant", **options).fit(X, LABELS)
    n_steps = 900 / batch_size
    assert_allclose(model.eta0_, expected / np.sqrt(max(FIRST_STEPS, n_steps)))
    model = SGDClassifierPlus(learning_rate="linear", **options).fit(X, LABELS)
    falling = np.sqrt(max(FIRST_STEPS, n_steps)) * (1 - (max(FIRST_STEPS, n_steps) - 1) / (2 * n_steps))
    assert_allclose(model.eta0_, OF_A_PLAN * expected * LogLoss.score_size / SIZE_OF_LABELS / falling)


@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_hinge"])
@pytest.mark.parametrize("optimizer", PILOTED)
def test_steps_of_classes_follow_from_the_loss(optimizer, loss):
    model = SGDClassifierPlus(loss, optimizer=optimizer, **SETTINGS).fit(X, LABELS)
    assert_allclose(model.eta0_, MOST_TIMES / (CLASSIFIER_LOSSES[loss].stiffness * LENGTH**2))
    # Labels that hardly any row has are no reason for longer steps of the others.
    labels = np.column_stack([LABELS, X[:, 0] > 2.5, np.zeros(len(X))]).astype(int)
    assert SGDClassifierPlus(loss, optimizer=optimizer, **SETTINGS).fit(X, labels).eta0_ == model.eta0_
    # Nor is a weight that one row has: it makes its steps longer as it is.
    weights = np.ones(len(X))
    weights[7] = 1000.0
    assert model.eta0_ / 10 > clone(model).fit(X, LABELS, sample_weight=weights).eta0_


def test_few_steps_are_longer():
    rows, labels = sparse.csr_array(np.tile(X, (20, 1))), np.tile(LABELS, 20)
    model = SGDClassifierPlus(optimizer="sgd", **SETTINGS)
    rates = [clone(model).set_params(max_iter=k).fit(rows, labels).eta0_ for k in (1, 4, 12)]
    steps = np.array([1, 4, 12]) * 900 * 20
    assert_allclose(np.array(rates) / rates[-1], np.clip(MANY_STEPS / steps, 1, MOST_TIMES))


@pytest.mark.parametrize("cls", WITH_MOMENTUM)
def test_momentum_lengthens_steps(cls):
    rates = [SGDClassifierPlus(optimizer=cls(momentum=m), **SETTINGS).fit(X, LABELS).eta0_ for m in (0, 0.75)]
    assert_allclose(rates[1], rates[0] / 4)


@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_where_no_pilot_runs_nothing_is_random(optimizer):
    rates = {
        SGDClassifierPlus(optimizer=optimizer, **{**SETTINGS, "random_state": seed}).fit(X, LABELS).eta0_
        for seed in range(3)
    }
    assert len(rates) == 1


@pytest.mark.parametrize("optimizer", PILOTED)
def test_pilots_are_deterministic_under_the_seed(optimizer):
    large, labels = np.tile(X, (4, 1)), np.tile(LABELS, 4)
    model = SGDClassifierPlus(optimizer=optimizer, **SETTINGS)
    assert clone(model).fit(large, labels).eta0_ == clone(model).fit(large, labels).eta0_


@pytest.mark.parametrize("optimizer", PILOTED)
def test_a_pilot_chooses_between_candidates(optimizer):
    """Rows a hundred times as long need a rate 10,000 times as small."""
    settings = OPTIMIZERS[optimizer](), Constant(1.0)
    options = {"initial": np.zeros((7, 1)), "fit_intercept": False, "seed": 0}
    problems = (make_problem(scale * X, LABELS, LogLoss()) for scale in (10, 1000))
    short, long = (choose_rates(problem, *settings, **options)[0] for problem in problems)
    steps = np.log10(short / long) / np.diff(np.log10(CANDIDATES))[0]
    assert np.log10(short / long) + 0.5 >= 4
    assert abs(steps - 8) <= 1.1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["breast_cancer", "digits", "diabetes"])
def test_the_rate_is_near_the_best_of_a_grid(name, optimizer):
    """By the loss of rows held out, after ten epochs."""
    load = {"breast_cancer": load_breast_cancer, "digits": load_digits, "diabetes": load_diabetes}[name]
    rows, y = load(return_X_y=True)
    rows = StandardScaler().fit_transform(rows)
    train = np.random.default_rng(0).random(len(y)) < 0.7
    estimator = SGDRegressorPlus if name == "diabetes" else SGDClassifierPlus
    settings = {"batch_size": 1, "alpha": 1e-2, "max_iter": 10, "tol": None, "random_state": 0}
    model = estimator(optimizer=optimizer, **settings)

    def loss(eta0):
        fitted = clone(model).set_params(eta0=eta0)
        if optimizer in STOCHASTIC:
            fitted.set_params(learning_rate="linear")
        try:
            fitted.fit(rows[train], y[train])
        except ValueError:  # it overflows
            return np.inf, None
        if name == "diabetes":
            return np.mean((y[~train] - fitted.predict(rows[~train])) ** 2), fitted.eta0_
        return log_loss(y[~train], fitted.predict_proba(rows[~train])), fitted.eta0_

    auto, rate = loss("auto")
    others = [loss(rate * factor)[0] for factor in 10.0 ** np.arange(-1.5, 1.6, 0.5)]
    assert auto <= 1.25 * min(others)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
@pytest.mark.parametrize("n_epochs", [10, 50])
def test_of_one_batch_the_rate_is_near_the_best_of_a_grid(optimizer, n_epochs):
    rows, y = load_wine(return_X_y=True)
    settings = {"max_iter": n_epochs, "alpha": 1e-3, "tol": None, "random_state": 0}
    model = SGDClassifierPlus(optimizer=optimizer, **settings)

    def objective(eta0):
        fitted = clone(model).set_params(eta0=eta0).fit(rows, y)
        loss = log_loss(y, fitted.predict_proba(rows))
        return loss + fitted.alpha_ / 2 * np.sum((rows.std(axis=0) * fitted.coef_) ** 2), fitted.eta0_

    auto, rate = objective("auto")
    others = [objective(rate * factor)[0] for factor in 10.0 ** np.arange(-1, 1.01, 0.25)]
    assert auto <= 1.15 * min(others)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
@pytest.mark.parametrize("n_rows", [25, 60])
def test_of_one_batch_weights_are_repetition(optimizer, n_rows):
    model = SGDClassifierPlus(optimizer=optimizer, max_iter=5, tol=None, random_state=0)
    rows, labels = X[:n_rows], LABELS[:n_rows]
    weighted = clone(model).fit(rows, labels, sample_weight=np.full(n_rows, 2.0))
    repeated = clone(model).fit(np.repeat(rows, 2, axis=0), np.repeat(labels, 2))
    assert_allclose(weighted.eta0_, repeated.eta0_, rtol=1e-9)
    assert_allclose(weighted.alpha_, repeated.alpha_, rtol=1e-9)
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_a_few_long_rows_lower_the_rate(optimizer):
    rows, labels = np.tile(X, (4, 1)), np.tile(LABELS, 4)
    model = SGDClassifierPlus(optimizer=optimizer, **SETTINGS)
    before = clone(model).fit(rows, labels).eta0_
    rows[:10] *= 30
    labels[:10] = 1 - labels[:10]
    assert clone(model).fit(rows, labels).eta0_ < before / 1.5


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_a_few_long_rows_count_wherever_they_are(form):
    """A sample of the rows may hold none of them."""
    rows, labels = np.tile(X, (6, 1)), np.tile(LABELS, 6)
    rows[1234] *= 100
    for seed in (0, 1):
        model = SGDClassifierPlus(optimizer="adagrad", **{**SETTINGS, "random_state": seed}).fit(
            form(rows), labels
        )
        norms = 1 + scaling_of(model).apply(Rows(form(rows))).squared_norms()
        assert norms.max() > 100 * norms.mean()
        formula = LogLoss.score_size / np.sqrt((norms**2).mean() / norms.mean())
        assert_allclose(np.abs(model.eta0_ / formula - CANDIDATES_OF_A_PLAN).min(), 0, atol=1e-9)


@pytest.mark.parametrize("target", [NUMBERS, LABELS], ids=["numbers", "labels"])
def test_a_choice_that_overflows_is_lowered(target, monkeypatch):
    """By tens, until the weights stay finite."""
    chosen = []

    def far_too_large(*args, **options):
        chosen.append(1e3 * choose_rates(*args, **options))
        return chosen[-1]

    replace_everywhere(monkeypatch, choose_rates, far_too_large)
    options = {"optimizer": "sgd", "learning_rate": "constant", "batch_size": 1, "random_state": 0}
    model = SGDRegressorPlus(max_iter=50, **options).fit(X, target)
    assert np.isfinite(model.coef_).all()
    retreats = np.log10(chosen[0][0] / model.eta0_)
    assert_allclose(retreats, round(retreats), atol=1e-9)
    assert retreats >= 1
    with pytest.raises(ValueError, match="lower eta0"):
        model.set_params(eta0=10 * model.eta0_).fit(X, target)


@pytest.mark.parametrize("optimizer", STEADY)
def test_a_rate_is_chosen_anew_for_another_schedule(optimizer):
    X = make_features()
    y = make_targets(X, "numbers")
    model = SGDRegressorPlus(optimizer=optimizer, batch_size=1, warm_start=True, random_state=0).fit(X, y)
    fresh = clone(model).set_params(learning_rate="constant").fit(X, y)
    assert model.set_params(learning_rate="constant").fit(X, y).eta0_ == pytest.approx(fresh.eta0_)


@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_candidates_of_a_search_have_the_same_rate(optimizer):
    model = SGDClassifierPlus(optimizer=optimizer, max_iter=2, random_state=0)
    search = OnePassGridSearchCV(model, {"alpha": [1e-5, 1e-2]}, cv=2).fit(X, LABELS)
    assert search.best_estimator_.eta0_ == clone(model).fit(X, LABELS).eta0_


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_candidates_have_rates_for_their_own_schedules(optimizer):
    X = make_features()
    y = make_targets(X, "numbers")
    model = SGDRegressorPlus(optimizer=optimizer, learning_rate="optimal", batch_size=1, **SHORT)
    folds = [(np.arange(200), np.arange(200, 300))]
    grid = {"alpha": ["auto", 1e-2, 1e-4]}
    found = OnePassGridSearchCV(model, grid, cv=folds, refit=False).fit(X, y).cv_results_["mean_test_score"]
    for score, alpha in zip(found, grid["alpha"], strict=True):
        alone = clone(model).set_params(alpha=alpha).fit(X[:200], y[:200])
        assert score == pytest.approx(alone.score(X[200:], y[200:]), rel=1e-9)


def rows_of_words(n_rows=6000, seed=0):
    """Rows of rare and frequent features, and scores that depend on them."""
    rng = np.random.default_rng(seed)
    words = np.floor(3000 ** rng.random((n_rows, 15))).astype(np.int64)
    begins = np.arange(0, n_rows * 15 + 1, 15)
    X = sparse.csr_array((np.ones(n_rows * 15), words.ravel(), begins), shape=(n_rows, 3000))
    return X, X @ rng.standard_normal(3000)


def tried_multiple(model, X, y):
    """The multiple of the formula's rate that is chosen."""
    norms = 1 + scaling_of(model.fit(X, y)).apply(Rows(X)).squared_norms()
    classes = isinstance(model, SGDClassifierPlus)
    size = CLASSIFIER_LOSSES[model.loss].score_size if classes else SIZE_OF_NUMBERS * y.std()
    return model.eta0_ / (size / np.sqrt((norms**2).mean() / norms.mean()))


@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge", "squared_error", "huber"])
def test_noise_wants_a_smaller_rate(loss):
    """Of a plan, the rate by which rows are predicted best before they are learnt from."""
    X, scores = rows_of_words()
    noise = np.random.default_rng(1).standard_normal(len(scores)) * 4 * scores.std()
    classes = loss in ("log_loss", "squared_hinge")
    cls = SGDClassifierPlus if classes else SGDRegressorPlus
    clean, noisy = (y > 0 if classes else y for y in (scores, scores + noise))
    model = cls(loss, optimizer="adagrad", random_state=0)
    multiples = [tried_multiple(model, X, y) for y in (clean, noisy)]
    for multiple in multiples:
        assert_allclose(np.abs(multiple - CANDIDATES_OF_A_PLAN).min(), 0, atol=1e-6)
    assert multiples[1] < multiples[0]


@pytest.mark.parametrize("why", ["few rows", "kinks", "many classes", "no plan", "a given rate"])
def test_where_rates_are_not_tried(why):
    X, scores = rows_of_words(2900 if why == "few rows" else 6000)
    noise = np.random.default_rng(1).standard_normal(len(scores)) * 10 * scores.std()
    noisy = scores + noise
    y = np.digitize(noisy, np.quantile(noisy, [0.3, 0.6])) if why == "many classes" else noisy > 0
    model = SGDClassifierPlus("hinge" if why == "kinks" else "log_loss", optimizer="adagrad", random_state=0)
    model.set_params(**{"no plan": {"tol": 1e-2}, "a given rate": {"eta0": 0.5}}.get(why, {}))
    size = CLASSIFIER_LOSSES[model.loss].score_size
    if why == "no plan":
        size = SIZE_OF_LABELS
    norms = 1 + scaling_of(model.fit(X, y)).apply(Rows(X)).squared_norms()
    formula = size / np.sqrt((norms**2).mean() / norms.mean())
    assert_allclose(model.eta0_, 0.5 if why == "a given rate" else formula)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_candidates_of_a_search_agree_on_a_tried_rate(kind):
    X, scores = rows_of_words(6000)
    noisy = scores + 4 * scores.std() * np.random.default_rng(1).standard_normal(len(scores))
    cls, y = (SGDClassifierPlus, noisy > 0) if kind == "classes" else (SGDRegressorPlus, noisy)
    model = cls(random_state=0)
    search = OnePassGridSearchCV(model, {"alpha": [1e-5, 1e-2]}, cv=2, refit=False).fit(X, y)
    folds = list(check_cv(2, y, classifier=kind == "classes").split(X, y))
    for number, alpha in enumerate([1e-5, 1e-2]):
        for k, (train, test) in enumerate(folds):
            alone = clone(model).set_params(alpha=alpha).fit(X[train], y[train])
            expected = alone.score(X[test], y[test])
            assert_allclose(search.cv_results_[f"split{k}_test_score"][number], expected, rtol=1e-9)
