"""What ends a worker; in a module of its own, which workers import in no time."""

import os
import signal


class KilledOnce:
    """A task that kills its worker when it is first run."""

    def __init__(self, function, flag):
        self.function, self.flag = function, flag

    def __call__(self, *args):
        if not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(*args)
