"""Answers that stop in the middle: a model trained on them stops in the middle too, and looks as if its end token were broken.

A missing full stop means something only where answers usually have one: the data set's own rate decides. Titles and labels
('Meeting on Friday') are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field

from tunewright.audit.checks._shared import batches_of
from tunewright.core.parts import Check, Look

TAIL = 160
LONG = 40  # characters from which an answer is a sentence rather than a name
PROSE = 200
ENDED = r"[.!?…:;)\]}>\"'”’»*_`~|。！？।】）」\p{So}\p{Sk}\p{M}]$|\p{Nd}[%°]?$|https?://\S+$"
OPEN_BRACKET = r"(?:^|[^:;=8xX\-'])[(\[{](?:[^()\[\]{}:;=][^()\[\]{}]{0,150})?$"
OPEN_QUOTE = r'(?:^|[\s(])["“][^"“”]{0,150}$'
FUNCTION_WORDS = (
    r"(?i)(?:^|\s)(?:the|a|an|and|or|but|of|my|your|our|their|its|because|which|whose|than|into|from|if|while|such as|der|die|das|und|oder"
    r"|ein|eine|weil|le|la|les|et|ou|un|une|des|el|los|las|y|o|una|porque)$"
)
# Words that end a sentence now and then ("that is what it was for."), but hardly ever one without a full stop where others have one.
LEADING_WORDS = (
    r"(?i)(?:^|\s)(?:to|in|at|with|for|by|as|between|during|without|through|is|are|was|were|be|been|being|has|have|had|can|could|will|would"
    r"|should|may|might|must|does|doesn['’]t|isn['’]t|wasn['’]t|i|we|he|she|they|it['’]s|there['’]s|that['’]s|i['’]m|i['’]ve|very|these|those|when|what|who"
    r"|why|how|although|though|since|until|where|every|each|also|even|really|most|any|some|another|both|either|neither|whether"
    r"|im|am|auf|mit|von|zu|für|dem|den|einen|einem|einer|ist|wird|dass|wenn|du|au|aux|avec|pour|dans|sur|que|qui|est|con|para|por|del|su|es)$"
)


class TruncatedAnswers(Check):
    """An answer that breaks off: an open code block, bracket or quote, a last word such as 'the', no end where others have one."""

    needs: ClassVar[tuple[str, ...]] = ("answer",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    usual: float = Field(0.9, ge=0.5, le=1, description="share of answers with an end from which a missing one is mentioned")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        return _told([rows])

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return _told(batches_of(rows, "row_id", "answer"))

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        usual = measures["ended"][0] if len(measures) else 0.0  # share of the longer answers with an end
        scores = {
            "open_block": 0.95,
            "open_bracket": 0.7,
            "open_quote": 0.5,
            "comma": 0.8,
            "function_word": 0.8,
            "leading_word": 0.7,
            "no_end": 0.3,
        }
        if usual < self.usual:
            scores = {kind: score for kind, score in scores.items() if kind not in ("leading_word", "no_end")}
        found = measures.filter(pl.col("kind").is_in(list(scores)))
        if usual < 0.5:  # names and titles: what ends in 'the' is broken only where it is long
            found = found.filter(pl.col("kind").str.starts_with("open") | (pl.col("size") >= PROSE))
        score = pl.col("kind").replace_strict(scores, return_dtype=pl.Float64)
        return found.select(
            "row_id",
            field=pl.lit("answer"),
            score=score,
            severity=pl.when(score > 0.5).then(pl.lit(self.severity)).otherwise(pl.lit("info")),
            evidence=pl.format(f"{{}} ({usual:.0%} of the longer answers have an end): …{{}}", "kind", "end"),
            suggested_fix=pl.lit("complete it or drop the row"),
        )


def _told(batches: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """What may be broken in the batches, and of all of them the share of longer answers with an end."""
    found, ended, longer = list[pl.DataFrame](), 0, 0
    for part, ends in map(_ends, batches):
        found.append(part)
        ended, longer = ended + int(ends.sum()), longer + len(ends)
    return pl.concat(found).with_columns(ended=pl.lit(ended / longer if longer else 0.0, pl.Float64))


def _ends(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """(row_id, kind, size, end) of answers that may be broken; whether each longer answer has an end."""
    tail = pl.col("answer").str.tail(TAIL).str.strip_chars_end()
    ends = rows.select("row_id", size=pl.col("answer").str.len_bytes().fill_null(0), tail=tail, open_block=_odd(rows["answer"], "```"))
    ends = ends.with_columns(ended=pl.col("tail").str.contains(ENDED), odd_quotes=_odd(rows["answer"], '"')).filter(pl.col("tail") != "")
    ends = ends.with_columns(last=pl.when(~pl.col("ended")).then(pl.col("tail").str.tail(20)))  # null where nothing need be looked for
    broken = {
        "open_block": pl.col("open_block"),
        "open_bracket": pl.col("tail").str.contains(OPEN_BRACKET),
        "open_quote": pl.col("odd_quotes") & pl.col("tail").str.contains(OPEN_QUOTE),
        "comma": pl.col("tail").str.contains(r"[,،、]$|\w-$"),
        "function_word": pl.col("last").str.contains(FUNCTION_WORDS),
        "leading_word": pl.col("last").str.contains(LEADING_WORDS) & (pl.col("size") >= LONG),
        "no_end": ~pl.col("ended") & (pl.col("size") >= LONG),
    }
    kind = pl.coalesce([pl.when(where).then(pl.lit(name)).otherwise(None) for name, where in broken.items()])
    found = ends.with_columns(kind=kind).filter(pl.col("kind").is_not_null())
    found = found.select("row_id", "kind", "size", end=pl.col("tail").str.tail(60).str.replace_all(r"\s+", " "))
    return found, ends.filter(pl.col("size") >= LONG)["ended"]


def _odd(texts: pl.Series, sign: str) -> pl.Series:
    """Whether the sign stands an odd number of times in each text."""
    places = texts.str.contains(sign, literal=True).fill_null(False).arg_true()
    odd = texts.gather(places).str.count_matches(sign, literal=True) % 2 == 1
    return pl.repeat(False, len(texts), dtype=pl.Boolean, eager=True).scatter(places.filter(odd), True)
