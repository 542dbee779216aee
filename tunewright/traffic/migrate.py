"""Bring a store to today's schema, under a lock so that two processes may open it at once; rows are kept.

Versions are Alembic's: `migrations/versions/NNNN_what.py`, the newest is `HEAD`. A store that a newer Tunewright wrote is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock

from tunewright.core.errors import RunError
from tunewright.core.optional import require
from tunewright.traffic.place import Place

HEAD = "0002"
SCRIPTS = Path(__file__).with_name("migrations")
_LOCK = 7_289_110_243  # any number of our own, for PostgreSQL's advisory locks


def migrate(place: Place, engine: sa.Engine, to: str = HEAD) -> None:
    """Create or upgrade the tables. Raises `RunError` when the store is newer than this package."""
    if version(engine) == to:
        return
    with _alone(place, engine):
        found = version(engine)
        if found == to:
            return
        known = sorted(path.name[:4] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))
        if found is not None and found not in known:
            raise RunError(
                f"the traffic store {place.name} has schema {found}, but this tunewright knows up to {known[-1]}: it was written by a newer"
                " version. Upgrade tunewright, or give another store."
            )
        _upgrade(engine, to)


def version(engine: sa.Engine) -> str | None:
    """The schema's version in the store; None for an empty one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def _upgrade(engine: sa.Engine, to: str) -> None:
    config = require("alembic.config", "serve").Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        require("alembic.command", "serve").upgrade(config, to)


@contextmanager
def _alone(place: Place, engine: sa.Engine) -> Iterator[None]:
    """Keep other processes from migrating the same store."""
    file = place.file
    if file is not None:
        with FileLock(file.with_name(f"{file.name}.migrate.lock"), timeout=60):
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()
