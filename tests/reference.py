"""The whole algorithm in obvious NumPy: dense, float64, one coordinate at a time where that is plainest.

It is the definition that the compiled code is held to, so it shares nothing with it, and writes every formula as its
source does. `w` has the shape (n_features + 1, n_columns); the intercepts come last.
"""

import numpy as np


def _positive(x):
    return np.maximum(x, 0)


# Values of each parameter that a loss may depend on, by its `parameter_name`; None stands for losses without one.
PARAMETERS = {
    None: (0.0,),
    "epsilon": (0.3, 0.1, 0.7, 1.5),
    "quantile": (0.7, 0.1, 0.5),
    "power": (1.5, 1.0, 1.9, 2.0),
}

# Losses: name -> (value, derivative). First those of the margin z = t s, then those of the residual r = s - t, then
# those with a log link; p is the number of the loss's parameter.
OF_MARGIN = {
    "log_loss": (lambda z: np.logaddexp(0, -z), lambda z: -np.exp(-np.logaddexp(0, z))),
    "hinge": (lambda z: _positive(1 - z), lambda z: np.where(z < 1, -1, 0)),
    "squared_hinge": (lambda z: _positive(1 - z) ** 2, lambda z: -2 * _positive(1 - z)),
    "modified_huber": (
        lambda z: np.where(z < -1, -4 * z, _positive(1 - z) ** 2),
        lambda z: np.where(z < -1, -4, -2 * _positive(1 - z)),
    ),
    "perceptron": (lambda z: _positive(-z), lambda z: np.where(z <= 0, -1, 0)),
}
OF_RESIDUAL = {
    "squared_error": (lambda r, p: r**2 / 2, lambda r, p: r),
    "absolute_error": (lambda r, p: np.abs(r), lambda r, p: np.sign(r)),
    "huber": (
        lambda r, p: np.where(np.abs(r) <= p, r**2 / 2, p * np.abs(r) - p**2 / 2),
        lambda r, p: np.clip(r, -p, p),
    ),
    "epsilon_insensitive": (
        lambda r, p: _positive(np.abs(r) - p),
        lambda r, p: np.where(np.abs(r) > p, np.sign(r), 0),
    ),
    "squared_epsilon_insensitive": (
        lambda r, p: _positive(np.abs(r) - p) ** 2,
        lambda r, p: 2 * np.sign(r) * _positive(np.abs(r) - p),
    ),
    "quantile": (
        lambda r, p: np.where(r < 0, -p * r, (1 - p) * r),
        lambda r, p: np.where(r < 0, -p, np.where(r > 0, 1 - p, 0)),
    ),
}


def poisson(s, t):
    return np.exp(s) - t * s + np.where(t > 0, t * np.log(np.where(t > 0, t, 1)) - t, 0)


def gamma(s, t):
    return t * np.exp(-s) + s - np.log(t) - 1


def tweedie(s, t, p):
    if p in (1, 2):
        return poisson(s, t) if p == 1 else gamma(s, t)
    return (
        t ** (2 - p) / ((1 - p) * (2 - p)) - t * np.exp((1 - p) * s) / (1 - p) + np.exp((2 - p) * s) / (2 - p)
    )


OF_LOG_LINK = {
    "poisson": (lambda s, t, p: poisson(s, t), lambda s, t, p: np.exp(s) - t),
    "gamma": (lambda s, t, p: gamma(s, t), lambda s, t, p: 1 - t * np.exp(-s)),
    "tweedie": (tweedie, lambda s, t, p: np.exp((2 - p) * s) - t * np.exp((1 - p) * s)),
}
LOSSES = {**OF_MARGIN, **OF_RESIDUAL, **OF_LOG_LINK}


def softmax(s, y):
    """Value and derivative for the scores of one model, where y is the right class."""
    total = np.exp(s - s.max()).sum()
    return np.log(total) + (s.max() - s[y]), np.exp(s - s.max()) / total - np.eye(len(s))[y]


def crammer_singer(s, y):
    rival = np.argmax(np.where(np.arange(len(s)) == y, -np.inf, s))
    excess = 1 + s[rival] - s[y]
    return max(0, excess), (excess > 0) * (np.eye(len(s))[rival] - np.eye(len(s))[y])


COUPLED_LOSSES = {"softmax": softmax, "crammer_singer": crammer_singer}


def evaluate(loss, s, t, p=0.0, n_outputs=None):
    """Values and derivatives for rows of scores; a coupled loss has one value for each model of `n_outputs` columns."""
    if loss in COUPLED_LOSSES:
        models = zip(s.reshape(-1, n_outputs), t.reshape(-1, n_outputs).argmax(axis=1), strict=True)
        values, derivatives = zip(*[COUPLED_LOSSES[loss](*model) for model in models], strict=True)
        return np.reshape(values, (len(s), -1)), np.reshape(derivatives, s.shape)
    value, derivative = LOSSES[loss]
    if loss in OF_MARGIN:
        return value(t * s), t * derivative(t * s)
    score = (s - t, p) if loss in OF_RESIDUAL else (s, t, p)
    return value(*score), derivative(*score)


def prox(w, d, S, l1, l2):
    """argmin_v d/2 (v - w)^2 + S l1 |v| + S l2 v^2 / 2."""
    return shrink(w, S * l1 / d) / (1 + S * l2 / d)


def shrink(z, threshold):
    return np.sign(z) * np.maximum(np.abs(z) - threshold, 0)


class Descent:
    """An optimizer whose weights move along a direction, and take the proximal step of the penalty when they are read.

    Each has, of all coordinates, `metric()` and `reached()` (whether there is a metric yet), and of the touched ones
    `direction(on, g)`. `slots()` is what the slots after the weight hold; `variants` are hyper-parameters away from
    their defaults, so that a few steps tell them apart. Where the metric is not `constant`, the penalty has to wait.
    """

    constant = False

    def step(self, w, on, g, rate):
        w[on] -= rate * self.direction(on, g)

    def read(self, w, missed, total, l1, l2):
        """The weights when they are read; `missed` and `total` are sums of rates, since the last reading and ever."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.reached(), prox(w, self.metric(), missed, l1, l2), w)


class SGD(Descent):
    variants = {"": {}, "momentum": {"momentum": 0.8}, "nesterov": {"momentum": 0.8, "nesterov": True}}
    constant = True

    def __init__(self, shape, momentum, nesterov):
        self.momentum, self.nesterov = momentum, nesterov
        self.velocity = np.zeros(shape)

    def direction(self, on, g):
        self.velocity[on] = self.momentum * self.velocity[on] + g
        return g + self.momentum * self.velocity[on] if self.nesterov else self.velocity[on]

    def metric(self):
        return np.full_like(self.velocity, 1 - self.momentum)

    def reached(self):
        return True

    def slots(self):
        return [self.velocity] if self.momentum else []


class AdaGrad(Descent):
    variants = {"": {}, "initial": {"initial_accumulator_value": 0.3, "epsilon": 1e-3}}

    def __init__(self, shape, initial_accumulator_value, epsilon):
        self.epsilon = epsilon
        self.G = np.full(shape, float(initial_accumulator_value))

    def direction(self, on, g):
        self.G[on] += g**2
        return g / self.metric()[on]

    def metric(self):
        return np.sqrt(self.G) + self.epsilon

    def reached(self):
        return self.G > 0

    def slots(self):
        return [np.sqrt(self.G)]


class Adam(Descent):
    variants = {
        "": {},
        "fast": {"beta_1": 0.6, "beta_2": 0.7, "epsilon": 1e-3},
        "memoryless": {"beta_1": 0.0, "beta_2": 0.0, "epsilon": 0.1},
        "no-second": {"beta_1": 0.8, "beta_2": 0.0, "epsilon": 0.1},
        "amsgrad": {"beta_1": 0.6, "beta_2": 0.7, "amsgrad": True},
    }

    def __init__(self, shape, beta_1, beta_2, epsilon, amsgrad=False):
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        self.m, self.v, self.largest = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.n = np.zeros((shape[0], 1))

    def direction(self, on, g):
        self.n[on] += 1
        self.m[on] = self.beta_1 * self.m[on] + (1 - self.beta_1) * g
        self.v[on] = self.beta_2 * self.v[on] + (1 - self.beta_2) * g**2
        self.largest = np.maximum(self.largest, self.v_hat())
        return self.mean(on, g) / self.metric()[on]

    def mean(self, on, g):
        return self.m_hat()[on]

    def m_hat(self):
        return self.m / (1 - self.beta_1 ** np.maximum(self.n, 1))

    def v_hat(self):
        return self.v / (1 - self.beta_2 ** np.maximum(self.n, 1))

    def metric(self):
        return np.sqrt(self.largest if self.amsgrad else self.v_hat()) + self.epsilon

    def reached(self):
        return self.metric() > self.epsilon

    def slots(self):
        root = self.metric() - self.epsilon
        return [root, self.m_hat()] + ([self.v_hat()] if self.amsgrad else [])


class Nadam(Adam):
    variants = {"": {}, "fast": {"beta_1": 0.6, "beta_2": 0.7, "epsilon": 1e-3}}

    def mean(self, on, g):
        n, beta = self.n[on], self.beta_1
        return beta * self.m[on] / (1 - beta ** (n + 1)) + (1 - beta) * g / (1 - beta**n)


class RMSProp(Descent):
    variants = {
        "": {},
        "momentum": {"rho": 0.8, "momentum": 0.5, "epsilon": 1e-3},
        "centered": {"rho": 0.8, "centered": True, "epsilon": 1e-2},
        "centered-momentum": {"rho": 0.8, "momentum": 0.5, "centered": True, "epsilon": 1e-2},
        "memoryless": {"rho": 0.0, "epsilon": 0.1},
    }

    def __init__(self, shape, rho, momentum, centered, epsilon):
        self.rho, self.momentum, self.centered, self.epsilon = rho, momentum, centered, epsilon
        self.v, self.mean, self.velocity = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def direction(self, on, g):
        self.v[on] = np.where(self.v[on] == 0, g**2, self.rho * self.v[on] + (1 - self.rho) * g**2)
        self.mean[on] = self.rho * self.mean[on] + (1 - self.rho) * g
        self.velocity[on] = self.momentum * self.velocity[on] + g / (self.root()[on] + self.epsilon)
        return self.velocity[on]

    def root(self):
        return np.sqrt(np.maximum(self.v - self.mean**2, 0) if self.centered else self.v)

    def metric(self):
        return (1 - self.momentum) * (self.root() + self.epsilon)

    def reached(self):
        # A constant gradient has no variance, which is not to say that there was none.
        return self.centered or self.v > 0

    def slots(self):
        slots = [self.root()]
        slots += [self.mean, self.v] if self.centered else []
        return slots + ([self.velocity] if self.momentum else [])


class FTRL:
    """The weight follows from the sums when it is read; that of the intercept, the last one, at once."""

    variants = {"": {}, "slow": {"epsilon": 0.5}}
    constant = False

    def __init__(self, shape, epsilon):
        self.epsilon = epsilon
        self.n, self.z = np.zeros(shape), np.zeros(shape)

    def metric(self):
        return np.where(self.n > 0, np.sqrt(self.n) + self.epsilon, 0)

    def step(self, w, on, g, rate):
        before = self.metric()
        self.n[on] += g**2
        self.z[on] += rate * g - (self.metric() - before)[on] * w[on]
        w[-1] = self.read(w, 0, 0, 0, 0)[-1]

    def read(self, w, missed, total, l1, l2):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.n > 0, -shrink(self.z, total * l1) / (self.metric() + total * l2), w)

    def slots(self):
        return [np.sqrt(self.n), self.z]


class Model:
    """Columns in training by mini-batches. `optimizer` is one of the classes above, `l1`, `l2`, `scale` broadcast.

    The penalty is that of the weights times `units`, of shape (n_features + 1, 1).
    """

    def __init__(
        self,
        optimizer,
        loss,
        *,
        l1,
        l2,
        fit_intercept,
        p=0.0,
        n_outputs=None,
        average_from=0,
        scale=1.0,
        units=1.0,
    ):
        self.optimizer, self.loss, self.p, self.n_outputs = optimizer, loss, p, n_outputs
        self.l1, self.l2, self.scale, self.units = l1, l2, scale, units
        self.fit_intercept, self.average_from = fit_intercept, average_from
        self.w = np.zeros(optimizer.metric().shape)
        # The sum of rates since a coordinate was last touched, and of all rates.
        self.missed, self.total = np.zeros((len(self.w), 1)), 0.0
        self.n_rows_seen, self.after_steps, self.sums = 0, [], 0.0

    @property
    def waits(self):
        """Whether the penalty of an untouched coordinate waits; else each step takes its part of all coordinates.

        Where the metric is one constant and the penalty l2 of weights in one unit, the latter is one factor for all.
        """
        several = bool(np.any(self.l1)) or np.ptp(self.units) > 0
        return not self.optimizer.constant or several or self.average_from > 0

    def catch_up(self, on):
        on = on & (np.arange(len(self.w)) < len(self.w) - 1)
        rates = self.missed * self.scale, self.total * self.scale
        read = self.optimizer.read(self.w, *rates, self.l1 * self.units, self.l2 * self.units**2)
        self.w = np.where(on[:, np.newaxis], read, self.w)
        self.missed[on] = 0

    def step(self, X, t, weights, rate):
        """One mini-batch; weights are those of the rows, or of the rows in each column."""
        weights = np.broadcast_to(weights.reshape(len(X), -1), t.shape)
        A = np.column_stack([X, np.ones(len(X))])
        on = (A != 0).any(axis=0)
        on[-1] = self.fit_intercept
        self.catch_up(on)
        values, derivatives = evaluate(self.loss, A @ self.w, t, self.p, self.n_outputs)
        g = A.T @ (weights * derivatives) / len(X)
        self.optimizer.step(self.w, on, g[on], rate * self.scale)
        self.missed += rate
        self.total += rate
        if not self.waits:
            self.catch_up(np.full(len(self.w), True))
        self.n_rows_seen += len(X)
        self.sums += (weights[:, :: t.shape[1] // values.shape[1]] * values).sum(axis=0)
        if self.average_from and self.n_rows_seen >= self.average_from:
            self.after_steps.append(self.w.copy())

    def epoch(self, X, t, *, order, rates, weights, batch_size):
        for b, rate in enumerate(rates):
            rows = order[b * batch_size : (b + 1) * batch_size]
            self.step(X[rows], t[rows], weights[rows], rate)
        self.catch_up(np.full(len(self.w), True))
        if self.after_steps:
            self.after_steps[-1] = self.w.copy()

    def weights(self):
        return np.mean(self.after_steps, axis=0) if self.after_steps else self.w


def largest_rates(start, end, gradient, metric, ridge, losses, end_losses, *, n_rows, n_outputs):
    """The rates up to which the objective lies below its quadratic model, if the curvature of the step is constant."""
    move = (end - start).astype(np.float64)
    excess = (end_losses - losses) / n_rows + (ridge * (end**2 - start**2) / 2 - gradient * move).sum(axis=0)
    square = (metric * np.square(move)).sum(axis=0) / 2
    of_models = square.reshape(-1, n_outputs).sum(axis=1) / excess.reshape(-1, n_outputs).sum(axis=1)
    return np.repeat(of_models, n_outputs)


class GD:
    """Proximal gradient descent on all rows with a fixed rate, Nesterov's momentum (k - 1) / (k + 2) in step k."""

    variants = {"": {}, "plain": {"nesterov": False}}

    def __init__(self, shape, nesterov):
        self.nesterov, self.k = nesterov, 0
        self.w = self.before = np.zeros(shape)

    def step(self, loss, X, t, weights, *, rate, l1, l2, fit_intercept, p=0.0, n_outputs=None):
        self.k += 1
        v = self.w + self.nesterov * (self.k - 1) / (self.k + 2) * (self.w - self.before)
        A = np.column_stack([X, np.full(len(X), float(fit_intercept))])
        _, derivatives = evaluate(loss, A @ v, t, p, n_outputs)
        new = v - rate * A.T @ (weights[:, np.newaxis] * derivatives) / len(X)
        new[:-1] = prox(new[:-1], 1.0, rate, l1, l2)
        self.w, self.before = new, self.w


class LBFGS:
    """L-BFGS with a diagonal metric to begin with, by the formula of the inverse Hessian; the lengths are given."""

    variants = {"": {}, "short": {"memory": 2}}

    def __init__(self, metric, memory=10):
        self.metric, self.memory, self.pairs = metric, memory, []

    def direction(self, gradient):
        """``-H gradient``, with H as a matrix."""
        H = np.diag(1 / self.metric)
        if self.pairs:
            s, y = self.pairs[-1]
            H *= s @ y / (y @ H @ y)
        for s, y in self.pairs[-self.memory :]:
            left = np.eye(len(H)) - np.outer(s, y) / (s @ y)
            H = left @ H @ left.T + np.outer(s, s) / (s @ y)
        return -H @ gradient


OPTIMIZERS = {
    "gd": GD,
    "lbfgs": LBFGS,
    "sgd": SGD,
    "adam": Adam,
    "nadam": Nadam,
    "adagrad": AdaGrad,
    "ftrl": FTRL,
    "rmsprop": RMSProp,
}


def scales(X, weights=None, shifts=True):
    """The shift, the scale and the common unit of the features of a dense array; see `sgdkit.auto.scaling`."""
    n_features = X.shape[1]
    weights = np.ones(len(X)) if weights is None else weights
    X, weights = X[weights > 0].astype(np.float64), weights[weights > 0]
    shift, scale, share = np.zeros(n_features), np.zeros(n_features), np.zeros(n_features)
    for j in range(n_features):
        x, on = X[:, j], X[:, j] != 0
        share[j] = weights[on].sum() / weights.sum()
        if on.all() and shifts:
            shift[j] = np.average(x, weights=weights)
        if on.any():
            scale[j] = np.sqrt(np.average((x[on] - shift[j]) ** 2, weights=weights[on]))
    varies = scale > 1e-14 * np.abs(shift)
    with_zeros = [j for j in range(n_features) if varies[j] and not (X[:, j] != 0).all()]
    unit = 1.0
    if with_zeros and share[with_zeros].mean() <= 0.5:
        middle = np.exp(np.average(np.log(scale[with_zeros]), weights=share[with_zeros]))
        near = [j for j in with_zeros if middle / 10 <= scale[j] <= middle * 10]
        if share[near].sum() >= 0.9 * share[with_zeros].sum():
            scale[near] = np.sqrt(np.average(scale[near] ** 2, weights=share[near]))
            length = np.sqrt(share[near].sum()) * scale[near][0]
            if 0.1 <= length <= 10 and len(near) == varies.sum():
                unit = scale[near][0]
        else:
            number, own, ratio = (X != 0).sum(axis=1), np.ones(n_features), np.zeros(n_features)
            for j in with_zeros:
                x, n, w = (values[X[:, j] != 0] for values in (X[:, j], number, weights))
                product = np.average(x**2 * n, weights=w)
                own[j] = np.sqrt(product) / (1 - np.log(share[j]))
                ratio[j] = product / (scale[j] ** 2 * np.average(n, weights=w))
            if np.average(ratio[with_zeros], weights=share[with_zeros]) < 0.9:
                left = np.average((scale / own)[with_zeros] ** 2, weights=share[with_zeros])
                scale[with_zeros] = own[with_zeros] * np.sqrt(left)
    scale[~varies] = unit
    return shift, scale, unit
