"""A real PostgreSQL on loopback for tests and benchmarks; its programs must be on PATH. It refuses to run as root, so as root it runs as nobody.

with postgres_server() as server:
    server.url         postgresql://ann:s3cret%2Fpass@127.0.0.1:41233/postgres
    server.stop(); server.start()
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSWORD = "s3cret/pass"  # noqa: S105 - a slash, so that URLs must quote it


@dataclass
class Server:
    """One server in `folder`, listening on `port`."""

    folder: Path
    port: int
    become: dict[str, Any]
    options: list[str]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"postgresql://ann:s3cret%2Fpass@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        settings = [part for one in ("listen_addresses=127.0.0.1", *self.options) for part in ("-c", one)]
        serve = ["postgres", "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(serve, stdout=log, stderr=log, cwd=self.folder, **self.become)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-500:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # fast shutdown: sessions are ended
            self.process.wait(30)
            self.process = None


@contextmanager
def postgres_server(*options: str) -> Iterator[Server]:
    """A new server; `options` such as "fsync=off". Everything of it is gone afterwards."""
    root = os.getuid() == 0
    nobody = pwd.getpwnam("nobody")
    become: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if root else {}
    folder = Path(tempfile.mkdtemp(prefix="tunewright-postgres-", dir="/tmp"))
    if root:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    server = Server(folder, _free_port(), become, list(options))
    try:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        make = ["initdb", "-D", str(folder / "data"), "-U", "ann", "-A", "scram-sha-256", f"--pwfile={folder}/password", "--no-sync"]
        subprocess.run([*make, "-E", "UTF8"], check=True, capture_output=True, cwd=folder, **become)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
