"""
Rows that keep coming
=====================

Some data are never there as a whole: they come in chunks, and a model is to be of use from the first chunk on. This
example trains with `partial_fit`, scores each chunk before it is learnt, and then lets the world change, to show which
optimizers follow.
"""

# %%
# Chunks
# ------
#
# Images of digits, fifty at a time, over and over in new orders. Each chunk is predicted first and learnt then, so
# the accuracy is that of images that the model has not seen just before. Halfway the camera is turned by a quarter,
# and all pixels mean something else.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sgdkit import SGDClassifierPlus
from sgdkit.optimizers import Adam

images, y = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8)
CHUNK, N_CHUNKS, TURN = 50, 200, 100


def chunks():
    """Chunks of images and labels; from the turn on, the images are turned too."""
    rng = np.random.default_rng(0)
    for number in range(N_CHUNKS):
        rows = rng.choice(len(y), CHUNK, replace=False)
        seen = images[rows] if number < TURN else np.rot90(images[rows], axes=(1, 2))
        yield seen.reshape(CHUNK, -1), y[rows]


# %%
# Four models
# -----------
#
# AdaGrad's steps become shorter with all gradients that it has met, which is right for a world that stays as it is.
# Adam's rate falls only as its schedule says; a constant one keeps the model as nimble on the last day as on the first,
# at the price of some noise. The last model learns no more once the camera is turned.

MODELS = {
    "adagrad": SGDClassifierPlus(optimizer="adagrad", random_state=0),
    "sgd": SGDClassifierPlus(optimizer="sgd", random_state=0),
    "adam, constant rate": SGDClassifierPlus(
        optimizer=Adam(), learning_rate="constant", eta0=0.01, random_state=0
    ),
    "never again": SGDClassifierPlus(optimizer="adagrad", random_state=0),
}
accuracies = {name: [] for name in MODELS}
for number, (X, labels) in enumerate(chunks()):
    for name, model in MODELS.items():
        if number:
            accuracies[name].append(model.score(X, labels))
        if name != "never again" or number < TURN:
            model.partial_fit(X, labels, classes=range(10))

# %%
# The picture
# -----------
#
# Means of ten chunks. Who learns no more is lost after the turn. All others recover; AdaGrad, whose steps have become
# short by then, is the last to be where it was.

figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
for name, values in accuracies.items():
    mean = np.convolve(values, np.ones(10) / 10, mode="valid")
    axes.plot(np.arange(len(mean)) + 10, mean, label=name)
    before, after = np.mean(values[TURN - 20 : TURN - 1]), np.mean(values[-20:])
    dip = np.mean(values[TURN : TURN + 20])
    print(f"{name:<28} before the turn {before:.3f}, just after {dip:.3f}, at the end {after:.3f}")
axes.axvline(TURN, color="0.5", linewidth=1, linestyle=":")
axes.set(xlabel="chunk", ylabel="accuracy before it is learnt", ylim=(0, 1))
axes.legend(frameon=False, loc="lower left")
axes.spines[["top", "right"]].set_visible(False)
plt.show()
