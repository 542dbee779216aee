"""Which weights learn: one file a technique."""
