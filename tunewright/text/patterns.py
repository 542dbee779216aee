"""Search for values by pattern in three passes, each on fewer rows: a clue, a hint, and Python with a judge.

    clue  [0-9]...       one look over all rows for many patterns at once ("five digits close together")
    hint  [0-9]{3}-...   one look for each pattern, over the rows with its clue
    exact, judge         Python, over the rows with the hint: where, and how sure (0: no)

Clue and hint are Rust regular expressions (Polars), `exact` is Python's, with look-around. The named group `value` in `exact`
is what counts as found when the pattern needs words around it: "born on (?P<value>...)".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

STRONG = 0.75
FOUND_SCHEMA: dict[str, type[pl.DataType]] = {
    "row": pl.UInt32,
    "kind": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "value": pl.String,
    "confidence": pl.Float64,
}
Judge = Callable[[re.Match[str], str], float]
# Five digits with at most three other signs between them: what nearly every number of interest has.
DIGITS = r"[0-9](?:[^0-9A-Za-z\n]{0,3}[0-9]){4}"
# The telling beginnings of keys, a long run of letters and digits, capitals then digits, numbers joined by dots or colons.
CODES = (
    r"A[KSBC][IC]A|(?:gh[oprsu]|npm|hf|pat|sk|rk|v1|shp\w\w)_[0-9A-Za-z]|glpat-|xox[abeoprs]-|/services/|/webhooks/|AIza|GOCSPX|ya29|FJ"
    r"|sk-|SG\.|pypi-|:AA|sq0|eyJ|PRIVATE|[0-9A-Za-z]{25}|[A-Z]{3}[0-9]{2}"
    r"|[0-9]\.[0-9]+\.[0-9]+\.|[0-9a-fA-F]:[0-9a-fA-F]+:|[0-9a-fA-F]{2}-[0-9a-fA-F]{2}-[0-9a-fA-F]{2}-"
)


@dataclass(frozen=True)
class Pattern:
    """`hint` picks rows worth a look, `exact` finds candidates in them, `judge(match, region)` gives a confidence or 0."""

    hint: str
    exact: str
    judge: Judge
    clue: str = DIGITS


def always(confidence: float) -> Judge:
    """A judge for forms that need no further look."""
    return lambda match, region: confidence


def near(match: re.Match[str], words: str, before: int = 40, after: int = 0) -> bool:
    """Whether the words (a regular expression) stand in the characters before, or after, the match."""
    start, end = match.span()
    around = match.string[max(0, start - before) : start] + "\0" + match.string[end : end + after]
    return re.search(words, around, re.IGNORECASE) is not None


def search(texts: pl.Series, patterns: Mapping[str, Pattern], region: str = "US", allow: Sequence[str] = ()) -> pl.DataFrame:
    """What `patterns` find in `texts`, in order of row and place; `start` and `end` count characters.

    `allow` lists values, or ends of values, that are nobody's secret. Overlapping finds go to the pattern that stands first.
    """
    allowed = tuple(one.casefold() for one in allow) or ("\0",)
    found: list[tuple[int, str, int, int, str, float]] = []
    compiled = {kind: re.compile(pattern.exact) for kind, pattern in patterns.items()}
    for row, kinds in _candidates(texts, patterns).items():
        taken: list[tuple[int, int]] = []
        text = texts[row]
        for kind in kinds:
            for match in compiled[kind].finditer(text):
                part = "value" if match.groupdict().get("value") else 0
                (start, end), value = match.span(part), match[part]
                if any(start < stop and begin < end for begin, stop in taken) or value.casefold().endswith(allowed):
                    continue
                confidence = patterns[kind].judge(match, region)
                if confidence > 0:
                    taken.append((start, end))
                    found.append((row, kind, start, end, value, confidence))
    return pl.DataFrame(found, schema=FOUND_SCHEMA, orient="row").sort("row", "start")


def _candidates(texts: pl.Series, patterns: Mapping[str, Pattern]) -> dict[int, list[str]]:
    """Rows with the hint of a pattern, and the patterns (in their order) to try on each.

    One query for all clues and one for the hints behind each: a query costs as much as looking at a hundred short texts, and the
    writer of the traffic store asks for a few texts twenty times a second.
    """
    rows_of: dict[int, list[str]] = {}
    frame = texts.alias("text").to_frame()
    clues = frame.select(pl.col("text").str.contains(clue).fill_null(False).alias(clue) for clue in {one.clue for one in patterns.values()})
    for clue in clues.columns:
        if not clues[clue].any():
            continue
        places = clues[clue].arg_true()
        behind = {kind: pattern.hint for kind, pattern in patterns.items() if pattern.clue == clue}
        hints = frame[places].select(pl.col("text").str.contains(hint).alias(kind) for kind, hint in behind.items())
        for kind in behind:
            if hints[kind].any():
                for row in places.filter(hints[kind]).to_list():
                    rows_of.setdefault(row, []).append(kind)
    order = {kind: number for number, kind in enumerate(patterns)}
    return {row: sorted(kinds, key=order.__getitem__) for row, kinds in rows_of.items()}
