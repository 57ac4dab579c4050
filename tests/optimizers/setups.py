"""Small training problems, which the compiled code and the reference both solve."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sgdkit._kernels.epoch import Pass
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES, CrammerSinger, Softmax
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES, Penalty
from tests import reference

COMPILED = {name: cls for name, cls in OPTIMIZERS.items() if not cls.full_batch}
# Hyper-parameters away from their defaults, as the reference names them.
VARIANTS = {
    f"{name}-{variant}" if variant else name: cls(**parameters)
    for name, cls in COMPILED.items()
    for variant, parameters in reference.OPTIMIZERS[name].variants.items()
}
CONSTANT = [name for name, optimizer in reference.OPTIMIZERS.items() if getattr(optimizer, "constant", False)]
LOSSES = {**REGRESSOR_LOSSES, **CLASSIFIER_LOSSES, "softmax": Softmax, "crammer_singer": CrammerSinger}
TOLERANCES = {
    np.float64: {"rtol": 1e-9, "atol": 1e-12},
    np.float32: {"rtol": 1e-3, "atol": 1e-5},
}
N_ROWS, N_FEATURES, N_COLUMNS = 11, 6, 2


def name_of(optimizer):
    return next(name for name, cls in OPTIMIZERS.items() if cls is type(optimizer))


def of_optimizers(optimizers):
    return pytest.mark.parametrize("optimizer", list(optimizers), ids=repr)


ALL_VARIANTS = pytest.mark.parametrize("optimizer", VARIANTS.values(), ids=VARIANTS)
ALL_OPTIMIZERS = of_optimizers(cls() for cls in COMPILED.values())
CONSTANT_METRICS = of_optimizers(v for v in VARIANTS.values() if name_of(v) in CONSTANT)
# Those whose weights may be stored times their metric.
PRODUCTS = of_optimizers(
    cls()
    for name, cls in COMPILED.items()
    if issubclass(reference.OPTIMIZERS[name], reference.Descent) and name not in CONSTANT
)
ADAPTIVE = of_optimizers(cls() for name, cls in COMPILED.items() if name not in CONSTANT)
ALL_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make_loss(name, n_outputs=1):
    cls = LOSSES[name]
    return cls(reference.PARAMETERS[cls.parameter_name][0], n_outputs)


@dataclass
class Setup:
    """One training problem, which the compiled code and the reference both solve."""

    optimizer: object
    X: object
    t: np.ndarray
    loss: str = "log_loss"
    l1: object = 0.0
    l2: object = 0.0
    fit_intercept: bool = True
    average_from: int = 0
    batch_size: int = 1
    weights: np.ndarray | None = None
    class_weights: np.ndarray | None = None
    column_weights: np.ndarray | None = None
    scale: object = 1.0
    labels: np.ndarray | None = None
    units: np.ndarray | None = None

    @property
    def dense(self):
        return np.asarray(self.X.toarray() if sparse.issparse(self.X) else self.X, dtype=np.float64)

    @property
    def n_columns(self):
        return self.t.shape[1]

    @property
    def penalty(self):
        return Penalty(self.l1, self.l2, self.units)

    def targets(self):
        values = np.asarray(self.t, dtype=np.float64) if self.labels is None else self.labels
        return Targets(values, np.arange(self.n_columns))

    def state(self):
        shape = self.X.shape[1], self.n_columns
        settings = {"fit_intercept": self.fit_intercept, "average_from": self.average_from}
        state = self.optimizer.make_state(None, shape, self.X.dtype, **settings)
        state.set_columns(self.penalty, np.full(self.n_columns, self.scale))
        return state

    def run(self, state, order, rates):
        loss = make_loss(self.loss, self.n_columns)
        weights = {"class_weights": self.class_weights, "column_weights": self.column_weights}
        options = {"row_weights": self.weights, "batch_size": self.batch_size, **weights}
        visits = Pass(Rows(self.X), self.targets(), loss, state, **options)
        return visits.visit(np.asarray(order, dtype=np.int32), np.asarray(rates, dtype=np.float64))

    def model(self):
        rule = reference.OPTIMIZERS[name_of(self.optimizer)]
        return reference.Model(
            rule((self.X.shape[1] + 1, self.n_columns), **self.optimizer.get_params()),
            self.loss,
            l1=self.l1,
            l2=self.l2,
            fit_intercept=self.fit_intercept,
            p=make_loss(self.loss).parameter,
            n_outputs=self.n_columns,
            average_from=self.average_from,
            scale=self.scale,
            units=1.0 if self.units is None else np.append(self.units, 0.0)[:, np.newaxis],
        )

    def settings_of_epoch(self, order, rates):
        weights = np.ones(self.X.shape[0]) if self.weights is None else self.weights
        if self.class_weights is not None:
            weights = weights[:, np.newaxis] * self.class_weights[self.labels] * self.column_weights
        return {"order": order, "rates": rates, "weights": weights, "batch_size": self.batch_size}

    def epochs(self, n_epochs, seed=0, order=None):
        """The order of rows and the rates of each epoch."""
        rng = np.random.default_rng(seed)
        rows = np.arange(self.X.shape[0]) if order is None else order
        n_steps = -(-len(rows) // self.batch_size)
        return [(rng.permutation(rows), rng.uniform(0.02, 0.2, n_steps)) for _ in range(n_epochs)]


def assert_same_state(state, model, **tolerance):
    assert_allclose(state.slot(0), model.w, **tolerance)
    slots = model.optimizer.slots()
    assert state.n_slots == 1 + len(slots) + state.average
    for number, slot in enumerate(slots, start=1):
        assert_allclose(state.slot(number), slot, err_msg=f"slot {number}", **tolerance)
    assert_allclose(state.weights(), model.weights(), **tolerance)


def assert_same_training(setup, n_epochs=3, order=None, seed=0):
    state, model = setup.state(), setup.model()
    sums = np.zeros(setup.n_columns)
    for order_of_epoch, rates in setup.epochs(n_epochs, seed, order):
        sums += setup.run(state, order_of_epoch, rates)
        state.flush()
        model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(order_of_epoch, rates))
    tolerance = TOLERANCES[setup.X.dtype.type]
    assert np.abs(model.w).max() > 0
    assert_same_state(state, model, **tolerance)
    # A coupled loss leaves its sum in the first column of a model.
    assert_allclose(sums[: len(model.sums)], model.sums, **tolerance)
    return state, model


def sparse_matrix(rng, shape, density=0.5, dtype=np.float64):
    """A dense array with zeros; its first column has none, so that no row and no matrix is empty."""
    X = rng.standard_normal(shape) * (rng.random(shape) < density)
    X[:, 0] = rng.standard_normal(shape[0])
    return X.astype(dtype)


def signs(rng, shape):
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0)


def make_setup(optimizer, dtype=np.float64, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    X = sparse_matrix(rng, (N_ROWS, N_FEATURES), dtype=dtype)
    # Float32 values, so that both dtypes have the same numbers to begin with.
    weights = rng.uniform(0.5, 2, N_ROWS).astype(np.float32).astype(np.float64)
    return Setup(optimizer, X, signs(rng, (N_ROWS, N_COLUMNS)), **{"weights": weights, **kwargs})


def strengths(name, alpha=0.1, l1_ratio=0.3):
    penalty = PENALTIES[name](alpha, l1_ratio)
    return {"l1": penalty.l1, "l2": penalty.l2}


def epoch_of(setup, state, seed=0):
    order, rates = setup.epochs(1, seed)[0]
    setup.run(state, order, rates)
