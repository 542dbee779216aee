"""Requests as the traffic store holds them, and reference rows, in the same columns, so that only drift can tell them apart.

What a chat wraps around a text (the instruction that the release was trained with) is taken off; what the store does to texts
(`serve.traffic.keep: redacted`) is done to the reference too. A chat's answer that is a label counts as that label. Rows belong together by
the groups of the reference (`data.groups`), requests by their caller, unless it sent so many that it must speak for many (a gateway, one key for all).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tunewright.monitor.reference import Reference

COLUMNS: dict[str, Any] = {
    "id": pl.String,
    "text": pl.String,
    "answer": pl.String,
    "label": pl.String,
    "truth": pl.String,
    "confidence": pl.Float64,
    "endpoint": pl.String,
    "status": pl.Int64,
    "seconds": pl.Float64,
    "first_token_seconds": pl.Float64,
    "completion_tokens": pl.Int64,
    "format_ok": pl.Boolean,
    "group": pl.String,  # rows that belong together
}
CROWD = 0.05  # share of the window; who asks more often than that asks for many
OTHER = "(no label)"  # an answer that is none of the labels
RETRIED = (408, 429)  # refused for want of time or room: the service's failure, not the caller's


def from_traffic(exchanges: pl.DataFrame, reference: Reference) -> pl.DataFrame:
    """Requests in `COLUMNS`."""
    own = _lacking(exchanges.rename({old: new for old, new in (("prompt", "text"), ("caller", "group")) if old in exchanges.columns}))
    often = pl.len().over("group") > CROWD * len(own)
    own = own.with_columns(group=pl.when(often).then(None).otherwise("group"))
    own = own.with_columns(text=_unwrapped(pl.col("text"), str(reference.prompt.get("user", "{text}"))))
    said = pl.col("answer").str.strip_chars()
    known = pl.when(pl.col("label").is_in(reference.labels)).then(pl.col("label")).when(said.is_in(reference.labels)).then(said)
    answered = pl.col("label").is_not_null() | pl.col("answer").is_not_null()
    return own.with_columns(label=known.when(answered).then(pl.lit(OTHER)).otherwise(None))


def from_reference(reference: Reference) -> pl.DataFrame:
    """Reference rows in `COLUMNS`, as the store would have kept them."""
    rows = reference.rows
    if reference.traffic.keep == "redacted":
        from tunewright.text.pii import redact

        rows = rows.with_columns(redact(rows["text"])["text"].alias("text"))
    return _lacking(rows.with_columns(status=pl.lit(200), endpoint=pl.lit("reference"), format_ok=pl.lit(True)))


def failed() -> pl.Expr:
    """Whether a request failed by the service's fault: 5xx, or refused for want of time or room. Other 4xx are the caller's."""
    return (pl.col("status") >= 500) | pl.col("status").is_in(RETRIED)


def _lacking(rows: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in rows.columns]
    return rows.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


def _unwrapped(text: pl.Expr, template: str) -> pl.Expr:
    """The text inside the release's own prompt; anything else stays as it is."""
    before, _, after = template.partition("{text}")
    wrapped = text.str.starts_with(before) & text.str.ends_with(after)
    return pl.when(wrapped).then(text.str.strip_prefix(before).str.strip_suffix(after)).otherwise(text)
