"""The checks: one file each. The first sentence of a check's docstring says what its rows have, and is printed with their number."""
