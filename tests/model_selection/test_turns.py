"""Tasks that take turns."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import sgdkit.model_selection.turns
from sgdkit import SGDClassifierPlus
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.model_selection.turns import Turns, n_under_way, run_in_turns
from sgdkit.training.stop import check_stop


@pytest.fixture
def short_turns(monkeypatch):
    monkeypatch.setattr(sgdkit.model_selection.turns, "SHORTEST_TURN", 0.0)


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(1e-4)


@pytest.mark.parametrize(
    ("n_tasks", "n_jobs", "n"),
    [(1, 1, 1), (5, 1, 1), (1, 2, 1), (2, 2, 2), (4, 2, 2), (5, 2, 3), (5, 3, 5), (10, 4, 6)],
)
def test_tasks_that_are_not_under_way_are_dealt_out_evenly(n_tasks, n_jobs, n):
    assert n_under_way(n_tasks, n_jobs) == n
    assert n_tasks <= n_jobs or (n_tasks - n) % n_jobs == 0


@pytest.mark.parametrize(("n_tasks", "n_jobs"), [(1, 1), (5, 2), (7, 3), (2, 4)])
def test_at_most_so_many_run_at_once(short_turns, n_tasks, n_jobs):
    running, most, done, lock = [], [], [], threading.Lock()

    def run(task, turns):
        for _ in range(20):
            with lock:
                running.append(task)
                most.append(len(running))
            time.sleep(1e-4)
            with lock:
                running.remove(task)
            assert turns.pass_on() >= 0
        done.append(task)

    run_in_turns(run, list(range(n_tasks)), n_jobs)
    assert sorted(done) == list(range(n_tasks))
    assert max(most) <= n_jobs


def test_who_waits_longest_is_next(short_turns):
    turns, events = Turns(1, 3), []
    first_runs, all_came = threading.Event(), threading.Event()

    def run(name):
        with turns:
            first_runs.set()
            assert all_came.wait(10)
            for part in range(3):
                events.append(f"{name}{part}")
                turns.pass_on()

    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for n_waiting, thread in enumerate(threads):
        thread.start()
        assert first_runs.wait(10)
        wait_until(lambda: len(turns._waiting) >= n_waiting)  # noqa: B023
    all_came.set()
    for thread in threads:
        thread.join(10)
    assert events == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_nobody_makes_room_before_all_have_come_nor_after_a_moment(monkeypatch):
    turns = Turns(1, 2)
    monkeypatch.setattr(sgdkit.model_selection.turns, "SHORTEST_TURN", 0.0)
    with turns:
        assert turns.pass_on() == 0
        thread = threading.Thread(target=lambda: turns.__enter__().__exit__())
        thread.start()
        wait_until(lambda: turns._waiting)
        monkeypatch.setattr(sgdkit.model_selection.turns, "SHORTEST_TURN", 1e3)
        assert turns.pass_on() == 0
        monkeypatch.setattr(sgdkit.model_selection.turns, "SHORTEST_TURN", 0.0)
        assert turns.pass_on() > 0
    thread.join(10)


def test_an_error_is_raised_and_gives_the_turn_away():
    def run(task, turns):
        if task == 0:
            raise ValueError("no such task")

    with pytest.raises(ValueError, match="no such task"):
        run_in_turns(run, list(range(5)), 2)


def test_after_an_error_no_other_begins():
    begun, failed = [], threading.Event()

    def run(task, turns):
        begun.append(task)
        if task == 0:
            failed.set()
            raise ValueError("no such task")
        assert failed.wait(10)
        time.sleep(0.2)

    with pytest.raises(ValueError, match="no such task"):
        run_in_turns(run, list(range(9)), 3)
    assert len(begun) <= 5


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_folds_that_change_places_are_what_they_are_alone(short_turns, monkeypatch, n_jobs):
    waits, pass_on = [], Turns.pass_on

    def noted(turns):
        waits.append(pass_on(turns))
        return waits[-1]

    monkeypatch.setattr(Turns, "pass_on", noted)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 8)), rng.integers(0, 3, 200)
    settings = {"max_iter": 30, "tol": None, "batch_size": 1, "random_state": 0}
    # With a validation set, each epoch is a call of its own.
    model = SGDClassifierPlus(optimizer="adagrad", early_stopping=True, n_iter_no_change=30, **settings)
    alone, in_turns = (
        OnePassGridSearchCV(model, {"alpha": [1e-4, 1e-2], "loss": ["log_loss", "hinge"]}, cv=5, n_jobs=n)
        for n in (1, n_jobs)
    )
    alone.fit(X, y)
    assert not waits
    in_turns.fit(X, y)
    assert max(waits) > 0
    for name, values in alone.cv_results_.items():
        if "score" in name and "time" not in name:
            np.testing.assert_array_equal(values, in_turns.cv_results_[name])
    np.testing.assert_array_equal(alone.best_estimator_.coef_, in_turns.best_estimator_.coef_)
    assert (in_turns.cv_results_["mean_fit_time"] > 0).all()


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_a_search_without_a_valid_candidate_fails_as_it_does_in_scikit_learn(n_jobs):
    X, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
    search = OnePassGridSearchCV(SGDClassifierPlus(), {"alpha": [-1.0, -2.0]}, cv=3, n_jobs=n_jobs)
    with pytest.raises(ValueError, match="All the 6 fits failed"):
        search.fit(X, y)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to one child needs a console of its own there")
@pytest.mark.parametrize(("optimizer", "n_jobs"), [("sgd", 1), ("gd", 2), ("sgd", 4)])
def test_ctrl_c_stops_folds_that_would_never_end(optimizer, n_jobs):
    """Those under way and those that wait: else the child would not end."""
    script = f"""
        import signal
        import numpy as np
        from sgdkit import SGDClassifierPlus
        from sgdkit.model_selection import OnePassGridSearchCV
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        X = np.random.default_rng(0).normal(size=(2000, 20))
        model = SGDClassifierPlus(optimizer="{optimizer}", max_iter=10**9, tol=None, eta0=0.01)
        search = OnePassGridSearchCV(model, {{"alpha": [0.1, 1.0]}}, cv=5, n_jobs={n_jobs}, verbose=1)
        try:
            search.fit(X, X[:, 0] > 0)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert child.stdout.readline().startswith("Fitting 5 folds")
        # Training is well under way then; lines of several threads may run into one another.
        for _ in range(10):
            assert child.stdout.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0, err
    assert out.splitlines()[-1] == "interrupted"


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_an_error_stops_the_other_tasks(n_jobs):
    """They would go on for ever, between one call of compiled code and the next."""

    def run(task, turns):
        if task == 0:
            raise ValueError("of the first")
        while True:
            check_stop()
            turns.pass_on()

    with pytest.raises(ValueError, match="of the first"):
        run_in_turns(run, list(range(4)), n_jobs)
    check_stop()
