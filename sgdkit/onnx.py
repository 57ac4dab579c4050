"""Conversion to ONNX, for runtimes without Python: what skl2onnx has to know of the estimators.

It needs skl2onnx, which `pip install 'sgdkit[onnx]'` brings.
"""

import numpy as np
from scipy import sparse

from sgdkit.estimators import SGDClassifierPlus, SGDRegressorPlus

try:
    from skl2onnx import update_registered_converter
    from skl2onnx.algebra import onnx_ops as ops
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
        guess_numpy_type,
    )
except ImportError as error:
    raise ImportError("sgdkit.onnx needs skl2onnx; install it by: pip install 'sgdkit[onnx]'") from error

__all__ = ["register"]

OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False], "raw_scores": [True, False]}


def register() -> None:
    """Tell skl2onnx how `SGDClassifierPlus` and `SGDRegressorPlus` are converted.

    Then `skl2onnx.to_onnx` converts them, alone and in pipelines. Outputs of a classifier are the labels and the
    probabilities; or scores, if its loss has no probabilities, or with the option `raw_scores`.

    Examples
    --------
    >>> import sgdkit.onnx
    >>> sgdkit.onnx.register()
    """
    classifier = SGDClassifierPlus, "SgdkitSGDClassifierPlus", _classifier_shapes, _convert_classifier
    update_registered_converter(*classifier, options=OPTIONS)
    regressor = SGDRegressorPlus, "SgdkitSGDRegressorPlus", _regressor_shapes, _convert_regressor
    update_registered_converter(*regressor)


# ------------------------------------------------------------------------------------------------------ shapes


def _tensor_type(operator):
    """Scores have the dtype of the rows; of integers, float32."""
    return DoubleTensorType if isinstance(operator.inputs[0].type, DoubleTensorType) else FloatTensorType


def _classifier_shapes(operator):
    model, n_rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    n_classes = len(model.classes_)
    numbers = _without_names(operator.scope_inst, model) or model.classes_.dtype.kind in "biuf"
    shape = [n_rows] if model._indicator_dtype is None else [n_rows, n_classes]
    operator.outputs[0].set_type((Int64TensorType if numbers else StringTensorType)(shape))
    operator.outputs[1].set_type(_tensor_type(operator)([n_rows, n_classes]))


def _regressor_shapes(operator):
    n_rows, n_outputs = operator.inputs[0].get_first_dimension(), len(operator.raw_operator.intercept_)
    operator.outputs[0].set_type(_tensor_type(operator)([n_rows, n_outputs]))


def _without_names(scope, model):
    """Whether classes are to be numbered, instead of named."""
    return scope.get_options(model, {"nocl": False})["nocl"]


# -------------------------------------------------------------------------------------------------- converters


class _Graph:
    """Nodes of one version of the operators, for rows of one dtype."""

    def __init__(self, operator, container):
        X = operator.inputs[0]
        self.version, self.model = container.target_opset, operator.raw_operator
        self.dtype = np.float64 if guess_numpy_type(X.type) == np.float64 else np.float32
        cast = isinstance(X.type, (BooleanTensorType, Int64TensorType))
        self.X = self.Cast(X, to=1) if cast else X

    def __getattr__(self, name):
        """A function that makes nodes of a kind, such as `MatMul`."""
        make = getattr(ops, f"Onnx{name}")
        return lambda *inputs, **options: make(*inputs, op_version=self.version, **options)

    def number(self, value):
        return np.array([value], dtype=self.dtype)

    def scores(self):
        """The scores of rows, of shape (n_rows, n_columns)."""
        coef = self.model.coef_
        coef = np.atleast_2d(coef.toarray() if sparse.issparse(coef) else coef).T
        return self.Add(
            self.MatMul(self.X, coef.astype(self.dtype)), self.model.intercept_.astype(self.dtype)
        )

    def probabilities(self, scores):
        """What `sgdkit.estimators.predictions.probabilities` computes."""
        kind, multi_label = self.model._probability, self.model._indicator_dtype is not None
        if kind == "softmax":
            return self.Softmax(scores, axis=1)
        if len(self.model.classes_) == 2 and not multi_label:
            scores = self.Concat(self.Neg(scores), scores, axis=1)
        elif kind == "logistic" and not multi_label:
            # In logarithms, so that no sum of probabilities is 0.
            rest = self.Log(self.Add(self.Exp(self.Neg(self.Abs(scores))), self.number(1)))
            return self.Softmax(self.Sub(self.Min(scores, self.number(0)), rest), axis=1)
        if kind == "logistic":
            return self.Sigmoid(scores)
        clipped = self.Max(self.Min(scores, self.number(1)), self.number(-1))
        p = self.Div(self.Add(clipped, self.number(1)), self.number(2))
        return p if multi_label or len(self.model.classes_) == 2 else self._normalised(p)

    def _normalised(self, p):
        """Divide by the sum over classes; where that is 0, all are alike."""
        total = self.ReduceSum(p, np.array([1], dtype=np.int64), keepdims=1)
        nothing = self.Equal(total, self.number(0))
        safe = self.Where(nothing, self.number(1), total)
        return self.Where(nothing, self.number(1 / len(self.model.classes_)), self.Div(p, safe))

    def labels(self, scores, names):
        if self.model._indicator_dtype is not None:
            return self.Cast(self.Greater(scores, self.number(0)), to=7)
        if len(self.model.classes_) == 2:
            scores = self.Concat(self.Neg(scores), scores, axis=1)
        return self.Gather(names, self.ArgMax(scores, axis=1, keepdims=0), axis=0)


def _convert_classifier(scope, operator, container):
    graph, model = _Graph(operator, container), operator.raw_operator
    names = np.arange(len(model.classes_)) if _without_names(scope, model) else model.classes_
    names = names.astype(np.int64 if names.dtype.kind in "biuf" else object)
    scores = graph.scores()
    if container.get_options(model, {"raw_scores": False})["raw_scores"] or model._probability is None:
        two_classes = len(model.classes_) == 2 and model._indicator_dtype is None
        values = graph.Concat(graph.Neg(scores), scores, axis=1) if two_classes else scores
    else:
        values = graph.probabilities(scores)
    for node, output in zip((graph.labels(scores, names), values), operator.outputs, strict=True):
        graph.Identity(node, output_names=[output]).add_to(scope, container)


def _convert_regressor(scope, operator, container):
    graph = _Graph(operator, container)
    scores = graph.scores()
    node = graph.Exp(scores) if operator.raw_operator._log_link else scores
    graph.Identity(node, output_names=operator.outputs).add_to(scope, container)
