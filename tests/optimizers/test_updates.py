"""The compiled loop and its optimizers are what `tests/reference.py` says, step by step."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit._kernels.backtracking import Tries
from sgdkit._kernels.epoch import Pass
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.losses import CLASSIFIER_LOSSES, MULTINOMIAL, REGRESSOR_LOSSES, CrammerSinger, Softmax
from sgdkit.optimizers import GD, OPTIMIZERS, SGD, AdaGrad, Adam, RMSProp
from sgdkit.optimizers.gd import FullGradientState, _Scores
from sgdkit.penalties import PENALTIES, Penalty
from sgdkit.training.problem import Problem
from tests import reference

# Hyper-parameters away from their defaults, so that a few steps tell the variants apart.
VARIANTS = {
    "sgd": SGD(),
    "sgd-momentum": SGD(momentum=0.8),
    "sgd-nesterov": SGD(momentum=0.8, nesterov=True),
    "adagrad": AdaGrad(),
    "adagrad-initial": AdaGrad(initial_accumulator_value=0.3, epsilon=1e-3),
    "adam": Adam(),
    "adam-fast": Adam(beta_1=0.6, beta_2=0.7, epsilon=1e-3),
    "adam-memoryless": Adam(beta_1=0.0, beta_2=0.0, epsilon=0.1),
    "adam-no-second": Adam(beta_1=0.8, beta_2=0.0, epsilon=0.1),
    "adam-amsgrad": Adam(beta_1=0.6, beta_2=0.7, amsgrad=True),
    "rmsprop": RMSProp(),
    "rmsprop-momentum": RMSProp(rho=0.8, momentum=0.5, epsilon=1e-3),
    "rmsprop-centered": RMSProp(rho=0.8, centered=True, epsilon=1e-2),
    "rmsprop-centered-momentum": RMSProp(rho=0.8, momentum=0.5, centered=True, epsilon=1e-2),
}
LOSSES = {**REGRESSOR_LOSSES, **CLASSIFIER_LOSSES, "softmax": Softmax, "crammer_singer": CrammerSinger}
TOLERANCES = {
    np.float64: {"rtol": 1e-9, "atol": 1e-12},
    np.float32: {"rtol": 1e-3, "atol": 1e-5},
}
ALL_OPTIMIZERS = pytest.mark.parametrize("optimizer", VARIANTS.values(), ids=VARIANTS)
ALL_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
N_ROWS, N_FEATURES, N_COLUMNS = 11, 6, 2


def name_of(optimizer):
    return next(name for name, cls in OPTIMIZERS.items() if cls is type(optimizer))


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

    def update(self):
        shape = self.X.shape[1], self.n_columns
        settings = {"fit_intercept": self.fit_intercept, "average_from": self.average_from}
        update = self.optimizer.make_state(None, shape, self.X.dtype, **settings)
        update.set_columns(self.penalty, np.full(self.n_columns, self.scale))
        return update

    def run(self, update, order, rates):
        loss = make_loss(self.loss, self.n_columns)
        weights = {"class_weights": self.class_weights, "column_weights": self.column_weights}
        options = {"row_weights": self.weights, "batch_size": self.batch_size, **weights}
        own = Pass(Rows(self.X), self.targets(), loss, update, **options)
        return own.visit(np.asarray(order, dtype=np.int32), np.asarray(rates, dtype=np.float64))

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


def expected_slots(model, optimizer):
    """What the slots after the weight hold, from the moments as the papers write them."""
    moments = model.optimizer
    if isinstance(optimizer, SGD):
        return [moments.velocity] if optimizer.momentum else []
    if isinstance(optimizer, AdaGrad):
        return [np.sqrt(moments.G)]
    if isinstance(optimizer, Adam):
        root = moments.metric() - optimizer.epsilon
        return [root, moments.m_hat()] + ([moments.v_hat()] if optimizer.amsgrad else [])
    slots = [moments.root()]
    slots += [moments.mean, moments.v] if optimizer.centered else []
    return slots + ([moments.velocity] if optimizer.momentum else [])


def assert_same_state(update, model, optimizer, **tolerance):
    assert_allclose(update.slot(0), model.w, **tolerance)
    slots = expected_slots(model, optimizer)
    assert update.n_slots == 1 + len(slots) + update.average
    for number, slot in enumerate(slots, start=1):
        assert_allclose(update.slot(number), slot, err_msg=f"slot {number}", **tolerance)
    assert_allclose(update.weights(), model.weights(), **tolerance)


def assert_same_training(setup, n_epochs=3, order=None, seed=0):
    update, model = setup.update(), setup.model()
    sums = np.zeros(setup.n_columns)
    for order_of_epoch, rates in setup.epochs(n_epochs, seed, order):
        sums += setup.run(update, order_of_epoch, rates)
        update.flush()
        model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(order_of_epoch, rates))
    tolerance = TOLERANCES[setup.X.dtype.type]
    assert np.abs(model.w).max() > 0
    assert_same_state(update, model, setup.optimizer, **tolerance)
    # A coupled loss leaves its sum in the first column of a model.
    assert_allclose(sums[: len(model.sums)], model.sums, **tolerance)
    return update, model


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


def test_every_name_has_a_twin_in_the_reference():
    assert set(OPTIMIZERS) == set(reference.OPTIMIZERS)
    assert {*CLASSIFIER_LOSSES, *REGRESSOR_LOSSES} == set(reference.LOSSES)
    assert {cls.__name__ for cls in MULTINOMIAL.values()} == {"Softmax", "CrammerSinger"}
    assert set(reference.COUPLED_LOSSES) == {"softmax", "crammer_singer"}


def test_every_compiled_optimizer_has_a_variant():
    assert {name_of(optimizer) for optimizer in VARIANTS.values()} == set(OPTIMIZERS) - {"gd"}


@pytest.mark.parametrize("average_from", [0, 1, N_ROWS + 4])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, N_ROWS])
@ALL_DTYPES
@pytest.mark.parametrize("penalty", PENALTIES)
@ALL_OPTIMIZERS
def test_optimizers_equal_the_reference(optimizer, penalty, dtype, batch_size, fit_intercept, average_from):
    kwargs = {"batch_size": batch_size, "fit_intercept": fit_intercept, "average_from": average_from}
    assert_same_training(make_setup(optimizer, dtype, **strengths(penalty), **kwargs))


@pytest.mark.parametrize("average_from", [0, N_ROWS + 4])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("n_columns", [1, 2, 5])
@ALL_DTYPES
@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@ALL_OPTIMIZERS
def test_units_of_the_penalty_equal_the_reference(
    optimizer, penalty, dtype, n_columns, batch_size, average_from
):
    units = np.array([0.25, 1.0, 2.0, 0.0, 4.0, 0.5])
    kwargs = {"batch_size": batch_size, "average_from": average_from, "units": units, **strengths(penalty)}
    setup = make_setup(optimizer, dtype, **kwargs)
    setup.t = signs(np.random.default_rng(1), (N_ROWS, n_columns))
    update, model = assert_same_training(setup)
    values = setup.penalty.value(model.w[:-1])
    assert_allclose(update.penalty(), values, **TOLERANCES[dtype])


@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@ALL_OPTIMIZERS
def test_every_single_step_equals_the_reference(optimizer, dtype, batch_size):
    kwargs = {"batch_size": batch_size, "average_from": 4}
    setup = make_setup(optimizer, dtype, **strengths("elasticnet"), **kwargs)
    model = setup.model()
    ((order, rates),) = setup.epochs(1)
    weights = setup.weights
    for k, rate in enumerate(rates, start=1):
        update = setup.update()
        setup.run(update, order[: k * batch_size], rates[:k])
        rows = order[(k - 1) * batch_size : k * batch_size]
        model.step(setup.dense[rows], setup.t[rows], weights[rows], rate)
        assert_same_state(update, model, optimizer, **TOLERANCES[dtype])


@pytest.mark.parametrize("optimizer", [SGD(), AdaGrad()], ids=["sgd", "adagrad"])
@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_equal_the_reference(loss, dtype, batch_size, optimizer):
    setup = make_setup(
        optimizer, dtype, loss=loss, batch_size=batch_size, **strengths("elasticnet", alpha=0.01)
    )
    rng = np.random.default_rng(3)
    if loss in reference.COUPLED_LOSSES:
        setup.labels = rng.integers(0, 3, N_ROWS)
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    elif loss in REGRESSOR_LOSSES:
        setup.t = rng.gamma(2.0, size=(N_ROWS, N_COLUMNS)).astype(np.float32).astype(np.float64)
    # Rates at which no loss with a log link overflows.
    setup.scale = 0.1
    assert_same_training(setup)


@ALL_OPTIMIZERS
def test_labels_are_one_against_the_rest(optimizer):
    labels = np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 0, 2])
    setup = make_setup(optimizer, labels=labels)
    setup.t = np.where(labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    assert_same_training(setup)


@pytest.mark.parametrize("loss", ["log_loss", "softmax"])
@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@ALL_OPTIMIZERS
def test_class_weights_of_a_column_equal_the_reference(optimizer, dtype, batch_size, loss):
    setup = make_setup(optimizer, dtype, loss=loss, batch_size=batch_size, labels=np.arange(N_ROWS) % 3)
    setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(3), 1.0, -1.0)
    # The columns of a coupled loss are those of one model.
    rng, of_columns = np.random.default_rng(4), 1 if loss in reference.COUPLED_LOSSES else 3
    drawn = np.repeat(rng.uniform(0.5, 2, (4, of_columns)), 3 // of_columns, axis=1)
    setup.class_weights, setup.column_weights = drawn[:3], drawn[3]
    assert_same_training(setup)


@st.composite
def setups(draw):
    """Shapes, sparsity, penalties, rates a column, and an order without the rows of weight 0."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d, m = draw(st.integers(1, 15)), draw(st.integers(1, 12)), draw(st.integers(1, 9))
    X = rng.standard_normal((n, d)) * (rng.random((n, d)) < draw(st.floats(0, 1)))
    if draw(st.booleans()):
        X = sparse.csr_array(X)
    weights = rng.uniform(0.1, 3, n) * (rng.random(n) < draw(st.sampled_from([1.0, 0.6])))
    per_column = draw(st.booleans())
    alpha = rng.uniform(0, 0.3, m) if per_column else draw(st.sampled_from([0.0, 1e-3, 0.3]))
    penalty = PENALTIES[draw(st.sampled_from(list(PENALTIES)))](alpha, 0.4)
    setup = Setup(
        draw(st.sampled_from(list(VARIANTS.values()))),
        X,
        signs(rng, (n, m)),
        loss=draw(st.sampled_from(["log_loss", "hinge", "squared_hinge", "squared_error", "huber"])),
        l1=penalty.l1,
        l2=penalty.l2,
        fit_intercept=draw(st.booleans()),
        average_from=draw(st.integers(0, 2 * n + 2)),
        batch_size=draw(st.integers(1, n + 2)),
        weights=weights,
        scale=rng.uniform(0.3, 2, m) if per_column else 1.0,
    )
    return setup, np.flatnonzero(weights)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(drawn=setups(), n_epochs=st.integers(1, 4))
def test_any_problem_equals_the_reference(drawn, n_epochs):
    setup, order = drawn
    update, model = setup.update(), setup.model()
    for order_of_epoch, rates in setup.epochs(n_epochs, order=order):
        setup.run(update, order_of_epoch, rates)
        update.flush()
        model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(order_of_epoch, rates))
    assert_same_state(update, model, setup.optimizer, **TOLERANCES[np.float64])


@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_OPTIMIZERS
def test_columns_do_not_meet(optimizer, batch_size):
    """Several columns in one pass, with penalties and rates of their own, equal each column alone."""
    rng = np.random.default_rng(5)
    m = 9
    columns = {"l1": rng.uniform(0, 0.05, m), "l2": rng.uniform(0, 0.5, m), "scale": rng.uniform(0.5, 1.5, m)}
    setup = make_setup(optimizer, batch_size=batch_size, average_from=N_ROWS, **columns)
    setup.t = signs(rng, (N_ROWS, m))
    together, _ = assert_same_training(setup)
    for c in range(m):
        own = {name: values[c] for name, values in columns.items()}
        alone = make_setup(optimizer, batch_size=batch_size, average_from=N_ROWS, **own)
        alone.t = setup.t[:, [c]]
        update, _ = assert_same_training(alone)
        assert_allclose(together.weights()[:, [c]], update.weights(), rtol=1e-11, atol=1e-13)


def with_indices(X, dtype):
    """A CSR array whose indices keep the dtype that is asked for; the constructor chooses the smallest."""
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
    return X


def with_stored_zeros(X):
    """Every entry is stored, zero or not."""
    n, d = X.shape
    return sparse.csr_array((X.ravel(), np.tile(np.arange(d), n), np.arange(n + 1) * d), shape=X.shape)


def with_unsorted_duplicates(X):
    """Each entry is stored as two halves, in the reverse order."""
    own = sparse.csr_array(X)
    entries = [
        np.repeat(np.arange(begin, end)[::-1], 2)
        for begin, end in zip(own.indptr, own.indptr[1:], strict=False)
    ]
    order = np.concatenate(entries)
    return sparse.csr_array((own.data[order] / 2, own.indices[order], own.indptr * 2), shape=X.shape)


FORMATS = {
    "int32": lambda X: with_indices(X, np.int32),
    "int64": lambda X: with_indices(X, np.int64),
    "csr_matrix": sparse.csr_matrix,
    "stored zeros": with_stored_zeros,
    "unsorted duplicates": with_unsorted_duplicates,
    "fortran": np.asfortranarray,
    "view": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("batch_size", [1, 3])
@ALL_DTYPES
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@ALL_OPTIMIZERS
def test_sparse_is_dense(optimizer, form, dtype, batch_size):
    """Not nearly: to the last bit, because the same additions are done in the same order."""
    setup = make_setup(optimizer, dtype, batch_size=batch_size, average_from=5, **strengths("elasticnet"))
    dense, other = setup.update(), setup.update()
    epochs = setup.epochs(2)
    for order, rates in epochs:
        setup.run(dense, order, rates)
        dense.flush()
    setup.X = form(setup.X)
    for order, rates in epochs:
        setup.run(other, order, rates)
        other.flush()
    assert_array_equal(other.record, dense.record)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
@ALL_DTYPES
@ALL_OPTIMIZERS
def test_l1_gives_exact_zeros(optimizer, dtype, l1_ratio):
    """Of features without a bearing on the target the weights are 0, that of the one with a bearing is not."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5)).astype(dtype)
    penalty = strengths("elasticnet", alpha=0.2, l1_ratio=l1_ratio)
    setup = Setup(optimizer, X, np.sign(X[:, :1]), loss="log_loss", batch_size=60, **penalty)
    update = setup.update()
    for _ in range(150):
        setup.run(update, np.arange(60), [0.05])
        update.flush()
    assert_array_equal(update.slot(0)[1:5], 0)
    assert update.slot(0)[0, 0] > 0.01


@ALL_DTYPES
@ALL_OPTIMIZERS
def test_a_pickled_update_goes_on_identically(optimizer, dtype):
    setup = make_setup(optimizer, dtype, average_from=3, **strengths("elasticnet"))
    ((order, rates),) = setup.epochs(1)
    whole, begun = setup.update(), setup.update()
    setup.run(whole, order, rates)
    setup.run(begun, order[:6], rates[:6])
    # In the middle of an epoch: with a clock that is not 0.
    loaded = pickle.loads(pickle.dumps(begun))
    loaded.set_columns(setup.penalty, np.ones(N_COLUMNS))
    setup.run(loaded, order[6:], rates[6:])
    for update in (whole, loaded):
        update.flush()
    assert_array_equal(loaded.record, whole.record)
    assert_array_equal(loaded.weights(), whole.weights())
    assert (loaded.n_rows_seen, loaded.n_averaged) == (whole.n_rows_seen, whole.n_averaged)


def test_a_pickle_shares_nothing_with_its_original():
    setup = make_setup(Adam())
    update = setup.update()
    before = pickle.loads(pickle.dumps(update))
    setup.run(update, [0, 1], [0.1, 0.1])
    assert_array_equal(before.record, setup.update().record)


@pytest.mark.parametrize("optimizer", [SGD(), Adam()], ids=["sgd", "adam"])
def test_a_read_only_state_is_not_written_to(optimizer):
    """joblib hands large arrays to its workers as read-only memory maps; to write there is a crash."""
    setup = make_setup(optimizer)
    record = setup.update().record
    record.setflags(write=False)
    shape = N_FEATURES, N_COLUMNS
    assert optimizer.make_state(record, shape, record.dtype).record.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("overflow", [np.nan, np.inf])
def test_a_step_that_overflows_is_tried_at_lower_rates(overflow, dtype):
    ends = np.zeros((3, 1), dtype), np.full((3, 1), np.inf, dtype)
    for end in ends:
        tries = Tries(np.ones(1, dtype), True, 10, 1)
        rates = []
        while tries.adjust(
            np.zeros((3, 1), dtype), end, np.ones((3, 1), dtype), np.ones(1), np.array([overflow])
        ):
            rates.append(float(tries.rates[0]))
        assert 1 > rates[0] > rates[-1] > 0
        assert (np.diff(rates) < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_columns", [1, 7, 16, 45])
@pytest.mark.parametrize("optimizer", [SGD(), AdaGrad(), Adam()])
def test_records_begin_with_lines_of_cache(optimizer, n_columns, dtype):
    update = optimizer.make_state(None, (50, n_columns), dtype)
    update.record[...] = np.arange(update.record.size).reshape(update.record.shape)
    if update.n_shared:
        # The clock, as after a flush.
        update.record[:, update.n_slots * n_columns] = -1
    fewer = update.take(np.arange(n_columns // 2 + 1))
    assert_array_equal(fewer.slot(0), update.slot(0)[:, : n_columns // 2 + 1])
    for one in (update, fewer, pickle.loads(pickle.dumps(update))):
        step, width = one.record.strides[0], one.record.shape[1] * one.record.itemsize
        assert one.record.ctypes.data % 64 == 0
        assert step % 32 == 0 or width <= 128
        assert 3 * step <= 4 * width
    assert_array_equal(one.record, update.record)


@pytest.mark.parametrize("batch_size", [1, 2])
@ALL_OPTIMIZERS
def test_an_untouched_coordinate_keeps_its_record(optimizer, batch_size):
    """Its moments, its weight, its number of steps; only `flush` lets it catch up."""
    setup = make_setup(optimizer, batch_size=batch_size, average_from=1, **strengths("elasticnet"))
    update = setup.update()
    setup.run(update, *setup.epochs(1)[0])
    before = update.record.copy()
    rows = np.array([2, 7])[:batch_size]
    touched = np.append((setup.X[rows] != 0).any(axis=0), True)
    assert 0 < touched[:-1].sum() < N_FEATURES
    setup.run(update, rows, [0.1])
    assert_array_equal(update.record[~touched], before[~touched])
    assert (update.slot(0) != before[:, :N_COLUMNS])[touched].all()
    moments = [update.slot(number).copy() for number in range(1, update.n_slots - 1)]
    weights = update.slot(0).copy()
    update.flush()
    for number, slot in enumerate(moments, start=1):
        assert_array_equal(update.slot(number), slot)
    assert (np.abs(update.slot(0)) < np.abs(weights))[:-1].all()
    assert_array_equal(update.slot(0)[-1], weights[-1])


@ALL_OPTIMIZERS
def test_load_keeps_the_moments_and_drops_the_average(optimizer):
    setup = make_setup(optimizer, average_from=1)
    update = setup.update()
    setup.run(update, *setup.epochs(1)[0])
    update.flush()
    moments = [update.slot(number).copy() for number in range(1, update.n_slots - 1)]
    weights = np.arange(14.0).reshape(7, 2)
    update.load(weights)
    assert_array_equal(update.weights(), weights)
    for number, slot in enumerate(moments, start=1):
        assert_array_equal(update.slot(number), slot)
    setup.run(update, [0], [0.1])
    first = update.slot(0).copy()
    setup.run(update, [1], [0.1])
    assert_allclose(update.weights(), (first + update.slot(0)) / 2, rtol=1e-12)


def test_a_new_update_must_name_its_slots():
    from sgdkit._kernels.state import State

    with pytest.raises(NotImplementedError, match="_configure"):
        State(SGD(), None, (3, 1), np.float64)


# The full gradient.


def make_problem(setup, order=None):
    weights = None if setup.weights is None else setup.weights.astype(np.float64)
    loss = make_loss(setup.loss, setup.n_columns)
    return Problem(Rows(setup.X), setup.targets(), loss, setup.penalty, weights, order, 1)


@pytest.mark.parametrize("some_rows", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", ["log_loss", "hinge", "squared_error", "huber", "poisson", "softmax"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("several_units", [False, True])
def test_full_gradient_equals_the_reference(several_units, nesterov, loss, penalty, fit_intercept, some_rows):
    setup = make_setup(GD(nesterov=nesterov), loss=loss, fit_intercept=fit_intercept, **strengths(penalty))
    if loss == "softmax":
        setup.labels = np.arange(N_ROWS) % 2
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(2), 1.0, -1.0)
    elif loss == "poisson":
        setup.t = np.abs(setup.t)
    rows = np.array([1, 4, 5, 9]) if some_rows else np.arange(N_ROWS)
    problem = make_problem(setup, rows if some_rows else None)
    update = setup.update()
    twin = reference.GD((N_FEATURES + 1, N_COLUMNS), nesterov and problem.loss.smooth)
    setup.units = np.array([0.25, 1.0, 2.0, 0.0, 4.0, 0.5]) if several_units else None
    update.set_columns(setup.penalty, np.full(N_COLUMNS, setup.scale))
    units = setup.units[:, np.newaxis] if several_units else 1.0
    strengths_of = {"l1": setup.l1 * units, "l2": setup.l2 * units**2}
    kwargs = {**strengths_of, "p": problem.loss.parameter, "n_outputs": N_COLUMNS}
    for rate in np.geomspace(0.3, 0.1, 8):
        sums = update.epoch(problem, rate)
        at = setup.dense[rows], setup.t[rows], setup.weights[rows]
        twin.step(loss, *at, rate=rate, fit_intercept=fit_intercept, **kwargs)
        assert_allclose(update.weights(), twin.w, **TOLERANCES[np.float64])
    values, _ = reference.evaluate(loss, at[0] @ twin.w[:-1] + twin.w[-1], at[1], kwargs["p"], N_COLUMNS)
    expected = (at[2][:, np.newaxis] * values).sum(axis=0)
    assert_allclose(sums[: len(expected)], expected, rtol=1e-9)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("loss", ["log_loss", "softmax"])
def test_weights_for_each_column_are_rows_of_its_own(loss, penalty):
    rng = np.random.default_rng(0)
    X, labels, n_models, n_outputs = rng.standard_normal((60, 3)), np.arange(60) % 2, 3, 2
    kept = rng.random((60, n_models)) < 0.7
    own = Problem(Rows(X), Targets(labels, [0, 1]), make_loss(loss, n_outputs), Penalty(0, 0), None, None, 1)
    own.penalty = PENALTIES[penalty](0.01, None)
    weights = np.repeat(kept * (60 / kept.sum(axis=0)), n_outputs, axis=1)
    together = FullGradientState(GD(), None, (3, n_models * n_outputs), np.float64)
    problem = replace(own.repeat(n_models), weights=weights)
    together.set_columns(problem.penalty, 1.0)
    for _ in range(10):
        together.epoch(problem, None)
    assert_array_equal(problem.take([2, 0]).weights, weights[:, [4, 5, 0, 1]])
    assert_allclose(problem.total_weight, 60)
    for model, rows in enumerate(kept.T):
        alone = FullGradientState(GD(), None, (3, n_outputs), np.float64)
        alone.set_columns(own.penalty, 1.0)
        part = replace(own, order=np.flatnonzero(rows))
        for _ in range(10):
            alone.epoch(part, None)
        assert_allclose(
            together.weights()[:, problem.columns([model])], alone.weights(), rtol=1e-9, atol=1e-10
        )


@pytest.mark.parametrize("n_outputs", [1, 2])
@ALL_DTYPES
def test_rates_to_aim_at_equal_the_reference(dtype, n_outputs):
    """Of quadratics: the aim is a share of the largest good rate, wherever the step began, and however long it was."""
    rng = np.random.default_rng(0)
    start, gradient = rng.standard_normal((2, 5, 6)).astype(dtype)
    rates = np.repeat(np.geomspace(0.1, 10, 6 // n_outputs), n_outputs).astype(dtype)
    curvature = rng.uniform(0.5, 2, (5, 6))
    end = start - rates * gradient
    move = (end - start).astype(np.float64)
    losses = rng.uniform(1, 2, 6)
    end_losses = losses + 7 * (gradient * move + curvature * np.square(move) / 2).sum(axis=0)
    tries, tried = Tries(rates.copy(), False, 7, n_outputs), rates
    at = start, end, gradient, losses, end_losses
    assert tries.adjust(*at)
    largest = reference.largest_rates(*at, n_rows=7, n_outputs=n_outputs)
    above = tried > largest
    assert 0 < above.sum() < 6
    lowest = np.where(above, 0.2 * tried, tried)
    assert (tries.aims <= 0.951 * np.maximum(largest, lowest / 0.95)).all()
    assert (tries.aims >= np.maximum(0.949 * largest * 4 / 5, lowest)).all()
    assert_array_equal(tries.rates, np.where(above, tries.aims, tried))


def test_the_first_rate_suits_features_of_any_size():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 1)), rng.standard_normal((50, 1))
    for size in [1e-5, 1.0, 1e5]:
        problem = Problem(
            Rows(X * size), Targets(y, [0]), make_loss("squared_error"), Penalty(0, 0), None, None, 1
        )
        update = FullGradientState(GD(), None, (1, 1), np.float64, fit_intercept=False)
        update.set_columns(problem.penalty, 1.0)
        update.epoch(problem, None)
        largest = 1 / np.mean(np.square(X * size))
        assert 0.4 * largest <= update.rate[0] <= largest
        assert 0.75 * largest <= update.aim[0] <= largest


def test_most_steps_are_tried_once(monkeypatch):
    setup, tries, total = make_setup(GD()), [], _Scores.total
    monkeypatch.setattr(_Scores, "total", lambda *args: tries.append(args[2:]) or total(*args))
    problem, update = make_problem(setup), setup.update()
    for _ in range(50):
        update.epoch(problem, None)
    # The gradient of a step is taken once.
    assert tries.count(()) < 1.8 * (len(tries) - tries.count(()))


def test_full_gradient_averages_its_steps():
    setup = make_setup(GD(), average_from=2 * N_ROWS)
    problem, update, steps = make_problem(setup), setup.update(), []
    for _ in range(5):
        update.epoch(problem, 0.3)
        steps.append(update.slot(0).copy())
        # The second step is the first that has seen so many rows.
        assert_allclose(update.weights(), np.mean(steps[1:] or steps, axis=0), rtol=1e-12)


def test_full_gradient_does_not_write_to_a_read_only_state():
    setup = make_setup(GD(), average_from=1)
    problem, whole, loaded = make_problem(setup), setup.update(), setup.update()
    whole.epoch(problem, 0.3)
    loaded.epoch(problem, 0.3)
    for array in (loaded.W, loaded.previous, loaded.total):
        array.setflags(write=False)
    for update in (whole, loaded):
        update.epoch(problem, 0.3)
    assert_array_equal(loaded.weights(), whole.weights())


def smooth_losses():
    return [name for name, cls in LOSSES.items() if cls.smooth]


def objectives(setup, n_steps, dtype=np.float64):
    """The objective of each column (of a coupled loss: of the model) before and after each step."""
    problem, update = make_problem(setup), setup.update()
    curve = []
    for k in range(n_steps + 1):
        if k:
            update.epoch(problem, None)
        w = update.W.astype(np.float64)
        values, _ = reference.evaluate(
            setup.loss, setup.dense @ w[:-1] + w[-1], setup.t, problem.loss.parameter, setup.n_columns
        )
        mean = (setup.weights[:, np.newaxis] * values).sum(axis=0) / len(setup.t)
        penalty = setup.l1 * np.abs(w[:-1]) + setup.l2 * w[:-1] ** 2 / 2
        penalty = penalty.sum() if setup.loss in reference.COUPLED_LOSSES else penalty.sum(axis=0)
        curve.append(mean + penalty)
    return np.array(curve)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", smooth_losses())
@pytest.mark.parametrize("nesterov", [False, True])
def test_backtracking_never_lets_the_objective_rise(nesterov, loss, penalty, scale):
    """That of each column; of a coupled loss, that of the model."""
    setup = make_setup(GD(nesterov=nesterov), loss=loss, **strengths(penalty, alpha=0.02))
    setup.X *= scale
    if loss == "softmax":
        setup.labels = np.arange(N_ROWS) % 2
        setup.t = np.where(setup.labels[:, np.newaxis] == np.arange(2), 1.0, -1.0)
    elif loss in reference.OF_LOG_LINK:
        setup.t = np.random.default_rng(2).gamma(2.0, size=setup.t.shape)
    curve = objectives(setup, 25)
    assert np.all(np.diff(curve, axis=0) <= 1e-13 * np.abs(curve[:-1]))
    assert np.all(curve[-1] < curve[0])


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_acceleration_comes_nearer_in_the_same_number_of_steps(loss):
    setups_ = [
        make_setup(GD(nesterov=nesterov), loss=loss, **strengths("l2", 1e-3)) for nesterov in (True, False)
    ]
    fast, plain = (objectives(setup, 40)[-1] for setup in setups_)
    assert np.all(fast < plain)


def test_momentum_and_rates_of_a_column_do_not_depend_on_the_others():
    setup = make_setup(GD(), **strengths("l2", np.geomspace(1e-4, 0.1, N_COLUMNS)))
    together, dropped = setup.update(), np.zeros(N_COLUMNS, dtype=bool)
    problem = make_problem(setup)
    alone = [setup.update().take([c]) for c in range(N_COLUMNS)]
    parts = [replace(problem, n_models=N_COLUMNS).take([c]) for c in range(N_COLUMNS)]
    for update, part in zip(alone, parts, strict=True):
        update.set_columns(part.penalty, np.ones(1))
    for step in range(60):
        together.epoch(problem, None)
        dropped |= together.n_accelerated < step + 1
        for c, (update, part) in enumerate(zip(alone, parts, strict=True)):
            update.epoch(part, None)
            # Near the minimum the last bits may say whether an objective rises, whose roots weights differ by: at a
            # curvature of 1e-4 by 1e-6, whatever their own size.
            assert_allclose(update.W[:, 0], together.W[:, c], atol=1e-6)
    assert dropped.all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_that_are_summed_up_from_step_to_step_do_not_drift(dtype):
    setup = make_setup(GD(), dtype=dtype)
    problem, update = make_problem(setup), setup.update()
    for _ in range(400):
        update.epoch(problem, None)
    expected = problem.rows.X @ update.W[:-1] + update.W[-1]
    assert_allclose(
        update._cached.own, expected, rtol=500 * np.finfo(dtype).eps, atol=500 * np.finfo(dtype).eps
    )


def test_where_the_gradient_is_nothing_rates_stay_finite():
    setup = make_setup(GD(), loss="squared_error")
    setup.t = np.column_stack([np.zeros(N_ROWS), setup.t[:, 1]])
    problem, update = make_problem(setup), setup.update()
    for _ in range(2500):
        update.epoch(problem, None)
    assert np.isfinite(update.rate).all()
    assert np.isfinite(update.W).all()


def test_a_pickled_full_gradient_goes_on_identically():
    setup = make_setup(GD(nesterov=True), **strengths("elasticnet"))
    problem, update = make_problem(setup), setup.update()
    for _ in range(4):
        update.epoch(problem, None)
    loaded = pickle.loads(pickle.dumps(update))
    for _ in range(4):
        update.epoch(problem, None)
        loaded.epoch(problem, None)
    # The scores are computed anew, so the last bits may differ.
    assert_allclose(loaded.W, update.W, rtol=1e-10)


# ------------------------------------------------------------------------------------- growth, and rates a column


@ALL_DTYPES
@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.5)], ids=str)
def test_growth_is_taken_back_before_it_overflows(optimizer, dtype):
    """A penalty that shrinks weights by 11 a step fills float32 within 20 steps, and float64 within 200."""
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (400, 4), dtype=dtype)
    setup = Setup(optimizer, X, signs(rng, (400, 2)), l2=np.array([50.0, 1e-3]), batch_size=1)
    update, model = setup.update(), setup.model()
    rates = np.full(400, 0.2)
    setup.run(update, np.arange(400), rates)
    model.epoch(setup.dense, setup.t, **setup.settings_of_epoch(np.arange(400), rates))
    update.flush()
    assert_allclose(update.weights(), model.w, **TOLERANCES[dtype])


@ALL_DTYPES
@pytest.mark.parametrize("l2", [0.0, np.array([0.1, 0.2])], ids=["no penalty", "l2"])
@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.5, nesterov=True)], ids=str)
def test_columns_with_rates_of_their_own(optimizer, l2, dtype):
    setup = make_setup(optimizer, dtype, l2=l2)
    rng = np.random.default_rng(0)
    order, rates = rng.permutation(N_ROWS), rng.uniform(0.02, 0.2, (N_ROWS, N_COLUMNS))
    together = setup.update()
    setup.run(together, order, rates)
    together.flush()
    for c in range(N_COLUMNS):
        own = Setup(
            optimizer, setup.X, setup.t[:, [c]], l2=l2 if np.ndim(l2) == 0 else l2[c], weights=setup.weights
        )
        alone = own.update()
        own.run(alone, order, np.ascontiguousarray(rates[:, c]))
        alone.flush()
        assert_array_equal(together.weights()[:, [c]], alone.weights())


def test_a_penalty_that_waits_takes_no_rates_a_column():
    setup = make_setup(AdaGrad(), l2=0.1)
    with pytest.raises(ValueError, match="rates of their own"):
        setup.run(setup.update(), np.arange(N_ROWS), np.full((N_ROWS, N_COLUMNS), 0.1))


@pytest.mark.parametrize(
    "n_columns", [1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 20, 24, 25, 31, 32, 33, 45, 48, 49, 57, 100]
)
@ALL_DTYPES
@ALL_OPTIMIZERS
def test_any_number_of_columns(optimizer, dtype, n_columns):
    """Columns are worked on as vectors of several, the last of which may share columns with the one before."""
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (20, 9), dtype=dtype)
    assert_same_training(Setup(optimizer, X, signs(rng, (20, n_columns)), l2=0.05), n_epochs=2)


@pytest.mark.parametrize("n_nonzeros", range(1, 12))
@ALL_OPTIMIZERS
def test_any_number_of_features_in_a_row(optimizer, n_nonzeros):
    """Four features of a single column are worked on at a time; what is left over is not."""
    rng = np.random.default_rng(0)
    X = np.zeros((30, 12))
    for row in X:
        row[rng.permutation(12)[:n_nonzeros]] = rng.standard_normal(n_nonzeros)
    assert_same_training(Setup(optimizer, X, signs(rng, (30, 1)), l2=0.05), n_epochs=2)


@pytest.mark.parametrize("alpha", [0.0, 0.05])
@ALL_DTYPES
@pytest.mark.parametrize("optimizer", [SGD(), AdaGrad(), Adam(), RMSProp()], ids=str)
def test_rows_of_all_lengths_next_to_one_another(optimizer, dtype, alpha):
    """Records of a row to come are asked for while a row is read, if they are not all near anyway."""
    rng = np.random.default_rng(0)
    n_nonzeros, n_features, n_columns = np.array([3, 0, 17, 1, 40, 0, 0, 5]), 12_000, 12
    X = np.zeros((len(n_nonzeros), n_features), dtype)
    for row, n in zip(X, n_nonzeros, strict=True):
        row[rng.permutation(n_features)[:n]] = rng.standard_normal(n)
    setup = Setup(optimizer, sparse.csr_array(X), signs(rng, (len(X), n_columns)), l2=alpha)
    assert setup.update().record.nbytes > 1 << 19
    assert_same_training(setup, n_epochs=3)


# ----------------------------------------------------------------------- weights that are stored times their metric

PRODUCTS = pytest.mark.parametrize("optimizer", [AdaGrad(), Adam(), RMSProp()], ids=str)


def epoch_of(setup, update, seed=0):
    order, rates = setup.epochs(1, seed)[0]
    setup.run(update, order, rates)


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 2, 20])
def test_a_flush_turns_products_into_weights_once(optimizer, n_columns):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    update = setup.update()
    epoch_of(setup, update)
    products = update.slot(0).copy()
    update.flush()
    weights = update.weights().copy()
    assert np.abs(weights - products).max() > 0.01
    update.flush()
    assert_array_equal(update.weights(), weights)


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 2, 20])
def test_a_pickle_within_an_epoch_holds_weights(optimizer, n_columns):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    update = setup.update()
    epoch_of(setup, update)
    loaded = pickle.loads(pickle.dumps(update))
    update.flush()
    assert_array_equal(loaded.weights(), update.weights())


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 3])
def test_mini_batches_go_on_from_single_rows(optimizer, n_columns):
    """Rows of a mini-batch share features, so their weights are not stored as products."""
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, n_columns)), l2=0.05)
    at_once, flushed = setup.update(), setup.update()
    for update in (at_once, flushed):
        for batch_size in (1, 4, 1):
            epoch_of(replace(setup, batch_size=batch_size), update)
            if update is flushed:
                update.flush()
        update.flush()
    assert_array_equal(at_once.weights(), flushed.weights())


@PRODUCTS
def test_a_rate_of_zero_leaves_weights_alone(optimizer):
    rng = np.random.default_rng(0)
    setup = Setup(optimizer, sparse_matrix(rng, (11, 6)), signs(rng, (11, 2)), l2=0.05)
    update = setup.update()
    epoch_of(setup, update)
    update.flush()
    weights = update.weights().copy()
    setup.run(update, np.arange(11), np.zeros(11))
    update.flush()
    assert_allclose(update.weights(), weights, rtol=1e-12)


@PRODUCTS
@pytest.mark.parametrize("n_columns", [1, 2])
def test_weights_wait_for_the_first_gradient(optimizer, n_columns):
    """A feature that is met, but has no gradient, has no metric to be multiplied by."""
    X = sparse.csr_array(np.eye(3))
    # Both classes are beyond the hinge's margin.
    setup = Setup(optimizer, X, np.ones((3, n_columns)), loss="hinge", l2=0.05, fit_intercept=False)
    update = setup.update()
    update.load(np.full((4, n_columns), 2.0))
    for _ in range(2):
        setup.run(update, np.arange(3), np.full(3, 0.1))
        update.flush()
    assert_array_equal(update.weights()[:3], 2.0)


@pytest.mark.parametrize("n_columns", [1, 2, 20])
@pytest.mark.parametrize("optimizer", [Adam(beta_1=0.8, beta_2=0.0, epsilon=0.1), RMSProp(rho=0.0)], ids=str)
def test_a_metric_that_is_forgotten(optimizer, n_columns):
    """Where the hinge's margin is met, gradients are 0, and so is then a second moment without a memory."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(np.array([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))
    t = np.tile([[-1.0], [1.0], [1.0], [1.0]], n_columns) * rng.choice([-1.0, 1.0], n_columns)
    assert_same_training(Setup(optimizer, X, t, loss="hinge", l2=1e-9), n_epochs=8)


@pytest.mark.parametrize("n_columns", [1, 2, 20])
@pytest.mark.parametrize("strengths", [{"l1": 1e-3}, {"l2": 1e-3}, {"l1": 1e-3, "l2": 1e-3}], ids=str)
def test_a_second_moment_that_overflows_is_seen(strengths, n_columns):
    rng = np.random.default_rng(0)
    X = sparse_matrix(rng, (20, 3), dtype=np.float32)
    X *= np.float32(1e25)
    setup = Setup(AdaGrad(), X, signs(rng, (20, n_columns)), **strengths)
    update = setup.update()
    for _ in range(2):
        epoch_of(setup, update)
        update.flush()
    assert not np.isfinite(update.penalty()).any()
