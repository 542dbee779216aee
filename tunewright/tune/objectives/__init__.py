"""What the weights learn: one file an objective."""
