"""What "auto" stands for, one file a choice: `optimizer`, `scaling`, `alpha` (strength) and `eta0` (rate)."""
