"""Alembic runs this file: the migrations go over the connection that `migrate.py` opened, in its transaction."""

from alembic import context

from tunewright.traffic.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
