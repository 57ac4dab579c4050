from sgdkit.optimizers.base import Optimizer

class FTRL(Optimizer):
    epsilon: float
    def __init__(self, *, epsilon: float = 1e-30) -> None: ...
