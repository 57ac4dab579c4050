"""When training stops: patience, held-out rows, tolerances, Ctrl-C; and what the curves record."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.auto.epochs import NO_PLAN
from sgdkit.losses import LogLoss
from sgdkit.optimizers import OPTIMIZERS
from tests.internals import after_each_epoch
from tests.problems import CANCER, DIABETES, ESTIMATORS, FULL_BATCH, IRIS

# --------------------------------------------------------------------------------------------- early stopping


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scoring", ["loss", "accuracy", "f1", "neg_log_loss", lambda m, X, y: -m.coef_.size])
def test_early_stopping_on_a_fraction(optimizer, scoring):
    model = SGDClassifierPlus(optimizer=optimizer, early_stopping=True, scoring=scoring, random_state=0)
    model.set_params(validation_fraction=0.25, n_iter_no_change=3, max_iter=200).fit(*CANCER)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ < 200
    assert 1 <= model.best_iter_ <= model.n_iter_
    assert all(isinstance(float(v), float) and np.isfinite(v) for v in model.validation_scores_)
    if callable(scoring):
        # Nothing gets better: the first epoch, and as many more as patience lasts.
        assert (model.n_iter_, model.best_iter_) == (4, 1)
    else:
        assert model.score(*CANCER) > 0.9


def test_the_held_out_fraction_is_stratified():
    X, y = CANCER
    rare = np.flatnonzero(y == 0)[20:]
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    seen = []

    def score(model, X, y):
        seen.append((len(y), (y == 0).sum()))
        return 0.0

    SGDClassifierPlus(early_stopping=True, validation_fraction=0.2, scoring=score, random_state=0).fit(X, y)
    assert set(seen) == {(76, 4)}


def test_the_held_out_fraction_is_not_trained_on():
    """Rows that are held out say something else, and the score must fall while the objective falls."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(200, 100)), rng.randint(0, 2, 200)
    model = SGDClassifierPlus(early_stopping=True, optimizer="gd", alpha=0, max_iter=60, random_state=0).fit(
        X, y
    )
    assert model.loss_curve_[-1] < 0.5
    assert model.validation_scores_[-1] < max(model.validation_scores_)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_early_stopping_on_the_users_own_rows(estimator):
    X, y = IRIS
    val = np.arange(150) % 3 == 0
    model = estimator(early_stopping=True, random_state=0).fit(X[~val], y[~val], X_val=X[val], y_val=y[val])
    # All other rows are trained on: the same path without early stopping.
    options = {"optimizer": model.optimizer_, "max_iter": model.best_iter_, "tol": None, "random_state": 0}
    plain = estimator(**options).fit(X[~val], y[~val])
    assert_array_equal(model.coef_, plain.coef_)
    half = estimator(early_stopping=True, random_state=0, max_iter=4, tol=None)
    weights = np.r_[np.ones(25), np.zeros(25)]
    a = clone(half).fit(X[~val], y[~val], X_val=X[val], y_val=y[val], sample_weight_val=weights)
    b = clone(half).fit(X[~val], y[~val], X_val=X[val][:25], y_val=y[val][:25])
    assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-12)


def test_a_regressor_stops_early():
    for scoring in "loss", "r2", "neg_mean_absolute_error":
        model = SGDRegressorPlus(early_stopping=True, scoring=scoring, random_state=0).fit(*DIABETES)
        assert model.n_iter_ < 1000
        assert model.score(*DIABETES) > 0.4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_patience(estimator):
    scores = iter([1.0, 2.0, 2.0005, 2.0009, 3.0, 2.5, 2.5, 3.0005, 9.0])
    model = estimator(early_stopping=True, tol=1e-3, n_iter_no_change=3, scoring=lambda *_: next(scores))
    # One more score is asked for before the fit, to see whether it can be had.
    scores = iter([0.0, *scores])
    model.fit(*IRIS)
    assert model.n_iter_ == 8
    assert model.best_iter_ == 8
    assert model.validation_scores_ == [1.0, 2.0, 2.0005, 2.0009, 3.0, 2.5, 2.5, 3.0005]


def test_without_early_stopping_there_are_no_scores():
    assert SGDClassifierPlus().fit(*IRIS).validation_scores_ is None


def test_a_scorer_that_takes_no_weights():
    options = {"early_stopping": True, "random_state": 0}
    weights = np.ones(len(CANCER[1]))
    model = SGDClassifierPlus(scoring=lambda estimator, X, y: estimator.score(X, y), **options)
    assert model.fit(*CANCER, sample_weight=weights).score(*CANCER) > 0.9
    model = SGDRegressorPlus(scoring="neg_max_error", **options)
    assert (
        model.fit(CANCER[0], CANCER[0][:, 0], sample_weight=weights).score(CANCER[0], CANCER[0][:, 0]) > 0.9
    )


# ------------------------------------------------------------------------------------------------- tolerances


def test_a_stop_by_tol_does_not_depend_on_the_unit_of_the_targets():
    X, y = DIABETES
    fits = [
        SGDRegressorPlus(alpha=0.0, penalty=None, optimizer="gd").fit(X, c * y)
        for c in (1.0, 2.0**20, 2.0**-20)
    ]
    assert len({model.n_iter_ for model in fits}) == 1
    assert 5 < fits[0].n_iter_ < 1000


@pytest.mark.parametrize("n_single", [1, 3000])
def test_the_only_row_of_a_class_stays_among_the_training_rows(n_single):
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :3]
    X, y = np.vstack([X, 100 + np.resize(X, (n_single, X.shape[1]))]), np.append(y, 2 + np.arange(n_single))
    # Given, since to choose them takes longer than training.
    model = SGDClassifierPlus(early_stopping=True, alpha=1e-4, eta0=0.01, max_iter=2, random_state=0)
    with pytest.warns(UserWarning, match=f"{n_single} of the classes in y have a single row"):
        model.fit(X, y)
    assert len(model.classes_) == n_single + 2
    assert model.coef_[2:].any(axis=1).all()


def test_a_smaller_tol_goes_on_longer_and_lower():
    fits = [SGDClassifierPlus(tol=tol, optimizer="gd").fit(*CANCER) for tol in (1e-2, 1e-3, 1e-5)]
    assert fits[0].n_iter_ < fits[1].n_iter_ < fits[2].n_iter_
    assert fits[0].loss_curve_[-1] > fits[1].loss_curve_[-1] > fits[2].loss_curve_[-1]


@pytest.mark.parametrize("name", ["auto", *OPTIMIZERS])
def test_auto_of_tol_is_that_of_the_optimizer(name):
    X, y = load_breast_cancer(return_X_y=True)
    # A schedule that is given, for the planned epochs of another one have no tolerance.
    schedule = "auto" if name in ("auto", *FULL_BATCH) else OPTIMIZERS[name]().default_schedule(LogLoss())
    model = SGDClassifierPlus(optimizer=name, alpha=1e-3, learning_rate=schedule, random_state=0).fit(X, y)
    same = clone(model).set_params(tol=model.optimizer_.default_tol).fit(X, y)
    assert_array_equal(model.coef_, same.coef_)
    assert model.n_iter_ == same.n_iter_ < NO_PLAN


def test_convergence_warning():
    with pytest.warns(ConvergenceWarning, match=r"Maximum number of iterations \(3\)"):
        model = SGDClassifierPlus(alpha=1e-3, max_iter=3).fit(*CANCER)
    assert model.n_iter_ == 3


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("error")
def test_a_convergence_warning_that_is_an_error_leaves_the_model_as_it_was():
    model = SGDClassifierPlus(max_iter=1, random_state=0)
    with pytest.raises(ConvergenceWarning):
        model.fit(*IRIS)
    assert not hasattr(model, "coef_")
    before = model.set_params(max_iter=1000).fit(*IRIS).coef_
    with pytest.raises(ConvergenceWarning):
        model.set_params(max_iter=2, alpha=0.1).fit(*IRIS)
    assert model.coef_ is before
    assert model.alpha_ != 0.1


def test_no_convergence_warning():
    assert SGDClassifierPlus(max_iter=3, tol=None).fit(*CANCER).n_iter_ == 3
    assert SGDClassifierPlus().fit(*CANCER).n_iter_ < 1000
    assert SGDClassifierPlus().partial_fit(*CANCER, classes=[0, 1]).partial_fit(*CANCER).n_iter_ == 2


# --------------------------------------------------------------------------------------------- the loss curve


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_loss_curve_is_the_objective(optimizer):
    X, y = IRIS
    model = SGDClassifierPlus(optimizer=optimizer, alpha=0.1, max_iter=400, tol=None, batch_size=150).fit(
        X, y
    )
    objective = -model.predict_log_proba(X)[np.arange(150), y].mean() + 0.05 * (model.coef_**2).sum()
    assert_allclose(model.loss_curve_[-1], objective, rtol=1e-2)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if optimizer in FULL_BATCH:
        assert_allclose(model.loss_curve_[-1], objective, rtol=1e-12)
        assert (np.diff(model.loss_curve_) <= 1e-15).all()


# ----------------------------------------------------------------------------------------------------- Ctrl-C


class InterruptsAtTheThirdEpoch:
    def __init__(self):
        self.n_calls = 0

    def __call__(self, model, X, y):
        self.n_calls += 1
        # The first call is the trial before the fit.
        if self.n_calls == 4:
            raise KeyboardInterrupt
        return float(self.n_calls)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_interruption_leaves_the_last_finished_epoch(estimator, optimizer):
    X, y = IRIS
    model = estimator(optimizer=optimizer, early_stopping=True, scoring=InterruptsAtTheThirdEpoch(), tol=None)
    model.set_params(random_state=0, warm_start=True, batch_size=7, max_iter=10)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, X_val=X, y_val=y)
    plain = estimator(optimizer=optimizer, random_state=0, batch_size=7, max_iter=2, tol=None).fit(X, y)
    assert_array_equal(model.coef_, plain.coef_)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert model.best_iter_ == 2
    assert len(model.validation_scores_) == 2
    assert model.n_iter_ == len(model.loss_curve_) == 2
    later = model.set_params(scoring="loss").fit(X, y, X_val=X, y_val=y)
    assert later.n_iter_ == 10
    assert later.score(X, y) > 0.7


def test_an_interruption_between_epochs_of_one_call(monkeypatch):
    """The model is as a whole that of the last epoch of which the weights are there."""
    epochs = iter(range(1, 100))

    def interrupt():
        if next(epochs) == 8:
            raise KeyboardInterrupt

    after_each_epoch(monkeypatch, interrupt)
    options = {"optimizer": "sgd", "batch_size": 7, "max_iter": 30, "n_iter_no_change": 5, "random_state": 0}
    model = SGDClassifierPlus(tol=0.0, alpha=1e-3, eta0=0.1, **options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*IRIS)
    assert model.n_iter_ == model.best_iter_ == len(model.loss_curve_) == 5
    plain = clone(model).set_params(max_iter=5, tol=None)
    monkeypatch.undo()
    assert_array_equal(model.coef_, plain.fit(*IRIS).coef_)


@pytest.mark.parametrize("n_calls", [1, 2])
def test_an_interruption_before_the_first_epoch_ends_leaves_no_model(n_calls):
    """In the trial of the scorer, and in the score of the first epoch."""
    calls = []

    def interrupts(model, X, y):
        calls.append(model)
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        return 0.0

    model = SGDClassifierPlus(early_stopping=True, scoring=interrupts, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*IRIS)
    assert not hasattr(model, "coef_")
    assert model.set_params(scoring="loss").fit(*IRIS).score(*IRIS) > 0.9


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to one child needs a console of its own there")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_is_heard(n_jobs):
    script = f"""
        import signal
        import numpy as np
        from sgdkit import SGDRegressorPlus
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20000, 50)), rng.normal(size=(20000, 2))
        options = dict(batch_size=1, max_iter=10**9, tol=None, eta0=0.01)
        model = SGDRegressorPlus(verbose=1, n_jobs={n_jobs}, **options)
        try:
            model.fit(X, y)
        except KeyboardInterrupt:
            assert np.isfinite(model.predict(X)).all()
            assert model.n_iter_ == len(model.loss_curve_) >= 3
            assert np.isfinite(model.partial_fit(X, y).coef_).all()
            print("interrupted", flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        # The fit is well under way after three lines.
        for _ in range(3):
            assert child.stdout.readline().startswith("Epoch")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0, err
    assert out.splitlines()[-1] == "interrupted"


# ------------------------------------------------------------------------------------- where training stands still


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_returned_is_not_worse_than_what_was_passed(optimizer):
    """An optimizer with momentum overshoots, and one whose steps keep their length jumps back and forth."""
    x = np.random.default_rng(0).standard_normal((100, 1))
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0).fit(x, 10 + 7 * x[:, 0])
    assert model.score(x, 10 + 7 * x[:, 0]) > 0.99999
    for alpha in 1.0, 0.01:
        model = SGDClassifierPlus(optimizer=optimizer, alpha=alpha, random_state=0).fit(*IRIS)
        assert model.loss_curve_[-1] <= min(model.loss_curve_) * (1 + 1e-3)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0).fit([[0.0], [1.0]], [0, 1])
    assert model.predict([[0.0], [1.0]]).tolist() == [0, 1]


@pytest.mark.parametrize("learning_rate", ["auto", "constant"])
def test_only_rates_of_our_own_choice_fall_at_the_end(learning_rate):
    options = {"optimizer": "adagrad", "batch_size": 1, "tol": 1e-3, "random_state": 0}
    model = SGDClassifierPlus(learning_rate=learning_rate, **options).fit(*IRIS)
    curve = np.array(model.loss_curve_)
    lowest = np.minimum.accumulate(curve)
    idle = np.append(False, ~(curve[1:] < lowest[:-1] * (1 - 1e-3)))
    stood_still = next(n for n in range(5, len(curve) + 1) if idle[n - 5 : n].all())
    expected = stood_still if learning_rate == "constant" else stood_still + max(stood_still, 40)
    assert model.n_iter_ == expected


def test_a_later_fit_begins_at_the_rate_that_did_not_fall():
    options = {"optimizer": "adagrad", "batch_size": 1, "tol": 1e-2, "random_state": 0}
    fell = SGDClassifierPlus(**options).fit(*IRIS)
    assert fell.n_iter_ > 20
    before = fell.coef_.copy()
    fell.partial_fit(*IRIS)
    assert np.abs(fell.coef_ - before).max() > 1e-3


@pytest.mark.parametrize("optimizer", ["auto", "adagrad", "adam", "nadam", "ftrl"])
@pytest.mark.parametrize("seed", [1, 3])
def test_a_few_rows_that_make_the_validation_loss_do_not_end_training(optimizer, seed):
    """On the way their loss rises, while that of the training rows, which is larger, falls."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3000, 5))
    y = rng.poisson(np.exp(3 * X[:, 0]))
    model = SGDRegressorPlus("poisson", optimizer=optimizer, early_stopping=True, random_state=0).fit(X, y)
    assert model.score(X, y) > (0.999 if optimizer == "auto" else 0.85)


@pytest.mark.parametrize("optimizer", ["auto", "gd"])
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge"])
def test_classes_that_are_apart_end_training_without_a_penalty(loss, optimizer):
    """Their loss falls towards 0 for ever, each time by a large share."""
    X, y = load_wine(return_X_y=True)
    model = SGDClassifierPlus(loss, optimizer=optimizer, penalty=None, random_state=0).fit(X, y)
    assert model.loss_curve_[-1] < 1e-4
    assert model.n_iter_ < 50
    assert (
        SGDClassifierPlus(loss, optimizer=optimizer, penalty=None, tol=1e-12).fit(X, y).n_iter_
        > model.n_iter_
    )
