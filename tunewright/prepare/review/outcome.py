"""What the decisions come to. Reviewers who say the same are heard; where they differ nothing happens until somebody adjudicates.

row_id r3f09... | action relabel | field label | value negative | by "anna, ben" | at 2026-11-22T10:03:11 | previous positive
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from tunewright.core.run import Run
from tunewright.prepare.review.log import ABOUT_THE_ROW, Decision, Log

RESOLVED_SCHEMA: dict[str, pl.DataType] = {
    "row_id": pl.String(),
    "action": pl.String(),
    "field": pl.String(),
    "value": pl.String(),
    "by": pl.String(),
    "at": pl.String(),
    "previous": pl.String(),
}


@dataclass(frozen=True)
class Opinion:
    """What one person wants for one row: `changes` holds field -> decision; both empty means the row is fine as it is."""

    by: str
    at: str
    dropped: bool
    changes: dict[str, Decision]

    @property
    def wanted(self) -> tuple[bool, frozenset[tuple[str, str | None]]]:
        """What two opinions must share to be the same."""
        return self.dropped, frozenset((name, one.value) for name, one in self.changes.items())

    def words(self) -> str:
        """'relabel to negative', 'drop', 'accept', ..."""
        if self.dropped:
            return "drop"
        said = [f"relabel to {one.value}" if name == "label" else f"edit the {name}" for name, one in sorted(self.changes.items())]
        return " and ".join(said) or "accept"


def opinions(decisions: list[Decision]) -> dict[str, list[Opinion]]:
    """For each row what each reviewer wants. Decisions of one person add up: an edit and a relabelling both count, while accept
    and drop replace what the person said before. Skips and judgements of checks say nothing about the row."""
    by_row: dict[str, dict[str, Opinion]] = defaultdict(dict)
    for one in decisions:
        if one.action not in ABOUT_THE_ROW:
            continue
        before = by_row[one.row_id].get(one.by)
        kept = before.changes if before is not None and not before.dropped else {}
        if one.action in ("accept", "drop"):
            kept = {}
        elif one.field is not None:
            kept = {**kept, one.field: one}
        by_row[one.row_id][one.by] = Opinion(one.by, one.at, one.action == "drop", kept)
    return {row_id: list(people.values()) for row_id, people in by_row.items()}


def settle(decisions: list[Decision]) -> tuple[dict[str, Opinion], dict[str, list[Opinion]]]:
    """(rows that are settled, rows whose reviewers differ). An adjudication settles a row whatever was said before or is said after."""
    final = opinions([one for one in decisions if one.final])
    settled, differing = {}, {}
    for row_id, said in opinions(decisions).items():
        if row_id in final:
            last = max(final[row_id], key=lambda one: one.at)
            settled[row_id] = Opinion(f"{last.by} (adjudicated)", last.at, last.dropped, last.changes)
        elif len({one.wanted for one in said}) == 1:
            names = ", ".join(sorted(one.by for one in said))
            settled[row_id] = Opinion(names, max(one.at for one in said), said[0].dropped, said[0].changes)
        else:
            differing[row_id] = said
    return settled, differing


def resolved(run: Run) -> pl.DataFrame:
    """One line for each change to make: `row_id, action, field, value, by, at, previous` (what the reviewers saw in the field).

    `action` is accept, relabel, edit or drop; a row that is both edited and relabelled has two lines. Rows whose reviewers differ
    are not here (see `conflicts`). Empty when nobody has reviewed.
    """
    settled, _ = settle(Log(run.path("review", "log.jsonl")).decisions())
    lines: list[tuple[str | None, ...]] = []
    for row_id, one in settled.items():
        if one.dropped or not one.changes:
            lines.append((row_id, "drop" if one.dropped else "accept", None, None, one.by, one.at, None))
        for name, change in sorted(one.changes.items()):
            lines.append((row_id, change.action, name, change.value, one.by, one.at, change.previous))
    return pl.DataFrame(lines, schema=RESOLVED_SCHEMA, orient="row")


def conflicts(run: Run) -> pl.DataFrame:
    """`row_id, reviewers, opinions` of rows whose reviewers differ and that nobody has adjudicated."""
    _, differing = settle(Log(run.path("review", "log.jsonl")).decisions())
    lines = [(row_id, [one.by for one in said], [one.words() for one in said]) for row_id, said in differing.items()]
    schema = {"row_id": pl.String(), "reviewers": pl.List(pl.String()), "opinions": pl.List(pl.String())}
    return pl.DataFrame(lines, schema=schema, orient="row")
