from sgdkit.optimizers.base import Optimizer

class Nadam(Optimizer):
    beta_1: float
    beta_2: float
    epsilon: float
    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-30) -> None: ...
