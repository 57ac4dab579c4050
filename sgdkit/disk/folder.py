"""What a folder of rows holds: arrays in NumPy's format, and a manifest, which is written last.

    X.npy                              dense rows, of shape (n_rows, n_features); or, of sparse ones in CSR form,
    values.npy, indices.npy            their values and 32-bit features,
    begins.npy                         and where each row begins among these, in 64 bits
    y.npy, sample_weight.npy           targets, and weights, if there are any
    manifest.json                      the shape, and the length and the checksum of each array

Invariants:
- A folder with a manifest is whole: arrays are on the disk before it is renamed into its place.
- Nothing that was in a folder before is changed. Whoever writes holds the only `UNFINISHED` manifest.
"""

import json
import os
import zlib
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from tokenize import TokenError

import numpy as np

from sgdkit.disk.maps import mapped

MANIFEST, UNFINISHED = "manifest.json", "manifest.json.unfinished"
FORMAT, VERSION = "rows of sgdkit.disk", 1
# Bytes that are looked at at a time.
STRETCH = 1 << 22


def raw(array):
    """The bytes of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8)


class ArrayFile:
    """An array that is written row by row; its length comes into the header when it is closed.

    Parameters
    ----------
    path : Path
        Of a file that does not exist.
    dtype : dtype
    row_shape : tuple of int
        The shape of a row.
    """

    def __init__(self, path, dtype, row_shape=()):
        self.dtype, self.row_shape = np.dtype(dtype), row_shape
        self.n_rows, self.checksum = 0, 0
        self.file = path.open("xb")
        self._write_header()

    def _write_header(self):
        # NumPy leaves room for any number of rows, so its size is always the same.
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self.file, {**header, "shape": (self.n_rows, *self.row_shape)})

    def append(self, array):
        array = np.ascontiguousarray(array, dtype=self.dtype)
        self.file.write(raw(array))
        self.checksum = zlib.crc32(raw(array), self.checksum)
        self.n_rows += len(array)

    def finish(self):
        """Have it on the disk, and return what the manifest is to say of it."""
        entry = {"dtype": self.dtype.str, "shape": [self.n_rows, *self.row_shape]}
        entry |= {"bytes": self.file.tell(), "crc32": self.checksum}
        self.file.seek(0)
        self._write_header()
        sync(self.file)
        # Who has mapped it to memory would be ended by a bus error if it were cut off.
        os.chmod(self.file.name, 0o444)
        return entry

    def close(self):
        self.file.close()


def sync(file):
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def new_folder(folder):
    """A folder to write to, which nobody else writes to; if that fails, what was written is removed.

    The block is to fill the dictionary that it is given, which becomes the manifest.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    _check_empty(folder)
    try:
        lock = (folder / UNFINISHED).open("x", encoding="utf-8")
    except FileExistsError:
        # Another writer has come between.
        _check_empty(folder)
        raise
    try:
        with lock:
            manifest = {"format": FORMAT, "version": VERSION}
            yield manifest
            lock.write(json.dumps({**manifest, "crc32": _checksum_of(manifest)}, indent=1))
            sync(lock)
        os.replace(folder / UNFINISHED, folder / MANIFEST)
        _sync_folder(folder)
    except BaseException as error:
        for path in folder.iterdir():
            path.unlink()
        if is_new:
            folder.rmdir()
        if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT, EFBIG):
            raise OSError(
                error.errno,
                f"{error.strerror}: the rows do not fit onto the disk, and what was written of them has been removed. "
                "Shuffling needs up to twice the room of the rows",
                str(folder),
            ) from error
        raise


def _check_empty(folder):
    """Raise if there is anything in a folder."""
    names = {path.name for path in folder.iterdir()}
    if MANIFEST in names:
        raise FileExistsError(
            f"{folder} already holds rows, which are kept. Write to another folder, or delete it first."
        )
    if UNFINISHED in names:
        raise FileExistsError(
            f"{folder} is being written to, or was left unfinished when its writer was killed. If nobody writes to it, "
            "delete it first."
        )
    if names:
        raise FileExistsError(f"{folder} is not empty: it holds {min(names)!r}. Write to another folder.")


def _sync_folder(folder):
    """Have the names in a folder on the disk, where a folder can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _checksum_of(manifest):
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())


def read_manifest(folder):
    """What a folder holds; an error that says so if that is not a whole set of rows."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. sgdkit.disk.write makes one.")
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        state = (
            "is still being written to, or was left unfinished when its writer was killed: delete it, and write the "
            "rows again"
            if (folder / UNFINISHED).exists()
            else "holds no rows that sgdkit.disk.write has written"
        )
        raise FileNotFoundError(f"{folder} {state}; there is no {MANIFEST} in it.") from error
    try:
        manifest = json.loads(text)
        right = manifest.pop("crc32") == _checksum_of(manifest) and manifest["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise ValueError(f"{folder / MANIFEST} has been cut off or changed. Write the rows again.")
    if manifest["version"] > VERSION:
        raise ValueError(f"{folder} was written by a later version of sgdkit. Update sgdkit to read it.")
    return manifest


def map_array(path, entry, *, verify):
    """The array that the manifest speaks of, mapped to memory; its bytes are looked at if `verify`."""
    again = "Write the rows again, or copy them anew."
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. {again}")
    n_bytes = path.stat().st_size
    if n_bytes != entry["bytes"]:
        raise ValueError(
            f"{path} has {n_bytes} bytes instead of {entry['bytes']}: it has been cut off or changed. {again}"
        )
    try:
        array = mapped(path)
        same = [array.dtype.str, list(array.shape)] == [entry["dtype"], entry["shape"]]
    except (ValueError, SyntaxError, TokenError):
        # What NumPy lets through of a header that cannot be read depends on the version of Python.
        same = False
    if not same or (verify and _checksum_of_array(array) != entry["crc32"]):
        raise ValueError(f"{path} has been changed since it was written. {again}")
    return array


def _checksum_of_array(array):
    checksum, content = 0, raw(array)
    for begin in range(0, len(content), STRETCH):
        checksum = zlib.crc32(content[begin : begin + STRETCH], checksum)
    return checksum
