from sgdkit.optimizers.base import Optimizer

class Adam(Optimizer):
    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool
    def __init__(
        self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-30, amsgrad: bool = False
    ) -> None: ...
