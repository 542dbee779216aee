"""Pieces of a chat's frame inside a text: '<|im_start|>', '[INST]', '### Response:', 'ignore all previous instructions'.

Most tools turn '<|im_end|>' in a row's text into the real token: the turn ends there, in training as in service. (Tunewright's own
prompts keep it as plain text.) The phrases are in `text/data/control_tokens.tsv`.
"""

from __future__ import annotations

import polars as pl

from tunewright.audit.checks._spots import told
from tunewright.core.parts import Check, Look
from tunewright.text.phrases import phrases


class ControlTokens(Check):
    """Control tokens or role markers of chat templates, or orders to a model, inside the text."""

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return told(rows, phrases("control_tokens"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return measures.select("row_id", "field", "start", "end", "evidence", score=1.0, suggested_fix=pl.lit("remove it, or drop the row"))
