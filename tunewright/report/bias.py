"""The bias audit as the report shows it: what the checks of groups measured, kept below `cache/measures` of the run directory.

{"columns": [{"name": "domain", "groups": [{"name": "nyt", "rows": 5190, "errors": {"share": .52, "low": .51, ...}, ...}], ...}],
 "slices": [...], "tone": [{"field": "text", "bar": [("negative", 4700, "bad"), ...]}]}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tunewright.core.files import read_parquet
from tunewright.report.charts import Scale

CHECKS = ("group_representation", "label_skew", "tone_skew", "group_errors", "found_slices")
TONES = {"negative": "bad", "neutral": "other", "positive": "good"}
FEWEST = 30  # groups with fewer rows are shown, not judged
Json = dict[str, Any]


def bias(directory: Path, summary: Json | None) -> Json | None:
    """Tables of groups with intervals; None when nothing about groups was measured."""
    tables = {name: _measures(directory, name) for name in CHECKS}
    settings = {name: (summary or {}).get("checks", {}).get(name, {}).get("settings", {}) for name in CHECKS}
    sizes = tables["group_representation"]
    names = sizes["column"].unique(maintain_order=True).to_list() if len(sizes) else []
    columns = [_column(name, tables, settings) for name in names]
    slices = [_judged(line, settings["found_slices"], worse=True) for line in tables["found_slices"].to_dicts()]
    for line in slices:  # a slice of two conditions that is not surely worse than the slice of one of them says nothing new
        wider = [one["share"] for one in slices if one["differs"] and one is not line and one["group"] in line["group"].split(" and ")]
        line["differs"] = line["differs"] and all(line["low"] > share for share in wider)
    slices.sort(key=lambda line: (not line["differs"], -line["share"]))
    tone = _tone(tables["tone_skew"])
    if not (columns or slices or tone):
        return None
    ends = [line[key] for line in slices for key in ("low", "high")]
    found = {"columns": columns, "slices": slices, "tone": tone, "slice_scale": Scale.around([0.0, *ends], 5)}
    return {**found, "some": any(line["differs"] for line in slices)}


def _measures(directory: Path, name: str) -> pl.DataFrame:
    kept = sorted((directory / "cache" / "measures").glob(f"{name}-*.parquet"))
    return read_parquet(kept[0]) if kept else pl.DataFrame()


def _column(name: str, tables: dict[str, pl.DataFrame], settings: dict[str, Json]) -> Json:
    """One column's groups, the largest first, each with all that was measured of it."""
    of = {check: _lines(table, name) for check, table in tables.items()}
    groups = []
    for line in of["group_representation"]:
        mine = {check: [one for one in lines if one["group"] == line["group"]] for check, lines in of.items()}
        errors = [_judged(one, settings["group_errors"], worse=True) for one in mine["group_errors"]]
        labels = {one["kind"]: _judged(one, settings["label_skew"]) for one in mine["label_skew"]}
        tone = {one["kind"]: _judged(one, settings["tone_skew"]) for one in mine["tone_skew"] if one["field"] == "text"}
        groups.append({**line, "name": line["group"], "errors": errors[0] if errors else None, "labels": labels, "tone": tone})
    ends = [one["errors"][key] for one in groups if one["errors"] for key in ("low", "high")]
    kinds = list(dict.fromkeys(one["kind"] for one in of["label_skew"]))
    few = [one["name"] for one in groups if one["rows"] < FEWEST]
    return {"name": name, "groups": groups, "scale": Scale.around([0.0, *ends], 5) if ends else None, "labels": kinds, "few": few}


def _lines(table: pl.DataFrame, column: str) -> list[Json]:
    return table.filter(pl.col("column") == column).to_dicts() if len(table) else []


def _judged(line: Json, settings: Json, worse: bool = False) -> Json:
    """Whether a share differs from that of the other rows by what the check asks for; `worse` counts higher ones alone."""
    gap = None if line["rest"] is None else line["share"] - line["rest"]
    far = gap is not None and (gap if worse else abs(gap)) >= settings.get("difference", 0.1)
    sure = line["p"] is not None and line["p"] <= settings.get("p", 0.05)
    return {**line, "differs": far and sure, "gap": gap}


def _tone(table: pl.DataFrame) -> list[Json]:
    """The tone of all rows, as a bar."""
    if table.is_empty():
        return []
    everybody = table.filter(pl.col("column").str.starts_with("("))
    return [_bar(field, part.to_dicts()) for (field,), part in everybody.group_by("field", maintain_order=True)]


def _bar(field: object, lines: Sequence[Json]) -> Json:
    bar = [(one["kind"], round(one["share"] * one["rows"]), TONES[one["kind"]]) for one in lines]
    toned = {kind: rows for kind, rows, _ in bar}
    both = toned["negative"] + toned["positive"]
    return {"field": field, "bar": bar, "rows": lines[0]["rows"], "negative": toned["negative"] / both if both else None}
