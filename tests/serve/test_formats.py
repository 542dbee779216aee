"""Answers against the format that was asked for; schemas come from callers, so none of them may hang or end the server."""

import time
from typing import Any

import pytest

from tunewright.serve.formats import format_ok

POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
    "required": ["x"],
    "additionalProperties": False,
}
AGAIN = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (None, "no JSON", None),
        ({}, '{"a": [1]}', True),
        ({}, "[1]", False),
        ({}, '{"a": ', False),
        ({}, '{"a": NaN}', False),
        (POINT, '{"x": 3}', True),
        (POINT, '{"y": "first", "x": 3}', True),
        (POINT, '{"x": "three"}', False),
        (POINT, '{"y": "no x"}', False),
        (POINT, '{"x": 3, "z": 1}', False),
        (POINT, '{"x": 3} and more', False),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, '["a", "b"]', True),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, '["c"]', False),
        ({"type": "string", "pattern": "^[a-z]+$"}, '"abc"', True),
        ({"type": "string", "pattern": "^[a-z]+$"}, '"ABC"', False),
    ],
)
def test_json_and_its_schema_are_both_kept(schema: dict[str, Any] | None, text: str, expected: bool | None):
    assert format_ok(schema, text) is expected


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, AGAIN, {"type": 5}, {"$schema": "http://127.0.0.1:1/x"}, {"$ref": "http://127.0.0.1:1/x"}]
)
def test_a_schema_that_means_nothing_forbids_nothing_but_broken_json(schema: dict[str, Any]):
    assert format_ok(schema, "{}") is True
    assert format_ok(schema, "{") is False


def test_a_pattern_that_would_backtrack_for_ever_takes_no_time():
    begin = time.monotonic()
    assert format_ok({"type": "string", "pattern": "^(a+)+$"}, '"' + "a" * 5000 + 'b"') is False
    assert time.monotonic() - begin < 2
