"""What bad input gets: an error that names the parameter and a remedy; never a silent NaN."""

import numpy as np
import pandas
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import REGRESSOR_LOSSES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from tests import reference
from tests.problems import ESTIMATORS, error_of, outside

X = np.random.RandomState(0).normal(size=(40, 4))
Y = (X[:, 0] > 0).astype(int)
THREE_CLASSES = np.arange(40) % 3
LABELS = (X > 0).astype(int)


@pytest.fixture(params=ESTIMATORS)
def model(request):
    return request.param(max_iter=5, tol=None)


# --------------------------------------------------------------------------------------------------- the data


@pytest.mark.parametrize("to_input", [np.asarray, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_nan_and_infinity_in_X(model, value, name, to_input):
    bad = X.copy()
    bad[3, 1] = value
    with pytest.raises(ValueError, match=f"Input X contains {name}"):
        model.fit(to_input(bad), Y)
    model.fit(X, Y)
    for method in model.predict, lambda bad: model.partial_fit(bad, Y), lambda bad: model.score(bad, Y):
        with pytest.raises(ValueError, match=f"Input X contains {name}"):
            method(to_input(bad))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_in_y(model, value):
    bad = X[:, 0].copy()
    bad[3] = value
    with pytest.raises(ValueError, match="Input y contains"):
        model.fit(X, bad)


MISSING = {"None": None, "NaN": np.nan, "NA": pandas.NA, "NaT": pandas.NaT}
# What makes targets of a list of values.
CONTAINERS = {
    "list": list,
    "array": lambda values: np.array(values, dtype=object),
    "Series": lambda values: pandas.Series(values, dtype=object),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("classes", [["a", "b"], [7, 8], [False, True]])
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_missing_labels_wherever_labels_are_passed(missing, classes, container):
    model, fine = SGDClassifierPlus(random_state=0), np.array(classes)[Y]
    y = container([missing, *fine.tolist()[1:]])
    for name, act in [
        ("y", lambda: model.fit(X, y)),
        ("y", lambda: model.partial_fit(X, y, classes=classes)),
        ("classes", lambda: model.partial_fit(X, fine, classes=container([*classes, missing]))),
        ("y_val", lambda: clone(model).set_params(early_stopping=True).fit(X, fine, X_val=X, y_val=y)),
        ("y", lambda: clone(model).fit(X, fine).score(X, y)),
        ("y", lambda: OnePassGridSearchCV(model, {"alpha": [0.1]}).fit(X, y)),
    ]:
        with pytest.raises(ValueError, match=f"{name} contains missing labels"):
            act()
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_missing_numbers_wherever_targets_are_passed(missing, container):
    model, y = SGDRegressorPlus(random_state=0), container([missing, *X[1:, 0]])
    for name, act in [
        ("y", lambda: model.fit(X, y)),
        ("y", lambda: model.partial_fit(X, y)),
        ("y_val", lambda: clone(model).set_params(early_stopping=True).fit(X, X[:, 0], X_val=X, y_val=y)),
        ("y", lambda: OnePassGridSearchCV(model, {"alpha": [0.1]}).fit(X, y)),
    ]:
        with pytest.raises(ValueError, match=f"{name} contains missing values"):
            act()
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("labels", [Y, Y.astype(bool), Y.astype(float), np.array(["a", "b"])[Y], LABELS])
def test_objects_that_are_labels(labels):
    """They are what they would be without being objects, in all that takes labels."""
    objects = labels.astype(object)
    expected = SGDClassifierPlus(random_state=0).fit(X, labels)
    model = SGDClassifierPlus(random_state=0).fit(X, objects)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.score(X, objects) == expected.score(X, labels)
    stopped = SGDClassifierPlus(random_state=0, early_stopping=True)
    assert stopped.fit(X, objects, X_val=X, y_val=objects).validation_scores_
    search = OnePassGridSearchCV(model, {"alpha": [0.1, 1]}).fit(X, objects)
    assert search.best_score_ == OnePassGridSearchCV(model, {"alpha": [0.1, 1]}).fit(X, labels).best_score_
    if labels.ndim == 1:
        chunks = SGDClassifierPlus(random_state=0).partial_fit(X, objects, classes=np.unique(objects))
        np.testing.assert_array_equal(chunks.classes_, np.unique(labels))


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_strings_beside_numbers(container):
    y = container(["a", *Y[1:].tolist()])
    for act in (
        lambda: SGDClassifierPlus().fit(X, y),
        lambda: SGDClassifierPlus().partial_fit(X, Y, classes=y),
    ):
        with pytest.raises(ValueError, match=r"Mix of label input types in (y|classes): \['int', 'str'\]"):
            act()


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_sparse_targets_of_a_regression(n_outputs):
    y = sparse.csr_array(X[:, :n_outputs])
    model = SGDRegressorPlus()
    for name, act in [
        ("y", lambda: model.fit(X, y)),
        ("y", lambda: model.partial_fit(X, y)),
        ("y_val", lambda: model.set_params(early_stopping=True).fit(X, X[:, :n_outputs], X_val=X, y_val=y)),
    ]:
        with pytest.raises(TypeError, match=f"Sparse data was passed for {name}, but dense data is required"):
            act()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_in_weights(model, value):
    weights = np.ones(40)
    weights[3] = value
    with pytest.raises(ValueError, match="sample_weight contains"):
        model.fit(X, Y, sample_weight=weights)


def test_float32_that_is_too_large_once_it_is_narrowed(model):
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match="contains infinity or a value too large"),
    ):
        model.fit(X.astype(np.float32), Y).partial_fit(np.full_like(X, 1e300), Y)


def test_wrong_shapes(model):
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.fit(X[:, 0], Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, Y[:-1])
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(39,\), expected \(40,\)"):
        model.fit(X, Y, sample_weight=np.ones(39))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        model.fit(X[:0], Y[:0])
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\)"):
        model.fit(X[:, :0], Y)
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(X, None)


@pytest.mark.parametrize("index", [-1, 4, 10**8])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_indices_outside_of_the_matrix(index, dtype):
    broken = sparse.csr_matrix(X)
    broken.indices, broken.indptr = broken.indices.astype(dtype), broken.indptr.astype(dtype)
    broken.indices[4] = index
    with pytest.raises(ValueError, match="ind"):
        SGDClassifierPlus(eta0=0.1).fit(broken, THREE_CLASSES)


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_sparse_parts_of_two_dimensions(model, part):
    broken = sparse.csr_matrix(X)
    setattr(broken, part, getattr(broken, part)[:, np.newaxis])
    model.fit(X, Y)
    for act in (
        lambda: clone(model).fit(broken, Y),
        lambda: model.predict(broken),
        lambda: model.score(broken, Y),
    ):
        with pytest.raises(ValueError, match=f"not a valid CSR matrix: its {part} has 2 dimensions"):
            act()


def test_complex_and_text(model):
    with pytest.raises(ValueError, match="Complex data not supported"):
        model.fit(X + 1j, Y)
    with pytest.raises(ValueError, match="could not convert string to float"):
        model.fit([["a"], ["b"]], [0, 1])


def test_other_features_than_in_fit(model):
    model.fit(X, Y)
    for method in model.predict, lambda other: model.partial_fit(other, Y):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4 features"):
            method(X[:, :3])


def test_other_feature_names_than_in_fit(model):
    pandas = pytest.importorskip("pandas")
    model.fit(pandas.DataFrame(X, columns=list("abcd")), Y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pandas.DataFrame(X, columns=list("abce")))


def test_unfitted(model):
    methods = [model.predict, model.densify, model.sparsify]
    if isinstance(model, SGDClassifierPlus):
        methods += [model.decision_function, model.predict_proba, model.predict_log_proba]
    for method in methods:
        with pytest.raises(NotFittedError, match="fitted"):
            method(X) if method not in (model.densify, model.sparsify) else method()


# ---------------------------------------------------------------------------------------------------- classes


def test_one_class():
    with pytest.raises(ValueError, match="number of classes has to be greater than one; got 1 class"):
        SGDClassifierPlus().fit(X, np.zeros(40))
    with pytest.raises(ValueError, match="number of classes has to be greater than one; got 1 class"):
        SGDClassifierPlus().partial_fit(X, np.zeros(40), classes=[0])


def test_continuous_labels():
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        SGDClassifierPlus().fit(X, X[:, 0])


def test_several_columns_of_classes():
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        SGDClassifierPlus().fit(X, np.column_stack([Y, Y + 1, Y]))


def test_classes_of_partial_fit():
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        SGDClassifierPlus().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*\[2\]"):
        SGDClassifierPlus().partial_fit(X, np.r_[2, Y[1:]], classes=[0, 1])
    model = SGDClassifierPlus().partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        model.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*\[7\]"):
        model.partial_fit(X, np.r_[7, Y[1:]])


def test_text_labels_that_are_unknown_in_partial_fit():
    model = SGDClassifierPlus().partial_fit(X, np.array(["a", "b"])[Y], classes=["a", "b"])
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*zebra"):
        model.partial_fit(X, np.array(["a", "zebra"])[Y])


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c"], [0, 1], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("as_objects", [False, True])
def test_labels_of_another_kind_than_the_classes_are_unknown(classes, as_objects):
    classes = np.array(classes)
    others = np.array(["x", "y"]) if classes.dtype.kind == "i" else np.array([7, 8])
    known, y = classes[np.arange(len(Y)) % len(classes)], others[Y]
    if as_objects:
        known, y = known.astype(object), y.astype(object)
    model = SGDClassifierPlus(random_state=0).partial_fit(X, known, classes=np.unique(known))
    for fit in (
        model.partial_fit,
        lambda X, y: SGDClassifierPlus(early_stopping=True).fit(X, known, X_val=X, y_val=y),
    ):
        with pytest.raises(ValueError, match="labels that are not among the classes"):
            fit(X, y)


def test_a_failed_partial_fit_leaves_the_model_as_it_was():
    model = SGDClassifierPlus(random_state=0).partial_fit(X, Y, classes=[0, 1])
    other = SGDClassifierPlus(random_state=0).partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="not among the classes"):
        model.partial_fit(X, Y + 5)
    np.testing.assert_array_equal(model.partial_fit(X, Y).coef_, other.partial_fit(X, Y).coef_)


def test_class_weight():
    with pytest.raises(ValueError, match="class_weight"):
        SGDClassifierPlus(class_weight={0: 1, 5: 2}).fit(X, Y)
    with pytest.raises(ValueError, match="'class_weight' parameter"):
        SGDClassifierPlus(class_weight="even").fit(X, Y)
    with pytest.raises(ValueError, match="class_weight is not supported for multilabel"):
        SGDClassifierPlus(class_weight="balanced").fit(X, np.column_stack([Y, 1 - Y]))


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_class_weights_that_are_no_weights(weight):
    with pytest.raises(ValueError, match="class_weight"):
        SGDClassifierPlus(class_weight={0: weight, 1: 1.0}).fit(X, Y)


def test_class_weights_of_zero_leave_nothing():
    with pytest.raises(ValueError, match="weight"):
        SGDClassifierPlus(class_weight={0: 0.0, 1: 0.0}).fit(X, Y)


def test_multinomial_where_there_is_none():
    y = THREE_CLASSES
    with pytest.raises(
        ValueError, match=r"multi_class='multinomial' is not available for loss='squared_hinge'.*ovr"
    ):
        SGDClassifierPlus("squared_hinge", multi_class="multinomial").fit(X, y)
    with pytest.raises(ValueError, match="multi_class='multinomial' is not available for multilabel"):
        SGDClassifierPlus(multi_class="multinomial").fit(X, np.column_stack([Y, 1 - Y]))


@pytest.mark.parametrize("indicator", [2 * LABELS - 1, LABELS + 1])
def test_an_indicator_of_other_numbers(indicator):
    with pytest.raises(ValueError, match="0 and 1"):
        SGDClassifierPlus().fit(X, indicator)


# ---------------------------------------------------------------------------------------------------- weights


def test_negative_weights(model):
    weights = np.ones(40)
    weights[3] = -1
    for method in model.fit, model.partial_fit if isinstance(model, SGDRegressorPlus) else model.fit:
        with pytest.raises(
            ValueError, match=r"Negative values in data passed to `sample_weight`.*non-negative"
        ):
            method(X, Y, sample_weight=weights)
    model.set_params(early_stopping=True)
    with pytest.raises(ValueError, match=r"Negative values in data passed to `sample_weight_val`"):
        model.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=weights)


def test_weights_that_are_all_zero(model):
    with pytest.raises(ValueError, match=r"(?i)sample.weight.*zero"):
        model.fit(X, Y, sample_weight=np.zeros(40))
    model.set_params(early_stopping=True)
    with pytest.raises(ValueError, match=r"(?i)sample.weight.*zero"):
        model.fit(X, Y, X_val=X, y_val=Y, sample_weight_val=np.zeros(40))


@pytest.mark.parametrize("weight", [5e-324, 1e-320, 1e-200, 1e200, 1e307, 1e308])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_that_cannot_be_summed(model, weight, dtype):
    weights, rows = np.full(40, weight), X.astype(dtype)
    for act in (
        lambda: model.fit(rows, Y, sample_weight=weights),
        lambda: model.partial_fit(
            rows, Y, sample_weight=weights, **({"classes": [0, 1]} if hasattr(model, "class_weight") else {})
        ),
    ):
        with pytest.raises(ValueError, match=r"mean of sample_weight, times class_weight, is .*Multiply"):
            act()
    model.set_params(early_stopping=True)
    with pytest.raises(ValueError, match="mean of sample_weight_val"):
        model.fit(rows, Y, X_val=rows, y_val=Y, sample_weight_val=weights)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("weight", [1e-320, 1e308])
def test_class_weights_that_cannot_be_summed(weight):
    with pytest.raises(ValueError, match=r"mean of sample_weight, times class_weight"):
        SGDClassifierPlus(class_weight={0: weight, 1: weight}).fit(X, Y)


def test_a_number_for_the_weights_of_all_rows(model):
    """In a search as in a fit."""
    expected = clone(model).fit(X, Y, sample_weight=np.full(40, 2.0))
    np.testing.assert_array_equal(clone(model).fit(X, Y, sample_weight=2).coef_, expected.coef_)
    for weight in 2, 2.0, np.float32(2), np.array(2.0):
        search = OnePassGridSearchCV(model, {"alpha": [0.1]}).fit(X, Y, sample_weight=weight)
        expected = OnePassGridSearchCV(model, {"alpha": [0.1]}).fit(X, Y, sample_weight=np.full(40, 2.0))
        assert search.best_score_ == expected.best_score_
        np.testing.assert_array_equal(search.best_estimator_.coef_, expected.best_estimator_.coef_)


# ------------------------------------------------------------------------------------------ targets of a loss


def domains():
    """The losses that do not take all targets, with their parameter, a target outside, and the bound of the others."""
    for name, loss in REGRESSOR_LOSSES.items():
        for number in reference.PARAMETERS[loss.parameter_name]:
            lowest, included = loss(number).minimum_target
            parameters = {loss.parameter_name: number} if loss.parameter_name else {}
            for below in (1.0,) if included else (0.0, 1.0):
                if np.isfinite(lowest):
                    yield name, parameters, lowest - below, f"{'>=' if included else '>'} {lowest:g}"


@pytest.mark.parametrize(("loss", "parameters", "lowest", "bound"), domains())
def test_targets_outside_the_domain_of_a_loss(loss, parameters, lowest, bound):
    y = np.abs(X[:, 0]) + 1
    fine = y.copy()
    y[7] = lowest
    message = rf"y are out of the valid range of the loss '{loss}'.*{bound}.*[Cc]hoose"
    with pytest.raises(ValueError, match=message):
        SGDRegressorPlus(loss, **parameters).fit(X, y)
    with pytest.raises(ValueError, match=message):
        SGDRegressorPlus(loss, **parameters).partial_fit(X, y)
    with pytest.raises(ValueError, match="out of the valid range"):
        SGDRegressorPlus(loss, early_stopping=True, **parameters).fit(X, fine, X_val=X, y_val=y)


def test_counts_that_are_all_zero_give_finite_predictions():
    model = SGDRegressorPlus("poisson", max_iter=20, tol=None).fit(X, np.zeros(40))
    assert np.isfinite(model.predict(X)).all()
    # Training begins at the mean of half an event in all rows, and goes down from there.
    assert model.predict(X).mean() < 0.5 / len(X)


def test_going_on_with_another_kind_of_target():
    model = SGDClassifierPlus(max_iter=2, tol=None).fit(X, THREE_CLASSES)
    with pytest.raises(ValueError, match=r"targets|classes|multilabel"):
        model.partial_fit(X, LABELS[:, :3])
    model = SGDClassifierPlus(max_iter=2, tol=None, warm_start=True).fit(X, THREE_CLASSES)
    with pytest.raises(ValueError, match=r"targets|classes|multilabel"):
        model.fit(X, LABELS[:, :3])
    model = SGDRegressorPlus(max_iter=2, tol=None).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="2 columns"):
        model.partial_fit(X, X[:, :3])


# --------------------------------------------------------------------------------------------- validation set


def test_validation_set(model):
    model.set_params(early_stopping=True)
    with pytest.raises(ValueError, match="X_val is provided, but y_val was not"):
        model.fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="y_val is provided, but X_val was not"):
        model.fit(X, Y, y_val=Y)
    with pytest.raises(ValueError, match=r"X_val|X has 3 features"):
        model.fit(X, Y, X_val=X[:, :3], y_val=Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, Y, X_val=X, y_val=Y[:-1])
    bad = X.copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(X, Y, X_val=bad, y_val=Y)
    with pytest.raises(ValueError, match="early_stopping should be set to True"):
        clone(model).set_params(early_stopping=False).fit(X, Y, X_val=X, y_val=Y)


def test_weights_of_a_validation_set_without_the_set(model):
    with pytest.raises(ValueError, match="sample_weight_val"):
        model.set_params(early_stopping=True).fit(X, Y, sample_weight_val=np.ones(40))


def test_validation_set_with_unknown_labels():
    with pytest.raises(ValueError, match=r"labels that are not among the classes.*\[5\]"):
        SGDClassifierPlus(early_stopping=True).fit(X, Y, X_val=X, y_val=np.r_[5, Y[1:]])


@pytest.mark.parametrize(
    ("estimator", "y", "y_val"),
    [
        (SGDRegressorPlus, X[:, :2], X[:, :3]),
        (SGDRegressorPlus, X[:, :2], X[:, 0]),
        (SGDRegressorPlus, X[:, 0], X[:, :2]),
        (SGDClassifierPlus, LABELS[:, :2], LABELS[:, :3]),
        (SGDClassifierPlus, LABELS[:, :3], LABELS[:, :2]),
        (SGDClassifierPlus, LABELS[:, :2], Y),
        (SGDClassifierPlus, Y, LABELS[:, :2]),
        (SGDClassifierPlus, THREE_CLASSES, LABELS[:, :3]),
    ],
)
@pytest.mark.parametrize("scoring", ["loss", lambda model, X, y: 1.0])
def test_validation_set_with_another_number_of_outputs(estimator, y, y_val, scoring):
    with pytest.raises(ValueError, match=r"y_val|outputs|columns|classes|multilabel"):
        estimator(early_stopping=True, scoring=scoring).fit(X, y, X_val=X, y_val=y_val)


def test_a_held_out_share_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"test_size|least populated class"):
        SGDClassifierPlus(early_stopping=True).fit(X[:2], [0, 1])
    with pytest.raises(ValueError, match="train set will be empty"):
        SGDRegressorPlus(early_stopping=True).fit(X[:1], [0])


def test_early_stopping_with_partial_fit(model):
    options = {"classes": [0, 1]} if isinstance(model, SGDClassifierPlus) else {}
    with pytest.raises(ValueError, match="early_stopping should be False with partial_fit"):
        model.set_params(early_stopping=True).partial_fit(X, Y, **options)


def test_a_fraction_too_small_to_hold_out():
    model = SGDClassifierPlus(early_stopping=True, validation_fraction=0.01)
    with pytest.raises(ValueError, match=r"validation_fraction=0\.01 .*early_stopping=False"):
        model.fit(X, THREE_CLASSES)


# ---------------------------------------------------------------------------------------------------- scoring


def test_scoring_that_cannot_score():
    with pytest.raises(ValueError, match=r"scoring='roc_auc' cannot score.*[Cc]hoose"):
        SGDClassifierPlus(early_stopping=True, scoring="roc_auc").fit(X, THREE_CLASSES)
    with pytest.raises(ValueError, match=r"scoring='neg_log_loss' cannot score.*[Cc]hoose"):
        SGDClassifierPlus("hinge", early_stopping=True, scoring="neg_log_loss").fit(X, Y)
    with pytest.raises(ValueError, match=r"scoring='accuracy' cannot score.*[Cc]hoose"):
        SGDRegressorPlus(early_stopping=True, scoring="accuracy").fit(X, X[:, 0])
    with pytest.raises(ValueError, match="The 'scoring' parameter"):
        SGDClassifierPlus(early_stopping=True, scoring="no_such_score").fit(X, Y)


@pytest.mark.parametrize(
    "score", [lambda *_: "high", lambda *_: None, lambda *_: float("nan"), lambda *_: 1 / 0]
)
def test_a_callable_that_returns_no_score(model, score):
    with pytest.raises(ValueError, match=r"scoring=.*[Cc]hoose scoring"):
        model.set_params(early_stopping=True, scoring=score).fit(X, Y)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_score_that_is_not_finite(value):
    scores = iter([1.0, value])
    model = SGDRegressorPlus(early_stopping=True, scoring=lambda estimator, X, y: next(scores), eta0=0.1)
    with pytest.raises(ValueError, match=f"scoring=.* returned {value}, and a score must be finite"):
        model.fit(X, X[:, 0])
    assert not hasattr(model, "coef_")


# ------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loss", ["logistic", None]),
        ("optimizer", ["momentum", None, 3, SGDClassifierPlus, int]),
        ("penalty", ["l3", "None", 1]),
        ("alpha", [-1e-9, None, "1"]),
        ("l1_ratio", [-0.1, 1.1]),
        ("epsilon", [-0.1]),
        ("batch_size", [0, -1, 1.5, "all", None]),
        ("learning_rate", ["fast", None]),
        ("eta0", [0, -1.0, None, "best"]),
        ("power_t", [-1.0]),
        ("max_iter", [0, -1, 2.5]),
        ("tol", [-1e-9]),
        ("shuffle", ["yes"]),
        ("early_stopping", ["yes"]),
        ("validation_fraction", [0.0, 1.0, -0.1, 1.1]),
        ("n_iter_no_change", [0, 1.5]),
        ("average", [-1, 0.5, 10**30]),
        ("n_jobs", [1.5]),
        ("random_state", ["seed"]),
    ],
)
def test_parameters_out_of_range(model, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"'?{name}'? (parameter|must)"):
            clone(model).set_params(**{name: value}).fit(X, Y)


@pytest.mark.parametrize("name", ["alpha", "eta0", "tol", "epsilon", "power_t"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite(model, name, value):
    # Infinity is an absurd, but an honest alpha or epsilon; what it must not give is NaN.
    loss = "huber" if name == "epsilon" else model.loss
    model.set_params(**{name: value, "loss": loss})
    if np.isnan(value):
        with pytest.raises(ValueError, match=f"The '{name}' parameter"):
            model.fit(X, Y)
        return
    message = error_of(lambda: model.fit(X, Y))
    if message is None:
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.intercept_).all()
    else:
        assert name in message or "eta0" in message


def test_quantile_out_of_range():
    for value in 0.0, 1.0, -0.5:
        with pytest.raises(ValueError, match="The 'quantile' parameter"):
            SGDRegressorPlus("quantile", quantile=value).fit(X, Y)


def test_multi_class_out_of_range():
    with pytest.raises(ValueError, match="The 'multi_class' parameter"):
        SGDClassifierPlus(multi_class="softmax").fit(X, Y)


def test_l1_ratio_of_elasticnet(model):
    with pytest.raises(ValueError, match="l1_ratio must be set when penalty is 'elasticnet'"):
        model.set_params(penalty="elasticnet", l1_ratio=None).fit(X, Y)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_class_instead_of_an_object(model, name):
    cls = OPTIMIZERS[name]
    with pytest.raises(ValueError, match=rf"got the class {cls.__name__}.*optimizer={cls.__name__}\(\)"):
        model.set_params(optimizer=cls).fit(X, Y)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        (name, parameter, value)
        for name, cls in OPTIMIZERS.items()
        for parameter in cls().get_params()
        for value in outside(cls, parameter)
    ],
)
def test_parameters_of_optimizers_out_of_range(model, name, parameter, value):
    cls = OPTIMIZERS[name]
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of {cls.__name__}"):
        model.set_params(optimizer=cls(**{parameter: value})).fit(X, Y)


def test_initial_weights(model):
    with pytest.raises(ValueError, match=r"coef_init does not match dataset: expected shape \(1, 4\)"):
        model.fit(X, Y, coef_init=np.zeros(5))
    with pytest.raises(ValueError, match=r"intercept_init does not match dataset: expected shape \(1,\)"):
        model.fit(X, Y, intercept_init=np.zeros(2))
    with pytest.raises(ValueError, match="coef_init contains NaN or infinity"):
        model.fit(X, Y, coef_init=np.full(4, np.nan))


def test_warm_start_with_other_data():
    model = SGDClassifierPlus(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"warm_start.*classes"):
        model.fit(X, THREE_CLASSES)
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X[:, :2], Y)
    model = SGDRegressorPlus(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X, X[:, :2])


def test_a_parameter_of_an_optimizer_that_is_a_name():
    with pytest.raises(ValueError, match=r"optimizer__beta_2 .* optimizer='adam' is a name.*Adam\(\)"):
        SGDClassifierPlus(optimizer="adam").set_params(optimizer__beta_2=0.9)


def test_what_ends_at_max_iter_warns(model):
    with pytest.warns(ConvergenceWarning, match=r"Maximum number of iterations \(1\) reached.*max_iter"):
        model.set_params(max_iter=1, tol=1e-3).fit(X, Y)
