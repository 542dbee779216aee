"""`tunewright keys create|list|revoke|rotate`: who may use an endpoint. A key is printed once, only its hash is kept."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tunewright.commands._shared import out
from tunewright.serve.keys import DEFAULT_SCOPES, SCOPES

if TYPE_CHECKING:
    from tunewright.serve.keys import Key, KeyFile

HELP = "API keys of the endpoint: create, list, revoke, rotate"


def arguments(parser: argparse.ArgumentParser) -> None:
    whats = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    def what(name: str, text: str, do: Any) -> argparse.ArgumentParser:
        one = whats.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
        one.add_argument("--registry", metavar="DIR", help="keys.json is there ($TUNEWRIGHT_REGISTRY, or registry)")
        one.set_defaults(part=do)
        return one

    create = what("create", "make a key and print it, this once", _create)
    create.add_argument("name", metavar="NAME", help="who it is for")
    create.add_argument("--scopes", default=",".join(DEFAULT_SCOPES), metavar="A,B", help=f"some of {', '.join(SCOPES)} (infer,feedback)")
    create.add_argument("--days", type=float, metavar="N", help="until it expires (never)")
    create.add_argument("--requests-per-minute", type=int, metavar="N", help="of this key (default: serve.requests_per_minute)")
    what("list", "list the keys, without the keys", _list)
    revoke = what("revoke", "end a key at once", _revoke)
    revoke.add_argument("key", metavar="KEY", help="its id or name")
    rotate = what("rotate", "make a new key with the same rights; the old one ends after an overlap", _rotate)
    rotate.add_argument("key", metavar="KEY", help="its id or name")
    rotate.add_argument("--overlap-hours", type=float, default=24, metavar="N", help="both are valid for so long (24)")


def do(given: argparse.Namespace) -> int:
    from tunewright.registry import root
    from tunewright.serve.keys import KeyFile

    given.part(given, KeyFile(root(given.registry) / "keys.json"))
    return 0


def _create(given: argparse.Namespace, keys: KeyFile) -> None:
    scopes = [one.strip() for one in given.scopes.split(",") if one.strip()]
    _show_new(given, keys, *keys.create(given.name, scopes=scopes, days=given.days, requests_per_minute=given.requests_per_minute))


def _rotate(given: argparse.Namespace, keys: KeyFile) -> None:
    from tunewright.core.errors import RunError

    if not 0 <= given.overlap_hours <= 24 * 365:
        raise RunError(f"--overlap-hours must be between 0 and {24 * 365}, but got {given.overlap_hours:g}.")
    _show_new(given, keys, *keys.rotate(given.key, overlap=timedelta(hours=given.overlap_hours)))


def _show_new(given: argparse.Namespace, keys: KeyFile, token: str, key: Key) -> None:
    shown = key.shown(datetime.now(UTC))
    end = f", until {key.expires}" if key.expires else ""
    old = keys.find(key.replaces) if key.replaces else None
    lines = [token, f"{key.id} ({key.name}) may {', '.join(key.scopes)}{end}. Keep the key now: only its hash is in {keys.path}."]
    lines += [f"{old.id} goes on being valid until {old.expires}."] if old else []
    out(given, {"key": token, **shown}, lines)


def _list(given: argparse.Namespace, keys: KeyFile) -> None:
    now = datetime.now(UTC)
    found = keys.read()
    lines = [f"{len(found)} keys in {keys.path}"]
    for one in found:
        limit = f"{one.requests_per_minute}/min" if one.requests_per_minute else "default rate"
        ends = one.revoked or one.expires or "never"
        lines.append(f"  {one.id}  {one.state(now):<8}  {one.name:<20}  {','.join(one.scopes):<24}  {limit:<12}  ends {ends}")
    out(given, {"keys": [one.shown(now) for one in found]}, lines)


def _revoke(given: argparse.Namespace, keys: KeyFile) -> None:
    key = keys.revoke(given.key)
    out(given, key.shown(datetime.now(UTC)), [f"{key.id} ({key.name}) is revoked; servers follow within a second."])
