"""Fits to collections are those to their rows, whatever the partition, the workers, and what becomes of these."""

import doctest
import gc
import pickle
import signal
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

import sgdkit

pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
from dask import delayed  # noqa: E402
from dask.distributed import Client, LocalCluster  # noqa: E402

import sgdkit.dask  # noqa: E402
from sgdkit.dask import rows as far  # noqa: E402
from sgdkit.optimizers import blocks  # noqa: E402
from sgdkit.optimizers.blocks import add_up  # noqa: E402
from tests.dask.killing import KilledOnce  # noqa: E402

N_ROWS, N_FEATURES = 1200, 8


OPTIONS = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": "2GiB"}


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(processes=False, **OPTIONS) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(far, "FEWEST_VALUES", 600)


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


def make_rows(kind="dense"):
    rng = np.random.default_rng(0)
    X = 3 + rng.standard_normal((N_ROWS, N_FEATURES)) * np.geomspace(0.1, 30, N_FEATURES)
    if kind == "sparse":
        X = sparse.csr_array(X * (rng.random(X.shape) < 0.5))
    score = X @ rng.standard_normal(N_FEATURES) / 20 + rng.logistic(size=N_ROWS)
    return X, score - np.median(score)


PARTITIONS = {
    "even": (300,) * 4,
    "one": (N_ROWS,),
    "small": (1, 0, 1, 1, 0, 500, 1, 695, 1),
}


def collection(X, lengths):
    """Rows in parts of some lengths; nobody knows those of sparse ones."""
    if not sparse.issparse(X):
        return da.from_array(X, chunks=(lengths, *X.shape[1:]))
    ends = np.cumsum([0, *lengths])
    return [delayed(X[begin:end]) for begin, end in pairwise(ends)]


CLASSIFIERS = {
    "lbfgs": {},
    "gd": {"penalty": "elasticnet", "alpha": 1e-2, "l1_ratio": 0.5},
    "ovr": {"multi_class": "ovr", "optimizer": "gd", "class_weight": "balanced"},
}
REGRESSORS = {
    "gram": {},
    "huber": {"loss": "huber", "epsilon": 1.0},
    "no intercept": {"fit_intercept": False},
}


def check_same(model, here, tolerance=1e-9):
    scale = np.abs(here.coef_).max()
    assert_allclose(model.coef_, here.coef_, rtol=0, atol=tolerance * scale)
    assert_allclose(model.intercept_, here.intercept_, atol=tolerance * max(scale, 1))
    assert model.n_iter_ == here.n_iter_
    assert_allclose(model.alpha_, here.alpha_)


def given(parameters):
    """What "auto" stands for on a cluster."""
    optimizer = "gd" if "l1_ratio" in parameters else "lbfgs"
    return {"random_state": 0, "optimizer": optimizer, **parameters}


@pytest.mark.parametrize(
    ("name", "kind", "partition"),
    [
        ("lbfgs", "dense", "small"),
        ("lbfgs", "sparse", "one"),
        ("gd", "sparse", "small"),
        ("ovr", "dense", "even"),
    ],
)
def test_a_classifier_is_that_of_the_rows(client, name, kind, partition):
    X, score = make_rows(kind)
    y = np.array(["low", "mid", "high"])[np.digitize(score, [-1, 1])]
    weights = np.arange(N_ROWS) % 4
    parameters = CLASSIFIERS[name]
    model = sgdkit.dask.SGDClassifierPlus(random_state=0, **parameters)
    lengths = PARTITIONS[partition]
    model.fit(collection(X, lengths), da.from_array(y, chunks=400), da.from_array(weights, chunks=(lengths,)))
    # Rounding errors, which steps multiply, are those of sums over other blocks. On some processors, another order of
    # the rows changes a plain fit of the models of one against the rest by 2e-8 of the largest weight.
    tolerance = 1e-7 if name == "ovr" else 1e-8
    check_same(model, sgdkit.SGDClassifierPlus(**given(parameters)).fit(X, y, weights), tolerance)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_is_that_of_the_rows(client, name, kind):
    X, y = make_rows(kind)
    model = sgdkit.dask.SGDRegressorPlus(random_state=0, **REGRESSORS[name])
    model.fit(collection(X, PARTITIONS["small"]), y)
    check_same(model, sgdkit.SGDRegressorPlus(**given(REGRESSORS[name])).fit(X, y))


@pytest.mark.parametrize("n_rows", [6, 150])
def test_a_choice_of_the_penalty_is_that_of_the_rows(client, n_rows):
    X, score = make_rows()
    X, y = X[:n_rows], score[:n_rows] > 0
    model = sgdkit.dask.SGDClassifierPlus(random_state=0).fit(collection(X, (2, n_rows - 2)), y)
    check_same(model, sgdkit.SGDClassifierPlus(optimizer="lbfgs", random_state=0).fit(X, y))


def test_rows_may_be_sorted_by_class(client):
    X, score = make_rows()
    order = np.argsort(score > 0, kind="stable")
    X, y = X[order], score[order] > 0
    lengths = ((N_ROWS - y.sum()), y.sum())
    model = sgdkit.dask.SGDClassifierPlus(random_state=0).fit(
        collection(X, lengths), da.from_array(y, chunks=(lengths,))
    )
    check_same(model, sgdkit.SGDClassifierPlus(optimizer="lbfgs", random_state=0).fit(X, y))


@pytest.mark.parametrize("optimizer", ["lbfgs", "gd"])
def test_where_features_are_many_their_own_curvature_is_summed_up(client, optimizer):
    rng = np.random.default_rng(0)
    X = sparse.random_array((300, 80), density=0.1, format="csr", rng=rng)
    y = X @ rng.standard_normal(80) > 0
    model = sgdkit.dask.SGDClassifierPlus(optimizer=optimizer, random_state=0, tol=1e-8).fit(
        collection(X, (100, 200)), y
    )
    check_same(model, sgdkit.SGDClassifierPlus(optimizer=optimizer, random_state=0, tol=1e-8).fit(X, y))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
@pytest.mark.parametrize("method", ["slopes_at", "losses_between", "slopes_between"])
def test_a_worker_that_is_killed_changes_no_bit(client, monkeypatch, tmp_path, method):
    """In a round, when it holds blocks that have to be made again, and the scores at both ends of a line."""
    X, score = make_rows()
    rows, model = collection(X, PARTITIONS["even"]), sgdkit.dask.SGDClassifierPlus(random_state=0)
    expected = clone(model).fit(rows, score > 0)
    flag = tmp_path / "killed"
    monkeypatch.setattr(far, "_summed", KilledOnce(far._summed, flag, method))
    with LocalCluster(**OPTIONS) as cluster, Client(cluster):
        model.fit(rows, score > 0)
    assert flag.exists()
    assert_array_equal(model.coef_, expected.coef_)


def test_blocks_remember_the_scores_of_both_ends_of_a_step(monkeypatch):
    """And what they do not remember has the same bits."""
    X, score = make_rows("sparse")
    begin, end = np.random.default_rng(0).standard_normal((2, N_FEATURES + 1, 1))
    products = []
    monkeypatch.setattr(
        blocks,
        "score_rows",
        lambda X, W, score_rows=blocks.score_rows: products.append(W) or score_rows(X, W),
    )
    knows, other = (far.FarBlock(X) for _ in range(2))
    for weights in (score[: N_FEATURES + 1, np.newaxis], begin, end):
        knows.scores(weights)
    assert len(products) == 3
    line = knows._line(begin.copy(), end.copy())
    assert len(products) == 3
    assert_array_equal(line, other._line(begin, end))
    assert_array_equal(line, pickle.loads(pickle.dumps(knows))._line(begin, end))
    assert len(products) == 7


def test_what_a_fit_has_kept_at_workers_goes_with_it(client):
    X, score = make_rows()
    sgdkit.dask.SGDClassifierPlus(random_state=0).fit(collection(X, PARTITIONS["even"]), score > 0)
    gc.collect()
    assert not client.futures


@pytest.mark.parametrize("n", [1, 2, 7, 13])
def test_sums_are_added_up_in_the_tree_of_blocks_wherever_these_lie(n):
    rng = np.random.default_rng(n)
    values = rng.standard_normal((n, 3))
    for n_groups in (1, 2, 5):
        of_group = rng.integers(0, n_groups, n)
        trees = [
            far.grown(((0, k), values[k].copy()) for k in np.flatnonzero(of_group == group).tolist())
            for group in range(n_groups)
        ]
        while len(trees) > 1:
            trees = [far._grown(trees[k : k + 2]) for k in range(0, len(trees), 2)]
        assert_array_equal(far.total_of(trees[0]), add_up(values.copy()))


def test_one_worker_gives_the_bits_of_two(client):
    X, score = make_rows()
    rows, model = collection(X, PARTITIONS["even"]), sgdkit.dask.SGDClassifierPlus(random_state=0)
    two = clone(model).fit(rows, score > 0)
    options = {"n_workers": 1, "processes": False, "dashboard_address": ":0"}
    with Client(set_as_default=False, **options) as alone:
        one = clone(model).set_params(client=alone).fit(rows, score > 0)
    assert_array_equal(one.coef_, two.coef_)


@pytest.mark.filterwarnings("ignore:Sending large graph")
def test_rows_that_do_not_fit_are_read_in_each_round(client, monkeypatch):
    X, score = make_rows()
    monkeypatch.setattr(far, "memory_limits", lambda client: [1000, 1000])
    monkeypatch.setattr("sgdkit.dask.estimators.check_room", lambda *args: None)
    model = sgdkit.dask.SGDClassifierPlus(random_state=0)
    with pytest.warns(UserWarning, match="read anew in each round"):
        model.fit(collection(X, PARTITIONS["even"]), score > 0)
    check_same(model, sgdkit.SGDClassifierPlus(optimizer="lbfgs", random_state=0).fit(X, score > 0))


def test_predictions_are_lazy_and_those_of_the_plain_estimator(client):
    X, score = make_rows()
    rows, y = collection(X, PARTITIONS["small"]), np.digitize(score, [-1, 1])
    model = pickle.loads(pickle.dumps(sgdkit.dask.SGDClassifierPlus(random_state=0).fit(rows, y)))
    here = model.to_local()
    assert type(here) is sgdkit.SGDClassifierPlus
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        predicted = getattr(model, name)(rows)
        assert isinstance(predicted, da.Array)
        assert predicted.dtype == getattr(here, name)(X).dtype
        assert_allclose(predicted.compute(), getattr(here, name)(X))
        assert_array_equal(getattr(model, name)(X), getattr(here, name)(X))
    assert model.score(rows, da.from_array(y, chunks=300)) == here.score(X, y)
    here.partial_fit(X, y)


def test_a_validation_set_may_be_anywhere(client):
    X, score = make_rows()
    rows, y, X_val, y_val = X[:900], score[:900] > 0, X[900:], score[900:] > 0
    model = sgdkit.dask.SGDClassifierPlus(early_stopping=True, random_state=0)
    model.fit(
        collection(rows, (400, 500)), y, X_val=collection(X_val, (100, 200)), y_val=da.from_array(y_val)
    )
    here = sgdkit.SGDClassifierPlus(optimizer="lbfgs", early_stopping=True, random_state=0)
    check_same(model, here.fit(rows, y, X_val=X_val, y_val=y_val))
    assert_allclose(model.validation_scores_, here.validation_scores_)


def test_dataframes_have_names(client):
    dd = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    pd = pytest.importorskip("pandas")
    X, score = make_rows()
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(N_FEATURES)])
    rows = dd.from_pandas(frame, npartitions=3)
    y = dd.from_pandas(pd.Series(score > 0), npartitions=3)
    model = sgdkit.dask.SGDClassifierPlus(random_state=0).fit(rows, y)
    check_same(model, sgdkit.SGDClassifierPlus(optimizer="lbfgs", random_state=0).fit(frame, score > 0))
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert_array_equal(model.predict(rows).compute(), model.predict(frame))


BAD = {
    "optimizer": (
        {"optimizer": "adam"},
        r"dask_ml\.wrappers\.Incremental\(sgdkit\.SGDClassifierPlus\(optimizer='adam'",
    ),
    "kinks": ({"loss": "hinge"}, "'hinge' has kinks"),
    "warm_start": ({"warm_start": True}, "warm_start is not available"),
    "early_stopping": ({"early_stopping": True}, "needs X_val"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_there_is_an_error_before_any_work(name):
    X, score = make_rows()
    parameters, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        sgdkit.dask.SGDClassifierPlus(**parameters).fit(collection(X, (N_ROWS,)), score > 0)


def test_rows_in_memory_and_no_client_are_errors():
    X, score = make_rows()
    with pytest.raises(TypeError, match=r"there is sgdkit\.SGDRegressorPlus"):
        sgdkit.dask.SGDRegressorPlus().fit(X, score)
    with pytest.raises(ValueError, match="no client of a Dask cluster"):
        sgdkit.dask.SGDRegressorPlus().fit(collection(X, (N_ROWS,)), score)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_plain_estimators_name_the_others(kind):
    X, score = make_rows(kind)
    for rows in (collection(X, PARTITIONS["even"]), X):
        with pytest.raises(TypeError, match=r"Those of sgdkit\.dask fit collections"):
            sgdkit.SGDRegressorPlus().fit(rows, da.from_array(score))


def test_bad_rows_are_the_errors_of_plain_fits(client, monkeypatch):
    X, score = make_rows()
    model = sgdkit.dask.SGDClassifierPlus()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.fit(da.from_array(np.where(X > 50, np.nan, X), chunks=(300, -1)), score > 0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(collection(X, PARTITIONS["even"]), score[:-1] > 0)
    with pytest.raises(ValueError, match="Part 1 of X has 5 features, and the first one has 8"):
        model.fit([delayed(X), delayed(X[:, :5])], np.tile(score > 0, 2))
    monkeypatch.setattr("sgdkit.dask.rows.memory_limits", lambda client: [100])
    with (
        pytest.warns(UserWarning, match="read anew"),
        pytest.raises(ValueError, match="8 features times 1 columns"),
    ):
        model.fit(collection(X, PARTITIONS["even"]), score > 0)


@pytest.mark.parametrize("cls", [sgdkit.dask.SGDClassifierPlus, sgdkit.dask.SGDRegressorPlus])
def test_examples_run(cls):
    examples = doctest.DocTestParser().get_doctest(cls.__doc__, {}, cls.__name__, None, 0)
    assert not doctest.DocTestRunner().run(examples).failed


def test_parameters_are_those_of_the_plain_estimators():
    for cls in (sgdkit.dask.SGDClassifierPlus, sgdkit.dask.SGDRegressorPlus):
        plain = getattr(sgdkit, cls.__name__)
        assert cls().get_params() == {**plain().get_params(), "client": None}
        assert clone(cls(alpha=0.1)).alpha == 0.1
