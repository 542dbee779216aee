"""The server's log: one line a request on stderr, and nothing in it that a caller could use to forge another line.

2026-11-27T10:15:02.123Z INFO chatcmpl-5f0c... POST /v1/chat/completions 200 0.412s 127.0.0.1 reviews@3 champion key=k-1a2b
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

LOG = logging.getLogger("tunewright.serve")
_ESCAPED = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]} | {0x2028: "\\u2028", 0x2029: "\\u2029"}
_ESCAPED |= {code: f"\\u{code:04x}" for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F]}  # right-to-left tricks
LONGEST = 4000


def one_line(text: object) -> str:
    """`text` with control characters spelled out, so that it stays one line and moves no cursor."""
    shown = str(text)
    shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}...({len(shown):,} characters)"
    return shown.translate(_ESCAPED)


def _without_the_start(record: logging.LogRecord) -> bool:
    """What makes the start fail is told by the command, in one sentence; uvicorn would add a traceback."""
    return record.module != "on"


class OneLine(logging.Formatter):
    """A time, a level and one line; the lines of a traceback are indented."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = f"{when} {record.levelname} {one_line(record.getMessage())}"
        if record.exc_info:
            line += "".join(f"\n    {one_line(one)}" for one in self.formatException(record.exc_info).splitlines())
        return line


def set_up() -> None:
    """Send the log of the server and of uvicorn to stderr, line by line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    for name, level in (("tunewright.serve", logging.INFO), ("uvicorn.error", logging.WARNING), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_without_the_start)
