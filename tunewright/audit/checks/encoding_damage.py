"""Mojibake: bytes decoded with the wrong table ('itâ€™s'), and U+FFFD where a character was lost for good."""

from __future__ import annotations

import polars as pl

from tunewright.core.parts import Check, Look
from tunewright.text.repair import LOST, changed_part, decode_again, looks_broken


class EncodingDamage(Check):
    """Characters broken by a wrong encoding, such as 'itâ€™s'."""

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = []
        suspicious = rows.filter(looks_broken(rows["text"]) | rows["text"].str.contains(LOST, literal=True))
        for row_id, text in suspicious.select("row_id", "text").iter_rows():
            fixed, steps = decode_again(text)
            if fixed != text:
                start, end, shown = changed_part(text, fixed)
                found.append((row_id, f"{shown} ({', '.join(steps)})", start, end, "repair_text"))
            elif LOST in text:
                at = text.index(LOST)
                shown = f"{text[max(0, at - 30) : at + 30]} ({text.count(LOST)} characters lost)"
                found.append((row_id, shown, at, at + 1, "review"))
        return pl.DataFrame(found, schema=["row_id", "evidence", "start", "end", "suggested_fix"], orient="row")
