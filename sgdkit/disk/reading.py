"""`open`: rows in a folder, as arrays that any fit takes."""

from os import PathLike
from pathlib import Path
from typing import Any

from sgdkit._kernels.csr import csr
from sgdkit._typing import Array
from sgdkit.disk.folder import map_array, read_manifest
from sgdkit.disk.maps import RowsArray


def open(folder: str | PathLike[str], *, verify: bool = False) -> tuple[Any, Array, Array | None]:
    """Open the rows in a folder, which stay on disk.

    They are what `fit`, `partial_fit`, searches and scorers take, and what each of these reads of them, the system
    keeps in memory as long as there is room.

    Parameters
    ----------
    folder : str or path-like
        What :func:`write` has written to.
    verify : bool, default=False
        Whether to read everything through, and to compare checksums. What a folder holds, and the length of each file,
        are always looked at.

    Returns
    -------
    X : csr_array or ndarray of shape (n_samples, n_features)
        The rows, as memory maps. Indices are of 32 bits; if there are more than 2^31 values, indptr is of 64.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    sample_weight : ndarray of shape (n_samples,) or None
        The weights.

    Raises
    ------
    FileNotFoundError
        If there are no rows in the folder, or it was left unfinished.
    ValueError
        If a file has been cut off or changed.

    See Also
    --------
    write : Write rows to a folder.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sgdkit import disk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     disk.write([(np.eye(3), [0, 1, 1])], folder, shuffle=False)
    ...     X, y, sample_weight = disk.open(folder, verify=True)
    >>> X.shape, y.tolist(), sample_weight
    ((3, 3), [0, 1, 1], None)
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    entries = manifest["arrays"].items()
    arrays = {name: map_array(folder / f"{name}.npy", entry, verify=verify) for name, entry in entries}
    if "X" in arrays:
        X = arrays["X"]
    else:
        X = csr(arrays["values"], arrays["indices"], arrays["begins"], manifest["n_features"], RowsArray)
    return X, arrays["y"], arrays.get("sample_weight")
