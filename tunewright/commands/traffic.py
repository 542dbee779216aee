"""`tunewright traffic STORE ACTION`: look at what was asked and answered, get labels in and rows out."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out, user
from tunewright.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

    from tunewright.traffic.store import TrafficStore

HELP = "requests, answers and feedback: stats, export, purge, draw, queue, approve, reject, label, import-feedback"
SHOWN = 20  # rows on the screen


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="sqlite:///FILE, a file, or postgresql://...; ${NAME} is taken from the environment")
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    one = _action(actions, "stats", "what is in the store")
    one = _action(actions, "export", "write requests, or rows to train on, to a file")
    one.add_argument("-o", "--output", metavar="FILE", required=True, help="rows.parquet, rows.jsonl or rows.csv")
    what = one.add_mutually_exclusive_group()
    what.add_argument("--training", action="store_true", help="text, true label and where they come from; approved labels only")
    what.add_argument("--labelled", action="store_true", help="requests with whatever was said to be right, approved or not")
    what.add_argument("--feedback", action="store_true", help="what people said, also of unknown requests")
    _filters(one)
    one = _action(actions, "purge", "delete old requests and what was said of them")
    one.add_argument("--days", type=float, metavar="N", required=True, help="older than N days")
    one = _action(actions, "draw", "put answers into the queue for review")
    one.add_argument("--uniform", type=int, default=0, metavar="N", help="N at random: their labels estimate accuracy")
    one.add_argument("--targeted", type=int, default=0, metavar="N", help="the N least confident: their labels only train")
    one.add_argument("--seed", type=int, help="of the random draw")
    _by(one)
    _filters(one)
    one = _action(actions, "queue", "answers that wait for review")
    one.add_argument("-o", "--output", metavar="FILE", help="write all of it; fill in `label` and give the file to import-feedback")
    one = _action(actions, "approve", "these labels (or our own answers) are right and may be trained on")
    one.add_argument("ids", nargs="+", metavar="REQUEST_ID")
    _by(one)
    one = _action(actions, "reject", "these teach nothing: out of the queue, out of training")
    one.add_argument("ids", nargs="+", metavar="REQUEST_ID")
    _by(one)
    one = _action(actions, "label", "say what is right for one request")
    one.add_argument("id", metavar="REQUEST_ID")
    one.add_argument("value", metavar="LABEL")
    one.add_argument("--approve", action="store_true", help="and approve it for training")
    _by(one)
    one = _action(actions, "import-feedback", "labels that arrived in a file (csv, jsonl, parquet: request_id, label, event_time, ...)")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--sampled", choices=("uniform", "targeted", "volunteered"), help="how these requests were chosen (default: as drawn)")
    one.add_argument("--approve", action="store_true", help="and approve them for training")
    _by(one)


def _action(actions: Any, name: str, words: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = actions.add_parser(name, help=words, description=words, allow_abbrev=False)
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    return one


def _by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", default=user(), metavar="NAME", help="who says so (default: the user's name)")


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="append", metavar="NAME@N", help="that answered; may be repeated")
    parser.add_argument("--side", action="append", choices=("champion", "challenger", "shadow", "direct"), help="may be repeated")
    parser.add_argument("--since", metavar="TIME", help="an ISO time, or 7d, 12h, 30m ago")
    parser.add_argument("--until", metavar="TIME", help="the same")


def do(given: argparse.Namespace) -> int:
    from tunewright.core.errors import RunError
    from tunewright.core.optional import require
    from tunewright.core.urls import is_url

    require("sqlalchemy", "serve")
    from tunewright.traffic.store import TrafficStore

    path = given.store.removeprefix("sqlite:///") if given.store.startswith("sqlite:") or not is_url(given.store) else None
    if path is not None and "${" not in path and not Path(path).is_file():
        raise RunError(f"{path}: there is no such traffic store. `tunewright serve` writes one where serve.traffic.url says.")
    with TrafficStore.open(given.store) as store:
        return _ACTIONS[given.action](given, store)


def _stats(given: argparse.Namespace, store: TrafficStore) -> int:
    found = store.stats()
    lines = [f"{found['store']} (schema {found['schema']})"]
    lines += [
        f"  {one['version']:<20} {one['side']:<10} {one['requests']:>9,} requests, {one['failed']:,} failed, {one['first']:%Y-%m-%d %H:%M} to {one['last']:%Y-%m-%d %H:%M}"
        for one in found["requests"]
    ] or ["  no requests yet"]
    for one in found["feedback"]:
        lines.append(f"  feedback: {one['rows']:,} {one['kind']}, {one['sampled']}{', approved' if one['approved'] else ''}")
    if found["feedback_on_unknown_requests"]:
        lines.append(f"  {found['feedback_on_unknown_requests']:,} of it on requests that are not in the store (deleted, or never logged)")
    if found["to_review"]:
        lines.append("  to review: " + ", ".join(f"{rows:,} {name}" for name, rows in sorted(found["to_review"].items())))
    if found["waiting_in_spill_files"]:
        lines.append(f"  {found['waiting_in_spill_files']:,} rows wait in spill files; the next server on this store takes them in")
    out(given, found, lines)
    return 0


def _export(given: argparse.Namespace, store: TrafficStore) -> int:
    from tunewright.traffic.carry import training_rows, write_rows

    chosen = {"versions": given.version, "sides": given.side, "since": when(given.since), "until": when(given.until)}
    if given.training:
        frame = training_rows(store, **chosen)
    elif given.labelled:
        frame = store.labelled(**chosen)
    elif given.feedback:
        frame = store.feedback(**chosen)
    else:
        frame = store.exchanges(**chosen)
    write_rows(frame, Path(given.output))
    out(given, {"rows": len(frame), "file": given.output}, [f"wrote {len(frame):,} rows to {given.output}"])
    return 0


def _purge(given: argparse.Namespace, store: TrafficStore) -> int:
    if given.days < 0:
        raise DataError(f"--days must be 0 or more, but got {given.days:g}.")
    gone = store.purge(days=given.days)
    out(given, gone, [f"deleted {gone['requests']:,} requests and {gone['feedback']:,} pieces of feedback"])
    return 0


def _draw(given: argparse.Namespace, store: TrafficStore) -> int:
    from tunewright.traffic.read import Filter

    if given.uniform < 0 or given.targeted < 0 or given.uniform + given.targeted == 0:
        raise DataError("draw: say how many: --uniform N, --targeted N, or both.")
    chosen = Filter(given.version, sides=given.side, since=when(given.since), until=when(given.until))
    drawn = {name: len(store.draw(getattr(given, name), name, given.by, chosen, given.seed)) for name in ("uniform", "targeted")}
    out(given, drawn, [f"drawn for review: {drawn['uniform']:,} uniform, {drawn['targeted']:,} targeted"])
    return 0


def _queue(given: argparse.Namespace, store: TrafficStore) -> int:
    from tunewright.traffic.carry import write_rows

    rows = store.queue()
    if given.output:
        import polars as pl

        write_rows(
            rows.rename({"id": "request_id", "label": "our_label", "answer": "our_answer"}).with_columns(label=pl.lit("")),
            Path(given.output),
        )
        out(given, {"rows": len(rows), "file": given.output}, [f"wrote {len(rows):,} rows to {given.output}; fill in the column label"])
        return 0
    lines = [f"{len(rows):,} answers wait for review" + (f", the first {SHOWN}:" if len(rows) > SHOWN else ":" if len(rows) else "")]
    lines += [_shown(one) for one in rows.head(SHOWN).to_dicts()]
    out(given, _document(rows), lines)
    return 0


def _shown(one: dict[str, Any]) -> str:
    sure = "" if one["confidence"] is None else f" ({one['confidence']:.0%} sure)"
    text = " ".join((one["prompt"] or "").split())
    return f"  {one['id']}  {one['sampled']:<8}  {one['label'] or one['answer']}{sure}  {text[:80]}"


def _approve(given: argparse.Namespace, store: TrafficStore) -> int:
    approved, left = store.approve(given.ids, given.by)
    lines = [f"approved {approved:,}"] + [f"  not {one}: {why}" for one, why in sorted(left.items())]
    out(given, {"approved": approved, "left": left}, lines)
    return 1 if left else 0


def _reject(given: argparse.Namespace, store: TrafficStore) -> int:
    rejected = store.reject(given.ids, given.by)
    out(given, {"rejected": rejected}, [f"rejected {rejected:,} of {len(given.ids):,}"])
    return 0 if rejected == len(given.ids) else 1


def _label(given: argparse.Namespace, store: TrafficStore) -> int:
    from tunewright.traffic.record import Feedback

    added = store.add_feedback([Feedback(given.id, "label", given.value, datetime.now(UTC), given.by)])
    if given.approve:
        store.approve([given.id], given.by)
    known = bool(store.count_of([given.id]))
    words = f"{given.id} is {given.value!r}, says {given.by}" + ("" if known else "; the store does not know this request (yet)")
    out(given, {"added": added, "known": known}, [words])
    return 0 if known else 1


def _import_feedback(given: argparse.Namespace, store: TrafficStore) -> int:
    from tunewright.traffic.carry import read_feedback

    words, wrong = read_feedback(Path(given.file), given.by, given.sampled, given.approve)
    added = store.add_feedback(words)
    unknown = len({one.request_id for one in words}) - store.count_of([one.request_id for one in words])
    lines = [f"{added:,} new of {len(words):,}; {unknown:,} on requests that the store does not know"]
    lines += [f"  {one}" for one in wrong[:SHOWN]] + ([f"  ... {len(wrong) - SHOWN:,} more"] if len(wrong) > SHOWN else [])
    out(given, {"added": added, "read": len(words), "unknown_requests": unknown, "not_usable": wrong}, lines)
    return 1 if wrong else 0


def _document(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return list(rows.to_dicts())


def when(text: str | None) -> datetime | None:
    """An ISO time, or a time ago such as 7d, 12h, 30m. Raises `DataError`."""
    from tunewright.traffic.carry import moment

    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([dhm])", text or "")
    if ago:
        return datetime.now(UTC) - timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[ago[2]]: float(ago[1])})
    return moment(text, "time")


_ACTIONS = {
    "stats": _stats,
    "export": _export,
    "purge": _purge,
    "draw": _draw,
    "queue": _queue,
    "approve": _approve,
    "reject": _reject,
    "label": _label,
    "import-feedback": _import_feedback,
}
