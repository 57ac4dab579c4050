"""What ends a worker; in a module of its own, which workers import in no time."""

import os
import signal


class KilledOnce:
    """A task that kills its worker when it is first run for a method of blocks."""

    def __init__(self, function, flag, method):
        self.function, self.flag, self.method = function, flag, method

    def __call__(self, *args):
        if args[0].__name__ == self.method and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(*args)
