"""
Rows on a cluster
=================

One model of rows that lie on several workers: ``sgdkit.dask`` sums losses and gradients over the blocks of a
collection, so the model is that of all rows, whatever block they are in.
"""

# %%
# Blocks that are sorted by class
# -------------------------------
#
# A cluster of two workers, as threads of this process; with a real one, ``Client("scheduler:8786")`` is all that
# changes. The rows are words of which each is one of a few thousand features, and each block has a single class:
# averages of models that know one class each would be worth nothing.

import matplotlib.pyplot as plt
import numpy as np
from dask import delayed
from dask.distributed import Client
from scipy import sparse

import sgdkit
from sgdkit.dask import SGDClassifierPlus

N_ROWS, N_FEATURES, N_WORDS = 4000, 3000, 20


def make_block(label, n_rows=N_ROWS):
    """Rows of one class, which prefers some of the features."""
    rng = np.random.default_rng(label)
    popularity = 1 / np.arange(1, N_FEATURES + 1)
    popularity[label::3] *= 2
    words = rng.choice(N_FEATURES, size=n_rows * N_WORDS, p=popularity / popularity.sum())
    rows = np.repeat(np.arange(n_rows), N_WORDS)
    return sparse.csr_array((np.ones(len(words)), (rows, words)), shape=(n_rows, N_FEATURES))


labels = [0, 1, 2]
X, y = [delayed(make_block)(label) for label in labels], np.repeat(labels, N_ROWS)
client = Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
model = SGDClassifierPlus(random_state=0).fit(X, y)
print(f"{model.n_iter_} steps, {model.score(X, y):.1%} right.")

# %%
# The same model as in memory
# ---------------------------
#
# Here the rows do fit into memory, so the plain estimator can be asked. The weights agree to rounding error:

X_here = sparse.vstack([make_block(label) for label in labels])
here = sgdkit.SGDClassifierPlus(optimizer="lbfgs", random_state=0).fit(X_here, y)
print(f"Largest difference of weights: {np.abs(here.coef_ - model.coef_).max():.1e}")

# %%
# The objective falls in the same steps, in the memory of one process and on two workers.

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(np.arange(1, here.n_iter_ + 1), here.loss_curve_, lw=6, alpha=0.3, label="in memory")
axes.plot(np.arange(1, model.n_iter_ + 1), model.loss_curve_, lw=1.5, label="on two workers")
axes.set(xlabel="step", ylabel="objective")
axes.legend()

# %%
# What goes on without the cluster
# --------------------------------
#
# Predictions for a collection are lazy; `to_local` is a plain estimator, which needs no Dask and goes on with
# `partial_fit`.

print(model.predict_proba(X))
client.close()
print(model.to_local().partial_fit(X_here[:100], y[:100]).predict(X_here[:3]))
