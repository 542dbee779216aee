"""Serve: the endpoint."""
