"""Rows that hold items of a benchmark: a model tuned on them knows the questions, and its score says nothing.

`against` names benchmarks (gsm8k, mmlu, ...: `sources.benchmarks` says where their items are looked for on this machine) or files of
items (any format that `data.path` takes; every column with words is read). Three signs:

* 13 words in a row in common, letter case and punctuation apart, as GPT-3 was cleaned (Brown et al. 2020, arXiv:2005.14165,
  appendix C); an item of 8 to 12 words counts when all of it is there. `share` of an item's 13-grams must stand in the row.
* nearly the same text (Jaccard of word triples, `near`);
* about the same said in other words, by a sentence model: a warning only, on a sample, and only with the extra `embeddings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from tunewright.audit.checks._sample import LONGEST
from tunewright.audit.checks._shared import batches_of, excerpt, first_rows, sampled
from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.core.parts import Check, Look
from tunewright.core.plugins import FILE
from tunewright.core.rows import content

GRAM, SHORTEST = 13, 8
BATCH = 100_000
FOUND = {"row_id": pl.String, "item": pl.UInt32, "kind": pl.String, "score": pl.Float64}
PARAPHRASES, ITEMS = 20_000, 5_000  # rows and items that word vectors look at
VERIFIED, RELATED = 400, 0.4  # pairs that the sentence model looks at, and the cosine of word vectors that they have at least
LEAST = 0.6  # cosine of sentences that is measured, so that the threshold can move
Words = npt.NDArray[np.uint64]


class Contamination(Check):
    """Holds an item of a benchmark. Name benchmarks or files with `against`; without them nothing is looked for."""

    severity: ClassVar[str] = "error"
    scope: ClassVar[Literal["row", "all"]] = "all"
    default: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ("against", "near")
    against: list[str] = Field(
        [],
        description="benchmarks that the rows must not hold: names (gsm8k, mmlu, ...), Hugging Face ids, or files of items",
        json_schema_extra=FILE,
    )
    share: float = Field(0.5, ge=0, le=1, description="share of an item's 13-grams that must stand in one row")
    near: float = Field(0.5, gt=0, le=1, description="share of common word triples (Jaccard) from which on a row is an item")
    paraphrase: float = Field(
        0.75, ge=LEAST, le=1, description="cosine of sentence vectors from which on a row may be an item in other words"
    )

    def measure(self, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        pieces = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
        return self._told(pieces, lambda: sampled(rows, PARAPHRASES))

    def measure_scan(self, rows: pl.LazyFrame, look: Look) -> pl.DataFrame:
        columns = [name for name in ("row_id", "text", "answer") if name in rows.collect_schema()]
        return self._told(batches_of(rows, *columns), lambda: first_rows(rows, PARAPHRASES))

    def _told(self, pieces: Iterable[pl.DataFrame], sample: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """(row_id, item, kind, score, said, place, note) of rows that may hold an item."""
        from tunewright.sources.benchmarks import items_of

        items = items_of(self.against)
        if items.is_empty():
            return pl.DataFrame()
        table, found = gram_table(items["said"]), [pl.DataFrame(schema=FOUND)]
        for piece in pieces:
            texts = content(piece).fill_null("")
            found += [in_common(piece["row_id"], texts, table), alike(piece["row_id"], texts, items["said"], self.near)]
        note = ""
        try:
            found.append(paraphrased(sample(), items["said"]))
        except EnvironmentProblem as missing:
            note = str(missing)
        every = pl.concat(found).join(items.with_row_index("item"), on="item")
        every = every.sort("row_id", "item", "kind").with_columns(note=pl.lit(""))
        return pl.concat([every, pl.DataFrame({"note": [note]})], how="diagonal") if note else every

    def reads(self) -> list[Path]:
        from tunewright.sources.benchmarks import files_of

        return [file for one, files in files_of(self.against).items() for file in files or [Path(one)]]

    def decide(self, measures: pl.DataFrame, rows: pl.DataFrame, look: Look) -> pl.DataFrame:
        if measures.is_empty():
            return pl.DataFrame()
        least = pl.col("kind").replace_strict({"words": self.share, "near": self.near, "meaning": self.paraphrase}, default=None)
        found = measures.filter(pl.col("score") >= least).sort(pl.col("kind") == "meaning", maintain_order=True)
        found = found.unique(["row_id", "item"], keep="first", maintain_order=True)
        percent = (100 * pl.col("score")).round().cast(pl.Int64)
        said = (
            pl.when(pl.col("kind") == "words")
            .then(pl.format("{}% of the {}-word sequences of {} stand in it: {}", percent, pl.lit(GRAM), "place", excerpt("said")))
            .when(pl.col("kind") == "near")
            .then(pl.format("nearly the words of {}: {}", "place", excerpt("said")))
            .otherwise(pl.format("may say the same as {}: {}", "place", excerpt("said")))
        )
        weak = pl.col("kind") == "meaning"
        lines = found.select(
            "row_id",
            "score",
            evidence=said,
            severity=pl.when(weak).then(pl.lit("warning")).otherwise(pl.lit(self.severity)),
            suggested_fix=pl.when(weak).then(pl.lit("review")).otherwise(pl.lit("drop it, or do not report this benchmark")),
        )
        notes = measures.filter(pl.col("note") != "").select(
            evidence=pl.format("items in other words were not looked for: {}", "note"), severity=pl.lit("info")
        )
        return pl.concat([lines, notes], how="diagonal")


def hashed_words(texts: pl.Series) -> tuple[Words, npt.NDArray[np.int64]]:
    """(hash of each word, row of each word): letters and digits alone, in lower case."""
    words = texts.str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]+").alias("word").to_frame().with_row_index("row")
    single = words.explode("word", empty_as_null=True).drop_nulls("word")
    return single["word"].hash(seed=13).to_numpy(), single["row"].cast(pl.Int64).to_numpy()


def grams(words: Words, row: npt.NDArray[np.int64], length: int) -> tuple[Words, npt.NDArray[np.int64]]:
    """(hash of each sequence of `length` words, its row); no sequence reaches into the next row."""
    count = max(0, len(words) - length + 1)
    mixed = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for step in range(length):
            mixed = (mixed ^ words[step : step + count]) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
    whole = row[:count] == row[length - 1 : length - 1 + count]
    return mixed[whole], row[:count][whole]


def gram_table(items: pl.Series) -> dict[int, pl.DataFrame]:
    """(gram, item, grams: of the item) of the word sequences of items, by their length."""
    words, item = hashed_words(items)
    sizes = np.bincount(item, minlength=len(items))
    wanted: dict[int, pl.DataFrame] = {}
    for length in range(SHORTEST, GRAM + 1):
        of = (sizes >= GRAM) if length == GRAM else (sizes == length)
        gram, owner = grams(words[of[item]], item[of[item]], length)
        if len(gram):
            table = pl.DataFrame({"gram": gram, "item": owner}).unique()
            wanted[length] = table.with_columns(grams=pl.len().over("item"), item=pl.col("item").cast(pl.UInt32))
    return wanted


def in_common(ids: pl.Series, texts: pl.Series, wanted: dict[int, pl.DataFrame]) -> pl.DataFrame:
    """Rows with word sequences of an item, and the share of the item's sequences that they hold."""
    found = [pl.DataFrame(schema=FOUND)]
    words, row = hashed_words(texts)
    for length, table in wanted.items():
        gram, owner = grams(words, row, length)
        held = np.isin(gram, table["gram"].to_numpy())
        hits = pl.DataFrame({"gram": gram[held], "row": owner[held]}).unique().join(table, on="gram")
        shares = hits.group_by("row", "item").agg(score=pl.len() / pl.col("grams").first())
        found.append(shares.select(row_id=ids.gather(shares["row"]), item="item", kind=pl.lit("words"), score="score"))
    return pl.concat(found)


def alike(ids: pl.Series, texts: pl.Series, items: pl.Series, near: float) -> pl.DataFrame:
    """Rows that are nearly an item; copies of such a row, and of an item, too."""
    from tunewright.text.neardup import TextJoin

    join = TextJoin(pl.concat([items.rename("text"), texts.rename("text")]))
    first = pl.DataFrame({"copy": np.arange(len(join)), "of": join.first})
    pairs = join.near(near).pairs.select(pl.col("left", "right").cast(pl.Int64), "jaccard")
    same = first.select(left="of", right="of").unique().with_columns(jaccard=pl.lit(1.0))
    both = pl.concat([pairs, pairs.select(left="right", right="left", jaccard="jaccard"), same])
    asked, told = first.filter(pl.col("copy") < len(items)), first.filter(pl.col("copy") >= len(items))
    over = told.join(both, left_on="of", right_on="right").join(asked.rename({"copy": "item"}), left_on="left", right_on="of")
    return over.select(
        row_id=ids.gather(over["copy"] - len(items)), item=pl.col("item").cast(pl.UInt32), kind=pl.lit("near"), score="jaccard"
    )


def paraphrased(looked: pl.DataFrame, items: pl.Series) -> pl.DataFrame:
    """Rows (`looked`, a sample) that may say what an item says. Word vectors name the item nearest to each row, cheaply; a sentence model
    looks at the `VERIFIED` nearest pairs and gives their score: words alone cannot tell the same subject from the same question."""
    from tunewright.models.static import static_vectors

    require("torch", "train")
    asked, said = items.str.head(LONGEST)[:ITEMS], content(looked).fill_null("").str.head(LONGEST)
    seen = _centred(static_vectors([*asked, *said]))
    blocks = [seen[start : start + 2_000] @ seen[: len(asked)].T for start in range(len(asked), len(seen), 2_000)]
    item = np.concatenate([block.argmax(axis=1) for block in blocks])
    near = np.concatenate([block.max(axis=1) for block in blocks])
    order = np.argsort(-near, kind="stable")[:VERIFIED]
    places = np.sort(order[near[order] >= RELATED])
    if not len(places):
        return pl.DataFrame(schema=FOUND)
    from tunewright.models.embed import embed

    chosen, known = said.gather(places), np.unique(item[places])
    sides = embed([*chosen, *asked.gather(known)], remember=False)
    score = np.einsum("ij,ij->i", sides[: len(places)], sides[len(places) :][np.searchsorted(known, item[places])])
    table = pl.DataFrame({"row_id": looked["row_id"].gather(places), "item": item[places].astype(np.uint32), "kind": "meaning"})
    return table.with_columns(score=pl.Series(score.astype(np.float64).clip(0, 1))).filter(pl.col("score") >= LEAST)


def _centred(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit vectors without what all of the texts have in common."""
    rest = vectors - vectors.mean(axis=0)
    common = np.linalg.eigh(rest.T @ rest)[1][:, -1:]
    rest = rest - (rest @ common) @ common.T
    return np.asarray(rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-9), dtype=np.float32)
