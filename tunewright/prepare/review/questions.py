"""Calibration of checks within a review: questions into the queue, answers out of the log.

A question shows the row but not what the check said about it: people who know that a row was flagged find something. So
by default only checks are asked about whose rows can be judged by themselves; those that compare rows (duplicates, leakage) have to be
named, and then the other row is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tunewright.core.errors import DataError, RunError
from tunewright.core.files import read_parquet, write_json, write_parquet
from tunewright.core.settings import did_you_mean
from tunewright.prepare.review.calibrate import calibration, draw, judged
from tunewright.prepare.review.desk import Review
from tunewright.prepare.review.gain import reading_seconds
from tunewright.prepare.review.log import now


def draw_questions(review: Review, size: int = 100, checks: Sequence[str] = (), seed: int = 0) -> pl.DataFrame:
    """Draw `size` rows for each of `checks` (default: all that flag rows which can be judged alone) and queue the questions."""
    found = review.rows.findings
    flagging = found.group_by("check").agg(pl.col("related_row_id").is_not_null().any().alias("compares")).sort("check")
    known = flagging["check"].to_list()
    for name in checks:
        if name not in known:
            raise DataError(f"check {name!r} flags no reviewable row, so its precision cannot be measured.{did_you_mean(name, known)}")
    chosen = list(checks) or flagging.filter(~pl.col("compares"))["check"].to_list()
    if not chosen:
        raise RunError(f"no check flags a row of {review.run.directory} that can be judged alone. Name one: --checks NAME.")
    sample = draw(review.rows.frame, found, chosen, size, seed)
    path = review.run.path("review", "sample.parquet")
    before = read_parquet(path).filter(~pl.col("check").is_in(chosen)) if path.exists() else sample.clear()
    write_parquet(path, pl.concat([before, sample]))
    seconds = review.rows.frame.select("row_id").with_columns(reading_seconds(review.rows.frame))
    about = {name: f"{review.rows.about.get(name, name)} [{name}]: is that so?" for name in chosen}
    nothing: dict[str, Any] = dict.fromkeys(("position", "uncertainty", "influence", "gain"))
    return review.ask(
        sample.join(seconds, on="row_id", maintain_order="left")
        .sort(pl.col("row_id").hash(seed=seed + 1), "row_id", "check")
        .with_columns(
            question=pl.col("check").replace_strict(about, return_dtype=pl.String),
            stratum=pl.format("calibration:{}:{}", "check", "stratum"),
            wanted=pl.lit(1),
            **{name: pl.lit(value) for name, value in nothing.items()},
        )
    )


def measure(review: Review, wanted: float = 0.9) -> dict[str, Any]:
    """Estimate precision and recall of each sampled check from what was judged so far; write `calibration.json`."""
    if not 0 < wanted <= 1:
        raise DataError(f"a precision is above 0 and at most 1, but got {wanted:g}.")
    path = review.run.path("review", "sample.parquet")
    if not path.exists():
        raise RunError(
            f"{path} is missing: no calibration was drawn yet. `tunewright review {review.run.directory} calibrate --sample 100` draws one."
        )
    strata, disputed = judged(read_parquet(path), review.log.decisions())
    checks = {name: calibration(parts, wanted) | {"disputed": disputed[name]} for name, parts in strata.items()}
    document = {"at": now(), "wanted_precision": wanted, "checks": checks}
    write_json(review.run.path("review", "calibration.json"), document)
    return document


def words(document: dict[str, Any]) -> list[str]:
    """The calibration as lines for a terminal."""
    lines = []
    for name, one in document["checks"].items():
        flagged, others = (
            sum(part["judged"] for part in one["strata"] if (part["stratum"] == "unflagged") == is_rest) for is_rest in (False, True)
        )
        lines.append(
            f"{name}: {one['flagged']:,} rows flagged, {flagged} of them judged; {one['unflagged']:,} not flagged, {others} judged"
        )
        if one["disputed"]:
            lines.append(f"  {one['disputed']} rows left out: their reviewers differ")
        if not one["judged"]:
            continue
        lines.append(f"  precision {_share(one['precision'])}, recall {_share(one['recall'])}")
        lines.append("  score from     rows   precision               recall")
        for line in one["thresholds"]:
            score = "-" if line["score_from"] is None else f"{line['score_from']:.4g}"
            lines.append(f"  {score:>10}  {line['rows']:>7,}   {_share(line['precision']):<22}  {_share(line['recall'])}")
        lines.append(f"  {_advice(one['suggested'], one['wanted_precision'])}")
    return lines


def _share(one: dict[str, Any]) -> str:
    value = "unknown" if one["value"] is None else f"{one['value']:.0%}"
    return f"{value} ({one['low']:.0%} to {one['high']:.0%})"


def _advice(suggested: dict[str, Any] | None, wanted: float) -> str:
    if suggested is None:
        return f"no threshold reaches a precision of {wanted:.0%} in this sample"
    proven = "shown" if suggested["shown"] else f"not shown yet: it may be as low as {suggested['precision']['low']:.0%}"
    score = "every score" if suggested["score_from"] is None else f"scores from {suggested['score_from']:.4g}"
    return f"for a precision of {wanted:.0%} take {score} ({proven})"
