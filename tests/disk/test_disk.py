"""Rows on disk: what is written is what is opened, in random order; whatever goes wrong is said, and harms nothing."""

import errno
import json
import os
import signal
import sys
import tracemalloc
from collections import Counter

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sgdkit import SGDClassifierPlus, SGDRegressorPlus, disk
from sgdkit.disk import folder as disk_folder
from sgdkit.disk import shuffling
from sgdkit.disk.parts import Part
from sgdkit.model_selection import OnePassGridSearchCV
from sgdkit.training.order import MANY_ROWS
from tests.internals import scaling_of
from tests.processes import run

CONTAINERS = {"sparse": sparse.csr_array, "dense": np.asarray}
in_both = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)


def make_rows(n_rows=1000, n_features=12, dtype=np.float64, seed=0):
    """Rows of which no two are equal; features of different scales."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n_rows, n_features)) < 0.4, rng.standard_normal((n_rows, n_features)), 0.0)
    X = (X * np.geomspace(0.01, 100, n_features)).astype(dtype)
    y = (X[:, 0] * 100 + X[:, -1] / 100 + 0.3 * rng.standard_normal(n_rows) > 0).astype(int)
    return X, y, rng.integers(0, 3, n_rows) / 2.0


def in_chunks(container, *arrays, size=90):
    X, *others = arrays
    for begin in range(0, len(X), size):
        part = slice(begin, begin + size)
        yield container(X[part]), *(other[part] for other in others)


def dense(X):
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


def content(X, y, sample_weight):
    """How often each row is there, with its target and weight."""
    weights = np.zeros(len(y)) if sample_weight is None else sample_weight
    return Counter(zip(map(bytes, dense(X)), map(bytes, np.array(y)), weights.tolist(), strict=True))


def is_mapped(array):
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.fixture
def little_room(monkeypatch):
    """Memory for a few rows, so that some buckets have buckets of their own."""
    monkeypatch.setattr(shuffling, "ROOM", 1 << 11)
    monkeypatch.setattr(shuffling, "N_BUCKETS", 5)


# ------------------------------------------------------------------------------------------------ there and back


@in_both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_shuffling_all_is_as_it_came(tmp_path, container, dtype, weighted):
    X, y, weights = make_rows(dtype=dtype)
    given = (X, y, weights) if weighted else (X, y)
    disk.write(in_chunks(container, *given), tmp_path / "rows", shuffle=False)
    read, labels, sample_weight = disk.open(tmp_path / "rows", verify=True)
    assert read.dtype == dtype
    assert_array_equal(dense(read), X)
    assert_array_equal(labels, y)
    assert (sample_weight is not None) == weighted
    if weighted:
        assert_array_equal(sample_weight, weights)


@in_both
def test_rows_are_memory_maps(tmp_path, container):
    disk.write(in_chunks(container, *make_rows()), tmp_path / "rows")
    X, y, weights = disk.open(tmp_path / "rows")
    assert isinstance(X, type(container(np.eye(2))))
    arrays = [X.data, X.indices] if sparse.issparse(X) else [X]
    assert all(map(is_mapped, [*arrays, y, weights]))
    if sparse.issparse(X):
        assert X.indices.dtype == X.indptr.dtype == np.int32
        assert is_mapped(X[10:20].data)
    with pytest.raises(ValueError, match="read-only"):
        arrays[0][0] = 1


@in_both
@pytest.mark.parametrize("size", [1, 90, 1000])
def test_rows_are_shuffled_with_all_that_is_theirs(tmp_path, container, size, little_room):
    X, y, weights = make_rows()
    disk.write(in_chunks(container, X, y, weights, size=size), tmp_path / "rows", random_state=0)
    read = disk.open(tmp_path / "rows", verify=True)
    assert content(*read) == content(X, y, weights)
    assert (dense(read[0]) != X).any(axis=1).mean() > 0.9
    assert {path.name for path in (tmp_path / "rows").iterdir()} >= {"manifest.json", "y.npy"}
    assert not [*(tmp_path / "rows").glob("bucket*")]


@pytest.mark.parametrize("room", [1 << 30, 1 << 11], ids=["in memory", "by buckets"])
def test_a_seed_is_an_order(tmp_path, monkeypatch, room):
    monkeypatch.setattr(shuffling, "ROOM", room)
    X, y, _ = make_rows()
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        disk.write(in_chunks(np.asarray, X, y), tmp_path / name, random_state=seed)
    a, b, c = (disk.open(tmp_path / name)[0] for name in "abc")
    assert_array_equal(a, b)
    assert (a != c).any(axis=1).mean() > 0.9


def test_every_order_is_as_likely(tmp_path, monkeypatch):
    """With buckets of which each has room for a single row."""
    monkeypatch.setattr(shuffling, "ROOM", 1)
    monkeypatch.setattr(shuffling, "N_BUCKETS", 2)
    parts = [Part([np.full((1, 1), k), np.array([k])], 1, False) for k in range(3)]
    generator, counts = np.random.default_rng(0), Counter()
    for _ in range(600):
        counts[
            tuple(int(part.arrays[1][0]) for part in shuffling.shuffled(parts, tmp_path / "b", generator))
        ] += 1
    assert len(counts) == 6
    # Five standard deviations.
    assert max(abs(count - 100) for count in counts.values()) < 5 * np.sqrt(100 * 5 / 6)


TARGETS = {
    "bool": np.array([True, False] * 50),
    "int": np.arange(100) % 3,
    "float": np.arange(100) / 7,
    "strings": np.array(["ham", "spam"] * 50),
    "indicator": np.arange(300).reshape(100, 3) % 2,
    "numbers": np.arange(200).reshape(100, 2) / 7,
}


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_of_all_kinds(tmp_path, kind):
    y = TARGETS[kind]
    disk.write(in_chunks(sparse.csr_array, np.eye(100), y), tmp_path / "rows", random_state=0)
    X, read, _ = disk.open(tmp_path / "rows", verify=True)
    assert read.dtype == y.dtype
    assert_array_equal(read, y[X.indices])


def test_rows_of_dataframes(tmp_path):
    import pandas as pd

    X, y, weights = make_rows()
    frame = pd.DataFrame(X).assign(y=y, w=weights)
    chunks = ((part.drop(columns=["y", "w"]), part.y, part.w) for _, part in frame.groupby(frame.index // 90))
    disk.write(chunks, tmp_path / "rows")
    assert content(*disk.open(tmp_path / "rows")) == content(X, y, weights)


def test_sparse_rows_hold_each_non_zero_once(tmp_path):
    """Duplicates, zeros and indices out of order, of 64 bits; rows without a value, and chunks without a row."""
    X = sparse.csr_array((4, 5))
    X.data, X.indices = np.array([1.0, 2.0, 0.0, 3.0]), np.array([3, 1, 2, 3])
    X.indptr = np.array([0, 4, 4, 4, 4])
    before = X.copy()
    disk.write([(X[:0], []), (X, [0, 1, 0, 1])], tmp_path / "rows", shuffle=False)
    read, _, _ = disk.open(tmp_path / "rows")
    assert read.indices.dtype == np.int32
    assert_array_equal(read.data, [4.0, 2.0])
    assert_array_equal(read.indices, [3, 1])
    assert_array_equal(read.indptr, [0, 2, 2, 2, 2])
    for name in "data", "indices", "indptr":
        assert_array_equal(getattr(X, name), getattr(before, name))


def test_no_row_at_all(tmp_path):
    disk.write([(np.empty((0, 3)), [])], tmp_path / "rows")
    X, y, _ = disk.open(tmp_path / "rows", verify=True)
    assert X.shape == (0, 3)
    assert len(y) == 0


# -------------------------------------------------------------------------------------- trained as they lie on disk


@pytest.fixture(params=CONTAINERS)
def opened(request, tmp_path):
    """Rows on disk, and the same in memory."""
    container = CONTAINERS[request.param]
    disk.write(in_chunks(container, *make_rows()), tmp_path / "rows", random_state=0)
    X, y, weights = disk.open(tmp_path / "rows")
    return (X, y, weights), (container(dense(X)), np.array(y), np.array(weights))


@pytest.mark.parametrize("optimizer", ["auto", "sgd", "adagrad", "gd"])
def test_a_fit_is_the_same_as_in_memory(opened, optimizer):
    model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
    on_disk, in_memory = (model.fit(*rows).coef_.copy() for rows in opened)
    assert_array_equal(on_disk, in_memory)
    assert scaling_of(model).factor is not None
    (X, y, _), (in_memory, *_) = opened
    assert_array_equal(model.predict_proba(X), model.predict_proba(in_memory))
    assert model.score(X, y) > 0.7


def test_chunks_are_the_same_as_in_memory(opened):
    models = []
    for X, y, weights in opened:
        model = SGDClassifierPlus(random_state=0)
        for begin in range(0, X.shape[0], 300):
            part = slice(begin, begin + 300)
            model.partial_fit(X[part], y[part], classes=[0, 1], sample_weight=weights[part])
        models.append(model)
    assert_array_equal(models[0].coef_, models[1].coef_)


def test_searches_are_the_same_as_in_memory(opened):
    model, grid = SGDClassifierPlus(random_state=0, early_stopping=True), {"alpha": [1e-4, 1e-2]}
    scores = []
    for X, y, weights in opened:
        search = OnePassGridSearchCV(model, grid, cv=KFold(3), n_jobs=2).fit(X, y, sample_weight=weights)
        scores.append(search.cv_results_["mean_test_score"])
        other = GridSearchCV(model, grid, cv=KFold(3)).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(other.cv_results_["mean_test_score"], scores[-1], atol=1e-9)
    assert_array_equal(*scores)


def test_other_processes_map_the_same_file(opened):
    (X, y, _), _ = opened
    sums = joblib.Parallel(n_jobs=2)(joblib.delayed(dense)(X[k : k + 500]) for k in (0, 500))
    assert_array_equal(np.concatenate(sums), dense(X))
    assert cross_val_score(SGDClassifierPlus(random_state=0), X, y, cv=3, n_jobs=2).min() > 0.7


@pytest.mark.parametrize("cls", [SGDClassifierPlus, SGDRegressorPlus])
def test_runs_of_neighbours_from_disk(tmp_path, cls):
    """Of many rows, in windows of blocks that are read ahead."""
    X, y, _ = make_rows(n_rows=MANY_ROWS + 7, n_features=3, dtype=np.float32)
    disk.write([(sparse.csr_array(X), y)], tmp_path / "rows", random_state=0)
    rows, labels, _ = disk.open(tmp_path / "rows")
    model = cls(optimizer="adagrad", max_iter=2, tol=None, random_state=0)
    coef = model.fit(rows, labels).coef_.copy()
    assert_array_equal(coef, model.fit(rows.copy(), labels.copy()).coef_)


@in_both
def test_scaled_rows_are_not_copied(tmp_path, container):
    X, y, _ = make_rows(n_rows=5000, n_features=400)
    disk.write([(container(X), y)], tmp_path / "rows")
    rows, labels, _ = disk.open(tmp_path / "rows")
    model = SGDClassifierPlus(optimizer="adagrad", alpha=1e-4, random_state=0)
    model.fit(rows[:100], labels[:100])
    tracemalloc.start()
    model.fit(rows, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scaling_of(model).factor is not None
    assert peak < rows.data.nbytes / 8


def beyond_32_bits(folder, X, y):
    """Write a folder whose rows begin beyond 2^31 values that no row has: they are holes of the files."""
    disk.write([(X, y)], folder, shuffle=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("crc32")
    n_before = 2**31 + 10
    for name in "values", "indices", "begins":
        path, entry = folder / f"{name}.npy", manifest["arrays"][name]
        array = np.load(path)
        if name == "begins":
            array += n_before
        else:
            entry["shape"][0] += n_before
        path.unlink()
        file = disk_folder.ArrayFile(path, array.dtype)
        file.n_rows = entry["shape"][0] - len(array)
        file.file.seek(file.n_rows * array.itemsize, os.SEEK_CUR)
        file.append(array)
        entry.update(file.finish())
        file.close()
    checksum = disk_folder._checksum_of(manifest)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "crc32": checksum}))


@pytest.mark.skipif(sys.platform != "linux", reason="files with holes")
def test_more_values_than_32_bits_count(tmp_path):
    """No index is copied to 64 bits, which would need 17 GB."""
    X, y, _ = make_rows(dtype=np.float32)
    X = sparse.csr_array(X)
    beyond_32_bits(tmp_path / "rows", X, y)
    assert sum(path.stat().st_blocks for path in (tmp_path / "rows").iterdir()) * 512 < 2**22
    rows, labels, _ = disk.open(tmp_path / "rows")
    assert (rows.indices.dtype, rows.indptr.dtype) == (np.int32, np.int64)
    assert rows.indptr[0] > 2**31
    for settings in {}, {"early_stopping": True}, {"optimizer": "sgd", "eta0": "auto"}, {"loss": "hinge"}:
        model = SGDClassifierPlus(random_state=0, **settings)
        scores = model.fit(X, y).decision_function(X)
        assert_array_equal(model.fit(rows, labels).decision_function(rows), scores)
    search = OnePassGridSearchCV(SGDClassifierPlus(random_state=0), {"alpha": [1e-4, 1e-2]}, cv=KFold(3))
    results = [search.fit(*data).cv_results_["mean_test_score"] for data in [(X, y), (rows, labels)]]
    assert_array_equal(*results)


# -------------------------------------------------------------------------------------------------- what goes wrong

FAULTS = {
    "no pair": ([np.eye(2)], r"Chunk 0: expected \(X, y\) or \(X, y, sample_weight\), got ndarray"),
    "too many": ([(np.eye(2), [0, 1], [1, 1], [1, 1])], "Chunk 0: expected"),
    "no chunks": ([], "There are no chunks"),
    "lengths": ([(np.eye(2), [0, 1, 1])], "Chunk 0: .*inconsistent numbers of samples"),
    "nan": ([(np.eye(2), [0, 1]), (np.full((2, 2), np.nan), [0, 1])], "Chunk 1: Input X contains NaN"),
    "sparse nan": ([(sparse.csr_array([[np.nan, 1.0]]), [0])], "Chunk 0: Input X contains NaN"),
    "y nan": ([(np.eye(2), [0, np.nan])], "Chunk 0: Input y contains NaN"),
    "objects": ([(np.eye(2), np.array([0, "a"], dtype=object))], "Chunk 0: y holds objects"),
    "weights below 0": ([(np.eye(2), [0, 1], [1, -1])], "Chunk 0: Negative values in data passed"),
    "features": ([(np.eye(2), [0, 1]), (np.eye(3), [0, 1, 1])], "Chunk 1: X has 3 features, and .* 0 has 2"),
    "kinds": ([(np.eye(2), [0, 1]), (sparse.eye_array(2, format="csr"), [0, 1])], "Chunk 1: X is sparse"),
    "outputs": ([(np.eye(2), [0, 1]), (np.eye(2), np.eye(2))], "Chunk 1: y has the shape"),
    "some weights": ([(np.eye(2), [0, 1]), (np.eye(2), [0, 1], [1, 1])], "Chunk 1: either all chunks"),
    "dtypes": (
        [(np.eye(2, dtype=np.float32), [0, 1]), (np.eye(2), [0, 1])],
        "Chunk 1: X .* float32 of chunk 0",
    ),
    "longer strings": ([(np.eye(1), ["a"]), (np.eye(1), ["bc"])], "Chunk 1: y is of dtype <U2"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
def test_bad_chunks_leave_nothing_behind(tmp_path, fault, there):
    chunks, message = FAULTS[fault]
    if there:
        (tmp_path / "rows").mkdir()
    with pytest.raises(ValueError, match=message):
        disk.write(chunks, tmp_path / "rows")
    assert [*tmp_path.rglob("*")] == [tmp_path / "rows"] * there


def test_an_error_of_the_chunks_is_their_own(tmp_path):
    def chunks():
        yield np.eye(2), [0, 1]
        raise FileNotFoundError(errno.ENOENT, "No such file", "rows.svm")

    with pytest.raises(FileNotFoundError, match=r"rows\.svm"):
        disk.write(chunks(), tmp_path / "rows")
    assert not [*tmp_path.iterdir()]


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_are_not_written_over(tmp_path):
    disk.write([(np.eye(2), [0, 1])], tmp_path / "rows")
    before = snapshot(tmp_path / "rows")
    with pytest.raises(FileExistsError, match="already holds rows, which are kept"):
        disk.write([(np.eye(3), [0, 1, 1])], tmp_path / "rows")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").write_text("Dear")
    with pytest.raises(FileExistsError, match="is not empty: it holds 'letter'"):
        disk.write([(np.eye(3), [0, 1, 1])], tmp_path / "other")
    assert snapshot(tmp_path / "rows") == before
    assert snapshot(tmp_path / "other") == {"letter": b"Dear"}
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        disk.write([(np.eye(3), [0, 1, 1])], tmp_path / "file")


def test_two_writers_at_once(tmp_path):
    """The second is told, and the first is not disturbed; nor is one that has come between."""

    def chunks(depth=0):
        yield np.eye(2), [0, 1]
        with pytest.raises(FileExistsError, match="is being written to"):
            disk.write([(np.eye(3), [0, 1, 1])], tmp_path / "rows")
        with pytest.raises(FileNotFoundError, match="is still being written to"):
            disk.open(tmp_path / "rows")

    disk.write(chunks(), tmp_path / "rows")
    assert disk.open(tmp_path / "rows", verify=True)[0].shape == (2, 2)


def test_a_writer_that_comes_between(tmp_path, monkeypatch):
    check = disk_folder._check_empty

    def slow_check(folder):
        monkeypatch.setattr(disk_folder, "_check_empty", check)
        check(folder)
        disk.write([(np.eye(2), [0, 1])], folder)
        (folder / disk_folder.UNFINISHED).write_text("of a third one")

    monkeypatch.setattr(disk_folder, "_check_empty", slow_check)
    with pytest.raises(FileExistsError, match="already holds rows"):
        disk.write([(np.eye(3), [0, 1, 1])], tmp_path / "rows")
    assert disk.open(tmp_path / "rows", verify=True)[0].shape == (2, 2)


WRITER = """
import os, sys, signal
import numpy as np
from sgdkit import disk
from sgdkit.disk import folder, shuffling

shuffling.ROOM, shuffling.N_BUCKETS = 1 << 11, 5
at, path = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if at == "manifest":
    os.replace = die
elif at == "sync":
    folder.sync = die
elif at == "arrays":
    folder.ArrayFile.append = die

def chunks():
    for k in range(20):
        yield np.full((20, 3), k), np.arange(20)
        if at == "chunks" and k == 15:
            die()

disk.write(chunks(), path)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("at", ["chunks", "arrays", "sync", "manifest"])
def test_a_killed_writer_leaves_no_rows(tmp_path, at):
    status, _ = run(WRITER, at, tmp_path / "rows")
    assert status == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="was left unfinished when its writer was killed"):
        disk.open(tmp_path / "rows")
    left = snapshot(tmp_path / "rows")
    with pytest.raises(FileExistsError, match="If nobody writes to it, delete it first"):
        disk.write([(np.eye(2), [0, 1])], tmp_path / "rows")
    assert snapshot(tmp_path / "rows") == left


FULL = """
import resource, signal, sys
import numpy as np
from sgdkit import disk

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rows = np.ones((100, 10)), np.ones(100)
try:
    disk.write((rows for _ in range(100)), sys.argv[1], shuffle=sys.argv[2] == "shuffle")
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of files")
@pytest.mark.parametrize("shuffle", ["shuffle", "as they come"])
def test_a_full_disk(tmp_path, shuffle):
    status, printed = run(FULL, tmp_path / "rows", shuffle)
    assert status == 0, printed
    assert "the rows do not fit onto the disk, and what was written of them has been removed" in printed
    assert str(tmp_path / "rows") in printed
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(os.name != "posix", reason="modes of folders")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("The superuser may write anywhere.")
    with pytest.raises(PermissionError, match="rows"):
        disk.write([(np.eye(2), [0, 1])], tmp_path / "rows")
    tmp_path.chmod(0o700)
    disk.write([(np.eye(2), [0, 1])], tmp_path / "rows")
    (tmp_path / "rows" / "y.npy").chmod(0)
    with pytest.raises(PermissionError, match=r"y\.npy"):
        disk.open(tmp_path / "rows")


def test_no_folder_or_no_rows(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        disk.open(tmp_path / "rows")
    (tmp_path / "rows").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no rows .* there is no manifest\.json"):
        disk.open(tmp_path / "rows")


ARRAYS = ["values", "indices", "begins", "y", "sample_weight"]


@pytest.fixture
def written(tmp_path):
    X, y, weights = make_rows(100)
    disk.write([(sparse.csr_array(X), y, weights)], tmp_path / "rows")
    return tmp_path / "rows"


def rewrite(path, change):
    content = bytearray(path.read_bytes())
    path.unlink()
    path.write_bytes(change(content))


def flip(place):
    def change(content):
        content[place] ^= 1
        return content

    return change


@pytest.mark.parametrize("name", ARRAYS)
def test_files_that_are_cut_off_or_missing(written, name):
    rewrite(written / f"{name}.npy", lambda content: content[:-8])
    with pytest.raises(ValueError, match=rf"{name}\.npy has \d+ bytes instead of \d+: it has been cut off"):
        disk.open(written)
    (written / f"{name}.npy").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name}\.npy is missing"):
        disk.open(written)


@pytest.mark.parametrize("name", ARRAYS)
def test_files_whose_content_is_another(written, name):
    rewrite(written / f"{name}.npy", flip(-1))
    with pytest.raises(ValueError, match=rf"{name}\.npy has been changed since it was written"):
        disk.open(written, verify=True)
    # The header is always looked at.
    rewrite(written / f"{name}.npy", flip(24))
    with pytest.raises(ValueError, match=rf"{name}\.npy has been changed since it was written"):
        disk.open(written)


@pytest.mark.parametrize("place", [0, 30, -30, -1])
def test_a_manifest_that_is_another(written, place):
    rewrite(written / "manifest.json", flip(place))
    with pytest.raises(ValueError, match=r"manifest\.json has been cut off or changed"):
        disk.open(written)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_a_manifest_that_is_none(written, content):
    rewrite(written / "manifest.json", lambda _: content.encode())
    with pytest.raises(ValueError, match=r"manifest\.json has been cut off or changed"):
        disk.open(written)


def test_a_later_version(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_folder, "VERSION", 99)
    disk.write([(np.eye(2), [0, 1])], tmp_path / "rows")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="was written by a later version of sgdkit"):
        disk.open(tmp_path / "rows")


def overwrite(path):
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    os.utime(path, ns=(0, 1))


def cut_off(path):
    path.chmod(0o600)
    os.truncate(path, 200)


@pytest.mark.parametrize("change", [overwrite, cut_off])
@pytest.mark.parametrize("name", ["values", "indices", "y"])
def test_files_that_change_after_they_were_opened(written, name, change):
    X, y, _ = disk.open(written)
    model = SGDClassifierPlus(random_state=0).fit(X, y)
    coef = model.coef_.copy()
    change(written / f"{name}.npy")
    for act in model.fit, model.partial_fit:
        with pytest.raises(ValueError, match=rf"{name}\.npy has been changed since it was opened"):
            act(X, y)
    assert_array_equal(model.coef_, coef)
    if name != "y":
        with pytest.raises(ValueError, match=rf"{name}\.npy has been changed since it was opened"):
            model.predict(X)


def test_files_that_change_during_a_fit(written):
    X, y, _ = disk.open(written)

    def scoring(estimator, X_val, y_val):
        if not hasattr(scoring, "called"):
            overwrite(written / "values.npy")
        scoring.called = True
        return 0.5

    model = SGDClassifierPlus(random_state=0, early_stopping=True, scoring=scoring, batch_size=1)
    with pytest.raises(ValueError, match=r"values\.npy has been changed since it was opened"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


CUT_OFF = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from sklearn.model_selection import KFold
from sgdkit import SGDClassifierPlus, disk
from sgdkit.model_selection import OnePassGridSearchCV

folder, how, optimizer = sys.argv[1:]
X, y, _ = disk.open(folder)
# Rows, whose place in the memory of a process is known to it already.
w = np.ones(X.shape[1])
X @ w
path = next(path for name in ("values.npy", "X.npy") if os.path.exists(path := os.path.join(folder, name)))
model = SGDClassifierPlus(optimizer=optimizer, random_state=0)
fitted = SGDClassifierPlus(random_state=0).fit(X, y)

def cut_off():
    os.chmod(path, 0o600)
    os.truncate(path, 5000)

def scoring(estimator, X_val, y_val):
    # The first time, it is tried before the fit.
    scoring.n_calls = getattr(scoring, "n_calls", 0) + 1
    if scoring.n_calls == 2:
        cut_off()
    return 0.5 + scoring.n_calls / 1000

def fit():
    early = {"early_stopping": True, "scoring": scoring, "validation_fraction": 0.5}
    model.set_params(**early).fit(X[:1500], y[:1500], X_val=X[1500:], y_val=y[1500:])

def search():
    early = {"early_stopping": True, "scoring": scoring}
    OnePassGridSearchCV(model.set_params(**early), {"alpha": [1e-4, 1e-2]}, cv=KFold(2), n_jobs=2).fit(X, y)

def product():
    cut_off()
    X @ w
    # Where Python looks whether something has come up, at the latest.
    for _ in range(2):
        pass

def in_thread():
    # Nothing but what is read tells that the file is another.
    state = os.stat(path)
    cut_off()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: X @ w).result()
        os.truncate(path, state.st_size)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        pool.submit(fitted.predict, X).result()

try:
    {"fit": fit, "search": search, "product": product, "in thread": in_thread}[how]()
    print("went on")
except ValueError as error:
    print("caught", error)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody cut off a file that is mapped to memory.")
@in_both
@pytest.mark.parametrize(
    ("how", "optimizer"),
    [("fit", "sgd"), ("fit", "lbfgs"), ("search", "adagrad"), ("product", "sgd"), ("in thread", "sgd")],
)
def test_files_that_are_cut_off_while_they_are_read(tmp_path, container, how, optimizer):
    """The system would end the process."""
    X, y, _ = make_rows(3000)
    disk.write([(container(X), y)], tmp_path / "rows")
    status, printed = run(CUT_OFF, tmp_path / "rows", how, optimizer)
    assert status == 0, printed
    assert "went on" not in printed
    assert "npy has been changed since it was opened, or its disk fails" in printed.split("caught ")[1]


BUS_ERRORS = """
import mmap, os, signal, sys
import numpy as np
from sgdkit import disk

folder, how = sys.argv[1:]
X, y, _ = disk.open(folder)
if how == "sent":
    os.kill(os.getpid(), signal.SIGBUS)
else:
    other = os.path.join(folder, "other")
    open(other, "wb").write(bytes(10000))
    array = np.memmap(other)
    os.truncate(other, 100)
    print(array.sum())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", ["sent", "another file"])
def test_bus_errors_of_others_are_theirs(written, how):
    status, printed = run(BUS_ERRORS, written, how)
    assert status == -signal.SIGBUS, printed


def test_what_is_open_outlives_its_folder(written):
    X, y, _ = disk.open(written)
    expected = dense(X)
    for path in written.iterdir():
        path.unlink()
    written.rmdir()
    disk.write([(np.eye(2), [0, 1])], written)
    assert_array_equal(dense(X), expected)
    assert SGDClassifierPlus(random_state=0).fit(X, y).score(X, y) > 0.8
