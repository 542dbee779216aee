"""What is kept of a text: as it is, without personal data, only its hash, or nothing (`serve.traffic.keep`).

    text      "mail jo@firm.example"   hash 5f0a...
    redacted  "mail <EMAIL>"           hash 5f0a...
    hash      -                        hash 5f0a...
    nothing   -                        hash under a key that dies with the process: finds repeats today, tells nobody anything tomorrow

Labels are kept in any case: they are one of the release's own words. Runs in the writer's thread, never in a request's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

import orjson
import polars as pl

from tunewright.traffic.record import Exchange, Feedback

Keep = Literal["text", "redacted", "hash", "nothing"]
Row = dict[str, Any]
FREE_TEXT = ("answer", "note")  # kinds of feedback whose words are anybody's own; a thumb or a label is not


class Keeper:
    """Turns exchanges and feedback into rows, with what may be kept of their texts."""

    def __init__(self, keep: Keep) -> None:
        self.keep = keep
        self._key = os.urandom(32) if keep == "nothing" else b""
        self.texts(["warm@up.example"])  # loads the patterns now, and fails now when their library is missing

    def requests(self, exchanges: Sequence[Exchange]) -> list[Row]:
        """Rows of the table `requests`."""
        fields = [text for one in exchanges for text in (one.prompt, one.answer, one.error)]
        kept = iter(self.texts(fields))
        rows = []
        for one in exchanges:
            prompt, answer, error = next(kept), next(kept), next(kept)
            told = {name: getattr(one, name) for name in _PLAIN}
            texts = {"prompt": prompt, "answer": answer, "error": error, "prompt_hash": self.hash(one.prompt), "label": _clean(one.label)}
            chances = one.probabilities
            rows.append(
                {
                    **told,
                    **texts,
                    "probabilities": _json(chances),
                    "confidence": max(chances.values(), default=None),
                    "extra": _json(one.extra),
                }
            )
        return rows

    def feedback(self, given: Sequence[Feedback]) -> list[Row]:
        """Rows of the table `feedback`."""
        values = iter(self.texts([one.value for one in given if one.kind in FREE_TEXT]))
        notes = iter(self.texts([one.note for one in given]))
        rows = []
        for one in given:
            note = next(notes)
            value = (next(values) or "") if one.kind in FREE_TEXT else _clean(one.value)
            fields = {"request_id": one.request_id, "kind": one.kind, "time": one.time, "by": one.by, "event_time": one.event_time}
            approval: Row = {"approved": one.approved, "approved_by": one.by if one.approved else None}
            approval["approved_at"] = one.time if one.approved else None
            rows.append({"mark": mark(one), **fields, "value": value, "sampled": one.sampled, **approval, "note": note})
        return rows

    def texts(self, given: Sequence[str | None]) -> list[str | None]:
        """What is kept of each text."""
        if self.keep == "text":
            return [_clean(one) for one in given]
        if self.keep != "redacted":
            return [None] * len(given)
        from tunewright.text.pii import redact

        distinct = list({one: _clean(one) for one in given if one}.items())
        if not distinct:
            return list(given)
        redacted = redact(pl.Series([text for _, text in distinct], dtype=pl.String))["text"].to_list()
        known: dict[str | None, str | None] = {original: text for (original, _), text in zip(distinct, redacted, strict=True)}
        return [known.get(one, one) for one in given]

    def hash(self, text: str | None) -> str | None:
        """The same sixteen hex digits for the same text."""
        if text is None:
            return None
        return blake2b(text.encode("utf-8", "replace"), digest_size=8, key=self._key).hexdigest()


_PLAIN = (
    *("id", "time", "endpoint", "model", "version", "release", "base", "side", "status", "prompt_tokens", "completion_tokens"),
    *(
        "cached_tokens",
        "seconds",
        "queue_seconds",
        "first_token_seconds",
        "finish",
        "mean_logprob",
        "format_ok",
        "key",
        "caller",
        "shadow_of",
    ),
)


def mark(one: Feedback) -> str:
    """What makes two pieces of feedback the same, so that a file imported twice counts once."""
    moment = (one.event_time or one.time).isoformat()
    return blake2b(
        "\x1f".join([one.request_id, one.kind, one.value, one.by, moment]).encode("utf-8", "replace"), digest_size=16
    ).hexdigest()


def plain(row: Row) -> Row:
    """A row as JSON can hold it (for spill files)."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _clean(text: str | None) -> str | None:
    """Text that any database takes: PostgreSQL refuses NUL, and UTF-8 has no lone surrogates."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _json(value: dict[str, Any]) -> str | None:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode() if value else None
