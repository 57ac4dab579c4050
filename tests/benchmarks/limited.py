"""CPU time of fits, each in a process of its own, which ends where it takes too long. For systems that can fork."""

import os
from multiprocessing import get_context
from statistics import median
from time import process_time

ENOUGH_SECONDS = 0.3
MOST_FITS = 5


def cpu_fit(make, split, limit):
    """The seconds that a fit takes, and the score of the test rows.

    Parameters
    ----------
    make : callable
        Makes the estimator.
    split : Split
    limit : float
        Seconds of the clock after which the process ends.

    Returns
    -------
    seconds, score : float
        The median of some fits if they are short; infinite, and nan, where the limit was reached or memory was not.
    """
    fork = get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_answer, args=(sender, make, split))
    process.start()
    sender.close()
    try:
        answer = receiver.recv() if receiver.poll(limit) else None
    except EOFError:
        answer = None
    process.kill()
    process.join()
    if isinstance(answer, Exception):
        raise answer
    return answer or (float("inf"), float("nan"))


def _answer(sender, make, split):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some peers talk
    try:
        sender.send(_fitted(make, split))
    except Exception as error:
        sender.send(error)


def _fitted(make, split):
    times = []
    while len(times) < MOST_FITS and sum(times) < ENOUGH_SECONDS:
        model = make()
        begin = process_time()
        model.fit(split.X, split.y)
        times.append(process_time() - begin)
    return median(times), float(model.score(split.X_test, split.y_test))
