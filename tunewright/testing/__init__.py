"""Kits for tests: tiny real models (`tiny`) and the contracts that every part must keep."""
