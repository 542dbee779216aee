"""Routes: one file a group of paths."""
