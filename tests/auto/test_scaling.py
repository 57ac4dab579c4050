"""The scale of features: how it is learnt from the rows, as they come, and undone exactly."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit._kernels.rows import Rows
from sgdkit.auto.scaling import Scaling, Standard
from sgdkit.optimizers import OPTIMIZERS
from tests import reference
from tests.internals import scaling_of, state_of, trainer_of
from tests.problems import MANY, SHORT, STATEFUL, make_features, make_targets


def standard(X, row_indices=None, row_weights=None, shifts=True, **options):
    return Standard(Rows(X), row_indices, row_weights, shifts=shifts, **options)


# --------------------------------------------------------------------------------------------- what is learnt


@pytest.mark.parametrize("far", [1.0, 1e3, 1e-3], ids=lambda far: f"a sparse feature {far:g} times as large")
@pytest.mark.parametrize("shifts", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_scales_are_those_of_the_reference(container, weighted, shifts, far):
    X = make_features()
    X[:, 5] *= far
    weights = np.random.default_rng(1).integers(0, 3, MANY).astype(float) if weighted else None
    row_indices = np.flatnonzero(weights) if weighted else None
    scaling = standard(container(X), row_indices, weights, shifts)
    shift, scale, unit = reference.scales(X, weights, shifts)
    assert_allclose(scaling.mean, shift, rtol=1e-12)
    assert_allclose(scaling.scale, scale, rtol=1e-9)
    assert_allclose(scaling.unit, unit, rtol=1e-12)
    assert (len(np.unique(scale[3:11])) == 1) == (far == 1)
    if far == 1:
        # Without the features that have a scale of their own, there is nothing to bring to another one.
        few = standard(container(X[:, 3:-2]), row_indices, weights, shifts)
        assert_allclose(few.unit, reference.scales(X[:, 3:-2], weights, shifts)[2], rtol=1e-12)
        assert few.unit != 1
        assert few.factor is None


def test_where_sparse_features_have_no_common_scale_each_has_its_own():
    X = make_features()
    X[:, 5:11] *= 10.0 ** np.arange(-3, 3)
    scaling = standard(X)
    _, scale, unit = reference.scales(X)
    assert unit == scaling.unit == 1
    assert_allclose(scaling.scale, scale, rtol=1e-9)
    assert len(np.unique(scaling.scale[5:11])) == 6


def rows_of_one_length(seed=0):
    """Words as TF-IDF weighs them, in texts of 2 to 40 words; each word then in a unit of its own."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(np.outer(rng.uniform(0.1, 2, MANY), np.geomspace(0.05, 1, 40))).astype(float)
    counts[:, -1] += counts.sum(axis=1) == 0
    X = counts * (1 - np.log((counts > 0).mean(axis=0)))
    X /= np.sqrt((X**2).sum(axis=1, keepdims=True))
    return X, 10.0 ** rng.uniform(-3, 3, 40), counts


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_keep_their_lengths_and_rare_words_in_any_units(dtype, weighted, container):
    X, units, counts = rows_of_one_length()
    weights = np.random.default_rng(1).integers(0, 3, MANY).astype(float) if weighted else None
    row_indices = np.flatnonzero(weights) if weighted else None
    scaling = standard(container((X * units).astype(dtype)), row_indices, weights)
    _, scale, unit = reference.scales((X * units).astype(dtype), weights)
    assert unit == scaling.unit == 1
    assert_allclose(scaling.scale, scale, rtol=1e-5)
    # What is left of the units is little beside what they were, and rows have about the same length again.
    lengths = np.sqrt(((X * units / scaling.scale) ** 2).sum(axis=1))
    assert np.std(np.log(lengths)) < 0.35
    # Counts are of no length: each has its own scale, and no word more than it had.
    scaling = standard(container((counts * units).astype(dtype)), row_indices, weights)
    weights = np.ones(MANY) if weights is None else weights
    squares, mass = weights @ counts**2, weights @ (counts > 0)
    assert_allclose(scaling.scale, units * np.sqrt(squares / mass), rtol=1e-5)


def test_a_feature_that_hardly_varies_about_a_large_mean():
    X = 1e9 + np.random.default_rng(0).standard_normal((MANY, 1))
    assert_allclose(standard(X).scale, X.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e6, -3.0])
def test_a_constant_feature_has_no_scale(dtype, value):
    X = np.full((MANY, 1), value, dtype=dtype)
    scaling = standard(X)
    assert scaling.scale[0] == scaling.unit
    assert not scaling.apply(Rows(X)).X.any()


def test_without_zeros_it_is_that_of_standard_scaler():
    X = load_diabetes().data
    scaling = standard(X)
    assert_allclose(scaling.apply(Rows(X)).X, StandardScaler().fit_transform(X), atol=1e-12)
    assert scaling.unit == 1


@pytest.mark.parametrize("shifts", [True, False])
def test_sums_of_duplicates_are_scaled_and_shifted_once(shifts):
    X = make_features()
    stored = sparse.csr_array(X)
    halved = sparse.csr_array(
        (np.repeat(stored.data / 2, 2), np.repeat(stored.indices, 2), 2 * stored.indptr), shape=X.shape
    )
    scaling = standard(halved, shifts=shifts)
    assert scaling.mean.any() == shifts
    assert_allclose(scaling.scale, standard(X, shifts=shifts).scale, rtol=1e-12)
    expected = standard(stored, shifts=shifts).apply(Rows(stored)).X
    assert_allclose(scaling.apply(Rows(halved)).X.toarray(), expected.toarray(), atol=1e-12)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_the_same_on_raw_and_on_scaled_rows(dtype, container):
    X = container(make_features().astype(dtype))
    scaling = standard(X)
    weights = np.random.default_rng(0).standard_normal((X.shape[1] + 1, 2)).astype(dtype)
    raw, rtol = scaling.to_raw(weights), 1e-3 if dtype == np.float32 else 1e-10
    scaled = scaling.apply(Rows(X)).X
    assert scaled.dtype == raw.dtype == dtype
    assert_allclose(X @ raw[:-1] + raw[-1], scaled @ weights[:-1] + weights[-1], rtol=rtol, atol=rtol)
    assert_allclose(scaling.to_scaled(raw), weights, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 1e160), (np.float64, 1e-160), (np.float32, 1e-42)])
def test_features_beyond_scaling_are_errors(dtype, scale, exact):
    X = (make_features()[:, :3] * [1.0, 1.0, scale]).astype(dtype)
    with pytest.raises(ValueError, match=f"feature 2 are too {'large' if scale > 1 else 'small'}"):
        standard(X, exact=exact)


# -------------------------------------------------------------------------------------- which rows are copied


def test_text_and_one_hot_features_are_trained_as_they_are():
    texts = ["a few words", "words of a few", "other things than words", "no such things", "few of those"] * 9
    for X in TfidfVectorizer().fit_transform(texts), sparse.csr_array(np.eye(40)):
        rows = Rows(X)
        scaling = standard(X)
        assert scaling.apply(rows) is rows
        assert scaling.to_raw(X) is X


def test_features_that_are_about_of_one_scale_are_not_copied():
    X = StandardScaler().fit_transform(make_features()[:, :3]) * [0.6, 1.0, 1.7] + 0.3
    y = make_targets(X, "labels")
    raw, standardised = (SGDClassifierPlus(standardize=s, **SHORT).fit(X, y) for s in (False, True))
    assert scaling_of(raw).factor is None
    assert scaling_of(standardised).factor is not None


def test_chunks_of_text_are_not_copied():
    rng = np.random.default_rng(0)
    X = sparse.random_array(
        (2000, 500), density=0.02, rng=rng, format="csr", data_sampler=lambda size: rng.uniform(0.5, 2, size)
    )
    y = (X.sum(axis=1) > np.median(X.sum(axis=1))).astype(int)
    model = SGDClassifierPlus(random_state=0)
    for chunk in np.array_split(np.arange(2000), 10):
        model.partial_fit(X[chunk], y[chunk], classes=[0, 1])
        assert scaling_of(model).factor is None


def test_a_feature_never_seen_changes_nothing():
    X = make_features()[:, 5:11]
    y = (X.sum(axis=1) > 2) * 1
    wider = np.hstack([X, np.zeros((MANY, 1))])
    model = SGDClassifierPlus(**SHORT)
    once, again = clone(model).fit(X, y), clone(model).fit(wider, y)
    assert scaling_of(once).factor is None
    assert scaling_of(again).factor is None
    assert_allclose(again.coef_[:, :-1], once.coef_, rtol=1e-9)


def test_a_given_rate_is_one_for_features_as_they_are():
    X = make_features()
    model = SGDClassifierPlus(standardize=False, eta0=1e-6, **SHORT).fit(X, make_targets(X, "labels"))
    assert type(scaling_of(model)) is Scaling


# ------------------------------------------------------------------------------------ learnt as the rows come


def test_seeing_the_same_rows_again_changes_nothing():
    X = make_features()
    first = standard(X)
    again = standard(X, earlier=first)
    assert again.since(first) is None
    assert again.unit == first.unit


def test_seeing_two_halves_is_seeing_the_whole():
    X = make_features()
    halves = standard(X[150:], earlier=standard(X[:150]))
    whole = standard(X)
    assert_array_equal(halves.moments[:, :2], whole.moments[:, :2])
    halves._choose()
    assert_allclose(halves.mean, whole.mean, rtol=1e-9)
    assert_allclose(halves.scale, whole.scale, rtol=1e-9)


def test_a_feature_is_scaled_anew_where_its_scale_was_wrong():
    X = make_features()
    larger = X.copy()
    larger[:, 1] *= 100
    first = standard(X[:10])
    second = standard(larger, earlier=first)
    assert second.scale[1] > 50 * first.scale[1]
    assert second.scale[2] == first.scale[2]
    ratio, _ = second.since(first)
    assert_allclose(ratio[1], first.scale[1] / second.scale[1])


def test_a_feature_that_shows_a_zero_is_no_longer_shifted():
    X = make_features()
    first = standard(X)
    assert first.mean[1] > 4
    X[3, 1] = 0
    second = standard(X, earlier=first)
    assert second.mean[1] == 0
    weights = np.random.default_rng(0).standard_normal((X.shape[1] + 1, 1))
    assert_allclose(second.to_raw(second.to_scaled(first.to_raw(weights))), first.to_raw(weights), atol=1e-9)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("optimizer", STATEFUL, ids=str)
def test_scaling_anew_leaves_the_model_and_carries_the_state_over(optimizer, average):
    X = make_features()
    model = SGDClassifierPlus(optimizer=optimizer, average=average, batch_size=32, **SHORT)
    trainer = trainer_of(model.fit(X, make_targets(X, "classes")))
    state, before = state_of(trainer), trainer.weights().copy()
    slots = [state.slot(k).copy() for k in range(1 + len(getattr(state, "degrees", ())))]
    ratio, drift = 2.0 ** np.arange(-6, 7), np.linspace(-1, 1, 13)
    trainer.rescale(ratio, drift)
    assert_allclose(trainer.weights()[:-1], before[:-1] / ratio[:, np.newaxis], rtol=1e-12)
    assert_allclose(trainer.weights()[-1], before[-1] + drift @ before[:-1], rtol=1e-12)
    for k, degree in enumerate(getattr(state, "degrees", ()), start=1):
        assert_allclose(state.slot(k)[:-1], slots[k][:-1] * ratio[:, np.newaxis] ** degree, rtol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_slots_have_the_degree_that_they_say(optimizer):
    """Gradients twice as large make a slot 2 ** degree times as large."""
    X = make_features()[:, :5]
    y = make_targets(X, "numbers")
    options = {"optimizer": optimizer, "alpha": 0, "eta0": 1e-30, "standardize": False, "batch_size": 1}
    fits = (SGDRegressorPlus(**options, **SHORT).fit(scale * X, y) for scale in (1, 2))
    once, twice = (state_of(trainer_of(model)) for model in fits)
    for k, degree in enumerate(getattr(once, "degrees", ()), start=1):
        assert_allclose(twice.slot(k)[:-1], once.slot(k)[:-1] * 2**degree, rtol=1e-6)


def test_warm_start_with_and_without_scaling():
    X = make_features()
    y = make_targets(X, "labels")
    model = SGDClassifierPlus(warm_start=True, optimizer="sgd", random_state=0).fit(X, y)
    assert isinstance(scaling_of(model), Standard)
    scores = model.decision_function(X)
    model.set_params(standardize=False, eta0=1e-12, max_iter=1, tol=None).fit(X, y)
    assert type(scaling_of(model)) is Scaling
    assert_allclose(model.decision_function(X), scores, rtol=1e-6, atol=1e-6)
