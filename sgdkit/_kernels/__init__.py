"""The compiled core: one loop over rows. It knows neither scikit-learn nor the formulas of losses and optimizers."""
