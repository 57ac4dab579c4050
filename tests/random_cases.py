"""Random fits to random data, many of them absurd: `python -m tests.random_cases FIRST LAST`.

Each number is a case of its own, and is printed before it is tried, so that the last line tells which one ended the
process. A case goes through all that takes data: `fit`, with a validation set of its own or without, `partial_fit`, the
predictions, `score` and a search. It holds them to the promises of docs/reliability.md.
"""

import pickle
import sys
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import clone

from sgdkit import SGDClassifierPlus
from sgdkit.losses import CLASSIFIER_LOSSES, REGRESSOR_LOSSES
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.optimizers import OPTIMIZERS
from sgdkit.penalties import PENALTIES
from sgdkit.schedules import SCHEDULES
from tests.problems import ESTIMATORS

# What only an accident says.
ACCIDENTS = [
    "=nan",
    "=inf",
    "not supported between",
    "unsupported operand",
    "ambiguous",
    "NoneType",
    "broadcast",
]
PREDICTIONS = ["predict", "decision_function", "predict_proba", "predict_log_proba"]
UNITS = [1e-320, 1e-162, 1e-40, 1e-30, 1e-12, 1e12, 1e30, 1e40, 1e155, 1e300]


class Case:
    """What one number stands for."""

    def __init__(self, number):
        self.rng = np.random.default_rng(number)
        self.estimator = self.pick(ESTIMATORS)
        self.is_classifier = self.estimator is SGDClassifierPlus
        self.n_rows, self.n_features = self.pick([1, 2, 7, 40, 40, 300]), self.pick([1, 3, 8])

    def pick(self, values):
        values = list(values)
        return values[self.rng.integers(len(values))]

    def chance(self, share):
        return self.rng.random() < share

    # ------------------------------------------------------------------------------------------------- parameters

    def model(self):
        losses = CLASSIFIER_LOSSES if self.is_classifier else REGRESSOR_LOSSES
        parameters = {
            "loss": losses,
            "optimizer": ["auto", *OPTIMIZERS],
            "penalty": PENALTIES,
            "alpha": ["auto", "auto", 0.0, 1e-4, 1.0, 1e10],
            "l1_ratio": [0.0, 0.15, 1.0],
            "standardize": [True, True, False],
            "fit_intercept": [True, True, False],
            "batch_size": ["auto", "auto", 1, 7, 10**30],
            "learning_rate": ["auto", "auto", *SCHEDULES],
            "eta0": ["auto", "auto", 0.01, 1e-300, 1e300],
            "tol": ["auto", None, 0.0, 1e-3],
            "shuffle": [True, False],
            "early_stopping": [True, False, False],
            "scoring": ["loss", "loss", "accuracy" if self.is_classifier else "r2", lambda *_: np.inf],
            "average": [False, False, True, 5, 2**63 - 1],
            "n_jobs": [None, 2],
        }
        values = {name: self.pick(parameters[name]) for name in parameters if self.chance(0.4)}
        if self.is_classifier and self.chance(0.3):
            values["class_weight"] = self.pick(["balanced", {0: 2.0, 1: 1.0}, {0: 0.0, 1: 1e-300}])
        return self.estimator(max_iter=3, random_state=0).set_params(**values)

    # ------------------------------------------------------------------------------------------------------- data

    def rows(self, absurd=True):
        X = self.rng.normal(size=(self.n_rows, self.n_features))
        X[self.rng.random(X.shape) < self.pick([0.0, 0.5, 0.9])] = 0.0
        if not absurd:
            return X
        j = self.rng.integers(self.n_features)
        if self.chance(0.4):
            X[:, j] = self.pick([X[:, j] * self.pick(UNITS), np.full(self.n_rows, 7.0), X[:, j] + 1e9])
        if self.chance(0.15):
            X[self.rng.integers(self.n_rows), j] = self.pick([np.nan, np.inf, -np.inf, 1.7e308])
        with np.errstate(over="ignore", invalid="ignore"):
            X = X.astype(self.pick([np.float64, np.float64, np.float32, np.float16, np.int64]))
        return self.pick([self.dense, self.sparse, self.malformed])(X)

    def dense(self, X):
        changes = [np.asarray, np.asfortranarray, np.ndarray.tolist, lambda X: X[::-1], np.ravel]
        return self.pick([np.asarray, *changes])(X)

    def sparse(self, X):
        X = X.astype(np.float32) if X.dtype == np.float16 else X
        return self.pick([sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_array])(X)

    def malformed(self, X):
        """CSR whose parts do not fit together; or are only unusual."""
        X = sparse.csr_matrix(X.astype(self.pick([np.float64, np.float32])))
        part = self.pick(["data", "indices", "indptr"])
        values = getattr(X, part).copy()
        if self.chance(0.5) and len(values):
            wrong = [-1, X.shape[1], X.nnz + 1, 2**31 - 2, -(2**31)]
            values[self.rng.integers(len(values))] = self.pick(wrong)
        else:
            changes = [
                lambda v: v[:-1],
                lambda v: v[:0],
                lambda v: np.append(v, v[-1:]),
                lambda v: v[:, np.newaxis],
                lambda v: np.repeat(v, 2)[::2],
                lambda v: v.astype(np.int64),
                lambda v: v.astype(np.uint32),
            ]
            with np.errstate(invalid="ignore"):
                values = self.pick(changes)(values)
        setattr(X, part, values)
        return X

    def targets(self, absurd=True):
        n = self.n_rows
        if self.is_classifier:
            y = np.arange(n) % self.pick([2, 2, 3])
            others = [
                np.array(["a", "b", "c"])[y],
                y.astype(bool),
                y.astype(object),
                np.zeros(n),
                np.arange(n),
            ]
            others += [self.rng.integers(0, 2, (n, 3)), sparse.csr_array(self.rng.integers(0, 2, (n, 3)))]
        else:
            y = self.rng.normal(size=n)
            others = [
                np.abs(y),
                np.zeros(n),
                np.column_stack([y, -y]),
                y.astype(object),
                sparse.csr_array(y[:, None]),
            ]
            others += [y * self.pick(UNITS), np.abs(y) * self.pick(UNITS), y.astype(str)]
        if not absurd or self.chance(0.4):
            return y
        y = self.pick(others)
        if self.chance(0.2) and y.ndim == 1:
            y = y.astype(object)
            y[self.rng.integers(n)] = self.pick([None, np.nan, np.inf, "a", 2**70])
        return y[:-1] if self.chance(0.05) else y

    def weights(self):
        n = self.n_rows
        ones = np.ones(n)
        choices = [
            ones,
            self.rng.random(n),
            np.arange(n) % 2,
            np.zeros(n),
            -ones,
            np.full(n, np.nan),
            2.0,
            ones[1:],
        ]
        choices += [ones * self.pick([5e-324, 1e-200, 1e-12, 1e12, 1e200, 1e308])]
        return self.pick(choices) if self.chance(0.4) else None


def attempt(act, *arguments, **options):
    """What a call returns, or None where it ends in an error that says what was wrong."""
    try:
        return act(*arguments, **options)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        # The last is NumPy's, of a score whose weights are all 0: scikit-learn before 1.9 lets it pass.
        message = str(error)
        assert message
        assert not any(accident in message for accident in ACCIDENTS), message
        return None


def assert_finite(model):
    for values in model.coef_, model.intercept_, model.loss_curve_:
        assert np.isfinite(values).all()


def bits(model):
    """All bits of a model but the signs of zeros."""
    return (model.coef_ + 0.0).tobytes(), (model.intercept_ + 0.0).tobytes(), tuple(model.loss_curve_)


def check_fit(case, model, X, y, weights):
    """Finite or an error; nothing changed; the same again, with threads too; and on from a pickle as without one."""
    options = {"sample_weight": weights}
    before = pickle.dumps((X, y, weights))
    fitted = attempt(model.fit, X, y, **options)
    assert pickle.dumps((X, y, weights)) == before
    if fitted is None:
        assert not hasattr(model, "coef_")
        return None
    assert_finite(fitted)
    predicted = fitted.predict(X)
    assert predicted.dtype.kind != "f" or np.isfinite(predicted).all()
    again = clone(model).set_params(n_jobs=case.pick([1, 2])).fit(X, y, **options)
    assert bits(again) == bits(fitted)
    if not callable(model.scoring) and not model.early_stopping:
        loaded = pickle.loads(pickle.dumps(fitted))
        states = [attempt(other.partial_fit, X, y) for other in (fitted, loaded)]
        assert (states[0] is None) == (states[1] is None)
        assert bits(fitted) == bits(loaded)
        assert_finite(fitted)
    return fitted


def check_uses(case, fitted):
    """What is fitted and meets other rows: it stays what it is, unless it learns from them."""
    X, y, weights = case.rows(), case.targets(), case.weights()
    before, given = bits(fitted), pickle.dumps((X, y, weights))
    for name in PREDICTIONS:
        if hasattr(fitted, name):
            attempt(getattr(fitted, name), X)
    attempt(fitted.score, X, y, weights)
    assert bits(fitted) == before
    if attempt(fitted.partial_fit, X, y, sample_weight=weights) is None:
        assert bits(fitted) == before
    assert_finite(fitted)
    assert pickle.dumps((X, y, weights)) == given


def check_validation(case, model):
    X, y = case.rows(absurd=False), case.targets(absurd=False)
    X_val, y_val, weights = case.rows(), case.targets(), case.weights()
    given = pickle.dumps((X, y, X_val, y_val, weights))
    model = clone(model).set_params(early_stopping=True)
    fitted = attempt(model.fit, X, y, X_val=X_val, y_val=y_val, sample_weight_val=weights)
    assert pickle.dumps((X, y, X_val, y_val, weights)) == given
    if fitted is not None:
        assert_finite(fitted)
        assert np.isfinite(fitted.validation_scores_).all()


def check_search(case, model, X, y, weights):
    given = pickle.dumps((X, y, weights))
    search = OnePassGridSearchCV(model, {"alpha": [1e-3, 1.0]}, cv=2, n_jobs=case.pick([1, 2]))
    fitted = attempt(search.fit, X, y, **({} if weights is None else {"sample_weight": weights}))
    assert pickle.dumps((X, y, weights)) == given
    if fitted is not None:
        assert_finite(fitted.best_estimator_)
        attempt(fitted.predict, case.rows())


def check(number):
    """Hold the case of a number to the promises."""
    case = Case(number)
    model, X, y, weights = case.model(), case.rows(), case.targets(), case.weights()
    check_fit(case, model, X, y, weights)
    chunked = clone(model).set_params(early_stopping=False)
    X, y = case.rows(), case.targets()
    options = {"classes": y} if case.is_classifier and not sparse.issparse(y) and y.ndim == 1 else {}
    before = pickle.dumps((X, y))
    if attempt(chunked.partial_fit, X, y, sample_weight=case.weights(), **options) is not None:
        assert_finite(chunked)
    assert pickle.dumps((X, y)) == before
    sound = attempt(
        case.estimator(max_iter=2, random_state=0).fit, case.rows(absurd=False), case.targets(absurd=False)
    )
    if sound is not None:
        check_uses(case, sound)
    check_validation(case, model)
    check_search(case, model, case.rows(), case.targets(), case.weights())


def main(first, last):
    warnings.simplefilter("ignore")
    for number in range(first, last):
        print(number, flush=True)
        check(number)
    print("all held", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
