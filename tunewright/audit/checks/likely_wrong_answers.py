"""Free-text answers that are probably wrong, by the agreement of cheap signals: none of them is proof, two of them are a reason to look.

    other_prompts   word vectors say that the answer fits many other prompts better than its own
    no_shared_word  it has no telling word in common with its prompt, where a good part of the answers has some
    same_for_many   the same answer stands under many different prompts
    refuses         it begins like a refusal
    unfinished      it stops without a mark at its end, where nearly all answers have one
    language        it is in another language than its prompt, where nearly all answers are not
    length          it is far longer or shorter than answers to prompts of this length
    neighbours      nearly the same prompt is answered with something else

A signal speaks only where the data's own habit allows it to. The score multiplies the share of rows on which each signal that
speaks is as strong or stronger: rare signals count more (Fisher's way of combining ranks), and the rows are shown by it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tunewright.audit.checks._groups import Bools
from tunewright.audit.checks._sample import LONGEST
from tunewright.audit.checks._shared import excerpt, first_rows, sampled
from tunewright.audit.checks.conflicting_answers import folded
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.parts import Check, Look
from tunewright.text.repair import empty

FEWEST = 50
REFERENCE = 500  # prompts that an answer is compared with
USUAL, MOSTLY, SOMETIMES = 0.9, 0.6, 0.3  # shares of the rows from which on something is the habit of the data
FITS = 0.3  # share of other prompts that may fit an answer better than its own
SPREAD = 3.5  # robust deviations
MANY = 5  # different prompts
Floats = npt.NDArray[np.float64]


class LikelyWrongAnswers(Check):
    """An answer that several cheap signals speak against; worth a second look, never dropped."""

    severity: ClassVar[str] = "info"
    needs: ClassVar[tuple[str, ...]] = ("answer",)
    scope: ClassVar[Literal["row", "all"]] = "all"
    measured_by: ClassVar[tuple[str, ...]] = ("sample",)
    signals: int = Field(2, ge=1, le=8, description="signals that must speak against an answer")
    most: float = Field(0.05, gt=0, le=1, description="share of the rows shown at most, the most doubtful first")
    sample: int = Field(10_000, ge=1, description="rows looked at, at most")

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        looked = sampled(rows, self.sample).filter(~empty(pl.col("text")) & ~empty(pl.col("answer")))
        if len(looked) < FEWEST:
            return pl.DataFrame()
        looked = looked.select("row_id", "text", "answer")
        found = _signals(looked)
        rarity = sum((_rarity(strength) for strength in found.values()), np.zeros(len(looked)))
        names = np.array(list(found))
        table = np.column_stack(list(found.values())) > 0
        said = pl.Series([", ".join(names[line]) for line in table[table.any(axis=1)]], dtype=pl.String)
        hit = pl.Series(table.any(axis=1))
        counts = {"spoken": table.sum(axis=1)[table.any(axis=1)], "rarity": rarity[table.any(axis=1)]}
        doubted = looked.filter(hit).select("row_id", text=excerpt(), answer=excerpt("answer"))
        doubted = doubted.with_columns(
            signals=said, looked=pl.lit(len(looked)), **{name: pl.Series(value) for name, value in counts.items()}
        )
        return doubted.sort("rarity", "row_id", descending=[True, False])

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        return self.measure(first_rows(rows, self.sample), look)

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        found = measures.filter(pl.col("spoken") >= self.signals).head(max(1, int(self.most * measures["looked"][0])))
        return found.select(
            "row_id",
            evidence=pl.format("{}: “{}” for “{}”", "signals", "answer", "text"),
            field=pl.lit("answer"),
            score=1 - (-pl.col("rarity")).exp(),
            suggested_fix=pl.lit("review"),
        )


def _rarity(strength: Floats | Bools) -> Floats:
    """Minus the logarithm of the share of rows against which a signal speaks as strongly; 0 where it does not speak."""
    order = np.sort(strength)
    stronger = len(order) - np.searchsorted(order, strength, side="left")
    return np.where(strength > 0, -np.log(stronger / len(order)), 0.0)


def _signals(rows: pl.DataFrame) -> dict[str, Any]:
    """How strongly each signal speaks against each row; 0 or False for not at all."""
    from tunewright.text.phrases import phrases, spotted

    refused = spotted(rows["answer"].str.head(250), phrases("refusals"))["row"].unique()
    found: dict[str, Any] = {
        "same_for_many": _same_for_many(rows),
        "refuses": np.isin(np.arange(len(rows)), refused.to_numpy()),
        "unfinished": _habit(rows["answer"].str.contains(r"[.!?…。！？:;)\]}\"'”’»`]\s*$").to_numpy()),
        "language": _other_language(rows),
        "length": _length(rows),
    }
    found |= _by_words(rows)
    with suppress(EnvironmentProblem):  # the other signals speak without word vectors
        found |= _by_meaning(rows)
    return found


def _habit(kept: Bools, usual: float = USUAL) -> Bools:
    """Rows that break a habit; nobody where there is none."""
    return ~kept if kept.mean() >= usual else np.zeros(len(kept), dtype=bool)


def _same_for_many(rows: pl.DataFrame) -> Bools:
    prompts = pl.col("asked").n_unique().over("said")
    held = rows.select(asked=folded("text").hash(3), said=folded("answer").hash(3), words=pl.col("answer").str.count_matches(r"\S+"))
    repeated: Bools = held.select((prompts >= MANY) & (pl.col("words") > 3)).to_series().to_numpy()
    return repeated if repeated.mean() <= 1 - USUAL else np.zeros(len(rows), dtype=bool)


def _other_language(rows: pl.DataFrame) -> Bools:
    from tunewright.text.language import identify

    sides = [identify(rows[name].str.head(300)) for name in ("text", "answer")]
    long = rows.select(pl.min_horizontal(pl.col("text", "answer").str.len_chars()) >= 40).to_series()
    sure = (long & (sides[0]["probability"] >= 0.8) & (sides[1]["probability"] >= 0.8)).to_numpy()
    same = (sides[0]["code"] == sides[1]["code"]).to_numpy()
    return sure & ~same if sure.any() and same[sure].mean() >= USUAL else np.zeros(len(rows), dtype=bool)


def _length(rows: pl.DataFrame) -> Bools:
    """Answers far from the length that is usual for prompts of their length."""
    asked, said = (np.log(rows[name].str.len_chars().to_numpy() + 1.0) for name in ("text", "answer"))
    slope = np.cov(asked, said)[0, 1] / max(float(asked.var()), 1e-9)
    rest = said - slope * asked
    rest = rest - np.median(rest)
    return np.asarray(np.abs(rest) > SPREAD * max(1.4826 * float(np.median(np.abs(rest))), 0.1))


def _by_words(rows: pl.DataFrame) -> dict[str, Bools]:
    """Whether prompt and answer share a word that is rare enough to tell something."""
    from tunewright.text.quick import tokens

    both = [tokens(rows[name]).filter(pl.col("word").str.contains(r"\w")).unique() for name in ("text", "answer")]
    rare = both[0].group_by("word").len("rows").filter(pl.col("rows") <= max(5, len(rows) // 50))
    shared = both[0].join(both[1], on=["row", "word"]).join(rare, on="word")["row"].unique()
    return {"no_shared_word": _habit(np.isin(np.arange(len(rows)), shared.to_numpy()), SOMETIMES)}


def _by_meaning(rows: pl.DataFrame) -> dict[str, Any]:
    """Signals of word vectors: the answer fits other prompts better; nearly the same prompt has another answer."""
    from tunewright.models.static import static_vectors

    asked, said = (_centred(static_vectors(rows[name].str.head(LONGEST).to_list())) for name in ("text", "answer"))
    own = np.einsum("ij,ij->i", asked, said)
    reference = sampled(rows.select("row_id").with_row_index("place"), REFERENCE)["place"].to_numpy()
    better = (said @ asked[reference].T > own[:, None]).mean(axis=1)
    speaks = _habit(better <= FITS, MOSTLY)
    return {"other_prompts": np.where(speaks, better, 0.0), "neighbours": _neighbours(rows, said)}


def _neighbours(rows: pl.DataFrame, said: Any) -> Bools:
    from tunewright.text.neardup import TextJoin

    join, out = TextJoin(rows["text"]), np.zeros(len(rows), dtype=bool)
    pairs = join.near(0.6).pairs
    later = np.flatnonzero(join.first != np.arange(len(rows)))
    left = np.concatenate([pairs["left"].to_numpy(), join.first[later]]).astype(np.int64)
    right = np.concatenate([pairs["right"].to_numpy(), later]).astype(np.int64)
    if not len(left):
        return out
    apart = np.einsum("ij,ij->i", said[left], said[right]) < 0.2
    if apart.mean() <= 0.5:  # otherwise such prompts are templates, whose answers differ
        out[left[apart]] = out[right[apart]] = True
    return out


def _centred(vectors: Any) -> Any:
    rest = vectors - vectors.mean(axis=0)
    return rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9)
