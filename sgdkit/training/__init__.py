"""Training: `loop.py` runs the epochs, on a `Problem`, with a `Trainer`, along a `Course` for each model."""
