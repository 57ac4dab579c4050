"""The classifier: what it learns, its probabilities, classes of any kind, and their weights."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logsumexp, softmax
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Perceptron

from sgdkit import SGDClassifierPlus
from sgdkit.losses import CLASSIFIER_LOSSES, MULTINOMIAL
from sgdkit.optimizers import OPTIMIZERS
from tests.pairs import all_pairs
from tests.problems import CANCER, IRIS, LABELS, has_kinks, skip_kinks

# A small epsilon makes Huber's loss the absolute error, whose answer is the median: "not this class".
EPSILONS = {"huber": 1.0}
DATA = {"binary": CANCER, "classes": IRIS, "labels": (IRIS[0], LABELS)}


@all_pairs(unless=has_kinks)
@pytest.mark.parametrize("batch_size", ["auto", 1, 16])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classifier_beats_the_dummy(loss, optimizer, batch_size):
    for X, y in IRIS, CANCER:
        model = SGDClassifierPlus(
            loss, optimizer=optimizer, batch_size=batch_size, max_iter=100, random_state=0
        )
        model.set_params(epsilon=EPSILONS.get(loss, 0.1))
        dummy = DummyClassifier().fit(X, y).score(X, y)
        # Regressed on codes of the classes, the middle one of three hides behind the others.
        assert model.fit(X, y).score(X, y) > dummy + 0.5 * (1 - dummy)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classifier_learns_several_labels(loss, optimizer):
    skip_kinks(optimizer, loss)
    model = SGDClassifierPlus(loss, optimizer=optimizer, max_iter=100, random_state=0).fit(IRIS[0], LABELS)
    assert model.coef_.shape == (3, 4)
    predicted = model.predict(IRIS[0])
    assert predicted.dtype == LABELS.dtype
    assert (predicted == LABELS).mean() > 0.8


def test_sparse_label_indicators():
    a, b = (SGDClassifierPlus(random_state=0).fit(IRIS[0], y) for y in (LABELS, sparse.csr_array(LABELS)))
    assert_array_equal(a.coef_, b.coef_)


# ---------------------------------------------------------------------------------------------- probabilities


PROBABILISTIC = [name for name, loss in CLASSIFIER_LOSSES.items() if loss.probability is not None]


def test_which_losses_have_probabilities():
    assert {"log_loss", "modified_huber"} <= set(PROBABILISTIC)
    assert not {"hinge", "perceptron", "squared_error"} & set(PROBABILISTIC)


@pytest.mark.parametrize("loss", sorted(set(CLASSIFIER_LOSSES) - set(PROBABILISTIC)))
def test_no_probabilities(loss):
    model = SGDClassifierPlus(loss).fit(*CANCER)
    for name in "predict_proba", "predict_log_proba":
        assert not hasattr(model, name)
        # The reason is given by the error, or by its cause.
        with pytest.raises(AttributeError, match=name) as caught:
            getattr(model, name)
        assert f"not available for loss='{loss}'" in str(caught.value.__cause__)


def modified_huber(scores):
    return (np.clip(scores, -1, 1) + 1) / 2


def expected_probabilities(model, scores, kind):
    estimate = {"logistic": expit, "modified_huber": modified_huber}[
        CLASSIFIER_LOSSES[model.loss].probability
    ]
    if kind == "labels":
        return estimate(scores)
    if kind == "binary":
        return np.column_stack([1 - estimate(scores), estimate(scores)])
    if model.loss == "log_loss" and model.multi_class != "ovr":
        return softmax(scores, axis=1)
    p = estimate(scores)
    p[p.sum(axis=1) == 0] = 1
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("loss", PROBABILISTIC)
def test_probabilities_equal_their_formulas(loss, kind, multi_class):
    X, y = DATA[kind]
    model = SGDClassifierPlus(loss, multi_class=multi_class, random_state=0).fit(X, y)
    scores, p = model.decision_function(X), model.predict_proba(X)
    assert_allclose(p, expected_probabilities(model, scores, kind), rtol=1e-10, atol=1e-14)
    assert ((p >= 0) & (p <= 1)).all()
    with np.errstate(divide="ignore"):
        assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-7, atol=1e-12)
    if kind == "labels":
        assert_array_equal(p > 0.5, model.predict(X).astype(bool))
        return
    assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    certain = np.sort(p, axis=1)[:, -1] > np.sort(p, axis=1)[:, -2] + 1e-9
    assert_array_equal(model.classes_[p.argmax(axis=1)][certain], model.predict(X)[certain])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multi_class", ["auto", "ovr"])
@pytest.mark.parametrize("kind", DATA)
def test_log_probabilities_are_finite_at_extreme_scores(kind, multi_class, dtype):
    X, y = DATA[kind]
    X = X.astype(dtype)
    model = SGDClassifierPlus(multi_class=multi_class, random_state=0).fit(X, y)
    model.coef_ *= dtype(1e5)
    scores, log_p = model.decision_function(X).astype(float), model.predict_log_proba(X)
    assert np.abs(scores).max() > 1e4
    assert np.isfinite(log_p).all()
    assert log_p.min() < -1e4
    assert np.isfinite(model.predict_proba(X)).all()
    if kind == "classes":
        assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        if multi_class == "auto":
            expected = scores - logsumexp(scores, axis=1, keepdims=True)
            assert_allclose(log_p, expected, rtol=1e-4, atol=1e-2)
        else:
            # Of a row that no class claims, the class that rejects it least gets what there is.
            none = (scores < 0).all(axis=1)
            assert_array_equal(log_p[none].argmax(axis=1), scores[none].argmax(axis=1))


def test_probabilities_of_modified_huber_where_no_class_has_any():
    model = SGDClassifierPlus("modified_huber", random_state=0).fit(*IRIS)
    model.intercept_ -= 100
    assert_allclose(model.predict_proba(IRIS[0]), 1 / 3)


def test_softmax_probabilities_are_calibrated():
    X, y = IRIS
    model = SGDClassifierPlus(optimizer="gd", alpha=1e-2, tol=1e-7, random_state=0).fit(X, y)
    # At the minimiser the mean probability of each class is its share, as no penalty holds the intercept.
    assert_allclose(model.predict_proba(X).mean(axis=0), np.bincount(y) / len(y), rtol=1e-3)


# ---------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_multi_class(loss):
    fits = {}
    for multi_class in "auto", "ovr", "multinomial":
        options = {"epsilon": EPSILONS.get(loss, 0.1), "random_state": 0}
        model = SGDClassifierPlus(loss, multi_class=multi_class, **options)
        if multi_class == "multinomial" and CLASSIFIER_LOSSES[loss] not in MULTINOMIAL:
            continue
        fits[multi_class] = model.fit(*IRIS)
        # The accuracy of the minimiser of "epsilon_insensitive" is 0.69.
        assert model.score(*IRIS) > 0.68
    same = "multinomial" if loss == "log_loss" else "ovr"
    assert_array_equal(fits["auto"].coef_, fits[same].coef_)
    if "multinomial" in fits:
        assert not np.allclose(fits["multinomial"].coef_, fits["ovr"].coef_, rtol=0.01)


@pytest.mark.parametrize("multi_class", ["auto", "ovr", "multinomial"])
def test_two_classes_are_one_column(multi_class):
    model = SGDClassifierPlus(multi_class=multi_class, random_state=0).fit(*CANCER)
    assert_array_equal(model.coef_, SGDClassifierPlus(random_state=0).fit(*CANCER).coef_)


@pytest.mark.parametrize("names", [["no", "yes", "perhaps"], [-3, 10, 7], [2.0, -1.0, 1e9]])
def test_labels_of_any_kind(names):
    y = np.array(names)[IRIS[1]]
    model = SGDClassifierPlus(random_state=0).fit(IRIS[0], y)
    assert_array_equal(model.classes_, np.unique(y))
    assert (model.predict(IRIS[0]) == y).mean() > 0.9
    chunked = SGDClassifierPlus(random_state=0)
    for _ in range(20):
        chunked.partial_fit(IRIS[0], y, classes=names)
    assert (chunked.predict(IRIS[0]) == y).mean() > 0.9


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("place", ["low", "high", "far apart"])
def test_classes_are_the_distinct_labels_of_any_whole_numbers(dtype, place):
    bounds = np.iinfo(dtype)
    labels = {
        "low": [bounds.min, bounds.min + 3],
        "high": [bounds.max - 1, bounds.max],
        "far apart": [bounds.min, bounds.max],
    }[place]
    y = np.tile(np.array(labels, dtype=dtype), 10)
    model = SGDClassifierPlus(max_iter=2, tol=None).fit(np.arange(20.0)[:, np.newaxis], y)
    assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == y.dtype
    assert set(model.predict(np.ones((2, 1)))) <= set(y)


# ----------------------------------------------------------------------------------------------- class_weight


def test_balanced_class_weight():
    X, y = CANCER
    X, y = np.r_[X[y == 1], X[y == 0][:20]], np.r_[y[y == 1], y[y == 0][:20]]
    recall = {}
    for class_weight in None, "balanced", {0: 50.0}:
        model = SGDClassifierPlus(class_weight=class_weight, alpha=0.1, optimizer="gd").fit(X, y)
        recall[str(class_weight)] = (model.predict(X[y == 0]) == 0).mean()
    assert recall["None"] < recall["balanced"]
    assert recall["None"] < recall["{0: 50.0}"]


def test_class_weight_by_name():
    words = np.array(["a", "b", "c"])[IRIS[1]]
    model = SGDClassifierPlus(class_weight={"a": 2.0, "c": 0.5}, random_state=0).fit(IRIS[0], words)
    weighted = SGDClassifierPlus(random_state=0)
    weighted.fit(IRIS[0], words, sample_weight=np.array([2.0, 1.0, 0.5])[IRIS[1]])
    assert_allclose(model.coef_, weighted.coef_, rtol=1e-12)


def test_balanced_in_partial_fit_by_running_counts():
    X, y = IRIS
    rng = np.random.RandomState(0)
    order, s = rng.permutation(150), rng.rand(150)
    chunks = np.array_split(order, 5)
    model = SGDClassifierPlus(class_weight="balanced", eta0=0.1, random_state=0, batch_size=1)
    by_hand = SGDClassifierPlus(eta0=0.1, random_state=0, batch_size=1)
    totals = np.zeros(3)
    for chunk in chunks:
        model.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2], sample_weight=s[chunk])
        totals += np.bincount(y[chunk], s[chunk], minlength=3)
        weights = (totals.sum() / (3 * totals))[y[chunk]] * s[chunk]
        by_hand.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2], sample_weight=weights)
    assert_allclose(model.coef_, by_hand.coef_, rtol=1e-10)


def test_balanced_in_partial_fit_before_a_class_is_seen():
    model = SGDClassifierPlus(class_weight="balanced", random_state=0)
    for label in 0, 1, 2, 0, 1, 2:
        rows = IRIS[1] == label
        model.partial_fit(IRIS[0][rows], IRIS[1][rows], classes=[0, 1, 2])
        assert np.isfinite(model.coef_).all()


def test_perceptron_is_that_of_scikit_learn():
    """With the settings that the user guide has for it."""
    options = {"shuffle": False, "max_iter": 5, "tol": None}
    expected = Perceptron(**options).fit(*CANCER)
    parameters = {"penalty": None, "learning_rate": "constant", "eta0": 1.0, "standardize": False}
    model = SGDClassifierPlus("perceptron", **parameters, **options).fit(*CANCER)
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)
