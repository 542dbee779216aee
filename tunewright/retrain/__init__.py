"""Retrain: from new rows to a promoted version."""
