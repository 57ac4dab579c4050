from sgdkit.optimizers.base import Optimizer

class AdaGrad(Optimizer):
    initial_accumulator_value: float
    epsilon: float
    def __init__(self, *, initial_accumulator_value: float = 0.0, epsilon: float = 1e-30) -> None: ...
