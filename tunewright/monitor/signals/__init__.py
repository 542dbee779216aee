"""Signals: one file each."""
