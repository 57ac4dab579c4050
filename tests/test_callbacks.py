"""scikit-learn's callbacks: each epoch is a task, after which they may look at the model, and may stop."""

import copy
import io
import pickle
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import (
    OnePassGridSearchCV,
    OnePassHalvingGridSearchCV,
    OnePassHalvingRandomSearchCV,
    OnePassRandomizedSearchCV,
)
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.training.course import Course, Diverged
from tests.model_selection.searches import assert_same_search
from tests.pairs import all_pairs
from tests.problems import ESTIMATORS, FULL_BATCH, KINDS, STOCHASTIC, first_of_each_kind, make, make_X, make_y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SEARCHES = [
    lambda model: OnePassGridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=3),
    lambda model: OnePassRandomizedSearchCV(model, {"alpha": [1e-4, 1e-2]}, n_iter=2, cv=3),
    # With a single iteration.
    lambda model: OnePassHalvingGridSearchCV(model, {"alpha": [1e-4, 1e-2]}, cv=3),
    lambda model: OnePassHalvingRandomSearchCV(model, {"alpha": [1e-4, 1e-2]}, n_candidates=2, cv=3),
]
X = make_X()
Y = make_y(X, "classes")


def path_of(context):
    return [] if context is None else [*path_of(context.parent), (context.task_name, context.task_id)]


class Recording:
    """Notes what it is told, and stops where it is asked to."""

    def __init__(self, stops=lambda context: False):
        self.stops, self.events, self.models, self.given = stops, [], [], []

    def setup(self, estimator, context):
        self.events.append(("setup", path_of(context)))

    def teardown(self, estimator, context):
        self.events.append(("teardown", path_of(context)))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", path_of(context)))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.events.append(("end", path_of(context)))
        if context.task_name == "epoch":
            self.models.append(fitted_estimator)
            self.given.append((X, y, metadata))
        return self.stops(context)

    def paths(self, event):
        return [path for kind, path in self.events if kind == event]


class PassedOn(Recording):
    """One that a meta-estimator passes on to those in it."""

    max_propagation_depth = None


HAS_CALLBACKS = find_spec("sklearn.callback") is not None
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")


@pytest.mark.skipif(HAS_CALLBACKS, reason="scikit-learn has callbacks")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_older_scikit_learn_says_so(estimator):
    for model in estimator(), *[search(estimator()) for search in SEARCHES]:
        with pytest.raises(ImportError, match=r"Callbacks need scikit-learn 1\.9 or later, and this is 1\."):
            model.set_callbacks(Recording())


def score(model, X, y):
    return {"score": model.score(X, y)}


@pytest.fixture
def monitor():
    return pytest.importorskip("sklearn.callback").ScoringMonitor(scoring=score)


# ------------------------------------------------------------------------------------------------- estimators


@needs_callbacks
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_epoch_is_a_task_with_the_model_of_that_epoch(kind, optimizer):
    y = make_y(X, kind)
    # Rates that do not depend on the end.
    options = {"optimizer": optimizer, "learning_rate": "constant", "eta0": 0.05, "batch_size": 7}
    weights, recording = np.linspace(0.5, 2, len(y)), Recording()
    make(kind, **options).set_callbacks(recording).fit(X, y, sample_weight=weights)
    root = [("fit", 0)]
    epochs = [[*root, ("epoch", k)] for k in range(4)]
    assert recording.paths("begin") == [root, *epochs]
    assert recording.paths("end") == [*epochs, root]
    assert [kind for kind, _ in recording.events[:: len(recording.events) - 1]] == ["setup", "teardown"]
    for k, (model, given) in enumerate(zip(recording.models, recording.given, strict=True), start=1):
        alone = make(kind, **options, max_iter=k).fit(X, y, sample_weight=weights)
        assert_array_equal(model.coef_, alone.coef_)
        assert_array_equal(model.predict(X), alone.predict(X))
        assert (model.loss_curve_, model.n_iter_, model.eta0_) == (alone.loss_curve_, k, alone.eta0_)
        assert given[0] is X
        assert given[1] is y
        assert given[2]["sample_weight"] is weights


@all_pairs
@needs_callbacks
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_monitor_does_not_change_the_model(kind, optimizer, early_stopping, monitor):
    y = make_y(X, kind)
    options = {"optimizer": optimizer, "max_iter": "auto", "tol": "auto", "early_stopping": early_stopping}
    model = make(kind, **options).fit(X, y)
    other = clone(model).set_callbacks(monitor).fit(X, y)
    assert_array_equal(other.coef_, model.coef_)
    assert other.loss_curve_ == model.loss_curve_
    *epochs, last = sorted((row["task_id_path"], row["score"]) for row in monitor.get_logs().data)[::-1]
    assert len(epochs) == model.n_iter_
    assert last[1] == pytest.approx(model.score(X, y))
    # With early stopping it is the best so far, as if training had ended there.
    assert epochs[0][1] == last[1]


@needs_callbacks
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_may_stop(optimizer, early_stopping):
    options = {
        "optimizer": optimizer,
        "learning_rate": "constant",
        "eta0": 0.05,
        "early_stopping": early_stopping,
    }
    stopping = Recording(lambda context: context.task_id == 2 and context.task_name == "epoch")
    model = make("classes", **options, max_iter=50, tol=1e-9).set_callbacks(stopping)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit(X, Y)
    alone = make("classes", **options, max_iter=3).fit(X, Y)
    assert_array_equal(model.coef_, alone.coef_)
    assert model.n_iter_ == 3
    assert model.loss_curve_ == alone.loss_curve_
    # And training may go on from there.
    for each in model, alone:
        each.set_params(early_stopping=False).partial_fit(X, Y)
    assert_array_equal(model.coef_, alone.coef_)


@needs_callbacks
@pytest.mark.parametrize("search", [None, *SEARCHES])
def test_training_that_begins_again_has_room_for_its_epochs(search, monkeypatch):
    check, failed = Course.check, set()

    def check_and_fail_once(course, objective, trainer, columns, ceiling):
        check(course, objective, trainer, columns, ceiling)
        if course.n_epochs == 2 and len(failed) < 2:
            failed.add(course)
            course.fail(Diverged("on its way to infinity"))

    monkeypatch.setattr(Course, "check", check_and_fail_once)
    recording = Recording()
    model = make("classes", optimizer="adam").set_callbacks(recording)
    if search is None:
        model.fit(X, Y)
        assert len(recording.models) == 3 + 3 + 4
    else:
        search(model).set_params(error_score="raise", refit=False).fit(X, Y)
        assert len(recording.models) == 2 * 3 + 2 * 3 * 4
    assert [model is None for model in recording.models].count(True) == 2


@needs_callbacks
def test_a_fit_that_fails_tears_down():
    recording = Recording()
    model = make("number", loss="squared_error", optimizer="sgd", eta0=1e6, batch_size=1).set_callbacks(
        recording
    )
    with pytest.raises(ValueError, match="lower eta0"):
        model.fit(1e3 * X, make_y(X, "number"))
    assert recording.events[-1][0] == "teardown"
    assert recording.models[-1] is None
    assert not [name for name in vars(model) if "callback" in name and name != "_skl_callbacks"]


@needs_callbacks
def test_callbacks_are_checked_and_kept_by_copies(monitor):
    with pytest.raises(TypeError, match="FitCallback protocol"):
        SGDClassifierPlus().set_callbacks(print)
    model = SGDClassifierPlus(random_state=0).set_callbacks(monitor)
    for other in clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert_array_equal(other.fit(X, Y).coef_, SGDClassifierPlus(random_state=0).fit(X, Y).coef_)
    # A chunk is no fit.
    recording = Recording()
    SGDClassifierPlus().set_callbacks(recording).partial_fit(X, Y, classes=[0, 1, 2])
    assert recording.events == []


# --------------------------------------------------------------------------------------- in scikit-learn's own


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_within_a_pipeline_and_a_search_of_scikit_learn(n_jobs, monitor, monkeypatch):
    callback, rich = pytest.importorskip("sklearn.callback"), pytest.importorskip("rich")
    screen = io.StringIO()
    rich.reconfigure(file=screen, width=200)
    model = make("classes", max_iter=3).set_callbacks(monitor)
    grid = {"sgdclassifierplus__alpha": [1e-4, 1e-2]}
    search = GridSearchCV(make_pipeline(MaxAbsScaler(), model), grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, Y)
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(epochs) == 3 * (2 * 2 + 1)
    assert "SGDClassifierPlus - fit" in screen.getvalue()


# ----------------------------------------------------------------------------------------------- our searches


@all_pairs
@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("optimizer", [*first_of_each_kind(STOCHASTIC), *FULL_BATCH])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_is_a_task_of_folds_of_epochs(search, optimizer, n_jobs):
    model = make("classes", optimizer=optimizer, max_iter=3)
    recording, passed_on = Recording(), PassedOn()
    told = search(model).set_params(n_jobs=n_jobs).set_callbacks(recording, passed_on).fit(X, Y)
    assert_same_search(told, search(model).fit(X, Y))
    assert sorted(recording.paths("begin")) == sorted(recording.paths("end"))
    root = [("fit", 0), ("search", 0)]
    n_passes = 2 if optimizer in FULL_BATCH else 1
    epochs = [path for path in recording.paths("end") if path[-1][0] == "epoch"]
    expected = [[*root, ("fold", k), ("epoch", 2 + e)] for k in range(3) for e in range(3 * n_passes)]
    assert sorted(epochs) == expected
    refit = [path for path in passed_on.paths("end") if path[:2] == [("fit", 0), ("fit", 1)]]
    assert [path[-1] for path in refit] == [("epoch", 0), ("epoch", 1), ("epoch", 2), ("fit", 1)]
    assert [kind for kind, _ in passed_on.events[:: len(passed_on.events) - 1]] == ["setup", "teardown"]


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_of_the_estimator_see_each_candidate(n_jobs, monitor):
    model = make("classes", max_iter=3, optimizer="adam")
    pipeline = make_pipeline(MaxAbsScaler(), clone(model).set_callbacks(monitor))
    grid = {"sgdclassifierplus__alpha": [1e-4, 1e-2], "maxabsscaler": [MaxAbsScaler(), "passthrough"]}
    options = {"cv": 2, "n_jobs": n_jobs, "return_train_score": True}
    search = OnePassGridSearchCV(pipeline, grid, **options).fit(X, Y)
    alone = OnePassGridSearchCV(make_pipeline(MaxAbsScaler(), model), grid, **options).fit(X, Y)
    assert_same_search(search, alone)
    logged = {row["task_id_path"]: row["score"] for row in monitor.get_logs().data}
    fits = [path for path in logged if len(path) == 4 and path[1] == 0]
    assert len(fits) == 4 * 2
    for path in fits:
        assert {(*path, k) for k in range(3)} <= set(logged)
        fold = path[2] % 2
        assert logged[path] == pytest.approx(search.cv_results_[f"split{fold}_train_score"][path[3]])


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("optimizer", [*first_of_each_kind(STOCHASTIC), *FULL_BATCH])
def test_callbacks_of_a_search_by_halving(optimizer, n_jobs, monitor):
    """Of the search, and of its estimator: what has begun ends, also of candidates that leave, as models."""
    model = make("classes", optimizer=optimizer, max_iter=4, learning_rate="constant", eta0=0.05)
    grid = {"alpha": [1e-4, 1e-3, 1e-2, 1e-1]}
    options = {"cv": 2, "factor": 2, "n_jobs": n_jobs, "refit": False, "return_train_score": True}
    of_search, of_model = Recording(), Recording()
    told = OnePassHalvingGridSearchCV(clone(model).set_callbacks(of_model, monitor), grid, **options)
    told.set_callbacks(of_search).fit(X, Y)
    assert_same_search(told, OnePassHalvingGridSearchCV(model, grid, **options).fit(X, Y))
    assert told.n_resources_ == [1, 2, 4]
    for recording in of_search, of_model:
        assert sorted(recording.paths("begin")) == sorted(recording.paths("end"))
    fold = [("fit", 0), ("search", 0), ("fold", 0)]
    epochs = [path for path in of_search.paths("end") if path[:3] == fold and path[-1][0] == "epoch"]
    assert len(epochs) == (4 + 2 * 1 + 1 * 2 if optimizer in FULL_BATCH else 4)
    made = [path for path in of_model.paths("end") if path[-1][0] == "epoch"]
    assert len(made) == 2 * (4 * 1 + 2 * 1 + 1 * 2)
    logged = {row["task_id_path"]: row["score"] for row in monitor.get_logs().data}
    for k in range(2):
        latest = {params["alpha"]: place for place, params in enumerate(told.cv_results_["params"])}
        scores = told.cv_results_[f"split{k}_train_score"][[latest[alpha] for alpha in grid["alpha"]]]
        assert_allclose([logged[0, 0, k, number] for number in range(4)], scores)


@needs_callbacks
def test_a_callback_stops_a_candidate_or_a_pass():
    options = {"learning_rate": "constant", "eta0": 0.05, "batch_size": 1, "optimizer": "adam"}
    grid, splits = {"alpha": [1e-4, 1e-2]}, 3

    def run(on_model, on_search):
        model = make("classes", **options, max_iter=9)
        if on_model:
            model.set_callbacks(Recording(on_model))
        search = OnePassGridSearchCV(model, grid, cv=splits, refit=False)
        return (search.set_callbacks(Recording(on_search)) if on_search else search).fit(X, Y)

    shorter = OnePassGridSearchCV(make("classes", **options, max_iter=2), grid, cv=splits, refit=False)
    expected = shorter.fit(X, Y).cv_results_["mean_test_score"]
    last = lambda context: (context.task_name, context.task_id) == ("epoch", 1)  # noqa: E731
    last_of_pass = lambda context: (context.task_name, context.task_id) == ("epoch", 3)  # noqa: E731
    assert_array_equal(run(last, None).cv_results_["mean_test_score"], expected)
    assert_array_equal(run(None, last_of_pass).cv_results_["mean_test_score"], expected)
    first = lambda context: last(context) and context.parent.task_id == 0  # noqa: E731
    whole = run(None, None).cv_results_["mean_test_score"]
    assert_allclose(run(first, None).cv_results_["mean_test_score"], [expected[0], whole[1]])


@needs_callbacks
def test_callbacks_that_are_passed_on_belong_to_the_search():
    model = make("classes").set_callbacks(PassedOn())
    pipeline = make_pipeline(MaxAbsScaler(), model)
    for search in SEARCHES[0](model), OnePassGridSearchCV(pipeline, {"sgdclassifierplus__alpha": [1e-3]}):
        with pytest.raises(TypeError, match=r"auto-propagated callbacks \(\['PassedOn'\]\)"):
            search.fit(X, Y)
