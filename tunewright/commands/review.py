"""`tunewright review RUN WHAT`: look at rows that deserve it, decide, agree, and measure how often the checks are right."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import existing, out
from tunewright.core.errors import DataError

if TYPE_CHECKING:
    from tunewright.prepare.review.desk import Review

HELP = "look at the rows that deserve it: queue, decide, agree, calibrate the checks"
FORMATS = ("label-studio", "argilla", "csv", "jsonl")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    def what(name: str, text: str, do: Any, by: bool = False) -> argparse.ArgumentParser:
        one = whats.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
        one.set_defaults(part=do)
        if by:
            one.add_argument("--by", required=True, metavar="NAME", help="who decides")
        return one

    queue = what("queue", "choose the rows to look at next", _queue)
    queue.add_argument("--n", type=int, default=50, metavar="N", help="rows (50)")
    queue.add_argument(
        "--random", type=float, default=0.2, metavar="SHARE", help="share drawn at random, which says what is true of all rows (0.2)"
    )
    queue.add_argument("--overlap", type=float, default=0.2, metavar="SHARE", help="share that two reviewers shall see (0.2)")
    queue.add_argument("--seed", type=int, default=0, metavar="N")
    queue.add_argument("--no-model", action="store_true", help="do not ask the tuned model how sure it is")
    what("next", "show the next row", _next, by=True)
    what("session", "decide row after row in the terminal", _session, by=True)
    decide = what("decide", "write down one decision", _decide, by=True)
    _decision(decide)
    what("undo", "take back your last decision", _undo, by=True)
    adjudicate = what("adjudicate", "settle rows about which reviewers differ", _adjudicate, by=True)
    _decision(adjudicate, optional=True)
    adjudicate.add_argument("--majority", action="store_true", help="settle every row on which more than half agree")
    what("status", "how much is done, in how many minutes, what waits", _status)
    agreement = what("agreement", "how far reviewers agree", _agreement)
    agreement.add_argument("--order", metavar="L1,L2,...", help="labels from low to high: the agreement becomes ordinal")
    calibrate = what("calibrate", "how often each check is right, and what it misses", _calibrate)
    calibrate.add_argument("--sample", type=int, metavar="N", help="draw N rows a check and queue the questions")
    calibrate.add_argument("--checks", metavar="A,B,...", help="which checks (default: those whose rows can be judged alone)")
    calibrate.add_argument("--precision", type=float, default=0.9, metavar="P", help="the precision for which to suggest a threshold (0.9)")
    calibrate.add_argument("--seed", type=int, default=0, metavar="N")
    calibrate.add_argument("--apply", metavar="RECIPE", help="write the suggested thresholds that the sample has shown into this recipe")
    export = what("export", "write the queue and the decisions for another tool", _export)
    export.add_argument("-o", "--output", required=True, metavar="FILE")
    export.add_argument("--format", required=True, choices=FORMATS)
    take_in = what("import", "take in decisions from another tool", _import, by=True)
    take_in.add_argument("file", metavar="FILE")
    take_in.add_argument("--format", required=True, choices=FORMATS)
    take_in.add_argument("--new-label", action="store_true", help="labels that no row has yet are welcome")


def _decision(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    parser.add_argument("row", metavar="ROW", nargs="?" if optional else None, help="row id, or the beginning of one")
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--accept", action="store_true", help="the row is fine as it is")
    actions.add_argument("--relabel", metavar="LABEL")
    actions.add_argument("--edit", metavar="TEXT", help="the new text (or --field)")
    actions.add_argument("--drop", action="store_true", help="the row should go")
    actions.add_argument("--skip", action="store_true", help="leave it to somebody else")
    parser.add_argument("--field", metavar="NAME", help="what --edit changes: text, answer or rejected")
    parser.add_argument("--new-label", action="store_true", help="a label that no row has yet is welcome")
    parser.add_argument("--check", metavar="NAME", help="the check that a calibration asks about")
    parser.add_argument("--holds", choices=("yes", "no"), help="whether that check is right about the row")
    parser.add_argument("--seconds", type=float, metavar="S", help="time it took (default: since `next` showed the row)")
    parser.add_argument("--note", metavar="WORDS")


def do(given: argparse.Namespace) -> int:
    from tunewright.prepare.review.desk import Review

    given.part(given, Review(existing(given.run)))
    return 0


def _queue(given: argparse.Namespace, review: Review) -> None:
    from tunewright.core.progress import Report
    from tunewright.prepare.review.desk import margins_of

    margins = None if given.no_model else margins_of(review.run, Report())
    queue = review.fill(given.n, given.random, given.overlap, given.seed, margins)
    texts = dict(review.rows.frame.select("row_id", "text").iter_rows())
    head = "  at  row                 stratum  check                 uncertain  influence  seconds   gain  text"
    lines = [f"{len(queue):,} rows: {review.run.path('review', 'queue.parquet')}"]
    if not review.rows.sealed:
        lines.append("No test has been sealed yet (prepare has not run), so every row can come up.")
    lines.append(head)
    for one in queue.head(20).to_dicts():
        if one["question"] is None:
            words = " ".join((texts[one["row_id"]] or "").split())[:50]
            lines.append(
                f"{one['position']:4d}  {one['row_id']:<18}  {one['stratum']:<7}  {one['check'] or '-':<20}  {one['uncertainty']:9.2f}  "
                f"{one['influence']:9.1f}  {one['seconds']:7.0f}  {one['gain']:5.2f}  {words}"
            )
    lines += [f"  ... and {len(queue) - 20:,} more"] if len(queue) > 20 else []
    out(given, {"queue": queue.to_dicts()}, [*lines, f"Next: tunewright review {given.run} session --by NAME"])


def _next(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.session import describe

    item = review.next(given.by)
    if item is None:
        out(given, {"item": None}, ["Nothing is left to review. `tunewright review RUN queue` chooses more rows."])
        return
    question = (
        [f"  {item.question}", f"  answer with: decide {item.row_id} --check {item.queued['check']} --holds yes|no"]
        if item.question
        else []
    )
    out(given, {"item": asdict(item)}, [*describe(item), *question, f"  {item.left} left"])


def _session(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.session import session

    made = session(review, given.by)
    print(f"{made} decisions. Each is kept; the same command goes on.")


def _chosen(given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The action and its values that the options name."""
    holds = {"yes": True, "no": False}.get(given.holds)
    common = {"check": given.check, "holds": holds, "seconds": given.seconds, "note": given.note}
    if given.relabel is not None:
        return "relabel", {**common, "value": given.relabel, "new_label": given.new_label}
    if given.edit is not None:
        return "edit", {**common, "value": given.edit, "field": given.field}
    action = next((name for name in ("accept", "drop", "skip") if getattr(given, name)), "judge" if given.holds else None)
    if action is None:
        raise DataError("say what to do: --accept, --relabel LABEL, --edit TEXT, --drop, --skip, or --check NAME --holds yes|no.")
    return action, common


def _decide(given: argparse.Namespace, review: Review) -> None:
    action, values = _chosen(given)
    made = review.decide(given.row, action, given.by, **values)
    out(given, {"decision": asdict(made)}, [_said(made)])


def _said(made: Any) -> str:
    what = f"{made.action} to {made.value}" if made.action == "relabel" else made.action
    if made.action == "judge":
        what = f"{made.check} is {'right' if made.holds else 'wrong'}"
    return f"{made.row_id}: {what}, by {made.by}" + (" (adjudicated)" if made.final else "")


def _undo(given: argparse.Namespace, review: Review) -> None:
    taken = review.undo(given.by)
    out(given, {"taken_back": asdict(taken)}, [f"taken back: {_said(taken)}"])


def _adjudicate(given: argparse.Namespace, review: Review) -> None:
    if given.majority == bool(given.row):
        raise DataError("adjudicate one ROW, or every row that has a --majority.")
    if given.majority:
        made = review.adjudicate_by_majority(given.by)
    else:
        action, values = _chosen(given)
        made = [review.adjudicate(given.row, action, given.by, **values)]
    left = len(review.conflicts())
    out(given, {"decisions": [asdict(one) for one in made], "waiting": left}, [*map(_said, made), f"{left} rows wait for adjudication"])


def _status(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.status import status, words

    document = status(review)
    out(given, document, words(document))


def _agreement(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.status import agree, coefficients

    document = agree(review, given.order.split(",") if given.order else None)
    lines = coefficients(document["coefficients"]) or ["No row was decided by two people yet. `queue --overlap 0.5` asks for more of them."]
    for pair, table in document["confusion"].items():
        lines += [f"{pair}:", *(f"  {first} / {second}: {rows}" for first, inner in table.items() for second, rows in inner.items())]
    for check, found in document["checks"].items():
        lines += [f"whether {check} is right: {line}" for line in coefficients(found)]
    out(given, document, lines)


def _calibrate(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.questions import draw_questions, measure, words

    if given.sample is None:
        document = measure(review, given.precision)
        lines = [*words(document), str(review.run.path("review", "calibration.json"))]
        if given.apply:
            from tunewright.prepare.review.thresholds import apply_thresholds

            done = apply_thresholds(document, Path(given.apply))
            document, lines = document | {"applied": asdict(done)}, [*lines, *done.lines(Path(given.apply))]
        out(given, document, lines)
        return
    if given.apply:
        raise DataError("--apply writes what was judged, --sample asks for judgements: give one of them.")
    queue = draw_questions(review, given.sample, given.checks.split(",") if given.checks else (), given.seed)
    asked = queue.filter(queue["question"].is_not_null())
    minutes = asked.unique("row_id")["seconds"].sum() / 60
    lines = [f"{len(asked):,} questions about {asked['row_id'].n_unique():,} rows are queued, about {minutes:.0f} minutes of reading."]
    lines += [f"  {name}: {rows:,}" for name, rows in asked["check"].value_counts().sort("check").iter_rows()]
    out(
        given,
        {"questions": asked.to_dicts()},
        [*lines, f"Next: tunewright review {given.run} session --by NAME, then calibrate again without --sample"],
    )


def _export(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.exchange import export

    files, rows = export(review, Path(given.output), given.format)
    out(given, {"files": [str(one) for one in files], "rows": rows}, [f"{rows:,} rows: {', '.join(map(str, files))}"])


def _import(given: argparse.Namespace, review: Review) -> None:
    from tunewright.prepare.review.exchange import take_in

    new, known = take_in(review, Path(given.file), given.format, given.by, given.new_label)
    out(given, {"new": new, "known": known}, [f"{new:,} new decisions" + (f", {known:,} were here already" if known else "")])
