"""Sparse matrices that SciPy would convert, and whose parts point outside of them: errors wherever rows are taken.

What should fail could end the process, so it is one of its own: `python -m tests.estimators.test_structure`.
"""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from sgdkit import SGDClassifierPlus
from sgdkit.estimators.structure import check_structure
from sgdkit.model_selection import OnePassGridSearchCV
from tests.problems import error_of

X = np.random.RandomState(0).randint(-2, 3, (40, 6)) * (np.random.RandomState(1).rand(40, 6) < 0.5)
Y = np.arange(40) % 2
# Of a dtype that is to be converted; CSR that is not is looked at by `Rows`.
FORMATS = {
    "csr": lambda: sparse.csr_matrix(X.astype(np.int64)),
    "csc": lambda: sparse.csc_array(X.astype(np.float64)),
    "bsr": lambda: sparse.bsr_array(X.astype(np.float64), blocksize=(2, 2)),
    "coo": lambda: sparse.coo_array(X.astype(np.float64)),
}


def faults(name):
    """Yield matrices of a format, each with another fault."""
    names = ["row", "col"] if name == "coo" else ["indices", "indptr"]
    for part in names:
        for place in (0, -1):
            for value in (-1, 10**6, 2**31 - 2, -(2**31)):
                broken = FORMATS[name]()
                values = getattr(broken, part).copy()
                values[place] = value
                yield set_part(broken, part, values)
    for part in ["data", *names]:
        for change in (lambda v: v[:-2], lambda v: v[:0], lambda v: np.expand_dims(v, -1)):
            broken = FORMATS[name]()
            yield set_part(broken, part, change(getattr(broken, part)))


def set_part(matrix, part, values):
    if part in ("row", "col"):
        coords = list(matrix.coords)
        coords[part == "col"] = values
        matrix.coords = tuple(coords)
    else:
        setattr(matrix, part, values)
    return matrix


def check(name):
    sound = FORMATS[name]()
    model = SGDClassifierPlus(max_iter=2, tol=None, random_state=0)
    fitted = SGDClassifierPlus(max_iter=2, tol=None, random_state=0).fit(sound, Y)
    sparsified = SGDClassifierPlus(max_iter=2, tol=None, random_state=0).fit(sound, Y).sparsify()
    stopped = SGDClassifierPlus(max_iter=2, early_stopping=True, random_state=0)
    search = OnePassGridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2).fit(sound, Y)
    print(name, flush=True)
    for number, broken in enumerate(faults(name)):
        for act in (
            lambda broken=broken: model.fit(broken, Y),
            lambda broken=broken: model.partial_fit(broken, Y, classes=[0, 1]),
            lambda broken=broken: stopped.fit(sound, Y, X_val=broken, y_val=Y),
            lambda broken=broken: model.fit(X, broken),
            lambda broken=broken: fitted.predict(broken),
            lambda broken=broken: fitted.predict_proba(broken),
            lambda broken=broken: fitted.decision_function(broken),
            lambda broken=broken: fitted.score(broken, Y),
            lambda broken=broken: sparsified.predict(broken),
            lambda broken=broken: search.predict(broken),
            lambda broken=broken: search.fit(broken, Y),
        ):
            message = error_of(act)
            assert f"not a valid {name.upper()} matrix" in message, (number, message)


def test_faulty_parts_are_errors_wherever_rows_are_taken():
    command = [sys.executable, "-W", "ignore", "-m", "tests.estimators.test_structure"]
    child = subprocess.run(command, capture_output=True, text=True)
    tried = child.stdout.split()
    assert child.returncode == 0, f"{tried[-1:]}, exit status {child.returncode}: {child.stderr[-3000:]}"
    assert tried == list(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_sound_matrices_are_what_they_are(name):
    sound = FORMATS[name]()
    check_structure(sound)
    model = SGDClassifierPlus(max_iter=2, tol=None, random_state=0)
    expected = model.fit(X.astype(np.float64), Y).coef_
    np.testing.assert_allclose(model.fit(sound, Y).coef_, expected, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(sound), model.predict(X))


@pytest.mark.parametrize(
    "other", [sparse.lil_array(X), sparse.dok_array(X), sparse.dia_array(X), X, X.tolist(), None]
)
def test_what_has_no_such_parts_passes(other):
    check_structure(other)


if __name__ == "__main__":
    for name in FORMATS:
        check(name)
