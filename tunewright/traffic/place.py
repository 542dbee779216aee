"""Where a store is: its URL, with files taken relative to a folder, secrets from the environment and never shown.

sqlite:///traffic.db   postgresql://ann:${PGPASSWORD}@db.example.org/traffic
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from tunewright.core.errors import RunError
from tunewright.core.optional import require
from tunewright.core.urls import absolute, expanded, is_url, named, without

BUSY_SECONDS = 5.0  # how long SQLite waits for another process to finish writing


@dataclass(frozen=True)
class Place:
    """A database by URL. `name` can be shown: it has no credentials."""

    url: str
    name: str
    secrets: tuple[str, ...]

    @staticmethod
    def of(given: str, folder: Path) -> Place:
        """The place that `given` names: a URL, or the path of an SQLite file. Raises `RunError`."""
        text = given if is_url(given) else f"sqlite:///{given}"
        try:
            url, secrets = expanded(text)
        except KeyError as error:
            raise RunError(f"the traffic store {named(text)} needs the environment variable {error.args[0]}, which is not set.") from error
        scheme = url.split(":", 1)[0]
        if scheme == "postgres":
            url = url.replace("postgres:", "postgresql:", 1)
        elif scheme not in ("sqlite", "postgresql"):
            raise RunError(
                f"the traffic store must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE, but got {without(secrets, named(url))!r}."
            )
        return Place(absolute(url, folder), named(absolute(url, folder)), tuple(secrets))

    @property
    def file(self) -> Path | None:
        """The file of an SQLite store."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:") else None

    def engine(self, writes: bool = False) -> sa.Engine:
        """Connections to the place; `writes` keeps a single one for the writer thread."""
        file = self.file
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
            event.listen(engine, "connect", _wal)
            return engine
        require("psycopg", "postgres")
        url = self.url.replace("postgresql:", "postgresql+psycopg:", 1)
        options = {"connect_timeout": 5, "application_name": "tunewright", "options": "-c timezone=UTC"}
        return sa.create_engine(url, pool_size=1 if writes else 3, pool_pre_ping=True, pool_recycle=1800, connect_args=options)

    def hidden(self, text: object) -> str:
        """`text` (an error, say) without the place's secrets."""
        return without(list(self.secrets), str(text))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the database's errors into one that names the place and shows no secret."""
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            doubt = "Is the server up and the address right?" if self.file is None else "Is this the right file, and may it be written?"
            raise RunError(f"the traffic store {self.name} cannot be used: {self.reason(error)}. {doubt}") from None

    def reason(self, error: BaseException) -> str:
        """The first line of what the database said, without its SQL and without secrets."""
        said = getattr(error, "orig", None) or error
        lines = [line.strip() for line in str(said).splitlines() if line.strip()]
        return self.hidden(lines[0] if lines else type(said).__name__).rstrip(".")


def _wal(connection: Any, _: Any) -> None:
    """Write-ahead log: readers never wait for the writer. NORMAL: a killed process loses nothing; a power cut may cost what
    was written since the last checkpoint, never the database."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
