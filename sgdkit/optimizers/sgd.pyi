from sgdkit.optimizers.base import Optimizer

class SGD(Optimizer):
    momentum: float
    nesterov: bool
    def __init__(self, *, momentum: float = 0.0, nesterov: bool = False) -> None: ...
