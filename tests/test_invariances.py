"""The contracts of the package, a test for each: what must not change a fit, and what it must not change."""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import get_scorer

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.optimizers import GD, OPTIMIZERS, SGD, Adam, RMSProp
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Optimizers with as much state as they can have.
STATEFUL = [
    GD(nesterov=False),
    SGD(momentum=0.9, nesterov=True),
    Adam(amsgrad=True),
    RMSProp(centered=True, momentum=0.5),
    *OPTIMIZERS,
]
ESTIMATORS = [SGDClassifierPlus, SGDRegressorPlus]
N_ROWS, N_FEATURES = 60, 8


def make_X(seed=0, n_rows=N_ROWS):
    """Quarters, of which sums are exact, and many zeros."""
    rng = np.random.RandomState(seed)
    return rng.randint(-8, 9, (n_rows, N_FEATURES)) / 4.0 * (rng.rand(n_rows, N_FEATURES) < 0.4)


def make_y(X, kind):
    scores = X @ np.linspace(-1, 1, N_FEATURES * 3).reshape(N_FEATURES, 3)
    scores += np.random.RandomState(1).normal(size=scores.shape)
    return {
        "binary": scores[:, 0] > 0,
        "classes": scores.argmax(axis=1),
        "labels": (scores > 0).astype(int),
        "number": scores[:, 0],
        "numbers": scores,
    }[kind]


KINDS = {"binary": SGDClassifierPlus, "classes": SGDClassifierPlus, "labels": SGDClassifierPlus}
KINDS |= {"number": SGDRegressorPlus, "numbers": SGDRegressorPlus}


def make(kind, **options):
    return KINDS[kind](**{"random_state": 0, "max_iter": 4, "tol": None, **options})


def assert_same_model(a, b, rtol=0.0):
    for name in "coef_", "intercept_", "loss_curve_":
        assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=rtol, err_msg=name)
    assert a.n_iter_ == b.n_iter_
    assert_allclose(a.eta0_, b.eta0_, rtol=rtol)


# ---------------------------------------------------------------------------------------- epochs in one call


@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
@pytest.mark.parametrize("tol", [None, 1e-2, 10.0])
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_the_same_one_by_one(kind, optimizer, batch_size, tol, learning_rate):
    """A fit that prints a line an epoch looks at each of them; others run as many in one call as are sure to come."""
    X = make_X()
    options = {"optimizer": optimizer, "batch_size": batch_size, "tol": tol, "max_iter": 33}
    options |= {"learning_rate": learning_rate, "eta0": 0.05, "n_iter_no_change": 3}
    together = make(kind, **options).fit(X, make_y(X, kind))
    one_by_one = make(kind, verbose=1, **options).fit(X, make_y(X, kind))
    assert_same_model(together, one_by_one)
    assert together.t_ == one_by_one.t_
    # The shuffling goes on from the same place.
    assert_same_model(*(model.partial_fit(X, make_y(X, kind)) for model in (together, one_by_one)))


# ---------------------------------------------------------------------------------------- dense equals sparse


def wide(X):
    """With 64-bit indices, which SciPy narrows wherever it can."""
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def with_stored_zeros(X):
    """Every entry is stored, the zeros too."""
    n, m = X.shape
    indices, indptr = np.tile(np.arange(m, dtype=np.int32), n), np.arange(0, n * m + 1, m, dtype=np.int32)
    return sparse.csr_array((X.ravel().copy(), indices, indptr), shape=X.shape)


def unsorted(X):
    stored = sparse.csr_array(X)
    for begin, end in zip(stored.indptr[:-1], stored.indptr[1:], strict=True):
        stored.indices[begin:end] = stored.indices[begin:end][::-1].copy()
        stored.data[begin:end] = stored.data[begin:end][::-1].copy()
    return sparse.csr_array((stored.data, stored.indices, stored.indptr), shape=X.shape)


def with_duplicates(X):
    """Each value in two parts that stand apart: first its half (and what cancels out), then the rest."""
    stored = sparse.csr_array(X)
    pieces = [slice(begin, end) for begin, end in zip(stored.indptr[:-1], stored.indptr[1:], strict=True)]
    indices = np.concatenate([np.r_[stored.indices[p], stored.indices[p], 0, 0] for p in pieces])
    data = np.concatenate([np.r_[stored.data[p] / 2, stored.data[p] / 2, 1.0, -1.0] for p in pieces])
    indptr = np.append(0, np.cumsum([2 * (p.stop - p.start) + 2 for p in pieces]))
    return sparse.csr_array((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=X.shape)


FORMATS = {
    **{
        f"{f}_{kind}": getattr(sparse, f"{f}_{kind}")
        for f in ("csr", "csc", "coo")
        for kind in ("matrix", "array")
    },
    "csr_int64": lambda X: wide(sparse.csr_array(X)),
    "csc_int64": lambda X: wide(sparse.csc_array(X)),
    "stored_zeros": with_stored_zeros,
    "unsorted": unsorted,
    "duplicates": with_duplicates,
    "duplicates_int64": lambda X: wide(with_duplicates(X)),
    "fortran": np.asfortranarray,
}


def test_formats_are_what_they_say():
    X = make_X()
    for name, build in FORMATS.items():
        built = build(X)
        assert_array_equal(built.toarray() if sparse.issparse(built) else built, X, err_msg=name)
    assert FORMATS["csr_int64"](X).indices.dtype == FORMATS["duplicates_int64"](X).indptr.dtype == np.int64
    assert FORMATS["stored_zeros"](X).nnz == X.size
    assert not FORMATS["unsorted"](X).has_sorted_indices
    assert not FORMATS["duplicates"](X).has_canonical_format


@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("storage", FORMATS)
def test_dense_equals_every_sparse_format(storage, optimizer, batch_size):
    X = make_X()
    for kind in "binary", "classes", "numbers":
        model = make(kind, optimizer=optimizer, batch_size=batch_size, penalty="elasticnet", alpha=0.01)
        dense, other = (
            clone(model).fit(X, make_y(X, kind)),
            clone(model).fit(FORMATS[storage](X), make_y(X, kind)),
        )
        assert_same_model(dense, other, rtol=1e-12)
        assert_array_equal(dense.coef_ == 0, other.coef_ == 0)
        assert_allclose(
            dense.predict(X).astype(float),
            other.predict(FORMATS[storage](X)).astype(float),
            rtol=1e-11,
            atol=1e-11,
        )


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize(
    ("kind", "loss"),
    [("classes", loss) for loss in CLASSIFIER_LOSSES] + [("number", loss) for loss in REGRESSOR_LOSSES],
)
def test_dense_equals_sparse_for_every_loss_and_penalty(kind, loss, penalty, batch_size):
    X = make_X()
    y = make_y(X, kind)
    y = np.abs(y) + 1 if kind == "number" else y
    model = make(kind, loss=loss, penalty=penalty, alpha=0.01, batch_size=batch_size, average=10)
    assert_same_model(clone(model).fit(X, y), clone(model).fit(sparse.csr_array(X), y), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_dense_equals_sparse_in_early_stopping_and_partial_fit(kind):
    X = make_X()
    y, S = make_y(X, kind), sparse.csc_array(X)
    model = make(kind, early_stopping=True, validation_fraction=0.3, batch_size=1)
    dense, other = clone(model).fit(X, y), clone(model).fit(S, y)
    assert_same_model(dense, other, rtol=1e-12)
    assert_allclose(dense.validation_scores_, other.validation_scores_, rtol=1e-12)
    options = {"classes": np.unique(y)} if kind in ("binary", "classes") else {}
    model = make(kind, batch_size=1)
    dense, other = clone(model), clone(model)
    for chunk in np.array_split(np.arange(N_ROWS), 3):
        dense.partial_fit(X[chunk], y[chunk], **options)
        other.partial_fit(sparse.csr_array(S)[chunk], y[chunk], **options)
    assert_same_model(dense, other, rtol=1e-12)


# ------------------------------------------------------------------------------------- weights are repetition


@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetition(kind, optimizer, to_input):
    X = make_X()
    y, weights = make_y(X, kind), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    # More epochs would let rounding grow where a sign or a root follows it.
    model = make(kind, optimizer=optimizer, penalty="elasticnet", alpha=0.01, batch_size=1000, max_iter=10)
    a = clone(model).fit(to_input(X), y, sample_weight=weights)
    b = clone(model).fit(to_input(X[repeated]), y[repeated])
    assert_same_model(a, b, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_are_repetition_at_any_scale_of_the_targets(optimizer, scale):
    X = make_X()
    y, weights = scale * make_y(X, "number"), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    model = make("number", optimizer=optimizer, batch_size=1000, max_iter=10)
    a, b = clone(model).fit(X, y, sample_weight=weights), clone(model).fit(X[repeated], y[repeated])
    assert_allclose(a.coef_ / scale, b.coef_ / scale, rtol=0, atol=1e-9)
    assert_allclose(a.intercept_ / scale, b.intercept_ / scale, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repetition_in_validation(kind):
    X, X_val = make_X(), make_X(seed=5)
    y, y_val, weights = make_y(X, kind), make_y(X_val, kind), np.random.RandomState(2).randint(0, 4, N_ROWS)
    repeated = np.repeat(np.arange(N_ROWS), weights)
    model = make(kind, early_stopping=True, batch_size=1)
    a = clone(model).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    b = clone(model).fit(X, y, X_val=X_val[repeated], y_val=y_val[repeated])
    assert_same_model(a, b)
    assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 0.5, 1e6])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_unit_of_weights_does_not_matter(optimizer, batch_size, scale):
    X = make_X()
    y, weights = make_y(X, "classes"), 1.0 + np.arange(N_ROWS) % 3
    model = make("classes", optimizer=optimizer, batch_size=batch_size, alpha=1e-3)
    a, b = (
        clone(model).fit(X, y, sample_weight=weights),
        clone(model).fit(X, y, sample_weight=scale * weights),
    )
    assert_same_model(a, b, rtol=1e-10)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_weight_row_is_an_absent_row(kind, optimizer, batch_size, early_stopping):
    X = make_X(n_rows=90)
    y, weights = make_y(X, kind), 1.0 + np.arange(90) % 2
    absent = np.arange(90) % 4 == 1
    # What is said of those rows is of no account.
    X_wild, y_wild = X.copy(), y.copy()
    X_wild[absent] = 1e3
    y_wild[absent] = y[0]
    model = make(kind, optimizer=optimizer, batch_size=batch_size, average=20)
    model.set_params(early_stopping=early_stopping, validation_fraction=0.3, max_iter=6)
    a = clone(model).fit(X_wild, y_wild, sample_weight=np.where(absent, 0.0, weights))
    b = clone(model).fit(X[~absent], y[~absent], sample_weight=weights[~absent])
    # NumPy adds and multiplies arrays of other lengths in another order.
    assert_same_model(a, b, rtol=1e-10)
    if early_stopping:
        assert_allclose(a.validation_scores_, b.validation_scores_, rtol=1e-10)
        assert a.best_iter_ == b.best_iter_


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_weight_row_is_an_absent_row_in_partial_fit(kind):
    X = make_X()
    y, absent = make_y(X, kind), np.arange(N_ROWS) % 4 == 1
    options = {"classes": np.unique(y)} if kind in ("binary", "classes") else {}
    a, b = make(kind), make(kind)
    for _ in range(3):
        a.partial_fit(X, y, sample_weight=np.where(absent, 0.0, 1.0), **options)
        b.partial_fit(X[~absent], y[~absent], **options)
    assert_same_model(a, b, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_without_weight_changes_nothing(kind):
    X = make_X()
    model = make(kind).fit(X, make_y(X, kind))
    before = model.coef_.copy()
    model.partial_fit(X, make_y(X, kind), sample_weight=np.zeros(N_ROWS))
    assert_array_equal(model.coef_, before)


@pytest.mark.parametrize("class_weight", [{0: 2.0, 1: 0.5, 2: 1.0}, "balanced"])
@pytest.mark.parametrize("batch_size", [1, N_ROWS])
def test_class_weight_is_sample_weight(class_weight, batch_size):
    X = make_X()
    y, weights = make_y(X, "classes"), 1.0 + np.arange(N_ROWS) % 2
    totals = np.bincount(y, weights)
    of_class = np.array([2.0, 0.5, 1.0]) if isinstance(class_weight, dict) else totals.sum() / (3 * totals)
    model = make("classes", batch_size=batch_size)
    a = clone(model).set_params(class_weight=class_weight).fit(X, y, sample_weight=weights)
    b = clone(model).fit(X, y, sample_weight=weights * of_class[y])
    assert_same_model(a, b, rtol=1e-12)


# ------------------------------------------------------------------------------------- same seed, same result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "rmsprop"])
def test_a_column_alone_is_what_it_is_among_others_whatever_the_length_of_rows(
    optimizer, penalty, batch_size, dtype
):
    """Alone, features are worked on four at a time, and held in a buffer of a few hundred."""
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 256, 257, 513, 600]
    X = sparse.lil_array((2 * len(lengths), 600), dtype=dtype)
    for row, length in enumerate(np.repeat(lengths, 2)):
        X[row, rng.permutation(600)[:length]] = rng.normal(size=length)
    X, y = X.tocsr(), rng.integers(2, size=X.shape[0])
    model = SGDClassifierPlus(
        optimizer=optimizer, penalty=penalty, batch_size=batch_size, eta0=0.01, alpha=0.1, random_state=0
    ).set_params(standardize=False)
    alone, among = clone(model), clone(model)
    # A first call of short rows: the buffer has to grow.
    for rows in (slice(10), slice(None), slice(None)):
        alone.partial_fit(X[rows], y[rows], classes=[0, 1])
        among.partial_fit(X[rows], np.c_[y, y, 1 - y][rows], classes=[0, 1, 2])
    assert_array_equal(among.coef_[0], among.coef_[1])
    assert_array_equal(alone.coef_[0], among.coef_[0])
    assert_array_equal(alone.intercept_, among.intercept_[:1])
    assert alone.coef_.any()


@pytest.mark.parametrize("average", [False, 30])
@pytest.mark.parametrize("penalty", [None, "l2", "elasticnet"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
def test_same_seed_same_result_for_any_n_jobs(kind, optimizer, batch_size, penalty, average):
    X = sparse.csr_array(make_X())
    y = make_y(X, kind)
    options = {"multi_class": "ovr"} if kind == "classes" else {}
    model = make(
        kind, optimizer=optimizer, batch_size=batch_size, average=average, penalty=penalty, **options
    )
    fits = [clone(model).set_params(n_jobs=n).fit(X, y) for n in (None, 2, 3)]
    for other in fits[1:]:
        assert_same_model(fits[0], other)
    assert not np.array_equal(fits[0].coef_, clone(model).set_params(random_state=1).fit(X, y).coef_) or (
        optimizer == "gd"
    )


@pytest.mark.parametrize("kind", ["classes", "labels", "numbers"])
def test_same_seed_same_result_for_any_n_jobs_in_early_stopping(kind):
    X = make_X()
    y = make_y(X, kind)
    options = {"multi_class": "ovr"} if kind == "classes" else {}
    model = make(kind, early_stopping=True, tol=1e-3, max_iter=50, batch_size=1, **options)
    one, three = (clone(model).set_params(n_jobs=n).fit(X, y) for n in (1, 3))
    assert_same_model(one, three)
    assert one.validation_scores_ == three.validation_scores_


def test_fit_forgets_the_fit_before():
    X = make_X()
    y = make_y(X, "classes")
    model = make("classes", batch_size=1)
    once, twice = clone(model).fit(X, y), clone(model).fit(X[::-1] * 3, y).fit(X, y)
    assert_same_model(once, twice)


# --------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_partial_fit_k_times_equals_fit_of_k_epochs(kind, optimizer, batch_size, average):
    X = make_X()
    y = make_y(X, kind)
    options = {"classes": np.unique(y)} if kind == "classes" else {}
    options_of_both = {"average": average, "penalty": "elasticnet", "alpha": 1e-4, "max_iter": 4}
    model = make(kind, optimizer=optimizer, batch_size=batch_size, **options_of_both)
    fitted, going_on = clone(model).fit(X, y), clone(model)
    for _ in range(4):
        going_on.partial_fit(X, y, **options)
    assert_array_equal(going_on.coef_, fitted.coef_)
    assert_array_equal(going_on.intercept_, fitted.intercept_)
    assert going_on.t_ == fitted.t_
    assert going_on.loss_curve_ == fitted.loss_curve_


@pytest.mark.parametrize("schedule", SCHEDULES)
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


@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("batch_size", [1, 7, N_ROWS])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_warm_start_resumes_as_if_uninterrupted(kind, optimizer, batch_size, average):
    X = sparse.csr_array(make_X())
    y = make_y(X, kind)
    model = make(
        kind, optimizer=optimizer, batch_size=batch_size, average=average, penalty="elasticnet", max_iter=7
    )
    fitted = clone(model).fit(X, y)
    resumed = clone(model).set_params(warm_start=True, max_iter=3).fit(X, y)
    resumed.set_params(max_iter=4).fit(X, y)
    assert_array_equal(resumed.coef_, fitted.coef_)
    assert_array_equal(resumed.intercept_, fitted.intercept_)
    assert resumed.loss_curve_ == fitted.loss_curve_[3:]


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


@pytest.mark.parametrize("copied", [through_pickle, through_deepcopy, through_joblib, through_memory_map])
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


# --------------------------------------------------------------------------------------- what stays as it was


def data_bytes(X):
    arrays = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,)
    return [np.asarray(a).tobytes() for a in arrays]


@pytest.mark.parametrize("storage", ["fortran", *[f for f in FORMATS if "coo" not in f and f != "fortran"]])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
def test_fit_changes_nothing_that_it_was_given(optimizer, storage):
    X, optimizer = FORMATS[storage](make_X()), copy.deepcopy(optimizer)
    y, weights = make_y(make_X(), "classes"), np.arange(N_ROWS) % 3.0
    before = data_bytes(X), y.copy(), weights.copy(), repr(optimizer)
    model = make("classes", optimizer=optimizer, batch_size=7, class_weight={0: 2.0})
    params = copy.deepcopy(model.get_params())
    model.fit(X, y, sample_weight=weights).partial_fit(X, y, sample_weight=weights)
    model.predict(X)
    assert data_bytes(X) == before[0]
    assert_array_equal(y, before[1])
    assert_array_equal(weights, before[2])
    assert repr(optimizer) == before[3]
    assert model.optimizer is optimizer
    assert model.get_params() == params
    if not isinstance(optimizer, str):
        assert set(vars(optimizer)) == set(optimizer.get_params())


def test_fit_changes_neither_the_validation_set_nor_the_initial_weights():
    X = make_X()
    y, X_val = make_y(X, "classes"), with_duplicates(X)
    coef, intercept = np.ones((3, N_FEATURES)), np.ones(3)
    before = data_bytes(X_val)
    model = make("classes", early_stopping=True, scoring="accuracy")
    model.fit(X, y, X_val=X_val, y_val=y, coef_init=coef, intercept_init=intercept)
    assert data_bytes(X_val) == before
    assert (coef == 1).all()
    assert (intercept == 1).all()


# ------------------------------------------------------------------------- what is scored is what is returned


def mean_loss(model, X, y, weights):
    """Of softmax, and of squared errors summed over outputs."""
    if isinstance(model, SGDClassifierPlus):
        losses = -model.predict_log_proba(X)[np.arange(len(y)), y]
    else:
        losses = (model.predict(X) - y) ** 2 / 2
    return np.average(losses.reshape(len(y), -1).sum(axis=1), weights=weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", [False, True, 100])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("kind", "scoring"),
    [
        ("classes", "loss"),
        ("classes", "accuracy"),
        ("classes", "neg_log_loss"),
        ("numbers", "loss"),
        ("number", "r2"),
    ],
)
def test_what_is_scored_is_what_is_returned(kind, scoring, optimizer, average, weighted):
    X, X_val = make_X(), make_X(seed=5)
    y, y_val = make_y(X, kind), make_y(X_val, kind)
    weights = 1.0 + np.arange(N_ROWS) % 3 if weighted else None
    model = make(
        kind, optimizer=optimizer, batch_size=7, early_stopping=True, scoring=scoring, average=average
    )
    model.set_params(max_iter=12).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    assert model.n_iter_ == len(model.validation_scores_) == len(model.loss_curve_)
    assert model.validation_scores_[model.best_iter_ - 1] == max(model.validation_scores_)
    assert model.best_iter_ == 1 + np.argmax(model.validation_scores_)
    if scoring == "loss":
        score = -mean_loss(model, X_val, y_val, weights)
    else:
        score = get_scorer(scoring)(model, X_val, y_val, sample_weight=weights)
    assert_allclose(model.validation_scores_[model.best_iter_ - 1], score, rtol=1e-10)


def test_the_best_epoch_is_that_of_a_fit_which_ends_there():
    X, X_val = make_X(), make_X(seed=5)
    y, y_val = make_y(X, "classes"), make_y(X_val, "classes")
    model = make("classes", optimizer="sgd", learning_rate="constant", eta0=0.3, batch_size=1, max_iter=20)
    stopped = clone(model).set_params(early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val)
    assert 1 < stopped.best_iter_ < 20
    shorter = clone(model).set_params(max_iter=stopped.best_iter_).fit(X, y)
    assert_array_equal(stopped.coef_, shorter.coef_)
    assert_array_equal(stopped.intercept_, shorter.intercept_)


# ----------------------------------------------------------------------------------------- dtypes and layouts


@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32_and_is_near_float64(kind, optimizer, to_input):
    X = make_X()
    y = make_y(X, kind)
    # A rate of one's own: pilots may choose another where two are as good.
    model = make(kind, optimizer=optimizer, eta0=0.05, batch_size=7, average=30, alpha=0.01)
    single, double = clone(model).fit(to_input(X.astype(np.float32)), y), clone(model).fit(to_input(X), y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert double.coef_.dtype == double.intercept_.dtype == np.float64
    X32 = to_input(X.astype(np.float32))
    scores = single.decision_function(X32) if kind in ("binary", "classes", "labels") else single.predict(X32)
    assert scores.dtype == np.float32
    assert_allclose(single.coef_, double.coef_, rtol=1e-3, atol=1e-4)
    assert_allclose(single.intercept_, double.intercept_, rtol=1e-3, atol=1e-4)
    if kind in ("binary", "classes", "labels"):
        assert single.predict_proba(X32).dtype == np.float32
    going_on = clone(single).set_params(warm_start=True).fit(X32, y).partial_fit(X32, y)
    assert going_on.coef_.dtype == going_on.intercept_.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, bool, object])
def test_other_numbers_become_float64(dtype):
    X = np.abs(make_X()).astype(int).astype(dtype)
    y = make_y(make_X(), "classes")
    model = make("classes").fit(X, y)
    assert model.coef_.dtype == np.float64
    assert_same_model(model, make("classes").fit(X.astype(float), y))


def read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, path):
    np.save(path / "X.npy", X)
    return np.load(path / "X.npy", mmap_mode="r")


LAYOUTS = {
    "read_only": read_only,
    "memory_mapped": memory_mapped,
    "every_other_column": lambda X, path: np.repeat(X, 2, axis=1)[:, ::2],
    "every_other_row": lambda X, path: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X, path: X[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": lambda X, path: np.asfortranarray(X),
    "big_endian": lambda X, path: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X, path: X.tolist(),
    "unaligned": lambda X, path: np.frombuffer(b"?" + X.tobytes(), X.dtype, offset=1).reshape(X.shape),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_array_does_not_matter(layout, optimizer, tmp_path):
    X = make_X()
    changed = LAYOUTS[layout](X, tmp_path)
    assert_array_equal(np.asarray(changed), X)
    for kind in "classes", "number":
        y, weights = make_y(X, kind), 1.0 + np.arange(N_ROWS) % 2
        model = make(kind, optimizer=optimizer, batch_size=7)
        a = clone(model).fit(X, y, sample_weight=weights)
        b = clone(model).fit(changed, y, sample_weight=weights)
        # Full gradients are left to BLAS, whose order of additions follows the alignment.
        assert_same_model(a, b, rtol=1e-12 if optimizer == "gd" else 0.0)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"list", "big_endian"}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layout_of_sparse_parts_does_not_matter(layout, dtype, tmp_path):
    X = sparse.csr_array(make_X().astype(dtype))
    y = make_y(make_X(), "classes")
    parts = []
    for part in X.data, X.indices, X.indptr:
        (tmp_path / str(len(parts))).mkdir()
        parts.append(LAYOUTS[layout](part[:, np.newaxis], tmp_path / str(len(parts)))[:, 0])
    changed = sparse.csr_array(X.shape, dtype=dtype)
    changed.data, changed.indices, changed.indptr = parts
    model = make("classes", batch_size=7)
    assert_same_model(clone(model).fit(X, y), clone(model).fit(changed, y))


def test_the_layout_of_targets_and_weights_does_not_matter(tmp_path):
    X = make_X()
    for kind in "numbers", "labels":
        y, weights = make_y(X, kind), (1.0 + np.arange(N_ROWS) % 2)[:, np.newaxis]
        expected = make(kind).fit(X, y, sample_weight=weights[:, 0])
        for name in "read_only", "every_other_column", "every_other_row", "reversed", "fortran", "big_endian":
            change = LAYOUTS[name]
            model = make(kind).fit(X, change(y, tmp_path), sample_weight=change(weights, tmp_path)[:, 0])
            assert_same_model(model, expected)
