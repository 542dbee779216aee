"""How often a check is right, and how much it misses: precision and recall from a small stratified sample that people judge.

    sample   flagged rows in up to five strata of their score, and rows that the check does not flag     -> review/sample.parquet
    judge    is the check right about this row?                                                          -> review/log.jsonl
    estimate weighted by the strata's sizes, with 95% intervals, for every threshold of the score        -> review/calibration.json

A share over strata has Jeffreys' limits at the effective sample size (Korn & Graubard 1998; compared with six others by Franco et al.
2019, doi:10.1093/jssam/smy019); recall, a ratio of two such totals, gets its limits from theirs by variance estimates recovery (MOVER;
Donner & Zou 2012, doi:10.1177/0962280210383082). Recall rests on the unflagged rows: when they are many and few were judged its
interval is wide, and that is the truth about it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.optional import require
from tunewright.prepare.review.log import Decision

STRATA = 5
SMALLEST = 10  # flagged rows of a stratum, where there are so many
SAMPLE_SCHEMA: dict[str, pl.DataType] = {
    "check": pl.String(),
    "row_id": pl.String(),
    "stratum": pl.String(),
    "score": pl.Float64(),
    "score_from": pl.Float64(),
    "rows": pl.Int64(),
}


@dataclass(frozen=True)
class Stratum:
    """`rows` in all, of which `judged` were looked at and `right` had what the check looks for. `score_from` is the lowest score
    (None: no score); unflagged rows have `flagged` False."""

    name: str
    rows: int
    judged: int
    right: int
    flagged: bool = True
    score_from: float | None = None


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


# ---- the sample


def draw(rows: pl.DataFrame, findings: pl.DataFrame, checks: Sequence[str], size: int, seed: int = 0) -> pl.DataFrame:
    """For each check `size` rows to judge (columns of `SAMPLE_SCHEMA`), half of them flagged where there are enough.

    Rows come in an order fixed by their ids, so a larger sample holds a smaller one of the same findings, and rows that no
    check flags are drawn for all checks alike and need to be read once only.
    """
    if size < 10:
        raise DataError(f"a calibration needs at least 10 rows a check, but got {size}.")
    order = rows.select("row_id", __order=pl.col("row_id").hash(seed=seed))
    parts = [pl.DataFrame(schema=SAMPLE_SCHEMA)]
    for check in checks:
        flagged = findings.filter(pl.col("check") == check).group_by("row_id").agg(pl.col("score").max()).join(order, on="row_id")
        others = order.join(flagged, on="row_id", how="anti")
        cut = _strata(flagged)
        each = -(-min(max(size // 2, size - len(others)), len(flagged)) // max(1, cut["stratum"].n_unique()))
        some = cut.sort("__order", "row_id").group_by("stratum", maintain_order=True).head(each)
        rest = others.sort("__order", "row_id").head(max(0, size - len(some)))
        rest = rest.with_columns(stratum=pl.lit("unflagged"), rows=pl.lit(len(others)), score=None, score_from=None)
        for part in (some, rest):
            parts.append(part.with_columns(check=pl.lit(check)).select(pl.col(name).cast(kind) for name, kind in SAMPLE_SCHEMA.items()))
    return pl.concat(parts)


def _strata(flagged: pl.DataFrame) -> pl.DataFrame:
    """`flagged` with the stratum of its score (`stratum, score_from, rows`); equal scores are never parted."""
    wanted = max(1, min(STRATA, len(flagged) // SMALLEST))
    rank = (pl.col("score").fill_null(-math.inf).rank("min") - 1) * wanted // pl.len()
    lowest = pl.col("score").min().over("stratum")
    named = flagged.with_columns(stratum=pl.format("flagged {}", rank.cast(pl.Int64)))
    return named.with_columns(score_from=lowest, rows=pl.len().over("stratum"))


# ---- the judgements


def judged(sample: pl.DataFrame, decisions: Sequence[Decision]) -> tuple[dict[str, list[Stratum]], dict[str, int]]:
    """Strata with their counts for each check, and how many sampled rows the reviewers differ about (they count as not judged)."""
    said: dict[tuple[str, str], dict[str, bool]] = {}
    for one in decisions:
        if one.check and one.holds is not None and (one.stratum or "").startswith("calibration:"):
            votes = said.setdefault((one.row_id, one.check), {})
            votes[" final" if one.final else one.by] = one.holds
    found: dict[str, list[Stratum]] = {}
    disputed: dict[str, int] = {}
    for (check, name), part in sample.group_by("check", "stratum", maintain_order=True):
        verdicts = [_verdict(said.get((row_id, str(check)), {})) for row_id in part["row_id"].to_list()]
        settled = [one for one in verdicts if isinstance(one, bool)]
        disputed[str(check)] = disputed.get(str(check), 0) + verdicts.count("disputed")
        flagged = name != "unflagged"
        stratum = Stratum(str(name), part["rows"][0], len(settled), sum(settled), flagged, part["score_from"][0])
        found.setdefault(str(check), []).append(stratum)
    return found, disputed


def _verdict(votes: dict[str, bool]) -> bool | str | None:
    if not votes:
        return None
    if " final" in votes:
        return votes[" final"]
    yes = sum(votes.values())
    return "disputed" if 2 * yes == len(votes) else 2 * yes > len(votes)


# ---- the estimates


def total(strata: Sequence[Stratum]) -> Estimate:
    """How many rows of `strata` have what the check looks for. A stratum nobody judged is taken to be like the others.

    The design's variance (with the finite population correction, shares moved half a row towards the middle, so that ten of ten
    is not certainty) says how many independent rows the sample is worth; Jeffreys' limits for that many.
    """
    rows, looked = sum(one.rows for one in strata), [one for one in strata if one.judged]
    if not looked:
        return Estimate(math.nan if rows else 0.0, 0.0, float(rows))
    like = sum(one.rows * one.right / one.judged for one in looked) / sum(one.rows for one in looked)
    share = sum(one.rows * (one.right / one.judged if one.judged else like) for one in strata) / rows
    smooth = variance = 0.0
    for one in strata:
        moved = (one.right + 0.5) / (one.judged + 1)
        smooth += one.rows / rows * moved
        variance += (one.rows / rows) ** 2 * (1 - one.judged / one.rows) * moved * (1 - moved) / max(1, one.judged)
    if variance == 0:  # every row was judged
        return Estimate(share * rows, share * rows, share * rows)
    low, high = jeffreys(share, smooth * (1 - smooth) / variance)
    right, wrong = sum(one.right for one in strata), sum(one.judged - one.right for one in strata)
    return Estimate(share * rows, max(low * rows, right), min(high * rows, rows - wrong))


def jeffreys(share: float, trials: float) -> tuple[float, float]:
    """95% limits of a share seen in `trials` trials, which need not be a whole number (Brown, Cai & DasGupta 2001)."""
    quantile = require("scipy.special", "audit").betaincinv
    right, wrong = share * trials + 0.5, (1 - share) * trials + 0.5
    return float(quantile(right, wrong, 0.025)) if share > 0 else 0.0, float(quantile(right, wrong, 0.975)) if share < 1 else 1.0


def precision(strata: Sequence[Stratum]) -> Estimate:
    """Share of the rows in `strata` about which the check is right."""
    rows, found = sum(one.rows for one in strata), total(strata)
    return Estimate(found.value / rows, found.low / rows, found.high / rows)


def recall(found: Sequence[Stratum], missed: Sequence[Stratum]) -> Estimate:
    """Share of all rows with the fault that are in `found`: those r for which 0 lies between the MOVER limits of
    (1 - r) found - r missed. NaN with limits 0 and 1 when nobody judged, or no row with the fault was seen."""
    have, lack = total(found), total(missed)
    if math.isnan(have.value) or math.isnan(lack.value) or have.value + lack.value == 0:
        return Estimate(math.nan, 0.0, 1.0)
    r = np.linspace(0, 1, 2001)
    middle = (1 - r) * have.value - r * lack.value
    below = np.hypot((1 - r) * (have.value - have.low), r * (lack.high - lack.value))
    above = np.hypot((1 - r) * (have.high - have.value), r * (lack.value - lack.low))
    possible = r[(middle - below <= 1e-9) & (middle + above >= -1e-9)]
    return Estimate(have.value / (have.value + lack.value), float(possible.min()), float(possible.max()))


def calibration(strata: Sequence[Stratum], wanted: float) -> dict[str, Any]:
    """Precision, recall and the table of thresholds of one check, as they stand in `calibration.json`."""
    flagged = sorted((one for one in strata if one.flagged), key=lambda one: -math.inf if one.score_from is None else one.score_from)
    others = [one for one in strata if not one.flagged]
    table: list[dict[str, Any]] = []
    suggested = None
    for place, lowest in enumerate(flagged):
        exact, caught = precision(flagged[place:]), recall(flagged[place:], [*flagged[:place], *others])
        line = {"score_from": lowest.score_from, "rows": sum(one.rows for one in flagged[place:])}
        table.append(line | {"precision": _plain(exact), "recall": _plain(caught)})
        if suggested is None and exact.value >= wanted:
            suggested = table[-1] | {"shown": exact.low >= wanted}
    return {
        "flagged": sum(one.rows for one in flagged),
        "unflagged": sum(one.rows for one in others),
        "judged": sum(one.judged for one in strata),
        "precision": table[0]["precision"] if table else None,
        "recall": table[0]["recall"] if table else None,
        "strata": [
            {"stratum": one.name, "score_from": one.score_from, "rows": one.rows, "judged": one.judged, "right": one.right}
            | {"precision": round(one.right / one.judged, 4) if one.judged else None}
            for one in [*flagged, *others]
        ],
        "thresholds": table,
        "wanted_precision": wanted,
        "suggested": suggested,
    }


def _plain(one: Estimate) -> dict[str, float | None]:
    return {"value": None if math.isnan(one.value) else round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4)}
