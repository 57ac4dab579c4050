"""The Displays: what is drawn is what the fitted models have; matplotlib is imported by those alone who draw."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus, plotting
from sgdkit.model_selection import OnePassGridSearchCV, OnePassHalvingGridSearchCV
from sgdkit.plotting import CoefficientDisplay, SearchPathDisplay, TrainingCurveDisplay, coef_frame
from tests.processes import run

pytest.importorskip("pandas")
pyplot = pytest.importorskip("matplotlib.pyplot")
pyplot.switch_backend("agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True, as_frame=True)
TEXTS = ["a red apple", "a green pear", "a fast car", "a slow bus"] * 5
ALPHAS = [1e-2, 1e-4, 1.0, 1e-3]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def classifier(**settings):
    return SGDClassifierPlus(optimizer="adagrad", batch_size=1, max_iter=3, random_state=0, **settings)


@pytest.fixture(scope="module")
def search():
    grid = {"alpha": ALPHAS, "multi_class": ["ovr", "multinomial"]}
    return OnePassGridSearchCV(classifier(), grid, cv=3, return_train_score=True).fit(X, Y)


# ---------------------------------------------------------------------------------------------------- packages


@pytest.mark.parametrize(
    ("missing", "caller"), [("matplotlib", "CoefficientDisplay.from_estimator"), ("pandas", "coef_frame")]
)
def test_a_missing_package_is_named_by_those_who_need_it(missing, caller):
    code = f"""
import sys
from sklearn.datasets import load_iris
from sgdkit import SGDClassifierPlus
X, y = load_iris(return_X_y=True)
model = SGDClassifierPlus().fit(X, y)
sys.modules["{missing}"] = None
from sgdkit.plotting import *
{caller}(model)
"""
    status, printed = run(code)
    assert status == 1
    assert f"ImportError: {caller} requires {missing}." in printed


def test_the_import_needs_neither():
    code = "import sys; sys.modules.update(matplotlib=None, pandas=None); import sgdkit.plotting"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------------------- training curves


def test_curves_are_those_of_the_models():
    models = {
        "plain": classifier().fit(X, Y),
        "stopped": make_pipeline(StandardScaler(), classifier(early_stopping=True)).fit(X, Y),
    }
    display = TrainingCurveDisplay.from_estimators(models)
    stopped = models["stopped"][-1]
    for line, model in zip(display.lines_, [models["plain"], stopped], strict=True):
        assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
        assert_array_equal(line.get_ydata(), model.loss_curve_)
    assert [line.get_label() for line in display.lines_] == ["plain", "stopped"]
    assert display.validation_lines_[0] is None
    assert_array_equal(display.validation_lines_[1].get_ydata(), stopped.validation_scores_)
    assert display.validation_lines_[1].get_color() == display.lines_[1].get_color()
    dots = [line for line in display.axes_[1].lines if line.get_marker() == "o"]
    assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [
        (stopped.best_iter_, stopped.validation_scores_[stopped.best_iter_ - 1])
    ]


def test_without_validation_scores_there_is_one_panel():
    display = TrainingCurveDisplay.from_estimator(classifier().fit(X, Y))
    assert display.figure_.axes == list(display.axes_)
    assert len(display.axes_) == 1


def test_the_distance_from_a_minimum():
    model = classifier().fit(X, Y)
    display = TrainingCurveDisplay.from_estimator(model, minimum=0.01, name="mine")
    assert_allclose(display.lines_[0].get_ydata(), np.array(model.loss_curve_) - 0.01)
    assert display.axes_[0].get_yscale() == "log"


def test_curves_of_a_search_and_of_other_models(search):
    network = MLPClassifier(max_iter=3).fit(X, Y)
    display = TrainingCurveDisplay.from_estimators([search, network])
    assert_array_equal(display.lines_[0].get_ydata(), search.best_estimator_.loss_curve_)
    assert_array_equal(display.lines_[1].get_ydata(), network.loss_curve_)
    assert display.names == ["SGDClassifierPlus", "MLPClassifier"]


@pytest.mark.parametrize(
    ("models", "message"),
    [({}, "at least one model"), ({"scaler": StandardScaler().fit(X)}, "scaler has no loss_curve_")],
)
def test_what_has_no_curve(models, message):
    with pytest.raises(ValueError, match=message):
        TrainingCurveDisplay.from_estimators(models)


def test_given_axes():
    """One is parted, two are taken, three are an error."""
    model = classifier(early_stopping=True).fit(X, Y)
    _, axes = pyplot.subplots(1, 3)
    display = TrainingCurveDisplay.from_estimator(model, ax=axes[:2])
    assert list(display.axes_) == list(axes[:2])
    parted = TrainingCurveDisplay.from_estimator(model, ax=axes[2])
    assert len(parted.axes_) == 2
    assert parted.figure_ is axes[2].figure
    with pytest.raises(ValueError, match="one Axes or 2 of them, got 3"):
        TrainingCurveDisplay.from_estimator(model, ax=axes)


# ---------------------------------------------------------------------------------------------------- searches


def test_a_line_for_each_combination_of_the_others(search):
    display = SearchPathDisplay.from_estimator(search)
    results = search.cv_results_
    assert display.names == ["multi_class=ovr", "multi_class=multinomial"]
    for name, line, train in zip(display.names, display.lines_, display.train_lines_, strict=True):
        assert_array_equal(line.get_xdata(), sorted(ALPHAS))
        own = [
            number
            for alpha in sorted(ALPHAS)
            for number, candidate in enumerate(results["params"])
            if candidate["alpha"] == alpha and f"multi_class={candidate['multi_class']}" == name
        ]
        assert_allclose(line.get_ydata(), results["mean_test_score"][own])
        assert_allclose(train.get_ydata(), results["mean_train_score"][own])
    assert set(display.best_line_.get_xdata()) == {search.best_params_["alpha"]}
    assert display.ax_.get_xscale() == "log"


def test_the_band_is_a_standard_deviation(search):
    display = SearchPathDisplay.from_estimator(search)
    spread = display.test_scores[0].std(axis=1)
    vertices = display.bands_[0].get_paths()[0].vertices
    for alpha, height in zip(display.param_ranges[0], 2 * spread, strict=True):
        assert_allclose(np.ptp(vertices[vertices[:, 0] == alpha, 1]), height, atol=1e-12)


def test_around_a_pipeline_with_several_metrics():
    model = make_pipeline(StandardScaler(), classifier())
    grid = {"sgdclassifierplus__alpha": ALPHAS}
    options = {"scoring": ["accuracy", "neg_log_loss"], "refit": False, "cv": 3}
    for search_class in (OnePassGridSearchCV, GridSearchCV):
        found = search_class(model, grid, **options).fit(X, Y)
        display = SearchPathDisplay.from_estimator(found, metric="neg_log_loss")
        assert display.ax_.get_xlabel() == "alpha"
        assert display.ax_.get_ylabel() == "Neg log loss"
        assert not display.train_lines_
        with pytest.raises(ValueError, match=r"one of \['accuracy', 'neg_log_loss'\], got 'score'"):
            SearchPathDisplay.from_estimator(found)


def test_two_numeric_parameters_need_a_name():
    found = OnePassGridSearchCV(classifier(), {"alpha": ALPHAS, "eta0": [0.1, 0.3]}, cv=3).fit(X, Y)
    with pytest.raises(ValueError, match=r"param_name must be one of .*\['alpha', 'eta0'\]; got None"):
        SearchPathDisplay.from_estimator(found)
    assert SearchPathDisplay.from_estimator(found, param_name="alpha").names == ["eta0=0.1", "eta0=0.3"]


def test_iterations_of_halving_are_lines():
    options = {"cv": 3, "factor": 2, "min_resources": 1}
    found = OnePassHalvingGridSearchCV(classifier().set_params(max_iter=4), {"alpha": ALPHAS}, **options).fit(
        X, Y
    )
    display = SearchPathDisplay.from_estimator(found)
    assert display.names == [f"iter={number}" for number in range(found.n_iterations_)]
    assert [len(line.get_xdata()) for line in display.lines_] == found.n_candidates_
    assert display.best_value == found.best_params_["alpha"]


# ---------------------------------------------------------------------------------------------------- coefficients


def test_frames_of_all_kinds_of_models():
    model = classifier().fit(X, Y)
    frame = coef_frame(model)
    assert_array_equal(frame.to_numpy(), model.coef_.T)
    assert list(frame.index) == list(X.columns)
    assert list(frame.columns) == [0, 1, 2]
    two = classifier().fit(X, np.where(Y == 1, "yes", "no"))
    assert list(coef_frame(two).columns) == ["yes"]
    one = SGDRegressorPlus(random_state=0).fit(X, Y)
    assert_array_equal(coef_frame(one)["coef"], one.coef_)
    several = SGDRegressorPlus(random_state=0).fit(X, np.c_[Y, Y])
    assert coef_frame(several).shape == (4, 2)
    assert_array_equal(coef_frame(one.sparsify())["coef"], one.coef_.toarray()[0])
    assert list(coef_frame(SGDRegressorPlus().fit(X.to_numpy(), Y)).index) == ["x0", "x1", "x2", "x3"]


def test_names_come_through_a_pipeline_and_a_search():
    labels = ["fruit", "fruit", "traffic", "traffic"] * 5
    model = make_pipeline(TfidfVectorizer(), classifier())
    found = OnePassGridSearchCV(model, {"sgdclassifierplus__alpha": ALPHAS}, cv=2).fit(TEXTS, labels)
    frame = coef_frame(found)
    assert frame.loc["car", "traffic"] > 0 > frame.loc["apple", "traffic"]
    nameless = make_pipeline(HashingVectorizer(n_features=8), classifier()).fit(TEXTS, labels)
    with pytest.raises(ValueError, match="Pass feature_names"):
        coef_frame(nameless)
    assert list(coef_frame(nameless, feature_names=list("abcdefgh")).index) == list("abcdefgh")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_given_rows_make_features_comparable(form):
    """A feature in another unit has the same coefficient then."""
    rows, y = load_breast_cancer(return_X_y=True)
    units = np.r_[1000.0, np.ones(rows.shape[1] - 1)]
    own, other = (
        coef_frame(SGDClassifierPlus(random_state=0).fit(form(X), y), form(X)) for X in (rows, rows * units)
    )
    assert_allclose(own, other, rtol=1e-6)
    assert_allclose(
        own[1], SGDClassifierPlus(random_state=0).fit(form(rows), y).coef_[0] * rows.std(axis=0), rtol=1e-9
    )


def test_bars_are_the_largest_coefficients():
    model = classifier().fit(X, Y)
    display = CoefficientDisplay.from_estimator(model, n_features=2, classes=[2, 0])
    frame = coef_frame(model)
    for panel, bars, label in zip(display.axes_, display.bars_, [2, 0], strict=True):
        largest = frame[label].reindex(frame[label].abs().nlargest(2).index).sort_values()
        assert [bar.get_width() for bar in bars] == list(largest)
        assert [tick.get_text() for tick in panel.get_yticklabels()] == list(largest.index)
        assert panel.get_title(loc="left") == str(label)


def test_a_model_without_coefficients():
    with pytest.raises(ValueError, match=r"StandardScaler has no coef_\."):
        coef_frame(StandardScaler().fit(X))


def test_all_is_public():
    assert sorted(plotting.__all__) == plotting.__all__
