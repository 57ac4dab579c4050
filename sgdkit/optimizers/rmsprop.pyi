from sgdkit.optimizers.base import Optimizer

class RMSProp(Optimizer):
    rho: float
    momentum: float
    centered: bool
    epsilon: float
    def __init__(
        self, *, rho: float = 0.99, momentum: float = 0.0, centered: bool = False, epsilon: float = 1e-30
    ) -> None: ...
