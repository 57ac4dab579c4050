"""The estimators for rows on a Dask cluster: exact full gradients, summed over the blocks of a collection.

>>> from dask.distributed import Client
>>> from sgdkit.dask import SGDClassifierPlus
>>> client = Client("scheduler:8786")  # doctest: +SKIP
>>> SGDClassifierPlus().fit(X, y).to_local()  # doctest: +SKIP

`estimators.py` is what users see; `collections.py` says what a collection is; `rows.py` has rows with the face of those
that are here, and sums over their blocks.
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError('sgdkit.dask needs dask and distributed: pip install "sgdkit[dask]".') from error

from sgdkit.dask.estimators import SGDClassifierPlus, SGDRegressorPlus

__all__ = ["SGDClassifierPlus", "SGDRegressorPlus"]
