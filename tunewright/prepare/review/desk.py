"""`Review`: everything that commands and pages do with the review of a run.

review = Review(Run("runs/demo"))
review.fill(n=50)                                        # the queue
item = review.next("anna")                               # a row with what the audit says about it
review.decide(item.row_id, "relabel", by="anna", value="negative", seconds=6.2)
review.undo("anna"); review.status(); review.resolved(); review.conflicts()
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import polars as pl

from tunewright.core.errors import DataError, RunError
from tunewright.core.files import read_json, read_parquet, write_json, write_parquet
from tunewright.core.run import Run
from tunewright.core.settings import did_you_mean
from tunewright.prepare.review import outcome
from tunewright.prepare.review.gain import Margins
from tunewright.prepare.review.log import ABOUT_THE_ROW, ACTIONS, Action, Decision, Log
from tunewright.prepare.review.queue import QUEUE_SCHEMA, build, number
from tunewright.prepare.review.rows import Rows

CLAIM_SECONDS = 600.0  # a row shown to one reviewer is shown to no other for so long
LONGEST_LOOK = 900.0  # a look that seems longer was a break
LONGEST_NAME = 80


@dataclass(frozen=True)
class Item:
    """A row to look at: its queue line, the row as the audit read it, findings about it (with the text of the row that each compares
    it with, as `related_text`), and how many items are left."""

    queued: dict[str, Any]
    row: dict[str, Any]
    findings: list[dict[str, Any]]
    labels: list[str]
    question: str | None
    left: int

    @property
    def row_id(self) -> str:
        return str(self.row["row_id"])


class Review:
    """The review of one run. Objects are cheap; any number of them, in any number of processes, may work at once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.log = Log(run.path("review", "log.jsonl"))
        self.rows = Rows(run)

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """`review/calibration.json`, or nothing before the first calibration."""
        path = self.run.path("review", "calibration.json")
        return dict(read_json(path)) if path.exists() else {}

    # ---- the queue

    def queue(self) -> pl.DataFrame:
        """The queue as it stands; empty before the first `fill` or calibration."""
        path = self.run.path("review", "queue.parquet")
        return read_parquet(path) if path.exists() else pl.DataFrame(schema=QUEUE_SCHEMA)

    def fill(self, n: int = 50, random: float = 0.2, overlap: float = 0.2, seed: int = 0, margins: Margins | None = None) -> pl.DataFrame:
        """Write a new queue of `n` rows that nobody has decided about. Open questions of a calibration stay, after them."""
        decided = list(outcome.opinions(self.log.decisions()))
        rows = self.rows.frame.filter(~pl.col("row_id").is_in(decided))
        with self.log.lock():
            asked = self.queue().filter(
                pl.col("question").is_not_null() & pl.col("position").is_in([one["position"] for one in self.open_items()])
            )
            fresh = build(rows, self.rows.findings, self._precision(), n, random, overlap, seed + len(decided), margins)
            return self._write(pl.concat([fresh, asked]))

    def ask(self, questions: pl.DataFrame) -> pl.DataFrame:
        """Put questions about checks (queue columns) before what is queued, in place of earlier ones about the same checks."""
        with self.log.lock():
            old = self.queue()
            again = pl.col("question").is_not_null() & pl.col("check").is_in(questions["check"].unique().to_list())
            return self._write(pl.concat([number(questions), old.filter(~again.fill_null(False))]))

    def _write(self, queue: pl.DataFrame) -> pl.DataFrame:
        numbered = number(queue)
        write_parquet(self.run.path("review", "queue.parquet"), numbered)
        return numbered

    def _precision(self) -> dict[str, list[tuple[float, float]]]:
        """Measured precision by lowest score, for calibrated checks."""
        measured = self.calibration.get("checks", {})
        return {
            name: [
                (-math.inf if one["score_from"] is None else one["score_from"], one["precision"])
                for one in entry["strata"]
                if one["precision"] is not None
            ]
            for name, entry in measured.items()
        }

    # ---- one row

    def next(self, by: str) -> Item | None:
        """The first item that `by` has not decided or skipped, that still wants a reviewer and that nobody else is looking at."""
        by = _name(by)
        with self.log.lock():
            open_items = self.open_items(by)
            claims = self._claims()
            free = [one for one in open_items if claims.get(_key(one), {}).get("by", by) == by]
            if not free:
                return None
            first = free[0]
            claims = {key: one for key, one in claims.items() if one["by"] != by} | {_key(first): {"by": by, "at": time.time()}}
            self._write_claims(claims)
        return self.show(first["row_id"], first, len(open_items))

    def show(self, row_id: str, queued: dict[str, Any] | None = None, left: int = 0) -> Item:
        """Any reviewable row with its findings."""
        row = self.rows.find(row_id)
        found = self.rows.findings.filter(pl.col("row_id") == row["row_id"]).sort("score", descending=True, nulls_last=True)
        if queued and queued["question"]:  # who knows that a row was flagged finds something; only what it is compared with is shown
            found = found.filter((pl.col("check") == queued["check"]) & pl.col("related_row_id").is_not_null())
        others = self.rows.frame.select(related_row_id="row_id", related_text="text")  # without the sealed test
        found = found.join(others, on="related_row_id", how="left", maintain_order="left")
        question = (queued or {}).get("question")
        return Item(queued or {}, row, found.to_dicts(), self.rows.labels, question, left)

    def open_items(self, by: str | None = None) -> list[dict[str, Any]]:
        """Queue lines that still want a reviewer, in order; with `by`, those that this person has not decided or skipped."""
        said: dict[tuple[str, str], set[str]] = {}
        passed: set[tuple[str, str]] = set()
        for one in self.log.decisions():
            about = (one.row_id, one.check if one.stratum and one.stratum.startswith("calibration:") and one.check else "")
            for answered in {about, (one.row_id, "")} if one.action in ABOUT_THE_ROW else {about}:
                if one.action != "skip":
                    said.setdefault(answered, set()).add(one.by)
                if one.by == by:
                    passed.add(answered)
        items = [(one, (one["row_id"], one["check"] if one["question"] else "")) for one in self.queue().to_dicts()]
        return [one for one, about in items if about not in passed and len(said.get(about, ())) < one["wanted"]]

    def _claims(self) -> dict[str, dict[str, Any]]:
        path = self.run.path("review", "claims.json")
        claims = read_json(path) if path.exists() else {}
        return {key: one for key, one in claims.items() if time.time() - one["at"] < CLAIM_SECONDS}

    def _write_claims(self, claims: dict[str, dict[str, Any]]) -> None:
        write_json(self.run.path("review", "claims.json"), claims)

    def decide(
        self,
        row_id: str,
        action: str,
        by: str,
        *,
        value: str | None = None,
        field: str | None = None,
        check: str | None = None,
        holds: bool | None = None,
        seconds: float | None = None,
        new_label: bool = False,
        final: bool = False,
        note: str | None = None,
        origin: str | None = None,
    ) -> Decision:
        """Write down one decision. Raises DataError for an unknown row, label, field or action, RunError for a row of the sealed test."""
        made = self.check_decision(
            row_id,
            action,
            by,
            value=value,
            field=field,
            check=check,
            holds=holds,
            seconds=seconds,
            new_label=new_label,
            final=final,
            note=note,
            origin=origin,
        )
        self.log.append([made])
        with self.log.lock():
            self._write_claims({key: one for key, one in self._claims().items() if one["by"] != made.by})
        return made

    def check_decision(self, row_id: str, action: str, by: str, *, new_label: bool = False, **given: Any) -> Decision:
        """The decision that `decide` would write."""
        by = _name(by)
        choices = [one for one in ACTIONS if one != "undo"]
        if action not in choices:
            raise DataError(f"action must be one of {', '.join(choices)}, but got {action!r}.{did_you_mean(action, choices)}")
        row = self.rows.find(row_id)
        field, value, previous = given.pop("field", None), given.pop("value", None), None
        if action == "relabel":
            field, value = "label", self.rows.known_label(value or "", new_label)
        elif action == "edit":
            field = self.rows.known_field(field)
            if not (value or "").strip():
                raise DataError(f"an edit needs the new {field}, but got nothing. To remove the row use --drop.")
        elif value is not None or field is not None:
            raise DataError(f"{action} takes no value and no field, but got {value if value is not None else field!r}.")
        if field is not None:
            previous = row[field]
            if value == previous:
                action, field, value, previous = "accept", None, None, None
        queued = self._queued(row["row_id"], given.get("check"))
        check = given.pop("check", None) or (queued or {}).get("check")
        if check is not None and check not in (known := sorted({*self.rows.about, *self.rows.findings["check"].unique()})):
            raise DataError(f"there is no check {check!r} in this run.{did_you_mean(check, known)}")
        holds = self._holds(action, field, check, given.pop("holds", None))
        said = given.pop("seconds", None)
        seconds = said if given.get("origin") else self._seconds(queued, by, said)
        stratum = (queued or {}).get("stratum")
        return Decision(
            row["row_id"],
            cast(Action, action),
            by,
            field=field,
            value=value,
            previous=previous,
            check=check,
            holds=holds,
            seconds=seconds,
            stratum=stratum,
            **given,
        )

    def _queued(self, row_id: str, check: str | None) -> dict[str, Any] | None:
        """The queue line that a decision answers: the question about `check`, else the line about the row itself."""
        lines = self.queue().filter(pl.col("row_id") == row_id).to_dicts()
        asked = [one for one in lines if one["question"] is not None and one["check"] == check]
        return next(iter(asked + [one for one in lines if one["question"] is None]), None)

    def _holds(self, action: str, field: str | None, check: str | None, said: bool | None) -> bool | None:
        """Whether `check` is right about the row: as said, else as the decision implies."""
        if action == "judge" and (check is None or said is None):
            raise DataError("judge says whether a check is right: give --check NAME and --holds yes or --holds no.")
        if said is not None and check is None:
            raise DataError("--holds says whether a check is right about the row: give --check NAME too.")
        if said is not None or check is None or action == "skip":
            return said
        if action in ("accept", "drop"):
            return action == "drop"
        concerns = self.rows.findings.filter(pl.col("check") == check)["field"].drop_nulls()
        return True if field in set(concerns) else None

    def _seconds(self, queued: dict[str, Any] | None, by: str, said: float | None) -> float | None:
        """Seconds spent: as said, else since the row was shown to this person."""
        if said is not None:
            if not (math.isfinite(said) and said >= 0):
                raise DataError(f"seconds must be 0 or more, but got {said}.")
            return round(said, 2)
        claim = self._claims().get(_key(queued), {}) if queued else {}
        since = time.time() - claim["at"] if claim.get("by") == by else math.inf
        return round(since, 2) if since < LONGEST_LOOK else None

    def undo(self, by: str) -> Decision:
        """Take back the last decision of `by`. Raises DataError when there is none."""
        taken = self.log.undo(_name(by))
        if taken is None:
            raise DataError(f"{by} has decided nothing that could be taken back.")
        return taken

    # ---- what it comes to

    def resolved(self) -> pl.DataFrame:
        return outcome.resolved(self.run)

    def conflicts(self) -> pl.DataFrame:
        return outcome.conflicts(self.run)

    def adjudicate(self, row_id: str, action: str, by: str, **given: Any) -> Decision:
        """Decide a row about which reviewers differ, once and for all. Only somebody who is not one of them may."""
        row = self.rows.find(row_id)
        _, differing = outcome.settle(self.log.decisions())
        if row["row_id"] not in differing:
            raise RunError(
                f"nobody differs about row {row['row_id']}. `tunewright review RUN status` lists the rows that wait for adjudication."
            )
        if by in (names := [one.by for one in differing[row["row_id"]]]):
            raise RunError(
                f"{by} is one of those who differ about row {row['row_id']} ({', '.join(names)}). Somebody else has to adjudicate."
            )
        if action not in ("accept", "relabel", "edit", "drop"):
            raise DataError(f"an adjudication is accept, relabel, edit or drop, but got {action!r}.")
        return self.decide(row["row_id"], action, by, final=True, **given)

    def adjudicate_by_majority(self, by: str) -> list[Decision]:
        """Settle each row on which more than half of its reviewers agree; the others still wait. `by` is who asked for it."""
        _, differing = outcome.settle(self.log.decisions())
        made: list[Decision] = []
        for row_id, said in differing.items():
            alike = max(([one for one in said if one.wanted == other.wanted] for other in said), key=len)
            if len(alike) * 2 <= len(said):
                continue
            note = f"majority: {len(alike)} of {len(said)}"
            changes = [
                (one.action, {"field": name if one.action == "edit" else None, "value": one.value})
                for name, one in alike[0].changes.items()
            ]
            for action, given in changes or [("drop" if alike[0].dropped else "accept", {})]:
                made.append(self.check_decision(row_id, action, by, new_label=True, final=True, note=note, **given))
        self.log.append(made)
        return made


def margins_of(run: Run, report: Any) -> Margins | None:
    """How sure the run's winner is of each row it is asked about, from 0 (two labels alike) to 1; None before a model is tuned."""
    if run.done("tune") is None:
        return None
    from tunewright.prepare.review.doubt import Winner

    return Winner(run, report).margins


def _key(queued: dict[str, Any]) -> str:
    return f"{queued['row_id']}:{queued['check'] if queued['question'] else ''}"


def _name(by: str) -> str:
    by = " ".join(by.split())
    if not 0 < len(by) <= LONGEST_NAME:
        raise DataError(f"a reviewer needs a name of 1 to {LONGEST_NAME} characters, but got {by!r}. Give --by NAME.")
    return by
