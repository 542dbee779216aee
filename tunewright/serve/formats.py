"""Does an answer keep the format that its caller asked for? What the monitor and a canary count as format errors.

The embedded engine lets only tokens through that obey the schema, but an answer may be cut by `max_tokens`; an upstream may ignore
the schema altogether. Schemas come from callers: patterns run without backtracking, and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tunewright.core.optional import require


def format_ok(schema: Mapping[str, Any] | None, text: str) -> bool | None:
    """Whether `text` is JSON that obeys `schema` ({} for any object); None when no format was asked for."""
    if schema is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    if not schema:
        return isinstance(value, dict)
    rules = require("jsonschema_rs", "serve")
    try:
        validator = rules.validator_for(dict(schema), pattern_options=rules.RegexOptions(), retriever=_nothing)
    except (rules.ValidationError, rules.ReferencingError, ValueError):
        return True  # no schema that could be kept; engines that read it say so themselves
    return bool(validator.is_valid(value))


def calls_ok(tools: Sequence[Mapping[str, Any]], calls: Sequence[tuple[str, str]]) -> bool:
    """Whether there is a call, and each (name, arguments as JSON) is one of a tool that was offered, with arguments that obey its schema."""
    known = {one["function"]["name"]: one["function"].get("parameters") or {} for one in tools}
    return bool(calls) and all(name in known and format_ok(known[name], arguments) is True for name, arguments in calls)


def _nothing(url: str) -> Any:
    raise ValueError(f"{url} is not fetched")
