"""The order of visits: random, by rows or by runs, and what decides between the two."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sgdkit import SGDClassifierPlus
from sgdkit._kernels.arrays import shuffle_stretch
from sgdkit.training.order import BLOCK, MANY_ROWS, RUN, WINDOW, cut, in_order, in_runs, run_length, shuffled
from tests.problems import STOCHASTIC, first_of_each_kind


@pytest.mark.parametrize("n", [1, 2, 5, 1000])
def test_a_shuffle_is_a_permutation(n):
    orders = np.tile(np.arange(n, dtype=np.int32), (2, 1))
    shuffle_stretch(orders, np.random.PCG64(0).random_raw(2 * n).reshape(2, n), n - 1)
    assert_array_equal(np.sort(orders), np.tile(np.arange(n), (2, 1)))


def test_every_order_is_as_likely():
    counts = {}
    generator = np.random.PCG64(0)
    for _ in range(6000):
        order = np.arange(3, dtype=np.int32)
        shuffle_stretch(order[np.newaxis], generator.random_raw(3)[np.newaxis], 2)
        counts[tuple(order)] = counts.get(tuple(order), 0) + 1
    assert len(counts) == 6
    # Five standard deviations.
    assert max(abs(count - 1000) for count in counts.values()) < 5 * np.sqrt(1000 * 5 / 6)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n", [2, RUN - 1, RUN, 5 * RUN, 50_001])
def test_each_epoch_visits_each_row_once_in_an_order_of_its_own(n, dtype):
    orders = shuffled(n, 3, np.random.default_rng(0), dtype)
    assert orders.dtype == dtype
    assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(n), (3, 1)))
    if n > 5 * RUN:
        assert (orders[0] != orders[1]).mean() > 0.9


def runs_of(n, seed=0, dtype=np.int32):
    """An order in runs, and the blocks that were announced before each of its pieces."""
    announced, pieces = [], []
    for piece in in_runs(n, np.random.default_rng(seed), lambda *block: announced.append(block), dtype):
        pieces.append((piece, [*announced]))
    return np.concatenate([piece for piece, _ in pieces]), pieces


MANY_BLOCKS = [(2 * WINDOW + 3) * BLOCK, (WINDOW + 2) * BLOCK + 2 * RUN + 7]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n", [RUN - 1, 10 * RUN, 10 * RUN + 7, BLOCK, *MANY_BLOCKS])
def test_runs_are_neighbours_as_they_stand(n, dtype):
    order, pieces = runs_of(n, dtype=dtype)
    assert all(piece.dtype == dtype for piece, _ in pieces)
    assert_array_equal(np.sort(order), np.arange(n))
    # Rows that are not followed by their neighbour end a run.
    assert np.count_nonzero(np.diff(order) != 1) <= n // RUN
    if n > RUN:
        assert (order[:RUN] != np.arange(RUN)).any()
        assert (order != runs_of(n, seed=1)[0]).mean() > 0.5


def test_runs_of_a_window_come_from_blocks_that_come_from_anywhere():
    order, _ = runs_of((2 * WINDOW + 3) * BLOCK)
    first = order[: WINDOW * BLOCK] // BLOCK
    assert len(np.unique(first)) == WINDOW
    assert np.ptp(first) > WINDOW
    # Within the window, neighbours of a block are apart.
    assert np.count_nonzero(np.diff(first)) > len(first) / RUN / 2


@pytest.mark.parametrize("n", MANY_BLOCKS)
def test_blocks_are_announced_a_window_ahead(n):
    _, pieces = runs_of(n)
    for place, (_, announced) in enumerate(pieces):
        window = place // WINDOW * WINDOW
        visited = np.concatenate([piece for piece, _ in pieces[window : window + WINDOW]])
        assert {*(visited // BLOCK)} <= {begin // BLOCK for begin, _ in announced}
        assert len(announced) <= window + 2 * WINDOW
    assert sorted(announced) == [(begin, min(begin + BLOCK, n)) for begin in range(0, n, BLOCK)]


def test_the_short_run_comes_anywhere():
    places = {int(np.flatnonzero(runs_of(2 * RUN + 1, seed)[0] == 2 * RUN)[0]) for seed in range(50)}
    assert places == {0, RUN, 2 * RUN}


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_pieces_are_cut_anew(size):
    pieces = [np.arange(begin, end) for begin, end in [(0, 7), (7, 7), (7, 8), (8, 40)]]
    anew = [*cut(pieces, size)]
    assert_array_equal(np.concatenate(anew), np.arange(40))
    assert {len(piece) for piece in anew[:-1]} <= {size}
    assert 0 < len(anew[-1]) <= size


def test_rows_in_order():
    assert_array_equal(np.concatenate([*in_order(2 * BLOCK + 1)]), np.arange(2 * BLOCK + 1))


def targets_of(kind, n):
    rng = np.random.default_rng(0)
    return {
        "two classes": lambda: rng.integers(0, 2, n).astype(np.int32),
        "five classes": lambda: rng.integers(0, 5, n).astype(np.int32),
        "many classes": lambda: rng.zipf(1.5, n).clip(max=1000).astype(np.int32) - 1,
        "a rare class": lambda: (rng.random(n) < 0.01).astype(np.int32),
        "numbers": lambda: 1e6 + rng.standard_normal((n, 1)),
        "numbers with outliers": lambda: rng.standard_cauchy((n, 1)) ** 3,
        "counts": lambda: rng.poisson(1.0, (n, 1)).astype(float),
        "outputs": lambda: rng.standard_normal((n, 3)) * [1e-6, 1, 1e300],
    }[kind]()


KINDS = [
    "two classes",
    "five classes",
    "many classes",
    "a rare class",
    "numbers",
    "numbers with outliers",
    "counts",
    "outputs",
]


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_in_random_order_are_visited_in_runs(kind):
    assert run_length(targets_of(kind, MANY_ROWS)) == RUN
    assert run_length(targets_of(kind, MANY_ROWS - 1)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_sorted_are_shuffled_one_by_one(kind):
    targets = targets_of(kind, MANY_ROWS + 5)
    assert run_length(np.sort(targets, axis=0)) == 1
    # In pairs that belong together.
    assert run_length(np.repeat(targets, 2, axis=0)) == 1


def test_one_sorted_output_among_others_is_enough():
    targets = targets_of("outputs", MANY_ROWS)
    targets[:, 1].sort()
    assert run_length(targets) == 1


@pytest.mark.parametrize("apart", range(3))
def test_one_class_may_stand_apart_whatever_its_number(apart):
    """Blocks of a class, of which the others have none."""
    targets = np.random.default_rng(0).integers(0, 3, MANY_ROWS).astype(np.int32)
    assert run_length(np.concatenate([targets[targets != apart], targets[targets == apart]])) == 1


def test_a_rare_class_may_stand_apart():
    targets = np.random.default_rng(0).integers(0, 10, MANY_ROWS).astype(np.int32)
    targets[:40] = 10
    assert run_length(targets) == 1


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_not_taken_for_order(seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(45, 0.3))
    assert run_length(rng.choice(45, MANY_ROWS, p=shares).astype(np.int32)) == RUN


def test_a_drift_is_seen():
    """Rows in the order of time, of whose targets a fifth more are positive at the end."""
    rng, n = np.random.default_rng(0), 2 * MANY_ROWS
    targets = (rng.random(n) < 0.4 + 0.2 * np.arange(n) / n).astype(np.int32)
    assert run_length(targets) == 1


@pytest.mark.parametrize("value", [0.0, 1.0, 1e300])
def test_constant_targets_have_an_order(value):
    assert run_length(np.full((MANY_ROWS, 1), value)) in (1, RUN)


@pytest.mark.parametrize("optimizer", first_of_each_kind(STOCHASTIC))
def test_runs_learn_as_much_as_rows_one_by_one(optimizer, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((MANY_ROWS, 5))
    y = X @ rng.standard_normal(5) + rng.standard_normal(MANY_ROWS) > 0
    options = {"optimizer": optimizer, "max_iter": 2, "tol": None, "alpha": 1e-4}

    def objective(seed):
        return SGDClassifierPlus(**options, random_state=seed).fit(X, y).loss_curve_[-1]

    in_runs = [objective(seed) for seed in range(4)]
    monkeypatch.setattr("sgdkit.training.order.RUN", 1)
    one_by_one = [objective(seed) for seed in range(4)]
    assert np.mean(in_runs) == pytest.approx(np.mean(one_by_one), rel=0.01)
    assert in_runs != one_by_one


def test_sorting_by_class_does_not_change_what_is_learnt():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((MANY_ROWS, 5))
    y = X @ rng.standard_normal(5) + rng.standard_normal(MANY_ROWS) > 0
    order = np.argsort(y, kind="stable")
    model = SGDClassifierPlus(optimizer="sgd", max_iter=1, tol=None, random_state=0, eta0=0.01)
    shuffled_score = model.fit(X, y).score(X, y)
    assert model.fit(X[order], y[order]).score(X, y) == pytest.approx(shuffled_score, abs=0.01)


def test_the_rows_to_visit_may_be_part_of_the_rows():
    """Their order does not depend on where they stand."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2 * MANY_ROWS, 3)), rng.integers(0, 2, 2 * MANY_ROWS)
    kept = rng.random(len(y)) < 0.7
    model = SGDClassifierPlus(max_iter=1, tol=None, random_state=0, eta0=0.01, standardize=False)
    coef = model.fit(X, y, sample_weight=kept.astype(float)).coef_.copy()
    assert_array_equal(model.fit(X[kept], y[kept]).coef_, coef)
