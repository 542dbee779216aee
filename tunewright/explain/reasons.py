"""The words that decide most often, over all rows that were explained."""

from __future__ import annotations

from typing import Any

from tunewright.models.occlusion import LITTLE, bare


def deciding_words(rows: list[dict[str, Any]], most: int = 8) -> list[dict[str, Any]]:
    """The words with the largest summed weight for one answer, with their mean weight and number of rows."""
    seen: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        own: dict[str, float] = {}
        for word, weight in zip(row["words"], row["weights"], strict=True):
            own[bare(word).casefold()] = own.get(bare(word).casefold(), 0.0) + weight
        for word, weight in own.items():
            seen.setdefault((word, row["predicted"]), {})[row["row_id"]] = weight
    ranked = sorted(seen.items(), key=lambda item: -sum(item[1].values()))
    return [
        {"word": word, "label": label, "weight": sum(found.values()) / len(found), "rows": len(found)}
        for (word, label), found in ranked[:most]
        if sum(found.values()) > LITTLE
    ]
