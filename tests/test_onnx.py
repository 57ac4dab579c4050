"""Converted models predict in onnxruntime what they predict here."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sgdkit import SGDClassifierPlus, SGDRegressorPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from tests import processes
from tests.pairs import all_pairs
from tests.problems import make_X, make_y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DTYPES = [np.float32, np.float64]
X = make_X()


@pytest.fixture(autouse=True)
def _registered():
    pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    import sgdkit.onnx

    sgdkit.onnx.register()


def run(model, rows, **options):
    """The outputs of a converted model for some rows."""
    import onnxruntime
    from skl2onnx import to_onnx

    file = to_onnx(model, rows[:1], options=options or None).SerializeToString()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: rows})


def targets(kind):
    return np.array(["ä", "b", "long name"])[make_y(X, "classes")] if kind == "strings" else make_y(X, kind)


def assert_converted(model, rows):
    """Labels, and probabilities or scores."""
    dtype = rows.dtype if rows.dtype == np.float64 else np.float32
    labels, values = run(model, rows, zipmap=False)
    assert_array_equal(labels, model.predict(rows))
    scores = model.decision_function(rows)
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    has_probabilities = hasattr(model, "predict_proba")
    assert_allclose(values, model.predict_proba(rows) if has_probabilities else scores, rtol=1e-5, atol=1e-5)
    assert values.dtype == dtype
    _, raw = run(model, rows, zipmap=False, raw_scores=True)
    assert_allclose(raw, scores, rtol=1e-5, atol=1e-5)


@all_pairs
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["binary", "strings", "labels"])
@pytest.mark.parametrize(
    ("loss", "multi_class"),
    [*((loss, "ovr") for loss in CLASSIFIER_LOSSES), *((loss, "auto") for loss in ("log_loss", "hinge"))],
)
def test_classifiers(loss, kind, multi_class, dtype):
    y, rows = targets(kind), X.astype(dtype)
    model = SGDClassifierPlus(loss, multi_class=multi_class, random_state=0).fit(rows, y)
    # Rows far from those of training too, at which probabilities are 0 and 1, or no class has any.
    assert_converted(model, np.vstack([rows, 50 * rows, 0 * rows[:1]]))


@all_pairs
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["number", "numbers"])
@pytest.mark.parametrize("loss", REGRESSOR_LOSSES)
def test_regressors(loss, kind, dtype):
    y, rows = np.abs(make_y(X, kind)) + 0.1, X.astype(dtype)
    model = SGDRegressorPlus(loss, random_state=0).fit(rows, y)
    (values,) = run(model, rows)
    assert values.dtype == dtype
    assert_allclose(values.reshape(y.shape), model.predict(rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_rows_of_integers(dtype):
    rows = (X > 0).astype(dtype)
    assert_converted(SGDClassifierPlus(random_state=0).fit(rows, make_y(X, "classes")), rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_a_pipeline(dtype):
    rows, y = 10 * X.astype(dtype) + 3, targets("strings")
    pipeline = make_pipeline(StandardScaler(), SGDClassifierPlus(random_state=0)).fit(rows, y)
    labels, p = run(pipeline, rows, zipmap=False)
    assert_array_equal(labels, pipeline.predict(rows))
    assert_allclose(p, pipeline.predict_proba(rows), rtol=1e-5, atol=1e-5)


def test_by_default_probabilities_come_by_the_names_of_their_classes():
    rows = X.astype(np.float32)
    model = SGDClassifierPlus(random_state=0).fit(rows, targets("strings"))
    _, maps = run(model, rows, zipmap=True)
    p = [[row[name] for name in model.classes_] for row in maps]
    assert_allclose(p, model.predict_proba(rows), rtol=1e-5, atol=1e-5)


def test_sparse_weights_and_numbered_classes():
    model = SGDClassifierPlus(random_state=0, penalty="l1", alpha=0.1).fit(X, targets("strings")).sparsify()
    assert sparse.issparse(model.coef_)
    assert_converted(model, X)
    labels, _ = run(model, X, zipmap=False, nocl=True)
    assert_array_equal(model.classes_[labels], model.predict(X))


def test_without_the_package_it_says_what_to_install():
    code = "import sys; sys.modules['skl2onnx'] = None\nimport sgdkit\nimport sgdkit.onnx"
    status, printed = processes.run(code)
    assert status == 1
    assert "pip install 'sgdkit[onnx]'" in printed
