"""What a web page leaves behind when its text is copied: entities (&amp;) and tags (<br />)."""

from __future__ import annotations

import re

import polars as pl

from tunewright.core.parts import Check, Look
from tunewright.text.repair import ENTITY, TAG, contains, unescape


class HtmlRemnants(Check):
    """HTML entities or tags left in the text. The score is the share of the text that they take."""

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        found = []
        pattern, tag = re.compile(f"{TAG}|{ENTITY}"), re.compile(TAG)
        suspicious = rows.filter(contains(rows["text"], "<", TAG) | contains(rows["text"], "&", ENTITY))
        for row_id, text in suspicious.select("row_id", "text").iter_rows():
            matches = [one for one in pattern.finditer(text) if one[0][0] == "<" or unescape(one[0]) != one[0]]
            if not matches:
                continue
            start, end = matches[0].span()
            shown = f"{text[max(0, start - 30) : end + 30]} ({len(matches)} in this row)"
            fix = "repair_text with html_tags" if tag.search(text) else "repair_text"
            found.append((row_id, shown, start, end, sum(len(one[0]) for one in matches) / len(text), fix))
        return pl.DataFrame(found, schema=["row_id", "evidence", "start", "end", "score", "suggested_fix"], orient="row")
