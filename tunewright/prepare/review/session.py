"""Review in a terminal: a row at a time, one key a decision, each timed.

[3 of 50 left]  r3f09a2b...  reviews.csv line 212   label: positive
  Broke after two days. Great, just great.
  label_noise: labelled positive, looks negative (88% against 9%)
a accept   1 negative   2 neutral   3 positive   e edit   d drop   s skip   u undo   q quit >
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tunewright.core.errors import TunewrightError
from tunewright.prepare.review.desk import Item, Review

LONGEST_TEXT = 4_000
Ask = Callable[[str], str]
Say = Callable[[str], None]


def describe(item: Item) -> list[str]:
    """A row and what is known about it, as lines. Control characters, which could move a terminal's cursor, are shown as blanks."""
    row = item.row
    given = f"   label: {row['label']}" if row.get("label") is not None else ""
    lines = [f"{row['row_id']}  {row['source']} line {row['line']}{given}"]
    for name in ("text", "answer", "rejected"):
        if row.get(name) is not None:
            text = str(row[name])
            cut = f" ... ({len(text):,} characters)" if len(text) > LONGEST_TEXT else ""
            lines += ([] if name == "text" else [f"  {name}:"]) + [f"  {line}" for line in (text[:LONGEST_TEXT] + cut).splitlines() or [""]]
    for one in item.findings:
        score = "" if one["score"] is None else f" [{one['score']:.2f}]"
        lines.append(f"  {one['check']}{score}: {one['evidence'] or ''}")
        if one["related_text"]:
            lines.append(f"    the other row: {one['related_text'][:500]}")
    if item.queued.get("gain") is not None:
        factors = "gain {gain:.3f} = uncertainty {uncertainty:.2f} x influence {influence:.1f} / {seconds:.0f} s".format(**item.queued)
        lines.append(f"  ({item.queued['stratum']}; {factors})")
    return ["".join(letter if letter.isprintable() else " " for letter in line) for line in lines]


def session(review: Review, by: str, ask: Ask = input, say: Say = print) -> int:
    """Show row after row to `by` until the queue is empty or the person quits; return how many decisions were made."""
    made = 0
    while (item := review.next(by)) is not None:
        say(f"\n[{item.left} left]  " + "\n".join(describe(item)))
        began = time.monotonic()
        done = _question(review, item, by, ask, say, began) if item.question else _row(review, item, by, ask, say, began)
        if done is None:
            break
        made += done
    else:
        say("Nothing is left to review.")
    return made


def _question(review: Review, item: Item, by: str, ask: Ask, say: Say, began: float) -> int | None:
    """Ask whether a check is right about the row; the number of decisions made (-1 for one taken back), None to quit."""
    say(f"  {item.question}")
    while True:
        key = _asked(ask, "y yes   n no   s skip   u undo   q quit > ")
        if key == "q":
            return None
        if key == "u":
            return _undo(review, by, say)
        if key in ("y", "n", "s"):
            action, holds = ("skip", None) if key == "s" else ("judge", key == "y")
            review.decide(item.row_id, action, by, check=item.queued["check"], holds=holds, seconds=time.monotonic() - began)
            return 1
        say(f"There is no key {key!r}.")


def _row(review: Review, item: Item, by: str, ask: Ask, say: Say, began: float) -> int | None:
    """Ask what to do with the row; the number of decisions made (-1 for one taken back), None to quit."""
    numbered = {str(number): label for number, label in enumerate(item.labels, start=1)}
    if len(numbered) > 9:
        choices = "l LABEL relabel"
    else:
        choices = "   ".join(f"{number} {label}" for number, label in numbered.items())
    while True:
        given = _asked(ask, f"a accept   {choices}   e edit   d drop   s skip   u undo   q quit > ")
        key, _, rest = given.partition(" ")
        if key == "q":
            return None
        if key == "u":
            return _undo(review, by, say)
        plan: tuple[str, dict[str, Any]] | None = {"a": ("accept", {}), "d": ("drop", {}), "s": ("skip", {})}.get(key)
        if key in numbered and not rest:
            plan = "relabel", {"value": numbered[key]}
        elif key == "l":
            plan = "relabel", {"value": rest.strip()}
        elif key == "e":
            plan = "edit", {"value": rest.strip() or _asked(ask, "the new text > ")}
        if plan is None:
            say(f"There is no key {key!r}.")
            continue
        try:
            review.decide(item.row_id, plan[0], by, seconds=time.monotonic() - began, **plan[1])
        except TunewrightError as error:
            say(str(error))
            continue
        return 1


def _asked(ask: Ask, prompt: str) -> str:
    """What was typed; `q` at the end of the input."""
    try:
        return ask(prompt).strip()
    except EOFError:
        return "q"


def _undo(review: Review, by: str, say: Say) -> int:
    try:
        taken = review.undo(by)
    except TunewrightError as error:
        say(str(error))
        return 0
    say(f"Taken back: {taken.action} of {taken.row_id}.")
    return -1
