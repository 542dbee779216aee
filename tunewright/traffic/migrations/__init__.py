"""Alembic's scripts: how an older traffic store becomes today's. Run by `tunewright.traffic.migrate`."""
