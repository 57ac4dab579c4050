"""Ctrl-C in threads: the signal reaches the main thread alone, so those that work for it look at a flag.

They do so before each call of compiled code, which takes a fraction of a second, as the main thread itself does.
"""

import threading
from contextlib import contextmanager

_OF_THIS_THREAD = threading.local()


@contextmanager
def stopped_by(event):
    """Have `check_stop` look at a `threading.Event` in this thread."""
    _OF_THIS_THREAD.event = event
    try:
        yield
    finally:
        del _OF_THIS_THREAD.event


def check_stop():
    """Raise KeyboardInterrupt if this thread has been told to stop."""
    event = getattr(_OF_THIS_THREAD, "event", None)
    if event is not None and event.is_set():
        raise KeyboardInterrupt
