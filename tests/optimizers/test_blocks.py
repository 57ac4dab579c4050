"""Rows in blocks: sums over them do not depend on threads, nor on where the rows are."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sgdkit import SGDClassifierPlus, SGDRegressorPlus, disk
from sgdkit._kernels.arrays import N_MOMENTS, add_moments
from sgdkit._kernels.rows import Rows
from sgdkit._kernels.targets import Targets
from sgdkit.auto.scaling import Standard
from sgdkit.losses import REGRESSOR_LOSSES, Huber, Softmax
from sgdkit.optimizers import blocks
from sgdkit.optimizers.blocks import Blocks, add_up
from sgdkit.penalties import Penalty
from sgdkit.training.problem import Problem


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "FEWEST_VALUES", 500)
    monkeypatch.setattr(blocks, "VALUES_A_FEATURE", 1)


def make_rows(kind, n_rows=700):
    rng = np.random.default_rng(0)
    X = 3 + rng.standard_normal((n_rows, 12)) * np.geomspace(0.1, 30, 12)
    if kind == "sparse":
        X = sparse.csr_array(X * (rng.random(X.shape) < 0.4))
    score = X @ rng.standard_normal(12)
    return X, score / score.std()


FITS = {
    "lbfgs": SGDClassifierPlus(optimizer="lbfgs"),
    "gd": SGDClassifierPlus(optimizer="gd", penalty="l1", alpha=1e-3),
    "gram": SGDRegressorPlus(optimizer="lbfgs"),
    "huber": SGDRegressorPlus("huber", optimizer="lbfgs"),
}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", FITS)
def test_any_number_of_threads_gives_the_same_bits(small_blocks, name, kind):
    X, y = make_rows(kind)
    weights = np.arange(len(y)) % 5
    y = y if name in ("gram", "huber") else np.digitize(y, [-0.5, 0.5])
    fits = [
        FITS[name].set_params(n_jobs=n_jobs, random_state=0).fit(X, y, weights).coef_ for n_jobs in (1, 3)
    ]
    assert_array_equal(*fits)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["dense", "sparse", "untidy"])
def test_threads_learn_the_same_scales(small_blocks, kind, weighted):
    """By rows that nobody has looked at before; they are scaled to the same bits, and nothing of them is lost."""
    X, _ = make_rows("dense" if kind == "dense" else "sparse")
    if kind == "untidy":
        X.indices[X.indptr[400] + 1], X.data[-1] = X.indices[X.indptr[400]], 0
    order, weights = (np.arange(0, 700, 3), np.linspace(0, 2, 700)) if weighted else (None, None)
    rows = [Rows(X, check=False) for _ in range(3)]
    scalings = [
        Standard(part, order, weights, shifts=True, n_threads=n_threads)
        for part, n_threads in zip(rows, (1, 3), strict=False)
    ]
    assert_array_equal(scalings[0].moments, scalings[1].moments)
    moments = np.zeros((12, N_MOMENTS))
    weights = np.empty(0) if weights is None else weights
    add_moments(rows[2], scalings[0].origin.copy(), order, weights, moments)
    assert_allclose(scalings[0].moments, moments, rtol=1e-12)
    if order is None:
        # What was found out in parts is known of all.
        assert_array_equal(rows[1].counts(), Rows(X).counts())
    shift, factor = scalings[0].shift, scalings[0].factor
    one, other = (sparse.csr_array(scalings[0].apply(rows[0], n_threads=n).X) for n in (1, 3))
    assert_array_equal(one.toarray(), other.toarray())
    expected = sparse.csr_array(Rows(X).scaled(shift, factor).X)
    assert_allclose(one.toarray(), expected.toarray(), rtol=1e-14)


def test_bad_rows_are_errors_in_any_block(small_blocks):
    X, _ = make_rows("sparse")
    X.data[len(X.data) // 2] = np.nan
    for n_threads in (1, 3):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            Standard(Rows(X, check=False), None, None, shifts=True, n_threads=n_threads)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_rows_on_disk_are_the_same_blocks(small_blocks, kind, weighted, tmp_path):
    """Which are not copied to memory, though they are scaled."""
    X, y = make_rows(kind)
    weights = np.arange(len(y)) % 5 if weighted else None
    disk.write([(X, y > 0)] if weights is None else [(X, y > 0, weights)], tmp_path / "rows", shuffle=False)
    stored = disk.open(tmp_path / "rows")
    model = SGDClassifierPlus(optimizer="lbfgs", alpha=1e-2, random_state=0)
    there, here = model.fit(*stored).coef_, model.fit(X, y > 0, weights).coef_
    assert_array_equal(there, here)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("row_indices", [None, np.arange(3, 700, 2)])
def test_blocks_are_all_rows_that_count_in_order(small_blocks, row_indices, kind):
    X, y = make_rows(kind)
    parts = Targets(y[:, np.newaxis], [0]), REGRESSOR_LOSSES["squared_error"](), Penalty(0, 0)
    problem = Problem(Rows(X), *parts, np.linspace(0, 2, len(y)), row_indices, 1)
    several = Blocks(problem)
    assert len(several.places) > 2
    found = [np.concatenate(list(several.each(lambda block: block.targets.values[:, 0])))]
    found += [np.concatenate(list(several.each(lambda block: block.row_weights)))]
    expected = y[problem.indices], problem.row_weights[problem.indices]
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)
    sums = several.total(lambda block: np.asarray(block.X.sum(axis=0)).ravel())
    assert_allclose(sums, np.asarray(X[problem.indices].sum(axis=0)).ravel())


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_neighbours_are_added_up_first(n):
    class Term:
        def __init__(self, text):
            self.text = text

        def __iadd__(self, other):
            return Term(f"({self.text}{other.text})")

    trees = {1: "0", 2: "(01)", 3: "((01)2)", 7: "(((01)(23))((45)6))", 8: "(((01)(23))((45)(67)))"}
    assert add_up(Term(str(k)) for k in range(n)).text == trees[n]


def test_losses_and_targets_can_be_sent_elsewhere():
    loss, targets = pickle.loads(
        pickle.dumps((Softmax(0.0, 3), Targets(np.array([[1.0], [-1.0]]), [0], signs=True)))
    )
    assert loss.n_outputs == 3
    assert targets.signs
    assert targets.values.tolist() == [[1.0], [-1.0]]
    assert pickle.loads(pickle.dumps(Huber(0.3))).parameter == 0.3
