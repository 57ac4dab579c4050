"""Beginning and going on: given weights, warm starts, chunks, copies; and after what went wrong or taught nothing."""

import copy
import gc
import pickle
import warnings
import weakref

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from sgdkit import TRUSTED_TYPES, SGDClassifierPlus, SGDRegressorPlus
from sgdkit.optimizers import OPTIMIZERS, SGD
from sgdkit.schedules import SCHEDULES
from tests.pairs import all_pairs
from tests.problems import (
    ADAPTIVE,
    CANCER,
    DIABETES,
    ESTIMATORS,
    IRIS,
    N_ROWS,
    STATEFUL,
    STOCHASTIC,
    WITH_RATES,
    assert_resumed,
    assert_same_model,
    make,
    make_X,
    make_y,
    penalty_with_kinks,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((600, 5))
W = RNG.standard_normal((5, 3))
CLASSES = (X @ W).argmax(axis=1)
NUMBERS = X @ W[:, 0]


# -------------------------------------------------------------------------------------------- initial weights


@pytest.mark.parametrize("optimizer", WITH_RATES)
def test_initial_weights(optimizer):
    coef, intercept = np.arange(12.0).reshape(3, 4), np.array([1.0, 0.0, -1.0])
    model = SGDClassifierPlus(optimizer=optimizer, eta0=1e-12, max_iter=1, tol=None, batch_size=150)
    model.fit(*IRIS, coef_init=coef, intercept_init=intercept)
    assert_allclose(model.coef_, coef, atol=1e-9)
    assert_allclose(model.intercept_, intercept, atol=1e-9)
    model = SGDRegressorPlus(optimizer=optimizer, eta0=1e-12, max_iter=1, tol=None, batch_size=150)
    model.fit(*IRIS, coef_init=coef[:1], intercept_init=2.0)
    assert_allclose(model.coef_, coef[0], atol=1e-9)
    assert_allclose(model.intercept_, 2.0, atol=1e-9)


def test_initial_weights_are_stronger_than_warm_start():
    model = SGDClassifierPlus(warm_start=True, optimizer="gd", max_iter=3, tol=None).fit(*IRIS)
    zeros = {"coef_init": np.zeros((3, 4)), "intercept_init": np.zeros(3)}
    anew = clone(model).fit(*IRIS)
    assert_array_equal(model.fit(*IRIS, **zeros).coef_, anew.coef_)


@pytest.mark.parametrize("optimizer", WITH_RATES)
@pytest.mark.parametrize("sparse_coef", [False, True])
def test_weights_that_the_user_has_set_are_gone_on_from(optimizer, sparse_coef):
    """As in federated learning: the weights come from elsewhere, the rest of the state stays."""
    options = {"optimizer": optimizer, "batch_size": 150, "warm_start": True, "max_iter": 1, "tol": None}
    given = np.arange(12.0).reshape(3, 4), np.array([1.0, 0.0, -1.0])
    for go_on in "fit", "partial_fit":
        model = SGDClassifierPlus(eta0=1e-12, **options).fit(*IRIS)
        model.coef_ = sparse.csr_array(given[0]) if sparse_coef else given[0].copy()
        model.intercept_ = given[1].copy()
        getattr(model, go_on)(*IRIS)
        coef = model.coef_.toarray() if sparse.issparse(model.coef_) else model.coef_
        assert_allclose(coef, given[0], atol=1e-9)
        assert_allclose(model.intercept_, given[1], atol=1e-9)


def test_weights_set_before_any_fit_are_gone_on_from():
    model = SGDRegressorPlus(eta0=1e-12, warm_start=True, max_iter=1, tol=None)
    model.coef_, model.intercept_ = np.arange(5.0), np.array([2.0])
    model.fit(X, NUMBERS)
    assert_allclose(model.coef_, np.arange(5.0), atol=1e-9)
    assert_allclose(model.intercept_, 2.0, atol=1e-9)


@pytest.mark.parametrize("average", [False, True])
def test_weights_changed_in_place_are_gone_on_from(average):
    model = SGDRegressorPlus(eta0=1e-12, batch_size=150, average=average).fit(*IRIS)
    model.coef_ += 1.0
    expected = model.coef_.copy()
    assert_allclose(model.partial_fit(*IRIS).coef_, expected, atol=1e-9)


def test_weights_may_be_averaged_between_models():
    X, y = CANCER
    halves = [
        SGDClassifierPlus(random_state=seed).partial_fit(X[seed::2], y[seed::2], classes=[0, 1])
        for seed in (0, 1)
    ]
    for _ in range(10):
        coef, intercept = (np.mean([getattr(m, a) for m in halves], axis=0) for a in ("coef_", "intercept_"))
        for seed, model in enumerate(halves):
            model.coef_, model.intercept_ = coef.copy(), intercept.copy()
            model.partial_fit(X[seed::2], y[seed::2])
    assert min(model.score(X, y) for model in halves) > 0.95


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_going_on_with_another_optimizer_begins_with_the_weights(estimator):
    model = estimator(optimizer="sgd", warm_start=True, random_state=0).fit(*IRIS)
    before = model.coef_.copy()
    model.set_params(optimizer="adam", eta0=1e-9, max_iter=1, tol=None, batch_size=150).fit(*IRIS)
    assert_allclose(model.coef_, before, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_beginning_at_the_minimum_stays_there(optimizer):
    model = SGDRegressorPlus(optimizer=optimizer, penalty=None, random_state=0)
    model.fit(X, X[:, 0], coef_init=[1, 0, 0, 0, 0], intercept_init=[0])
    assert model.score(X, X[:, 0]) > 0.999


@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_given_weights_outlast_a_penalty_that_has_no_metric_yet(optimizer):
    sparse_X = sparse.random(3000, 2000, 0.005, format="csr", random_state=np.random.default_rng(0))
    weights = np.random.default_rng(0).standard_normal(2000)
    model = SGDRegressorPlus(optimizer=optimizer, max_iter=1, tol=None, eta0=1e-6, random_state=0)
    model.fit(sparse_X, sparse_X @ weights, coef_init=weights, intercept_init=[0.0])
    assert np.abs(model.coef_).sum() > 0.8 * np.abs(weights).sum()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_intercept_that_is_not_fitted_is_an_offset(optimizer):
    options = {"optimizer": optimizer, "fit_intercept": False, "random_state": 0, "alpha": 1e-6, "tol": 1e-5}
    model = SGDRegressorPlus(**options).fit(X, NUMBERS + 10, intercept_init=[10.0])
    assert_array_equal(model.intercept_, 10.0)
    assert model.score(X, NUMBERS + 10) > 0.99


# --------------------------------------------------------------------- going on as if there had been no break


@all_pairs
@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_partial_fit_k_times_equals_fit_of_k_epochs(kind, optimizer, batch_size, average):
    X = make_X()
    y = make_y(X, kind)
    options = {"classes": np.unique(y)} if kind == "classes" else {}
    settings = {"average": average, "alpha": 1e-4, "max_iter": 4, **penalty_with_kinks(optimizer)}
    # Where rates are chosen, those of a stream, whose other rows are to come, fall in another way.
    if optimizer == "sgd" or isinstance(optimizer, SGD):
        settings["learning_rate"] = "optimal"
    model = make(kind, optimizer=optimizer, batch_size=batch_size, **settings)
    fitted, going_on = clone(model).fit(X, y), clone(model)
    for _ in range(4):
        going_on.partial_fit(X, y, **options)
    assert_resumed(going_on.coef_, fitted.coef_, optimizer)
    assert_resumed(going_on.intercept_, fitted.intercept_, optimizer)
    assert going_on.t_ == fitted.t_
    assert_resumed(going_on.loss_curve_, fitted.loss_curve_, optimizer)


# Of a schedule that ends, each call has an end of its own.
@pytest.mark.parametrize("schedule", [name for name, cls in SCHEDULES.items() if not cls.needs_end])
@pytest.mark.parametrize("eta0", ["auto", 0.1])
def test_going_on_goes_on_with_the_schedule(schedule, eta0):
    X = make_X()
    y = make_y(X, "classes")
    model = make(
        "classes", optimizer="sgd", learning_rate=schedule, eta0=eta0, batch_size=1, alpha=0.1, max_iter=5
    )
    fitted, chunks = clone(model).fit(X, y), clone(model)
    resumed = clone(model).set_params(warm_start=True, max_iter=2).fit(X, y).set_params(max_iter=3).fit(X, y)
    for _ in range(5):
        chunks.partial_fit(X, y, classes=[0, 1, 2])
    assert_array_equal(fitted.coef_, resumed.coef_)
    assert_array_equal(fitted.coef_, chunks.coef_)
    assert fitted.t_ == resumed.t_ == chunks.t_ == 5 * N_ROWS + 1


@all_pairs
@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_warm_start_resumes_as_if_uninterrupted(kind, optimizer, batch_size, average):
    X = sparse.csr_array(make_X())
    y = make_y(X, kind)
    settings = {"average": average, "max_iter": 7, **penalty_with_kinks(optimizer)}
    model = make(kind, optimizer=optimizer, batch_size=batch_size, **settings)
    fitted = clone(model).fit(X, y)
    resumed = clone(model).set_params(warm_start=True, max_iter=3).fit(X, y)
    resumed.set_params(max_iter=4).fit(X, y)
    assert_resumed(resumed.coef_, fitted.coef_, optimizer)
    assert_resumed(resumed.intercept_, fitted.intercept_, optimizer)
    assert_resumed(resumed.loss_curve_, fitted.loss_curve_[3:], optimizer)


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_deepcopy(model, path):
    return copy.deepcopy(model)


def through_joblib(model, path):
    joblib.dump(model, path)
    return joblib.load(path)


def through_memory_map(model, path):
    joblib.dump(model, path)
    with warnings.catch_warnings():
        # Of how a read-only array may be used.
        warnings.simplefilter("ignore", UserWarning)
        return joblib.load(path, mmap_mode="r")


def through_skops(model, path):
    io = pytest.importorskip("skops.io")
    io.dump(model, path)
    return io.load(path, trusted=TRUSTED_TYPES)


COPIES = [through_pickle, through_deepcopy, through_joblib, through_memory_map, through_skops]


@all_pairs
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_a_copy_goes_on_identically(kind, optimizer, n_jobs, copied, tmp_path):
    X = make_X()
    y = make_y(X, kind)
    model = make(kind, optimizer=optimizer, n_jobs=n_jobs, batch_size=1, average=80, warm_start=True).fit(
        X, y
    )
    expected = model.coef_.copy()
    other = copied(model, tmp_path / "model")
    assert_array_equal(other.predict(X), model.predict(X))
    other.partial_fit(X, y)
    other.fit(X, y)
    # Neither moves the other.
    assert_array_equal(model.coef_, expected)
    model.partial_fit(X, y)
    model.fit(X, y)
    assert not np.array_equal(model.coef_, expected)
    assert_same_model(other, model)


def test_a_shallow_copy_goes_on_with_the_optimizer():
    model = SGDClassifierPlus(optimizer="adam", random_state=0).partial_fit(*CANCER, classes=[0, 1])
    other = copy.copy(model)
    model.partial_fit(*CANCER)
    assert other.partial_fit(*CANCER).t_ > model.t_


# ----------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize("optimizer", WITH_RATES)
@pytest.mark.parametrize("size", [1, 7, 50])
def test_partial_fit_of_chunks_of_any_size(optimizer, size):
    X, y = CANCER
    model = SGDClassifierPlus(optimizer=optimizer, eta0=0.05, random_state=0)
    # Each call has its cost: about as many for single rows as for others.
    order = np.random.RandomState(0).permutation(len(y))[: 200 * size]
    for _ in range(1 if size == 1 else 2):
        for begin in range(0, len(order), size):
            rows = order[begin : begin + size]
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
    # Gradient descent takes but one step a chunk.
    assert model.score(X, y) > 0.9
    regressor = SGDRegressorPlus(optimizer=optimizer, eta0=0.01, random_state=0)
    for begin in range(0, min(30 * size, 150), size):
        regressor.partial_fit(DIABETES[0][begin : begin + size], DIABETES[1][begin : begin + size] / 100)
    assert np.isfinite(regressor.coef_).all()


def test_partial_fit_of_one_class_at_a_time():
    model = SGDClassifierPlus(optimizer="sgd", random_state=0, eta0=0.1)
    for _ in range(20):
        for label in 0, 1, 2:
            model.partial_fit(IRIS[0][IRIS[1] == label], IRIS[1][IRIS[1] == label], classes=[0, 1, 2])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert model.coef_.shape == (3, 4)


def test_a_new_fit_after_partial_fit_begins_anew():
    model = SGDClassifierPlus(random_state=0).partial_fit(*CANCER, classes=[0, 1]).fit(*IRIS)
    assert_array_equal(model.coef_, SGDClassifierPlus(random_state=0).fit(*IRIS).coef_)
    assert_array_equal(model.classes_, [0, 1, 2])


@pytest.mark.parametrize("optimizer", STOCHASTIC)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_first_chunk_of_one_row(optimizer, size):
    model = SGDRegressorPlus(optimizer=optimizer, random_state=0).partial_fit(X[:1], size * NUMBERS[:1])
    for _ in range(50):
        model.partial_fit(X, size * NUMBERS)
    assert model.score(X, size * NUMBERS) > 0.9


def test_a_first_chunk_without_an_event():
    counts = np.random.default_rng(0).poisson(np.exp(NUMBERS / 3))
    model = SGDRegressorPlus("poisson", random_state=0).partial_fit(X[counts == 0][:5], np.zeros(5))
    for _ in range(20):
        model.partial_fit(X, counts)
    assert model.loss_curve_[-1] < 0.7 * SGDRegressorPlus("poisson").fit(0 * X, counts).loss_curve_[-1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rows_without_a_feature(optimizer):
    """Such as a chunk of texts without a known word."""
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=2, tol=None)
    model.fit(sparse.csr_matrix((600, 5)), CLASSES)
    dense = SGDClassifierPlus(optimizer=optimizer, random_state=0, max_iter=2, tol=None).fit(0 * X, CLASSES)
    assert_allclose(model.intercept_, dense.intercept_)
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    model.partial_fit(sparse.csr_array((3, 5)), [0, 1, 2], classes=[0, 1, 2])
    for _ in range(30):
        model.partial_fit(X, CLASSES)
    assert model.score(X, CLASSES) > 0.8


def test_balanced_weights_count_a_chunk_whose_classes_have_no_weight():
    labels = CLASSES == 0
    model = SGDClassifierPlus(random_state=0).partial_fit(X, labels, classes=[False, True])
    given = copy.deepcopy(model)
    model.set_params(class_weight={False: 0.0, True: 0.0}).partial_fit(X[:200], labels[:200])
    model.set_params(class_weight="balanced").partial_fit(X[200:], labels[200:])
    weights = len(X) / (2 * np.bincount(labels))
    given.set_params(class_weight=dict(zip([False, True], weights, strict=True)))
    assert_array_equal(given.partial_fit(X[200:], labels[200:]).coef_, model.coef_)


def test_after_full_gradients_adagrad_goes_on_whether_chosen_or_given():
    chosen = SGDClassifierPlus(random_state=0).fit(*CANCER)
    given = copy.deepcopy(chosen).set_params(optimizer="adagrad")
    assert_array_equal(given.partial_fit(*CANCER).coef_, chosen.partial_fit(*CANCER).coef_)


# -------------------------------------------------------------------------------- after an error, or a change


def test_from_blocks_of_columns_to_a_coupled_loss():
    model = SGDClassifierPlus("hinge", n_jobs=3, warm_start=True, optimizer="sgd", random_state=0)
    model.fit(X, CLASSES).set_params(loss="log_loss").fit(X, CLASSES)
    assert model.loss_curve_[-1] >= 0
    assert model.score(X, CLASSES) > 0.95


@pytest.mark.parametrize("optimizer", STOCHASTIC)
def test_a_lower_rate_helps_after_an_overflow(optimizer):
    options = {"standardize": False, "alpha": 1e-4, "batch_size": 1, "random_state": 0}
    model = SGDRegressorPlus(optimizer=optimizer, warm_start=True, eta0=0.01, **options)
    model.fit(X, NUMBERS)
    with pytest.raises(ValueError, match="lower eta0"):
        model.set_params(eta0=1e300).fit(X, NUMBERS)
    assert model.set_params(eta0=0.01).fit(X, NUMBERS).score(X, NUMBERS) > 0.9


def test_an_error_leaves_the_counts_of_partial_fit():
    model = SGDRegressorPlus(random_state=0).partial_fit(X, NUMBERS)
    with pytest.raises(ValueError, match="2"):
        model.partial_fit(X, np.column_stack([NUMBERS, NUMBERS]), sample_weight=np.full(600, 100.0))
    other = SGDRegressorPlus(random_state=0).partial_fit(X, NUMBERS)
    weights = np.linspace(0.5, 2, 600)
    model.partial_fit(X, NUMBERS, sample_weight=weights)
    assert_array_equal(model.coef_, other.partial_fit(X, NUMBERS, sample_weight=weights).coef_)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_model_does_not_keep_the_data(optimizer):
    rows = X.copy()
    kept = weakref.ref(rows)
    model = SGDClassifierPlus(optimizer=optimizer, standardize=False, random_state=0).fit(rows, CLASSES)
    del rows
    gc.collect()
    assert kept() is None
    assert model.score(X, CLASSES) > 0.8


def test_a_chunk_goes_on_from_weights_that_were_set_before_any_fit():
    X, y = IRIS
    model = SGDClassifierPlus(eta0=1e-12, standardize=False, random_state=0)
    coef, intercept = np.arange(12.0).reshape(3, 4), np.arange(3.0)
    model.coef_, model.intercept_ = coef, intercept
    model.partial_fit(X, y, classes=[0, 1, 2])
    assert_allclose(model.coef_, coef, atol=1e-6)
    assert_allclose(model.intercept_, intercept, atol=1e-6)


@pytest.mark.parametrize("optimizer", [name for name in WITH_RATES if name != "ftrl"])
def test_a_path_of_strengths(optimizer):
    """Rates that have fallen by a weak penalty's clock are no rates for a strong one."""
    model = SGDClassifierPlus(optimizer=optimizer, warm_start=True, random_state=0)
    for alpha in (1.0, 0.1, 0.01, 0.001, 0.01, 0.1, 1.0):
        cold = clone(model).set_params(alpha=alpha).fit(*IRIS)
        warm = model.set_params(alpha=alpha).fit(*IRIS)
        assert warm.loss_curve_[-1] <= (1.02 if optimizer == "sgd" else 1.1) * cold.loss_curve_[-1]
        assert warm.eta0_ > 0
    assert warm.loss_curve_[-1] <= 1.0002 * cold.loss_curve_[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", ["auto", *OPTIMIZERS])
def test_pickles_keep_nothing_of_features_that_no_row_has(optimizer, dtype):
    """Beside the optimizer's state; and what comes back is what it was."""
    n_features, rng = 1 << 18, np.random.default_rng(0)
    parts = rng.random(4000, dtype=dtype), rng.integers(0, n_features, 4000), np.arange(0, 4001, 10)
    X, y = sparse.csr_array(parts, shape=(400, n_features)), np.arange(400) % 2
    model = SGDClassifierPlus(optimizer=optimizer, max_iter=2, tol=None, random_state=0).fit(X, y)
    saved, state = pickle.dumps(model), len(pickle.dumps(model._past.trainer))
    assert len(saved) < state + 1.5 * model.coef_.nbytes
    loaded = pickle.loads(saved)
    assert_array_equal(loaded._past.subset.features, np.unique(X.indices))
    for scaling, other in [
        (model._past.scaling, loaded._past.scaling),
        (model._past.of_all().scaling, loaded._past.of_all().scaling),
    ]:
        # What was found out on the way need not be there.
        names = {name for name in vars(scaling) if name not in ("_seen", "_everywhere")}
        assert names <= vars(other).keys()
        for name in names:
            assert_array_equal(getattr(other, name), getattr(scaling, name), err_msg=name)
    other = X[:, rng.permutation(n_features)]
    assert_array_equal(model.partial_fit(other, y).coef_, loaded.partial_fit(other, y).coef_)
