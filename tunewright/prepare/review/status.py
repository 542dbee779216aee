"""Where a review stands: how much is done, how long it took, whether reviewers agree, what the random rows show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from tunewright.prepare.review.agreement import Answers, agreement, confusion
from tunewright.prepare.review.calibrate import Stratum, precision
from tunewright.prepare.review.desk import Review
from tunewright.prepare.review.log import ABOUT_THE_ROW, Decision
from tunewright.prepare.review.outcome import Opinion, opinions, settle

DROPPED = "(drop)"


def status(review: Review) -> dict[str, Any]:
    """Counts, minutes, agreement, and what the random rows show, as plain values."""
    decisions = review.log.decisions()
    settled, differing = settle(decisions)
    queue = review.queue()
    about_rows = [one for one in decisions if one.action in ABOUT_THE_ROW]
    actions: dict[str, int] = {}
    for one in decisions:
        actions[one.action] = actions.get(one.action, 0) + 1
    timed = [one.seconds for one in decisions if one.seconds is not None]
    open_items = {(line["row_id"], line["question"]) for line in review.open_items()}
    return {
        "queued": len(queue),
        "open": len(open_items),
        "questions": int(queue["question"].is_not_null().sum()),
        "decisions": len(decisions),
        "rows": len({one.row_id for one in about_rows}),
        "actions": dict(sorted(actions.items())),
        "settled": len(settled),
        "to_change": sum(one.dropped or bool(one.changes) for one in settled.values()),
        "waiting": {row_id: {one.by: one.words() for one in said} for row_id, said in differing.items()},
        "reviewers": _people(decisions),
        "minutes": round(sum(timed) / 60, 2),
        "median_seconds": round(float(pl.Series(timed).median()), 1) if timed else None,  # type: ignore[arg-type]
        "random": _random(review, decisions),
        "agreement": agree(review)["coefficients"],
    }


def _people(decisions: Sequence[Decision]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for one in decisions:
        mine = found.setdefault(one.by, {"decisions": 0, "minutes": 0.0})
        mine["decisions"] += 1
        mine["minutes"] = round(mine["minutes"] + (one.seconds or 0) / 60, 3)
    return dict(sorted(found.items()))


def _random(review: Review, decisions: Sequence[Decision]) -> dict[str, Any] | None:
    """Of the uniformly random rows that were decided, how many had to be changed: an estimate for all rows that could be queued."""
    drawn = {one.row_id for one in decisions if one.stratum == "random"}
    settled, _ = settle([one for one in decisions if one.row_id in drawn])
    if not settled:
        return None
    wrong = sum(one.dropped or bool(one.changes) for one in settled.values())
    share = precision([Stratum("random", max(len(review.rows.frame), len(settled)), len(settled), wrong)])
    return {
        "rows": len(settled),
        "changed": wrong,
        "share": round(share.value, 4),
        "low": round(share.low, 4),
        "high": round(share.high, 4),
    }


def agree(review: Review, order: Sequence[str] | None = None) -> dict[str, Any]:
    """How far reviewers agree: on labels (on what to do, for rows without labels), and on each check they were asked about.

    `order` ranks the labels and makes alpha ordinal. Adjudications are no opinions and are left out.
    """
    decisions = [one for one in review.log.decisions() if not one.final]
    said = {row_id: people for row_id, people in opinions(decisions).items() if len(people) > 1}
    people = sorted({one.by for opinion in said.values() for one in opinion})
    current = dict(review.rows.frame.select("row_id", "label").iter_rows()) if review.rows.labels else {}
    answers: Answers = [_line({one.by: _answer(one, current.get(row_id)) for one in opinion}, people) for row_id, opinion in said.items()]
    if order is not None:
        order = [*order, *([DROPPED] if any(DROPPED in line for line in answers) else [])]
    found = agreement(answers, people, "ordinal" if order else "nominal", order) if answers else []
    pairs = [(first, second) for first in range(len(people)) for second in range(first + 1, len(people))]
    return {
        "about": "labels" if review.rows.labels else "actions",
        "coefficients": [_plain(asdict(one)) for one in found],
        "confusion": {f"{people[first]} / {people[second]}": confusion(answers, first, second) for first, second in pairs},
        "checks": _checks(decisions),
    }


def _checks(decisions: Sequence[Decision]) -> dict[str, list[dict[str, Any]]]:
    """Agreement of the answers to the questions about each check."""
    votes: dict[str, dict[str, dict[str, str]]] = {}
    for one in decisions:
        if one.check and one.holds is not None:
            votes.setdefault(one.check, {}).setdefault(one.row_id, {})[one.by] = "yes" if one.holds else "no"
    found = {}
    for check, by_row in sorted(votes.items()):
        people = sorted({by for given in by_row.values() for by in given})
        lines = [_line(given, people) for given in by_row.values() if len(given) > 1]
        if lines:
            found[check] = [_plain(asdict(one)) for one in agreement(lines, people)]
    return found


def _line(given: dict[str, str], people: Sequence[str]) -> list[str | None]:
    return [given.get(by) for by in people]


def _answer(one: Opinion, label: str | None) -> str:
    if one.dropped:
        return DROPPED
    if label is not None:
        return str(one.changes["label"].value) if "label" in one.changes else label
    return "edit" if one.changes else "accept"


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """NaN as None, because JSON has no NaN."""
    return {key: (None if math.isnan(value) else round(value, 4)) if isinstance(value, float) else value for key, value in one.items()}


def words(document: dict[str, Any]) -> list[str]:
    """`status` as lines for a terminal."""
    actions = ", ".join(f"{name} {count}" for name, count in document["actions"].items()) or "none yet"
    lines = [
        f"{document['queued']:,} in the queue, {document['open']:,} of them open",
        f"{document['decisions']:,} decisions ({actions}) about {document['rows']:,} rows in {document['minutes']:g} minutes",
        f"{document['settled']:,} rows settled, {document['to_change']:,} of them change; {len(document['waiting']):,} wait for adjudication",
    ]
    lines += [f"  {row_id}: " + "; ".join(f"{by} says {what}" for by, what in said.items()) for row_id, said in document["waiting"].items()]
    lines += [f"{by}: {one['decisions']:g} decisions, {one['minutes']:.1f} minutes" for by, one in document["reviewers"].items()]
    if (random := document["random"]) is not None:
        shares = f"{random['share']:.0%} (95% interval {random['low']:.0%} to {random['high']:.0%})"
        lines.append(f"of {random['rows']} random rows {random['changed']} had to be changed: {shares} of all rows that can be reviewed")
    return lines + coefficients(document["agreement"])


def coefficients(found: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each coefficient of agreement."""
    lines = []
    for one in found:
        value = "not defined" if one["value"] is None else f"{one['value']:.2f}"
        lines.append(
            f"{one['name'].replace('_', ' ')} of {', '.join(one['raters'])}: {value} ({one['low']:.2f} to {one['high']:.2f}; {one['units']} rows)"
        )
    return lines
