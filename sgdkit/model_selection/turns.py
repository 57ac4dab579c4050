"""Tasks that take turns, so that all threads have work until the end.

Five equal folds keep two threads busy for the time of three: there is nothing to do for the second thread while the
last fold is trained. If the last three, two at a time, change places in between, all are done after two and a half.
"""

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from sgdkit.training.loop import Listener
from sgdkit.training.stop import check_stop, stopped_by

# Seconds that a task runs, and that another waits, before they change places: the other has to bring its own data near
# the processor.
SHORTEST_TURN = 0.25


class Turns:
    """At most `n_at_once` of `n_tasks` tasks run at once; of those that wait, the one that came first is next.

    A task runs inside a `with` statement. Once all tasks have come, it lets those that wait run in between by
    `pass_on`; before, it would only keep more of them under way than have to be.
    """

    def __init__(self, n_at_once, n_tasks):
        self._n_free, self._n_to_come = n_at_once, n_tasks
        self._waiting = deque()
        self._lock = threading.Lock()
        self._own = threading.local()

    def __enter__(self):
        with self._lock:
            self._n_to_come -= 1
            if self._n_free:
                self._n_free -= 1
                turn = None
            else:
                turn = self._line_up()
        self._wait(turn)
        return self

    def __exit__(self, *_):
        with self._lock:
            if self._waiting:
                self._release_first()
            else:
                self._n_free += 1

    def pass_on(self):
        """Change places with the task that has waited longest, if there is one; return the seconds of waiting."""
        with self._lock:
            now = time.perf_counter()
            if self._n_to_come or not self._waiting:
                return 0.0
            if now - max(self._own.begin, self._waiting[0][1]) < SHORTEST_TURN:
                return 0.0
            self._release_first()
            turn = self._line_up()
        self._wait(turn)
        return self._own.begin - now

    def _release_first(self):
        turn, _ = self._waiting.popleft()
        turn.release()

    def _line_up(self):
        """A lock that is released when it is this thread's turn."""
        turn = threading.Lock()
        turn.acquire()
        self._waiting.append((turn, time.perf_counter()))
        return turn

    def _wait(self, turn):
        if turn is not None:
            turn.acquire()
        self._own.begin = time.perf_counter()


class Turn(Listener):
    """Lets tasks that wait run between the epochs of this one.

    Parameters
    ----------
    stage : Stage
        It knows the turns.

    Attributes
    ----------
    seconds_waited : float
    """

    every_epoch = False

    def __init__(self, stage):
        self.stage = stage
        self.seconds_waited = 0.0

    def __call__(self, epoch):
        if self.stage.turns is not None and not all(course.over for course in epoch.courses):
            self.seconds_waited += self.stage.turns.pass_on()


def n_under_way(n_tasks, n_jobs):
    """How many tasks are to be under way at once, so that the others are dealt out evenly."""
    return n_tasks if n_tasks <= n_jobs else n_jobs + n_tasks % n_jobs


def run_in_turns(function, tasks, n_jobs):
    """Call ``function(task, turns)`` for each task, at most `n_jobs` at once, and return what it returns, as a list.

    The error of the first task that has one is raised here, and so is Ctrl-C. Tasks under way stop then, at the next
    call of compiled code, and no other begins.
    """
    turns, stopped, begun = Turns(n_jobs, len(tasks)), threading.Event(), threading.Event()

    def run(task):
        # Until all threads are there: the pool would not wait for the end of one that Ctrl-C finds on its way.
        begun.wait()
        with turns, stopped_by(stopped):
            check_stop()
            return function(task, turns)

    with ThreadPoolExecutor(n_under_way(len(tasks), n_jobs)) as pool:
        try:
            results = pool.map(run, tasks)
            begun.set()
            return list(results)
        except BaseException:
            stopped.set()
            begun.set()
            raise
